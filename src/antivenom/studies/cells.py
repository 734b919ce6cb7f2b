"""Cells: run, kept under the hash of everything that determines them, and read back."""

import hashlib
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from antivenom import __version__
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import atomic_file, atomic_json, fingerprint
from antivenom.screen.engine import load_ray
from antivenom.studies.registry import Cell, SkipCell, Study, code_hash, package_versions

__all__ = ["RUNNERS", "CellStore", "Outcome", "run_cell", "run_cells"]

RUNNERS = ("loop", "processes", "ray")
HASHED_WHOLE = 256 * 2**20
"""Data files up to this size are hashed; of larger ones, the size and the time of the last change count."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its responses, or why there are none."""

    responses: list[dict[str, Any]] | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    error: str = ""
    trace: str = ""
    skipped: str = ""


def run_cell(chosen: Study, cell: Cell) -> Outcome:
    """Run one cell; an error is returned in words, so that the sweep goes on."""
    wall, cpu = time.monotonic(), time.process_time()
    try:
        responses = [response.record(cell) for response in chosen.run(cell)]
    except SkipCell as reason:
        return Outcome(skipped=f"{cell}: {reason}")
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        text = error.what if isinstance(error, AntivenomError) else f"{type(error).__name__}: {error}"
        return Outcome(error=f"{cell}: {text}{where}", trace=traceback.format_exc())
    return Outcome(responses, time.monotonic() - wall, time.process_time() - cpu)


class CellStore:
    """The finished cells of a run directory: one file each, there whole or not at all.

    A cell's key is the hash of its study and its source, the package's code, size, dose, treatment, seed, settings, the
    content of the data folder, and the versions of the packages that can change a figure.
    """

    def __init__(self, chosen: Study, folder: Path, settings: dict[str, Any]):
        self.folder = folder
        self.data_hash = data_hash(settings)
        self._about = [chosen.source_hash, code_hash(), __version__, package_versions(), self.data_hash]

    def path(self, cell: Cell) -> Path:
        """Where the cell is kept."""
        return self.folder / f"{fingerprint([cell.determines(), self._about])}.json"

    def load(self, cell: Cell) -> dict[str, Any] | None:
        """What was kept of a cell; None when it is not there, or not readable (it is then run again)."""
        try:
            kept = orjson.loads(self.path(cell).read_bytes())
            return kept if isinstance(kept["responses"], list) else None
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            return None

    def save(self, cell: Cell, outcome: Outcome) -> None:
        """Keep the responses; of a failed cell only the traceback, in `KEY.error.txt`, so that it is run again."""
        path = self.path(cell)
        trace = path.with_suffix(".error.txt")
        if outcome.responses is None:
            if outcome.trace:
                with atomic_file(trace) as temporary:
                    Path(temporary).write_text(outcome.trace, encoding="utf-8", errors="backslashreplace")
            return
        about = {"study": cell.study, "size": cell.size, "dose": cell.dose, "treatment": cell.treatment}
        times = {"wall_s": round(outcome.wall_s, 3), "cpu_s": round(outcome.cpu_s, 3)}
        atomic_json(path, {"cell": about | {"seed": cell.seed}, "responses": outcome.responses, **times})
        trace.unlink(missing_ok=True)


def run_cells(
    chosen: Study, cells: Sequence[Cell], store: CellStore, *, runner: str = "loop", address: str | None = None
) -> tuple[list[str], list[str]]:
    """Run the cells that are not kept yet: one after the other (`loop`), in processes of this machine or as Ray tasks.

    Returns:
        errors of the cells that failed, and why cells were skipped, in words.

    Raises:
        AntivenomError: for an unknown runner, or when Ray is not installed.
    """
    if runner not in RUNNERS:
        raise AntivenomError(f"there is no runner '{runner}' for studies", f"choose from: {', '.join(RUNNERS)}")
    pending = [cell for cell in cells if store.load(cell) is None]
    if runner == "ray":
        outcomes = _on_ray(chosen, pending, address)
    elif runner == "processes" and len(pending) > 1:
        from antivenom.studies.cell_processes import run_in_processes

        outcomes = run_in_processes(chosen, pending)
    else:
        outcomes = ((cell, run_cell(chosen, cell)) for cell in pending)
    failed: dict[int, str] = {}
    skipped: dict[int, str] = {}
    place = {id(cell): number for number, cell in enumerate(pending)}
    for cell, outcome in _shown(outcomes, len(pending)):
        store.save(cell, outcome)
        if outcome.error:
            failed[place[id(cell)]] = outcome.error
        if outcome.skipped:
            skipped[place[id(cell)]] = outcome.skipped
    return [failed[i] for i in sorted(failed)], [skipped[i] for i in sorted(skipped)]


def _on_ray(chosen: Study, cells: Sequence[Cell], address: str | None) -> Iterator[tuple[Cell, Outcome]]:
    """Cells as they finish; a task that dies (a lost node, memory) is a failed cell, not the end of the sweep."""
    ray = load_ray()
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False)
    remote = ray.remote(run_cell)
    running = {remote.remote(chosen, cell): cell for cell in cells}
    while running:
        (done,), _ = ray.wait(list(running), num_returns=1)
        cell = running.pop(done)
        try:
            yield cell, ray.get(done)
        except Exception as error:
            yield cell, Outcome(error=f"{cell}: {type(error).__name__}: {error}", trace=traceback.format_exc())


def _shown(outcomes: Iterator, total: int) -> Iterator:
    """With a progress bar and the time that is left, on a terminal."""
    import sys

    from rich.console import Console
    from rich.progress import track

    yield from track(
        outcomes, "cells", total=total, console=Console(stderr=True), disable=not sys.stderr.isatty() or not total
    )


def data_hash(settings: dict[str, Any]) -> str | None:
    """Hash of the files under `settings["data"]`; None without one.

    Raises:
        AntivenomError: when the folder is not there.
    """
    if not settings.get("data"):
        return None
    root = Path(str(settings["data"]))
    if not root.exists():
        raise AntivenomError(f"there is no data folder '{root}'", "name a folder that exists after --data")
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
        if not path.is_file():
            continue
        facts = path.stat()
        digest.update(f"{path.relative_to(root).as_posix()}\0{facts.st_size}\0".encode("utf-8", "surrogateescape"))
        if facts.st_size > HASHED_WHOLE:
            digest.update(str(facts.st_mtime_ns).encode())
            continue
        with path.open("rb") as source:
            digest.update(hashlib.file_digest(source, "blake2b").digest())
    return digest.hexdigest()
