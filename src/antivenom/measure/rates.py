"""Rates and means that carry their denominator and their interval; two arms on the same items are compared paired."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

from antivenom.intervals import wilson
from antivenom.randomness import generator

__all__ = ["Mean", "PairedDifference", "Rate", "bootstrap_interval", "mcnemar", "mean_of", "paired_difference"]

RESAMPLES = 2_000


@dataclass(frozen=True)
class Rate:
    """successes / n, with what n counts in words and a Wilson interval; None for n = 0 (missing is missing, never 0).

    Args:
        successes: the numerator.
        n: the denominator.
        of: what n counts, in words.
        level: of the interval.

    Raises:
        ValueError: when `successes` is not in [0, n].

    >>> Rate(8, 10, "benchmark items").value
    0.8
    """

    successes: int
    n: int
    of: str
    level: float = 0.95

    def __post_init__(self):
        if not 0 <= self.successes <= self.n:
            raise ValueError(f"{self.successes} successes of {self.n} {self.of}")

    @property
    def value(self) -> float | None:
        """The rate."""
        return self.successes / self.n if self.n else None

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return wilson(self.successes, self.n, self.level)[0]

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return wilson(self.successes, self.n, self.level)[1]

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return f"missing (0 {self.of})"
        return f"{self.value:.1%} ({self.successes} of {self.n} {self.of}; {self.low:.1%} - {self.high:.1%})"


@dataclass(frozen=True)
class Mean:
    """A mean with its bootstrap interval; None for no values. `missing` values are left out and counted."""

    value: float | None
    n: int
    low: float | None
    high: float | None
    missing: int = 0


@dataclass(frozen=True)
class PairedDifference:
    """mean(b - a) over the same items, with its interval and the two-sided bootstrap p of no difference.

    `n` counts the items that both arms measured, `missing` the others.
    """

    value: float | None
    n: int
    low: float | None
    high: float | None
    p: float | None
    missing: int = 0


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[np.ndarray], float] = np.mean,
    *,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float | None, float | None]:
    """Percentile bootstrap over the first axis of `values`; (None, None) without values.

    Args:
        values: items along the first axis; resampled with replacement, n of n.
        statistic: of a resample; a NaN (undefined on that resample) is left out.
        level: of the interval.
        seed: of the resampling.
        resamples: how many.
    """
    found = _resampled(np.asarray(values, dtype=float), statistic, seed, resamples)
    return _percentiles(found, level)


def _resampled(values: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int, resamples: int) -> np.ndarray:
    n = len(values)
    if n == 0:
        return np.empty(0)
    draw = generator(seed, "bootstrap", n)  # one resample at a time: memory is n, not n x resamples
    return np.array([statistic(values[draw.integers(0, n, n)]) for _ in range(resamples)], dtype=float)


def _percentiles(found: np.ndarray, level: float) -> tuple[float | None, float | None]:
    found = found[~np.isnan(found)]
    if not len(found):
        return None, None
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_of(values: ArrayLike, *, level: float = 0.95, seed: int = 0) -> Mean:
    """The mean with its bootstrap interval; None and NaN are missing: left out and counted, never 0.

    >>> mean_of([1.0, None, 3.0]).missing
    1
    """
    given = np.asarray(values, dtype=float)
    there = given[~np.isnan(given)]
    missing = len(given) - len(there)
    if not len(there):
        return Mean(None, 0, None, None, missing)
    low, high = bootstrap_interval(there, level=level, seed=seed)
    return Mean(float(there.mean()), len(there), low, high, missing)


def paired_difference(a: ArrayLike, b: ArrayLike, *, level: float = 0.95, seed: int = 0) -> PairedDifference:
    """Compare two arms measured on the same items, item by item.

    The items' differences b - a are resampled; the interval and p come from the same resamples. p = 2 min(P(mean <= 0),
    P(mean >= 0)) with one added to each count, at most 1.

    Args:
        a, b: one value per item, in the same order; an item that either arm misses (None, NaN) is left out and counted.
        level: of the interval.
        seed: of the resampling.

    Raises:
        ValueError: when the arms have different lengths.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"the arms have {first.shape} and {second.shape} items; they must be the same items")
    difference = second - first
    there = difference[~np.isnan(difference)]
    missing = len(difference) - len(there)
    if not len(there):
        return PairedDifference(None, 0, None, None, None, missing)
    means = _resampled(there, np.mean, seed, RESAMPLES)
    low, high = _percentiles(means, level)
    tail = (min(np.sum(means <= 0), np.sum(means >= 0)) + 1) / (RESAMPLES + 1)
    return PairedDifference(float(there.mean()), len(there), low, high, float(min(1.0, 2 * tail)), missing)


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided McNemar test on the discordant pairs: p of a split at least this uneven under a fair coin.

    p = min(1, 2 P(X <= min(only_a, only_b))), X ~ Binomial(only_a + only_b, 1/2); 1 without discordant pairs.

    Args:
        only_a: items that only arm A has right.
        only_b: items that only arm B has right.

    >>> round(mcnemar(1, 9), 4)
    0.0215
    """
    n = only_a + only_b
    return float(min(1.0, 2 * binom.cdf(min(only_a, only_b), n, 0.5))) if n else 1.0
