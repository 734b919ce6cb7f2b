"""Is the benchmark in the corpus - word for word, or in other words?

The composition "cheap first, judge last": rules find verbatim copies in one pass, retrieval ranks the corpus for every
benchmark item, a judge reads only what retrieval brings up. Source: Yang et al., arXiv 2311.04850 (retrieve, then judge),
with the denominators, the retrieval recall and the third verdict ("undecided") that its code leaves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from antivenom.data.benchmarks import Benchmark, Item, load_benchmark
from antivenom.data.rows import Block
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import RunDirectory
from antivenom.screen.detector import Detector, Pairs, RankedDetector, top_k
from antivenom.screen.detectors import parse_all
from antivenom.screen.engine import map_blocks
from antivenom.screen.judging import Judging
from antivenom.screen.parts import part, write_table
from antivenom.screen.stages import FOUND_SCHEMA, Collect, Retrieve

if TYPE_CHECKING:
    from antivenom.screen.run import ScreenResult, screen_corpus

__all__ = ["DEFAULT_DETECTORS", "Contamination", "ScreenResult", "screen_corpus"]

DEFAULT_DETECTORS = ("ngram", "substring", "bm25", "word-tfidf")


def __getattr__(name: str) -> Any:
    """The whole screen (`run`) under the name it had when contamination was all it looked for."""
    if name not in ("ScreenResult", "screen_corpus"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from antivenom.screen import run

    return getattr(run, name)


@dataclass
class Contamination:
    """Benchmarks, detectors and a judge, ready to be run over a corpus.

    Args:
        benchmarks: what is looked for; `combined` is all of them as one, `owner` says whose each item is.
        detectors: label -> detector.
        judging: the judge with what it needs to know.
    """

    benchmarks: list[Benchmark]
    detectors: dict[str, Any]
    judging: Judging
    combined: Benchmark
    owner: list[int]

    @classmethod
    def of(
        cls, against: Sequence[str | Path | Benchmark], detectors: Sequence[str], judge: str, options: dict[str, Any]
    ) -> "Contamination":
        """From what users type.

        Raises:
            AntivenomError: for a benchmark that cannot be used, an unknown detector or judge.
        """
        benchmarks = [b if isinstance(b, Benchmark) else load_benchmark(str(b)) for b in against]
        found = parse_all(detectors)
        if not found:
            raise AntivenomError("no detector", "name at least one after --detectors")
        combined, owner = combine(benchmarks)
        return cls(benchmarks, found, Judging.of(judge, combined, list(found), found, options=options), combined, owner)

    @property
    def labels(self) -> list[str]:
        """The detectors' names, by index."""
        return list(self.detectors)

    @property
    def config(self) -> dict[str, Any]:
        """What determines the findings."""
        return {
            "benchmarks": [{"name": b.name, "hash": b.hash, "fields": b.fields} for b in self.benchmarks],
            "detectors": {label: detector.params for label, detector in self.detectors.items()},
            "judge": self.judging.params,
        }

    def fit(self) -> tuple[dict, dict]:
        """(rule detectors, ranked detectors) by index, each with its state."""
        return _fit(self.detectors, self.combined)

    def judge(self, run: RunDirectory, blocks: list[Block], ranked: dict, engine: dict[str, Any]) -> dict | None:
        """Everything after the scan: retrieve, collect the evidence, judge. Returns the judge's record."""
        for label, (detector, state) in ranked.items():
            ranked[label] = (detector, detector.finish(state, _counted(run.work, blocks, label)))
        if ranked:
            with run.step("retrieve") as step:
                retrieved = map_blocks(Retrieve(run.work, ranked), blocks, stage="retrieve", **engine)
                step.count(retrieved)
            _merge(run.work, blocks, {label: detector.k for label, (detector, _) in ranked.items()})
        with run.step("collect"):
            map_blocks(Collect(run.work), blocks, stage="collect", **engine)
        with run.step("judge"):
            return self.judging.run(run.work, blocks)

    def record(self) -> list[dict[str, Any]]:
        """The benchmarks, as they stand in run.json."""
        return [
            {
                "name": b.name,
                "items": len(b),
                "fields": b.fields,
                "hash": b.hash,
                "dropped": [list(d) for d in b.dropped],
            }
            for b in self.benchmarks
        ]


def combine(benchmarks: Sequence[Benchmark]) -> tuple[Benchmark, list[int]]:
    """All benchmarks as one, so that a single pass serves them all; and which benchmark each item came from."""
    names = [b.name for b in benchmarks]
    for name in names:
        if names.count(name) > 1:
            raise AntivenomError(f"two benchmarks are called '{name}'", "rename one of the files, or leave one out")
    items: list[Item] = []
    owner: list[int] = []
    for number, benchmark in enumerate(benchmarks):
        for index, item in enumerate(benchmark.items):
            prefix = "" if len(benchmarks) == 1 or item.id.startswith(benchmark.name) else f"{benchmark.name}/"
            items.append(Item(prefix + item.id, benchmark.text(index), kind=item.kind))
            owner.append(number)
    return Benchmark("+".join(names), items, fields="Q"), owner


def _fit(found: dict[str, Any], benchmark: Benchmark) -> tuple[dict, dict]:
    rules: dict[int, tuple[Detector, Any]] = {}
    ranked: dict[int, tuple[RankedDetector, Any]] = {}
    for index, detector in enumerate(found.values()):
        target = ranked if isinstance(detector, RankedDetector) else rules
        target[index] = (detector, detector.fit(benchmark))
    return rules, ranked


def _counted(work: Path, blocks: list[Block], label: int) -> dict[str, Any] | None:
    """The corpus counts of one ranked detector, summed over the blocks."""
    total: dict[str, Any] = {}
    for block in blocks:
        path = part(work, "count", block.index, "npz")
        if not path.exists():
            continue
        with np.load(path, allow_pickle=False) as saved:
            for key in saved.files:
                owner, _, name = key.partition("/")
                if int(owner) == label:
                    total[name] = total[name] + saved[key] if name in total else saved[key]
    return total or None


def _merge(work: Path, blocks: list[Block], k: dict[int, int]) -> None:
    """The best k rows of the corpus per item and detector, from the best k of each block; back into parts by block.

    Ties go to the earlier block, then the earlier row, so that the answer does not depend on which block ended first.
    """
    best: dict[int, Pairs] = {}
    for block in blocks:
        table = pq.read_table(part(work, "retrieve", block.index))
        for label in k:
            here = table.filter(pc.equal(table.column("detector"), label))
            columns = {name: here.column(name).to_numpy() for name in ("row", "item", "score", "start", "stop")}
            columns["row"] = columns["row"].astype(np.int64) + (np.int64(block.index) << 32)
            pairs = Pairs(**columns)
            if label in best:
                old = best[label]
                pairs = Pairs(*(np.concatenate([getattr(old, name), columns[name]]) for name in columns))
            best[label] = top_k(pairs, k[label])
    parts: dict[int, list[pa.Table]] = {}
    for label, pairs in best.items():
        rank = np.ones(len(pairs), np.int32)
        same = np.r_[False, pairs.item[1:] == pairs.item[:-1]] if len(pairs) else np.zeros(0, bool)
        for i in np.flatnonzero(same):
            rank[i] = rank[i - 1] + 1
        home = (pairs.row >> 32).astype(np.int64)
        for index in np.unique(home):
            chosen = home == index
            columns = [np.full(int(chosen.sum()), label, np.int16), (pairs.row[chosen] & 0xFFFFFFFF).astype(np.int32)]
            columns += [pairs.item[chosen], pairs.score[chosen], pairs.start[chosen], pairs.stop[chosen]]
            table = pa.table(columns, schema=FOUND_SCHEMA).append_column("rank", pa.array(rank[chosen]))
            parts.setdefault(int(index), []).append(table)
    for index, tables in parts.items():
        write_table(pa.concat_tables(tables), part(work, "candidates", index))
