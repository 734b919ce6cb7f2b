"""Text and source files, plain or compressed (.txt.gz, .txt.zst): one file a row (or one line a row); kept rows are written as JSON lines."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pyarrow as pa

from antivenom.data.batching import Gatherer
from antivenom.data.quarantine import excerpt_of, printable
from antivenom.data.readers import jsonl
from antivenom.data.readers.lines import BREAKS_OFF, BROKEN, CLOSED, UNOPENED, cause, iter_lines, open_stream
from antivenom.data.rows import Batch, Block, Segment

__all__ = ["SUFFIX", "fields", "plan", "read", "write"]

SUFFIX = ".jsonl"
write = jsonl.write


def plan(root: str, files: Sequence[str], block_bytes: int, options: dict) -> Iterator[tuple[list[Segment], int]]:
    """Small files are put together; with `per_line` a file is split like JSON lines."""
    if options.get("per_line"):
        yield from jsonl.plan(root, files, block_bytes, options)
        return
    segments: list[Segment] = []
    size = 0
    for file in files:
        length = Path(root, file).stat().st_size
        segments.append(Segment(file, 0, length))
        size += length
        if size >= block_bytes or len(segments) >= 10_000:
            yield segments, size
            segments, size = [], 0
    if segments:
        yield segments, size


def fields(root: str, file: str, options: dict) -> dict[str, object]:
    """A text file has one field."""
    return {"text": ""}


def read(block: Block) -> Iterator[Batch]:
    """The rows of a block; what is no UTF-8 or over the limit goes to quarantine, an empty file is no row."""
    gathered = Gatherer(_source)
    for segment in block.segments:
        for position, raw, problem in _rows(block, segment):
            text = ""
            if not problem:
                try:
                    text = raw.decode("utf-8-sig" if position == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    problem = f"invalid UTF-8 at byte {error.start}"
            if problem:
                gathered.refuse(segment.file, jsonl.position_of(position, problem), problem, excerpt_of(raw))
            else:
                gathered.add(text, segment.file, position, (segment.file, position, text))
            if gathered.full:
                yield gathered.batch()
    if gathered.waiting:
        yield gathered.batch()


def _rows(block: Block, segment: Segment) -> Iterator[tuple[int, bytes, str | None]]:
    path = Path(block.root, segment.file)
    limit = block.options["max_row_bytes"]
    if block.options.get("per_line"):
        lines = iter_lines(path, segment.start, segment.stop, limit)
        yield from (
            (n, raw, problem) for n, (raw, problem) in enumerate(lines, segment.first) if raw.strip() or problem
        )
        return
    raw = b""
    try:
        for chunk in open_stream(path):
            raw += chunk[: limit + 1 - len(raw)]
            if len(raw) > limit:  # the rest is not even decompressed
                break
    except BROKEN as error:
        yield 1, raw, f"{UNOPENED if isinstance(error, CLOSED) else BREAKS_OFF}: {cause(error)}"
        return
    over = f"the row is over the limit of {limit:,} bytes" if len(raw) > limit else None
    if raw or over:
        yield 1, raw, over


def replace(block: Block, source: pa.Table, texts: dict[int, str]) -> pa.Table:
    """The same rows with some texts replaced."""
    lines = source.column("line").to_pylist()
    for row, text in texts.items():
        lines[row] = orjson.dumps(orjson.loads(lines[row]) | {"text": text})
    return pa.table({"line": pa.array(lines, pa.large_binary())})


def _source(rows: list[tuple[str, int, str]]) -> pa.Table:
    lines = [
        orjson.dumps({"file": printable(file), "position": position, "text": text}) for file, position, text in rows
    ]
    return pa.table({"line": pa.array(lines, pa.large_binary())})
