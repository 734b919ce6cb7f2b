"""Near-duplicates: rows that are, as a whole, almost an item (Jaccard similarity of word shingles)."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numba import njit

from antivenom.data.benchmarks import Benchmark
from antivenom.data.rows import Batch
from antivenom.data.words import hash_words
from antivenom.errors import AntivenomError
from antivenom.randomness import generator
from antivenom.screen.detector import Pairs
from antivenom.screen.ngram import all_windows
from antivenom.screen.window_index import WindowIndex, window_hashes

__all__ = ["NearDuplicate", "minhash", "shingles"]


def shingles(symbols: np.ndarray, size: int) -> np.ndarray:
    """The distinct hashes of all runs of `size` words; a shorter text is one run. Sorted."""
    return np.unique(window_hashes(symbols, min(size, len(symbols)))) if len(symbols) else np.zeros(0, np.uint64)


@dataclass
class Signatures:
    """Items' shingles, the buckets of each band of their signatures, and an index of all shingles."""

    shingles: list[np.ndarray]
    buckets: list[dict[int, list[int]]]
    multipliers: np.ndarray
    offsets: np.ndarray
    largest: int
    index: WindowIndex


@dataclass(frozen=True)
class NearDuplicate:
    """Flags a row whose Jaccard similarity with an item is at least `threshold`.

    J(A, B) = |A & B| / |A | B| over sets of `shingle`-word runs. Candidates come from MinHash (`permutations` minima of
    a_i h + b_i mod 2^64, cut into `bands`); every candidate is then measured exactly, so that no false pair is returned.
    A pair at similarity s is missed with probability (1 - s^r)^bands, r = permutations / bands.

    A row that shares not one shingle with any item is passed over before that (no pair is lost by it: its similarity is 0).
    Whole rows are compared: an item INSIDE a long document is no near-duplicate of it (that is what n-grams are for), and a
    row with more than largest item / threshold shingles cannot reach the threshold and is skipped.

    Args:
        threshold: least similarity.
        shingle: words in a run.
        permutations: minima in a signature.
        bands: parts of a signature, any of which must agree.
        seed: for the permutations.
    """

    threshold: float = 0.8
    shingle: int = 5
    permutations: int = 128
    bands: int = 32
    seed: int = 0

    name = "near-duplicate"

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1 or self.permutations % self.bands:
            what = f"near-duplicate with threshold {self.threshold}, {self.permutations} permutations in {self.bands} bands"
            raise AntivenomError(what, "threshold lies in (0, 1], and bands divide permutations")

    @property
    def params(self) -> dict[str, Any]:
        """The parameters."""
        return asdict(self)

    def fit(self, benchmark: Benchmark) -> Signatures:
        """Sign the items."""
        table = hash_words(benchmark.texts)
        draw = generator(self.seed, "minhash")
        multipliers = draw.integers(1, 2**63, self.permutations, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        offsets = draw.integers(0, 2**63, self.permutations, dtype=np.uint64)
        sets = [
            shingles(table.hashes[table.row_offsets[i] : table.row_offsets[i + 1]], self.shingle)
            for i in range(len(benchmark))
        ]
        buckets: list[dict[int, list[int]]] = [{} for _ in range(self.bands)]
        for item, members in enumerate(sets):
            if len(members):
                for band, key in enumerate(self._keys(minhash(members, multipliers, offsets))):
                    buckets[band].setdefault(key, []).append(item)
        windows = all_windows(table.row_offsets, self.shingle)
        index = WindowIndex.build(table.hashes, *windows, len(benchmark))
        return Signatures(sets, buckets, multipliers, offsets, max((len(s) for s in sets), default=0), index)

    def _keys(self, signature: np.ndarray) -> list[int]:
        rows = signature.reshape(self.bands, -1)
        value = np.zeros(self.bands, np.uint64)
        for column in range(rows.shape[1]):
            value = value * np.uint64(0x9E3779B97F4A7C15) + rows[:, column]
        return value.tolist()

    def match(self, state: Signatures, batch: Batch) -> Pairs:
        """Rows that are near-duplicates of an item, with the exact similarity as score."""
        table = batch.words
        found: list[tuple[int, int, float, int, int]] = []
        limit = state.largest / self.threshold + self.shingle
        for row in np.unique(state.index.find(table.hashes, table.row_offsets).row).tolist():
            own = shingles(table.hashes[table.row_offsets[row] : table.row_offsets[row + 1]], self.shingle)
            if len(own) > limit:
                continue
            keys = self._keys(minhash(own, state.multipliers, state.offsets))
            candidates = {item for band, key in enumerate(keys) for item in state.buckets[band].get(key, ())}
            for item in sorted(candidates):
                shared = len(np.intersect1d(own, state.shingles[item], assume_unique=True))
                similarity = shared / (len(own) + len(state.shingles[item]) - shared)
                if similarity >= self.threshold:
                    found.append((row, item, similarity, 0, len(batch.texts[row].as_py())))
        return Pairs.of(*zip(*found)) if found else Pairs.of()


@njit(cache=True, nogil=True)
def minhash(members, multipliers, offsets):
    """The signature of a set of hashes: for each i the least a_i h + b_i mod 2^64."""
    signature = np.full(len(multipliers), np.uint64(0xFFFFFFFFFFFFFFFF))
    for member in members:
        for i in range(len(multipliers)):
            value = member * multipliers[i] + offsets[i]
            if value < signature[i]:
                signature[i] = value
    return signature
