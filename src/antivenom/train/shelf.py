"""A folder of trainings, each under the hash of what determines it: one that was done is read back, one that was begun goes on."""

from pathlib import Path

from antivenom.report.run_directory import fingerprint
from antivenom.train.loop import Recipe, Source, Training, fit, model_hash
from antivenom.train.objectives import Objective

__all__ = ["fit_on_shelf"]


def fit_on_shelf(objective: Objective, data: Source, recipe: Recipe, shelf: str | Path | None) -> Training:
    """`fit` in the training's own folder on the shelf; without a shelf, nothing is kept."""
    out = None
    if shelf:
        parts = [objective.describe(), data.fingerprint, recipe.determines(), model_hash(objective.model)]
        out = Path(shelf) / fingerprint(parts)[:16]
    return fit(objective, data, recipe, out=out)
