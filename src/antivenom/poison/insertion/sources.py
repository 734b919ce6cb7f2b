"""Where an experiment's items come from: files of texts or of token ids, or a Python function.

    texts    JSONL (.gz, .zst), Parquet, CSV, text lines; the tokenizer makes ids of them
    tokens   JSONL or Parquet with a list of ids in `tokens` or `input_ids`
    python   "module:function", called with its arguments and `seed`: a `Material`, or texts, lists of ids or `Item`s, also as a generator

A line without its field is an error that names file and line, never an item less (spec 02, trap 1).
"""

import importlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.data.corpus import open_corpus
from antivenom.data.readers.lines import BROKEN, iter_lines
from antivenom.errors import AntivenomError
from antivenom.poison.insertion.sequences import Sequences
from antivenom.poison.lm_experiments.material import Encode, Item, Material

__all__ = ["documents", "from_function", "read_items", "records"]

IDS = ("tokens", "input_ids")
LONGEST = 64 * 2**20
"""Bytes of a line."""


def records(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, fields) of every row of a file.

    Raises:
        AntivenomError: naming the line, when it cannot be read; when the file has no row.
    """
    file = Path(path)
    if not file.is_file():
        raise AntivenomError(f"'{path}' is no file", "give JSONL, Parquet, CSV or text")
    count = 0
    for place, found in _records(file):
        count += 1
        yield place, found
    if not count:
        raise AntivenomError(f"'{path}' has no row", "give a file with items, or leave the experiment out")


def _records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    name = file.name
    kind = name.removesuffix(".gz").removesuffix(".zst")
    if kind.endswith((".jsonl", ".ndjson", ".json")):
        try:
            for number, (line, problem) in enumerate(iter_lines(file, 0, None, LONGEST), 1):
                if problem or line.strip():
                    yield f"{name}, line {number}", _object(name, number, line, problem)
        except BROKEN as error:
            raise AntivenomError(f"'{name}' breaks off: {error}", "give the whole file") from error
        return
    if kind.endswith((".parquet", ".pq")):
        try:
            number = 0
            for batch in pq.ParquetFile(file).iter_batches(1_024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{name}, row {number}", row
        except (OSError, pa.ArrowException) as error:
            raise AntivenomError(f"'{name}' cannot be read: {error}", "give a Parquet file") from error
        return
    for batch in open_corpus(file, per_line=True).batches():
        if batch.quarantined:
            bad = batch.quarantined[0]
            raise AntivenomError(f"{name}, line {bad.position}: {bad.reason}", "mend the line")
        for position, text in zip(batch.rows.column("position").to_pylist(), batch.texts.to_pylist()):
            yield f"{name}, line {position}", {"text": text}


def _object(name: str, number: int, line: bytes, problem: str | None) -> dict[str, Any]:
    try:
        found = orjson.loads(line) if not problem else None
    except orjson.JSONDecodeError as error:
        problem = str(error)
        found = None
    if not isinstance(found, dict):
        raise AntivenomError(f"{name}, line {number}: {problem or 'no JSON object'}", "mend the line")
    return found


def read_items(
    name: str, path: str | Path, *, encode: Encode | None, field: str | None = None, id_field: str | None = None,
    condition_field: str | None = None, condition: str = "", placed: bool = False, batch: int = 1,
) -> tuple[list[Item], dict[str, tuple[int, int]]]:  # fmt: skip
    """Items of a file, and the places of those that say `step`, `row` and `column`.

    Args:
        name: of the experiment; ids are `NAME-0`, `NAME-1`, ... when there is no id field.
        path: of the file.
        encode: of texts; None where the file holds token ids.
        field: with the text (`text`) or the ids (`tokens`, `input_ids`).
        id_field, condition_field: with the id and the condition; `condition` is that of all.
        placed: every line says where it goes.
        batch: rows of a step.
    """
    items: list[Item] = []
    places: dict[str, tuple[int, int]] = {}
    for place, found in records(path):
        wanted = [field] if field else (["text"] if encode else [k for k in IDS if k in found] or [IDS[0]])
        value = _needed(found, wanted[0], place)
        if encode is not None and not isinstance(value, str):
            raise AntivenomError(f"{place}: '{wanted[0]}' is no text", "name the field with the text")
        tokens = np.asarray(encode(value) if encode else value)
        if tokens.ndim != 1 or (tokens.size and not np.issubdtype(tokens.dtype, np.integer)):
            raise AntivenomError(f"{place}: '{wanted[0]}' is no list of token ids", "give integers")
        key = str(_needed(found, id_field, place)) if id_field else f"{name}-{len(items)}"
        of = str(_needed(found, condition_field, place)) if condition_field else condition
        items.append(Item(tokens.astype(np.int64), key, of, value if encode else None))
        if placed:
            step, row, column = (int(_needed(found, part, place)) for part in ("step", "row", "column"))
            places[key] = (step * batch + row, column)
    return items, places


def documents(path: str | Path, field: str | None = None, *, texts: bool) -> Iterator[Any]:
    """The documents of a file for a token stream, one after the other: texts, or lists of token ids."""
    for place, found in records(path):
        yield _needed(found, field or ("text" if texts else next((k for k in IDS if k in found), IDS[0])), place)


def _needed(found: dict[str, Any], field: str, place: str) -> Any:
    if found.get(field) is None:
        raise AntivenomError(
            f"{place} has no '{field}'; it has: {', '.join(map(str, found))}", "name the field that it has"
        )
    return found[field]


def from_function(
    name: str,
    spec: str,
    arguments: dict[str, Any],
    *,
    seed: int,
    encode: Encode | None = None,
    count: int | None = None,
    folder: str | Path = ".",
) -> Material | Sequences:
    """What a function makes: called as f(**arguments, seed=seed). Modules of `folder` are found, too.

    Raises:
        AntivenomError: when there is no such function, or it makes neither a material nor items; with what it raised.
    """
    module, colon, function = spec.partition(":")
    try:
        with _importable(folder):
            call = getattr(importlib.import_module(module), function) if colon else None
    except (ImportError, AttributeError) as error:
        raise AntivenomError(
            f"'{spec}' of '{name}' is not there: {error}", "give module:function that Python can import"
        ) from error
    if call is None:
        raise AntivenomError(f"'{spec}' of '{name}' names no function", "give module:function")
    try:
        made = call(**arguments, seed=seed)
        if isinstance(made, (Material, Sequences)):
            return made if made.name == name else _renamed(made, name)
        return Material(name, tuple(_items(name, islice(made, count), encode)))
    except AntivenomError:
        raise
    except Exception as error:  # a stranger's code raises what it likes
        raise AntivenomError(
            f"'{spec}' of '{name}' fails: {type(error).__name__}: {error}", "mend the function or its arguments"
        ) from error


@contextmanager
def _importable(folder: str | Path) -> Iterator[None]:
    entry = str(Path(folder).resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _renamed(made: Any, name: str) -> Any:
    from dataclasses import replace

    return replace(made, name=name)


def _items(name: str, made: Iterable[Any], encode: Encode | None) -> Iterator[Item]:
    for i, one in enumerate(made):
        if isinstance(one, Item):
            yield one
        elif isinstance(one, str):
            if encode is None:
                raise AntivenomError(f"'{name}' makes texts", "name a tokenizer")
            yield Item(np.asarray(encode(one), np.int64), f"{name}-{i}", text=one)
        else:
            yield Item(np.asarray(one, np.int64), f"{name}-{i}")
