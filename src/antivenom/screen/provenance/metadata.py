"""What a corpus says of a row beside its text: a key of its JSON line, a column of its table, its sample's .json member."""

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa

from antivenom.data.rows import Batch

__all__ = ["field", "fields", "first_text"]


def field(batch: Batch, name: str) -> list[Any]:
    """One field of every row; see `fields`."""
    return fields(batch, (name,))[name]


def fields(batch: Batch, names: Sequence[str]) -> dict[str, list[Any]]:
    """The named fields of every row, as plain Python values; None where a row has none.

    A name with dots reaches into nested objects (`meta.url`) unless a key bears the whole name. A row's metadata is what
    its format keeps of it: the object of a JSON line, the columns of Parquet and CSV, the first .json of a tar sample. A
    value that Python cannot hold (a date before year 1) is None.
    """
    if not len(batch):
        return {name: [] for name in names}
    records = _records(batch.source)
    if records is not None:
        return {name: [_reach(record, name) for record in records] for name in names}
    return {name: _column(batch.source, name) for name in names}


def first_text(values: Sequence[Sequence[Any]], row: int) -> str:
    """The first of several fields that holds a text in this row, stripped; else "".

    >>> first_text([[None], [" a "]], 0)
    'a'
    """
    for column in values:
        value = column[row]
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def _records(source: pa.Table) -> list[Any] | None:
    """The rows as objects where the format keeps them as bytes; None where it has columns."""
    if source.column_names == ["line"] and _is_binary(source.schema.field(0).type):
        return [_object(line) for line in source.column(0).to_pylist()]
    if source.column_names == ["members"] and pa.types.is_list(source.schema.field(0).type):
        return [
            next((_object(m["data"]) for m in sample or () if m["name"].lower().endswith(".json")), {})
            for sample in source.column(0).to_pylist()
        ]
    return None


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_large_binary(kind) or pa.types.is_binary(kind)


def _object(raw: bytes) -> Any:
    try:
        return orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return {}


def _reach(record: Any, name: str) -> Any:
    if not isinstance(record, dict):
        return None
    if name in record or "." not in name:
        return record.get(name)
    head, _, rest = name.partition(".")
    return _reach(record.get(head), rest)


def _column(source: pa.Table, name: str) -> list[Any]:
    head, rest = name, ""
    if name not in source.column_names:
        head, _, rest = name.partition(".")
    if source.column_names.count(head) != 1 or (not rest and head != name):
        return [None] * source.num_rows
    column = source.column(head)
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowInvalid):  # one date out of Python's range spoils no other row
        values = [_value(cell) for cell in column]
    return [_reach(value, rest) for value in values] if rest else values


def _value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except (ValueError, OverflowError, pa.ArrowInvalid):
        return None
