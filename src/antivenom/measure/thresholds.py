"""The score from which a row counts as toxic, chosen on rows that are not the test: highest F1, target recall, target precision.

A threshold found on the rows it is measured on flatters; `inner_scores` gives scores of training rows by models that have not
seen them, with copies kept together, and `choose_threshold` reads the threshold off these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from antivenom.data.duplicates import duplicate_groups
from antivenom.errors import AntivenomError
from antivenom.measure.detection import threshold_curve
from antivenom.measure.folds import grouped_folds

__all__ = ["GOALS", "Threshold", "choose_threshold", "inner_scores", "probabilities"]

GOALS = ("f1", "recall", "precision")


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it reaches on the rows it was chosen on.

    Args:
        value: flag scores of at least this; None where the target is out of reach.
        goal: `f1`, `recall=.9` or `precision=.9`.
        reached: the figure of the goal there; the best possible one where the target is out of reach.
        n: rows it was chosen on.
    """

    value: float | None
    goal: str
    reached: float | None
    n: int


def choose_threshold(truth: ArrayLike, scores: ArrayLike, goal: str = "f1") -> Threshold:
    """Read a threshold off scores.

    `f1`: the highest F1, ties to the higher threshold. `recall=R`: the highest threshold with recall >= R (fewest flags).
    `precision=P`: of the thresholds with precision >= P the one with the highest recall. The value lies midway between the
    last flagged score and the next lower one, since a threshold on a score itself would be the first to miss on new rows.

    Args:
        truth: 0 / 1 per row.
        scores: per row; NaN is left out.
        goal: as above.

    Raises:
        AntivenomError: for an unknown goal, a target outside (0, 1], or rows of one class.
    """
    kind, equals, text = goal.partition("=")
    try:
        target = float(text) if equals else None
    except ValueError:
        target = -1.0
    if kind not in GOALS or (kind == "f1") != (target is None) or (target is not None and not 0 < target <= 1):
        raise AntivenomError(f"the goal '{goal}' for a threshold", "write f1, recall=0.9 or precision=0.9")
    y, s = np.asarray(truth, bool), np.asarray(scores, float)
    y, s = y[~np.isnan(s)], s[~np.isnan(s)]
    if not y.any() or y.all():
        raise AntivenomError("a threshold is sought on rows of one class", "give rows of both classes")
    curve = threshold_curve(y, s)
    f1 = np.array([p.counts.f1 or 0.0 for p in curve])
    recall = np.array([p.counts.recall.value or 0.0 for p in curve])
    precision = np.array([p.counts.precision.value or 0.0 for p in curve])
    if kind == "f1":
        at, figure = int(np.argmax(f1)), f1
    elif kind == "recall":
        at, figure = int(np.argmax(recall >= target)), recall  # at the lowest threshold the recall is 1
    else:
        good = precision >= target
        if not good.any():
            return Threshold(None, goal, float(precision.max()), len(y))
        # precision first, then recall; among equal recalls the fewest flags
        at, figure = int(np.argmax(np.where(good, recall, -1.0))), precision
    lower = curve[at + 1].threshold if at + 1 < len(curve) else curve[at].threshold
    return Threshold((curve[at].threshold + lower) / 2, goal, float(figure[at]), len(y))


def inner_scores(
    make_estimator: Callable[[], Any], texts: Sequence[str], labels: ArrayLike, *, k: int = 3, seed: int = 0
) -> np.ndarray:
    """Out-of-fold scores of training rows, copies kept together; float64 (n,).

    Args:
        make_estimator: a new estimator with `fit(texts, labels)` and `predict_proba(texts)`.
        texts, labels: training rows only.
        k: inner folds.
        seed: of the folds.
    """
    y = np.asarray(labels)
    scores = np.full(len(y), np.nan)
    for fold in grouped_folds(y, duplicate_groups(texts), k=k, seed=seed):
        estimator = make_estimator()
        estimator.fit([texts[i] for i in fold.train], y[fold.train])
        scores[fold.test] = probabilities(estimator, [str(texts[i]) for i in fold.test])
    return scores


def probabilities(estimator: Any, texts: Sequence[str]) -> np.ndarray:
    """P(class 1) of each text, float64 (n,): the second column of `predict_proba`, or its only one.

    Raises:
        ValueError: for another number of scores than texts.
    """
    found = np.asarray(estimator.predict_proba(texts), float)
    found = found[:, 1] if found.ndim == 2 else found
    if found.shape != (len(texts),):
        raise ValueError(f"{found.shape} scores for {len(texts)} texts")
    return found
