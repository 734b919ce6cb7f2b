"""A folder of trainings, each under the hash of what determines it: one that was done is read back, one that was begun goes on."""

import fcntl
from pathlib import Path

from antivenom.report.run_directory import fingerprint
from antivenom.train.loop import Recipe, Source, Training, fit, model_hash
from antivenom.train.objectives import Objective

__all__ = ["fit_on_shelf"]


def fit_on_shelf(objective: Objective, data: Source, recipe: Recipe, shelf: str | Path | None) -> Training:
    """`fit` in the training's own folder on the shelf; without a shelf, nothing is kept.

    Two processes that want the same training do it once: the second waits, and reads it back.
    """
    if not shelf:
        return fit(objective, data, recipe)
    parts = [objective.describe(), data.fingerprint, recipe.determines(), model_hash(objective.model)]
    out = Path(shelf) / fingerprint(parts)[:16]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, and when the process dies
        return fit(objective, data, recipe, out=out)
