"""Cells in several processes of this machine, as many as it has cores.

Every worker is a fresh process (spawned, so that no thread or lock of this one is copied into it) and keeps what it made for
its next cell. Trainings that two cells share are done once: `train.shelf` lets the second wait for the first.
"""

import importlib
import os
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process

from antivenom.studies.cells import Outcome, run_cell
from antivenom.studies.registry import Cell, Study, find_study

__all__ = ["run_in_processes"]


def run_in_processes(
    chosen: Study, cells: Sequence[Cell], workers: int | None = None
) -> Iterator[tuple[Cell, Outcome]]:
    """Cells and their outcomes as they finish.

    A worker that dies (killed, out of memory) takes the cells in flight with it, which then count as failed; the others go on
    with new workers. Cells of different doses run beside each other first, since cells of one dose want the same training.

    Args:
        chosen: the study; its module is imported in every worker.
        cells: to run.
        workers: processes; the cores of this machine when not given.
    """
    workers = min(workers or os.cpu_count() or 1, len(cells))
    left = deque(_apart(cells))
    while left:
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_leave_with_parent)
        try:
            yield from _until_broken(pool, chosen, left, workers)
        finally:
            pool.shutdown(cancel_futures=True)


def _until_broken(
    pool: ProcessPoolExecutor, chosen: Study, left: deque[Cell], workers: int
) -> Iterator[tuple[Cell, Outcome]]:
    running: dict[Future[Outcome], Cell] = {}
    broken = False
    while running or (left and not broken):
        while left and len(running) < workers and not broken:
            try:
                running[pool.submit(_work, chosen.run.__module__, chosen.name, left[0])] = left[0]
            except BrokenProcessPool:
                broken = True
            else:
                left.popleft()
        for done in wait(running, return_when=FIRST_COMPLETED).done:
            cell = running.pop(done)
            try:
                yield cell, done.result()
            except BrokenProcessPool:
                broken = True
                yield cell, Outcome(error=f"{cell}: its process died (killed, or out of memory)")
            except Exception as error:
                yield cell, Outcome(error=f"{cell}: {type(error).__name__}: {error}", trace=traceback.format_exc())


def _apart(cells: Sequence[Cell]) -> list[Cell]:
    """By seed, then treatment, then dose, each in the order given."""
    treatments = list(dict.fromkeys(cell.treatment for cell in cells))
    seeds = list(dict.fromkeys(cell.seed for cell in cells))
    return sorted(cells, key=lambda cell: (seeds.index(cell.seed), treatments.index(cell.treatment)))


def _work(module: str, name: str, cell: Cell) -> Outcome:
    if module != "__main__":  # the main script has been run here under another name
        importlib.import_module(module)
    return run_cell(find_study(name), cell)


def _leave_with_parent() -> None:
    """A worker whose parent is gone stops at once: it would go on with a run that nobody holds."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
