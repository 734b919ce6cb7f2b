"""The pass that filters: what every filter does to every row of a block, and the random drop that stands beside it.

A filter is judged on every row by itself, so that its figures do not depend on the other filters; a row goes when any of
them drops it. Its control drops as many rows of the corpus, drawn by the hash of their ids: what a filter does to a model
is only known beside a random drop of the same size (Longpre et al. 2023, section 3).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from antivenom.data.corpus import read_block
from antivenom.data.rows import Batch, Block, batch_of
from antivenom.errors import AntivenomError
from antivenom.screen.filters.order import Cut, code_of, draws, place, select, value_of
from antivenom.screen.filters.pieces import cut_pieces, drop_pieces
from antivenom.screen.filters.rules import Filter, Quantile, Spans
from antivenom.screen.parts import part, write_table
from antivenom.screen.scoring.scorer import Scorer
from antivenom.screen.scoring.stage import score_fields, scores_of_block, values_of

if TYPE_CHECKING:
    from antivenom.screen.decide import Decision

__all__ = ["OUTCOMES", "BlockScores", "Filtered", "Sift", "control_cut", "settle", "source_of"]

OUTCOMES = ("kept", "dropped", "missing_dropped", "missing_quarantined", "missing_kept", "cut")
"""What a filter does to a row, by number."""
KEPT, DROPPED, MISSING_DROPPED, MISSING_ASIDE, MISSING_KEPT, CUT = range(len(OUTCOMES))
PIECES = pa.list_(pa.struct([("start", pa.int32()), ("stop", pa.int32())]))


def source_of(column: str, scorers: Mapping[str, Scorer]) -> tuple[str, str]:
    """A filter's column -> (label of the scorer, its column in the store): `toxicity.insult` -> (`toxicity`, `insult`)."""
    if column in scorers:
        return column, "score"
    label = max((name for name in scorers if column.startswith(f"{name}.")), key=len)
    return label, column[len(label) + 1 :]


def settle(
    filters: list[Filter], scorers: Mapping[str, Scorer], folder: Path, work: Path, blocks: list[Block]
) -> list[Filter]:
    """The filters with the lines of those that rank the corpus; memory does not grow with the corpus."""
    settled: list[Filter] = []
    for rule in filters:
        if not isinstance(rule, Quantile):
            settled.append(rule)
            continue
        label, name = source_of(rule.column, scorers)

        def stream(label: str = label, name: str = name, rule: Quantile = rule) -> Iterator[tuple]:
            for block in blocks:
                values = values_of(scores_of_block(folder, label, block.index, [name]), rule.column)
                there = ~np.isnan(values)
                rows = np.flatnonzero(there)
                code = code_of(values[there], rising=rule.rising)
                yield code, _keys(work, block.index)[0, there], place(block.index, rows)

        keep = rule.kept_of(sum(len(code) for code, _, _ in stream()))
        cut = select(stream, [keep - 1])[0] if keep else None
        line = value_of(cut.code if rule.rising else cut.code ^ 0xFFFFFFFF) if cut else None
        settled.append(rule.settled(cut, line))
    return settled


def control_cut(spec: str, number: int, work: Path, blocks: list[Block], seed: int) -> Cut | None:
    """The last of `number` rows drawn at random from the corpus; None when none is to be drawn."""
    if not number:
        return None

    def stream() -> Iterator[tuple]:
        for block in blocks:
            yield _drawn(_keys(work, block.index), block.index, spec, seed)

    return select(stream, [number - 1])[0]


def _drawn(keys: np.ndarray, block: int, spec: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    drawn = draws(keys[0], seed, "control", spec, salt=keys[1])
    return (drawn >> np.uint64(32)).astype(np.uint32), drawn, place(block, np.arange(len(drawn)))


def _keys(work: Path, index: int) -> np.ndarray:
    """(2, rows): hashes of the rows' ids, and of their places."""
    return np.load(part(work, "keys", index, "npy"), allow_pickle=False)


@dataclass
class Sift:
    """What each filter does to each row of a block.

    Args:
        work: of the run.
        folder: the score store.
        scorers: label -> scorer; a span filter scores pieces.
        filters: settled.
    """

    work: Path
    folder: Path
    scorers: dict[str, Scorer]
    filters: list[Filter]

    def __call__(self, block: Block) -> dict:
        """Sift one block."""
        keys = _keys(self.work, block.index)[0]
        sequence = place(block.index, np.arange(len(keys)))
        columns: dict[str, Any] = {}
        for number, rule in enumerate(self.filters):
            label, name = source_of(rule.column, self.scorers)
            values = values_of(scores_of_block(self.folder, label, block.index, [name]), rule.column)
            missing = np.isnan(values)
            outcome = np.where(rule.keep(values, keys, sequence), KEPT, DROPPED).astype(np.int8)
            outcome[missing] = {"keep": MISSING_KEPT, "drop": MISSING_DROPPED, "quarantine": MISSING_ASIDE}[
                rule.missing
            ]
            worst = values.copy()
            if isinstance(rule, Spans):
                columns[f"pieces.{number}"] = pa.array(self._pieces(rule, block, outcome, worst), PIECES)
            columns[f"outcome.{number}"] = outcome
            columns[f"worst.{number}"] = worst
        write_table(pa.table(columns), part(self.work, "sifted", block.index))
        found = {}
        for number in range(len(self.filters)):
            counts = np.bincount(columns[f"outcome.{number}"], minlength=len(OUTCOMES)).tolist()
            found[str(number)] = dict(zip(OUTCOMES, counts))
        return {"rows": len(keys), "bytes": block.size, "outcomes": found}

    def _pieces(self, rule: Spans, block: Block, outcome: np.ndarray, worst: np.ndarray) -> list:
        """The pieces to cut per row; rows with nothing left over are dropped. Writes into `outcome` and `worst`."""
        label, name = source_of(rule.column, self.scorers)
        scorer, first, cuts = self.scorers[label], 0, []
        for batch in read_block(block):
            texts = batch.texts.to_pylist()
            spans = [cut_pieces(text, rule.unit) if outcome[first + i] == KEPT else [] for i, text in enumerate(texts)]
            owner = np.repeat(np.arange(len(texts)), [len(row) for row in spans])
            pieces = [texts[i][start:stop] for i, row in enumerate(spans) for start, stop in row]
            flat = [span for row in spans for span in row]
            values = np.zeros(0, np.float32)
            if pieces:
                scores = scorer.score(batch_of(pieces))
                values = scores.values if name == "score" else values_of(pa.table({name: scores.columns[name]}), name)
            here: list[list[dict[str, int]]] = [[] for _ in texts]
            low = (rule.higher_is == "better") != rule.inverse
            for piece in np.flatnonzero(rule.bad(values)).tolist():
                row, value = first + int(owner[piece]), values[piece]
                if not here[owner[piece]] or (value < worst[row] if low else value > worst[row]):
                    worst[row] = value
                here[owner[piece]].append(dict(zip(("start", "stop"), flat[piece])))
            for i, row in enumerate(here):
                if not row:
                    continue
                gone = drop_pieces(texts[i], [(span["start"], span["stop"]) for span in row]) is None
                outcome[first + i] = DROPPED if gone else CUT
            cuts += here
            first += len(texts)
        return cuts


@dataclass(frozen=True)
class Filtered:
    """All that the last pass must know of scores and filters: picklable, and small.

    Args:
        work: of the run.
        folder: the score store.
        scorers: label -> scorer.
        filters: settled.
        controls: per filter the last row of its random drop.
        seed: of the run.
    """

    work: Path
    folder: Path
    scorers: dict[str, Scorer]
    filters: list[Filter]
    controls: list[Cut | None]
    seed: int = 0

    @property
    def fields(self) -> list[pa.Field]:
        """What annotations.parquet gains: score columns, `filters`, and one control per filter."""
        more = [pa.field("filters", pa.list_(pa.string()))] if self.filters else []
        more += [pa.field(f"control.{number}", pa.bool_()) for number in range(1, len(self.filters) + 1)]
        return [*score_fields(self.scorers), *more]

    def of(self, block: Block) -> "BlockScores":
        """The scores and outcomes of one block."""
        tables = [scores_of_block(self.folder, label, block.index) for label in self.scorers]
        scores = tables[0]
        for table in tables[1:]:
            for name in table.column_names:
                scores = scores.append_column(name, table.column(name))
        keys = _keys(self.work, block.index)
        controls = []
        for rule, cut in zip(self.filters, self.controls):
            here = _drawn(keys, block.index, rule.spec, self.seed)
            controls.append(cut.reached(*here) if cut else np.zeros(keys.shape[1], bool))
        sifted = pq.read_table(part(self.work, "sifted", block.index)) if self.filters else None
        return BlockScores(self, scores, sifted, controls)


@dataclass
class BlockScores:
    """Scores, outcomes and controls of one block."""

    about: Filtered
    scores: pa.Table
    sifted: pa.Table | None
    controls: list[np.ndarray]
    weights: dict[str, dict[str, int]] = field(default_factory=dict)
    """Per filter the bytes of text that it drops (`dropped`) and that its control drops (`control`)."""

    def outcome(self, number: int) -> np.ndarray:
        """Of one filter, per row."""
        assert self.sifted is not None
        return self.sifted.column(f"outcome.{number}").to_numpy()

    def merged(self, decisions: "dict[int, Decision]") -> "dict[int, Decision]":
        """The decisions of the contamination screen and of the filters together; a removal wins over a cut."""
        from antivenom.screen.decide import Decision

        found = {}
        for number, rule in enumerate(self.about.filters):
            outcome = self.outcome(number)
            for row in np.flatnonzero((outcome != KEPT) & (outcome != MISSING_KEPT)).tolist():
                before = found.get(row)
                if before is None:
                    before = decisions.get(row, Decision("keep"))
                    if before.action != "cut":
                        before = replace(before, spans=[])
                found[row] = self._joined(before, rule, number, row, int(outcome[row]))
        return decisions | found

    def _joined(self, before: "Decision", rule: Filter, number: int, row: int, outcome: int) -> "Decision":
        assert self.sifted is not None
        value = self.sifted.column(f"worst.{number}")[row].as_py()
        pieces = list(before.pieces)
        if outcome in (DROPPED, CUT):
            why = rule.why(value)
            action = "remove" if outcome == DROPPED else "cut"
            if outcome == CUT:
                cut = self.sifted.column(f"pieces.{number}")[row].as_py()
                pieces += [(span["start"], span["stop"]) for span in cut]
            elif isinstance(rule, Spans):
                why += ", and nothing else is left"
        else:
            said = self.scores.column(f"{source_of(rule.column, self.about.scorers)[0]}.reason")[row].as_py()
            why = f"{rule.column} has no score ({said or 'no value'}), and missing={rule.missing}"
            action = "remove" if outcome == MISSING_DROPPED else "quarantine"
        order = ("keep", "cut", "quarantine", "remove")
        return replace(
            before,
            action=max(before.action, action, key=order.index),
            reason="; ".join(filter(None, [before.reason, why])),
            filters=[*before.filters, rule.spec],
            pieces=pieces,
        )

    def columns(self, first: int, n: int, decisions: "dict[int, Decision]") -> Iterator[tuple[pa.Field, pa.Array]]:
        """The annotations' columns of the rows [first, first + n)."""
        fields = self.about.fields
        here = self.scores.slice(first, n)
        for one in fields[: here.num_columns]:
            yield one, here.column(one.name)
        if self.about.filters:
            names = [decisions[row].filters if row in decisions else [] for row in range(n)]
            yield fields[here.num_columns], pa.array(names, pa.list_(pa.string()))
        for one, drawn in zip(fields[here.num_columns + 1 :], self.controls):
            yield one, pa.array(drawn[first : first + n])

    def weigh(self, batch: Batch, first: int) -> None:
        """Add up the bytes of text that filters and controls drop: a filter that takes the long rows takes more."""
        size = pc.binary_length(batch.texts).to_numpy(zero_copy_only=False)
        for number, drawn in enumerate(self.controls):
            gone = np.isin(self.outcome(number)[first : first + len(batch)], (DROPPED, MISSING_DROPPED, MISSING_ASIDE))
            total = self.weights.setdefault(str(number), {"dropped": 0, "control": 0, "all": 0})
            total["dropped"] += int(size[gone].sum())
            total["control"] += int(size[drawn[first : first + len(batch)]].sum())
            total["all"] += int(size.sum())

    def check_rows(self, rows: int) -> None:
        """Every row read has been scored, and no other.

        Raises:
            AntivenomError: when the corpus changed between the passes.
        """
        if rows != self.scores.num_rows:
            what = f"{self.scores.num_rows} rows of a block were scored, {rows} were read afterwards"
            raise AntivenomError(what, "the corpus changed while it was read: run again, with --overwrite")
