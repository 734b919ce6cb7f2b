"""Cards of a study whose treatments are experiments: each cell leaves one, a run joins them into `cards.json`.

A card says in words what a response cannot: what went in, where, how much of it, how it is read, what it cost. `report.experiment_cards`
prints it beside the responses of its treatments. A card may hold the record of a dependence test (`matrix`), which is drawn.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from antivenom.report.run_directory import atomic_json, fingerprint
from antivenom.studies.registry import Cell

__all__ = ["gather_cards", "leave_card"]


def _path(folder: Path, cell: Cell) -> Path:
    return folder / f"card-{fingerprint([cell.study, cell.dose, cell.treatment, cell.seed])[:16]}.json"


def leave_card(cell: Cell, card: dict[str, Any]) -> None:
    """Leave a cell's card beside its artefacts; nothing without a folder for them.

    Args:
        cell: whose treatment the card is of.
        card: `key` (cards of one key are one, those of several seeds too), `title`, `what`, `where`, `metric`, `cost` in words, `doses`
            ({"condition", "placements", "tokens", "share"}), `notes` in words, `matrix`.
    """
    if cell.cache_dir is None:
        return
    folder = Path(cell.cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_json(_path(folder, cell), card | {"treatment": cell.treatment, "seed": cell.seed})


def gather_cards(out: Path, cells: Iterable[Cell]) -> None:
    """Join the cards of these cells into `cards.json` of the run; no file where no cell left any."""
    found = []
    for cell in cells:
        path = _path(Path(cell.cache_dir), cell) if cell.cache_dir else None
        if path and path.exists():
            found.append(orjson.loads(path.read_bytes()))
    if found:
        atomic_json(out / "cards.json", found)
