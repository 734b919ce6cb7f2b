"""Counts of n-grams in one open-addressing table, and the Witten-Bell probability read from it.

A *gram* is a run of 1 to `order` symbols; its key is a 64-bit hash of the symbols and their number. A table entry carries
how often the gram occurs (`count`), how many symbols follow it (`total`) and how many different ones (`types`). With h' = h
without its oldest symbol,

    P(w | h) = (count(hw) + types(h) P(w | h')) / (total(h) + types(h)),      P(w | no context before it) = 1 / alphabet,

and P(w | h) = P(w | h') for a context h that was never seen (Witten and Bell 1991, interpolated form). For every context the
probabilities of the whole alphabet sum to 1. Contexts at the start of a text are as short as they are.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

__all__ = ["NGramCounts"]

SEED = np.uint64(0x9AE16A3B2F90404F)
PRIME = np.uint64(0x9FB21C651E98DF25)
MIX = np.uint64(0x9E3779B97F4A7C15)
CHUNK = 1 << 17
LARGEST_ORDER = 12


@njit(cache=True, nogil=True, inline="always")
def _extend(value, symbol):
    """The hash of a gram, made longer at its old end."""
    value = (value ^ (symbol + np.uint64(1))) * PRIME
    return value ^ (value >> np.uint64(32))


@njit(cache=True, nogil=True, inline="always")
def _key(value):
    value = value * MIX
    value ^= value >> np.uint64(29)
    return value | np.uint64(1)  # 0 marks an empty slot


@njit(cache=True, nogil=True, inline="always")
def _slot(keys, key):
    """Where a key is, or the empty slot where it would go."""
    mask = np.uint64(len(keys) - 1)
    at = (key >> np.uint64(20)) & mask
    while keys[at] != 0 and keys[at] != key:
        at = (at + np.uint64(1)) & mask
    return np.int64(at)


@njit(cache=True, nogil=True)
def _count(symbols, offsets, begin, stop, order, keys, counts, totals, types, root):
    """Count the grams that end at symbols [begin, stop); returns how many new ones there were."""
    new = 0
    row = np.searchsorted(offsets, begin, side="right") - 1
    for at in range(begin, stop):
        while offsets[row + 1] <= at:
            row += 1
        longest = min(order, at - offsets[row] + 1)
        value = SEED
        context = SEED
        for k in range(longest):  # gram of k + 1 symbols, context of k
            slot = np.int64(-1)
            if k > 0:
                context = _extend(context, np.uint64(symbols[at - k]))
                slot = _slot(keys, _key(context))
            value = _extend(value, np.uint64(symbols[at - k]))
            key = _key(value)
            gram = _slot(keys, key)
            fresh = keys[gram] == 0
            if fresh:
                keys[gram] = key
                new += 1
            counts[gram] += 1
            if slot < 0:
                root[0] += 1
                root[1] += fresh
            else:
                totals[slot] += 1
                types[slot] += fresh
    return new


@njit(cache=True, nogil=True)
def _move(old_keys, old_counts, old_totals, old_types, keys, counts, totals, types):
    for i in range(len(old_keys)):
        if old_keys[i]:
            at = _slot(keys, old_keys[i])
            keys[at] = old_keys[i]
            counts[at] = old_counts[i]
            totals[at] = old_totals[i]
            types[at] = old_types[i]


@njit(cache=True, nogil=True)
def _bits(symbols, offsets, order, alphabet, keys, counts, totals, types, root, out):
    """-log2 P of every symbol, given those before it in its row."""
    before = np.full(order, np.int64(-1))  # slots of the grams of 1, 2, ... symbols that end just before
    now = np.full(order, np.int64(-1))
    for row in range(len(offsets) - 1):
        for at in range(offsets[row], offsets[row + 1]):
            longest = min(order, at - offsets[row] + 1)
            p = 1.0 / alphabet
            value = SEED
            seen = True
            for k in range(longest):
                if k == 0:
                    total = root[0]
                    kinds = root[1]
                else:
                    slot = before[k - 1]
                    if slot < 0:
                        break  # a context never seen: longer ones are not either
                    total = totals[slot]
                    kinds = types[slot]
                value = _extend(value, np.uint64(symbols[at - k]))
                count = np.int64(0)
                now[k] = -1
                if seen:
                    gram = _slot(keys, _key(value))
                    seen = keys[gram] != 0  # no longer gram was seen when this one was not
                    if seen:
                        now[k] = gram
                        count = np.int64(counts[gram])
                if total + kinds > 0:
                    p = (count + kinds * p) / (total + kinds)
            else:
                k = longest
            for j in range(k, order):
                now[j] = -1
            before, now = now, before
            out[at] = -np.log2(p)
        before[:] = -1


@dataclass
class NGramCounts:
    """See the module's text.

    Args:
        order: symbols in the longest gram.
        alphabet: how many symbols there are; they are numbered from 0.
        keys, counts, totals, types: the table; its length is a power of two, and a key of 0 marks an empty slot.
        root: [symbols seen, different ones].
    """

    order: int
    alphabet: int
    keys: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    types: np.ndarray
    root: np.ndarray
    used: int = 0

    @classmethod
    def empty(cls, order: int, alphabet: int, slots: int = 1 << 12) -> "NGramCounts":
        """A model that has seen nothing: every symbol has probability 1 / alphabet."""
        counts, totals, types = np.zeros((3, slots), np.uint32)
        return cls(order, alphabet, np.zeros(slots, np.uint64), counts, totals, types, np.zeros(2, np.int64))

    def __len__(self) -> int:
        return self.used

    def add(self, symbols: np.ndarray, offsets: np.ndarray) -> None:
        """Count the grams of rows: row i is symbols[offsets[i] : offsets[i + 1]], offsets[0] = 0."""
        for begin in range(0, int(offsets[-1]), CHUNK):
            stop = min(begin + CHUNK, int(offsets[-1]))
            self._room(self.used + (stop - begin) * self.order)
            self.used += _count(
                symbols, offsets, begin, stop, self.order, self.keys, self.counts, self.totals, self.types, self.root
            )

    def bits(self, symbols: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """-log2 P of every symbol given those before it in its row, float64."""
        out = np.zeros(len(symbols))
        keys, counts, totals, types = self.keys, self.counts, self.totals, self.types
        _bits(symbols, offsets, self.order, self.alphabet, keys, counts, totals, types, self.root, out)
        return out

    def _room(self, grams: int) -> None:
        slots = len(self.keys)
        while slots < grams + grams // 2:
            slots *= 2
        if slots > len(self.keys):
            old = (self.keys, self.counts, self.totals, self.types)
            self.keys, self.counts, self.totals, self.types = [np.zeros(slots, array.dtype) for array in old]
            self._take(*old)

    def _take(self, keys: np.ndarray, counts: np.ndarray, totals: np.ndarray, types: np.ndarray) -> None:
        _move(keys, counts, totals, types, self.keys, self.counts, self.totals, self.types)

    def arrays(self) -> dict[str, np.ndarray]:
        """The entries in the order of their keys: what is kept in a file, the same for the same texts in any order."""
        where = np.flatnonzero(self.keys)
        where = where[np.argsort(self.keys[where])]
        names = ("keys", "counts", "totals", "types")
        return {name: getattr(self, name)[where] for name in names} | {"root": self.root}

    @classmethod
    def of_arrays(cls, order: int, alphabet: int, arrays: dict[str, np.ndarray]) -> "NGramCounts":
        """The table again.

        Raises:
            ValueError: for arrays that cannot be one.
        """
        columns = [arrays[name] for name in ("keys", "counts", "totals", "types")]
        kinds = (np.uint64, np.uint32, np.uint32, np.uint32)
        if any(c.dtype != k or c.ndim != 1 or len(c) != len(columns[0]) for c, k in zip(columns, kinds)):
            raise ValueError("its columns are of different lengths or types")
        keys, root = columns[0], arrays["root"]
        if not (keys[1:] > keys[:-1]).all() or (len(keys) and keys[0] == 0) or root.shape != (2,):
            raise ValueError("its keys are not in order")
        if not 1 <= order <= LARGEST_ORDER or not 1 <= alphabet <= 2**31:
            raise ValueError("its order or alphabet is out of range")
        model = cls.empty(order, alphabet)
        model.root = root.astype(np.int64)
        model._room(2 * len(keys))
        model._take(columns[0], columns[1], columns[2], columns[3])
        model.used = len(keys)
        return model
