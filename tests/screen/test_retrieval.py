"""Retrieval: hand-computed and brute-force scores, exact top k with ties, windows, batches."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.data.benchmarks import Benchmark, Item
from antivenom.data.rows import batch_of
from antivenom.data.words import fold
from antivenom.screen.detector import Pairs, top_k
from antivenom.screen.retrieval.bm25 import BM25
from antivenom.screen.retrieval.tfidf import CharTfidf, WordTfidf
from antivenom.screen.retrieval.windows import windows_of


def bench(*texts: str) -> Benchmark:
    return Benchmark("b", [Item(f"b/{i}", text) for i, text in enumerate(texts)])


def retrieve(detector, items, texts, batches=1):
    state = detector.fit(bench(*items))
    size = max(1, math.ceil(len(texts) / batches))
    parts = [batch_of(texts[i : i + size]) for i in range(0, len(texts), size)]
    total: dict = {}
    for part in parts:
        for key, value in (detector.count(state, part) or {}).items():
            total[key] = total[key] + value if key in total else value
    state = detector.finish(state, total)
    found, first = [], 0
    for part in parts:
        pairs = detector.match(state, part)
        pairs.row = pairs.row + first
        first += len(part)
        found.append(pairs)
    names = ("row", "item", "score", "start", "stop")
    return top_k(Pairs(*(np.concatenate([getattr(p, n) for p in found]) for n in names)), detector.k)


def as_dict(pairs):
    return {(int(i), int(r)): float(s) for r, i, s in zip(pairs.row, pairs.item, pairs.score)}


def bm25_reference(items, texts, k1=1.2, b=0.75):
    docs = [fold(t).split() for t in texts]
    n, mean = len(docs), sum(map(len, docs)) / max(1, len(docs))
    df = Counter(term for doc in docs for term in set(doc))
    scores = {}
    for j, item in enumerate(items):
        for i, doc in enumerate(docs):
            tf = Counter(doc)
            score = sum(
                math.log(1 + (n - df[t] + 0.5) / (df[t] + 0.5))
                * tf[t]
                * (k1 + 1)
                / (tf[t] + k1 * (1 - b + b * len(doc) / mean))
                for t in fold(item).split()
                if tf[t]
            )
            if score > 0:
                scores[j, i] = score
    return scores


def test_bm25_by_hand():
    """N = 3, mean length 3; 'fox' in 1 of 3: idf = ln(1 + 2.5 / 1.5); tf = 1, len = 3: weight 2.2 / 2.2 = 1."""
    got = as_dict(retrieve(BM25(), ["fox"], ["the red fox", "the dog sleeps", "a cat runs"]))
    assert got == {(0, 0): pytest.approx(math.log(1 + 2.5 / 1.5), rel=1e-6)}


words = st.text(st.sampled_from("abcde "), max_size=40)


@settings(max_examples=100, deadline=None)
@given(st.lists(words, min_size=1, max_size=4), st.lists(words, min_size=1, max_size=8), st.integers(1, 3))
def test_bm25_equals_reference(items, texts, batches):
    got = as_dict(retrieve(BM25(k=8), items, texts, batches))
    full = [t for t in texts if fold(t)]
    index = [i for i, t in enumerate(texts) if fold(t)]
    want = {(j, index[i]): s for (j, i), s in bm25_reference(items, full).items()}
    assert got.keys() == want.keys()
    assert all(got[key] == pytest.approx(want[key], rel=1e-5) for key in want)


def test_word_tfidf_equals_scikit_learn():
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["the red fox runs", "a red dog sleeps on the red mat", "foxes and dogs", "nothing in common here"]
    items = ["the red fox", "dog on a mat mat"]
    terms = sorted({t for item in items for t in item.split()})
    model = TfidfVectorizer(vocabulary=terms, sublinear_tf=True, token_pattern=r"(?u)\w+")
    matrix = model.fit(texts)
    want = (matrix.transform(items) @ matrix.transform(texts).T).toarray()
    got = as_dict(retrieve(WordTfidf(), items, texts))
    assert got == {(j, i): pytest.approx(want[j, i], rel=1e-5) for j, i in zip(*np.nonzero(want))}


def test_char_tfidf_equals_scikit_learn():
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["the red fox runs", "a red dog sleeps on the red mat", "foxes and dogs", "zzz"]
    items = ["the red foxes", "dog mats"]
    kind = {"analyzer": "char_wb", "ngram_range": (3, 5)}
    vocabulary = sorted(TfidfVectorizer(**kind).fit(items).vocabulary_)
    model = TfidfVectorizer(**kind, vocabulary=vocabulary, sublinear_tf=True).fit(texts)
    want = (model.transform(items) @ model.transform(texts).T).toarray()
    got = as_dict(retrieve(CharTfidf(), items, texts))
    assert got == {(j, i): pytest.approx(want[j, i], rel=1e-4) for j, i in zip(*np.nonzero(want))}


@pytest.mark.parametrize("detector", [BM25(k=2), WordTfidf(k=2), CharTfidf(k=2)], ids=lambda d: d.name)
def test_ties_go_to_the_earlier_row(detector):
    pairs = retrieve(detector, ["red fox"], ["red fox", "blue dog", "red fox", "red fox"])
    assert pairs.row.tolist() == [0, 2]


@pytest.mark.parametrize("detector", [BM25(), WordTfidf(), CharTfidf()], ids=lambda d: d.name)
@pytest.mark.parametrize("batches", [2, 5])
def test_batches_do_not_matter(detector, batches):
    draw = np.random.default_rng(3)
    texts = [" ".join(draw.choice(list("abcdefghij"), 30)) for _ in range(40)]
    items = [" ".join(draw.choice(list("abcdefghij"), 5)) for _ in range(7)]
    one, many = retrieve(detector, items, texts), retrieve(detector, items, texts, batches)
    assert [vars(one)[n].tolist() for n in ("row", "item", "score", "start", "stop")] == [
        vars(many)[n].tolist() for n in ("row", "item", "score", "start", "stop")
    ]


@pytest.mark.parametrize("detector", [BM25(k=2), WordTfidf(k=1), CharTfidf(k=1)], ids=lambda d: d.name)
@pytest.mark.parametrize("place", [0, 2_500, 4_990])
def test_a_question_inside_a_long_document_is_found(detector, place):  # trap 12
    question = "how many marbles does Ravi own after the third exchange with Lena"
    filler = ("lorem ipsum dolor sit amet consectetur " * 900).split()[:5_000]
    document = " ".join([*filler[:place], question, *filler[place:]])
    others = [" ".join(filler)] * 3 + ["how many coins does Ravi have after his exchange with the third bank"]
    pairs = retrieve(detector, [question], [*others, document])
    assert 4 in pairs.row  # BM25's length term lets a short look-alike go first, so it is given two places
    at = pairs.row.tolist().index(4)
    assert question in document[pairs.start[at] : pairs.stop[at]]


def test_windows_cover_every_word():
    for n in (0, 1, 199, 200, 201, 299, 300, 301, 450, 5_000):
        windows = windows_of(n)
        assert sorted({w for a, b in windows for w in range(a, b)}) == list(range(n))
        assert all(b - a <= 200 for a, b in windows)


def test_rows_without_a_shared_word_are_no_candidates():
    for detector in (BM25(), WordTfidf(), CharTfidf()):
        assert len(retrieve(detector, ["fox"], ["dog", "", "漢字"])) == 0
