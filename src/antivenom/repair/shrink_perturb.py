"""Shrink and perturb: once before fine-tuning, every parameter is drawn towards a random initialisation.

    theta <- shrink theta + perturb theta_random

Buffers (statistics of batch normalisation) stay. The published code shrinks the logit scale as well (4.6 x 0.95: temperature 100
becomes 79; trap U19); here `exclude` keeps it, and `exclude=()` is the published form.

Source: spec 04, 2.3 and trap U19 (arXiv 2311.14948 and its code); example 0.95 and 1e-4.
"""

from collections.abc import Sequence
from typing import Any

import torch

from antivenom.errors import AntivenomError
from antivenom.models.torch_runtime import seeded
from antivenom.randomness import derive_seed
from antivenom.repair.fine_tuning import tune
from antivenom.repair.record import CleanPairs, Measure, Repaired, Shelf, repaired
from antivenom.train.loop import Recipe

__all__ = ["shrink_and_perturb", "shrink_perturb", "untrained"]


def shrink_and_perturb(
    model: Any, fresh: Any, shrink: float, perturb: float, exclude: Sequence[str] = ("logit_scale",)
) -> None:
    """The formula, in place.

    Args:
        model: is changed.
        fresh: of the same architecture, with random weights.
        shrink, perturb: the factors; (1, 0) changes nothing.
        exclude: parts of names of parameters that stay.

    Raises:
        AntivenomError: when the two have other parameters.
    """
    random = dict(fresh.named_parameters())
    ours = dict(model.named_parameters())
    if {name: p.shape for name, p in ours.items()} != {name: p.shape for name, p in random.items()}:
        raise AntivenomError("the random model has other parameters", "give one of the same architecture")
    with torch.no_grad():
        for name, parameter in ours.items():
            if not any(part in name for part in exclude):
                parameter.mul_(shrink).add_(random[name].to(parameter.device), alpha=perturb)


def untrained(model: Any, seed: int) -> Any:
    """A model of the same architecture with random weights from the seed: its own `untrained()`, where it has one (open_clip).

    Raises:
        AntivenomError: for a model that this house does not build.
    """
    from antivenom.models.clip_open import OpenClip
    from antivenom.models.clip_small import ClipSmall
    from antivenom.models.clip_transformers import TransformersClip

    with seeded(derive_seed(seed, "untrained")):
        if isinstance(model, ClipSmall):
            return ClipSmall(model.config, model.tokenizer)
        if isinstance(model, OpenClip):
            return model.untrained()
        if isinstance(model, TransformersClip):
            inner = model.model
            return TransformersClip(type(inner)(inner.config), model.tokenizer, model.processor)
        if callable(getattr(model, "untrained", None)):
            return model.untrained()
    raise AntivenomError(f"no untrained {type(model).__name__} can be made", "give one as `fresh`")


def shrink_perturb(
    model: Any,
    clean: CleanPairs,
    recipe: Recipe,
    seed: int,
    *,
    shelf: Shelf = None,
    measure: Measure | None = None,
    shrink: float = 0.95,
    perturb: float = 1e-4,
    exclude: Sequence[str] = ("logit_scale",),
    objective: str = "mmcl+ssl",
    fresh: Any = None,
) -> Repaired:
    """Shrink and perturb, then fine-tune with an objective by name (CleanCLIP's)."""

    def change(working: Any, seeded_recipe: Recipe) -> tuple[int, Any]:
        shrink_and_perturb(working, untrained(working, seed) if fresh is None else fresh, shrink, perturb, exclude)
        return tune(working, objective, clean, seeded_recipe, shelf), None

    settings = {"shrink": shrink, "perturb": perturb, "exclude": list(exclude), "objective": objective}
    return repaired("shrink-perturb", model, clean, recipe, seed, change, settings=settings, measure=measure)
