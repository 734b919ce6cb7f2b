"""BM25: worked by hand, equal to a plain reference over windows, exact under pruning and dense rows."""

import math
from collections import Counter

import numpy as np
import pytest

from antivenom.data.benchmarks import Benchmark, Item
from antivenom.data.rows import batch_of
from antivenom.data.words import fold
from antivenom.errors import AntivenomError
from antivenom.screen.retrieval import vocabulary
from antivenom.screen.retrieval.bm25 import BM25
from antivenom.screen.retrieval.windows import window_spans, window_texts, windows_of


def bench(*texts: str) -> Benchmark:
    return Benchmark("b", [Item(f"b/{i}", text) for i, text in enumerate(texts)])


def retrieve(detector, items, texts):
    """(item, row) -> score, and per item its rows, best first."""
    batch = batch_of(texts)
    state = detector.fit(bench(*items))
    pairs = detector.match(detector.finish(state, detector.count(state, batch)), batch)
    scores = {(int(i), int(r)): float(s) for i, r, s in zip(pairs.item, pairs.row, pairs.score)}
    return scores, [pairs.row[pairs.item == i].tolist() for i in range(len(items))], pairs


def reference(items, texts, k1, b, window, stride):
    """Scores (n_items, n_rows) by the formula, one window at a time, with Python's own arithmetic."""
    documents = [fold(text).split() for text in texts]
    cut = [[doc[a:z] for a, z in windows_of(len(doc), window, stride)] for doc in documents]
    flat = [w for windows in cut for w in windows]
    n, mean = len(flat), sum(map(len, flat)) / max(1, len(flat))
    df = Counter(term for w in flat for term in set(w))
    idf = {term: math.log(1 + (n - count + 0.5) / (count + 0.5)) for term, count in df.items()}
    scores = np.zeros((len(items), len(texts)))
    for j, item in enumerate(items):
        for i, windows in enumerate(cut):
            for w in windows:
                tf = Counter(w)
                norm = k1 * (1 - b + b * len(w) / mean)
                score = sum(idf[t] * tf[t] * (k1 + 1) / (tf[t] + norm) for t in fold(item).split() if t in tf)
                scores[j, i] = max(scores[j, i], score)
    return scores


def random_corpus(seed, n_items, n_rows, longest):
    """Zipf's law over 60 words, so that a few words are in almost every item and most in few."""
    draw = np.random.default_rng(seed)
    share = 1 / np.arange(1, 61)
    words = [f"w{i}" for i in range(60)]
    make = lambda low, high: " ".join(draw.choice(words, draw.integers(low, high), p=share / share.sum()))  # noqa: E731
    return [make(3, 15) for _ in range(n_items)], [make(0, longest) for _ in range(n_rows)]


def test_three_documents_by_hand():
    """N = 3, lengths 2, 4, 6, mean 4. idf(fox) = ln(1 + 1.5 / 2.5), idf(red) = ln(1 + 2.5 / 1.5).

    Row 0: |d| / mean = 0.5, norm = 1.2 (.25 + .375) = 0.75: fox 2.2 / 1.75.
    Row 1: no term. Row 2: 1.5, norm = 1.2 (.25 + 1.125) = 1.65: fox (tf 2) 4.4 / 3.65, red (tf 1) 2.2 / 2.65.
    The item says 'red' twice, so it counts twice.
    """
    rows = ["fox sleeps", "a dog and cats", "fox fox red one two three"]
    scores, order, _ = retrieve(BM25(), ["red red fox"], rows)
    fox, red = math.log(1.6), math.log(1 + 2.5 / 1.5)
    assert scores == {
        (0, 0): pytest.approx(fox * 2.2 / 1.75, rel=1e-6),
        (0, 2): pytest.approx(fox * 4.4 / 3.65 + 2 * red * 2.2 / 2.65, rel=1e-6),
    }
    assert order == [[2, 0]]


@pytest.mark.parametrize(("window", "stride"), [(200, 100), (7, 3), (5, 5), (1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_windows_equal_the_reference(seed, window, stride):
    items, texts = random_corpus(seed, 25, 40, 60)
    scores, _, _ = retrieve(BM25(k=40, k1=0.9, b=0.4, window=window, stride=stride), items, texts)
    want = reference(items, texts, 0.9, 0.4, window, stride)
    assert set(scores) == set(zip(*map(np.ndarray.tolist, np.nonzero(want))))
    assert all(score == pytest.approx(want[key], rel=1e-5) for key, score in scores.items())


@pytest.mark.parametrize("k", [1, 3, 10])
def test_top_k_equals_a_full_stable_sort(k):
    """Rows come twice and thrice, so that there are ties at every rank; small k makes the pruning pass over most rows."""
    items, texts = random_corpus(7, 30, 40, 25)
    texts = texts + texts[10:30] + texts[:15]
    full, _, _ = retrieve(BM25(k=len(texts)), items, texts)
    _, order, _ = retrieve(BM25(k=k), items, texts)
    for item in range(len(items)):
        scores = np.array([full.get((item, row), 0.0) for row in range(len(texts))])
        want = [row for row in np.argsort(-scores, kind="stable").tolist() if scores[row] > 0]
        assert order[item] == want[:k]


def test_dense_rows_change_nothing(monkeypatch):
    items, texts = random_corpus(3, 40, 60, 50)
    state = BM25().fit(bench(*items))
    place, rows = state.vocabulary.dense(state.vocabulary.counts)
    assert 0 < (place >= 0).sum() < len(place)
    assert rows.sum() == state.vocabulary.counts[np.repeat(place >= 0, np.diff(state.vocabulary.offsets))].sum()
    _, _, mixed = retrieve(BM25(), items, texts)
    monkeypatch.setattr(vocabulary, "DENSE_CELLS", 0)
    assert (state.vocabulary.dense(state.vocabulary.counts)[0] == -1).all()
    _, _, sparse = retrieve(BM25(), items, texts)
    for name in ("row", "item", "score", "start", "stop"):
        np.testing.assert_array_equal(getattr(mixed, name), getattr(sparse, name))


def test_the_best_window_is_the_evidence_in_any_script():
    """Wide characters, combining accents and emoji before the window: the offsets are characters of the original."""
    filler = "Żółć e\u0301te\u0301 😀 слово 漢字 " * 80
    question = "Wie viele Murmeln besitzt Ravi\u0301"
    text = filler + question + "!? " + filler
    _, _, pairs = retrieve(BM25(window=20, stride=5), [question], [text, "nichts davon"])
    found = text[pairs.start[0] : pairs.stop[0]]
    assert question in found
    assert 15 <= len(fold(found).split()) <= 20


@pytest.mark.parametrize("text", ["a bc  d, e! f g", "Żółć e\u0301 漢字 x😀y слово. end ", "", "one"])
@pytest.mark.parametrize(("window", "stride"), [(2, 1), (3, 2), (50, 25)])
def test_spans_and_texts_of_windows(text, window, stride):
    from antivenom.data.words import words

    batch = batch_of(["before", text, "äfter"])
    cut = windows_of(len(words(text)), window, stride)
    spans = window_spans(batch, [(1, n) for n in range(len(cut))] * 2, window, stride)
    assert len(spans) == len(cut)
    for n, (a, z) in enumerate(cut):
        start, stop = spans[1, n]
        assert start == words(text)[a].start
        assert text[start:stop].rstrip("\u0301") == text[start : words(text)[z - 1].stop]  # an accent may follow
    texts = window_texts(batch, 1, range(len(cut)), window, stride)
    assert [fold(t) for t in texts] == [" ".join(w.token for w in words(text)[a:z]) for a, z in cut]
    if len(cut) == 1:
        assert texts == [text]


def test_counts_add_up_over_batches():
    items, texts = random_corpus(5, 9, 30, 40)
    detector = BM25(window=10, stride=5)
    state = detector.fit(bench(*items))
    whole = detector.count(state, batch_of(texts))
    parts = [detector.count(state, batch_of(texts[i : i + 7])) for i in range(0, 30, 7)]
    for key, value in whole.items():
        np.testing.assert_array_equal(value, sum(part[key] for part in parts))


@pytest.mark.parametrize("params", [{"k": 0}, {"window": 0}, {"stride": 0}, {"stride": 201}, {"k1": -1.0}, {"b": 1.5}])
def test_parameters_without_a_meaning_are_refused(params):
    with pytest.raises(AntivenomError, match="bm25"):
        BM25(**params)


def test_an_empty_corpus_and_items_without_words():
    detector = BM25()
    state = detector.fit(bench("?!", "fox"))
    assert len(detector.match(detector.finish(state, None), batch_of(["a fox"]))) == 0
    scores, _, _ = retrieve(detector, ["?!", "fox"], ["a fox", "", "..."])
    assert set(scores) == {(1, 0)}


def test_a_long_foreign_row_costs_what_its_length_costs():
    """Evidence offsets of many windows of one long non-ASCII row are found in one walk, not one walk per window."""
    import time

    items = [f"frage{i}" for i in range(400)]
    text = " ".join(f"{item} " + "слово " * 300 for item in items)
    retrieve(BM25(), items, ["слово"])
    begun = time.process_time()
    _, order, pairs = retrieve(BM25(), items, [text])
    assert order == [[0]] * 400
    assert all(item in text[a:z] for item, a, z in zip(items, pairs.start, pairs.stop))
    assert time.process_time() - begun < 1.5
