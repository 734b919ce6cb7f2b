"""Fine-tuning on clean pairs with a fresh optimizer: the ordinary loss, augmented views alone, or both (CleanCLIP).

    mmcl       L_MMCL
    ssl        L_SSL
    cleanclip  L_MMCL + inmodal L_SSL

The losses are those of `train.objectives`. With `suspected` pairs each of them gets the unlearning constraint (`repair.unlearning`):
those pairs leave the contrastive loss and are pushed apart. Source: spec 01, 2.2 and 2.5 (arXiv 2303.03323).
"""

from typing import Any

import numpy as np

from antivenom.repair.record import CleanPairs, Measure, Repaired, Shelf, repaired
from antivenom.repair.unlearning import Suspected, tune_and_unlearn
from antivenom.train.loop import Recipe
from antivenom.train.objectives import make_objective
from antivenom.train.pairs import PairSource
from antivenom.train.shelf import fit_on_shelf

__all__ = ["cleanclip", "mmcl", "ssl", "tune"]


def tune(model: Any, objective: str, clean: CleanPairs, recipe: Recipe, shelf: Shelf, **options: Any) -> int:
    """Train a model in place with an objective by name; the number of steps."""
    goal = make_objective(objective, model, **options)
    rows = PairSource(model, clean.images, list(clean.captions), views=goal.views, ids=clean.ids, seed=recipe.seed)
    return fit_on_shelf(goal, rows, recipe, shelf).steps


def _cure(
    name: str, objective: str, model: Any, clean: CleanPairs, recipe: Recipe, seed: int, shelf: Shelf,
    measure: Measure | None, suspected: Suspected | None, unlearn: float, **options: Any,
) -> Repaired:  # fmt: skip
    if suspected is None:
        return repaired(
            name, model, clean, recipe, seed,
            lambda working, seeded: (tune(working, objective, clean, seeded, shelf, **options), None),
            settings=options, measure=measure,
        )  # fmt: skip
    count = len(suspected) if isinstance(suspected, CleanPairs) else int(np.asarray(suspected).sum())
    more = options | {"weight": unlearn}
    return repaired(
        name, model, clean, recipe, seed,
        lambda working, seeded: (
            tune_and_unlearn(working, objective, clean, suspected, seeded, shelf, **more), None
        ),
        settings=options | {"suspected": count, "unlearn": unlearn}, measure=measure,
    )  # fmt: skip


def mmcl(
    model: Any,
    clean: CleanPairs,
    recipe: Recipe,
    seed: int,
    *,
    shelf: Shelf = None,
    measure: Measure | None = None,
    suspected: Suspected | None = None,
    unlearn: float = 1.0,
) -> Repaired:
    """Plain fine-tuning: the baseline of every other cure; `suspected` and the weight `unlearn` are those of `repair.unlearning`."""
    return _cure("mmcl", "mmcl", model, clean, recipe, seed, shelf, measure, suspected, unlearn)


def ssl(
    model: Any,
    clean: CleanPairs,
    recipe: Recipe,
    seed: int,
    *,
    shelf: Shelf = None,
    measure: Measure | None = None,
    suspected: Suspected | None = None,
    unlearn: float = 1.0,
) -> Repaired:
    """Augmented views alone: nothing holds images and captions together."""
    return _cure("ssl", "ssl", model, clean, recipe, seed, shelf, measure, suspected, unlearn)


def cleanclip(
    model: Any,
    clean: CleanPairs,
    recipe: Recipe,
    seed: int,
    *,
    shelf: Shelf = None,
    measure: Measure | None = None,
    inmodal: float = 1.0,
    suspected: Suspected | None = None,
    unlearn: float = 1.0,
) -> Repaired:
    """CleanCLIP; `inmodal` is lambda_2, the weight of the SSL term."""
    return _cure(
        "cleanclip", "mmcl+ssl", model, clean, recipe, seed, shelf, measure, suspected, unlearn, inmodal=inmodal
    )
