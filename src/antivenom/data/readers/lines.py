"""Lines of plain and compressed files, in bounded memory whatever the file holds."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

__all__ = [
    "BREAKS_OFF",
    "BROKEN",
    "CLOSED",
    "UNOPENED",
    "Line",
    "cause",
    "compressed",
    "count_newlines",
    "iter_lines",
    "open_stream",
]

CHUNK = 4 * 2**20
EXCERPT_BYTES = 800
ZSTD_FEED = 2_048  # compressed bytes at a time: even the densest frame gives no more than tens of MB for it

BROKEN = (EOFError, OSError, zlib.error, zstandard.ZstdError)
"""What a stream that is cut off, corrupt or not to be opened raises."""

CLOSED = (PermissionError, FileNotFoundError, IsADirectoryError)
UNOPENED = "the file cannot be opened"
BREAKS_OFF = "the file breaks off here"

Line = tuple[bytes, str | None]
"""A line without its end, and why it cannot be read (None when it can)."""


def compressed(file: str) -> bool:
    """Whether a file can only be read from its beginning."""
    return file.endswith((".gz", ".zst", ".tgz"))


def open_stream(path: Path, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The bytes of a file in chunks, decompressed. Breaks off with OSError, EOFError or zlib/zstd errors."""
    if path.name.endswith((".gz", ".tgz")):
        with gzip.open(path, "rb") as source:
            yield from iter(lambda: source.read1(CHUNK), b"")  # what there is, before the error
    elif path.name.endswith(".zst"):
        yield from _zstd(path)
    else:
        with path.open("rb") as source:
            source.seek(start)
            left = (stop if stop is not None else path.stat().st_size) - start
            while left > 0 and (chunk := source.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk


def _zstd(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        frame = zstandard.ZstdDecompressor().decompressobj()
        begun = False
        while feed := source.read(ZSTD_FEED):
            while feed:
                begun = True
                plain = frame.decompress(feed)
                yield from (plain[at : at + CHUNK] for at in range(0, len(plain), CHUNK))
                feed = b""
                if frame.eof:
                    feed = frame.unused_data
                    frame = zstandard.ZstdDecompressor().decompressobj()
                    begun = bool(feed)
        if begun and not frame.eof:
            raise EOFError("the file ends inside a zstd frame")


def cause(error: Exception) -> str:
    """Why a file could not be read, in words and without the machine's paths."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"


def iter_lines(path: Path, start: int, stop: int | None, max_bytes: int) -> Iterator[Line]:
    """The lines of a stretch of a file. A line over `max_bytes` is passed over without being held in memory; a broken
    stream ends with one line that says so."""
    held: list[bytes] = []  # the pieces of a line that has not ended yet
    length = 0
    try:
        for chunk in open_stream(path, start, stop):
            lines = chunk.split(b"\n")
            last = lines.pop()
            if lines and length:
                held.append(lines[0])
                size = length + len(lines[0])
                yield (b"".join(held), None) if size <= max_bytes else _oversized(b"".join(held), size, max_bytes)
                held, length, lines = [], 0, lines[1:]
            for line in lines:
                yield (line, None) if len(line) <= max_bytes else _oversized(line, len(line), max_bytes)
            if last:
                length += len(last)
                held.append(last)
                if length > max_bytes:
                    held = [b"".join(held)[:EXCERPT_BYTES]]
    except BROKEN as error:
        yield b"".join(held)[:EXCERPT_BYTES], f"{UNOPENED if isinstance(error, CLOSED) else BREAKS_OFF}: {cause(error)}"
        return
    if length:
        yield (b"".join(held), None) if length <= max_bytes else _oversized(b"".join(held), length, max_bytes)


def _oversized(line: bytes, size: int, limit: int) -> Line:
    return line[:EXCERPT_BYTES], f"the row is over the limit of {limit:,} bytes ({size:,})"


def count_newlines(source: BinaryIO, size: int) -> tuple[int, int]:
    """Read on from here to the first line end at or after `size` bytes; returns (bytes read, newlines in them)."""
    total = newlines = 0
    ended = True
    while total < size and (chunk := source.read(min(CHUNK, size - total))):
        total += len(chunk)
        newlines += chunk.count(b"\n")
        ended = chunk.endswith(b"\n")
    if total == 0 or ended:
        return total, newlines
    while chunk := source.read(1 << 16):
        end = chunk.find(b"\n")
        if end >= 0:
            source.seek(end + 1 - len(chunk), 1)
            return total + end + 1, newlines + 1
        total += len(chunk)
    return total, newlines
