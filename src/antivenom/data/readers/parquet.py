"""Parquet: blocks are ranges of row groups; all original columns are written back."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from antivenom.data.batching import BATCH_BYTES, text_problem
from antivenom.data.quarantine import excerpt_of, printable
from antivenom.data.readers.lines import cause
from antivenom.data.rows import ROW_SCHEMA, Batch, Block, Quarantined, Segment, content_id

__all__ = ["SUFFIX", "fields", "plan", "read", "read_table", "replace", "write"]

SUFFIX = ".parquet"
ROWS = 1_024
BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)


def plan(root: str, files: Sequence[str], block_bytes: int, options: dict) -> Iterator[tuple[list[Segment], int]]:
    """Ranges of row groups; a file that cannot be opened is one block of its own, for quarantine."""
    for file in files:
        path = Path(root, file)
        try:
            metadata = pq.read_metadata(path)
        except BROKEN:
            yield [Segment(file, 0, 0)], path.stat().st_size if path.exists() else 0
            continue
        start, size, first, rows = 0, 0, 1, 0
        for group in range(metadata.num_row_groups):
            size += metadata.row_group(group).total_byte_size
            rows += metadata.row_group(group).num_rows
            if size >= block_bytes or group == metadata.num_row_groups - 1:
                yield [Segment(file, start, group + 1, first)], size
                start, size, first, rows = group + 1, 0, first + rows, 0


def fields(root: str, file: str, options: dict) -> dict[str, object]:
    """The columns, with an example of the text ones."""
    try:
        schema = pq.read_schema(Path(root, file))
    except BROKEN:
        return {}
    return {field.name: "" if _is_text(field.type) else None for field in schema}


def read(block: Block) -> Iterator[Batch]:
    """The rows of a block; a file whose text column is no text, or a broken row group, is one entry in quarantine."""
    text_field, id_field = block.options["text_field"], block.options.get("id_field")
    for segment in block.segments:
        try:
            file = pq.ParquetFile(Path(block.root, segment.file))
        except BROKEN as error:
            yield _refused(segment.file, 0, f"no readable Parquet: {_cause(error)}")
            continue
        with file:
            problem = _problem(file.schema_arrow, text_field, id_field, file.metadata.num_rows)
            if problem:
                if segment.start == 0:
                    yield _refused(segment.file, 0, problem)
                continue
            first = segment.first
            for group in range(segment.start, segment.stop):
                yield from _read_group(file, segment.file, group, first, block.options)
                first += file.metadata.row_group(group).num_rows


def _read_group(file: pq.ParquetFile, name: str, group: int, first: int, options: dict) -> Iterator[Batch]:
    metadata = file.metadata.row_group(group)
    rows = max(1, min(ROWS, metadata.num_rows * BATCH_BYTES // max(1, metadata.total_byte_size)))
    position, last = first, first + metadata.num_rows - 1
    try:
        for batch in file.iter_batches(batch_size=rows, row_groups=[group]):
            for part in _parts(pa.Table.from_batches([batch])):
                yield read_table(part, name, position, options)
                position += part.num_rows
    except BROKEN as error:
        lost = f"rows {position:,} to {last:,} cannot be read" if position <= last else "the row group is broken"
        yield _refused(name, position, f"{lost}: {_cause(error)}")


def _parts(table: pa.Table) -> Iterator[pa.Table]:
    """Slices of about the size of a batch: the file's own figures say little of rows that repeat or compress well."""
    rows = max(1, table.num_rows * BATCH_BYTES // max(BATCH_BYTES, table.nbytes))
    yield from (table.slice(at, rows) for at in range(0, table.num_rows, rows))


def read_table(table: pa.Table, file: str, position: int, options: dict) -> Batch:
    """Rows of a table; what cannot be a row (null, invalid UTF-8, too long, without its id) in quarantine."""
    text_field, id_field, limit = options["text_field"], options.get("id_field"), options["max_row_bytes"]
    column = _as_text(table.column(text_field))
    ids = table.column(id_field) if id_field else None
    too_long = pc.fill_null(pc.greater(pc.binary_length(column), limit), False)
    good = pc.and_(pc.is_valid(column), pc.invert(too_long))
    if ids is not None:
        good = pc.and_(good, pc.is_valid(ids))
    broken = _not_utf8(column)
    if ids is not None and _is_text(ids.type):
        broken |= _not_utf8(_as_text(ids))
    if broken:
        good = pc.and_(good, pa.array([row not in broken for row in range(table.num_rows)], pa.bool_()))
    positions = range(position, position + table.num_rows)
    quarantined = []
    if not pc.all(good).as_py():
        binary = column.cast(pa.large_binary())
        for row in pc.indices_nonzero(pc.invert(good)).to_pylist():
            raw = binary[row].as_py()
            if raw is None:
                reason = text_problem(None, text_field) or ""
            elif row in broken:
                reason = "invalid UTF-8"
            elif len(raw) > limit:
                reason = f"the row is over the limit of {limit:,} bytes ({len(raw):,})"
            else:
                reason = f"the id field '{id_field}' is missing"
            quarantined.append(Quarantined(printable(file), positions[row], reason, excerpt_of(raw or b"")))
        table, column = table.filter(good), column.filter(good)
        positions = [p for p, ok in zip(positions, good.to_pylist()) if ok]
    if id_field:
        names = [str(i) for i in table.column(id_field).to_pylist()]
    else:
        names = [content_id(t) for t in column.to_pylist()]
    rows = pa.table([names, column, [printable(file)] * len(names), list(positions)], schema=ROW_SCHEMA)
    return Batch(rows, table, quarantined)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.large_string(), safe=False)


def _not_utf8(column: pa.ChunkedArray) -> set[int]:
    """The rows that are no UTF-8: Parquet promises it and Arrow does not look."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return {row for row, raw in enumerate(column.cast(pa.large_binary()).to_pylist()) if raw and not _decodes(raw)}
    return set()


def _decodes(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def write(block: Block, tables: Iterator[pa.Table], path: str) -> int:
    """Write all original columns."""
    rows = 0
    writer: pq.ParquetWriter | None = None
    for table in tables:
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
        rows += table.num_rows
    if writer:
        writer.close()
    return rows


def replace(block: Block, source: pa.Table, texts: dict[int, str]) -> pa.Table:
    """The same rows with some texts replaced."""
    name = block.options["text_field"]
    values = _as_text(source.column(name)).to_pylist()
    for row, text in texts.items():
        values[row] = text
    index = source.schema.get_field_index(name)
    return source.set_column(
        index, source.schema.field(index), pa.chunked_array([pa.array(values, source.schema.field(index).type)])
    )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _cause(error: Exception) -> str:
    return cause(error)[:200].splitlines()[0]


def _problem(schema: pa.Schema, text_field: str, id_field: str | None, rows: int) -> str | None:
    for name in filter(None, (text_field, id_field)):
        if name not in schema.names:
            return f"the file ({rows:,} rows) has no column '{name}'"
    kind = schema.field(text_field).type
    return None if _is_text(kind) else f"the column '{text_field}' is {kind}, not text ({rows:,} rows)"


def _refused(file: str, position: int, reason: str) -> Batch:
    return Batch(ROW_SCHEMA.empty_table(), pa.table({}), [Quarantined(printable(file), position, reason)])
