"""How far a probability can be believed: calibration error, reliability table, Brier score, ranking, subgroups.

Rows without a score are left out and counted, never read as 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from antivenom.measure.detection import auroc
from antivenom.measure.rates import Rate, bootstrap_interval

__all__ = [
    "Bin",
    "Calibration",
    "Measured",
    "Subgroups",
    "auprc",
    "auprc_measured",
    "auroc_measured",
    "brier",
    "calibration",
    "subgroup_false_positives",
]


@dataclass(frozen=True)
class Measured:
    """A figure with its percentile bootstrap interval over rows; `missing` rows had no score."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    missing: int = 0


@dataclass(frozen=True)
class Bin:
    """Rows with a probability in [low, high) (the last bin holds 1): how many, mean probability, observed rate."""

    low: float
    high: float
    n: int
    confidence: float | None
    rate: Rate


@dataclass(frozen=True)
class Calibration:
    """Reliability table and what follows from it.

    Args:
        error: ECE = sum over bins of n_b / n * |rate_b - confidence_b|.
        largest: max over non-empty bins of |rate_b - confidence_b|.
        brier: mean (p - y)^2.
        binning: in words.
        bins: the table.
        n: rows with a score.
        missing: rows without.
    """

    error: float | None
    largest: float | None
    brier: float | None
    binning: str
    bins: tuple[Bin, ...]
    n: int
    missing: int


def _given(truth: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray, int]:
    y, p = np.asarray(truth, bool), np.asarray(scores, float)
    if y.shape != p.shape or y.ndim != 1:
        raise ValueError(f"{y.shape} truths and {p.shape} scores")
    there = ~np.isnan(p)
    return y[there], p[there], int((~there).sum())


def calibration(truth: ArrayLike, probabilities: ArrayLike, *, bins: int = 10, equal: str = "width") -> Calibration:
    """Compare probabilities with what happened (Guo et al. 2017; the value depends on the binning, which is part of the result).

    Args:
        truth: 0 / 1 per row.
        probabilities: in [0, 1]; NaN is missing.
        bins: how many.
        equal: `width` (of [0, 1]) or `count` (of rows; rows with one value stay in one bin).

    Raises:
        ValueError: for probabilities outside [0, 1], other lengths, or another kind of bin.
    """
    y, p, missing = _given(truth, probabilities)
    if len(p) and (p.min() < 0 or p.max() > 1):
        raise ValueError(f"probabilities from {p.min()} to {p.max()}")
    if equal == "width":
        edges = np.linspace(0, 1, bins + 1)
    elif equal == "count":
        inner = np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1], method="lower") if len(p) else []
        edges = np.unique([0.0, *inner, 1.0])
    else:
        raise ValueError(f"bins of equal {equal}: 'width' or 'count'")
    which = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, len(edges) - 2)
    table, gaps, sizes = [], [], []
    for b in range(len(edges) - 1):
        mine = which == b
        n, hits = int(mine.sum()), int(y[mine].sum())
        confidence = float(p[mine].mean()) if n else None
        table.append(Bin(float(edges[b]), float(edges[b + 1]), n, confidence, Rate(hits, n, "rows of the bin")))
        if confidence is not None:
            gaps.append(abs(hits / n - confidence))
            sizes.append(n)
    error = float(np.average(gaps, weights=sizes)) if sizes else None
    binning = f"{bins} bins of equal {equal}"
    return Calibration(error, max(gaps, default=None), brier(y, p), binning, tuple(table), len(p), missing)


def brier(truth: ArrayLike, probabilities: ArrayLike) -> float | None:
    """mean (p - y)^2; rows without a probability are left out; None without rows.

    >>> brier([1, 0], [0.5, 0.5])
    0.25
    """
    y, p, _ = _given(truth, probabilities)
    return float(np.mean((p - y) ** 2)) if len(p) else None


def auprc(truth: ArrayLike, scores: ArrayLike) -> float | None:
    """Average precision: sum over distinct thresholds of (R_k - R_(k-1)) P_k; None without a positive.

    A scorer without information has the share of positives as its average precision.
    """
    y, s, _ = _given(truth, scores)
    positives = int(y.sum())
    if not positives:
        return None
    order = np.argsort(-s, kind="stable")
    y, s = y[order], s[order]
    last = np.flatnonzero(np.append(s[1:] != s[:-1], True))  # equal scores are flagged together
    hits = np.cumsum(y)[last]
    return float(np.sum(np.diff(hits, prepend=0) / positives * hits / (last + 1)))


def auroc_measured(truth: ArrayLike, scores: ArrayLike, *, seed: int = 0, resamples: int = 1_000) -> Measured:
    """`auroc` of the rows that have a score, with its interval."""
    return _measured(auroc, truth, scores, seed, resamples)


def auprc_measured(truth: ArrayLike, scores: ArrayLike, *, seed: int = 0, resamples: int = 1_000) -> Measured:
    """`auprc` of the rows that have a score, with its interval."""
    return _measured(auprc, truth, scores, seed, resamples)


def _measured(
    metric: Callable[[ArrayLike, ArrayLike], float | None],
    truth: ArrayLike,
    scores: ArrayLike,
    seed: int,
    resamples: int,
) -> Measured:
    y, s, missing = _given(truth, scores)

    def statistic(rows: np.ndarray) -> float:
        value = metric(rows[:, 0] > 0, rows[:, 1])
        return np.nan if value is None else value

    low, high = bootstrap_interval(np.stack([y, s], 1), statistic, seed=seed, resamples=resamples)
    return Measured(metric(y, s) if len(y) else None, low, high, len(y), missing)


@dataclass(frozen=True)
class Subgroups:
    """False-positive rates of subgroups: of the rows that are not positive and name the subgroup, the share flagged.

    Args:
        overall: of all rows.
        groups: per subgroup.
        gap: largest minus smallest rate among subgroups with at least `least` negatives; None for fewer than two.
        least: negatives a subgroup needs to count in the gap.
        threshold: score from which a row is flagged.
        missing: negatives without a score, in no rate.
    """

    overall: Rate
    groups: dict[str, Rate]
    gap: float | None
    least: int
    threshold: float
    missing: int


def subgroup_false_positives(
    truth: ArrayLike,
    scores: ArrayLike,
    groups: Mapping[str, ArrayLike],
    *,
    threshold: float,
    least: int = 20,
) -> Subgroups:
    """FPR of each subgroup and the gap between them.

    Args:
        truth: 0 / 1 per row.
        scores: per row; NaN is missing.
        groups: name -> mask of the rows that name it; a row may be in several.
        threshold: a row is flagged at this score or more.
        least: negatives a subgroup needs to count in the gap.
    """
    y, s = np.asarray(truth, bool), np.asarray(scores, float)
    negative = ~y & ~np.isnan(s)
    flagged = s >= threshold
    rates = {}
    for name, mask in groups.items():
        mine = negative & np.asarray(mask, bool)
        rates[name] = Rate(int((mine & flagged).sum()), int(mine.sum()), f"negatives that name '{name}'")
    values = [rate.value for rate in rates.values() if rate.n >= least and rate.value is not None]
    gap = max(values) - min(values) if len(values) > 1 else None
    overall = Rate(int((negative & flagged).sum()), int(negative.sum()), "negatives")
    return Subgroups(overall, rates, gap, least, threshold, int((~y & np.isnan(s)).sum()))
