"""The random control of the trained cures: as far as plain fine-tuning goes, in a direction that nothing was learned from.

    theta <- theta + |theta_mmcl - theta| u / |u|,  u ~ N(0, 1), tensor by tensor

A cure that does no better than this has only disturbed the model. Buffers stay.
"""

import copy
from typing import Any

import torch

from antivenom.randomness import generator
from antivenom.repair.fine_tuning import tune
from antivenom.repair.record import CleanPairs, Measure, Repaired, Shelf, repaired
from antivenom.train.loop import Recipe

__all__ = ["move_randomly", "random_move"]


def move_randomly(model: Any, like: Any, seed: int) -> None:
    """Move every parameter of `model`, in place, as far as that of `like` lies from it, in a random direction."""
    other = dict(like.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            length = (other[name].detach().to(parameter) - parameter).norm()
            drawn = generator(seed, "random move", name).standard_normal(tuple(parameter.shape))
            direction = torch.as_tensor(drawn, dtype=parameter.dtype, device=parameter.device)
            parameter.add_(direction * (length / direction.norm()))


def random_move(
    model: Any, clean: CleanPairs, recipe: Recipe, seed: int, *, shelf: Shelf = None, measure: Measure | None = None
) -> Repaired:
    """The control; it trains with `mmcl` to learn the lengths, and its record has no steps of its own."""

    def change(working: Any, seeded: Recipe) -> tuple[int, Any]:
        tuned = copy.deepcopy(working)
        tune(tuned, "mmcl", clean, seeded, shelf)
        move_randomly(working, tuned, seed)
        return 0, None

    return repaired("random", model, clean, recipe, seed, change, settings={"like": "mmcl"}, measure=measure)
