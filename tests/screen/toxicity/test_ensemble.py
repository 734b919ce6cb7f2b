"""The ensemble: closed forms, missing members, and every member in its identity."""

import pickle
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from antivenom.errors import AntivenomError
from antivenom.screen.scoring.guard import same_scorer
from antivenom.screen.scoring.scorer import Evidence, Identity, Scorer, Scores, score_texts
from antivenom.screen.scoring.scorers import SCORERS, parse
from antivenom.screen.toxicity.ensemble import Ensemble


@dataclass(frozen=True)
class Nth:
    """The n-th number of the text."""

    n: int = 0
    note: str = ""
    higher: str = "worse"
    date: str = ""
    name: ClassVar[str] = "nth"

    @property
    def columns(self):
        return {"length": pa.int32()}

    def identity(self):
        return Identity(self.name, "1", f"{self.n}", self.higher, {"note": self.note}, self.date)

    def score(self, batch):
        parts = [text.split()[self.n] for text in batch.texts.to_pylist()]
        values = np.array([np.nan if p == "-" else float(p) for p in parts], np.float32)
        reasons = ["cannot score: dash" if p == "-" else "" for p in parts]
        return Scores(values, reasons, {"length": pa.array([len(p) for p in parts], pa.int32())})

    def explain(self, text):
        return [Evidence(self.n * 2, self.n * 2 + 1, 0.3 * (self.n + 1), "number")]


@pytest.fixture(autouse=True)
def _names(monkeypatch):
    own = ("antivenom.screen.toxicity.ensemble", "Ensemble", "several put together")
    monkeypatch.setitem(SCORERS, "toxicity-ensemble", own)
    monkeypatch.setitem(SCORERS, "nth", (__name__, "Nth", "a number"))
    monkeypatch.setitem(SCORERS, "nth-other", (__name__, "Nth", "a number"))


THREE = "nth+nth:n=1+nth:n=2"


@pytest.mark.parametrize(
    ("aggregate", "want"),
    [
        ("mean", [0.5, 0.3, np.nan]),
        ("max", [0.9, 0.5, np.nan]),
        ("median", [0.5, 0.3, np.nan]),
        ("vote", [2 / 3, 0.5, np.nan]),
    ],
)
def test_aggregates_have_closed_forms_and_skip_missing_members(aggregate, want):
    scores = score_texts(Ensemble(THREE, aggregate), [".1 .5 .9", ".1 .5 -", "- - -"])
    np.testing.assert_allclose(scores.values, want, rtol=1e-6)
    assert scores.reasons[0] == ""
    assert scores.reasons[1] == "2 of 3 members; nth:n=2: cannot score: dash"
    assert scores.reasons[2].startswith("cannot score: nth: cannot score: dash; nth:n=1")


def test_a_missing_member_can_leave_the_row_without_a_score():
    scores = score_texts(Ensemble(THREE, missing="nan"), [".1 .5 .9", ".1 .5 -"])
    assert np.isnan(scores.values).tolist() == [False, True]
    assert scores.reasons[1] == "cannot score: nth:n=2: cannot score: dash"


def test_a_vote_counts_a_score_at_the_threshold():
    assert score_texts(Ensemble("nth+nth:n=1", "vote"), [".5 .49"]).values[0] == 0.5


def test_every_members_own_score_stays_in_view():
    ensemble = Ensemble("nth+nth:n=1")
    scores = score_texts(ensemble, [".25 -"])
    assert list(scores.columns) == list(ensemble.columns)
    assert {name: array.type for name, array in scores.columns.items()} == ensemble.columns
    assert scores.columns["nth"].to_pylist() == [0.25]
    assert scores.columns["nth:n=1"].to_pylist() == [None]
    assert scores.columns["nth:n=1.reason"].to_pylist() == ["cannot score: dash"]
    assert scores.columns["nth.length"].to_pylist() == [3]


def test_the_identity_holds_every_members():
    one = Ensemble("nth+nth:n=1").identity()
    assert one.params["members"]["nth:n=1"]["weights"] == "1"
    for other in ("nth+nth:n=2", "nth+nth:n=1;note=x", "nth:date=2026-05-01+nth:n=1"):
        assert Ensemble(other).identity().key != one.key
        with pytest.raises(AntivenomError, match="cannot be compared"):
            same_scorer([one, Ensemble(other).identity()])
    assert Ensemble("nth:date=2026-05-01+nth:n=1").identity().date == "2026-05-01"


def test_members_are_told_apart_by_names_not_by_every_plus():
    assert Ensemble("nth:note=a+b;n=1+nth-other").labels == ["nth:note=a+b;n=1", "nth-other"]
    assert Ensemble("nth:note=a+b;n=1+nth").scorers["nth:note=a+b;n=1"] == Nth(1, "a+b")


def test_evidence_is_shared_among_members_and_strongest_first():
    found = Ensemble("nth+nth:n=1").explain("1 2")
    assert [e.what for e in found] == ["nth:n=1: number", "nth: number"]
    assert found[0].weight == pytest.approx(0.3)


def test_it_is_a_scorer_that_travels():
    made = parse("toxicity-ensemble:members=nth+nth-other,aggregate=max")
    assert isinstance(made, Scorer)
    _ = made.scorers
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize("members", ["", "nth", "nth+nth", "toxicity-ensemble+nth"])
def test_no_ensemble_of_fewer_than_two_different_scorers(members):
    with pytest.raises(AntivenomError):
        Ensemble(members)


def test_members_that_do_not_fit_are_refused():
    with pytest.raises(AntivenomError, match="'better'"):
        Ensemble("nth+nth:n=1;higher=better").identity()
    with pytest.raises(AntivenomError, match="'nth:n=1' gives scores outside"):
        score_texts(Ensemble("nth+nth:n=1"), [".5 7"])
    with pytest.raises(AntivenomError, match="no scorer 'lexicn'"):
        _ = Ensemble("lexicn+nth").scorers
    for wrong in ({"aggregate": "min"}, {"missing": "zero"}):
        with pytest.raises(AntivenomError, match="choose from"):
            Ensemble("nth+nth-other", **wrong)
