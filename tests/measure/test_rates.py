"""Rates, means and paired differences against closed forms."""

import math

import numpy as np
import pytest

from antivenom.measure.rates import Rate, bootstrap_interval, mcnemar, mean_of, paired_difference


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (8, 10, 0.4902, 0.9433), (50, 100, 0.4038, 0.5962)],
)
def test_wilson_known_values(k, n, low, high):
    rate = Rate(k, n, "things")
    assert rate.low == pytest.approx(low, abs=1e-4)
    assert rate.high == pytest.approx(high, abs=1e-4)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (3, 17), (17, 17), (400, 1000)])
def test_wilson_ends_solve_the_score_equation(k, n):
    # the interval is the set of p with |k/n - p| <= z sqrt(p (1 - p) / n): both ends hold with equality
    rate, z = Rate(k, n, "things"), 1.959963984540054
    for p in (rate.low, rate.high):
        assert abs(k / n - p) == pytest.approx(z * math.sqrt(p * (1 - p) / n), abs=1e-7)


def test_missing_is_missing_and_never_0():
    rate = Rate(0, 0, "items")
    assert (rate.value, rate.low, rate.high) == (None, None, None)
    assert "missing" in str(rate)
    assert mean_of([]).value is None
    assert bootstrap_interval([]) == (None, None)
    some = mean_of([1.0, None, 3.0])
    assert (some.value, some.n, some.missing) == (2.0, 2, 1)
    assert paired_difference([1.0, None], [None, 2.0]).value is None
    assert paired_difference([1.0, None, 2.0], [2.0, 5.0, 3.0]).missing == 1


def test_a_rate_above_one_is_refused():
    with pytest.raises(ValueError, match="4 successes of 3 items"):
        Rate(4, 3, "items")


def test_the_bootstrap_interval_of_a_mean_is_the_normal_one_for_many_values():
    values = np.random.default_rng(0).normal(5, 2, 1_000)
    mean = mean_of(values)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert mean.low == pytest.approx(values.mean() - half, abs=0.03)
    assert mean.high == pytest.approx(values.mean() + half, abs=0.03)
    assert mean_of(values) == mean
    assert mean_of(values, seed=1) != mean


def test_bootstrap_leaves_undefined_resamples_out():
    low, high = bootstrap_interval([0.0, 1.0], lambda v: np.nan if v.sum() == 0 else v.mean())
    assert low >= 0.5
    assert high == 1.0
    assert bootstrap_interval([1.0], lambda v: np.nan) == (None, None)


def test_paired_beats_unpaired_and_needs_the_same_items():
    draw = np.random.default_rng(1)
    hard = draw.normal(size=200) * 10
    easier = hard + 0.5 + draw.normal(size=200) * 0.5
    found = paired_difference(hard, easier)
    assert found.low > 0
    assert found.p < 0.01
    assert mean_of(hard).high > mean_of(easier).low  # the arms' own intervals overlap
    assert paired_difference(hard, hard).p == 1.0
    with pytest.raises(ValueError, match="same items"):
        paired_difference([1, 2], [1])


def test_interval_and_p_agree():
    draw = np.random.default_rng(2)
    for shift in (0.0, 0.1, 0.2, 0.3, 0.4):
        found = paired_difference(np.zeros(60), draw.normal(shift, 1, 60))
        assert (found.low > 0 or found.high < 0) == (found.p < 0.05)


@pytest.mark.parametrize(("a", "b"), [(1, 9), (0, 5), (7, 7), (3, 20)])
def test_mcnemar_is_the_binomial_tail(a, b):
    n = a + b
    tail = sum(math.comb(n, i) for i in range(min(a, b) + 1)) / 2**n
    assert mcnemar(a, b) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_without_and_with_very_many_discordant_pairs():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(100_000, 100_000) == 1.0
    assert mcnemar(0, 100_000) == 0.0
