"""What a detector is: a function on a batch that says which rows match which benchmark items.

A detector is prepared once (`fit`, from the benchmark and, if it asks for it, from corpus counts) and then maps
batches to *pairs*. It keeps no other state, so the native runner, a Ray cluster and a plain loop give equal pairs.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from antivenom.data.benchmarks import Benchmark
from antivenom.data.rows import Batch

__all__ = ["PAIR_SCHEMA", "Detector", "Pairs", "RankedDetector", "top_k"]

PAIR_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("item", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("stop", pa.int32(), nullable=False),
    ]
)
"""row: index in the batch; item: index in the benchmark; score: higher = more alike, in the detector's own unit;
[start, stop): the characters of the row's text that carry the evidence (a window or a matched stretch)."""


@dataclass
class Pairs:
    """Matches found in one batch: parallel arrays of `PAIR_SCHEMA`."""

    row: np.ndarray
    item: np.ndarray
    score: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(cls, row: Any = (), item: Any = (), score: Any = (), start: Any = (), stop: Any = ()) -> "Pairs":
        """Build from anything array-like, with the schema's types."""
        ints = [np.asarray(column, dtype=np.int32) for column in (row, item, start, stop)]
        return cls(ints[0], ints[1], np.asarray(score, dtype=np.float32), ints[2], ints[3])

    def to_arrow(self) -> pa.Table:
        """As a table of `PAIR_SCHEMA`."""
        return pa.table([self.row, self.item, self.score, self.start, self.stop], schema=PAIR_SCHEMA)


@runtime_checkable
class Detector(Protocol):
    """Finds pairs by a rule: every pair it returns is a finding.

    `name` is the word users type after `--detectors`; `params` is the record in the run directory.
    `fit(benchmark)` returns a plain picklable state; `match(state, batch)` is pure.
    """

    name: str

    @property
    def params(self) -> dict[str, Any]:
        """Everything that determines the result, as plain data."""
        ...

    def fit(self, benchmark: Benchmark) -> Any:
        """Prepare from the benchmark alone."""
        ...

    def match(self, state: Any, batch: Batch) -> Pairs:
        """Pairs of this batch, sorted by (row, item)."""
        ...


@runtime_checkable
class RankedDetector(Protocol):
    """Retrieves candidates: the `k` nearest rows of the WHOLE corpus for each benchmark item.

    `count(state, batch)` gives corpus statistics as a plain dict of numpy arrays and numbers that add up (`+`) over
    batches, or None when the detector needs none; `finish(state, total)` turns them into the state for `match`, which
    returns the best `k` pairs per item within the batch (at most one per row and item).
    """

    name: str
    k: int

    @property
    def params(self) -> dict[str, Any]:
        """Everything that determines the result, as plain data."""
        ...

    def fit(self, benchmark: Benchmark) -> Any:
        """Prepare from the benchmark alone."""
        ...

    def count(self, state: Any, batch: Batch) -> dict[str, Any] | None:
        """Corpus statistics of one batch."""
        ...

    def finish(self, state: Any, total: dict[str, Any] | None) -> Any:
        """The state for `match`, from the summed statistics."""
        ...

    def match(self, state: Any, batch: Batch) -> Pairs:
        """The best k pairs per item within this batch."""
        ...


def top_k(pairs: Pairs, k: int) -> Pairs:
    """The k best pairs of every item: by falling score, ties by rising row, then start. Stable and total."""
    order = np.lexsort((pairs.start, pairs.row, -pairs.score, pairs.item))
    item = pairs.item[order]
    first = np.r_[True, item[1:] != item[:-1]] if len(item) else np.zeros(0, bool)
    rank = np.arange(len(item)) - np.maximum.accumulate(np.where(first, np.arange(len(item)), 0))
    keep = order[rank < k]
    return Pairs(pairs.row[keep], pairs.item[keep], pairs.score[keep], pairs.start[keep], pairs.stop[keep])
