"""The benchmark's vocabulary: hashed terms with numbers, and which items have them how often."""

from dataclasses import dataclass

import numpy as np
from numba import njit

__all__ = ["Vocabulary", "add_term"]

DENSE_SHARE = 8
"""A term that more than one item in 8 has is kept as a dense row over items: adding 8 neighbours is one instruction."""
DENSE_CELLS = 4_000_000
"""At most 32 MB of dense rows, whatever the benchmark."""


@dataclass
class Vocabulary:
    """Terms of a benchmark and their postings.

    Attributes:
        slots, values: open-addressing table from a term's hash to its number.
        offsets, items, counts: postings of term t are the stretch offsets[t] : offsets[t + 1] of items and counts (how
            often the item has the term), items rising.
        n_items: how many items.
    """

    slots: np.ndarray
    values: np.ndarray
    offsets: np.ndarray
    items: np.ndarray
    counts: np.ndarray
    n_items: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def build(cls, hashes: np.ndarray, row_offsets: np.ndarray) -> "Vocabulary":
        """From the items' hashed terms (item i has hashes[row_offsets[i] : row_offsets[i + 1]])."""
        n_items = len(row_offsets) - 1
        terms, number = np.unique(hashes, return_inverse=True)
        owner = np.repeat(np.arange(n_items), np.diff(row_offsets))
        keys, counts = np.unique(number.astype(np.int64) * max(1, n_items) + owner, return_counts=True)
        term, items = np.divmod(keys, max(1, n_items))
        offsets = np.searchsorted(term, np.arange(len(terms) + 1))
        bits = max(6, int(np.ceil(np.log2(max(1, 3 * len(terms))))))
        slots, values = np.zeros(1 << bits, np.uint64), np.full(1 << bits, -1, np.int32)
        _insert(terms, slots, values)
        return cls(slots, values, offsets.astype(np.int64), items.astype(np.int32), counts.astype(np.float64), n_items)

    def numbers(self, hashes: np.ndarray) -> np.ndarray:
        """The number of each hashed term, -1 for terms that no item has."""
        found = np.empty(len(hashes), np.int32)
        _lookup(hashes, self.slots, self.values, found)
        return found

    def dense(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The most common terms as dense rows, a faster form of the same postings.

        Made anew for every batch (a millisecond), so that the state that travels to workers stays small.

        Args:
            values: float64, aligned with `items`: what each posting counts.

        Returns:
            int32 (n_terms,), the dense row of a term or -1; float64 (n_dense, n_items).
        """
        lengths = np.diff(self.offsets)
        order = np.argsort(-lengths, kind="stable")[: DENSE_CELLS // max(1, self.n_items)]
        common = order[lengths[order] * DENSE_SHARE > self.n_items]
        place = np.full(len(self), -1, np.int32)
        place[common] = np.arange(len(common))
        owner = np.repeat(place, lengths)
        rows = np.zeros((len(common), self.n_items))
        rows[owner[owner >= 0], self.items[owner >= 0]] = values[owner >= 0]
        return place, rows


@njit(cache=True, nogil=True, inline="always")
def add_term(scores, weight, term, offsets, items, values, place, rows):
    """scores[i] += weight * value of the term in item i, for all items that have it (zeros added change nothing)."""
    if place[term] >= 0:
        dense = rows[place[term]]
        for item in range(len(scores)):
            scores[item] += weight * dense[item]
    else:
        for at in range(offsets[term], offsets[term + 1]):
            scores[items[at]] += weight * values[at]


@njit(cache=True)
def _insert(terms, slots, values):
    mask = np.uint64(len(slots) - 1)
    for number in range(len(terms)):
        slot = terms[number] & mask
        while values[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = terms[number]
        values[slot] = number


@njit(cache=True, nogil=True)
def _lookup(hashes, slots, values, found):
    mask = np.uint64(len(slots) - 1)
    for i in range(len(hashes)):
        slot = hashes[i] & mask
        found[i] = -1
        while values[slot] >= 0:
            if slots[slot] == hashes[i]:
                found[i] = values[slot]
                break
            slot = (slot + np.uint64(1)) & mask
