"""Forgetting curves (FC): a few particular batches, shown once at known steps; their loss is followed from there on (spec 02, 2.4)."""

from collections.abc import Sequence

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.material import Item, Material

__all__ = ["READ_OUTS", "marked_batches"]

READ_OUTS = (-1, 0, 1, 5, 20, 50, 100, 200, 500)
"""Steps since the batch; -1 is before it, the reference."""


def marked_batches(
    batches: np.ndarray, steps: Sequence[int], *, controls: np.ndarray | None = None, name: str = "fc"
) -> Material:
    """Whole batches at their steps, row by row.

    Args:
        batches: int (k, B, T): tokens that are nowhere else in the run.
        steps: the step of each, counted from 0.
        controls: int (k, B, T): batches like them that are never shown.

    Raises:
        AntivenomError: when there are not as many steps as batches, or a step comes twice.
    """
    if len(steps) != len(batches) or len(set(steps)) < len(steps):
        raise AntivenomError(
            f"{len(batches)} batches for the steps {list(steps)}", "give every batch a step of its own"
        )
    rows = batches.shape[1]
    items, places = [], {}
    for batch, step in zip(batches, steps):
        for row, tokens in enumerate(batch):
            key = f"{name}-{step}-{row}"
            items.append(Item(np.asarray(tokens, np.int64), key, f"step {step}"))
            places[key] = (step * rows + row, 0)
    never = (
        ()
        if controls is None
        else tuple(
            Item(np.asarray(tokens, np.int64), f"{name}-never-{k}-{row}", "never")
            for k, batch in enumerate(controls)
            for row, tokens in enumerate(batch)
        )
    )
    return Material(name, tuple(items), never, {"steps": list(steps)}, places=places)
