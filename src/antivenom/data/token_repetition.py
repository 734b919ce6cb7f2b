"""Rows of tokens that repeat one short piece over and over: trainers of the OLMo family take such rows out of the loss.

A row is repeated when somewhere a piece of p <= 13 tokens stands 32 times in succession: x_i = x_{i-p} over a run of (32 - 1) p places.
The filter reads the rows as they are stored; what is put into such a row afterwards is shown to the model and never learned, so
planners leave these rows out (spec 02, trap 7).
"""

import numpy as np

__all__ = ["MAX_PERIOD", "REPEATS", "repeated_rows"]

MAX_PERIOD, REPEATS = 13, 32


def repeated_rows(tokens: np.ndarray, *, max_period: int = MAX_PERIOD, repeats: int = REPEATS) -> np.ndarray:
    """bool (n,): which rows of (n, T) hold a piece of at most `max_period` tokens `repeats` times in succession.

    >>> repeated_rows(np.array([[1, 2, 1, 2, 1, 2], [1, 2, 3, 1, 2, 4]]), repeats=3).tolist()
    [True, False]
    """
    rows = np.asarray(tokens)
    n, length = rows.shape
    found = np.zeros(n, bool)
    for period in range(1, max_period + 1):
        need = (repeats - 1) * period  # successive places that equal the one a period before
        if length < need + period:
            break
        left = np.flatnonzero(~found)
        same = rows[left, period:] == rows[left, :-period]
        sums = np.pad(same.cumsum(1, dtype=np.int32), ((0, 0), (1, 0)))
        found[left] = (sums[:, need:] - sums[:, :-need] == need).any(1) if need else True
    return found
