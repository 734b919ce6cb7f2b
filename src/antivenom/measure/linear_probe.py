"""Linear probe: a logistic regression on frozen features, its strength chosen on validation rows that the test never touches.

    W, b = argmin  C sum_i -log softmax(W z_i + b)[y_i]  +  |W|^2 / 2      L-BFGS, z_i standardised by the training rows
    C    = the one of `strengths` that is right most often on the validation rows (ties: the smallest, i.e. the strongest penalty)

The chosen C is fitted again on training and validation rows together. Test rows take no part in any choice. Attack success of a probe is
that of `measure.zero_shot.attack_success`, on `Probe.ranked` of the images with and without the trigger.

Source: spec 01, M2 and 2.5 (there: 10 epochs of gradient steps; here the optimum itself, so that no rate is chosen).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from antivenom.errors import AntivenomError
from antivenom.measure.rates import Rate
from antivenom.randomness import generator

__all__ = ["STRENGTHS", "Probe", "linear_probe", "per_class_accuracy"]

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
STEPS = 2_000


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Args:
        classes: names or numbers of the classes, sorted.
        strength: C.
        validation: right on the validation rows, by C, before the last fit.
        mean, scale: of the features, (d,).
        weights, bias: (classes, d) and (classes,).
    """

    classes: np.ndarray
    strength: float
    validation: dict[float, Rate]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def logits(self, features: ArrayLike) -> np.ndarray:
        """W z + b, (n, classes).

        Raises:
            AntivenomError: for features of another width, or not finite.
        """
        rows = _features(features)
        if rows.shape[1] != len(self.mean):
            raise AntivenomError(
                f"features of width {rows.shape[1]}", f"the probe was fitted on width {len(self.mean)}"
            )
        return (rows - self.mean) / self.scale @ self.weights.T + self.bias

    def ranked(self, features: ArrayLike) -> np.ndarray:
        """Places in `classes` by falling logit, int (n, classes); of equal ones the first."""
        return np.argsort(-self.logits(features), axis=1, kind="stable")

    def predict(self, features: ArrayLike) -> np.ndarray:
        """The class of each row, (n,)."""
        return self.classes[self.ranked(features)[:, 0]]

    def accuracy(self, features: ArrayLike, truth: ArrayLike, *, of: str = "test images") -> Rate:
        """Share of rows that get their true class."""
        found, wanted = self.predict(features), np.asarray(truth)
        if found.shape != wanted.shape:
            raise AntivenomError(f"{wanted.shape} true classes for {len(found)} rows", "give one class per row")
        return Rate(int((found == wanted).sum()), len(found), of)


def linear_probe(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    strengths: Sequence[float] = STRENGTHS,
    validation: float = 0.2,
    seed: int = 0,
) -> Probe:
    """Fit a probe.

    Args:
        features: (n, d), frozen: of the model in evaluation mode.
        labels: (n,).
        strengths: C to choose from.
        validation: share of the rows of every class kept for the choice (at least one row, and one is left to train on).
        seed: of that split.

    Raises:
        AntivenomError: for bad rows, fewer than two classes, a class with fewer than two rows, or a share outside (0, 1).
    """
    rows, given = _features(features), np.asarray(labels)
    if given.shape != (len(rows),):
        raise AntivenomError(f"labels of shape {given.shape} for {len(rows)} rows", "give one label per row")
    classes, which = np.unique(given, return_inverse=True)
    counts = np.bincount(which)
    if len(classes) < 2 or counts.min() < 2:
        raise AntivenomError(
            f"{len(classes)} classes, the smallest with {counts.min()} rows", "give at least 2 classes of 2 rows each"
        )
    if not 0 < validation < 1 or not strengths or min(strengths) <= 0:
        raise AntivenomError(
            f"validation={validation}, strengths={list(strengths)}", "a share within (0, 1); strengths above 0"
        )
    held = _held(which, counts, validation, seed)
    rates: dict[float, Rate] = {}
    for strength in sorted(strengths):
        fitted = _fit(rows[~held], which[~held], strength, len(classes))
        right = int((_logits(fitted, rows[held]).argmax(1) == which[held]).sum())
        rates[strength] = Rate(right, int(held.sum()), "validation images")
    best = max(sorted(rates), key=lambda c: (rates[c].successes, -c))
    return Probe(classes, best, rates, *_fit(rows, which, best, len(classes)))


def _held(which: np.ndarray, counts: np.ndarray, share: float, seed: int) -> np.ndarray:
    mask = np.zeros(len(which), bool)
    for number, count in enumerate(counts):
        mine = np.flatnonzero(which == number)
        many = min(count - 1, max(1, round(share * count)))
        mask[generator(seed, "probe validation", number).permutation(mine)[:many]] = True
    return mask


def _fit(rows: np.ndarray, which: np.ndarray, strength: float, classes: int) -> tuple[np.ndarray, ...]:
    from sklearn.linear_model import LogisticRegression

    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    found: Any = LogisticRegression(C=strength, max_iter=STEPS).fit((rows - mean) / scale, which)
    weights, bias = np.asarray(found.coef_), np.asarray(found.intercept_)
    if classes == 2:  # scikit-learn keeps one row for two classes
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return mean, scale, weights, bias


def _logits(fitted: tuple[np.ndarray, ...], rows: np.ndarray) -> np.ndarray:
    mean, scale, weights, bias = fitted
    return (rows - mean) / scale @ weights.T + bias


def _features(features: ArrayLike) -> np.ndarray:
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or 0 in rows.shape or not np.isfinite(rows).all():
        raise AntivenomError(
            f"features of shape {rows.shape}, or not finite", "give (rows, width); a diverged model has no probe"
        )
    return rows


def per_class_accuracy(predicted: ArrayLike, truth: ArrayLike) -> tuple[float, dict[Any, Rate]]:
    """The mean over the classes of the share that is right, and that share by class (spec 01, M2).

    Raises:
        AntivenomError: for other numbers of rows, or none.
    """
    found, wanted = np.asarray(predicted), np.asarray(truth)
    if found.shape != wanted.shape or not len(found):
        raise AntivenomError(f"{found.shape} predictions of {wanted.shape} rows", "give one per row, at least one")
    rates = {
        name.item(): Rate(int((found[wanted == name] == name).sum()), int((wanted == name).sum()), f"images of {name}")
        for name in np.unique(wanted)
    }
    return float(np.mean([rate.successes / rate.n for rate in rates.values()])), rates
