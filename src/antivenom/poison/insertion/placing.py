"""Random places without overlap: every item has random numbers of its own, so that no item's place depends on how many others there are.

    item key        k = 64-bit hash of (seed, experiment, purpose, item id)
    attempt a       row = begin + U(k, 2a) (end - begin),   column = U(k, 2a + 1) (T - L + 1)
    accepted        when it overlaps nothing that is taken; among items that want the same place the lowest key has it

An item that found no place in `ATTEMPTS` attempts is drawn evenly from the places that are still free, so that a run can be filled until
nothing fits any more. Items longer than half a row are placed before the others, which would leave them no room.

Source: spec 02, 2.2 (4), traps 3, 4.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from antivenom.poison.insertion.intervals import Intervals, pieces, winners
from antivenom.randomness import derive_seed

__all__ = ["AGAIN", "ATTEMPTS", "keys_of", "place", "uniform"]

ATTEMPTS = 24
AGAIN = 1 << 20
"""The attempt from which on those are drawn that were in the way of another experiment."""


def keys_of(seed: int, experiment: str, purpose: str, ids: Iterable[str], n: int) -> np.ndarray:
    """uint64 (n,): a key per item, of the seed, the experiment, the purpose and the item's id alone."""
    base = np.uint64(derive_seed(seed, "insertion", experiment, purpose))
    own = np.fromiter(
        (
            int.from_bytes(hashlib.blake2b(i.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
            for i in ids
        ),
        np.uint64,
        n,
    )
    return _mix(own ^ base)


def uniform(keys: np.ndarray, k: int) -> np.ndarray:
    """float64 in [0, 1): the k-th random number of every key (splitmix64)."""
    return (_mix(keys + np.uint64((k + 1) * 0x9E3779B97F4A7C15 % (1 << 64))) >> np.uint64(11)) * 2.0**-53


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def place(
    keys: np.ndarray,
    lengths: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    taken: Intervals,
    length: int,
    *,
    first: int = 0,
) -> tuple[np.ndarray, int, Intervals]:
    """Places for items.

    Args:
        keys: uint64 (n,), of `keys_of`.
        lengths: tokens of each, 1 .. `length`.
        begin, end: training rows [begin, end) of each.
        taken: what is not free.
        length: tokens of a row.
        first: attempts that were used up before.

    Returns:
        starts as global tokens, -1 for what fits nowhere any more; collisions (attempts in vain); all that is taken now.
    """
    starts = np.full(len(keys), -1, np.int64)
    collisions = 0
    long = 2 * lengths > length
    for group in (np.flatnonzero(long), np.flatnonzero(~long)):
        left = group
        for attempt in range(first, first + ATTEMPTS):
            if not len(left):
                break
            row = begin[left] + _below(uniform(keys[left], 2 * attempt), end[left] - begin[left])
            column = _below(uniform(keys[left], 2 * attempt + 1), length - lengths[left] + 1)
            found, taken, won = _settle(left, row * length + column, lengths, keys, taken)
            starts[left[won]] = found
            collisions += len(left) - len(found)
            left = left[~won]
        attempt = first + ATTEMPTS
        while len(left):
            wanted = _from_free(left, keys, lengths, begin, end, taken, length, attempt)
            possible = wanted >= 0
            left, wanted = left[possible], wanted[possible]
            found, taken, won = _settle(left, wanted, lengths, keys, taken)
            starts[left[won]] = found
            collisions += len(left) - len(found)
            left = left[~won]
            attempt += 1
    return starts, collisions, taken


def _below(u: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.minimum((u * n).astype(np.int64), n - 1)


def _settle(
    left: np.ndarray, wanted: np.ndarray, lengths: np.ndarray, keys: np.ndarray, taken: Intervals
) -> tuple[np.ndarray, Intervals, np.ndarray]:
    """The wanted places that can be had: those starts, all that is taken then, and whose they are."""
    ends = wanted + lengths[left]
    won = ~taken.overlaps(wanted, ends)
    free = np.flatnonzero(won)
    won[free] = winners(wanted[free], ends[free], keys[left[free]])
    return wanted[won], taken.joined(wanted[won], ends[won]), won


def _from_free(
    left: np.ndarray, keys: np.ndarray, lengths: np.ndarray, begin: np.ndarray, end: np.ndarray, taken: Intervals,
    length: int, attempt: int,
) -> np.ndarray:  # fmt: skip
    """A start for each, drawn evenly from all that are free for it; -1 where there is none."""
    wanted = np.full(len(left), -1, np.int64)
    kinds, which = np.unique(np.stack([begin[left], end[left], lengths[left]]), axis=1, return_inverse=True)
    window, free = None, Intervals.none()
    for kind, (first, last, size) in enumerate(kinds.T.tolist()):
        if window != (first, last):
            window, free = (first, last), pieces(taken.gaps(first * length, last * length), length)
        room = np.maximum(free.ends - free.starts - size + 1, 0)
        reach = np.cumsum(room)
        if not len(reach) or reach[-1] == 0:
            continue
        mine = np.flatnonzero(which == kind)
        chosen = _below(uniform(keys[left[mine]], 2 * attempt), np.full(len(mine), reach[-1]))
        piece = np.searchsorted(reach, chosen, "right")
        wanted[mine] = free.starts[piece] + chosen - (reach - room)[piece]
    return wanted
