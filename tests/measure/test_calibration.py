"""Calibration measures against closed forms, by hand and by scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from antivenom.measure.calibration import (
    auprc,
    auprc_measured,
    auroc_measured,
    brier,
    calibration,
    subgroup_false_positives,
)


def test_a_table_by_hand():
    found = calibration([0, 1, 1, 1], [0.1, 0.15, 0.95, 1.0], bins=10)
    first, last = found.bins[1], found.bins[9]
    assert (first.n, first.rate.value, first.confidence) == (2, 0.5, pytest.approx(0.125))
    assert (last.n, last.rate.value, last.confidence) == (2, 1.0, pytest.approx(0.975))
    assert found.error == pytest.approx(0.5 * 0.375 + 0.5 * 0.025)
    assert found.largest == pytest.approx(0.375)
    assert found.brier == pytest.approx((0.01 + 0.85**2 + 0.05**2 + 0) / 4)
    assert sum(b.n for b in found.bins) == found.n == 4
    assert found.bins[0].rate.value is None
    assert found.binning == "10 bins of equal width"


def test_a_constant_off_by_a_fifth_has_that_error():
    y = np.array([1] * 50 + [0] * 50)
    assert calibration(y, np.full(100, 0.7)).error == pytest.approx(0.2)
    assert calibration(y, np.full(100, 0.5)).error == pytest.approx(0)


@pytest.mark.parametrize("equal", ["width", "count"])
def test_honest_probabilities_have_almost_no_error_and_doubled_odds_do(equal):
    draw = np.random.default_rng(0)
    p = draw.random(200_000)
    y = draw.random(len(p)) < p
    assert calibration(y, p, equal=equal).error == pytest.approx(0, abs=0.005)
    assert calibration(y, p**2, equal=equal).error == pytest.approx(1 / 6, abs=0.005)  # E|p - p^2|


def test_bins_of_equal_count_are():
    p = np.random.default_rng(1).random(1_000) ** 4
    sizes = [b.n for b in calibration(np.zeros(1_000), p, bins=5, equal="count").bins]
    assert len(sizes) == 5
    assert all(abs(size - 200) <= 1 for size in sizes)


def test_missing_probabilities_are_counted_and_left_out():
    found = calibration([1, 0, 1], [1.0, 0.0, np.nan])
    assert (found.n, found.missing, found.error) == (2, 1, 0)
    empty = calibration([1], [np.nan])
    assert (empty.n, empty.error, empty.brier, empty.largest) == (0, None, None, None)


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="probabilities from"):
        calibration([0], [1.5])
    with pytest.raises(ValueError, match="equal"):
        calibration([0], [0.5], equal="luck")
    with pytest.raises(ValueError, match="truths"):
        calibration([0, 1], [0.5])


def test_brier_of_the_base_rate_is_its_variance():
    y = np.array([1] * 30 + [0] * 70)
    assert brier(y, np.full(100, 0.3)) == pytest.approx(0.3 * 0.7)


def test_ranking_figures_are_scikit_learns_with_ties():
    draw = np.random.default_rng(2)
    y, s = draw.integers(0, 2, 300), draw.integers(0, 15, 300) / 15
    assert auprc(y, s) == pytest.approx(average_precision_score(y, s))
    assert auroc_measured(y, s, resamples=20).value == pytest.approx(roc_auc_score(y, s))
    assert auprc([1, 0, 0, 0], [0.5] * 4) == 0.25
    assert auprc([0, 0], [0.1, 0.2]) is None


def test_intervals_hold_the_value_shrink_with_rows_and_repeat():
    draw = np.random.default_rng(3)

    def width(n):
        y = draw.integers(0, 2, n)
        found = auroc_measured(y, y + draw.normal(size=n), resamples=200)
        assert found.low is not None
        assert found.high is not None
        assert found.value is not None
        assert found.low < found.value < found.high
        return found.high - found.low

    assert width(4_000) < 0.5 * width(250)
    y, s = np.array([0, 1] * 50), draw.random(100)
    assert auprc_measured(y, s, seed=4, resamples=50) == auprc_measured(y, s, seed=4, resamples=50)
    assert auroc_measured([0, 1, 1], [0.1, np.nan, 0.9], resamples=50).missing == 1


def test_subgroups_count_only_negatives_with_a_score():
    truth = [0, 0, 0, 0, 1, 1, 0]
    scores = [0.9, 0.1, 0.5, 0.2, 0.9, 0.9, np.nan]
    groups = {"a": [1, 1, 0, 0, 1, 0, 1], "b": [0, 0, 1, 1, 0, 1, 0], "few": [0, 1, 0, 0, 0, 0, 0]}
    found = subgroup_false_positives(truth, scores, groups, threshold=0.5, least=2)
    assert (found.groups["a"].successes, found.groups["a"].n) == (1, 2)
    assert (found.groups["b"].successes, found.groups["b"].n) == (1, 2)
    assert (found.overall.successes, found.overall.n, found.missing) == (2, 4, 1)
    assert found.gap == 0
    harsher = subgroup_false_positives(truth, scores, groups, threshold=0.6, least=2)
    assert harsher.gap == 0.5
    assert subgroup_false_positives(truth, scores, {"few": groups["few"]}, threshold=0.5).gap is None
