"""TF-IDF equals scikit-learn over a restricted vocabulary, for words and for characters, in any script."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from antivenom.data.benchmarks import Benchmark, Item
from antivenom.data.rows import batch_of
from antivenom.data.words import fold
from antivenom.errors import AntivenomError
from antivenom.screen.retrieval import vocabulary
from antivenom.screen.retrieval.tfidf import CharTfidf, WordTfidf
from antivenom.screen.retrieval.windows import windows_of


def bench(*texts: str) -> Benchmark:
    return Benchmark("b", [Item(f"b/{i}", text) for i, text in enumerate(texts)])


def retrieve(detector, items, texts):
    batch = batch_of(texts)
    state = detector.fit(bench(*items))
    pairs = detector.match(detector.finish(state, detector.count(state, batch)), batch)
    scores = np.zeros((len(items), len(texts)))
    scores[pairs.item, pairs.row] = pairs.score
    return scores, pairs


def scikit(detector, items, texts):
    """Cosines (n_items, n_rows) by scikit-learn on folded text; idf over all windows, a row counts with its best."""
    if isinstance(detector, WordTfidf):
        how = {"token_pattern": r"\S+", "lowercase": False}
    else:
        how = {"analyzer": "char_wb", "ngram_range": (detector.low, detector.high), "lowercase": False}
    folded = [fold(item) for item in items]
    terms = sorted(TfidfVectorizer(**how).fit(folded).vocabulary_)
    cut = [
        [
            " ".join(fold(text).split()[a:z])
            for a, z in windows_of(len(fold(text).split()), detector.window, detector.stride)
        ]
        for text in texts
    ]
    model = TfidfVectorizer(**how, vocabulary=terms, sublinear_tf=True).fit([w for windows in cut for w in windows])
    scores = np.zeros((len(items), len(texts)))
    for row, windows in enumerate(cut):
        if windows:
            scores[:, row] = (model.transform(folded) @ model.transform(windows).T).toarray().max(axis=1)
    return scores


ALPHABET = ["red", "fox", "dogs", "a", "on", "mat", "é", "ﬁsh", "漢", "字", "слово", "x1", "Red", "fóx"]
texts_of = st.lists(st.lists(st.sampled_from(ALPHABET), max_size=12).map(" ".join), min_size=1, max_size=6)
DETECTORS = [
    WordTfidf(k=6),
    WordTfidf(k=6, window=4, stride=2),
    CharTfidf(k=6),
    CharTfidf(k=6, low=2, high=3, window=5, stride=5),
]


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: f"{d.name}-{d.window}")
@settings(max_examples=60, deadline=None)
@given(items=texts_of, texts=texts_of)
def test_equals_scikit_learn(detector, items, texts):
    if not any(fold(item) for item in items) or not any(fold(text) for text in texts):
        return
    scores, _ = retrieve(detector, items, texts)
    np.testing.assert_allclose(scores, scikit(detector, items, texts), atol=2e-6)


@pytest.mark.parametrize("detector", [WordTfidf(), CharTfidf()], ids=lambda d: d.name)
def test_a_copy_scores_one_and_the_order_of_words_does_not_matter_to_words(detector):
    scores, _ = retrieve(
        detector, ["the red fox sleeps"], ["The RED fox, sleeps!", "sleeps fox red the", "the red cat"]
    )
    assert scores[0, :2] == pytest.approx([1, 1], abs=1e-6)
    assert 0 < scores[0, 2] < 1


@pytest.mark.parametrize("detector", [WordTfidf(), CharTfidf()], ids=lambda d: d.name)
def test_words_of_no_item_do_not_dilute(detector):
    """The norm is over the benchmark's vocabulary: foreign words around a question leave its score as it was."""
    scores, _ = retrieve(detector, ["red fox", "blue dog"], ["red fox", "zzz qqq red fox kkk www", "blue dog"])
    assert scores[0, 1] == pytest.approx(scores[0, 0], abs=1e-6)


def test_characters_see_inflections_that_words_do_not():
    rows = ["foxes sleeping in gardens", "cars on roads"]
    words, _ = retrieve(WordTfidf(), ["fox sleeps garden"], rows)
    characters, _ = retrieve(CharTfidf(), ["fox sleeps garden"], rows)
    assert words[0, 0] == 0
    assert characters[0, 0] > 0.3
    assert characters[0, 1] < 0.1


@pytest.mark.parametrize("detector", [WordTfidf(k=3), CharTfidf(k=3)], ids=lambda d: d.name)
def test_top_k_equals_a_full_stable_sort_and_dense_rows_change_nothing(detector, monkeypatch):
    draw = np.random.default_rng(2)
    make = lambda n: [" ".join(draw.choice(ALPHABET, draw.integers(1, 9))) for _ in range(n)]  # noqa: E731
    items, texts = make(20), make(30) * 2
    full, _ = retrieve(type(detector)(k=len(texts)), items, texts)
    _, pairs = retrieve(detector, items, texts)
    for item in range(len(items)):
        want = [row for row in np.argsort(-full[item].astype(np.float32), kind="stable") if full[item, row] > 0][:3]
        assert pairs.row[pairs.item == item].tolist() == want
    monkeypatch.setattr(vocabulary, "DENSE_CELLS", 0)
    _, sparse = retrieve(detector, items, texts)
    np.testing.assert_array_equal(pairs.score, sparse.score)
    np.testing.assert_array_equal(pairs.row, sparse.row)


@pytest.mark.parametrize("params", [{"low": 0}, {"low": 4, "high": 3}, {"high": 99}, {"k": 0}, {"stride": 0}])
def test_parameters_without_a_meaning_are_refused(params):
    with pytest.raises(AntivenomError, match="char-tfidf"):
        CharTfidf(**params)
