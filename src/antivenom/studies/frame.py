"""The frame of every study: doses x treatments x seeds -> responses with intervals, cached cell by cell.

    @study(paper="...", dose="planted rows", of="rows of the haystack", doses=(...), treatments=(...), sizes={...})
    def rephrased(cell):
        ...
        yield Response("recall", value=..., n=..., low=..., high=...)

A cell is one dose x treatment x seed at one size (`registry`). Its responses are kept under the hash of everything that
determines them (`cells`), so a sweep can be stopped, resumed and extended; the means over seeds are in `over_seeds`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.errors import AntivenomError
from antivenom.report.page import write_study_report
from antivenom.report.run_directory import RunDirectory, atomic_file
from antivenom.studies.cards import gather_cards
from antivenom.studies.cells import CellStore, run_cells
from antivenom.studies.over_seeds import summarise
from antivenom.studies.points import gather_points
from antivenom.studies.registry import (
    Cell,
    PaperFigure,
    Response,
    SkipCell,
    Study,
    code_hash,
    find_study,
    list_studies,
    study,
)

__all__ = [
    "ROWS_SCHEMA",
    "Cell",
    "PaperFigure",
    "Response",
    "SkipCell",
    "Study",
    "StudyRun",
    "find_study",
    "list_studies",
    "run_points",
    "run_study",
    "study",
    "summarise",
]

ROWS_SCHEMA = pa.schema(
    [
        ("study", pa.string()),
        ("dose", pa.int64()),
        ("dose_share", pa.float64()),
        ("dose_unit", pa.string()),
        ("denominator", pa.string()),
        ("treatment", pa.string()),
        ("seed", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("control", pa.float64()),
        ("control_name", pa.string()),
    ]
)
"""The columns of rows.parquet: one line per cell and metric."""

Point = tuple[Any, str, int]
"""(dose, treatment, seed)."""


@dataclass
class StudyRun:
    """A finished run: tidy rows, their summary over seeds, the cells that failed and those that could not run here."""

    out: Path
    rows: list[dict[str, Any]]
    summary: list[dict[str, Any]]
    failed: list[str]
    skipped: list[str] = field(default_factory=list)
    headline: list[str] = field(default_factory=list)
    """The metrics of which the paper has a figure."""


def run_study(
    name: str,
    *,
    size: str = "tiny",
    seeds: Iterable[int] = (0,),
    out: str | Path,
    doses: Sequence | None = None,
    treatments: Sequence[str] | None = None,
    settings: dict[str, Any] | None = None,
    runner: str = "loop",
    address: str | None = None,
    command: Sequence[str] = (),
) -> StudyRun:
    """Run a study, or go on with it: only cells that are not kept yet are run.

    A cell that fails is recorded with its error, and the others go on. A run directory can be extended by more seeds, doses
    or treatments: its table then holds the old cells and the new ones.

    Args:
        name: of the study.
        size: one that the study declares.
        seeds: of the cells.
        out: the run directory.
        doses, treatments: only these of the declared ones; the study's controls always run beside them.
        settings: on top of those of the size, e.g. `{"data": folder}`.
        runner: `loop`, `processes` (of this machine, as many as it has cores) or `ray`.
        address: of the Ray cluster.
        command: what the record says the command was.

    Raises:
        AntivenomError: for an unknown study, size, dose or treatment, no seed, or a folder that holds another run.
    """
    chosen = find_study(name)
    if size not in chosen.sizes:
        raise AntivenomError(f"study '{name}' has no size '{size}'", f"it has: {', '.join(chosen.sizes)}")
    picked_doses = _subset(doses, chosen.doses, "dose", name)
    picked = _subset(treatments, chosen.treatments, "treatment", name)
    picked = [t for t in chosen.treatments if t in picked or t in chosen.controls]
    seeds = [int(seed) for seed in seeds]
    if not seeds:
        raise AntivenomError(f"study '{name}' is asked for without a seed", "give at least one seed")
    points = [(d, t, s) for s, d, t in product(seeds, picked_doses, picked)]
    if not command:
        command = _command(name, size, seeds, out, doses, treatments, settings or {})
    return run_points(
        name, points, size=size, out=out, settings=settings, runner=runner, address=address, command=command
    )


def run_points(
    name: str,
    points: Sequence[Point],
    *,
    size: str,
    out: str | Path,
    settings: dict[str, Any] | None = None,
    runner: str = "loop",
    address: str | None = None,
    command: Sequence[str] = (),
) -> StudyRun:
    """Run some (dose, treatment, seed) of a study; `run_study` and `replay` are made of it. See `run_study`."""
    chosen, out = find_study(name), Path(out)
    settings = {**chosen.sizes[size], **(settings or {})}
    config = {"verb": "study", "study": name, "size": size, "settings": settings}
    before = _points_before(chosen, out, config)
    points = _in_order(chosen, [*points, *before])
    with RunDirectory.open(out, config | {"cells": points}, extend=True) as run:
        store = CellStore(chosen, out / "cells", settings)
        shelf = str((out / "artefacts").resolve())
        cells = [Cell(size, dose, treatment, seed, settings, name, shelf) for dose, treatment, seed in points]
        with run.step("cells"):
            failed, skipped = run_cells(chosen, cells, store, runner=runner, address=address)
        kept = [(cell, store.load(cell)) for cell in cells]
        rows = [_row(chosen, cell, one) for cell, found in kept if found for one in found["responses"]]
        with atomic_file(out / "rows.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(rows, schema=ROWS_SCHEMA), temporary)
        gather_points(out, cells)
        gather_cards(out, cells)
        run.finish(
            {
                **config,
                "paper": chosen.paper,
                "title": chosen.title,
                "dose": chosen.dose,
                "denominator": chosen.of,
                "seeds": sorted({seed for _, _, seed in points}),
                "doses": [d for d in chosen.doses if any(d == dose for dose, _, _ in points)],
                "treatments": [t for t in chosen.treatments if any(t == used for _, used, _ in points)],
                "controls": list(chosen.controls),
                "figures": [asdict(figure) for figure in chosen.figures],
                "failed": failed,
                "skipped": skipped,
                "source_hash": chosen.source_hash,
                "code_hash": code_hash(),
                "data_hash": store.data_hash,
                "seconds_per_seed": _seconds(kept),
                "command": list(command),
                "warnings": [
                    *(f"cell failed: {text}" for text in failed),
                    *(f"cell not run: {text}" for text in skipped),
                ],
            }
        )
        write_study_report(out)
    headline = list(dict.fromkeys(figure.metric for figure in chosen.figures))
    return StudyRun(out, rows, summarise(rows), failed, skipped, headline)


def _row(chosen: Study, cell: Cell, response: dict[str, Any]) -> dict[str, Any]:
    return {
        "study": chosen.name,
        "denominator": chosen.of,
        "treatment": cell.treatment,
        "seed": cell.seed,
    } | response


def _seconds(kept: list[tuple[Cell, dict[str, Any] | None]]) -> dict[str, float]:
    """Wall seconds of the cells of every seed, whenever they ran."""
    total: dict[str, float] = {}
    for cell, found in kept:
        if found:
            total[str(cell.seed)] = round(total.get(str(cell.seed), 0.0) + found.get("wall_s", 0.0), 3)
    return total


def _command(
    name: str,
    size: str,
    seeds: list[int],
    out: str | Path,
    doses: Sequence | None,
    treatments: Sequence[str] | None,
    settings: dict[str, Any],
) -> list[str]:
    """The command line of a run; one that no option can say is repeated from its record."""
    if seeds != list(range(len(seeds))) or set(settings) - {"data"}:
        return ["antivenom", "replay", str(Path(out) / "run.json"), "--out", "ANOTHER-FOLDER"]
    words = ["antivenom", "study", "run", name, "--size", size, "--seeds", str(len(seeds)), "--out", str(out)]
    words += ["--doses", *map(str, doses)] if doses else []
    words += ["--treatments", *treatments] if treatments else []
    return words + (["--data", str(settings["data"])] if settings.get("data") else [])


def _points_before(chosen: Study, out: Path, config: dict[str, Any]) -> list[Point]:
    """The cells that earlier calls put into this run directory.

    Raises:
        AntivenomError: when it holds another run.
    """
    path = out / "run.json"
    if not path.exists():
        return []
    try:
        before = orjson.loads(path.read_bytes()).get("config", {})
    except orjson.JSONDecodeError:
        before = {}
    wrong = [key for key in config if before.get(key) != orjson.loads(orjson.dumps(config[key], default=str))]
    if wrong:
        raise AntivenomError(f"{out} holds another run (differs in: {', '.join(wrong)})", "choose another --out")
    return recorded_points(chosen, before)


def recorded_points(chosen: Study, config: dict[str, Any]) -> list[Point]:
    """The cells of a recorded configuration that the study still declares."""
    doses = {str(dose): dose for dose in chosen.doses}
    return [
        (doses[str(dose)], treatment, int(seed))
        for dose, treatment, seed in config.get("cells") or []
        if str(dose) in doses and treatment in chosen.treatments
    ]


def _in_order(chosen: Study, points: Sequence[Point]) -> list[Point]:
    """Without repetition, by seed, then dose and treatment as declared: the order in which they run, whoever asked first."""
    doses = {str(dose): i for i, dose in enumerate(chosen.doses)}
    treatments = {treatment: i for i, treatment in enumerate(chosen.treatments)}
    return sorted(dict.fromkeys(points), key=lambda p: (p[2], doses[str(p[0])], treatments[p[1]]))


def _subset(wanted: Sequence | None, known: Sequence, what: str, name: str) -> list:
    if not wanted:
        return list(known)
    by_text = {str(value): value for value in known}
    unknown = [value for value in wanted if str(value) not in by_text]
    if unknown:
        raise AntivenomError(f"study '{name}' has no {what} '{unknown[0]}'", f"it has: {', '.join(by_text)}")
    return [by_text[str(value)] for value in wanted]
