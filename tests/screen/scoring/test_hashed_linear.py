"""The hashed linear model: gradients, plain-Python features, exact sums, equal scores everywhere."""

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from antivenom.data.words import hash_token, words
from antivenom.errors import AntivenomError
from antivenom.screen.scoring import hashed_features
from antivenom.screen.scoring.hashed_linear import HashedLinear, TextUnits
from antivenom.screen.scoring.logistic import fit_logistic, folds_of, logistic_loss, platt

TEXTS = ["red apples are red", "green pears", "the red car", "a green car", "Ärger, grün!", "red red red", "pear", ""]
LABELS = [1, 0, 1, 0, 0, 1, 0, 1]
M = (1 << 64) - 1


def column(texts):
    return pa.array(texts, pa.large_string())


@pytest.fixture(scope="module")
def model():
    return HashedLinear.fit(TEXTS * 3, LABELS * 3, bits=12, l2=1e-3, calibration_folds=3)


def bucket(value, bits):
    value ^= value >> 32
    value = value * 0x9E3779B97F4A7C15 & M
    value ^= value >> 29
    return (value * 0x100000001B3 & M) >> (64 - bits)


def plain_features(text, bits, word_ngrams, low, high):
    """The same features, slowly: (word buckets, character buckets of the distinct words)."""
    tokens = [w.token for w in words(text)]
    runs, characters = set(), []
    for at in range(len(tokens)):
        for n in range(1, word_ngrams + 1):
            if at + n <= len(tokens):
                value = 0xCBF29CE484222325
                for token in tokens[at : at + n]:
                    value = (value ^ hash_token(token)) * 0x100000001B3 & M
                runs.add(bucket(value, bits))
        if tokens[at] in tokens[:at]:
            continue
        marked = [1, *map(ord, tokens[at][: hashed_features.LONGEST_WORD]), 2]
        for n in range(low, high + 1) if high else ():
            for i in range(len(marked) - n + 1):
                value = 0x51ED270B8F4C2A35
                for letter in marked[i : i + n]:
                    value = (value ^ letter) * 0x100000001B3 & M
                characters.append(bucket(value, bits))
    return runs, characters


@pytest.mark.parametrize(("word_ngrams", "low", "high"), [(2, 3, 5), (1, 0, 0), (0, 2, 4), (3, 1, 1)])
def test_features_are_those_of_plain_python(word_ngrams, low, high):
    texts = ["Ein Übel, 'n\u200bow' 中文 x_y", "a" * 100, "", "to be or not to be", "\uff46\uff55ll"]
    bits = 16
    weights = np.arange(1 << bits).astype(np.int32)
    totals, counts = hashed_features.sums(TextUnits.whole(column(texts)), weights, bits, word_ngrams, (low, high))
    x = hashed_features.matrix(column(texts), bits, word_ngrams, (low, high), 0.0)
    for row, text in enumerate(texts):
        runs, characters = plain_features(text, bits, word_ngrams, low, high)
        assert counts[row].tolist() == [len(runs), len(characters)]
        assert totals[row].tolist() == [sum(runs), sum(characters)]
        assert {j: round(v) for j, v in zip(x[row].indices.tolist(), x[row].data.tolist())} == Counter(
            [*runs, *characters]
        )


def test_the_gradient_is_that_of_finite_differences():
    draw = np.random.default_rng(0)
    x = csr_matrix(draw.normal(size=(20, 6)) * (draw.random((20, 6)) < 0.5))
    y, c, p = draw.integers(0, 2, 20), draw.random(20), draw.normal(size=7)
    gradient = logistic_loss(p, x, y, c, 0.3)[1]
    for j in range(7):
        step = np.eye(7)[j] * 1e-6
        numeric = (logistic_loss(p + step, x, y, c, 0.3)[0] - logistic_loss(p - step, x, y, c, 0.3)[0]) / 2e-6
        assert gradient[j] == pytest.approx(numeric, abs=1e-7)


def test_the_solver_ends_where_the_gradient_is_zero():
    draw = np.random.default_rng(1)
    x, y = csr_matrix(draw.normal(size=(50, 5))), draw.integers(0, 2, 50)
    w, b = fit_logistic(x, y, np.full(50, 1 / 50), 0.01)
    assert np.abs(logistic_loss(np.append(w, b), x, y, np.full(50, 1 / 50), 0.01)[1]).max() < 1e-5


def test_fewer_rows_than_columns_end_at_the_same_minimum():
    draw = np.random.default_rng(3)
    x = csr_matrix(draw.normal(size=(30, 400)) * (draw.random((30, 400)) < 0.2))
    x = csr_matrix(np.vstack([x.toarray(), x[:3].toarray()]))  # copies: the rows do not span 33 dimensions
    y = draw.integers(0, 2, 33)
    w, b = fit_logistic(x, y, np.full(33, 1 / 33), 0.01)
    assert np.abs(logistic_loss(np.append(w, b), x, y, np.full(33, 1 / 33), 0.01)[1]).max() < 1e-5
    assert (w[np.asarray((x != 0).sum(axis=0)).ravel() == 0] == 0).all()


def test_platt_recovers_the_distortion():
    draw = np.random.default_rng(2)
    true = draw.normal(size=200_000) * 2
    y = (draw.random(len(true)) < 1 / (1 + np.exp(-true))).astype(int)
    slope, offset = platt((true - 1) / 3, y, np.ones(len(y)))
    assert (slope, offset) == (pytest.approx(3, abs=0.05), pytest.approx(1, abs=0.05))


def test_platt_on_separable_logits_is_finite():
    slope, offset = platt(np.array([-1.0, -2, 1, 2]), np.array([0, 0, 1, 1]), np.ones(4))
    assert np.isfinite([slope, offset]).all()
    assert 0 < slope < 5


def test_groups_stay_in_one_fold_and_classes_are_spread():
    groups = [i // 2 for i in range(100)]
    fold = folds_of(np.array([0, 1] * 50), 5, groups, 0)
    assert (fold[::2] == fold[1::2]).all()
    assert len(set(fold.tolist())) == 5
    spread = folds_of(np.array([0] * 10 + [1] * 5), 5, None, 0)
    assert np.bincount(spread[:10]).tolist() == [2] * 5
    assert np.bincount(spread[10:]).tolist() == [1] * 5


def test_scores_are_the_matrix_times_the_weights(model):
    x = hashed_features.matrix(column(TEXTS), model.bits, 2, (3, 5), 0.5)
    plain = x @ (model.weights * model.scale) + model.bias
    logits = model.logits(TextUnits.whole(column(TEXTS)))
    assert logits == pytest.approx(plain, abs=1e-6)
    p = 1 / (1 + np.exp(-(model.slope * plain + model.offset)))
    assert model.score(column(TEXTS)) == pytest.approx(p, abs=1e-6)


def test_a_score_does_not_depend_on_the_batch(model):
    whole = model.score(column(TEXTS))
    alone = np.concatenate([model.score(column([t])) for t in TEXTS])
    sliced = model.score(column(["x", *TEXTS])[1:])
    assert (whole == alone).all()
    assert (whole == sliced).all()


def test_units_are_stretches_of_words(model):
    texts = column(["one two red car five"])
    table = TextUnits.whole(texts)
    part = TextUnits(table.table, table.letters, np.array([2]), np.array([4]))
    assert model.logits(part) == model.logits(TextUnits.whole(column(["red car"])))


def test_contributions_sum_to_the_logit(model):
    for text in ("the red car, the red pear", "Ärger r\u200bed", "unknown"):
        shares = model.contributions(text)
        logit = model.logits(TextUnits.whole(column([text])))[0]
        assert sum(w for *_, w in shares) == pytest.approx(model.slope * (logit - model.bias), abs=1e-9)
        assert [text[a:b] for a, b, _ in shares] == [text[w.start : w.stop] for w in words(text)]
    first = max(model.contributions("the red car"), key=lambda share: share[2])
    assert first[:2] == (4, 7)


def test_learning_separates_and_is_deterministic(model):
    again = HashedLinear.fit(TEXTS * 3, LABELS * 3, bits=12, l2=1e-3, calibration_folds=3)
    assert again.weights_hash == model.weights_hash
    p = model.score(column(["red car", "green pear"]))
    assert p[0] > 0.5 > p[1]


def test_repeating_a_word_changes_nothing():
    m = HashedLinear.fit(TEXTS, LABELS, bits=12, word_ngrams=1, calibration_folds=0)
    p = m.score(column(["red", "red red red red"]))
    assert p[0] == p[1]


def test_a_file_comes_back_the_same_and_equal_models_are_equal_bytes(model, tmp_path):
    model.save(tmp_path / "a.npz")
    model.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = HashedLinear.load(tmp_path / "a.npz")
    assert back.weights_hash == model.weights_hash
    assert (back.score(column(TEXTS)) == model.score(column(TEXTS))).all()
    assert back.meta == model.meta


def test_the_hash_sees_every_number(model):
    changed = HashedLinear(model.weights, model.scale, model.bias, model.slope * 1.01, model.offset)
    assert changed.weights_hash != model.weights_hash
    other = model.weights.copy()
    other[0] += 1
    assert HashedLinear(other, model.scale, model.bias, model.slope, model.offset).weights_hash != model.weights_hash


def test_another_process_with_another_hash_seed_gives_the_same_scores(model, tmp_path):
    model.save(tmp_path / "m.npz")
    code = (
        "import sys, json, pyarrow as pa; from antivenom.screen.scoring.hashed_linear import HashedLinear as H;"
        "print(json.dumps(H.load(sys.argv[1]).score(pa.array(json.loads(sys.argv[2]), pa.large_string())).tolist()))"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "m.npz"), json.dumps(TEXTS)]
    out = subprocess.run(run, capture_output=True, check=True, env={"PYTHONHASHSEED": "77", "PATH": ""}).stdout
    assert json.loads(out) == model.score(column(TEXTS)).tolist()


@pytest.mark.parametrize("spoil", ["missing", "text", "weights", "number", "pickle"])
def test_bad_files_are_refused(model, tmp_path, spoil):
    path = tmp_path / "m.npz"
    if spoil == "text":
        path.write_text("no zip")
    elif spoil == "weights":
        HashedLinear(model.weights[:-1], 1.0, 0.0).save(path)
    elif spoil == "number":
        HashedLinear(model.weights, float("nan"), 0.0).save(path)
    elif spoil == "pickle":
        np.savez(path, header=np.array([{}], object), weights=model.weights)
    with pytest.raises(AntivenomError):
        HashedLinear.load(path)


@pytest.mark.parametrize("labels", [[1, 1], [0, 2], [1]])
def test_labels_that_cannot_be_learnt_are_refused(labels):
    with pytest.raises(AntivenomError, match="cannot fit"):
        HashedLinear.fit(["a", "b"], labels)


def test_a_megabyte_without_a_space_is_one_word(model):
    units = TextUnits.whole(column(["QUJD" * 250_000]))
    counts = hashed_features.sums(units, model.weights, model.bits, 2, (3, 5))[1]
    assert counts[0, 0] == 1
    assert counts[0, 1] <= 3 * (hashed_features.LONGEST_WORD + 2)
