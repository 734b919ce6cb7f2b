"""Logistic regression on a sparse matrix, and Platt's calibration: deterministic, with gradients that are tested."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit

from antivenom.randomness import derive_seed, generator

__all__ = ["fit_logistic", "folds_of", "logistic_loss", "platt"]

STEPS = 300
FEW_ROWS = 1_000


def logistic_loss(
    parameters: np.ndarray, x: csr_matrix | np.ndarray, y: np.ndarray, importance: np.ndarray, l2: float
) -> tuple[float, np.ndarray]:
    """L(w, b) = sum_i c_i log(1 + exp(-s_i z_i)) + l2/2 |w|^2, z = x w + b, s = 2y - 1; and its gradient.

    Args:
        parameters: w, then b; float64 (d + 1,).
        x: (n, d).
        y: 0 / 1, (n,).
        importance: c, (n,), sums to 1.
        l2: of the penalty; b is not penalised.
    """
    w, b = parameters[:-1], parameters[-1]
    signs = 2.0 * y - 1.0
    margin = signs * (x @ w + b)
    loss = float(importance @ np.logaddexp(0.0, -margin)) + 0.5 * l2 * float(w @ w)
    pull = -importance * signs * expit(-margin)
    return loss, np.append(x.T @ pull + l2 * w, pull.sum())


def fit_logistic(x: csr_matrix, y: np.ndarray, importance: np.ndarray, l2: float) -> tuple[np.ndarray, float]:
    """The minimum of `logistic_loss` (L-BFGS from zero): w (d,), b. Columns that no row has keep a weight of exactly 0.

    With fewer rows than columns w lies in the span of the rows; there X X' = V S V' gives coordinates u with z = V S^1/2 u + b
    and |w| = |u|, w = X' V S^-1/2 u: the same problem in n dimensions in place of d.
    """
    used = np.unique(x.indices)
    narrow = csr_matrix(
        (x.data.astype(np.float64), np.searchsorted(used, x.indices), x.indptr),
        (x.shape[0], len(used)),  # pyright: ignore
    )
    data: Any = narrow
    back: Any = None
    if len(y) < min(len(used), FEW_ROWS):
        sizes, axes = np.linalg.eigh((narrow @ narrow.T).toarray())
        kept = sizes > 1e-12 * max(sizes[-1], 1e-300)
        data = axes[:, kept] * np.sqrt(sizes[kept])
        back = axes[:, kept] / np.sqrt(sizes[kept])
    start = np.zeros(data.shape[1] + 1)
    options = {"maxiter": STEPS, "maxcor": 20, "ftol": 1e-10, "gtol": 1e-7}
    found = minimize(logistic_loss, start, (data, y, importance, l2), "L-BFGS-B", jac=True, options=options).x
    if back is not None:
        found = np.append(narrow.T @ (back @ found[:-1]), found[-1])
    n_columns: int = x.shape[1]  # pyright: ignore[reportOptionalSubscript]
    w = np.zeros(n_columns)
    w[used] = found[:-1]
    return w, float(found[-1])


def platt(logits: np.ndarray, y: np.ndarray, importance: np.ndarray) -> tuple[float, float]:
    """a, c of P(1 | z) = 1 / (1 + exp(-(a z + c))), fitted to logits the model did not learn from (Platt 1999).

    Targets are (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) in place of 1 and 0, so that separable data keeps finite numbers.
    """
    positives, negatives = int(y.sum()), int(len(y) - y.sum())
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    share = importance / importance.sum()

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        z = p[0] * logits + p[1]
        value = share @ (np.logaddexp(0.0, z) - target * z)
        pull = share * (expit(z) - target)
        return float(value), np.array([pull @ logits, pull.sum()])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", jac=True).x
    return float(slope), float(offset)


def folds_of(y: np.ndarray, k: int, groups: Sequence[Any] | None, seed: int) -> np.ndarray:
    """Fold number of every row, (n,): classes spread evenly, or whole groups at random when groups are given."""
    if groups is not None:
        names: dict[Hashable, int] = {}
        for group in groups:
            names.setdefault(group, derive_seed(seed, "calibration fold", group) % k)
        return np.array([names[group] for group in groups])
    fold = np.empty(len(y), np.int64)
    for value in np.unique(y):
        rows = np.flatnonzero(y == value)
        fold[generator(seed, "calibration folds", int(value)).permutation(rows)] = np.arange(len(rows)) % k
    return fold
