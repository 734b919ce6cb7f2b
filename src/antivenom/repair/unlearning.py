"""The unlearning constraint: suspected pairs leave the contrastive loss, and their image and caption are pushed apart.

    L = L_MMCL(kept) + inmodal L_SSL(kept) + weight * mean over suspected pairs of (I_i . T_i - target)^2,   target = -1

The published code writes (I_i . T_i + target)^2 with target = -1, which pulls the poisons TOGETHER (spec 01, T13). Here a step down
the term always moves the cosine towards `target`. Suspected pairs are drawn with all others, in one pass with them; a batch without
one has no such term. The means are over the rows of one process: a kept row has no negatives on other ranks.

Who suspects: the caller (a mask over the clean pairs, or pairs of its own, from a detector of `screen.embeddings`), or without one the
model itself: the `share` of pairs that it aligns best, as the published in-batch defence does (a victim aligns its poisons too well).

Source: spec 01, 2.7 and trap T13 (code of arXiv 2303.03323).
"""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from antivenom.errors import AntivenomError
from antivenom.measure.embedding_detection import removal
from antivenom.models.clip import embed_images, embed_texts
from antivenom.models.torch_runtime import threads
from antivenom.repair.record import CleanPairs, Measure, Repaired, Shelf, repaired
from antivenom.screen.embeddings.alignment import ClipScore
from antivenom.screen.embeddings.inputs import Embeddings
from antivenom.train.loop import Recipe
from antivenom.train.numbered import Numbered
from antivenom.train.objectives import OBJECTIVES, VIEWS, clamp_logit_scale, mmcl_loss, ssl_loss
from antivenom.train.pairs import PairSource
from antivenom.train.shelf import fit_on_shelf

__all__ = ["Suspected", "Unlearning", "most_aligned", "together", "tune_and_unlearn", "unlearn", "unlearning_loss"]

Suspected = CleanPairs | np.ndarray
"""Pairs of their own, or a mask (n,) bool over the pairs that the cure is given."""
SHARE = 0.02


def unlearning_loss(images: Tensor, texts: Tensor, target: float = -1.0) -> Tensor:
    """mean_i (I_i . T_i - target)^2 of unit rows (m, d)."""
    return ((images * texts).sum(1) - target).square().mean()


class Unlearning:
    """The objective (see `train.objectives.Objective`) at the head of this file; its batches hold `rows` (see `train.numbered`).

    Args:
        model: a CLIP.
        flagged: which rows of the data are suspected, (n,) bool.
        weight: of the constraint; 0 only leaves the suspected pairs out.
        target: the cosine they are led to, in [-1, 1].
        cross, inmodal: weights of the contrastive terms over the kept rows (see `train.objectives.Contrastive`).

    Raises:
        AntivenomError: when no pair, or every pair, is suspected, or a weight or target is out of range.
    """

    def __init__(
        self,
        model: Any,
        flagged: np.ndarray,
        *,
        weight: float = 1.0,
        target: float = -1.0,
        cross: float = 1.0,
        inmodal: float = 0.0,
    ):
        mask = np.asarray(flagged)
        if mask.dtype != bool or mask.ndim != 1 or not 0 < mask.sum() < len(mask):
            raise AntivenomError(
                f"{int(mask.sum())} of {mask.size} pairs are suspected", "suspect at least one pair, and not all"
            )
        if min(weight, cross, inmodal) < 0 or not -1 <= target <= 1:
            raise AntivenomError(
                f"an unlearning constraint of weight {weight} towards the cosine {target}",
                "weights are not negative, a cosine lies in [-1, 1]",
            )
        self.model, self.weight, self.target, self.cross, self.inmodal = model, weight, target, cross, inmodal
        self.flagged = torch.from_numpy(mask)
        self.views = VIEWS if inmodal > 0 else ()

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """The loss of `images`, `texts` (and their augmented views); the record holds its terms and how many rows were flagged."""
        bad = self.flagged.to(batch["rows"].device)[batch["rows"]]
        images, texts = (self._rows(view, batch) for view in VIEWS)
        scale, found = self.model.logit_scale.exp(), {"flagged": bad.sum()}
        total = 0.0 * images[0].sum()  # a batch of which nothing is left still has a gradient: zero
        if int((~bad).sum()) >= 2:
            cross = mmcl_loss(images[0][~bad], texts[0][~bad], scale)
            total, found["cross"] = total + self.cross * cross, cross.detach()
            if self.views:
                inmodal = ssl_loss([(first[~bad], second[~bad]) for first, second in (images, texts)], scale)
                total, found["inmodal"] = total + self.inmodal * inmodal, inmodal.detach()
        if bad.any():
            apart = unlearning_loss(images[0][bad], texts[0][bad], self.target)
            total, found["unlearning"] = total + self.weight * apart, apart.detach()
        return total, found

    def _rows(self, view: str, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        encode = self.model.encode_image if view == "image" else self.model.encode_text
        parts = [batch[f"{view}s"], *([batch[f"{view}s_augmented"]] if self.views else [])]
        rows = F.normalize(encode(torch.cat(parts)), dim=1)
        n = len(parts[0])
        return rows[:n], rows[n:]

    def after_step(self) -> None:
        """theta back into its bounds."""
        clamp_logit_scale(self.model.logit_scale)

    def describe(self) -> dict[str, Any]:
        """The weights, and a hash of who is suspected."""
        who = hashlib.blake2b(self.flagged.numpy().tobytes(), digest_size=8).hexdigest()
        return {
            "objective": "unlearning", "weight": self.weight, "target": self.target, "cross": self.cross,
            "inmodal": self.inmodal, "flagged": who,
        }  # fmt: skip


def most_aligned(
    model: Any, pairs: CleanPairs, share: float = SHARE, *, device: str = "cpu", seed: int = 0
) -> np.ndarray:
    """The floor(share n) pairs with the highest cosine of image and caption, (n,) bool.

    Raises:
        AntivenomError: for a share outside [0, 1].
    """
    image, text = embed_images(model, pairs.images, device=device), embed_texts(model, pairs.captions, device=device)
    return removal(ClipScore().scores(Embeddings(image, text)), share, seed=seed)


def together(clean: CleanPairs, suspected: Suspected) -> tuple[CleanPairs, np.ndarray]:
    """Clean and suspected pairs as one set, and which of its rows are suspected.

    Raises:
        AntivenomError: for a mask that does not fit.
    """
    if not isinstance(suspected, CleanPairs):
        mask = np.asarray(suspected)
        if mask.shape != (len(clean),) or mask.dtype != bool:
            raise AntivenomError(
                f"a mask of shape {mask.shape} and type {mask.dtype} for {len(clean)} pairs", "give one bool per pair"
            )
        return clean, mask
    ids = [
        *(range(len(clean)) if clean.ids is None else clean.ids),
        *((f"suspected {i}" for i in range(len(suspected))) if suspected.ids is None else suspected.ids),
    ]
    both = replace(
        clean,
        images=np.concatenate([clean.images, suspected.images]),
        captions=[*clean.captions, *suspected.captions],
        ids=ids,
        labels=None,
    )
    return both, np.r_[np.zeros(len(clean), bool), np.ones(len(suspected), bool)]


def tune_and_unlearn(
    model: Any, objective: str, clean: CleanPairs, suspected: Suspected, recipe: Recipe, shelf: Shelf, **options: Any
) -> int:
    """Train a model in place with MMCL, SSL or both over the kept pairs and the constraint over the suspected ones; the steps.

    Args:
        objective: `mmcl`, `ssl` or `mmcl+ssl`.
        options: `weight`, `target`, `inmodal` (see `Unlearning`).

    Raises:
        AntivenomError: for another objective, and as `Unlearning` does.
    """
    if objective not in ("mmcl", "ssl", "mmcl+ssl"):
        raise AntivenomError(f"unlearning beside the objective '{objective}'", "choose from: mmcl, ssl, mmcl+ssl")
    pairs, flagged = together(clean, suspected)
    goal = Unlearning(model, flagged, **(OBJECTIVES[objective] | options))
    rows = PairSource(model, pairs.images, list(pairs.captions), views=goal.views, ids=pairs.ids, seed=recipe.seed)
    return fit_on_shelf(goal, Numbered(rows), recipe, shelf).steps


def unlearn(
    model: Any,
    clean: CleanPairs,
    recipe: Recipe,
    seed: int,
    *,
    shelf: Shelf = None,
    measure: Measure | None = None,
    suspected: Suspected | None = None,
    share: float = SHARE,
    weight: float = 1.0,
    target: float = -1.0,
    inmodal: float = 0.0,
) -> Repaired:
    """Plain fine-tuning with the constraint on suspected pairs.

    Args:
        suspected: who; by default the `share` of the given pairs that the model aligns best (`most_aligned`).
        share: of the pairs, where nobody is named.
        weight, target, inmodal: see `Unlearning`.
    """
    with threads(recipe.threads):
        who = most_aligned(model, clean, share, device=recipe.device, seed=seed) if suspected is None else suspected
    count = len(who) if isinstance(who, CleanPairs) else int(np.asarray(who).sum())
    settings = {"suspected": count, "weight": weight, "target": target, "inmodal": inmodal}
    objective = "mmcl+ssl" if inmodal > 0 else "mmcl"
    options = {"weight": weight, "target": target, "inmodal": inmodal}
    return repaired(
        "unlearn", model, clean, recipe, seed,
        lambda working, seeded: (tune_and_unlearn(working, objective, clean, who, seeded, shelf, **options), None),
        settings=settings, measure=measure,
    )  # fmt: skip
