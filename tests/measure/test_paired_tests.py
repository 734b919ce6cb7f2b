"""Paired tests by hand, against scipy, and what the correction is for."""

import numpy as np
import pytest
from scipy.stats import ttest_rel, wilcoxon

from antivenom.errors import AntivenomError
from antivenom.measure.detection import confusion
from antivenom.measure.paired_tests import corrected_t, f1_difference, mcnemar_rows, paired_t, wilcoxon_folds
from antivenom.measure.rates import bootstrap_interval

A, B = [1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 4.0, 6.0]  # differences 1, 0, 1, 2: mean 1, sd sqrt(2/3)


def test_t_by_hand_and_against_scipy():
    plain = paired_t(A, B)
    assert (plain.difference, plain.n) == (1.0, 4)
    assert plain.statistic == pytest.approx(1 / ((2 / 3) ** 0.5 / 2))
    theirs = ttest_rel(B, A)
    assert plain.p == pytest.approx(theirs.pvalue)
    assert (plain.low, plain.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_the_corrected_t_by_hand():
    found = corrected_t(A, B, ratio=1 / 9)
    assert found.statistic == pytest.approx(1 / ((2 / 3) ** 0.5 * (1 / 4 + 1 / 9) ** 0.5))
    assert found.p > paired_t(A, B).p
    with pytest.raises(ValueError, match="ratio"):
        corrected_t(A, B, ratio=0)


def test_50_folds_make_a_tiny_gap_significant_only_without_the_correction():
    draw = np.random.default_rng(0)
    gap = draw.normal(0, 0.006, 50)
    gap += 0.002 - gap.mean()
    assert paired_t(np.zeros(50), gap).p < 0.05
    assert corrected_t(np.zeros(50), gap, ratio=1 / 9).p > 0.3


def test_wilcoxon_by_hand():
    # differences 3, -1, 2, 4: ranks 3, 1, 2, 4; smaller rank sum 1; exact P(W <= 1) = 2/16, two-sided 4/16
    found = wilcoxon_folds([0, 1, 0, 0], [3, 0, 2, 4])
    assert (found.statistic, found.p) == (1, 0.25)
    draw = np.random.default_rng(1)
    a, b = draw.random(20), draw.random(20)
    assert wilcoxon_folds(a, b).p == pytest.approx(wilcoxon(b - a).pvalue)
    assert wilcoxon_folds([1, 2], [1, 2]).p == 1


def test_equal_differences():
    assert paired_t([1, 2], [1, 2]).p == 1
    assert paired_t([1, 2], [2, 3]).p == 0
    with pytest.raises(AntivenomError, match="no score"):
        paired_t([1, np.nan], [1, 2])
    with pytest.raises(AntivenomError, match="1 folds"):
        paired_t([1], [2])
    with pytest.raises(ValueError, match="same folds"):
        paired_t([1, 2], [2])


def test_mcnemar_by_hand():
    truth = np.ones(20, int)
    a, b = np.ones(20, int), np.ones(20, int)
    b[:2] = 0  # 2 rows only a has right
    a[2:12] = 0  # 10 rows only b has right
    found = mcnemar_rows(truth, a, b)
    assert (found.only_a, found.only_b, found.n) == (2, 10, 20)
    assert found.statistic == pytest.approx((8 - 1) ** 2 / 12)
    assert found.p == pytest.approx(2 * (1 + 12 + 66) / 2**12)  # C(12, 0..2)
    assert mcnemar_rows([1, 0], [1, 0], [1, 0]).p == 1


def test_copies_count_once():
    truth, a, b = [1] * 10, [1] * 10, [0] * 10
    assert mcnemar_rows(truth, a, b).p < 0.01
    assert mcnemar_rows(truth, a, b, groups=[0] * 10).p == 1


def test_f1_difference_by_hand():
    truth, a, b = [1, 1, 1, 0, 0], [1, 0, 0, 0, 1], [1, 1, 0, 0, 0]  # F1 2/5 and 4/5
    assert f1_difference(truth, a, b)[0] == pytest.approx(0.4)
    assert f1_difference(truth, b, a)[0] == pytest.approx(-0.4)
    assert f1_difference(truth, a, a) == (0, 0, 0)
    assert f1_difference([0, 0], [0, 0], [0, 1]) == (None, None, None)
    assert f1_difference([], [], []) == (None, None, None)
    with pytest.raises(ValueError, match="decisions"):
        f1_difference([1, 0], [1], [1, 0])
    with pytest.raises(ValueError, match="groups"):
        f1_difference([1, 0], [1, 0], [1, 0], groups=[1])


def test_f1_difference_is_the_bootstrap_row_by_row():
    draw = np.random.default_rng(3)
    y = draw.random(400) < 0.3
    a, b = (np.where(draw.random(400) < hit, y, draw.random(400) < 0.3) for hit in (0.5, 0.7))
    _, low, high = f1_difference(y, a, b, resamples=4_000)

    def plainly(rows):
        f1 = [confusion(rows[:, 0], rows[:, k]).f1 or 0.0 for k in (1, 2)]
        return f1[1] - f1[0]

    theirs = bootstrap_interval(np.stack([y, a, b], 1), plainly, resamples=1_000)
    assert (low, high) == pytest.approx(theirs, abs=0.015)


def test_copies_do_not_narrow_the_interval_of_an_f1_difference():
    draw = np.random.default_rng(4)
    y = draw.random(200) < 0.4
    a, b = (np.where(draw.random(200) < 0.5, y, draw.random(200) < 0.4) for _ in range(2))
    once = f1_difference(y, a, b, resamples=4_000)
    thrice = [np.tile(v, 3) for v in (y, a, b)]
    kept = f1_difference(*thrice, groups=np.tile(np.arange(200), 3), resamples=4_000)
    blind = f1_difference(*thrice, resamples=4_000)
    assert once[0] == pytest.approx(kept[0])
    width = [(found[2] or 0) - (found[1] or 0) for found in (once, kept, blind)]
    assert width[1] == pytest.approx(width[0], rel=0.1)
    assert width[2] < 0.7 * width[0]
