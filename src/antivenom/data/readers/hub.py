"""Hugging Face `datasets`: an id on the hub, or a folder that `save_to_disk` wrote. Rows are written as Parquet."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from antivenom.data.readers import parquet
from antivenom.data.rows import Batch, Block, Segment
from antivenom.errors import AntivenomError, MissingExtra

__all__ = ["SUFFIX", "fields", "plan", "read", "write"]

SUFFIX = ".parquet"
ROWS = 50_000
write = parquet.write
replace = parquet.replace


@lru_cache(maxsize=4)
def _load(root: str, split: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "models", f"reading '{root}' from the hub") from None
    try:
        found = datasets.load_from_disk(root) if Path(root).exists() else datasets.load_dataset(root, split=split)
    except Exception as error:
        raise AntivenomError(
            f"cannot load '{root}': {error}", "check the id, the split and the network, or give a local file"
        ) from error
    if isinstance(found, dict):
        if split not in found:
            raise AntivenomError(f"'{root}' has no split '{split}'", f"it has: {', '.join(map(str, found))}")
        found = found[split]
    return found.with_format("arrow")


def plan(root: str, files: Sequence[str], block_bytes: int, options: dict) -> Iterator[tuple[list[Segment], int]]:
    """Ranges of rows."""
    split = options.get("split") or "train"
    total = len(_load(root, split))
    for start in range(0, total, ROWS):
        yield [Segment(split, start, min(total, start + ROWS), start + 1)], block_bytes


def fields(root: str, file: str, options: dict) -> dict[str, object]:
    """The columns."""
    schema = _load(root, options.get("split") or "train").data.schema
    return {
        field.name: "" if pa.types.is_string(field.type) or pa.types.is_large_string(field.type) else None
        for field in schema
    }


def read(block: Block) -> Iterator[Batch]:
    """The rows of a block."""
    for segment in block.segments:
        data = _load(block.root, segment.file)
        for start in range(segment.start, segment.stop, 1_024):
            table = data[start : min(segment.stop, start + 1_024)]
            yield parquet.read_table(table, segment.file, start + 1, block.options)
