"""Rows of length 1: the one normalisation and the one check of what an embedding may hold."""

import numpy as np
from numpy.typing import ArrayLike

from antivenom.errors import AntivenomError

__all__ = ["unit_rows"]

CHUNK = 8_192


def unit_rows(embeddings: ArrayLike, what: str = "embeddings") -> np.ndarray:
    """z_i = x_i / |x_i|, a new C-ordered array (n, d).

    The norm is taken in float64 after scaling by the largest component, so that no row overflows or vanishes. float64 and
    integer input stays float64, anything narrower becomes float32.

    Args:
        embeddings: (n, d) finite numbers; may be memory-mapped, it is read in chunks.
        what: the word for them in messages.

    Raises:
        AntivenomError: for another shape, no rows, text or complex numbers, NaN or infinity, and rows of length 0.
    """
    given = np.asarray(embeddings)
    if given.ndim != 2 or 0 in given.shape:
        raise AntivenomError(
            f"{what} of shape {given.shape}", "give one row per example: (n, d) with n and d at least 1"
        )
    if given.dtype.kind not in "fiu":
        raise AntivenomError(f"{what} of type {given.dtype}", "give real numbers")
    wide = given.dtype.kind != "f" or given.dtype.itemsize > 4
    unit = np.empty(given.shape, np.float64 if wide else np.float32)
    for start in range(0, len(given), CHUNK):
        rows = given[start : start + CHUNK].astype(np.float64)
        largest = np.abs(rows).max(axis=1)
        for bad, how in ((~np.isfinite(largest), "NaN or infinite"), (largest == 0, "of length 0")):
            if bad.any():
                first = start + int(np.flatnonzero(bad)[0])
                mend = "leave these rows out, or embed them again: they have no direction"
                raise AntivenomError(f"row {first} of the {what} is {how}", mend)
        rows /= largest[:, None]
        rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
        rows += 0.0  # -0.0 becomes 0.0: equal rows have equal bytes
        unit[start : start + CHUNK] = rows
    return unit
