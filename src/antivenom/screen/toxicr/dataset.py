"""Labelled comments from a file: CSV, TSV (.gz), JSONL (.gz, .zst), Parquet, XLSX; column names are free.

"null", "NA", "None" are texts as good as any (trap T15); what is missing or white space is left out and reported, and so is a
row that cannot be read or whose label is neither 0 nor 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from antivenom.data.duplicates import duplicate_groups
from antivenom.data.readers.csv import broken, read_records
from antivenom.data.readers.lines import iter_lines
from antivenom.errors import AntivenomError, MissingExtra

__all__ = ["LabelledTexts", "read_labelled"]

TEXT_NAMES = ("message", "text", "comment", "body", "content")
LABEL_NAMES = ("is_toxic", "toxic", "label", "y", "class")
LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
MAX_ROW_BYTES = 16 * 2**20


@dataclass
class LabelledTexts:
    """What a file holds.

    Args:
        texts: raw, not empty.
        labels: int64, as many; None where the file was read without.
        positions: 1-based row numbers in the file (the header not counted).
        empty: row numbers without a text.
        refused: (row number, reason) of rows that could not be read.
    """

    texts: list[str] = field(default_factory=list)
    labels: np.ndarray | None = None
    positions: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    def report(self) -> dict[str, Any]:
        """Rows, copies (`antivenom.data.duplicates`), contradictory labels and their ceiling.

        `ceiling`: the best accuracy any function of the text can have, sum over groups of copies of their commoner label / rows.
        """
        groups = duplicate_groups(self.texts)
        sizes = np.bincount(groups) if len(groups) else np.zeros(0, np.int64)
        found: dict[str, Any] = {
            "rows": len(self),
            "distinct": len(sizes),
            "rows_with_copies": int(sizes[sizes > 1].sum()),
            "empty": len(self.empty),
            "refused": len(self.refused),
        }
        if self.labels is not None and len(self):
            toxic = np.bincount(groups, self.labels, len(sizes))
            mixed = (toxic > 0) & (toxic < sizes)
            found |= {
                "toxic": int(self.labels.sum()),
                "contradictory_texts": int(mixed.sum()),
                "contradictory_rows": int(sizes[mixed].sum()),
                "ceiling": float(np.maximum(toxic, sizes - toxic).sum() / len(self)),
            }
        return found


def read_labelled(
    path: str | Path, *, text: str | None = None, label: str | None = None, labelled: bool = True
) -> LabelledTexts:
    """Read a file.

    Args:
        path: .csv, .tsv, .jsonl (each also .gz), .parquet or .xlsx.
        text, label: column names; None: the usual ones (`message`, `text`, ...; `is_toxic`, `toxic`, `label`, ...).
        labelled: False: labels are neither needed nor read.

    Raises:
        AntivenomError: for a file that is not there, a format that is not known, or columns that are not there.
    """
    path = Path(path)
    if not path.is_file():
        raise AntivenomError(f"there is no file {path}", "give a CSV, JSONL, Parquet or XLSX file")
    rows, found, labels = _records(path), LabelledTexts(), []
    columns: tuple[str, str | None] | None = None
    for number, (record, problem) in enumerate(rows, 1):
        if problem or record is None:
            found.refused.append((number, problem or "no record"))
            continue
        if columns is None or columns[0] not in record:
            columns = (
                _column(record, text, TEXT_NAMES, "text", path),
                _column(record, label, LABEL_NAMES, "label", path) if labelled else None,
            )
        value = record[columns[0]]
        if value is None or not str(value).strip():
            found.empty.append(number)
            continue
        if broken(str(value)):
            found.refused.append((number, "invalid UTF-8"))
            continue
        if columns[1] is not None:
            known = LABELS.get(str(record.get(columns[1])).strip().lower())
            if known is None:
                found.refused.append((number, f"the label {str(record.get(columns[1]))[:40]!r} is neither 0 nor 1"))
                continue
            labels.append(known)
        found.texts.append(str(value))
        found.positions.append(number)
    if labelled:
        found.labels = np.array(labels, np.int64)
    return found


def _column(record: dict[str, Any], wanted: str | None, usual: tuple[str, ...], what: str, path: Path) -> str:
    names = [wanted] if wanted else usual
    for name in names:
        if name in record:
            return name
    listed = ", ".join(map(str, list(record)[:30]))
    raise AntivenomError(
        f"{path} has no {what} column {' / '.join(names)}", f"name it: --{what} COLUMN; it has: {listed}"
    )


def _records(path: Path) -> Iterator[tuple[dict[str, Any] | None, str | None]]:
    name = path.name.lower()
    bare = name.removesuffix(".gz").removesuffix(".zst")
    if bare.endswith((".csv", ".tsv")):
        yield from _csv(path)
    elif bare.endswith((".jsonl", ".ndjson", ".json")):
        for raw, problem in iter_lines(path, 0, None, MAX_ROW_BYTES):
            if not problem and not raw.strip():
                continue
            try:
                value = orjson.loads(raw) if not problem else None
            except orjson.JSONDecodeError as error:
                value, problem = None, f"no JSON: {error}"
            if not problem and not isinstance(value, dict):
                value, problem = None, "no JSON object"
            yield value, problem
    elif name.endswith((".parquet", ".pq")):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            for batch in pq.ParquetFile(path).iter_batches(8_192):
                for row in batch.to_pylist():
                    yield row, None
        except (pa.ArrowException, OSError) as error:
            raise AntivenomError(f"{path} cannot be read: {error}", "give a Parquet file that is whole") from error
    elif name.endswith(".xlsx"):
        yield from _xlsx(path)
    else:
        raise AntivenomError(f"the format of {path} is not known", "give .csv, .tsv, .jsonl (.gz), .parquet or .xlsx")


def _csv(path: Path) -> Iterator[tuple[dict[str, Any] | None, str | None]]:
    header: list[str] = []
    for record, problem in read_records(path, MAX_ROW_BYTES):
        if not header:
            if problem:
                raise AntivenomError(f"the header of {path} cannot be read: {problem}", "give a CSV with a header line")
            header = record
        elif problem or len(record) != len(header):
            yield None, problem or f"{len(record)} fields where the header has {len(header)}"
        else:
            yield dict(zip(header, record, strict=True)), None


def _xlsx(path: Path) -> Iterator[tuple[dict[str, Any] | None, str | None]]:
    try:
        import openpyxl
    except ImportError:
        raise MissingExtra("openpyxl", "xlsx", "reading XLSX files") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises whatever its parts raise
        raise AntivenomError(f"{path} cannot be read: {error}", "give an XLSX file that is whole") from error
    try:
        sheet = book.worksheets[0]
        rows = sheet.iter_rows(values_only=True)
        header = [str(value) if value is not None else f"column {at}" for at, value in enumerate(next(rows, ()), 1)]
        for row in rows:
            if any(value is not None for value in row):
                yield dict(zip(header, row)), None
    finally:
        book.close()
