"""The pass that scores: every row of a block gets its score of every scorer, once, beside the text.

scores/<label>/part-00000.parquet   the scores (see `store`), part of the finished run
work/keys/00000.npy                 (2, rows) uint64: hashes of the rows' ids, and of file and position
work/extremes/00000.json            the block's highest and lowest rows with the beginning of their text
"""

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.data.corpus import read_block
from antivenom.data.quarantine import printable
from antivenom.data.rows import Batch, Block
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import atomic_file
from antivenom.screen.filters.order import id_keys, place_keys
from antivenom.screen.parts import part
from antivenom.screen.scoring.scorer import Scorer, Scores
from antivenom.screen.scoring.store import PartWriter, scorer_folder

__all__ = ["EXTREMES", "Score", "score_fields", "scores_of_block", "values_of"]

EXTREMES = 5
"""Rows at each end of a score that the page shows."""
EXCERPT = 400
REASONS = 200
"""Different reasons for a missing score that are counted apart; the rest is counted together."""


@dataclass
class Score:
    """Scores one block with all scorers; the text is read once.

    Args:
        work: of the run.
        folder: the score store.
        scorers: label -> scorer.
    """

    work: Path
    folder: Path
    scorers: dict[str, Scorer]

    def __call__(self, block: Block) -> dict:
        """Score one block."""
        rows = size = 0
        keys: list[np.ndarray] = []
        extremes = {label: _Extremes() for label in self.scorers}
        missing: dict[str, Counter[str]] = {label: Counter() for label in self.scorers}
        cpu = dict.fromkeys(self.scorers, 0.0)
        with ExitStack() as stack:
            parts = {
                label: stack.enter_context(PartWriter(self.folder, label, block.index, scorer.columns))
                for label, scorer in self.scorers.items()
            }
            for batch in read_block(block):
                keys.append(
                    np.stack(
                        [
                            id_keys(batch.rows.column("id").to_pylist()),
                            place_keys(batch.rows.column("file"), batch.rows.column("position")),
                        ]
                    )
                )
                for label, scorer in self.scorers.items():
                    begun = time.thread_time()
                    scores = scorer.score(batch)
                    cpu[label] += time.thread_time() - begun
                    parts[label].add(batch, scores)
                    extremes[label].add(batch, scores, rows)
                    count = missing[label]
                    for i in np.flatnonzero(np.isnan(scores.values)):
                        reason = scores.reasons[i]
                        count[reason if reason in count or len(count) < REASONS else "other reasons"] += 1
                rows += len(batch)
                size += batch.texts.nbytes
        with atomic_file(part(self.work, "keys", block.index, "npy")) as temporary, Path(temporary).open("wb") as file:
            np.save(file, np.concatenate([np.zeros((2, 0), np.uint64), *keys], axis=1), allow_pickle=False)
        with atomic_file(part(self.work, "extremes", block.index, "json")) as temporary:
            Path(temporary).write_bytes(orjson.dumps({label: one.record() for label, one in extremes.items()}))
        return {"rows": rows, "bytes": size, "missing": missing, "cpu": cpu}


class _Extremes:
    """The rows at both ends of a block's scores; ties go to the earlier row."""

    def __init__(self) -> None:
        self.ends: dict[str, list[dict[str, Any]]] = {"lowest": [], "highest": []}

    def add(self, batch: Batch, scores: Scores, first: int) -> None:
        scored = np.flatnonzero(scores.scored)
        values = np.asarray(scores.values, np.float32)[scored]
        for end, sign in (("lowest", 1), ("highest", -1)):
            here = scored[np.argsort(sign * values, kind="stable")[:EXTREMES]]
            mine = self.ends[end]
            for i in here.tolist():
                score = float(scores.values[i])
                if len(mine) == EXTREMES and sign * score >= sign * mine[-1]["score"]:
                    break
                about = {name: batch.rows.column(name)[i].as_py() for name in ("id", "file", "position")}
                text = batch.texts[i].as_py()[:EXCERPT]
                line = about | {"score": score, "reason": scores.reasons[i][:EXCERPT], "excerpt": text}
                mine.append(
                    {k: printable(v) if isinstance(v, str) else v for k, v in line.items()} | {"row": first + i}
                )
                mine.sort(key=lambda entry: (sign * entry["score"], entry["row"]))
                del mine[EXTREMES:]

    def record(self) -> dict[str, list[dict[str, Any]]]:
        return self.ends


def score_fields(scorers: dict[str, Scorer]) -> list[pa.Field]:
    """The annotations' columns of all scorers: score, reason, and what each adds."""
    fields = []
    for label, scorer in scorers.items():
        fields += [pa.field(label, pa.float32()), pa.field(f"{label}.reason", pa.string())]
        fields += [pa.field(f"{label}.{name}", kind) for name, kind in scorer.columns.items()]
    return fields


def scores_of_block(folder: Path, label: str, index: int, columns: list[str] | None = None) -> pa.Table:
    """The scores of one block under their annotation names."""
    path = scorer_folder(folder, label) / f"part-{index:05d}.parquet"
    try:
        table = pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        what = f"{path} cannot be read: {str(error).splitlines()[0]}"
        raise AntivenomError(what, "score the corpus again, with --overwrite") from error
    own = [name for name in table.column_names if name not in ("id", "file", "position")]
    names = [label if name == "score" else f"{label}.{name}" for name in own]
    return table.select(own).rename_columns(names)


def values_of(table: pa.Table, name: str) -> np.ndarray:
    """A column of scores, counts or verdicts as float32, NaN where there is none."""
    return table.column(name).cast(pa.float32()).to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
