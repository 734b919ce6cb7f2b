"""Two runs side by side: unlike runs are refused, what differs is named, and seeds or items are paired."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from antivenom.errors import AntivenomError
from antivenom.measure.rates import paired_difference
from antivenom.studies.replay import load_run, replay_command

__all__ = ["Comparison", "compare", "replay_command"]

LIKE = (
    "verb",
    "study",
    "size",
    "settings",
    "denominator",
    "benchmarks",
    "data_hash",
    "antivenom",
    "source_hash",
    "code_hash",
)
"""What must be equal: the question, the data, and the version of what scored (scorers of two versions share no table)."""

NAMED = ("versions", "seeds", "doses", "treatments", "detectors", "corpus", "judge", "scores", "filters")
"""What may differ, and is then named."""

SOFT_PARTS = {"judge": ("model", "kind"), "corpus": ("root", "files", "bytes")}


@dataclass(frozen=True)
class Comparison:
    """Rows (metric, dose, treatment, a, b, difference, low, high, n) and what differs between the runs.

    `difference` is b - a; `n` the seeds (study) or benchmark items (screen) that are paired; its interval is the paired
    bootstrap's, None for a single pair.
    """

    rows: list[dict[str, Any]]
    differences: list[str]


def compare(a: str | Path, b: str | Path, *, force: bool = False) -> Comparison:
    """Put run A beside run B.

    Study runs: per metric, dose and treatment the means, and the paired difference over the seeds that both have. Screen runs:
    per benchmark the share of items found, and the paired difference over the benchmark's items.

    Raises:
        AntivenomError: when they are unlike (another study, size, settings, data, benchmark or version of the scorers) and
            `force` is not set; the message names what differs.
    """
    (folder_a, run_a), (folder_b, run_b) = load_run(a), load_run(b)
    unlike = [key for key in LIKE if _shown(key, run_a) != _shown(key, run_b)]
    if unlike and not force:
        raise AntivenomError(
            f"the runs are unlike: they differ in {', '.join(unlike)}", "give --force to compare them all the same"
        )
    differ = [*unlike, *(key for key in NAMED if _shown(key, run_a) != _shown(key, run_b))]
    differences = [_said(key, run_a, run_b) for key in differ]
    if run_a.get("verb") != run_b.get("verb"):
        raise AntivenomError("a study run and a screen run share no figure", "compare runs of one verb")
    if str(run_a.get("verb")) not in ("screen", "study"):
        mend = "compare runs of screen or of one study; evaluations: antivenom toxicr compare"
        raise AntivenomError(f"runs of '{run_a.get('verb')}' have no figures to put side by side here", mend)
    if run_a.get("verb") == "screen":
        return Comparison(_screen_rows(folder_a, run_a, folder_b, run_b), differences)
    return Comparison(_study_rows(folder_a, folder_b), differences)


def _shown(key: str, run: dict[str, Any]) -> Any:
    """What of a record's entry counts: a judge's name and not how often it was asked."""
    value = run.get(key)
    if key in SOFT_PARTS and isinstance(value, dict):
        return {part: value.get(part) for part in SOFT_PARTS[key]}
    if key == "detectors" and isinstance(value, list):
        return [(d.get("name"), d.get("params")) for d in value]
    if key == "scores" and isinstance(value, list):
        return [(s.get("label"), s.get("key")) for s in value]
    if key == "filters" and isinstance(value, list):
        return [f.get("spec") for f in value]
    if key == "benchmarks" and isinstance(value, list):
        return [(d.get("name"), d.get("hash")) for d in value]
    return value


def _said(key: str, a: dict[str, Any], b: dict[str, Any]) -> str:
    one, two = _shown(key, a), _shown(key, b)
    if isinstance(one, dict) and isinstance(two, dict):
        changed = [k for k in sorted({*one, *two}) if one.get(k) != two.get(k)]
        return f"{key}: " + "; ".join(f"{k} {one.get(k)} / {two.get(k)}" for k in changed)
    return f"{key}: {one} / {two}"


def _screen_rows(folder_a: Path, a: dict[str, Any], folder_b: Path, b: dict[str, Any]) -> list[dict[str, Any]]:
    beside = {row["name"]: row for row in b["per_benchmark"]}
    rows = []
    for row in a["per_benchmark"]:
        other = beside.get(row["name"])
        key = ("share of items found", None, row["name"])
        shares = (row["share"], other["share"] if other else None)
        one, two = (_found(folder, row["name"]) for folder in (folder_a, folder_b))
        whole = other is not None and (len(one), len(two)) == (row["contaminated"], other["contaminated"])
        if other is not None and whole and row["items"] == other["items"]:
            # every item of the benchmark is a pair; those found in neither run are pairs of zeros
            every = sorted(one | two)
            rest = [0.0] * (row["items"] - len(every))
            arms = [[*(float(item in side) for item in every), *rest] for side in (one, two)]
            paired = paired_difference(arms[0], arms[1])
            rows.append(_row(key, *shares, paired.low, paired.high, n=row["items"]))
        else:
            rows.append(_row(key, *shares, n=row["items"]))
    return rows + _filter_rows(a, b)


def _filter_rows(a: dict[str, Any], b: dict[str, Any]) -> list[dict[str, Any]]:
    """Per filter that both runs have, the share of scored rows it drops; only where the same scorer gave the score."""
    keys = [{s["label"]: s["key"] for s in run.get("scores") or []} for run in (a, b)]
    beside = {f["spec"]: f for f in b.get("filters") or []}
    rows = []
    for one in a.get("filters") or []:
        two = beside.get(one["spec"])
        label = max((name for name in keys[0] if one["column"].startswith(name)), key=len, default=None)
        if two is None or label is None or keys[0][label] != keys[1].get(label):
            continue
        name = ("share of scored rows dropped", None, one["spec"])
        rows.append(_row(name, one["share_of_scored"], two["share_of_scored"], n=min(one["scored"], two["scored"])))
    return rows


def _found(folder: Path, benchmark: str) -> set[str]:
    """The items of a benchmark that a screen run found."""
    path = folder / "pairs.parquet"
    if not path.exists():
        return set()
    pairs = pq.read_table(path, columns=["benchmark", "item_id", "flagged", "kind"])
    right = pc.and_(pairs["flagged"], pc.is_in(pairs["kind"], value_set=pc.cast(["verbatim", "rephrased"], "string")))
    return set(pairs.filter(pc.and_(right, pc.equal(pairs["benchmark"], benchmark)))["item_id"].to_pylist())


def _row(key: tuple, a: float | None, b: float | None, low=None, high=None, n: int = 1) -> dict[str, Any]:
    difference = b - a if a is not None and b is not None else None
    names = {"metric": key[0], "dose": key[1], "treatment": key[2]}
    return names | {"a": a, "b": b, "difference": difference, "low": low, "high": high, "n": n}


def _study_rows(a: Path, b: Path) -> list[dict[str, Any]]:
    sides: list[dict[tuple, dict[int, float]]] = []
    for folder in (a, b):
        groups: dict[tuple, dict[int, float]] = {}
        for row in pq.read_table(folder / "rows.parquet").to_pylist():
            if row["value"] is not None:
                groups.setdefault((row["metric"], row["dose"], row["treatment"]), {})[row["seed"]] = row["value"]
        sides.append(groups)
    rows = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        one, two = (side.get(key, {}) for side in sides)
        seeds = sorted(set(one) & set(two))
        # where seeds match, both means are over the same seeds: their difference is then the paired one
        first, second = (_mean([side[s] for s in seeds] if seeds else list(side.values())) for side in (one, two))
        paired = paired_difference([one[s] for s in seeds], [two[s] for s in seeds])
        interval = (paired.low, paired.high) if len(seeds) > 1 else (None, None)
        rows.append(_row(key, first, second, *interval, n=len(seeds)))
    return rows


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
