"""Deep clustering as a cure: fine-tuning on clean pairs, with the images' own clusters as classes (see `train.clustering`).

The published runs have 1,000 centroids on 100,000 pairs and weight 5. With fewer pairs the default is one cluster per 16 pairs (our
choice). With `labels` the clusters are an oracle's ("cheating"): classes that a stronger model gave the images.

Source: spec 04, 2.2 (arXiv 2311.14948 and its code).
"""

from dataclasses import replace
from typing import Any

import numpy as np

from antivenom.repair.record import CleanPairs, Measure, Repaired, Shelf, repaired
from antivenom.train.clustering import HEADS, DeepClustering
from antivenom.train.loop import Recipe
from antivenom.train.numbered import Numbered
from antivenom.train.pairs import PairSource
from antivenom.train.shelf import fit_on_shelf

__all__ = ["deep_clustering"]

MOST, PAIRS_EACH = 1_000, 16


def deep_clustering(
    model: Any,
    clean: CleanPairs,
    recipe: Recipe,
    seed: int,
    *,
    shelf: Shelf = None,
    measure: Measure | None = None,
    clusters: int | None = None,
    weight: float = 5.0,
    objective: str = "mmcl+ssl",
    labels: np.ndarray | None = None,
) -> Repaired:
    """Fine-tune with an objective by name and the clustering term.

    Args:
        clusters: k; by default one per 16 pairs, from 2 to 1,000, or with labels as many as these name.
        weight: of the term.
        objective: of the contrastive term.
        labels: (n,), the oracle's.

    Raises:
        AntivenomError: as `train.clustering.DeepClustering` does.
    """
    k = clusters or (min(MOST, max(2, len(clean) // PAIRS_EACH)) if labels is None else int(np.max(labels)) + 1)
    recipe = replace(recipe, no_decay=(*recipe.no_decay, HEADS))

    def change(working: Any, seeded: Recipe) -> tuple[int, Any]:
        goal = DeepClustering(
            working, clean.images, seeded, clusters=k, weight=weight, objective=objective, labels=labels
        )
        rows = PairSource(working, clean.images, list(clean.captions), views=goal.views, ids=clean.ids, seed=seed)
        return fit_on_shelf(goal, Numbered(rows), seeded, shelf).steps, None

    settings = {"clusters": k, "weight": weight, "objective": objective, "oracle": labels is not None}
    return repaired("deep-clustering", model, clean, recipe, seed, change, settings=settings, measure=measure)
