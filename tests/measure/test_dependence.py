"""The dependence test: exact on a linear model, finds what is planted, and says what it cannot know."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from antivenom.errors import AntivenomError
from antivenom.measure.dependence import ALL, Outcome, benjamini_hochberg, dependence, holm, membership_statistic
from antivenom.measure.detection import auroc
from antivenom.report.charts import svg
from antivenom.report.heat_map import dependence_heat_map

NAMES = ("a", "b", "c")


def linear(A, noise=0.0, n=200, seed=0, dose=1.0):
    """Y = A dose: every evaluation item of experiment i answers sum_j A[j, i] dose_j, with noise per item and arm."""
    draw = np.random.default_rng(seed)
    doses = {name: np.eye(3)[j] * dose for j, name in enumerate(NAMES)} | {
        ALL: np.full(3, dose),
        "empty": np.zeros(3),
        "empty-2": np.zeros(3),
    }
    own = draw.normal(size=(3, n))
    return {
        name: Outcome(
            {arm: own[i] + d @ A[:, i] + noise * draw.normal(size=n) for arm, d in doses.items()}, unit="points"
        )
        for i, name in enumerate(NAMES)
    }


A = np.array([[5.0, 0.0, 0.5], [0.0, 3.0, 0.0], [-0.25, 0.0, 2.0]])


def test_a_linear_model_gives_its_matrix_and_all_is_the_sum_of_the_columns():
    found = dependence(linear(A))
    assert np.allclose(found.matrix[:3], A)
    assert np.allclose(found.matrix[3], A.sum(0))
    assert found.totals["a"].value == pytest.approx(-0.25)
    # no noise at all: what is there is seen
    assert sorted(found.flagged()) == [("a", "c"), ("c", "a")]
    assert found.verdict == "not safe"


def test_a_planted_dependence_is_flagged_and_nothing_else():
    planted = np.diag([5.0, 3.0, 2.0])
    planted[0, 1] = 1.0
    found = dependence(linear(planted, noise=0.4))
    assert found.flagged() == [("a", "b")]
    assert found.verdict == "not safe"
    assert {e.verdict for p, e in found.entries.items() if p[0] != p[1] and p[0] != ALL and p != ("a", "b")} == {"safe"}


def test_without_dependence_it_is_safe_with_power_and_unknown_without():
    none = np.diag([5.0, 3.0, 2.0])
    assert dependence(linear(none, noise=0.4)).verdict == "safe"
    few = dependence(linear(none, noise=8.0, n=12))
    assert few.verdict == "unknown"
    many, less = dependence(linear(none, noise=1.0, n=1_600)), dependence(linear(none, noise=1.0, n=100))
    ratio = less.entries["a", "b"].minimum_detectable / many.entries["a", "b"].minimum_detectable
    assert ratio == pytest.approx(4, rel=0.25)  # a root of 16
    # an experiment that does not show itself has nothing to be compared with
    weak = dependence(linear(np.diag([5.0, 3.0, 0.0]), noise=0.4))
    assert weak.entries["a", "c"].verdict == "unknown"
    assert weak.entries["c", "a"].verdict == "safe"


def test_the_minimum_detectable_effect_is_found_with_its_power():
    base = dependence(linear(np.diag([50.0, 50.0, 50.0]), noise=1.0, n=100)).entries["a", "b"].minimum_detectable
    effect = np.diag([50.0, 50.0, 50.0])
    effect[0, 1] = base
    hits = sum(
        dependence(linear(effect, noise=1.0, n=100, seed=s), resamples=200).entries["a", "b"].p < 0.05 / 6
        for s in range(60)
    )
    assert 38 <= hits <= 58  # 80 % of 60 are 48


def test_false_alarms_are_as_rare_as_alpha_says():
    none = np.diag([5.0, 3.0, 2.0])
    alarms = sum(bool(dependence(linear(none, noise=1.0, n=60, seed=s), resamples=200).flagged()) for s in range(60))
    assert alarms <= 8  # at most 5 % of 60 are expected: 3


def test_what_another_seed_moves_is_no_dependence():
    found = linear(np.diag([5.0, 3.0, 2.0]), noise=0.1)
    moved = {name: dict(o.values) for name, o in found.items()}
    moved["b"]["empty-2"] = moved["b"]["empty-2"] + 0.6
    moved["b"]["a"] = moved["b"]["a"] + 0.5
    result = dependence({name: Outcome(v) for name, v in moved.items()})
    assert result.floor["b"] == pytest.approx(0.6, abs=0.05)
    assert result.entries["a", "b"].p_corrected < 0.05
    assert result.entries["a", "b"].verdict != "not safe"


def test_absence_is_blank():
    found = dependence(linear(A, noise=0.1), absent=("b",))
    assert np.isnan(found.matrix[:, 1]).all()
    assert np.isnan(found.matrix[1]).all()
    assert not any("b" in pair for pair in found.entries)


def test_a_membership_score_is_paired_and_stratified():
    draw = np.random.default_rng(0)
    member = np.repeat([1.0, 0.0], 80)
    base = draw.normal(size=160)
    arms = {
        arm: np.stack([base + shift * member, member], 1)
        for arm, shift in {"a": 2, "b": 0, ALL: 2, "empty": 0, "empty-2": 0}.items()
    }
    flat = {arm: np.zeros(10) + (arm in ("b", ALL)) for arm in arms}
    found = dependence({"a": Outcome(arms, membership_statistic, strata=member), "b": Outcome(flat)})
    assert found.entries["a", "a"].value == pytest.approx(auroc(member, base + 2 * member) - auroc(member, base))
    assert found.entries["b", "a"].value == 0
    assert found.entries["b", "a"].se == 0


def test_corrections_are_the_textbooks():
    p = np.random.default_rng(1).random(25) ** 3
    order = np.argsort(p)
    brute = np.empty(25)
    for k, i in enumerate(order):
        brute[i] = min(1, max((25 - m) * p[order[m]] for m in range(k + 1)))
    assert np.allclose(holm(p), brute)
    assert np.allclose(benjamini_hochberg(p), false_discovery_control(p))
    assert len(holm([])) == len(benjamini_hochberg([])) == 0
    assert dependence(linear(A, noise=0.4), correction="benjamini-hochberg").verdict == "not safe"


def test_bad_input_is_named():
    good = linear(A)
    with pytest.raises(AntivenomError, match="two empty arms"):
        dependence(good, empty=("empty",))
    with pytest.raises(AntivenomError, match="no correction"):
        dependence(good, correction="none")
    with pytest.raises(AntivenomError, match="not measured in the arm 'ALL'"):
        dependence({**good, "a": Outcome({k: v for k, v in good["a"].values.items() if k != ALL})})
    with pytest.raises(AntivenomError, match="missing values in the arm 'b'"):
        dependence({**good, "a": Outcome({**good["a"].values, "b": np.full(200, np.nan)})})
    with pytest.raises(AntivenomError, match="the same items"):
        dependence({**good, "a": Outcome({**good["a"].values, "b": np.zeros(3)})})


def test_the_heat_map_scales_columns_by_their_maximum():
    found = dependence(linear(A, noise=0.1), absent=("b",))
    spec = dependence_heat_map(found.record())
    values = spec["layer"][0].get("data", spec.get("data"))["values"]
    assert svg(spec, name="matrix", title="t", description="d").startswith("<svg")
    assert len(values) == 4 * 3
    by = {(v["train"], v["test"]): v for v in values}
    assert by["a", "a"]["scaled"] == pytest.approx(1)
    assert max(abs(v["scaled"] or 0) for v in values if v["test"] == "c") == pytest.approx(1)
    assert by["b", "a"]["scaled"] is None
    assert by["b", "a"]["label"] == ""
    assert by["a", "c"]["label"].endswith("*")


def test_the_numbers_of_many_experiments_fit_into_their_squares():
    names = list("abcdefghi")
    entries = [
        {"train": j, "test": i, "value": v, "verdict": "not safe" if (j, i) == ("a", "b") else None}
        for j in [*names, ALL]
        for i in names
        for v in [100.0 if j == i else 71.4 if j == ALL else 23.0 if (j, i) == ("a", "b") else 3.0]
    ]
    spec = dependence_heat_map({"names": names, "entries": entries})
    by = {(v["train"], v["test"]): v["label"] for v in spec["layer"][0].get("data", spec.get("data"))["values"]}
    assert (by["a", "a"], by[ALL, "a"], by["a", "b"], by["b", "a"]) == ("100", "71", "23*", "")
    assert max(map(len, by.values())) <= 5
