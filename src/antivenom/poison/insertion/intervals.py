"""Disjoint half-open intervals of integers, sorted, with vectorised questions; and who wins where several want the same place."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Intervals", "pieces", "winners"]


@dataclass(frozen=True, eq=False)
class Intervals:
    """[start, end) pairs, sorted and disjoint; neighbours may touch.

    Args:
        starts, ends: int64 (n,).
    """

    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, starts: np.ndarray, ends: np.ndarray) -> "Intervals":
        """Of disjoint intervals in any order."""
        starts, ends = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
        order = np.argsort(starts, kind="stable")
        return cls(starts[order], ends[order])

    @classmethod
    def none(cls) -> "Intervals":
        """The empty set."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def covered(self) -> int:
        """Integers in all."""
        return int((self.ends - self.starts).sum())

    def at(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Index of the first interval that each of the given overlaps, -1 for none."""
        if not len(self):
            return np.full(len(starts), -1)
        first = np.searchsorted(self.ends, starts, "right")  # the first that ends behind the start
        there = np.minimum(first, len(self) - 1)
        return np.where((first < len(self)) & (self.starts[there] < ends), first, -1)

    def overlaps(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """bool (n,): which of the given overlap an interval of the set."""
        return self.at(starts, ends) >= 0

    def joined(self, starts: np.ndarray, ends: np.ndarray) -> "Intervals":
        """With further ones, which must be disjoint from these and from one another."""
        return Intervals.of(np.concatenate([self.starts, starts]), np.concatenate([self.ends, ends]))

    def without(self, starts: np.ndarray) -> "Intervals":
        """Without those that begin at the given places."""
        keep = ~np.isin(self.starts, starts)
        return Intervals(self.starts[keep], self.ends[keep])

    def within(self, begin: int, end: int) -> int:
        """Integers of [begin, end) that are covered."""
        return int(np.maximum(np.minimum(self.ends, end) - np.maximum(self.starts, begin), 0).sum())

    def gaps(self, begin: int, end: int) -> "Intervals":
        """What is free of [begin, end)."""
        inside = (self.ends > begin) & (self.starts < end)
        starts = np.concatenate([[begin], np.minimum(self.ends[inside], end)])
        ends = np.concatenate([np.maximum(self.starts[inside], begin), [end]])
        keep = starts < ends
        return Intervals(starts[keep], ends[keep])


def pieces(intervals: Intervals, length: int) -> Intervals:
    """Cut at the multiples of `length`: nothing may cross a row."""
    first, last = intervals.starts // length, (intervals.ends - 1) // length
    count = last - first + 1
    which = np.repeat(np.arange(len(intervals)), count)
    row = first[which] + np.arange(len(which)) - (np.cumsum(count) - count)[which]
    starts = np.maximum(intervals.starts[which], row * length)
    return Intervals(starts, np.minimum(intervals.ends[which], (row + 1) * length))


def winners(starts: np.ndarray, ends: np.ndarray, priority: np.ndarray) -> np.ndarray:
    """bool (n,): what is left when intervals are taken in the order of `priority` (lowest first, each value once) and one
    that overlaps a taken one is refused.

    In every group of intervals that hang together the lowest wins and sends away those it overlaps; the rest falls into
    smaller groups. The result is that of the loop over all, in about log n rounds.
    """
    won = np.zeros(len(starts), bool)
    left = np.argsort(starts, kind="stable")
    while len(left):
        s, e, p = starts[left], ends[left], priority[left]
        new = np.ones(len(left), bool)
        new[1:] = s[1:] >= np.maximum.accumulate(e)[:-1]
        first = np.flatnonzero(new)
        group = np.cumsum(new) - 1
        best = np.flatnonzero(p == np.minimum.reduceat(p, first)[group])
        won[left[best]] = True
        left = left[(e <= s[best][group]) | (s >= e[best][group])]
    return won
