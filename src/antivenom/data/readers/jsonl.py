"""JSON lines: one object a line; plain files are split into byte ranges, .gz and .zst are read from their beginning."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pyarrow as pa

from antivenom.data.batching import Gatherer, text_problem
from antivenom.data.quarantine import excerpt_of
from antivenom.data.readers.lines import UNOPENED, compressed, count_newlines, iter_lines
from antivenom.data.rows import Batch, Block, Segment

__all__ = ["SUFFIX", "fields", "plan", "read", "write"]

SUFFIX = ".jsonl"
SAMPLE = 20  # objects looked at to find the text field: the first one may lack it


def plan(root: str, files: Sequence[str], block_bytes: int, options: dict) -> Iterator[tuple[list[Segment], int]]:
    """Byte ranges that end at line ends, each with the number of its first line."""
    for file in files:
        path = Path(root, file)
        size = path.stat().st_size
        if compressed(file):
            yield [Segment(file, 0, size)], size
            continue
        at, line = 0, 1
        try:
            with path.open("rb") as source:
                while at < size:
                    length, newlines = count_newlines(source, block_bytes)
                    if not length:
                        break
                    yield [Segment(file, at, at + length, line)], length
                    at, line = at + length, line + newlines
        except OSError:
            yield [Segment(file, at, size, line)], size - at  # read says why, and quarantines it


def fields(root: str, file: str, options: dict) -> dict[str, object]:
    """Which fields there are in the first objects of a file, each with its first value that is text if there is one."""
    found: dict[str, object] = {}
    objects = 0
    for line, problem in iter_lines(Path(root, file), 0, None, options["max_row_bytes"]):
        if problem or not line.strip():
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(record, dict):
            objects += 1
            found |= {name: value for name, value in record.items() if not isinstance(found.get(name), str)}
        if objects == SAMPLE:
            break
    return found


def read(block: Block) -> Iterator[Batch]:
    """The rows of a block; a line that is no JSON object with a text goes to quarantine with its number."""
    text_field, id_field = block.options["text_field"], block.options.get("id_field")
    gathered = Gatherer(_source)
    for segment in block.segments:
        path = Path(block.root, segment.file)
        stop = None if compressed(segment.file) else segment.stop
        number = segment.first - 1
        for raw, problem in iter_lines(path, segment.start, stop, block.options["max_row_bytes"]):
            number += 1
            line = raw.strip()
            if not line and not problem:
                continue
            text, row_id = "", None
            if not problem:
                if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                    line = line[3:]
                text, row_id, problem = _parse(line, text_field, id_field)
            if problem:
                gathered.refuse(segment.file, position_of(number, problem), problem, excerpt_of(line))
            else:
                gathered.add(text, segment.file, number, raw, row_id)
            if gathered.full:
                yield gathered.batch()
    if gathered.waiting:
        yield gathered.batch()


def _parse(line: bytes, text_field: str, id_field: str | None) -> tuple[str, str | None, str | None]:
    """A line's text and id, or why it has none."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return "", None, _why(line, error)
    if not isinstance(record, dict):
        return "", None, "the line is JSON but no object"
    text = record.get(text_field)
    if not isinstance(text, str):
        return "", None, text_problem(text, text_field)
    if not id_field:
        return text, None, None
    if record.get(id_field) is None:
        return "", None, f"the id field '{id_field}' is missing"
    return text, str(record[id_field]), None


def position_of(number: int, problem: str) -> int:
    """Where a refused line stands: its number, or 0 when the file as a whole cannot be opened."""
    return 0 if problem.startswith(UNOPENED) else number


def write(block: Block, tables: Iterator[pa.Table], path: str) -> int:
    """Write raw lines back, byte for byte (a missing last line end is added)."""
    rows = 0
    with Path(path).open("wb") as target:
        for table in tables:
            lines = table.column("line").to_pylist()
            rows += len(lines)
            target.write(b"".join(line + b"\n" for line in lines))
    return rows


def replace(block: Block, source: pa.Table, texts: dict[int, str]) -> pa.Table:
    """The same lines with some texts replaced."""
    lines = source.column("line").to_pylist()
    for row, text in texts.items():
        record = orjson.loads(lines[row].removeprefix(b"\xef\xbb\xbf"))
        record[block.options["text_field"]] = text
        lines[row] = orjson.dumps(record)
    return _source(lines)


def _source(lines: list[bytes]) -> pa.Table:
    return pa.table({"line": pa.array(lines, pa.large_binary())})


def _why(line: bytes, error: Exception) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as bad:
        return f"invalid UTF-8 at byte {bad.start}"
    return f"bad JSON: {error}"
