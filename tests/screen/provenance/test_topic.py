"""Topics: gradients, a plain softmax, files - and the topics of real news."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_matrix

from antivenom.errors import AntivenomError
from antivenom.randomness import generator
from antivenom.screen.provenance.topic import Topic, softmax_loss
from antivenom.screen.scoring import hashed_features
from antivenom.screen.scoring.scorer import Scorer, Trainable, score_texts

TEXTS = [
    *(f"the team won match {i} by a goal" for i in range(8)),
    *(f"shares of firm {i} fell on the market" for i in range(8)),
    *(f"the new phone {i} has a faster chip" for i in range(8)),
]
LABELS = ["sport"] * 8 + ["money"] * 8 + ["tech"] * 8


@pytest.fixture(scope="module")
def fitted():
    return Topic(bits=12).fit(TEXTS, LABELS)


def test_the_gradient_is_that_of_finite_differences():
    draw = np.random.default_rng(0)
    x, y, p = csr_matrix(draw.normal(size=(15, 4))), draw.integers(0, 3, 15), draw.normal(size=15)
    gradient = softmax_loss(p, x, y, 3, 0.2)[1]
    for j in range(15):
        step = np.eye(15)[j] * 1e-6
        numeric = (softmax_loss(p + step, x, y, 3, 0.2)[0] - softmax_loss(p - step, x, y, 3, 0.2)[0]) / 2e-6
        assert gradient[j] == pytest.approx(numeric, abs=1e-7)
    assert softmax_loss(np.zeros(15), x, y, 3, 0.2)[0] == pytest.approx(np.log(3))


def test_unseen_texts_have_their_topic(fitted):
    scores = score_texts(fitted, ["a goal won the match", "the market fell", "a phone with a chip", ""])
    assert scores.columns["topic"].to_pylist() == ["sport", "money", "tech", None]
    assert scores.values[:3] == pytest.approx(scores.columns["confidence"].to_pylist()[:3])
    assert (scores.values[:3] > 1 / 3).all()
    assert np.isnan(scores.values[3])
    assert scores.reasons[3] == "cannot score: no letters or digits"
    assert fitted.identity().higher_is == "neutral"
    assert isinstance(fitted, Scorer)
    assert isinstance(fitted, Trainable)


def test_probabilities_are_the_softmax_and_sum_to_one(fitted, tmp_path):
    fitted.save(tmp_path / "t.npz")
    texts = ["a goal on the market", "a chip", "unknown"]
    parts = [
        score_texts(Topic(model=str(tmp_path / "t.npz"), topic=name), texts).values for name in sorted(set(LABELS))
    ]
    assert np.sum(parts, axis=0) == pytest.approx(1, abs=1e-6)
    model = fitted.learned
    x = hashed_features.matrix(pa.array(texts, pa.large_string()), 12, 2, (0, 0), 0.5).toarray()
    z = x @ model.weights + model.bias
    assert pytest.approx(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), abs=1e-6) == np.array(parts).T


def test_batches_files_and_pickles_change_nothing(fitted, tmp_path):
    texts = [*TEXTS[::5], ""]
    together = score_texts(fitted, texts).values
    assert np.array_equal(np.concatenate([score_texts(fitted, [t]).values for t in texts]), together, equal_nan=True)
    fitted.save(tmp_path / "a.npz")
    again = Topic(bits=12).fit(TEXTS, LABELS)
    again.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = pickle.loads(pickle.dumps(Topic(model=str(tmp_path / "a.npz"))))
    assert back.identity() == fitted.identity()
    assert np.array_equal(score_texts(back, texts).values, together, equal_nan=True)


def test_the_words_that_speak_for_it(fitted):
    text = "yesterday the team won"
    found = fitted.explain(text)
    assert all(text[e.start : e.stop] for e in found)
    assert text[found[0].start : found[0].stop] in ("team", "won")
    assert found[0].what == "sport"
    assert found[0].weight > 0
    assert fitted.explain("") == []


def test_what_cannot_be_learnt_or_read_is_refused(fitted, tmp_path):
    with pytest.raises(AntivenomError, match="cannot learn topics from 1"):
        Topic().fit(["a", "b"], ["x", "x"])
    with pytest.raises(AntivenomError, match="evaluation texts"):
        Topic(bits=10).fit(TEXTS, LABELS, evaluation=[TEXTS[3]])
    with pytest.raises(AntivenomError, match="has no model"):
        score_texts(Topic(), ["a"])
    fitted.save(tmp_path / "t.npz")
    with pytest.raises(AntivenomError, match="no topic 'war'\n  -> choose from: money, sport, tech"):
        score_texts(Topic(model=str(tmp_path / "t.npz"), topic="war"), ["a"])
    from antivenom.screen.scoring.model_file import write_model

    write_model(
        tmp_path / "x.npz",
        "topic model",
        {"names": ["a", "b"], "word_ngrams": 1},
        {"weights": np.zeros((4, 3), np.float32), "bias": np.zeros(3)},
    )
    with pytest.raises(AntivenomError, match="do not fit"):
        score_texts(Topic(model=str(tmp_path / "x.npz")), ["a"])


@pytest.mark.slow
def test_the_topics_of_news(shared):
    """Five-fold accuracy on AG News' test split; a quarter by chance."""
    table = pq.read_table(shared / "text_agnews" / "agnews_test.parquet")
    texts = [f"{a} {b}" for a, b in zip(table.column("title").to_pylist(), table.column("description").to_pylist())]
    y = np.array(table.column("class_name").to_pylist())
    fold = generator(0, "agnews folds").permutation(len(texts)) % 5
    right = 0
    for k in range(5):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        fitted = Topic().fit([texts[i] for i in train], y[train].tolist())
        found = score_texts(fitted, [texts[i] for i in test]).columns["topic"].to_pylist()
        right += int((np.array(found) == y[test]).sum())
    print(f"AG News, 5 folds: accuracy {right / len(texts):.4f} ({right} of {len(texts)})")
    assert right / len(texts) > 0.85
