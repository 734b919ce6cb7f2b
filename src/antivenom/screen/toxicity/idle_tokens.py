"""Which tokens can hold a disguised word: all others are passed over by their bits, without a look at their letters.

Perhaps a disguise is every token beyond ASCII; a letter that stands three times running; a sign beside a letter inside a token;
and a letter that stands alone beside another one. `obfuscation.find_disguised` reads these, and only these, letter by letter.
"""

import numpy as np
from numba import njit

from antivenom.screen.scoring.byte_bits import HIGH, LETTER, SAME, SPACE, first_set, last_set

__all__ = ["INNER_EDGE", "INNER_SIGN", "idle_bytes", "perhaps_disguised"]

INNER_EDGE, INNER_SIGN = 5, 6
"""Lanes of the signs that a disguised word can hold: those that are stripped from the edges of a token, and the others."""


def perhaps_disguised(lanes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """A lane with at least one bit in every token that can be, or be part of, a disguised word; of the few others, some have one.

    Args:
        lanes: `byte_bits` by `obfuscation.disguise_table`.
        offsets: int64, of the rows.
    """
    out = np.zeros(lanes.shape[1], np.uint64)
    begins = np.zeros(lanes.shape[1], np.uint64)
    _perhaps(lanes, offsets, begins, np.zeros_like(out), out)
    return out


@njit(cache=True, nogil=True, inline="always")
def _before(lane, i, k):
    """The bits of the bytes k places before."""
    return lane[i] << np.uint64(k) | lane[i - 1] >> np.uint64(64 - k)


@njit(cache=True, nogil=True, inline="always")
def _behind(lane, i, k):
    """The bits of the bytes k places behind."""
    return lane[i] >> np.uint64(k) | lane[i + 1] << np.uint64(64 - k)


@njit(cache=True, nogil=True)
def _perhaps(lanes, offsets, begins, single, out):
    letter, space, high, same = lanes[LETTER], lanes[SPACE], lanes[HIGH], lanes[SAME]
    edge, sign = lanes[INNER_EDGE], lanes[INNER_SIGN]
    for offset in offsets:
        at = offset - offsets[0]
        begins[1 + (at >> 6)] |= np.uint64(1) << np.uint64(at & 63)
    blocks = range(1, len(out) - 1)
    for i in blocks:
        single[i] = letter[i] & (_before(space, i, 1) | begins[i]) & (_behind(space, i, 1) | _behind(begins, i, 1))
    for i in blocks:
        left, right = _before(letter, i, 1), _behind(letter, i, 1)
        found = high[i] | (same[i] & _before(same, i, 1))
        found |= (sign[i] & (left | right)) | (edge[i] & left & (right | _behind(sign, i, 1)))
        found |= edge[i] & right & _before(sign, i, 1)
        found |= (letter[i] | sign[i]) & _before(edge, i, 1) & _before(edge, i, 2)
        alone = single[i]
        if alone:
            near = _before(single, i, 2) | _behind(single, i, 2)
            near |= _before(space, i, 1) & _before(space, i, 2) | _behind(space, i, 1) & _behind(space, i, 2)
            for k in range(1, 4):
                near |= _before(high, i, k) | _behind(high, i, k)
            found |= alone & near
        out[i] = found


@njit(cache=True, nogil=True, inline="always")
def idle_bytes(space, perhaps, at, end):
    """Bytes from the token at `at` up to the white space before the next one that is perhaps a disguise; 0: this one is."""
    place = first_set(perhaps, at, end)
    if place >= end:
        return end - at
    return max(last_set(space, at, place) - at, 0)
