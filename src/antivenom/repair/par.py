"""PAR, perturb and recover: away from the poisoned model, and back to the clean pairs.

    g(Z) = mean_i |z_i - z0_i|^2, z and z0 unit rows of the model that is trained and of the one that was given;
           0 once it exceeds tau
    L    = L_MMCL - (g(images) + g(captions)) / 2

theta is not trained: the temperature is a constant. No augmented views. The given model is held in evaluation mode, so that its
batch normalisation uses the statistics it was poisoned with; the published models have none (ViT-B/32).

Published recipe: 250,000 pairs, batch 512 on 4 GPUs, 2 epochs, AdamW with betas (0.9, 0.98) and weight decay 1e-4, rate 3e-5
falling to 3e-6 over the first half, then a cosine to 1e-9. `stages=2` (the cure `par-two-stages`) follows that rate from the
recipe's own peak, without a warm-up (`train.schedules.two_stages`); `stages=1` follows the recipe's warm-up and cosine.

Source: arXiv 2412.00727, as spec 01, section 9 gives it.
"""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from antivenom.errors import AntivenomError
from antivenom.repair.record import CleanPairs, Measure, Repaired, Shelf, repaired
from antivenom.train.loop import Recipe
from antivenom.train.objectives import gather_rows, mmcl_loss
from antivenom.train.pairs import PairSource
from antivenom.train.shelf import fit_on_shelf

__all__ = ["PAR_ADAMW", "TAU", "PerturbAndRecover", "away", "par", "par_two_stages"]

TAU = 2.15
"""Squared distances of unit rows lie in [0, 4]; 2.15 is a cosine of -0.075."""
PAR_ADAMW: dict[str, Any] = {"betas": (0.9, 0.98), "weight_decay": 1e-4}


def away(rows: Tensor, frozen: Tensor, tau: float = TAU) -> Tensor:
    """g: the mean squared distance of rows (n, d) from where they were; 0 when it is above tau."""
    distance = (rows - frozen).square().sum(1).mean()
    return torch.where(distance > tau, torch.zeros_like(distance), distance)


class PerturbAndRecover:
    """PAR's objective (see `train.objectives.Objective`). The model as it stands now is what it moves away from."""

    def __init__(self, model: Any, tau: float = TAU):
        if not 0 <= tau <= 4:
            raise AntivenomError(f"PAR with tau = {tau}", "squared distances of unit vectors lie in [0, 4]")
        self.model, self.tau = model, tau
        self.frozen = copy.deepcopy(model).eval().requires_grad_(False)

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """The loss of `images` and `texts`; the record holds its parts."""
        images, texts = _rows(self.model, batch)
        with torch.no_grad():
            images_before, texts_before = _rows(self.frozen, batch)
        scale = self.model.logit_scale.detach().exp()
        cross = mmcl_loss(gather_rows(images), gather_rows(texts), scale)
        moved_images, moved_texts = away(images, images_before, self.tau), away(texts, texts_before, self.tau)
        found = {"cross": cross.detach(), "images": moved_images.detach(), "texts": moved_texts.detach()}
        return cross - (moved_images + moved_texts) / 2, found

    def after_step(self) -> None:
        """Nothing is bounded: theta does not move."""

    def describe(self) -> dict[str, Any]:
        """Its name and tau; the frozen model is the one that training begins with."""
        return {"objective": "par", "tau": self.tau}


def _rows(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return (
        F.normalize(model.encode_image(batch["images"]), dim=1),
        F.normalize(model.encode_text(batch["texts"]), dim=1),
    )


def par(
    model: Any,
    clean: CleanPairs,
    recipe: Recipe,
    seed: int,
    *,
    shelf: Shelf = None,
    measure: Measure | None = None,
    tau: float = TAU,
    stages: int = 1,
) -> Repaired:
    """Perturb and recover; `PAR_ADAMW` is what the paper sets of the optimizer.

    Args:
        tau: see `away`.
        stages: of the learning rate: 1, the recipe's warm-up and cosine; 2, PAR's own from the recipe's peak.

    Raises:
        AntivenomError: for a tau that is no squared distance of unit vectors, and another number of stages.
    """
    if stages not in (1, 2):
        raise AntivenomError(f"PAR in {stages} stages", "give 1 (the recipe's rate) or 2 (its own)")
    if stages == 2:
        recipe = replace(recipe, compat="two-stage", warmup=0)  # before the record: it says what was done

    def change(working: Any, seeded: Recipe) -> tuple[int, Any]:
        trained = working.logit_scale.requires_grad
        working.logit_scale.requires_grad_(False)
        try:
            rows = PairSource(working, clean.images, list(clean.captions), ids=clean.ids, seed=seed)
            return fit_on_shelf(PerturbAndRecover(working, tau), rows, seeded, shelf).steps, None
        finally:
            working.logit_scale.requires_grad_(trained)

    name, settings = ("par", {"tau": tau}) if stages == 1 else ("par-two-stages", {"tau": tau, "stages": 2})
    return repaired(name, model, clean, recipe, seed, change, settings=settings, measure=measure)


def par_two_stages(model: Any, clean: CleanPairs, recipe: Recipe, seed: int, **options: Any) -> Repaired:
    """`par` with its own learning rate (`stages=2`)."""
    return par(model, clean, recipe, seed, stages=2, **options)
