"""Detection measures against closed forms and brute force."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from antivenom.measure.detection import (
    agreement,
    auroc,
    best_f1,
    confusion,
    end_to_end_recall,
    f1_floor,
    f1_interval,
    recall_at_k,
    threshold_curve,
)
from antivenom.measure.rates import bootstrap_interval


def random_case(seed, n=60, levels=8):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 2, n).astype(bool), draw.integers(0, levels, n).astype(float)


def test_confusion_by_hand():
    c = confusion([1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0])
    assert (c.true_positive, c.false_positive, c.false_negative, c.true_negative) == (2, 1, 1, 3)
    assert c.f1 == pytest.approx(4 / 6)
    assert c.precision.value == pytest.approx(2 / 3)
    assert c.false_positive_rate.n == 4
    with pytest.raises(ValueError, match="truths"):
        confusion([1, 0], [1])


def test_zero_denominators_are_missing():
    nothing = confusion([0, 0], [0, 0])
    assert nothing.f1 is None
    assert nothing.precision.value is None
    assert nothing.recall.value is None
    assert nothing.false_positive_rate.value == 0.0
    assert confusion([], []).f1 is None
    assert f1_interval([0, 0], [0, 0]) == (None, None)
    assert f1_floor(0, 0) is None
    assert f1_floor(0, 5) == 0.0
    assert confusion([1, 1], [0, 0]).f1 == 0.0  # something was there and was missed: 0, not missing
    assert auroc([1, 1], [0.1, 0.2]) is None


@pytest.mark.parametrize("seed", range(5))
def test_f1_is_the_harmonic_mean_and_equals_scikit_learn(seed):
    truth, scores = random_case(seed)
    flagged = scores >= 4
    c = confusion(truth, flagged)
    p, r = c.precision.value, c.recall.value
    assert c.f1 == pytest.approx(2 * p * r / (p + r)) == pytest.approx(f1_score(truth, flagged))


def test_f1_floor_is_flag_everything():
    truth = [1] * 30 + [0] * 50
    assert f1_floor(30, 50) == pytest.approx(confusion(truth, [1] * 80).f1)
    assert f1_floor(100, 100) == pytest.approx(2 / 3)


def test_f1_interval_is_the_bootstrap_over_rows():
    truth, scores = random_case(3, n=150)
    flagged = scores >= 3

    def f1(rows):
        value = confusion(rows[:, 0], rows[:, 1]).f1
        return np.nan if value is None else value

    slow = bootstrap_interval(np.column_stack([truth, flagged]), f1)
    assert f1_interval(truth, flagged) == pytest.approx(slow, abs=0.02)
    assert f1_interval(truth, flagged) == f1_interval(truth, flagged)
    assert f1_interval(truth, flagged, seed=1) != f1_interval(truth, flagged)


def test_auroc_is_the_probability_of_the_right_order():
    truth, scores = random_case(0)
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[truth] for n in scores[~truth]]
    assert auroc(truth, scores) == pytest.approx(np.mean(pairs))
    assert auroc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))
    assert auroc(truth, np.zeros(60)) == 0.5


def test_threshold_curve_equals_counting_at_every_threshold():
    truth, scores = random_case(1)
    curve = threshold_curve(truth, scores)
    assert [point.threshold for point in curve] == sorted(set(scores), reverse=True)
    for point in curve:
        assert point.counts == confusion(truth, scores >= point.threshold)
    assert curve[-1].counts.f1 == pytest.approx(f1_floor(int(truth.sum()), int((~truth).sum())))
    assert best_f1(truth, scores).counts.f1 == max(point.counts.f1 for point in curve)
    assert threshold_curve([], []) == []
    assert best_f1([], []) is None
    with pytest.raises(ValueError, match="NaN"):
        threshold_curve([1, 0], [np.nan, 1.0])


def test_ties_count_against_us():
    assert recall_at_k([{0: 1.0, 1: 1.0}], [0], 1).value == 0.0
    assert recall_at_k([{0: 1.0, 1: 1.0}], [0], 2).value == 1.0
    assert recall_at_k([{1: 1.0}], [0], 5).value == 0.0
    assert recall_at_k([], [], 5).value is None
    with pytest.raises(ValueError, match="gold"):
        recall_at_k([{}], [], 1)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_recall_at_k_equals_the_worst_place_in_a_full_sort(k):
    draw = np.random.default_rng(4)
    scores = draw.integers(0, 5, (40, 12)).astype(float)
    gold = draw.integers(0, 12, 40)
    worst = [sorted(row, reverse=True)[:k].count(row[g]) and (row >= row[g]).sum() <= k for row, g in zip(scores, gold)]
    found = recall_at_k([dict(enumerate(row)) for row in scores], gold.tolist(), k)
    assert found.successes == sum(map(bool, worst))


def test_end_to_end_recall():
    assert end_to_end_recall([1, 2, 3, 4], [4, 9]).value == 0.25
    assert end_to_end_recall([(1, 0), (2, 1)], [(1, 0), (2, 0)]).value == 0.5  # the wrong item is no finding
    assert end_to_end_recall([], [1]).value is None


def test_agreement_counts_every_row_once():
    sets = {"a": [1, 2, 3, 3], "b": [3, 4], "c": [3]}
    assert agreement(sets) == {("a",): 2, ("a", "b", "c"): 1, ("b",): 1}
    assert sum(agreement(sets).values()) == 4
    assert agreement({"a": [], "b": []}) == {}
