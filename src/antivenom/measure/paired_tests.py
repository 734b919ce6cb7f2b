"""Is one learner better than another on the same folds, or on the same rows?

Fold scores of one cross-validation are not independent: any two training sets share most of their rows. The plain paired t
test therefore calls differences of .002 significant (trap T20); the corrected one does not. McNemar looks at rows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from antivenom.errors import AntivenomError
from antivenom.measure.rates import RESAMPLES, mcnemar
from antivenom.randomness import generator

__all__ = ["McNemar", "PairedTest", "corrected_t", "f1_difference", "mcnemar_rows", "paired_t", "wilcoxon_folds"]


@dataclass(frozen=True)
class PairedTest:
    """A two-sided test of "no difference" over paired fold scores.

    Args:
        name: of the test.
        difference: mean of b - a.
        statistic: t, or the smaller rank sum of Wilcoxon.
        p: two-sided.
        n: pairs.
        low, high: 95 % interval of the difference, where the test has one.
    """

    name: str
    difference: float
    statistic: float
    p: float
    n: int
    low: float | None = None
    high: float | None = None


def paired_t(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """t = mean(d) / (sd(d) sqrt(1 / n)), n - 1 degrees of freedom, d = b - a: the paper's test, too sure of itself on folds."""
    return _t("paired t", a, b, 0.0)


def corrected_t(a: ArrayLike, b: ArrayLike, *, ratio: float) -> PairedTest:
    """Corrected resampled t of Nadeau and Bengio (2003): t = mean(d) / (sd(d) sqrt(1 / n + ratio)).

    Args:
        a, b: per fold, all repeats.
        ratio: rows of a test fold / rows of its training: 1 / 9 for 10 folds.

    Raises:
        ValueError: for a ratio that is not positive.
    """
    if ratio <= 0:
        raise ValueError(f"a ratio of {ratio} test to training rows")
    return _t("corrected resampled t", a, b, ratio)


def wilcoxon_folds(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Wilcoxon's signed ranks, zeros left out, exact where possible; as blind to shared rows as the paired t."""
    from scipy.stats import wilcoxon

    d = _differences(a, b)
    if not np.any(d):
        return PairedTest("Wilcoxon signed rank", 0.0, 0.0, 1.0, len(d))
    # rounding: equal differences must count as ties although they differ in the last bit
    found = wilcoxon(np.round(d, 12), zero_method="wilcox")
    return PairedTest("Wilcoxon signed rank", float(d.mean()), float(found.statistic), float(found.pvalue), len(d))  # pyright: ignore[reportAttributeAccessIssue]


def _differences(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    first, second = np.asarray(a, float), np.asarray(b, float)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"{first.shape} and {second.shape} fold scores: they must be of the same folds")
    d = second - first
    if np.isnan(d).any():
        raise AntivenomError(f"{int(np.isnan(d).sum())} folds have no score", "compare folds that both learners have")
    if len(d) < 2:
        raise AntivenomError(f"{len(d)} folds", "a paired test needs two at least")
    return d


def _t(name: str, a: ArrayLike, b: ArrayLike, ratio: float) -> PairedTest:
    d = _differences(a, b)
    n, mean = len(d), float(d.mean())
    error = float(d.std(ddof=1)) * math.sqrt(1 / n + ratio)
    if error < 1e-15:  # the same difference in every fold
        same = abs(mean) < 1e-15
        return PairedTest(name, mean, 0.0 if same else math.copysign(math.inf, mean), float(same), n, mean, mean)
    half = float(student.ppf(0.975, n - 1)) * error
    return PairedTest(
        name, mean, mean / error, float(2 * student.sf(abs(mean / error), n - 1)), n, mean - half, mean + half
    )


@dataclass(frozen=True)
class McNemar:
    """Rows that only one of two learners has right.

    Args:
        only_a, only_b: how many.
        statistic: (|only_a - only_b| - 1)^2 / (only_a + only_b), 0 where there are none.
        p: exact, two-sided.
        n: rows compared.
    """

    only_a: int
    only_b: int
    statistic: float
    p: float
    n: int


def mcnemar_rows(
    truth: ArrayLike, a: ArrayLike, b: ArrayLike, *, groups: ArrayLike | Sequence[int] | None = None
) -> McNemar:
    """McNemar's test on two learners' decisions about the same rows.

    Args:
        truth, a, b: 0 / 1 per row.
        groups: copies; only the first row of each group then counts, because copies are no independent rows.

    >>> mcnemar_rows([1, 1, 0, 0], [1, 1, 0, 1], [0, 1, 0, 0]).only_a
    1
    """
    y, first, second = np.asarray(truth, bool), np.asarray(a, bool), np.asarray(b, bool)
    if not y.shape == first.shape == second.shape:
        raise ValueError(f"{y.shape} truths, {first.shape} and {second.shape} decisions")
    if groups is not None:
        kept = np.sort(np.unique(np.asarray(groups), return_index=True)[1])
        y, first, second = y[kept], first[kept], second[kept]
    right_a, right_b = first == y, second == y
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    total = only_a + only_b
    statistic = (max(abs(only_a - only_b) - 1, 0)) ** 2 / total if total else 0.0
    return McNemar(only_a, only_b, statistic, mcnemar(only_a, only_b), len(y))


def f1_difference(
    truth: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    groups: ArrayLike | Sequence[int] | None = None,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[float | None, float | None, float | None]:
    """F1 of decisions b minus F1 of decisions a about the same rows, with a percentile bootstrap interval over groups.

    F1 = 2 TP / (flagged + positives), over all rows. Whole groups are resampled, because copies are no independent rows.
    Groups with the same counts are alike, so the numbers of each kind are drawn from a multinomial: the same distribution as
    drawing groups one by one.

    Args:
        truth, a, b: 0 / 1 per row.
        groups: copies; None: every row stands for itself.
        seed, level, resamples: of the bootstrap.

    Returns:
        (difference, low, high); all None where one of the two has no F1. Resamples without an F1 are left out.

    Raises:
        ValueError: when the three are not of the same rows.

    >>> f1_difference([1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0])[0].__round__(3)
    0.333
    """
    y, first, second = np.asarray(truth, bool), np.asarray(a, bool), np.asarray(b, bool)
    if not y.shape == first.shape == second.shape:
        raise ValueError(f"{y.shape} truths, {first.shape} and {second.shape} decisions")
    group = np.arange(len(y)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if group.shape != y.shape:
        raise ValueError(f"{y.shape} truths and {group.shape} groups")
    per_row = np.stack([y & first, first, y & second, second, y], 1).astype(np.int64)
    counts = np.zeros((int(group.max(initial=-1)) + 1, 5), np.int64)
    np.add.at(counts, group, per_row)
    value = float(_gain(counts.sum(0, keepdims=True))[0])
    if math.isnan(value):
        return None, None, None
    kinds, many = np.unique(counts, axis=0, return_counts=True)
    drawn = generator(seed, "F1 difference", len(y)).multinomial(len(counts), many / len(counts), resamples)
    found = _gain(drawn @ kinds)
    found = found[~np.isnan(found)]
    if not len(found):
        return value, None, None
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return value, float(low), float(high)


def _gain(counts: np.ndarray) -> np.ndarray:
    """F1 of b minus F1 of a from (..., [TP a, flagged a, TP b, flagged b, positives]); NaN without an F1."""
    tp_a, flagged_a, tp_b, flagged_b, positives = np.moveaxis(counts.astype(float), -1, 0)
    with np.errstate(invalid="ignore"):
        return 2 * tp_b / (flagged_b + positives) - 2 * tp_a / (flagged_a + positives)
