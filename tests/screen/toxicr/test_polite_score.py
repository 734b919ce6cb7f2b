"""The learner on another scorer's score and politeness markers."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.screen.toxicr.algorithms import TextClassifier, build
from antivenom.screen.toxicr.estimator import ToxiCR
from antivenom.screen.toxicr.polite_score import MARKERS, PoliteScore, politeness

BAD = [
    "you are an idiot",
    "what a stupid patch",
    "this is garbage you moron",
    "you fool",
    "shut up stupid",
    "idiot code",
]
FINE = [
    "thanks could you please rename it",
    "nice catch",
    "maybe we could split this",
    "done",
    "please fix",
    "hi sorry",
]
TEXTS = [f"{text} {i % 5}" for i, text in enumerate((BAD + FINE) * 10)]
Y = ([1] * 6 + [0] * 6) * 10
NONE = np.zeros((len(TEXTS), 3))


def test_markers_by_hand():
    said = dict(zip(MARKERS, politeness("please thanks could you rename my list maybe")))
    assert {name for name, n in said.items() if n} == {"gratitude", "please first", "could you", "i", "you", "hedge"}
    assert politeness("").sum() == 0


def test_it_learns_and_survives_the_file(tmp_path):
    model = build("polite-score")
    assert isinstance(model, TextClassifier)
    with pytest.raises(AntivenomError, match="nothing yet"):
        model.predict_proba(TEXTS, NONE)
    p = model.fit(TEXTS, Y, NONE, seed=0).predict_proba(TEXTS, NONE)
    assert ((p >= 0.5) == np.array(Y)).mean() > 0.95
    record = model.save(tmp_path)
    again = PoliteScore.load(tmp_path, record).predict_proba(TEXTS, NONE)
    np.testing.assert_array_equal(again, p)
    assert model.predict_proba([], np.zeros((0, 3))).shape == (0,)
    other = record | {"scorer": record["scorer"] | {"weights": "another"}}
    with pytest.raises(AntivenomError, match="is not the one"):
        PoliteScore.load(tmp_path, other)
    with pytest.raises(AntivenomError, match="cannot be read"):
        PoliteScore.load(tmp_path, record | {"weights": [1.0]})


def test_politeness_counts_where_the_score_says_nothing():
    texts = ["rename this please thanks", "rename this now"] * 30
    labels = [0, 1] * 30
    p = build("polite-score").fit(texts, labels, np.zeros((60, 3)), seed=0).predict_proba(texts[:2], np.zeros((2, 3)))
    assert p[0] < 0.2 < 0.8 < p[1]


def test_it_is_an_algorithm_of_the_tool():
    tool = ToxiCR("polite-score").fit(TEXTS, Y)
    assert tool.score(["you idiot"])[0] > 0.5 > tool.score(["thanks, nice catch"])[0]
    with pytest.raises(AntivenomError, match="how toxic"):
        build("polite-score", scorer="gopher")
