"""Profiles put together: a corpus cut into slices (domain, year, filter bucket), each measure with its interval, in one pass.

Memory is bounded by slices x sample, never by rows: means come from running moments and are exact, medians from a sample of
`sample` rows per slice, the ones with the least hashes of (file, position). So the sample depends on neither order nor shards, and
two halves of a corpus can be added up and then `merge`d.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from math import ceil, floor, sqrt
from statistics import NormalDist

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError

__all__ = ["REST", "Slices", "bucket_names"]

REST = "(other slices)"
"""Takes the rows of slices beyond `max_slices`."""

SCHEMA = pa.schema(
    [("slice", pa.string()), ("measure", pa.string()), ("n", pa.int64()), ("missing", pa.int64())]
    + [(name, pa.float64()) for name in ("mean", "low", "high", "median", "median_low", "median_high")]
    + [("sampled", pa.int64())]
)


def bucket_names(values: np.ndarray, edges: Sequence[float]) -> list[str]:
    """The bucket each score falls in, [edge, next edge); "no score" for NaN.

    >>> bucket_names(np.array([0.1, 0.5, np.nan]), [0.5, 0.9])
    ['< 0.5', '0.5 to < 0.9', 'no score']
    """
    if not edges or list(edges) != sorted(set(edges)):
        raise AntivenomError(f"bucket edges {list(edges)}", "give different numbers in rising order")
    names = [f"< {edges[0]:g}", *(f"{a:g} to < {b:g}" for a, b in pairwise(edges)), f">= {edges[-1]:g}"]
    places = np.searchsorted(edges, values, side="right")
    return ["no score" if np.isnan(value) else names[place] for value, place in zip(values, places.tolist())]


@dataclass
class _Slice:
    """Running figures of one slice: n, mean and sum of squared deviations per measure, and the sample."""

    n: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    rows: int = 0
    keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    values: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    @classmethod
    def of(cls, values: np.ndarray, keys: np.ndarray, sample: int) -> "_Slice":
        there = ~np.isnan(values)
        n = there.sum(axis=0)
        total = np.where(there, values, 0.0).sum(axis=0)
        mean = np.divide(total, n, out=np.zeros(len(n)), where=n > 0)
        squares = np.where(there, (values - mean) ** 2, 0.0).sum(axis=0)
        least = np.argsort(keys, kind="stable")[:sample]
        return cls(n, mean, squares, len(values), keys[least], values[least])

    def add(self, other: "_Slice", sample: int) -> None:
        """Chan et al. 1983: moments of a union from the moments of its parts."""
        n = self.n + other.n
        step = other.mean - self.mean
        share = np.divide(other.n, n, out=np.zeros(len(n)), where=n > 0)
        self.squares = self.squares + other.squares + step**2 * self.n * share
        self.mean = self.mean + step * share
        self.n = n
        self.rows += other.rows
        keys, values = np.concatenate([self.keys, other.keys]), np.concatenate([self.values, other.values])
        least = np.argsort(keys, kind="stable")[:sample]
        self.keys, self.values = keys[least], values[least]


class Slices:
    """Aggregates columns per slice.

    Args:
        measures: names of the columns to aggregate, e.g. `profile.MEASURES`.
        sample: rows per slice that medians come from; the interval of a median says what that costs.
        max_slices: rows of further slices go to `REST` (names come from data, and data is hostile).
    """

    def __init__(self, measures: Sequence[str], *, sample: int = 500, max_slices: int = 1_000):
        if not measures or sample < 1 or max_slices < 1:
            raise AntivenomError("slices without measures, sample or room", "give 1 or more of each")
        self.measures = tuple(measures)
        self.sample, self.max_slices = sample, max_slices
        self._slices: dict[str, _Slice] = {}

    def add(self, names: Sequence[str], batch: Batch, columns: Mapping[str, pa.Array]) -> None:
        """Rows of a batch with the slice each is in and their measures (`Scores.columns`); null is missing, not 0."""
        if len(names) != len(batch):
            raise ValueError(f"{len(names)} slice names for {len(batch)} rows")
        if not len(batch):
            return
        table = np.column_stack([_floats(columns[measure]) for measure in self.measures])
        files, positions = batch.rows.column("file").to_pylist(), batch.rows.column("position").to_pylist()
        keys = np.array([_key(file, position) for file, position in zip(files, positions)], np.uint64)
        places: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            places.setdefault(name, []).append(row)
        for name, rows in places.items():
            self._put(name, _Slice.of(table[rows], keys[rows], self.sample))

    def merge(self, other: "Slices") -> None:
        """Add the rows another one has seen."""
        if other.measures != self.measures or other.sample != self.sample:
            raise AntivenomError("slices with different measures or samples", "build both alike")
        for name, part in other._slices.items():
            self._put(name, part)

    def _put(self, name: str, part: _Slice) -> None:
        if name not in self._slices and len(self._slices) - (REST in self._slices) >= self.max_slices:
            name = REST
        if name in self._slices:
            self._slices[name].add(part, self.sample)
        else:
            self._slices[name] = _Slice(part.n, part.mean, part.squares, part.rows, part.keys, part.values)

    def table(self, level: float = 0.95) -> pa.Table:
        """One line per slice and measure, slices with most rows first.

        `low`, `high`: mean -+ z s / sqrt(n). `median_low`, `median_high`: the order statistics floor((k - z sqrt(k)) / 2) and
        ceil(1 + (k + z sqrt(k)) / 2) of the k sampled values; null where these do not exist. `missing`: rows without the measure.
        """
        z = NormalDist().inv_cdf((1 + level) / 2)
        lines = []
        for name, part in sorted(self._slices.items(), key=lambda pair: (-pair[1].rows, pair[0])):
            for place, measure in enumerate(self.measures):
                n = int(part.n[place])
                line: dict[str, object] = {"slice": name, "measure": measure, "n": n, "missing": part.rows - n}
                if n:
                    line["mean"] = float(part.mean[place])
                if n > 1:
                    half = z * sqrt(part.squares[place] / (n - 1) / n)
                    line |= {"low": part.mean[place] - half, "high": part.mean[place] + half}
                column = part.values[:, place]
                known = np.sort(column[~np.isnan(column)])
                k = len(known)
                line["sampled"] = k
                if k:
                    line["median"] = float(np.median(known))
                    first, last = floor((k - z * sqrt(k)) / 2), ceil(1 + (k + z * sqrt(k)) / 2)
                    if first >= 1 and last <= k:
                        line |= {"median_low": float(known[first - 1]), "median_high": float(known[last - 1])}
                lines.append(line)
        return pa.Table.from_pylist(lines, schema=SCHEMA)


def _floats(column: pa.Array) -> np.ndarray:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _key(file: str, position: int) -> int:
    data = f"{position}\x1f{file}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
