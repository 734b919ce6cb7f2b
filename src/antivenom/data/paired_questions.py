"""A haystack of questions, and benchmark questions with ready-made rephrases, from a folder of the user's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.data.benchmarks import Benchmark, Item
from antivenom.errors import AntivenomError

__all__ = ["PairedQuestions", "paired_questions"]

MIN_LETTERS = 2
MEND = (
    "it must hold haystack.jsonl or .parquet (a text or question column) and pairs.jsonl or .parquet "
    "(columns original and rephrased, and benchmark and variant where the file holds several)"
)


@dataclass(frozen=True)
class PairedQuestions:
    """Texts to hide things among; the benchmark; item id -> rephrase; how many pairs were empty and dropped."""

    haystack: list[str]
    benchmark: Benchmark
    rephrases: dict[str, str]
    dropped: int


def paired_questions(
    folder: str | Path, *, benchmark: str = "gsm8k", variant: str = "en", kind: str = "math"
) -> PairedQuestions:
    """Read `haystack` and `pairs` of a folder.

    Pairs whose rephrase or original is empty are dropped and counted: the published files mark a failed rephrase so.

    Args:
        folder: with the two files, JSONL or Parquet (or links to them).
        benchmark, variant: which pairs, where the file has columns of these names.
        kind: of judge instruction.

    Raises:
        AntivenomError: when a file is missing, cannot be read, or holds no such pair.
    """
    where = Path(folder)
    haystack = [str(row.get("text") or row.get("question") or "") for row in _records(where, "haystack")]
    pairs = [
        row
        for row in _records(where, "pairs")
        if row.get("benchmark", benchmark) == benchmark and row.get("variant", variant) == variant
    ]
    items: list[Item] = []
    rephrases: dict[str, str] = {}
    for number, row in enumerate(pairs):
        original, other = str(row.get("original") or ""), str(row.get("rephrased") or "")
        if min(_letters(original), _letters(other)) >= MIN_LETTERS:
            key = f"{benchmark}/{row.get('id', row.get('index', number))}"
            items.append(Item(key, original, kind=kind))
            rephrases[key] = other
    haystack = [text for text in haystack if _letters(text) >= MIN_LETTERS]
    if not items or not haystack:
        missing = f"no pair of '{benchmark}', '{variant}'" if haystack else "no text in the haystack"
        raise AntivenomError(f"the data folder '{folder}' cannot be used: {missing}", MEND)
    return PairedQuestions(haystack, Benchmark(benchmark, items), rephrases, len(pairs) - len(items))


def _letters(text: str) -> int:
    return sum(c.isalnum() for c in text)


def _records(folder: Path, name: str) -> list[dict[str, Any]]:
    try:
        if (folder / f"{name}.parquet").exists():
            return pq.read_table(folder / f"{name}.parquet").to_pylist()
        found = [orjson.loads(line) for line in (folder / f"{name}.jsonl").read_bytes().splitlines() if line.strip()]
    except (OSError, orjson.JSONDecodeError, pa.ArrowException) as error:
        raise AntivenomError(f"the data folder '{folder}' cannot be used: {error}", MEND) from error
    if not all(isinstance(row, dict) for row in found):
        raise AntivenomError(f"a line of {name}.jsonl in '{folder}' is no object", MEND)
    return found
