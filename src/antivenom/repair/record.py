"""What every trained cure takes and gives: clean pairs in, a repaired model and one record of before and after out.

    cure(model, clean, recipe, seed, shelf=None, measure=None, ...) -> Repaired

The model that is given is never changed. A cure that diverges raises `train.loop.Diverged`: it has no repaired model.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.models.clip import embed_images, embed_texts
from antivenom.models.torch_runtime import threads
from antivenom.train.loop import Recipe, model_hash
from antivenom.train.objectives import mmcl_loss

__all__ = ["CleanPairs", "Measure", "Record", "Repaired", "Shelf", "clean_figures", "moved", "repaired"]

Measure = Callable[[Any], Mapping[str, float]]
"""A model -> figures by name, of the caller's own; asked before the cure and after it."""
Shelf = str | Path | None
"""Where trainings are kept (see `train.shelf`)."""


@dataclass(frozen=True)
class CleanPairs:
    """What a defender has. Whether it overlaps a known poison is for `poison.cleaning_sets.check_disjoint`.

    Args:
        images: uint8 (n, h, w, 3).
        captions: one per image.
        ids: of the rows; the augmentation of a caption depends on its id.
        labels: the class of every image, a place in `class_names`; only the supervised cure asks for them.
        class_names: the classes.
    """

    images: np.ndarray
    captions: Sequence[str]
    ids: Sequence[object] | None = None
    labels: np.ndarray | None = None
    class_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Record:
    """The same lines for every cure.

    Args:
        cure: its name.
        settings: of the cure.
        recipe: of the training (see `train.loop.Recipe`).
        pairs: clean pairs.
        steps: of the optimizer.
        seconds: of the cure itself, without the figures.
        hash_before, hash_after: of the model's weights (`train.loop.model_hash`).
        moved: |after - before| / |before| over all parameters.
        before, after: `clean_figures`, and what the caller measures.
    """

    cure: str
    settings: Mapping[str, Any]
    recipe: Mapping[str, Any]
    pairs: int
    steps: int
    seconds: float
    hash_before: str
    hash_after: str
    moved: float
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True)
class Repaired:
    """A repaired model and its record; `classifier` is the supervised cure's own, with its head."""

    model: Any
    record: Record
    classifier: Any = field(default=None, repr=False)


def clean_figures(model: Any, clean: CleanPairs, recipe: Recipe) -> dict[str, float]:
    """What a defender can see without a trigger: `clean loss`, L_MMCL over the clean pairs in batches of the recipe, and
    `clean cosine`, the mean of I_i . T_i. In evaluation mode; the rows that fill no batch are left out of the loss."""
    import torch

    with threads(recipe.threads), torch.no_grad():
        images = torch.from_numpy(embed_images(model, clean.images, device=recipe.device))
        texts = torch.from_numpy(embed_texts(model, clean.captions, device=recipe.device))
        scale = model.logit_scale.detach().exp().cpu()
        starts = range(0, len(images) - recipe.batch + 1, recipe.batch)
        losses = [mmcl_loss(images[i : i + recipe.batch], texts[i : i + recipe.batch], scale) for i in starts]
    loss = float(torch.stack(losses).mean()) if losses else float("nan")
    return {"clean loss": loss, "clean cosine": float((images * texts).sum(1).mean())}


def moved(before: Any, after: Any) -> float:
    """|after - before| / |before| over all parameters."""
    old = dict(before.named_parameters())
    pairs = [(old[name].detach().double().cpu(), new.detach().double().cpu()) for name, new in after.named_parameters()]
    length = sum(float(a.square().sum()) for a, _ in pairs) ** 0.5
    return sum(float((b - a).square().sum()) for a, b in pairs) ** 0.5 / length


def repaired(
    cure: str,
    model: Any,
    clean: CleanPairs,
    recipe: Recipe,
    seed: int,
    change: Callable[[Any, Recipe], tuple[int, Any]],
    *,
    settings: Mapping[str, Any],
    measure: Measure | None,
) -> Repaired:
    """Run a cure on a copy and write its record.

    Args:
        cure: its name.
        model, clean, recipe, seed: of the cure; the seed takes the place of the recipe's own.
        change: (copy, recipe with the seed) -> (steps, classifier or None); it changes the copy in place.
        settings: for the record.
        measure: figures of the caller's own.

    Raises:
        AntivenomError: when there are no clean pairs.
    """
    if not len(clean):
        raise AntivenomError(f"the cure '{cure}' without a clean pair", "give clean pairs")
    recipe = replace(recipe, seed=seed)
    working = copy.deepcopy(model).to(recipe.device)

    def figures() -> dict[str, float]:
        return clean_figures(working, clean, recipe) | dict(measure(working) if measure else {})

    before, start = figures(), time.monotonic()
    steps, classifier = change(working, recipe)
    working.eval()
    seconds = time.monotonic() - start
    record = Record(
        cure, dict(settings), recipe.determines(), len(clean), steps, seconds, model_hash(model), model_hash(working),
        moved(model, working), before, figures(),
    )  # fmt: skip
    return Repaired(working, record, classifier)
