"""Scorers and filters of one run, from what users type to what run.json says of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.types as kinds

from antivenom.data.corpus import Corpus
from antivenom.data.rows import Block
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import RunDirectory, atomic_file
from antivenom.screen.engine import map_blocks
from antivenom.screen.filters.order import code_of, place, select, value_of
from antivenom.screen.filters.rules import Filter, Quantile, Spans
from antivenom.screen.filters.specs import parse_filter
from antivenom.screen.filters.stage import OUTCOMES, Filtered, Sift, control_cut, settle
from antivenom.screen.parts import part
from antivenom.screen.provenance.corpus_dates import date_record
from antivenom.screen.provenance.dates import parse_date
from antivenom.screen.scoring.scorer import Identity, Scorer
from antivenom.screen.scoring.scorers import parse_all
from antivenom.screen.scoring.stage import EXTREMES, Score, scores_of_block, values_of
from antivenom.screen.scoring.store import write_identity

__all__ = ["QUANTILES", "Measuring", "filter_columns", "parse_filters"]

QUANTILES = ("0", "0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99", "1")
BINS = 20
FINITE = (float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))
TAKEN = ("id", "file", "position", "action", "reason", "item", "detectors", "filters")


def filter_columns(labels: dict[str, str], columns: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What a filter may read: score column -> what a higher one means.

    Args:
        labels: label -> `higher_is` of its scorer.
        columns: label -> the scorer's further columns and their types; numbers and verdicts can be filtered, and say by
            themselves neither better nor worse.
    """
    found = {}
    for label, higher in labels.items():
        found[label] = higher
        for name, kind in columns.get(label, {}).items():
            if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind):
                found[f"{label}.{name}"] = "neutral"
    return found


def parse_filters(specs: Sequence[str], columns: dict[str, str], labels: Sequence[str], *, seed: int) -> list[Filter]:
    """Read filters; a scorer's bare name stands for its label when only one label begins with it.

    Raises:
        AntivenomError: for a filter that is asked for twice, or cannot be read.
    """
    found: list[Filter] = []
    for spec in specs:
        if any(spec == rule.spec for rule in found):
            raise AntivenomError(f"--filter {spec} is given twice", "give each once")
        full = spec
        if not any(spec.startswith(f"{name}:") for name in columns):
            head, _, rest = spec.partition(":")
            word, dot, column = head.partition(".")
            owners = [label for label in labels if label.partition(":")[0] == word]
            if len(owners) == 1:
                full = f"{owners[0]}{dot}{column}:{rest}"
        found.append(replace(parse_filter(full, columns, seed=seed), spec=spec))
    return found


@dataclass
class Measuring:
    """The scorers and filters of a run.

    Args:
        scorers: label (the spec as typed) -> scorer.
        identities: label -> who scores.
        filters: as typed; after `run` with their lines.
    """

    scorers: dict[str, Scorer]
    identities: dict[str, Identity]
    filters: list[Filter]
    seed: int
    _scores: list[dict[str, Any]] = field(default_factory=list)
    _outcomes: list[Counter[str]] = field(default_factory=list)

    @classmethod
    def of(cls, scores: Sequence[str], filters: Sequence[str], *, seed: int, taken: Sequence[str] = ()) -> "Measuring":
        """From what users type.

        Args:
            scores: scorers, as typed.
            filters: as typed.
            seed: for filters and controls that draw.
            taken: column names that are in use already.

        Raises:
            AntivenomError: for an unknown scorer, a filter without its score, or one whose direction is not vouched for.
        """
        scorers: dict[str, Scorer] = parse_all(scores)
        clash = sorted(set(scorers) & {*TAKEN, *taken})
        if clash:
            raise AntivenomError(f"'{clash[0]}' is the name of another column already", "give the scorer a parameter")
        identities = {label: scorer.identity() for label, scorer in scorers.items()}
        orientation = {label: identity.higher_is for label, identity in identities.items()}
        columns = filter_columns(orientation, {label: dict(scorer.columns) for label, scorer in scorers.items()})
        return cls(scorers, identities, parse_filters(filters, columns, list(scorers), seed=seed), seed)

    @property
    def config(self) -> dict[str, Any]:
        """What determines scores and filters."""
        scores = {label: identity.record() for label, identity in self.identities.items()}
        return {"scores": scores, "filters": [rule.spec for rule in self.filters]}

    def run(self, run: RunDirectory, corpus: Corpus, blocks: list[Block], engine: dict[str, Any]) -> Filtered:
        """Score every row, settle and apply the filters, draw their controls."""
        folder = run.path / "scores"
        for label, identity in self.identities.items():
            write_identity(folder, label, identity, corpus.describe(), parts=len(blocks))
        with run.step("score") as step:
            scored = map_blocks(Score(run.work, folder, self.scorers), blocks, stage="score", **engine)
            step.count(scored)
        extremes = _extremes(run.work, blocks, list(self.scorers))
        with atomic_file(folder / "extremes.jsonl") as temporary:
            Path(temporary).write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in extremes))
        self._scores = [self._score_record(label, folder, blocks, scored) for label in self.scorers]
        controls = []
        if self.filters:
            with run.step("filter") as step:
                self.filters = settle(self.filters, self.scorers, folder, run.work, blocks)
                sift = Sift(run.work, folder, self.scorers, self.filters)
                sifted = map_blocks(sift, blocks, stage="filter", **engine)
                step.count(sifted)
                for number, rule in enumerate(self.filters):
                    total: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
                    for block in sifted:
                        total.update(block["outcomes"][str(number)])
                    self._outcomes.append(total)
                    touched = total.total() - total["kept"] - total["missing_kept"]
                    controls.append(control_cut(rule.spec, touched, run.work, blocks, self.seed))
        return Filtered(run.work, folder, self.scorers, self.filters, controls, self.seed)

    def record(self, applied: list[dict]) -> dict[str, Any]:
        """`scores` and `filters` of run.json.

        Args:
            applied: results of the pass that wrote the rows.
        """
        filters = []
        for number, (rule, total) in enumerate(zip(self.filters, self._outcomes)):
            weights = Counter()
            for block in applied:
                weights.update((block.get("weights") or {}).get(str(number), {}))
            filters.append(_filter_record(number, rule, total, weights))
        return {"scores": self._scores, "filters": filters}

    def _score_record(self, label: str, folder: Path, blocks: list[Block], scored: list[dict]) -> dict[str, Any]:
        missing: Counter[str] = Counter()
        for block in scored:
            missing.update(block["missing"][label])
        identity = self.identities[label]
        rows = sum(block["rows"] for block in scored)
        numbers = _distribution(folder, label, blocks, rows - missing.total())
        if identity.name == "age":
            domain = next((name for name, one in self.identities.items() if one.name == "domain"), None)
            numbers["dates"] = date_record(
                folder, label, domain, [b.index for b in blocks], until=self._taken(identity)
            )
        return {
            "label": label,
            "identity": identity.record(),
            "key": identity.key,
            "rows": rows,
            "n": rows - missing.total(),
            "missing": missing.total(),
            "missing_reasons": [list(pair) for pair in sorted(missing.items(), key=lambda pair: (-pair[1], pair[0]))],
            "cpu_s": round(sum(block["cpu"][label] for block in scored), 3),
            **numbers,
        }

    def _taken(self, identity: Identity) -> str:
        latest = str(identity.params.get("latest", ""))
        return latest if parse_date(latest) == latest else ""


def _distribution(folder: Path, label: str, blocks: list[Block], n: int) -> dict[str, Any]:
    """Quantiles (exact: the score of the row of rank round(q (n - 1))), mean, and a histogram of equal bins."""
    if not n:
        return {"quantiles": {}, "mean": None, "histogram": None}

    def values() -> Iterator[tuple[int, np.ndarray]]:
        for block in blocks:
            found = values_of(scores_of_block(folder, label, block.index, ["score"]), label)
            yield block.index, found[~np.isnan(found)]

    def stream() -> Iterator[tuple]:
        for index, found in values():
            yield code_of(found), np.zeros(len(found), np.uint64), place(index, np.arange(len(found)))

    ranks = [round(float(q) * (n - 1)) for q in QUANTILES]
    quantiles = [value_of(cut.code) for cut in select(stream, ranks)]
    low, high = (float(np.clip(q, *FINITE)) for q in (quantiles[0], quantiles[-1]))
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low == high:
        low, high = low - 0.5, low + 0.5
    counts, total = np.zeros(BINS, np.int64), 0.0
    edges = np.linspace(low, high, BINS + 1)
    for _, found in values():
        counts += np.histogram(found[np.isfinite(found)].astype(np.float64), edges)[0]
        total += float(found.sum(dtype=np.float64))
    return {
        "quantiles": dict(zip(QUANTILES, quantiles)),
        "mean": total / n,
        "histogram": {"low": low, "high": high, "edges": edges.tolist(), "counts": counts.tolist()},
    }


def _filter_record(number: int, rule: Filter, total: Counter[str], weights: Counter[str]) -> dict[str, Any]:
    rows = total.total()
    missing = total["missing_kept"] + total["missing_dropped"] + total["missing_quarantined"]
    scored = rows - missing
    gone = total["dropped"] + total["missing_dropped"] + total["missing_quarantined"]
    record = {
        "spec": rule.spec,
        "column": rule.column,
        "rule": rule.words(),
        "higher_is": rule.higher_is,
        "inverse": rule.inverse,
        "policy": rule.missing,
        "lines": rule.lines(),
        "rows": rows,
        "scored": scored,
        "missing": missing,
        "dropped": total["dropped"],
        "share_of_scored": total["dropped"] / scored if scored else None,
        "missing_dropped": total["missing_dropped"],
        "missing_quarantined": total["missing_quarantined"],
        "removed": gone,
        "dropped_bytes": weights["dropped"],
        "control": {"column": f"control.{number + 1}", "rows": gone + total["cut"], "bytes": weights["control"]},
        "bytes": weights["all"],
    }
    if isinstance(rule, Spans):
        record["cut"] = total["cut"]
    if isinstance(rule, Quantile):
        record["line"] = rule.line
    return record


def _extremes(work: Path, blocks: list[Block], labels: list[str]) -> list[dict[str, Any]]:
    """The corpus's rows at both ends of each score; ties go to the earlier row."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for block in blocks:
        record = orjson.loads(part(work, "extremes", block.index, "json").read_bytes())
        for label in labels:
            for end, sign in (("lowest", 1), ("highest", -1)):
                mine = found.setdefault((label, end), [])
                mine += [line | {"block": block.index} for line in record[label][end]]
                mine.sort(key=lambda line: (sign * line["score"], line["block"], line["row"]))
                del mine[EXTREMES:]
    return [
        {"label": label, "end": end} | {k: v for k, v in line.items() if k not in ("block", "row")}
        for (label, end), lines in sorted(found.items())
        for line in lines
    ]
