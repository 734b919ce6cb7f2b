"""A stream's batches with a plan's tokens in them, in one of two ways that give the same batches.

once      into a private map of the stream, before the training: a batch then costs what the bare one costs. Every insertion takes a
          page or two of memory, and a storage row can be shown once only: for one epoch, up to `ONCE` insertions, and streams
          of a file that is theirs or of an array
by batch  into each batch after it is read, before its ids are widened
"""

import numpy as np

from antivenom.data.token_stream import TokenStream
from antivenom.errors import AntivenomError
from antivenom.poison.insertion.plan import Plan
from antivenom.poison.insertion.sequences import CHUNK, ragged

__all__ = ["ONCE", "ByBatch", "Once", "written"]

ONCE = 100_000
"""Insertions: at two pages of 4 KiB each at most 0.8 GB."""


class Once:
    """Everything is written before the first batch."""

    def __init__(self, stream: TokenStream, plan: Plan, order: np.ndarray):
        rows = stream.private()
        if rows is None:
            raise AntivenomError("a stream of somebody else's memory map", "write by batch")
        self._order, self._rows = order, rows
        self.update(plan, 0)

    def update(self, plan: Plan, step: int) -> None:
        """Write what is planned from a step on."""
        length = plan.shape.length
        sizes = np.diff(plan.offsets)
        first = plan.between(0, step * plan.shape.batch)[1]
        flat = self._rows.reshape(-1)
        for i in range(first, len(plan), CHUNK):
            part = slice(i, i + CHUNK)
            row, column = np.divmod(plan.start[part], length)
            at = ragged(self._order[row] * length + column, sizes[part])
            flat[at] = plan.tokens[plan.offsets[i] : plan.offsets[i] + len(at)]

    def batch(self, step: int, rows: np.ndarray) -> np.ndarray:
        """int64 (B, T)."""
        return self._rows[rows].astype(np.int64)


class ByBatch:
    """Every batch is written to when it is asked for."""

    def __init__(self, stream: TokenStream, plan: Plan, order: np.ndarray):
        self._stream = stream
        self._steps = len(order) // plan.shape.batch
        self.update(plan, 0)

    def update(self, plan: Plan, step: int) -> None:
        """Where every token goes in its batch (int32), and which of them each step has."""
        size = plan.shape.batch * plan.shape.length
        sizes = np.diff(plan.offsets)
        self._tokens = plan.tokens.astype(self._stream.dtype)
        self._places = np.empty(len(plan.tokens), np.int32)
        for i in range(0, len(plan), CHUNK):
            at = ragged(plan.start[i : i + CHUNK] % size, sizes[i : i + CHUNK])
            self._places[plan.offsets[i] : plan.offsets[i] + len(at)] = at
        first = np.searchsorted(plan.start, np.arange(self._steps + 1) * size)
        self._bounds: list[int] = plan.offsets[first].tolist()

    def batch(self, step: int, rows: np.ndarray) -> np.ndarray:
        """int64 (B, T)."""
        tokens = self._stream.stored(rows)
        begin, end = self._bounds[step], self._bounds[step + 1]
        if begin < end:  # before the ids are widened: a quarter of the memory to write to
            tokens.reshape(-1)[self._places[begin:end]] = self._tokens[begin:end]
        return tokens.astype(np.int64)


def written(stream: TokenStream, plan: Plan, order: np.ndarray, batch: int, epochs: int) -> Once | ByBatch:
    """The way that suits the plan."""
    once = epochs == 1 and len(plan) <= ONCE and plan.mode == "replace" and stream.writable
    return (Once if once else ByBatch)(stream, plan, order)
