"""Rows gathered into batches: bounded by number and by size, whatever the format."""

from collections.abc import Callable

import pyarrow as pa

from antivenom.data.quarantine import EXCERPT_CHARACTERS, printable
from antivenom.data.rows import ROW_SCHEMA, Batch, Quarantined, content_id

__all__ = ["BATCH_BYTES", "BATCH_ROWS", "Gatherer", "text_problem"]

BATCH_ROWS = 4_096
BATCH_BYTES = 8 * 2**20


def text_problem(value: object, field: str) -> str | None:
    """Why a value cannot be a row's text, or None when it can."""
    if value is None:
        return f"the field '{field}' is missing or null"
    if not isinstance(value, str):
        return f"the field '{field}' is {_article(value)}, not text"
    return None


def _article(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object", bytes: "bytes"}
    return names.get(type(value), f"a {type(value).__name__}")


class Gatherer:
    """Collects rows, their sources and what went to quarantine, until a batch is full.

    Args:
        to_source: makes the `source` table from the collected source values.

    Names of files that are no UTF-8 are shown with backslashes (`\\udcff.txt`).
    """

    def __init__(self, to_source: Callable[[list], pa.Table]):
        self.to_source = to_source
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.files: list[str] = []
        self.positions: list[int] = []
        self.sources: list = []
        self.quarantined: list[Quarantined] = []
        self.size = 0

    def add(
        self, text: str, file: str, position: int, source: object, row_id: str | None = None, *, size: int = 0
    ) -> None:
        """Take a row; `size` is what its source weighs, in bytes, unless that is the source's own length."""
        self.ids.append(content_id(text) if row_id is None else row_id)
        self.texts.append(text)
        self.files.append(file if file.isascii() else printable(file))
        self.positions.append(position)
        self.sources.append(source)
        # a row with a short text and a long rest weighs by its rest
        self.size += max(len(text), len(source)) if isinstance(source, bytes) else max(len(text), size)

    def refuse(self, file: str, position: int, reason: str, excerpt: str = "") -> None:
        """Put a row into quarantine."""
        self.quarantined.append(
            Quarantined(printable(file), position, reason, printable(excerpt[:EXCERPT_CHARACTERS])[:EXCERPT_CHARACTERS])
        )

    @property
    def full(self) -> bool:
        """Time to hand the batch on."""
        return len(self.texts) >= BATCH_ROWS or self.size >= BATCH_BYTES or len(self.quarantined) >= BATCH_ROWS

    @property
    def waiting(self) -> bool:
        """Something has been collected."""
        return bool(self.texts or self.quarantined)

    def batch(self) -> Batch:
        """Hand the batch on and begin anew."""
        columns = [self.ids, pa.array(self.texts, pa.large_string()), self.files, self.positions]
        rows = pa.table(columns, schema=ROW_SCHEMA)
        batch = Batch(rows, self.to_source(self.sources), self.quarantined)
        self.__init__(self.to_source)
        return batch
