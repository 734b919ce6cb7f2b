"""Rows that could not be read: where, why, and the beginning of what was there. Counted, kept, never passed on."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import orjson

from antivenom.data.rows import Quarantined

__all__ = ["duplicate_ids", "excerpt_of", "printable", "quarantine_lines", "read_quarantine"]

EXCERPT_CHARACTERS = 200
PARTITIONS = 64


def quarantine_lines(rows: Iterable[Quarantined]) -> Iterator[bytes]:
    """The lines of quarantine.jsonl; excerpts are cut to 200 characters, lone surrogates are spelled out."""
    for row in rows:
        line = {
            "file": row.file,
            "position": row.position,
            "reason": row.reason,
            "excerpt": printable(row.excerpt)[:EXCERPT_CHARACTERS],
        }
        clean = {key: printable(value) if isinstance(value, str) else value for key, value in line.items()}
        yield orjson.dumps(clean) + b"\n"


def read_quarantine(path: str | Path) -> list[Quarantined]:
    """The quarantined rows of a run."""
    return [Quarantined(**orjson.loads(line)) for line in Path(path).read_bytes().splitlines() if line]


def excerpt_of(raw: bytes) -> str:
    """The beginning of a raw row, as text that can be shown."""
    return raw[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace")[:EXCERPT_CHARACTERS]


def duplicate_ids(ids: Iterable[str]) -> int:
    """How many ids were seen before.

    Ids are hashed to 64 bits and counted in 64 partitions, so that memory is 8 bytes a row (a false duplicate is
    expected once in 2^64 / n^2 corpora of n rows).
    """
    parts: list[list[np.ndarray]] = [[] for _ in range(PARTITIONS)]
    chunk: list[int] = []

    def spill() -> None:
        hashes = np.array(chunk, dtype=np.int64).view(np.uint64)
        for part in range(PARTITIONS):
            parts[part].append(hashes[hashes % PARTITIONS == part])
        chunk.clear()

    for value in ids:
        chunk.append(hash64(value))
        if len(chunk) == 1 << 18:
            spill()
    spill()
    total = 0
    for part in parts:
        hashes = np.concatenate(part)
        total += len(hashes) - len(np.unique(hashes))
    return total


def hash64(value: str) -> int:
    """A signed 64-bit hash of an id that does not change from process to process."""
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def printable(text: str) -> str:
    """Text that can be written as UTF-8: lone surrogates, such as the bad bytes of a file name, are shown as `\\udcff`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
