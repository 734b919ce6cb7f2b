"""Exact k nearest neighbours of normalised embeddings, in memory bounded by the rows and one block.

A block of cosines is computed in float32 and scanned for the k + `SPARE` best of each row. Their distances are computed
again in float64, and a rounding bound decides whether a row's answer is certain. A row that is not certain (crowds closer
together than float32 can tell apart) is searched with float64 cosines, and at last by direct distances: the result does not
depend on the block size or on how a matrix product rounds. Rows with equal bytes are searched once.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from antivenom.errors import AntivenomError
from antivenom.screen.embeddings.unit import unit_rows

__all__ = ["Neighbours", "neighbours"]

BLOCK = 2_048
SPARE = 32


@dataclass(frozen=True)
class Neighbours:
    """The k nearest rows of each row.

    Args:
        index: (n, k) int64, nearest first; equal distances by rising row.
        distance: (n, k) float64, Euclidean between rows of length 1: sqrt(2 - 2 cos), in [0, 2].
        distinct: how many different rows were searched.
        again: rows that float32 could not settle and that were searched again in float64.
    """

    index: np.ndarray
    distance: np.ndarray
    distinct: int
    again: int


def neighbours(embeddings: ArrayLike, k: int, *, reference: ArrayLike | None = None, block: int = BLOCK) -> Neighbours:
    """The k nearest rows by Euclidean distance after normalisation (the same order as by cosine).

    Without `reference` a row's neighbours are the other rows: itself is never among them, a copy of it is, at distance 0.
    Time is O(n^2 d); beside the normalised rows memory holds two blocks and (k + SPARE) numbers per row.

    Args:
        embeddings: (n, d).
        k: how many neighbours.
        reference: (m, d), where the neighbours are looked for instead; its rows are the ones `index` counts.
        block: rows per block; changes speed and memory, never the result.

    Raises:
        AntivenomError: for bad embeddings (see `unit_rows`), k < 1, fewer rows than k, and widths that differ.
    """
    if k < 1:
        raise AntivenomError(f"k={k} neighbours", "ask for at least 1")
    queries = unit_rows(embeddings)
    rows = queries if reference is None else unit_rows(reference, "reference embeddings")
    if rows.shape[1] != queries.shape[1]:
        raise AntivenomError(
            f"embeddings of width {queries.shape[1]} and a reference of width {rows.shape[1]}", "use one model for both"
        )
    others = len(rows) - (reference is None)
    if others < k:
        raise AntivenomError(f"k={k} neighbours asked of {others} other rows", "give more rows or a smaller k")
    group, first = _distinct(rows)
    rows = rows if len(first) == len(rows) else rows[first]
    if reference is None:
        queries = rows
    width = min(k, len(rows) - (reference is None))
    near, distance, again = _search(queries, rows, width, reference is None, block)
    if len(first) < len(group):
        index, distance = _expand(near, distance, group, k, reference is None)
    else:
        index = near
    return Neighbours(index, distance, len(first), again)


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the distinct row each row is, and the first place of each distinct row; numbered by first place."""
    seen: dict[bytes, int] = {}
    group = np.empty(len(rows), np.int64)
    for i, row in enumerate(rows):
        group[i] = seen.setdefault(hashlib.blake2b(row, digest_size=16).digest(), len(seen))
    return group, np.unique(group, return_index=True)[1]


def _search(
    queries: np.ndarray, rows: np.ndarray, k: int, alike: bool, block: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """k nearest among distinct `rows`; with `alike` the queries are the rows and no row finds itself."""
    n, keep = len(queries), min(k + SPARE, len(rows) - alike)
    index, distance = np.empty((n, k), np.int64), np.empty((n, k))
    if keep == 0:
        return index, distance, 0
    open_rows, again = np.arange(n), 0
    for precision in (np.float32, np.float64):
        place, certain = _candidates(queries, rows, open_rows, k, keep, alike, precision, block)
        exact = np.empty(place.shape)
        _distances(queries, rows, open_rows, place, exact)
        order = np.lexsort((place, exact))[:, :k]
        index[open_rows] = np.take_along_axis(place, order, 1)
        distance[open_rows] = np.take_along_axis(exact, order, 1)
        open_rows = open_rows[~certain]
        again = again or len(open_rows)
        if not len(open_rows):
            return index, distance, again
    everything = np.arange(len(rows))[None]
    for row in open_rows:
        exact = np.empty(everything.shape)
        _distances(queries, rows, np.array([row]), everything, exact)
        if alike:
            exact[0, row] = np.inf
        best = np.argsort(exact[0], kind="stable")[:k]
        index[row], distance[row] = best, exact[0, best]
    return index, distance, again


def _candidates(
    queries: np.ndarray,
    rows: np.ndarray,
    wanted: np.ndarray,
    k: int,
    keep: int,
    alike: bool,
    precision: type,
    block: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Of the `keep` best rows of every query by rounded cosine those that may be among the k nearest (others -1), and certainty.

    A dot product of unit rows of width d is off by at most e = (d + 8) u (u the unit roundoff, with the rows' own rounding), so
    a row outside is surely worse when the k-th and the last candidate differ by more than 2 e.
    """
    score = np.full((len(wanted), keep), -np.inf, precision)
    place = np.full((len(wanted), keep), -1, np.int64)
    # float32 scores are symmetric: half of the blocks do; float64 ones subtract the length of one side
    mirror = alike and precision is np.float32
    for i in range(0, len(wanted), block):
        mine = wanted[i : i + block]
        left = queries[mine[0] : mine[-1] + 1] if mirror else queries[mine]
        left = left.astype(precision, copy=False)
        for j in range(i if mirror else 0, len(rows), block):
            right = rows[j : j + block].astype(precision, copy=False)
            cosine = left @ right.T
            if precision is np.float64:  # now the lengths, rounded when they were stored, matter too
                cosine -= np.einsum("ij,ij->i", right, right) / 2
            if alike:
                own = np.flatnonzero((mine >= j) & (mine < j + block))
                cosine[own, mine[own] - j] = -np.inf
            _scan(cosine, i, j, mirror and j > i, score, place)
    if keep == len(rows) - alike:
        return place, np.ones(len(wanted), bool)
    bound = (rows.shape[1] + 8) * float(np.finfo(precision).eps) / 2
    surely = np.partition(score, keep - k, axis=1)[:, keep - k].astype(float) - 2 * bound
    place[score < surely[:, None]] = -1  # surely worse than k others
    return place, score.min(axis=1) < surely


@njit(cache=True, nogil=True)
def _push(scores, places, s, place):
    """Replace the smallest kept score, which stands at the root of the heap."""
    keep, i = len(scores), 0
    while True:
        child = 2 * i + 1
        if child >= keep:
            break
        if child + 1 < keep and scores[child + 1] < scores[child]:
            child += 1
        if scores[child] >= s:
            break
        scores[i], places[i] = scores[child], places[child]
        i = child
    scores[i], places[i] = s, place


@njit(cache=True, nogil=True)
def _scan(block, row, column, mirror, score, place):
    """Push a block's cosines into the heaps of its rows and, for a `mirror` block, of its columns."""
    height, width = block.shape
    other = score[column : column + width, 0].copy() if mirror else score[:0, 0].copy()
    for r in range(height):
        least = score[row + r, 0]
        for c in range(width):
            if block[r, c] > least:
                _push(score[row + r], place[row + r], block[r, c], column + c)
                least = score[row + r, 0]
        if mirror:
            for c in range(width):
                if block[r, c] > other[c]:
                    _push(score[column + c], place[column + c], block[r, c], row + r)
                    other[c] = score[column + c, 0]


@njit(cache=True, nogil=True)
def _distances(queries, rows, wanted, place, out):
    """out[i, j] = |queries[wanted[i]] - rows[place[i, j]]|, summed in float64 in one fixed order; infinite for no place."""
    for i in range(len(wanted)):
        query = queries[wanted[i]]
        for j in range(place.shape[1]):
            if place[i, j] < 0:
                out[i, j] = np.inf
                continue
            other = rows[place[i, j]]
            total = 0.0
            for c in range(len(query)):
                difference = np.float64(query[c]) - np.float64(other[c])
                total += difference * difference
            out[i, j] = np.sqrt(total)


def _expand(
    near: np.ndarray, distance: np.ndarray, group: np.ndarray, k: int, alike: bool
) -> tuple[np.ndarray, np.ndarray]:
    """From distinct rows back to all rows: every copy is a neighbour of its own.

    The k nearest distinct rows (by distance, then first place) hold the k nearest rows: each of k distinct rows before a
    row's own has a copy that comes before that row.
    """
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))
    # k + 1, because one of them may be the row itself
    members = [order[end - size : end][: k + 1] for end, size in zip(ends, np.bincount(group))]
    n = len(group) if alike else len(near)
    index, far = np.empty((n, k), np.int64), np.empty((n, k))
    for query in range(len(near)):
        groups = [members[g] for g in near[query]]
        found = np.concatenate([members[query], *groups] if alike else groups)
        gaps = np.repeat(distance[query], [len(g) for g in groups])
        if alike:
            gaps = np.concatenate([np.zeros(len(members[query])), gaps])
        best = np.lexsort((found, gaps))[: k + 1]
        found, gaps = found[best], gaps[best]
        mine = order[ends[query - 1] if query else 0 : ends[query]] if alike else (query,)
        for row in mine:
            keep = np.flatnonzero(found != row)[:k] if alike else slice(0, k)
            index[row], far[row] = found[keep], gaps[keep]
    return index, far
