"""Scores of a two-class decision: per class and over all rows, per fold and over folds, in the paper's columns too.

Class 1 is what is looked for (toxic), class 0 the rest. A quotient without a denominator is None, never 0: the precision of a
learner that flags nothing is missing. F1 of a class that is there and never found is 0 by its formula 2 TP / (2 TP + FP + FN).
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from antivenom.measure.calibration import auprc
from antivenom.measure.detection import Confusion, auroc, confusion
from antivenom.report.run_directory import atomic_file

__all__ = [
    "PAPER_COLUMNS",
    "Classification",
    "OverFolds",
    "classify",
    "over_folds",
    "paper_csv_name",
    "write_paper_csv",
]

PAPER_COLUMNS: tuple[str, ...] = (
    "algo", "embedding", "profane", "keyword", "split", "variant", "run", "fold",
    "precision_0", "recall_0", "f1_0", "precision_1", "recall_1", "f1_1", "accuracy", "seconds",
)  # fmt: skip
"""Of the authors' stored cross-validation results, one line per fold."""


@dataclass(frozen=True)
class Classification:
    """What follows from the four counts, and from the ranking where there is one.

    Args:
        counts: with class 1 as positive.
        threshold: score from which a row is class 1.
        auroc, auprc: of the ranking; None without both classes, or without scores.
        missing: rows without a score, in no figure.
    """

    counts: Confusion
    threshold: float = 0.5
    auroc: float | None = None
    auprc: float | None = None
    missing: int = 0

    @property
    def other(self) -> Confusion:
        """The same counts with class 0 as positive."""
        c = self.counts
        return Confusion(c.true_negative, c.false_negative, c.false_positive, c.true_positive)

    @property
    def n(self) -> int:
        """Rows with a score."""
        c = self.counts
        return c.true_positive + c.false_positive + c.false_negative + c.true_negative

    @property
    def accuracy(self) -> float | None:
        """(TP + TN) / n."""
        return (self.counts.true_positive + self.counts.true_negative) / self.n if self.n else None

    @property
    def mcc(self) -> float | None:
        """Matthews: (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)); None where a factor is 0."""
        c = self.counts
        tp, fp, fn, tn = c.true_positive, c.false_positive, c.false_negative, c.true_negative
        square = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return (tp * tn - fp * fn) / math.sqrt(square) if square else None

    def record(self) -> dict[str, Any]:
        """As plain data; precision, recall and F1 of both classes under the paper's names."""
        found: dict[str, Any] = {"n": self.n, "missing": self.missing, "threshold": self.threshold}
        for label, c in ((0, self.other), (1, self.counts)):
            figures = {"precision": c.precision.value, "recall": c.recall.value, "f1": c.f1}
            found |= {f"{name}_{label}": value for name, value in figures.items()}
        return found | {"accuracy": self.accuracy, "mcc": self.mcc, "auroc": self.auroc, "auprc": self.auprc}


def classify(truth: ArrayLike, scores: ArrayLike, *, threshold: float = 0.5) -> Classification:
    """Score decisions `score >= threshold` and the ranking behind them.

    Args:
        truth: 0 / 1 per row.
        scores: per row; NaN (cannot be scored) is left out and counted.
        threshold: of the decision.

    Raises:
        ValueError: when there are not as many scores as truths.
    """
    y, s = np.asarray(truth, bool), np.asarray(scores, float)
    if y.shape != s.shape or y.ndim != 1:
        raise ValueError(f"{y.shape} truths and {s.shape} scores")
    there = ~np.isnan(s)
    y, s = y[there], s[there]
    return Classification(confusion(y, s >= threshold), threshold, auroc(y, s), auprc(y, s), int((~there).sum()))


@dataclass(frozen=True)
class OverFolds:
    """Mean and standard deviation over folds with a t interval; `missing` folds had no value."""

    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    n: int
    missing: int = 0

    def __str__(self) -> str:
        if self.mean is None:
            return "-"
        inside = "" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.mean:.3f}{inside}"


def over_folds(values: Sequence[float | None], *, ratio: float = 0.0, level: float = 0.95) -> OverFolds:
    """mean +- t(k - 1) sd sqrt(1 / k + ratio), k folds.

    Args:
        values: per fold; None and NaN are left out and counted.
        ratio: rows of a test fold / rows of its training, 1 / (folds of a repeat - 1): the correction of Nadeau and Bengio
            (2003) for training rows that folds share. 0: the plain interval, which takes folds for independent (trap T20).
        level: of the interval.

    >>> over_folds([0.7, 0.8, 0.9]).mean.__round__(3)
    0.8
    """
    given = np.array([math.nan if v is None else v for v in values], float)
    there = given[~np.isnan(given)]
    k, missing = len(there), int(np.isnan(given).sum())
    if not k:
        return OverFolds(None, None, None, None, 0, missing)
    mean = float(there.mean())
    if k < 2:
        return OverFolds(mean, None, None, None, k, missing)
    sd = float(there.std(ddof=1))
    half = float(student.ppf((1 + level) / 2, k - 1)) * sd * math.sqrt(1 / k + ratio)
    return OverFolds(mean, sd, mean - half, mean + half, k, missing)


def paper_csv_name(algo: str, embedding: str, *, profane: bool, keyword: bool, split: bool) -> str:
    """The name of the official tool's result file.

    >>> paper_csv_name("RF", "tfidf", profane=True, keyword=False, split=False)
    'cross-validation-RF-tfidf-profane-True-keyword-False-split-False.csv'
    """
    return f"cross-validation-{algo}-{embedding}-profane-{profane}-keyword-{keyword}-split-{split}.csv"


def write_paper_csv(path: str | Path, records: Sequence[Mapping[str, Any]], **columns: Any) -> None:
    """Write fold records (`Classification.record` with `repeat`, `number`, `seconds`) in the paper's columns.

    Args:
        path: of the file.
        records: one per fold.
        columns: of the configuration: `algo`, `embedding`, `profane`, `keyword`, `split`, `variant`; "" when not given.

    Raises:
        ValueError: for a column that the layout does not have.
    """
    if unknown := set(columns) - set(PAPER_COLUMNS[:6]):
        raise ValueError(f"no columns of the layout: {sorted(unknown)}")
    with atomic_file(path) as temporary, Path(temporary).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, PAPER_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for record in records:
            writer.writerow({**record, **columns, "run": record["repeat"], "fold": record["number"]})
