"""The passes over a corpus, each a picklable function of one block that writes its own part file.

scan      rule detectors find pairs; ranked detectors count; rows that cannot be read go to quarantine
retrieve  ranked detectors return the block's best k rows per item
collect   for rows that matter: the text that shows why
apply     kept rows, removed rows, annotations
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from antivenom.data.corpus import read_block, replace_texts, write_rows
from antivenom.data.quarantine import EXCERPT_CHARACTERS, quarantine_lines
from antivenom.data.rows import Batch, Block, Quarantined
from antivenom.report.run_directory import atomic_file
from antivenom.screen.decide import Decision, decide_rows
from antivenom.screen.detector import Detector, Pairs, RankedDetector, top_k
from antivenom.screen.evidence import excerpt
from antivenom.screen.filters.stage import BlockScores, Filtered
from antivenom.screen.language import detect_languages
from antivenom.screen.parts import part, write_table

__all__ = ["Apply", "Collect", "Retrieve", "Scan", "part"]

FOUND_SCHEMA = pa.schema(
    [
        pa.field("detector", pa.int16()),
        pa.field("row", pa.int32()),
        pa.field("item", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("start", pa.int32()),
        pa.field("stop", pa.int32()),
    ]
)
EVIDENCE_SCHEMA = pa.schema(
    [
        *FOUND_SCHEMA,
        pa.field("rank", pa.int32()),
        pa.field("id", pa.string()),
        pa.field("file", pa.string()),
        pa.field("position", pa.int64()),
        pa.field("window", pa.large_string()),
        pa.field("row_excerpt", pa.large_string()),
    ]
)
WINDOW_CHARACTERS = 8_000
SHOWN_RULE_PAIRS = 2_000  # per block: a corpus that copies the benchmark wholesale must not fill the disk with excerpts
LANGUAGE_SAMPLE = 64  # rows per block


def _found(label: int, pairs: Pairs, first_row: int) -> pa.Table:
    columns = [np.full(len(pairs), label, np.int16), pairs.row + np.int32(first_row), pairs.item, pairs.score]
    return pa.table([*columns, pairs.start, pairs.stop], schema=FOUND_SCHEMA)


@dataclass
class Scan:
    """Rule pairs, corpus counts, quarantine and a language sample of a block."""

    work: Path
    rules: dict[int, tuple[Detector, Any]]
    ranked: dict[int, tuple[RankedDetector, Any]]

    def __call__(self, block: Block) -> dict:
        """Scan one block."""
        tables: list[pa.Table] = []
        totals: dict[str, Any] = {}
        cpu: dict[str, float] = {}
        languages: dict[str, int] = {}
        rows = size = 0
        quarantined = []
        for batch in read_block(block):
            for label, (detector, state) in self.rules.items():
                pairs, seconds = _timed(detector.match, state, batch)
                cpu[str(label)] = cpu.get(str(label), 0.0) + seconds
                tables.append(_found(label, pairs, rows))
            for label, (detector, state) in self.ranked.items():
                counts, seconds = _timed(detector.count, state, batch)
                cpu[str(label)] = cpu.get(str(label), 0.0) + seconds
                for key, value in (counts or {}).items():
                    name = f"{label}/{key}"
                    totals[name] = totals[name] + value if name in totals else value
            if sum(languages.values()) < LANGUAGE_SAMPLE:
                for language in detect_languages(batch.texts.slice(0, LANGUAGE_SAMPLE).to_pylist()):
                    languages[language] = languages.get(language, 0) + 1
            rows += len(batch)
            size += int(pc.sum(pc.binary_length(batch.texts)).as_py() or 0)
            quarantined += batch.quarantined
        write_table(_concat(tables, FOUND_SCHEMA), part(self.work, "scan", block.index))
        with atomic_file(part(self.work, "quarantine", block.index, "jsonl")) as temporary:
            Path(temporary).write_bytes(b"".join(quarantine_lines(quarantined)))
        if totals:
            with (
                atomic_file(part(self.work, "count", block.index, "npz")) as temporary,
                Path(temporary).open("wb") as f,
            ):
                np.savez(f, **{key: np.asarray(value) for key, value in totals.items()})  # type: ignore[arg-type]
        return {
            "rows": rows,
            "bytes": size,
            "quarantined": len(quarantined),
            "pairs": sum(table.num_rows for table in tables),
            "cpu": cpu,
            "languages": languages,
        }


@dataclass
class Retrieve:
    """The best k rows of a block for every item, per ranked detector."""

    work: Path
    ranked: dict[int, tuple[RankedDetector, Any]]

    def __call__(self, block: Block) -> dict:
        """Retrieve from one block."""
        best: dict[int, Pairs] = {}
        cpu: dict[str, float] = {}
        rows = size = 0
        for batch in read_block(block):
            for label, (detector, state) in self.ranked.items():
                pairs, seconds = _timed(detector.match, state, batch)
                cpu[str(label)] = cpu.get(str(label), 0.0) + seconds
                pairs.row = pairs.row + np.int32(rows)
                best[label] = top_k(_join(best[label], pairs), detector.k) if label in best else pairs
            rows += len(batch)
            size += int(pc.sum(pc.binary_length(batch.texts)).as_py() or 0)
        tables = [_found(label, top_k(pairs, self.ranked[label][0].k), 0) for label, pairs in best.items()]
        write_table(_concat(tables, FOUND_SCHEMA), part(self.work, "retrieve", block.index))
        return {"rows": rows, "bytes": size, "cpu": cpu}


@dataclass
class Collect:
    """The text of every row that a pair points to: what a judge reads and what the page shows."""

    work: Path

    def __call__(self, block: Block) -> dict:
        """Collect the evidence of one block from its `scan` part and its share of the candidates."""
        rules = pq.read_table(part(self.work, "scan", block.index))
        rules = rules.append_column("rank", pa.nulls(rules.num_rows, pa.int32()))
        chosen = part(self.work, "candidates", block.index)
        found = pa.concat_tables([rules, pq.read_table(chosen)]) if chosen.exists() else rules
        found = found.sort_by([("row", "ascending"), ("item", "ascending"), ("detector", "ascending")])
        records: list[pa.Table] = []
        shown = first = 0
        if found.num_rows:
            row_numbers = found.column("row").to_numpy()
            for batch in read_block(block):
                low, high = np.searchsorted(row_numbers, [first, first + len(batch)])
                collected: list[dict] = []
                for pair in found.slice(int(low), int(high - low)).to_pylist():
                    shown += pair["rank"] is None
                    with_text = pair["rank"] is not None or shown <= SHOWN_RULE_PAIRS
                    collected.append(self._record(pair, batch, pair["row"] - first, with_text))
                records.append(pa.Table.from_pylist(collected, schema=EVIDENCE_SCHEMA))
                first += len(batch)
        table = pa.concat_tables(records) if records else EVIDENCE_SCHEMA.empty_table()
        write_table(table.combine_chunks(), part(self.work, "evidence", block.index))
        return {"pairs": table.num_rows}

    def _record(self, pair: dict, batch: Batch, row: int, with_text: bool) -> dict:
        about = {name: batch.rows.column(name)[row].as_py() for name in ("id", "file", "position")}
        record = pair | about | dict.fromkeys(("window", "row_excerpt"))
        if with_text:
            text = batch.texts[row].as_py()
            start, stop = pair["start"], pair["stop"]
            shown = excerpt(text, start, stop)
            record |= {
                "window": text[start : min(stop, start + WINDOW_CHARACTERS)] if pair["rank"] is not None else None,
                "row_excerpt": shown.text,
            }
        return record


@dataclass
class Apply:
    """Kept rows, removed rows and annotations of a block.

    Args:
        filtered: what the filters of this run say, when it has scores.
    """

    work: Path
    out: Path
    suffix: str
    labels: list[str]
    item_ids: list[str]
    mode: str
    copy: bool
    filtered: Filtered | None = None

    def __call__(self, block: Block) -> dict:
        """Write the outputs of one block."""
        judged = part(self.work, "judged", block.index)
        decisions = decide_rows(pq.read_table(judged), self.labels, self.item_ids, self.mode) if judged.exists() else {}
        scored = self.filtered.of(block) if self.filtered else None
        if scored:
            decisions = scored.merged(decisions)
        counts: dict[str, Any] = {"rows": 0, "bytes": block.size, "kept": 0, "removed": 0, "cut": 0, "unscored": 0}
        annotations: list[pa.Table] = []
        unscored: list[Quarantined] = []
        where = np.array(sorted(decisions), np.int64)

        def within(first: int, n: int) -> dict[int, Decision]:
            low, high = np.searchsorted(where, [first, first + n])
            return {int(row) - first: decisions[int(row)] for row in where[low:high]}

        def kept() -> Iterator[pa.Table]:
            first = 0
            for batch in read_block(block):
                here = within(first, len(batch))
                cuts = {row: d.left_of(batch.texts[row].as_py()) for row, d in here.items() if d.action == "cut"}
                for row, text in cuts.items():
                    if text is None:  # too little is left: the row goes, and both passes must know
                        decisions[first + row] = here[row] = here[row].removed()
                counts["cut"] += sum(text is not None for text in cuts.values())
                aside = [row for row, d in here.items() if d.action == "quarantine"]
                gone = [row for row, d in here.items() if d.action == "remove"]
                counts["rows"] += len(batch)
                counts["removed"] += len(gone)
                counts["unscored"] += len(aside)
                unscored.extend(_set_aside(batch, row, here[row].reason) for row in aside)
                annotations.append(self._annotate(batch, here, scored, first))
                if scored:
                    scored.weigh(batch, first)
                keep = np.ones(len(batch), bool)
                keep[gone + aside] = False
                counts["kept"] += int(keep.sum())
                source = replace_texts(block, batch.source, {r: t for r, t in cuts.items() if t is not None})
                if keep.any() and self.copy:
                    yield source if keep.all() else source.filter(pa.array(keep))
                first += len(batch)

        def removed() -> Iterator[pa.Table]:
            first = 0
            for batch in read_block(block):
                mask = np.zeros(len(batch), bool)
                mask[[row for row, d in within(first, len(batch)).items() if d.action in ("remove", "cut")]] = True
                if mask.any():
                    yield batch.source.filter(pa.array(mask))
                first += len(batch)

        self._write(block, kept, "kept")
        if counts["removed"] or counts["cut"]:
            self._write(block, removed, "removed")  # the original of a cut row is kept here as well: nothing is lost
        table = pa.concat_tables(annotations) if annotations else self._schema().empty_table()
        write_table(table, part(self.work, "annotations", block.index))
        if scored:
            scored.check_rows(counts["rows"])
            counts["weights"] = scored.weights
        if unscored:
            with atomic_file(part(self.work, "unscored", block.index, "jsonl")) as temporary:
                Path(temporary).write_bytes(b"".join(quarantine_lines(unscored)))
        return counts

    def _write(self, block: Block, rows: Callable[[], Iterator[pa.Table]], folder: str) -> None:
        tables = rows()
        first = next(tables, None)
        if first is None:
            return
        path = self.out / folder / f"part-{block.index:05d}{self.suffix}"
        with atomic_file(path) as temporary:
            write_rows(block, _chain(first, tables), temporary)

    def _schema(self) -> pa.Schema:
        return annotation_schema(self.labels, self.filtered.fields if self.filtered else ())

    def _annotate(
        self, batch: Batch, decisions: dict[int, Decision], scored: BlockScores | None, first: int
    ) -> pa.Table:
        n, schema = len(batch), self._schema()
        columns: dict[str, list] = {
            "action": ["keep"] * n,
            "reason": [""] * n,
            "item": [None] * n,
            "detectors": [[] for _ in range(n)],
        }
        scores = {label: np.full(n, np.nan, np.float32) for label in self.labels}
        for row, decision in decisions.items():
            columns["action"][row] = decision.action
            columns["reason"][row] = decision.reason
            columns["item"][row] = decision.item
            columns["detectors"][row] = decision.detectors
            for label, score in decision.scores.items():
                scores[label][row] = score
        table = batch.rows.select(["id", "file", "position"])
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values, schema.field(name).type))
        for label, values in scores.items():
            table = table.append_column(label, pa.array(values, mask=np.isnan(values)))
        if scored:
            for field, values in scored.columns(first, n, decisions):
                table = table.append_column(field, values)
        return table.cast(schema)


def annotation_schema(labels: list[str], more: Sequence[pa.Field] = ()) -> pa.Schema:
    """The columns of annotations.parquet: identity, decision, one score column per detector, then those of the scorers."""
    return pa.schema(
        [
            pa.field("id", pa.string()),
            pa.field("file", pa.string()),
            pa.field("position", pa.int64()),
            pa.field("action", pa.string()),
            pa.field("reason", pa.string()),
            pa.field("item", pa.string()),
            pa.field("detectors", pa.list_(pa.string())),
            *(pa.field(label, pa.float32()) for label in labels),
            *more,
        ]
    )


def _set_aside(batch: Batch, row: int, reason: str) -> Quarantined:
    """A row that a filter could not judge and whose policy is to set such rows aside."""
    about = {name: batch.rows.column(name)[row].as_py() for name in ("file", "position")}
    return Quarantined(about["file"], about["position"], reason, batch.texts[row].as_py()[:EXCERPT_CHARACTERS])


def _timed(function: Callable, *arguments: Any) -> tuple[Any, float]:
    begun = time.thread_time()
    return function(*arguments), time.thread_time() - begun


def _join(a: Pairs, b: Pairs) -> Pairs:
    names = ("row", "item", "score", "start", "stop")
    return Pairs(*(np.concatenate([getattr(a, name), getattr(b, name)]) for name in names))


def _concat(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables(tables).combine_chunks() if tables else schema.empty_table()


def _chain(first: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    yield first
    yield from rest
