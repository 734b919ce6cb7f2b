"""Rows, batches and blocks: what a corpus is made of.

A corpus is split into *blocks* (the unit of work, of resumption and of output), a block is read as
a stream of *batches* (the unit of memory), a batch holds *rows*.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from antivenom.data.words import WordTable

__all__ = ["ROW_SCHEMA", "Batch", "Block", "Quarantined", "Reader", "Segment", "batch_of", "content_id"]

ROW_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
    ]
)
"""The four columns every reader delivers.

`id` is the content hash of the text unless the user names a column (rows with equal text share it); `file` is
relative to the corpus root; `position` is 1-based inside the file (line, row or member), so (`file`, `position`) is unique.
"""


def content_id(text: str) -> str:
    """The id of a row without one of its own: 128-bit BLAKE2b of its UTF-8 text, as 32 hex digits."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Quarantined:
    """A row that could not be read: where, and why. Never lost, never passed on."""

    file: str
    position: int
    reason: str
    excerpt: str = ""


@dataclass(frozen=True)
class Segment:
    """A stretch of one file: bytes or row groups [start, stop), whose first row has position `first`."""

    file: str
    start: int
    stop: int
    first: int = 1


@dataclass(frozen=True)
class Block:
    """A unit of work: one or more segments, of one format, under one root. Plain data, so that it travels."""

    index: int
    format: str
    root: str
    segments: tuple[Segment, ...]
    size: int
    options: dict = field(default_factory=dict)


@dataclass
class Batch:
    """Rows read together, with what is needed to write them back unchanged.

    Args:
        rows: table of `ROW_SCHEMA`, in file order.
        source: the same rows as the format had them (one row each, same order); the format's writer takes a
            selection of it and loses nothing (JSONL: the raw line; Parquet: all original columns).
        quarantined: rows met between these that could not be read.
    """

    rows: pa.Table
    source: pa.Table
    quarantined: list[Quarantined] = field(default_factory=list)

    def __len__(self) -> int:
        return self.rows.num_rows

    @cached_property
    def texts(self) -> pa.LargeStringArray:
        """The text column as one contiguous Arrow array (kernels read its buffers without a copy)."""
        column = self.rows.column("text").combine_chunks()
        return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column

    @cached_property
    def words(self) -> "WordTable":
        """The folded words of the texts, hashed once and shared by all detectors."""
        from antivenom.data.words import hash_words

        return hash_words(self.texts)


def batch_of(texts: Sequence[str], file: str = "memory", ids: Sequence[str] | pa.StringArray | None = None) -> Batch:
    """A batch made of texts that are already here; without `ids` a row's is its content's.

    >>> len(batch_of(["one", "two"]))
    2
    """
    n = len(texts)
    named = pa.array([content_id(t) for t in texts] if ids is None else ids, pa.string())
    columns = [named, pa.array(list(texts), pa.large_string()), pa.repeat(pa.scalar(file, pa.string()), n)]
    rows = pa.table([*columns, pa.array(np.arange(1, n + 1))], schema=ROW_SCHEMA)
    return Batch(rows, rows.select(["text"]))


class Reader(Protocol):
    """Reads one format. `plan` is cheap and deterministic; `read` of a block does not depend on other blocks."""

    format: str

    def plan(self, root: str, files: Sequence[str], *, block_bytes: int, options: dict) -> Iterator[Block]:
        """Split files into blocks of about `block_bytes`."""
        ...

    def read(self, block: Block) -> Iterator[Batch]:
        """The batches of a block, in order."""
        ...

    def write(self, sources: Iterator[pa.Table], path: str) -> int:
        """Write selected `source` tables to `path` (format's suffix is the reader's); returns the number of rows."""
        ...
