"""Training rows made even: random over- and under-sampling, and SMOTE (Chawla et al. 2002). Training rows only, never a test row."""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["RESAMPLINGS", "resample"]

RESAMPLINGS = ("none", "over", "under", "smote")


def resample(
    x: sparse.csr_matrix, y: np.ndarray, kind: str, *, seed: int, neighbours: int = 5
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Equally many rows of both labels.

    `over` draws rows of the rarer label again, `under` leaves rows of the commoner one out, `smote` adds rows
    x_i + u (x_j - x_i), u uniform in [0, 1), x_j one of the nearest `neighbours` of x_i among the *distinct* rows of the
    rarer label: between copies SMOTE would only make further copies.

    Args:
        x: features, (n, d).
        y: labels 0 / 1, (n,).
        kind: one of `RESAMPLINGS`.
        seed: of the draws.
        neighbours: k of SMOTE.
    """
    if kind not in RESAMPLINGS:
        raise AntivenomError(f"there is no resampling '{kind}'", f"choose from: {', '.join(RESAMPLINGS)}")
    rows = [np.flatnonzero(y == label) for label in (0, 1)]
    rare = int(len(rows[1]) <= len(rows[0]))
    few, many = rows[rare], rows[1 - rare]
    missing = len(many) - len(few)
    if kind == "none" or not missing or not len(few):
        return x, y
    draw = generator(seed, "toxicr", "resample", kind)
    if kind == "under":
        kept = np.sort(np.concatenate([few, draw.choice(many, len(few), replace=False)]))
        return _take(x, kept), y[kept]
    if kind == "over":
        kept = np.concatenate([np.arange(len(y)), draw.choice(few, missing, replace=True)])
        return _take(x, kept), y[kept]
    distinct = _distinct(_take(x, few))
    size = len(distinct.indptr) - 1
    k = min(neighbours, size - 1)
    if k < 1:
        raise AntivenomError("SMOTE needs two distinct texts of the rarer label", "take resample=over")
    near = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(distinct).kneighbors(return_distance=False)
    start = draw.integers(0, size, missing)
    other = near[start, draw.integers(0, k, missing)]
    share = sparse.diags(draw.random(missing))
    made = _take(distinct, start) + share @ (_take(distinct, other) - _take(distinct, start))
    return sparse.csr_matrix(sparse.vstack([x, made])), np.concatenate([y, np.full(missing, rare, y.dtype)])


def _take(x: Any, rows: np.ndarray) -> sparse.csr_matrix:
    return x[rows]


def _distinct(x: sparse.csr_matrix) -> sparse.csr_matrix:
    x.sort_indices()
    ends = x.indptr
    keys = {(x.indices[a:b].tobytes(), x.data[a:b].tobytes()): row for row, (a, b) in enumerate(pairwise(ends))}
    return _take(x, np.sort(np.fromiter(keys.values(), np.int64)))
