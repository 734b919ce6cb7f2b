"""Points of a study that measures every epoch: each cell leaves its own, a run joins them into `points.parquet`.

A point is a `measure.selection.Point` as plain data with `panel` (the victim), `victim_ca`, `victim_asr` and `destroyed`
(under half of the victim's accuracy: its ASR says nothing; spec 04, U6, U17).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.measure.selection import Point, destroyed
from antivenom.report.run_directory import atomic_file, atomic_json, fingerprint
from antivenom.studies.registry import Cell

__all__ = ["gather_points", "leave_points"]


def _path(folder: Path, cell: Cell) -> Path:
    return folder / f"points-{fingerprint([cell.study, cell.dose, cell.treatment, cell.seed])[:16]}.json"


def leave_points(cell: Cell, panel: str, points: Sequence[Point], victim: Point) -> None:
    """Leave a cell's points beside its artefacts; nothing without a folder for them."""
    if cell.cache_dir is None or victim.ca is None:
        return
    about = {"panel": panel, "dose": cell.dose, "victim_ca": victim.ca, "victim_asr": victim.asr}
    lost = destroyed(points, victim.ca)
    folder = Path(cell.cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_json(
        _path(folder, cell), [p.row() | about | {"destroyed": gone} for p, gone in zip(points, lost, strict=True)]
    )


def gather_points(out: Path, cells: Iterable[Cell]) -> None:
    """Join the points of these cells into `points.parquet` of the run; no file where no cell left any."""
    rows: list[dict[str, Any]] = []
    for cell in cells:
        path = _path(Path(cell.cache_dir), cell) if cell.cache_dir else None
        if path and path.exists():
            rows += orjson.loads(path.read_bytes())
    if rows:
        with atomic_file(out / "points.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary)
