"""CSV and TSV with a header; quoted line ends are respected; one block per file."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from antivenom.data.batching import Gatherer
from antivenom.data.readers.jsonl import position_of
from antivenom.data.readers.lines import iter_lines
from antivenom.data.rows import Batch, Block, Segment

__all__ = ["SUFFIX", "broken", "fields", "plan", "read", "read_records", "replace", "write"]

SUFFIX = ".csv"


def plan(root: str, files: Sequence[str], block_bytes: int, options: dict) -> Iterator[tuple[list[Segment], int]]:
    """One block per file: where a quoted field ends is known only from its beginning."""
    for file in files:
        size = Path(root, file).stat().st_size
        yield [Segment(file, 0, size)], size


def fields(root: str, file: str, options: dict) -> dict[str, object]:
    """The header."""
    record, problem = next(read_records(Path(root, file), options["max_row_bytes"]), ([], None))
    return {} if problem else dict.fromkeys(map(_named, record), "")


def read(block: Block) -> Iterator[Batch]:
    """The rows of a block; a record with another number of fields than the header goes to quarantine.

    Quotes are read strictly (RFC 4180): text after a closing quote, or a quote that is never closed, is refused rather
    than guessed at. Reading goes on at the line after a refused one.
    """
    for segment in block.segments:
        yield from _read_file(Path(block.root, segment.file), segment.file, block.options)


def _read_file(path: Path, file: str, options: dict) -> Iterator[Batch]:
    text_field, id_field = options["text_field"], options.get("id_field")
    header: list[str] = []
    gathered = Gatherer(lambda rows: _source(rows, header))
    number = text_at = id_at = 0
    for record, problem in read_records(path, options["max_row_bytes"]):
        if not header:
            missing = next((name for name in (text_field, id_field) if name and name not in record), None)
            if problem or missing:
                what = problem or f"the header has no column '{missing}'"
                gathered.refuse(file, 0, what, _shown(",".join(record)))
                break
            header = [_named(name) for name in record]
            text_at = header.index(text_field)
            id_at = header.index(id_field) if id_field else -1
            continue
        number += 1
        if not problem and len(record) != len(header):
            problem = f"{len(record)} fields where the header has {len(header)}"
        if not problem and any(broken(value) for value in record):
            problem = "invalid UTF-8"
        if problem:
            gathered.refuse(file, position_of(number, problem), problem, _shown(",".join(record)))
        else:
            row_id = record[id_at] if id_at >= 0 else None
            gathered.add(record[text_at], file, number, record, row_id, size=sum(map(len, record)))
        if gathered.full:
            yield gathered.batch()
    if gathered.waiting:
        yield gathered.batch()


def write(block: Block, tables: Iterator[pa.Table], path: str) -> int:
    """Write records under the original header, comma separated."""
    rows = 0
    with Path(path).open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        for table in tables:
            if not rows:
                writer.writerow(table.column_names)
            writer.writerows(zip(*(column.to_pylist() for column in table.columns)))
            rows += table.num_rows
    return rows


def replace(block: Block, source: pa.Table, texts: dict[int, str]) -> pa.Table:
    """The same records with some texts replaced."""
    index = source.column_names.index(block.options["text_field"])
    values = source.column(index).to_pylist()
    for row, text in texts.items():
        values[row] = text
    return source.set_column(index, source.column_names[index], pa.array(values, pa.large_string()))


def read_records(path: Path, limit: int) -> Iterator[tuple[list[str], str | None]]:
    """The records of a file, blank lines left out, each with the reason why it is none."""
    csv.field_size_limit(limit)
    lines = _TextLines(path, limit)
    reader = csv.reader(lines, delimiter="\t" if ".tsv" in path.name else ",", strict=True)
    while True:
        problem = None
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            record, problem = [], lines.problem or f"bad CSV at line {lines.number}: {error}"
            lines.problem = None
        lines.held = 0
        if record or problem:
            yield record, problem


class _TextLines:
    """The lines of a file as text; one that cannot be read is raised as csv.Error, and reading can go on after it."""

    def __init__(self, path: Path, limit: int):
        self.lines = iter_lines(path, 0, None, limit)
        self.limit = limit
        self.number = 0
        self.held = 0  # bytes of the record being read: one record may span any number of lines
        self.problem: str | None = None

    def __iter__(self) -> "_TextLines":
        return self

    def __next__(self) -> str:
        raw, self.problem = next(self.lines)
        self.number += 1
        self.held += len(raw) + 1
        if self.held > self.limit + 1 and not self.problem:
            self.problem = f"the row is over the limit of {self.limit:,} bytes"
        if self.problem:
            raise csv.Error(self.problem)
        text = raw.decode("utf-8", "surrogateescape")
        return (text.removeprefix("\ufeff") if self.number == 1 else text) + "\n"


def broken(text: str) -> bool:
    """Whether a text holds bytes that were no UTF-8."""
    if text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _named(column: str) -> str:
    return column.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _shown(text: str) -> str:
    return _named(text[:400])


def _source(records: list[list[str]], header: list[str]) -> pa.Table:
    columns = zip(*records) if records else [[] for _ in header]
    return pa.Table.from_arrays([pa.array(list(column), pa.large_string()) for column in columns], names=header)
