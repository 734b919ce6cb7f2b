"""The files of a finished screen run, put together from the blocks' parts in block order."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from antivenom.data.benchmarks import Benchmark
from antivenom.data.quarantine import duplicate_ids
from antivenom.data.rows import Block
from antivenom.report.run_directory import RunDirectory, atomic_file
from antivenom.screen.decide import flagged_items
from antivenom.screen.evidence import ITEM_CHARACTERS
from antivenom.screen.judging import SPANS
from antivenom.screen.parts import part
from antivenom.screen.stages import annotation_schema

if TYPE_CHECKING:
    from antivenom.screen.contamination import Contamination

__all__ = ["PAIRS_SCHEMA", "assemble", "duplicates", "file_hash"]

PAIRS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("file", pa.string()),
        pa.field("position", pa.int64()),
        pa.field("benchmark", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("detector", pa.string()),
        pa.field("score", pa.float32()),
        pa.field("rank", pa.int32()),
        pa.field("start", pa.int32()),
        pa.field("stop", pa.int32()),
        pa.field("verdict", pa.string()),
        pa.field("probability", pa.float32()),
        pa.field("judge_reason", pa.string()),
        pa.field("flagged", pa.bool_()),
        pa.field("kind", pa.string()),
        pa.field("row_excerpt", pa.large_string()),
        pa.field("item_text", pa.large_string()),
        pa.field("row_spans", SPANS),
        pa.field("item_spans", SPANS),
    ]
)


def assemble(
    run: RunDirectory, blocks: list[Block], looked: "Contamination | None", fields: Sequence[pa.Field] = ()
) -> None:
    """Write annotations.parquet and quarantine.jsonl; with benchmarks pairs.parquet and their clean and dirty halves.

    Parts are streamed in block order, so that the bytes do not depend on who finished first, nor on a resume.

    Args:
        looked: what was looked for, if anything.
        fields: the annotations' columns of the scorers.
    """
    schema = annotation_schema(looked.labels if looked else [], fields)
    _stream(run.path / "annotations.parquet", schema, _annotations(run.work, blocks))
    with atomic_file(run.path / "quarantine.jsonl") as temporary, Path(temporary).open("wb") as target:
        for block in blocks:
            target.write(part(run.work, "quarantine", block.index, "jsonl").read_bytes())
            unscored = part(run.work, "unscored", block.index, "jsonl")
            if unscored.exists():
                target.write(unscored.read_bytes())
    if looked:
        names = [looked.benchmarks[number].name for number in looked.owner]
        pairs = _pairs(run.work, blocks, looked.combined, names, looked.labels)
        _stream(run.path / "pairs.parquet", PAIRS_SCHEMA, pairs)
        _split_benchmarks(run, blocks, looked.combined, looked.owner, looked.benchmarks)


def duplicates(path: Path) -> int:
    """How many rows share their id with an earlier row (equal text, or an id column that is not unique)."""
    file = pq.ParquetFile(path / "annotations.parquet")
    return duplicate_ids(i for batch in file.iter_batches(columns=["id"]) for i in batch.column(0).to_pylist())


def file_hash(path: str | Path) -> str:
    """BLAKE2b of a file's bytes, 32 hex digits."""
    with Path(path).open("rb") as source:
        return hashlib.file_digest(source, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _stream(path: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    with atomic_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for table in tables:
            if table.num_rows:
                writer.write_table(table.cast(schema))


def _annotations(work: Path, blocks: list[Block]) -> Iterator[pa.Table]:
    for block in blocks:
        yield pq.read_table(part(work, "annotations", block.index))


def _pairs(
    work: Path, blocks: list[Block], items: Benchmark, names: list[str], labels: list[str]
) -> Iterator[pa.Table]:
    texts = [items.text(i)[:ITEM_CHARACTERS] for i in range(len(items))]
    for block in blocks:
        table = pq.read_table(part(work, "judged", block.index))
        number = table.column("item").to_pylist()
        shown = pc.is_valid(table.column("row_excerpt")).to_pylist()
        yield pa.table(
            {
                **{name: table.column(name) for name in PAIRS_SCHEMA.names if name in table.column_names},
                "benchmark": [names[i] for i in number],
                "item_id": [items.items[i].id for i in number],
                "detector": [labels[i] for i in table.column("detector").to_pylist()],
                "item_text": pa.array([texts[i] if s else None for i, s in zip(number, shown)], pa.large_string()),
            }
        ).select(PAIRS_SCHEMA.names)


def _split_benchmarks(
    run: RunDirectory, blocks: list[Block], combined: Benchmark, owner: list[int], benchmarks: list[Benchmark]
) -> None:
    dirty: dict[int, str] = {}
    rank = ("generic", "rephrased", "verbatim")
    for block in blocks:
        judged = pq.read_table(part(run.work, "judged", block.index), columns=["item", "kind", "flagged"])
        for item, kind in flagged_items(judged).items():
            dirty[item] = max(dirty.get(item, kind), kind, key=rank.index)
    folder = run.path / "benchmarks"
    for number, benchmark in enumerate(benchmarks):
        members = [index for index in range(len(combined)) if owner[index] == number]
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in benchmark.name)
        for half in ("clean", "dirty"):
            with atomic_file(folder / f"{safe}.{half}.jsonl") as temporary, Path(temporary).open("wb") as target:
                for local, index in enumerate(members):
                    if (index in dirty) != (half == "dirty"):
                        continue
                    item = benchmark.items[local]
                    line = {"id": item.id, "question": item.question, "answer": item.answer, "passage": item.passage}
                    line |= {"kind": item.kind} | ({"found": dirty[index]} if index in dirty else {})
                    target.write(orjson.dumps(line) + b"\n")
