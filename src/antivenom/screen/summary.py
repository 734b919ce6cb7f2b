"""The figures of a screen run, each with its denominator, computed from the run's own files, column by column."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from antivenom.data.benchmarks import Benchmark
from antivenom.intervals import wilson
from antivenom.screen.detector import RankedDetector

__all__ = ["EMPTY", "of_run"]

EMPTY: dict[str, Any] = {"per_benchmark": [], "detectors": [], "agreement": [], "thresholds": [], "planted": None}
"""The figures of a run that looked for no benchmark."""

CURVE_POINTS = 24
KINDS = ("verbatim", "rephrased", "generic")
CODED = ("file", "benchmark", "item_id", "detector", "verdict", "kind")


def of_run(
    out: Path, benchmarks: list[Benchmark], labels: list[str], detectors: dict[str, Any], manifest: str | Path | None
) -> dict[str, Any]:
    """Per benchmark, per detector, agreement, threshold curve, and the share of planted rows that was found."""
    pairs = _Pairs.read(out / "pairs.parquet")
    return {
        "per_benchmark": [_benchmark(benchmark, pairs) for benchmark in benchmarks],
        "detectors": [_detector(pairs, label, detectors[label]) for label in labels],
        "agreement": _agreement(pairs),
        "thresholds": _thresholds(pairs, labels),
        "planted": _planted(out, manifest) if manifest else None,
    }


@dataclass(frozen=True)
class _Pairs:
    """The pairs as arrays: a run may hold millions of them. `row` and `key` number the distinct rows and items."""

    row: np.ndarray
    key: np.ndarray
    item: np.ndarray
    score: np.ndarray
    probability: np.ndarray
    flagged: np.ndarray
    code: dict[str, np.ndarray]
    values: dict[str, list]

    @classmethod
    def read(cls, path: Path) -> "_Pairs":
        numbers = ["position", "score", "probability", "flagged"]
        table = pq.read_table(path, columns=[*CODED, *numbers], read_dictionary=list(CODED)).combine_chunks()
        code, values = {}, {}
        for name in CODED:
            column = table.column(name).unify_dictionaries().combine_chunks()
            column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
            code[name] = pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
            values[name] = column.dictionary.to_pylist()
        position, score, probability, flagged = (table.column(name) for name in numbers)
        return cls(
            _numbered(code["file"], position.to_numpy()),
            _numbered(code["benchmark"], code["item_id"]),
            code["item_id"],
            score.to_numpy().astype(np.float64),
            probability.to_numpy().astype(np.float64),
            pc.fill_null(flagged, False).to_numpy(),
            code,
            values,
        )

    def where(self, column: str, value: str) -> np.ndarray:
        """Mask of the pairs whose coded column has this value."""
        known = self.values[column]
        return self.code[column] == (known.index(value) if value in known else -2)


def _numbered(*columns: np.ndarray) -> np.ndarray:
    """Rows of columns -> 0, 1, 2, ... by distinct value."""
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _distinct(values: np.ndarray) -> int:
    return len(np.unique(values))


def _benchmark(benchmark: Benchmark, pairs: _Pairs) -> dict[str, Any]:
    """Counts of benchmark ITEMS; the share's denominator is the benchmark's items, not the corpus' rows."""
    mine = pairs.where("benchmark", benchmark.name)
    hits = mine & pairs.flagged
    seen = np.zeros(0, np.int64)
    count = {}
    for kind in KINDS:  # an item counts once, under its strongest kind
        items = np.unique(pairs.item[hits & pairs.where("kind", kind)])
        count[kind] = len(np.setdiff1d(items, seen))
        seen = np.union1d(seen, items)
    contaminated = len(seen)
    undecided = np.unique(pairs.item[mine & ~pairs.flagged & pairs.where("verdict", "undecided")])
    low, high = wilson(contaminated, len(benchmark))
    return {
        "name": benchmark.name,
        "items": len(benchmark),
        **count,
        "contaminated": contaminated,
        "undecided": len(np.setdiff1d(undecided, seen)),
        "share": contaminated / len(benchmark) if len(benchmark) else None,
        "low": low,
        "high": high,
    }


def _detector(pairs: _Pairs, label: str, detector: Any) -> dict[str, Any]:
    mine = pairs.where("detector", label)
    return {
        "name": label,
        "kind": "ranked" if isinstance(detector, RankedDetector) else "rule",
        "params": detector.params,
        "pairs": int(mine.sum()),
        "rows": _distinct(pairs.row[mine & pairs.flagged]),
        "items": _distinct(pairs.key[mine & pairs.flagged]),
    }


def _agreement(pairs: _Pairs) -> list[dict[str, Any]]:
    """Exclusive intersections: every flagged row is counted once, under the exact set of detectors that flag it."""
    names = pairs.values["detector"]
    flags = np.zeros((int(pairs.row.max(initial=-1)) + 1, len(names)), bool)
    flags[pairs.row[pairs.flagged], pairs.code["detector"][pairs.flagged]] = True
    sets, counts = np.unique(flags[flags.any(axis=1)], axis=0, return_counts=True)
    found = [(sorted(name for name, on in zip(names, row) if on), n) for row, n in zip(sets, counts.tolist())]
    return [{"detectors": detectors, "rows": n} for detectors, n in sorted(found, key=lambda x: (-x[1], x[0]))]


def _thresholds(pairs: _Pairs, labels: list[str]) -> list[dict[str, Any]]:
    """Rows and items at or over each threshold, per detector by its score and for the judge by its probability."""
    measured = [(label, pairs.score, pairs.where("detector", label)) for label in labels]
    measured.append(("judge", pairs.probability, ~np.isnan(pairs.probability)))
    curves = []
    for label, scores, mine in measured:
        if not mine.any():
            continue
        for threshold in np.unique(np.quantile(scores[mine], np.linspace(0, 1, CURVE_POINTS))):
            over = mine & (scores >= threshold)
            curves.append(
                {
                    "detector": label,
                    "threshold": round(float(threshold), 6),
                    "rows": _distinct(pairs.row[over]),
                    "items": _distinct(pairs.key[over]),
                }
            )
    return curves


def _planted(out: Path, manifest: str | Path) -> list[dict[str, Any]]:
    """The share of planted rows that was flagged, by transform: recall with its interval."""
    planted = pq.read_table(manifest).to_pylist()
    annotations = pq.read_table(out / "annotations.parquet", columns=["id", "detectors"])
    flagged = pc.greater(pc.list_value_length(annotations.column("detectors")), 0)
    found = set(annotations.filter(flagged).column("id").to_pylist())
    by_transform: dict[str, list[bool]] = defaultdict(list)
    for row in planted:
        by_transform[row["transform"]].append(row["row_id"] in found)
    records = []
    for transform, hits in sorted(by_transform.items()):
        low, high = wilson(sum(hits), len(hits))
        records.append(
            {
                "transform": transform,
                "n": len(hits),
                "found": sum(hits),
                "share": sum(hits) / len(hits),
                "low": low,
                "high": high,
            }
        )
    return records
