"""The n-gram model: probabilities sum to 1, equal a plain reference, and survive a file."""

import pickle
import time
from collections import Counter, defaultdict

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.screen.quality.ngram_counts import NGramCounts
from antivenom.screen.quality.ngram_lm import NGramPerplexity
from antivenom.screen.scoring.scorer import score_texts

RNG = np.random.default_rng(0)
PROSE = "The river ran past the old mill and the miller sat by the door. He counted the sacks and sang a song. "
TEXTS = [PROSE * 3, PROSE.replace("river", "stream"), "A short note about mills, rivers and songs."]


def rows(lists):
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in lists])]).astype(np.int64)
    return np.concatenate([np.asarray(r, np.uint32) for r in lists]), offsets


def reference(train, text, order, alphabet):
    """-log2 P by the formula, with dictionaries."""
    follow = defaultdict(Counter)
    for row in train:
        for i, w in enumerate(row):
            for k in range(min(order, i + 1)):
                follow[tuple(row[i - k : i])][w] += 1

    def p(w, h):
        lower = p(w, h[1:]) if h else 1 / alphabet
        seen = follow.get(h)
        if not seen:
            return lower
        return (seen[w] + len(seen) * lower) / (sum(seen.values()) + len(seen))

    return [-np.log2(p(w, tuple(text[max(0, i - order + 1) : i]))) for i, w in enumerate(text)]


@pytest.mark.parametrize("order", [1, 2, 4])
def test_equals_the_formula(order):
    train = [RNG.integers(0, 5, n).tolist() for n in (40, 1, 23)]
    model = NGramCounts.empty(order, 6)
    model.add(*rows(train))
    tests = [RNG.integers(0, 6, 30).tolist(), [5, 5, 5], train[0]]
    found = model.bits(*rows(tests))
    assert np.allclose(found, np.concatenate([reference(train, t, order, 6) for t in tests]), atol=1e-12)


def test_sums_to_one_over_the_alphabet_for_100_contexts():
    model = NGramPerplexity().fit(TEXTS).learned.counts
    data = np.frombuffer("".join(TEXTS).encode(), np.uint8)
    for i in range(100):
        size = int(RNG.integers(0, 7))
        at = int(RNG.integers(0, len(data) - 8))
        context = data[at : at + size].tolist() if i % 2 else RNG.integers(0, 256, size).tolist()
        symbols, offsets = rows([[*context, w] for w in range(256)])
        last = model.bits(symbols, offsets)[offsets[1:] - 1]
        assert np.exp2(-last).sum() == pytest.approx(1, abs=1e-9)


def test_word_model_sums_to_one_over_its_buckets():
    model = NGramPerplexity(unit="word", bits=8, order=3).fit(TEXTS).learned.counts
    symbols, offsets = rows([[3, 7, w] for w in range(256)])
    assert np.exp2(-model.bits(symbols, offsets)[offsets[1:] - 1]).sum() == pytest.approx(1, abs=1e-9)


def test_an_untrained_model_is_uniform():
    assert NGramCounts.empty(3, 256).bits(*rows([[1, 2, 3]])) == pytest.approx(8)


def test_batching_order_and_growth_change_nothing(tmp_path):
    many = [PROSE + str(i) for i in range(300)]
    one = NGramPerplexity().fit(many)
    other = NGramPerplexity().fit(many[::-1])
    assert one.identity() == other.identity()
    together = score_texts(one, many[:9]).values
    assert together.tolist() == [score_texts(one, [t]).values[0] for t in many[:9]]
    one.save(tmp_path / "a.npz")
    other.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = NGramPerplexity(model=str(tmp_path / "a.npz"))
    assert loaded.identity() == one.identity()
    assert score_texts(loaded, many[:9]).values.tolist() == together.tolist()
    assert score_texts(pickle.loads(pickle.dumps(loaded)), many[:3]).values.tolist() == together[:3].tolist()


def test_trusted_text_is_less_perplexing_and_bits_count_characters_not_bytes():
    scorer = NGramPerplexity().fit(TEXTS)
    scores = score_texts(scorer, [PROSE, "zq xj vvk wq pfx qqz jx kz" * 3, "", "\u00e9\u00e9"])
    assert scores.values[0] < 4 < scores.values[1]
    assert np.isnan(scores.values[2])
    assert scores.reasons[2] == "cannot score: empty"
    assert scores.columns["units"].to_pylist() == [len(PROSE), 78, 0, 2]
    assert scores.columns["bits_per_unit"].to_pylist()[2] is None
    assert scores.values[1] == pytest.approx(2 ** scores.columns["bits_per_unit"][1].as_py(), rel=1e-5)
    assert scorer.identity().higher_is == "worse"


def test_labels_say_what_is_trusted():
    assert NGramPerplexity().fit(TEXTS, [0, 0, 1]).identity() == NGramPerplexity().fit(TEXTS[:2]).identity()
    with pytest.raises(AntivenomError, match="nothing to learn"):
        NGramPerplexity().fit(["a"], [1])


@pytest.mark.parametrize("unit", ["character", "word"])
def test_the_surprise_is_explained(unit):
    text = "\u00c9 the river ran past the xqzzk mill"
    best = NGramPerplexity(unit=unit).fit(TEXTS).explain(text)[0]
    assert best.what == text[best.start : best.stop]
    assert best.what in ("xqzzk", "\u00c9")


def test_a_file_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(AntivenomError, match="has no model"):
        score_texts(NGramPerplexity(), ["a"])
    with pytest.raises(AntivenomError, match="no model file"):
        score_texts(NGramPerplexity(model=str(tmp_path / "none.npz")), ["a"])
    np.savez(tmp_path / "bad.npz", header=np.array([{"a": 1}], object))
    (tmp_path / "text.npz").write_text("hello")
    for name in ("bad.npz", "text.npz"):
        with pytest.raises(AntivenomError, match="is no n-gram"):
            score_texts(NGramPerplexity(model=str(tmp_path / name)), ["a"])


def test_megabytes_take_seconds():
    scorer = NGramPerplexity().fit(TEXTS)
    text = PROSE * 10_000
    score_texts(scorer, ["warm"])
    start = time.process_time()
    score_texts(scorer, [text])
    assert time.process_time() - start < 5
