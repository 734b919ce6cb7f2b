"""Features by hand, learners by what they must not do (spec 11, section 5)."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from antivenom.errors import AntivenomError
from antivenom.screen.toxicr.algorithms import ALGORITHMS, TextClassifier, algorithm, build
from antivenom.screen.toxicr.calibration import Sigmoid, best_f1_threshold, grouped_folds
from antivenom.screen.toxicr.learners import Classical
from antivenom.screen.toxicr.resampling import resample
from antivenom.screen.toxicr.trusted import load_learner, save_learner
from antivenom.screen.toxicr.vectorizers import KEPT, STOP_WORDS, TextFeatures, _weighed

DRAW = np.random.default_rng(0)
WORDS = [
    "merge",
    "branch",
    "loop",
    "cache",
    "index",
    "parser",
    "thread",
    "lock",
    "queue",
    "token",
    "frame",
    "test",
    "build",
    "patch",
]
ROWS = [
    (
        " ".join([*DRAW.choice(WORDS, 6), *(["rotten", "silly"][: DRAW.integers(1, 3)] if i % 4 == 0 else [])]),
        int(i % 4 == 0),
    )
    for i in range(240)
]
TEXTS, Y = [t for t, _ in ROWS], [y for _, y in ROWS]
C = np.array([[t.count("rotten"), 0, 0] for t in TEXTS], float)
NAMES = [a.name for a in ALGORITHMS.values() if a.family in ("baseline", "classical") and a.name != "polite-score"]
OPTIONS = {"majority": {}, "lexicon": {}, "stack": {"trees": 8, "min_df": 2}}


def test_tfidf_by_hand_on_three_documents():
    texts = ["bug bug loop", "loop fix", "fix fix fix tidy"]
    counts = np.array([[2, 0, 1], [0, 3, 0], [0, 0, 0]], float)
    features = TextFeatures(min_df=1, max_df=1.0)
    x = features.fit_transform(texts, counts).toarray()
    terms = ["bug", "fix", "loop", "tidy"]
    df = {"bug": 1, "fix": 2, "loop": 2, "tidy": 1}
    for row, text in enumerate(texts):
        tf = Counter(text.split())
        w = [(1 + math.log(tf[t])) * (math.log(4 / (1 + df[t])) + 1) if tf[t] else 0.0 for t in terms]
        assert x[row] == pytest.approx([*(v / math.hypot(*w) for v in w), *counts[row]])
    assert features.names == [*terms, "<profanity>", "<anger>", "<emoticon>"]


def test_limits_of_document_frequency_and_stop_words():
    texts = [f"the rare{i} why not common shared" for i in range(10)] + ["shared other"] * 10
    names = TextFeatures(min_df=10, max_df=0.5).fit_transform(texts, np.zeros((20, 3)))
    features = TextFeatures(min_df=10, max_df=0.5)
    features.fit_transform(texts, np.zeros((20, 3)))
    assert features.names[:-3] == ["common", "not", "why"]  # shared: in all; rare: in one; other, the: stop words
    assert names.shape == (20, 6)
    assert not KEPT & set(STOP_WORDS)
    with pytest.raises(AntivenomError, match="at least 20"):
        TextFeatures().fit_transform(["one two"] * 3, np.zeros((3, 3)))


def test_ngrams_survive_the_file(tmp_path):
    features = TextFeatures(word_high=2, char_low=2, char_high=5, min_df=1, max_df=1.0, log_counts=True)
    x = features.fit_transform(TEXTS[:30], C[:30])
    assert x[:, -3].toarray().ravel() == pytest.approx(np.log1p(C[:30, 0]))
    assert "merge" in " ".join(features.names)
    features.save(tmp_path)
    other = TextFeatures.load(tmp_path)
    assert (other.transform(TEXTS, C) != features.transform(TEXTS, C)).nnz == 0
    assert other.names == features.names
    (tmp_path / "features.json").write_text("{}")
    with pytest.raises(AntivenomError, match="cannot be read"):
        TextFeatures.load(tmp_path)


def test_counting_by_words_is_what_scikit_learn_counts():
    texts = ["", " ", "a", "ab  ab abc", "x" * 300, "日本 é a\u00a0b", *TEXTS[:50]]
    part = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, lowercase=False).fit(
        TEXTS + texts
    )
    fast, plain = _weighed(part, texts), part.transform(texts)
    assert (fast != plain).nnz == 0
    assert (fast.indices == plain.indices).all()
    for pair in ((1, 1), (1, 3), (5, 6)):
        other = TfidfVectorizer(analyzer="char_wb", ngram_range=pair, sublinear_tf=True, lowercase=False).fit(
            TEXTS[:20]
        )
        assert (_weighed(other, texts) != other.transform(texts)).nnz == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_named_learner(name, tmp_path):
    options = OPTIONS.get(name, {"min_df": 2})
    model = build(name.upper(), **options)
    assert isinstance(model, TextClassifier)
    assert type(model).__name__ == algorithm(name).cls
    with pytest.raises(AntivenomError):
        if name in ("majority", "lexicon"):
            model.fit(TEXTS, [0] * len(Y), C, seed=1)
        model.predict_proba(TEXTS, C)
    p = model.fit(TEXTS, Y, C, seed=1).predict_proba(TEXTS, C)
    assert p.shape == (240,)
    assert ((p >= 0) & (p <= 1)).all()
    again = build(name, **options).fit(TEXTS, Y, C, seed=1)
    assert np.array_equal(again.predict_proba(TEXTS, C), p)
    assert model.predict_proba(TEXTS[3:4], C[3:4]) == pytest.approx(p[3:4], abs=1e-12)
    read = type(model).load(tmp_path, model.save(tmp_path))
    assert np.array_equal(read.predict_proba(TEXTS, C), p)
    if name == "majority":
        assert np.allclose(p, 0.25)
    elif name == "lexicon":
        assert ((p >= 0.5) == (C[:, 0] > 0)).all()
    else:
        assert (np.array(Y) == (p >= 0.5)).mean() > 0.95
        assert model.predict_proba([], np.zeros((0, 3))).shape == (0,)
        noisy = np.array(Y) ^ (np.random.default_rng(3).random(240) < 0.2)
        p = model.fit(TEXTS, noisy, C, seed=1).predict_proba(TEXTS, C)
        assert len(np.unique(p)) > 2  # trap T8: no hard labels
        assert name == "rf" or 0 < p.min() < p.max() < 1
    assert not list(tmp_path.rglob("*.pkl")) + list(tmp_path.rglob("*.joblib"))


def test_boosting_looks_at_all_features():
    assert Classical("gbt")._model.max_features is None  # trap T9
    assert Classical("dt")._model.max_features == "sqrt"


def test_smoothing_of_leaves_moves_no_verdict():
    noisy = np.random.default_rng(1).integers(0, 2, 240)
    texts = [t[:6] for t in TEXTS]  # many equal texts: mixed leaves
    model = Classical("dt", min_df=1, max_df=1.0).fit(texts, noisy, C, seed=0)
    hard = model._model.predict_proba(model._features.transform(texts, C))[:, 1]
    p = model.predict_proba(texts, C)
    assert ((hard >= 0.5) == (p >= 0.5)).all()
    assert p.min() > 0
    assert p.max() < 1


@pytest.mark.parametrize("kind", ["over", "under", "smote"])
def test_resampling_makes_labels_even(kind):
    x = sparse.csr_matrix(np.vstack([np.eye(6)[[0, 0, 0, 1, 2, 3]], np.full((14, 6), 0.5)]))
    y = np.array([1] * 6 + [0] * 14)
    new_x, new_y = resample(x, y, kind, seed=3)
    assert (new_y == 1).sum() == (new_y == 0).sum() == (6 if kind == "under" else 14)
    rare = new_x.toarray()[new_y == 1]
    assert np.allclose(rare.sum(1), 1)  # convex combinations of unit vectors
    made = rare[6:]
    if kind == "smote":  # three copies of one row are no neighbours of one another
        assert (np.count_nonzero(made, axis=1) == 2).all()
        assert (x.toarray() == new_x.toarray()[:20]).all()
    elif kind == "over":
        assert (np.count_nonzero(made, axis=1) == 1).all()
    same = resample(x, y, kind, seed=3)[0]
    assert (same != new_x).nnz == 0


@pytest.mark.parametrize("options", [{"class_weight": "balanced"}, {"resample": "smote"}, {"resample": "over"}])
@pytest.mark.parametrize("name", ["lr", "gbt"])
def test_weights_and_resampling_raise_recall_where_it_is_hard(name, options):
    y = np.array(Y) * (np.random.default_rng(2).random(240) < 0.5)  # half of the insults unlabelled
    plain, even = (Classical(name, min_df=2, trees=20, **o).fit(TEXTS, y, C, seed=1) for o in ({}, options))
    assert even.predict_proba(TEXTS, C).mean() > plain.predict_proba(TEXTS, C).mean() + 0.05


def test_sigmoid_finds_slope_and_offset_and_folds_keep_copies_together():
    f = np.random.default_rng(0).normal(size=20_000)
    y = (np.random.default_rng(1).random(20_000) < 1 / (1 + np.exp(-(2 * f - 1)))).astype(int)
    fitted = Sigmoid.fit(f, y)
    assert (fitted.a, fitted.b) == pytest.approx((2, -1), abs=0.1)
    texts = [*TEXTS, *(t.upper() for t in TEXTS)]
    folds = grouped_folds(texts, np.array(Y * 2), 5, seed=0)
    assert len(folds) == 5
    for train, held in folds:
        assert not {texts[i].lower() for i in train} & {texts[i].lower() for i in held}


def test_calibration_is_not_flattered_by_copies():
    """Labels are coin flips: with grouped folds the probability of a copied text stays near one half."""
    draw = np.random.default_rng(4)
    texts = [" ".join(f"w{n}" for n in draw.integers(0, 400, 8)) for _ in range(150)]
    y = draw.integers(0, 2, 150)
    model = Classical("svm", min_df=1).fit(texts * 2, np.tile(y, 2), np.zeros((300, 3)), seed=0)
    assert np.abs(model.predict_proba(texts, np.zeros((150, 3))) - 0.5).mean() < 0.2


def test_best_threshold_is_that_of_brute_force():
    y, p = np.random.default_rng(5).integers(0, 2, 50), np.random.default_rng(6).integers(0, 12, 50) / 12

    def f1(t):
        return 2 * (y[p >= t]).sum() / ((p >= t).sum() + y.sum())

    assert f1(best_f1_threshold(y, p)) == pytest.approx(max(f1(t) for t in np.arange(0, 1.001, 0.005)))


def test_foreign_types_in_a_model_file_are_refused(tmp_path):
    from sklearn.preprocessing import FunctionTransformer

    save_learner(FunctionTransformer(math.hypot), tmp_path)
    with pytest.raises(AntivenomError, match="not trusted"):
        load_learner(tmp_path, FunctionTransformer)
    (tmp_path / "learner.skops").write_bytes(b"no archive")
    with pytest.raises(AntivenomError, match="cannot be read"):
        load_learner(tmp_path, Classical)
    with pytest.raises(AntivenomError, match="cannot be read"):
        load_learner(tmp_path / "nowhere", Classical)


def test_parameters_without_meaning_are_refused():
    for bad in ({"class_weight": "heavy"}, {"resample": "more"}, {"min_df": 0}, {"char_high": 2, "char_low": 4}):
        with pytest.raises(AntivenomError):
            Classical("lr", **bad)
    with pytest.raises(AntivenomError, match="no classical learner"):
        Classical("knn")
