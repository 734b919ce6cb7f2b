"""The order of rows: exact ranks over a corpus that is read in pieces, and draws that no worker can change.

A rank filter ("keep the best 80 %") must keep exactly the same rows whatever the blocks, the runner or the memory. Rows
are ordered by a triple of unsigned integers (code, key, sequence): the score as an integer, the hash of the row's id, and
the row's place in the corpus. No two rows are equal, so the k-th row is one row, and a filter is "the triple is at most
that of the k-th row". It is found by counting digits (a radix selection): memory does not grow with the corpus.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from antivenom.data.quarantine import hash64
from antivenom.randomness import derive_seed

__all__ = ["Cut", "code_of", "draws", "id_keys", "ntile_bounds", "place", "place_keys", "select", "uniform"]

Triples = tuple[np.ndarray, np.ndarray, np.ndarray]
DIGITS = ((0, 16), (0, 0), (1, 48), (1, 32), (1, 16), (1, 0))
"""(which part of the triple, shift) of each 16-bit digit, the most telling first."""
GATHER = 1 << 18
"""From so few candidates on they are sorted in memory instead of counted once more."""


@dataclass(frozen=True)
class Cut:
    """The triple of the last row on the near side of a cut."""

    code: int
    key: int
    sequence: int

    def reached(self, code: np.ndarray, key: np.ndarray, sequence: np.ndarray) -> np.ndarray:
        """Mask of the rows up to and including this one."""
        same = code == np.uint32(self.code)
        tie = (key < np.uint64(self.key)) | ((key == np.uint64(self.key)) & (sequence <= np.uint64(self.sequence)))
        return (code < np.uint32(self.code)) | (same & tie)


def code_of(values: np.ndarray, *, rising: bool = True) -> np.ndarray:
    """float32 -> uint32 in the same order (or, with `rising=False`, in the reverse); -0 equals 0. NaN is not for here.

    >>> code_of(np.array([-2.0, -0.0, 0.0, 3.5], np.float32)).argsort(kind="stable").tolist()
    [0, 1, 2, 3]
    """
    bits = (np.asarray(values, np.float32) + np.float32(0)).view(np.uint32)
    code = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(0x80000000))
    return code if rising else ~code


def value_of(code: int) -> float:
    """The score of a rising code: the inverse of `code_of`.

    >>> value_of(int(code_of(np.array([1.5], np.float32))[0]))
    1.5
    """
    bits = code & 0x7FFFFFFF if code >> 31 else ~code & 0xFFFFFFFF
    return float(np.array([bits], np.uint32).view(np.float32)[0])


def id_keys(ids: Iterable[str]) -> np.ndarray:
    """64-bit hashes of row ids (BLAKE2b): ties go by them, so that no part of the alphabet is favoured."""
    return np.array([hash64(value) for value in ids], np.int64).view(np.uint64)


def place(block: int, rows: np.ndarray) -> np.ndarray:
    """The place of rows in the corpus, from the number of their block and their row in it."""
    return (np.uint64(block) << np.uint64(32)) + rows.astype(np.uint64)


def place_keys(files: pa.ChunkedArray, positions: pa.ChunkedArray) -> np.ndarray:
    """A hash of each row's file and position: copies differ in it, and it does not depend on the blocks."""
    column = files.combine_chunks().dictionary_encode()
    encoded = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    hashes = id_keys(encoded.dictionary.to_pylist())
    at = positions.to_numpy().astype(np.uint64)
    return draws(at, 0, "place", salt=hashes[encoded.indices.to_numpy()] if len(hashes) else at)


def draws(keys: np.ndarray, seed: int, *purpose: object, salt: np.ndarray | None = None) -> np.ndarray:
    """One uniform 64-bit draw per row, a function of (row, seed, purpose) alone.

    Args:
        keys: hash of each row's id.
        seed: the run's seed.
        purpose: what the draw is for: each purpose has draws of its own.
        salt: per row, mixed in: rows with equal ids (copies) then get draws of their own.

    The mixing is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, section 3).
    """
    mixed = _mix(keys.astype(np.uint64) ^ np.uint64(derive_seed(seed, *purpose)))
    return mixed if salt is None else _mix(mixed ^ _mix(salt.astype(np.uint64)))


def _mix(x: np.ndarray) -> np.ndarray:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(drawn: np.ndarray) -> np.ndarray:
    """Draws as float64 in (0, 1), never either end: the 53 high bits, shifted by half a step."""
    return ((drawn >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def select(stream: Callable[[], Iterable[Triples]], ranks: Sequence[int]) -> list[Cut]:
    """The rows of these ranks (0 = first) in the order of the triples.

    Args:
        stream: called for every pass; yields (code uint32, key uint64, sequence uint64), sequences rising throughout.
        ranks: each within the number of rows.

    Returns:
        One cut per rank: exactly rank + 1 rows reach it.
    """
    found: dict[int, Cut] = {}
    pending = {rank: _Search(rank) for rank in set(ranks)}
    for part, shift in DIGITS:
        if not pending:
            break
        counts = {search.prefix: np.zeros(1 << 16, np.int64) for search in pending.values()}
        for triple in stream():
            for prefix, histogram in counts.items():
                digit = triple[part][_matches(prefix, triple)] >> triple[part].dtype.type(shift)
                histogram += np.bincount((digit & digit.dtype.type(0xFFFF)).astype(np.int64), minlength=1 << 16)
        small: dict[int, _Search] = {}
        for rank, search in list(pending.items()):
            size = search.narrow(part, shift, counts[search.prefix])
            if size <= GATHER:
                small[rank] = pending.pop(rank)
        found |= _gather(stream, small)
    for rank, search in pending.items():  # a crowd of equal codes and keys: the place in the corpus decides
        found[rank] = _in_order(stream, search)
    return [found[rank] for rank in ranks]


@dataclass
class _Search:
    """What is known of the row of one rank: fixed high bits per part of the triple, and how many rows are before them."""

    left: int
    masks: tuple[int, int] = (0, 0)
    bits: tuple[int, int] = (0, 0)

    @property
    def prefix(self) -> tuple[int, int, int, int]:
        return (*self.masks, *self.bits)

    def narrow(self, part: int, shift: int, histogram: np.ndarray) -> int:
        """Fix one more digit; returns the number of rows that share all fixed digits."""
        ends = np.cumsum(histogram)
        digit = int(np.searchsorted(ends, self.left, side="right"))
        self.left -= int(ends[digit] - histogram[digit])
        masks, bits = list(self.masks), list(self.bits)
        masks[part] |= 0xFFFF << shift
        bits[part] |= digit << shift
        self.masks, self.bits = (masks[0], masks[1]), (bits[0], bits[1])
        return int(histogram[digit])


def _matches(prefix: tuple[int, int, int, int], triple: Triples) -> np.ndarray | slice:
    mask_code, mask_key, code, key = prefix
    if not mask_code:
        return slice(None)
    match = (triple[0] & np.uint32(mask_code)) == np.uint32(code)
    return match & ((triple[1] & np.uint64(mask_key)) == np.uint64(key)) if mask_key else match


def _gather(stream: Callable[[], Iterable[Triples]], searches: dict[int, _Search]) -> dict[int, Cut]:
    if not searches:
        return {}
    parts: dict[tuple, list[Triples]] = {search.prefix: [] for search in searches.values()}
    for triple in stream():
        for prefix, kept in parts.items():
            match = _matches(prefix, triple)
            kept.append((triple[0][match], triple[1][match], triple[2][match]))
    found: dict[int, Cut] = {}
    for rank, search in searches.items():
        code, key, sequence = (np.concatenate(column) for column in zip(*parts[search.prefix]))
        at = np.lexsort((sequence, key, code))[search.left]
        found[rank] = Cut(int(code[at]), int(key[at]), int(sequence[at]))
    return found


def _in_order(stream: Callable[[], Iterable[Triples]], search: _Search) -> Cut:
    left = search.left
    for triple in stream():
        here = triple[2][_matches(search.prefix, triple)]
        if left < len(here):
            return Cut(*search.bits, int(here[left]))
        left -= len(here)
    raise IndexError("a rank beyond the last row")


def ntile_bounds(n: int, tiles: int = 100) -> list[int]:
    """Where tiles end: bounds[t] rows are in the first t tiles, the remainder going to the first ones (SQL's NTILE).

    >>> ntile_bounds(205, 100)[:7]
    [0, 3, 6, 9, 12, 15, 17]
    """
    return [t * (n // tiles) + min(t, n % tiles) for t in range(tiles + 1)]
