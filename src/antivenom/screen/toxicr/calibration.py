"""A classifier's decision values as probabilities: Platt's sigmoid, fitted on rows the classifier has not seen.

p = 1 / (1 + exp(-(a f + b))), a and b by maximum likelihood on out-of-fold values f. The folds keep copies of a text together:
a copy in the fitting rows would make the values look surer than they are on new texts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from antivenom.data.duplicates import duplicate_groups
from antivenom.randomness import derive_seed

__all__ = ["Sigmoid", "best_f1_threshold", "grouped_folds", "out_of_fold"]


@dataclass(frozen=True)
class Sigmoid:
    """The fitted slope `a` and offset `b`."""

    a: float = 1.0
    b: float = 0.0

    @classmethod
    def fit(cls, values: np.ndarray, labels: np.ndarray) -> "Sigmoid":
        """From decision values and labels; NaN values are left out. The identity where one label is missing."""
        known = ~np.isnan(values)
        f, y = values[known], labels[known]
        if len(np.unique(y)) < 2 or np.ptp(f) == 0:
            return cls()
        scale = float(f.std())
        model = LogisticRegression(C=1e4, max_iter=1_000).fit((f / scale)[:, None], y)
        return cls(float(model.coef_[0, 0]) / scale, float(np.ravel(model.intercept_)[0]))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Probabilities, float64."""
        return 1 / (1 + np.exp(-np.clip(self.a * values + self.b, -500, 500)))


def grouped_folds(texts: Sequence[str], labels: np.ndarray, k: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """At most k folds (training rows, held rows), labels' shares kept, copies of a text in one fold.

    Fewer where a label has fewer than k distinct texts; none where it has only one.
    """
    groups = duplicate_groups(texts)
    k = min(k, *(len(np.unique(groups[labels == label])) for label in (0, 1)))
    if k < 2:
        return []
    state = derive_seed(seed, "toxicr", "inner folds") % (1 << 32)
    split = StratifiedGroupKFold(k, shuffle=True, random_state=state).split(np.zeros(len(labels)), labels, groups)
    return [(train, held) for train, held in split if len(np.unique(labels[train])) == 2 and len(held)]


def out_of_fold(
    decide: Callable[[np.ndarray, np.ndarray], np.ndarray],
    texts: Sequence[str],
    labels: np.ndarray,
    *,
    folds: int,
    seed: int,
) -> np.ndarray:
    """Values of every row by a model that has not seen it; float64 (n,), NaN where there is none.

    Args:
        decide: (training rows, held rows) -> values of the held rows.
        texts, labels: of all rows.
        folds: how many.
        seed: of the folds.
    """
    values = np.full(len(labels), np.nan)
    for train, held in grouped_folds(texts, labels, folds, seed):
        values[held] = decide(train, held)
    return values


def best_f1_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold t with the highest F1 of label 1 for p >= t: midway between the two values around the best cut.

    >>> best_f1_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.4, 0.9])).__round__(3)
    0.3
    """
    known = ~np.isnan(probabilities)
    y, p = np.asarray(labels)[known], probabilities[known]
    if not y.sum():
        return 0.5
    order = np.argsort(-p, kind="stable")
    p, y = p[order], y[order]
    hits, taken = np.cumsum(y), np.arange(1, len(y) + 1)
    f1 = 2 * hits / (taken + y.sum())
    last = np.append(p[:-1] != p[1:], True)  # a cut inside equal values is no cut
    at = int(np.argmax(np.where(last, f1, -1.0)))
    below = p[at + 1] if at + 1 < len(p) else 0.0
    return float((p[at] + below) / 2)
