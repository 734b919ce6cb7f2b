"""How good a detector is: counts, F1 with its floor, recall of retrieval with ties against it, AUROC, agreement."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from antivenom.measure.rates import RESAMPLES, Rate
from antivenom.randomness import generator

__all__ = [
    "Confusion",
    "CurvePoint",
    "agreement",
    "auroc",
    "best_f1",
    "confusion",
    "end_to_end_recall",
    "f1_floor",
    "f1_interval",
    "recall_at_k",
    "threshold_curve",
]


@dataclass(frozen=True)
class Confusion:
    """Counts of a yes/no decision against the truth."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def precision(self) -> Rate:
        """TP / (TP + FP): of what was flagged."""
        return Rate(self.true_positive, self.true_positive + self.false_positive, "flagged")

    @property
    def recall(self) -> Rate:
        """TP / (TP + FN): of what should be flagged."""
        return Rate(self.true_positive, self.true_positive + self.false_negative, "positives")

    @property
    def false_positive_rate(self) -> Rate:
        """FP / (FP + TN): of what should not be flagged."""
        return Rate(self.false_positive, self.false_positive + self.true_negative, "negatives")

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None where there is neither a positive nor a flag."""
        total = 2 * self.true_positive + self.false_positive + self.false_negative
        return 2 * self.true_positive / total if total else None


def confusion(truth: ArrayLike, flagged: ArrayLike) -> Confusion:
    """Count decisions against the truth.

    Raises:
        ValueError: when there are not as many decisions as truths.
    """
    t, f = np.asarray(truth, bool), np.asarray(flagged, bool)
    if t.shape != f.shape:
        raise ValueError(f"{t.shape} truths and {f.shape} decisions")
    return Confusion(int((t & f).sum()), int((~t & f).sum()), int((t & ~f).sum()), int((~t & ~f).sum()))


def f1_interval(
    truth: ArrayLike, flagged: ArrayLike, *, seed: int = 0, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float | None, float | None]:
    """Percentile bootstrap interval of F1 over the rows (or pairs).

    Resampling n rows with replacement makes the four counts multinomial(n, counts / n), so the counts are drawn instead of
    the rows: the same distribution at a cost that does not grow with n. Resamples without an F1 are left out.

    Returns:
        (low, high), or (None, None) where there is no F1.
    """
    c = confusion(truth, flagged)
    counts = np.array([c.true_positive, c.false_positive, c.false_negative, c.true_negative], float)
    n = int(counts.sum())
    if c.f1 is None:
        return None, None
    drawn = generator(seed, "F1 interval", n).multinomial(n, counts / n, resamples)
    twice, total = 2 * drawn[:, 0], 2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2]
    found = twice[total > 0] / total[total > 0]
    if not len(found):
        return None, None
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def f1_floor(positives: int, negatives: int) -> float | None:
    """The F1 of flagging everything: 2 P / (2 P + N), 2/3 for balanced pairs. Any F1 is read against it.

    >>> round(f1_floor(100, 100), 4)
    0.6667
    """
    return 2 * positives / (2 * positives + negatives) if positives + negatives else None


def recall_at_k(scores: Sequence[Mapping[int, float]], gold: Sequence[int], k: int) -> Rate:
    """Share of queries whose gold row is among the k best; ties count against us.

    Args:
        scores: per query the scores of the retrieved rows.
        gold: per query the row that should be found.
        k: how many places.

    Raises:
        ValueError: when there are not as many queries as gold rows.
    """
    if len(scores) != len(gold):
        raise ValueError(f"{len(scores)} queries and {len(gold)} gold rows")
    found = 0
    for query, right in zip(scores, gold):
        if right in query:
            # every row that is at least as good stands before the gold row, itself included
            found += sum(score >= query[right] for score in query.values()) <= k
    return Rate(found, len(gold), "queries")


def end_to_end_recall(planted: Iterable, flagged: Iterable, of: str = "planted rows") -> Rate:
    """Share of what was planted that was flagged, whatever step lost the rest (retrieval, judge, decision).

    Args:
        planted: rows, or (row, item) pairs where the finding must name the right item.
        flagged: of the same kind.
        of: the denominator in words.
    """
    wanted = set(planted)
    return Rate(len(wanted & set(flagged)), len(wanted), of)


@dataclass(frozen=True)
class CurvePoint:
    """Flagging every score >= threshold: the counts, from which precision, recall and F1 follow."""

    threshold: float
    counts: Confusion


def threshold_curve(truth: ArrayLike, scores: ArrayLike) -> list[CurvePoint]:
    """One point per distinct score, from the highest threshold (fewest flagged) to the lowest (everything).

    Raises:
        ValueError: for a score that is NaN: it is on neither side of a threshold.
    """
    t, s = np.asarray(truth, bool), np.asarray(scores, float)
    if np.isnan(s).any():
        raise ValueError("a score is NaN")
    order = np.argsort(-s, kind="stable")
    t, s = t[order], s[order]
    last = np.flatnonzero(np.r_[s[1:] != s[:-1], True]) if len(s) else np.empty(0, int)
    positives, negatives = int(t.sum()), int((~t).sum())
    hits = np.cumsum(t)
    return [
        CurvePoint(
            float(s[i]),
            Confusion(int(hits[i]), int(i + 1 - hits[i]), positives - int(hits[i]), negatives - int(i + 1 - hits[i])),
        )
        for i in last
    ]


def best_f1(truth: ArrayLike, scores: ArrayLike) -> CurvePoint | None:
    """The point of highest F1; ties go to the higher threshold. Chosen on the data it is measured on: optimistic."""
    curve = threshold_curve(truth, scores)
    return max(curve, key=lambda point: point.counts.f1 or 0.0) if curve else None


def auroc(truth: ArrayLike, scores: ArrayLike) -> float | None:
    """P(score of a positive > score of a negative) + half the ties; None when one class is missing."""
    t, s = np.asarray(truth, bool), np.asarray(scores, float)
    positives, negatives = int(t.sum()), int((~t).sum())
    if not positives or not negatives:
        return None
    ranks = rankdata(s)
    return float((ranks[t].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def agreement(flagged: Mapping[str, Iterable]) -> dict[tuple[str, ...], int]:
    """How many rows exactly these detectors flag, for every set of detectors that occurs.

    >>> agreement({"a": [1, 2], "b": [2, 3]})
    {('a',): 1, ('a', 'b'): 1, ('b',): 1}
    """
    by_row: dict = {}
    for name, rows in flagged.items():
        for row in set(rows):
            by_row.setdefault(row, []).append(name)
    return dict(sorted(Counter(tuple(sorted(names)) for names in by_row.values()).items()))
