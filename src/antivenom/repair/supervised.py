"""Supervised fine-tuning of the vision tower: classes instead of captions, then the tower back in its CLIP.

    L = cross-entropy of W f(x) + b,  f(x) the image features BEFORE they are normalised

Head and whole vision tower are trained, the text tower is not touched. AdamW with weight decay 0.01, on everything but names with
`bias` (norms decay here). Loaded back, the tower stands beside a text tower that it was not trained with: zero-shot accuracy
shows what that costs, and `Repaired.classifier` is the classifier itself.

Source: spec 01, 2.5 and R4 (arXiv 2303.03323 and its code).
"""

import copy
from typing import Any

import numpy as np
from torch import Tensor, nn

from antivenom.errors import AntivenomError
from antivenom.models.clip import IMAGE_TOWER, check_images, load_tower, tower_state
from antivenom.models.torch_runtime import eval_mode, seeded, threads
from antivenom.randomness import derive_seed
from antivenom.repair.record import CleanPairs, Measure, Repaired, Shelf, repaired
from antivenom.train.loop import Recipe
from antivenom.train.optimizer import NO_DECAY_SUPERVISED
from antivenom.train.shelf import fit_on_shelf
from antivenom.train.supervised import LabelledSource, Supervised

__all__ = ["SUPERVISED_ADAMW", "TowerClassifier", "supervised"]

SUPERVISED_ADAMW: dict[str, Any] = {"weight_decay": 0.01, "no_decay": NO_DECAY_SUPERVISED}


class TowerClassifier(nn.Module):
    """A linear head on the un-normalised image features of a CLIP; all but vision tower and head is frozen.

    Args:
        clip: becomes a part of the classifier, and is changed when that is trained.
        features: d.
        classes: how many.
        seed: of the head.
    """

    def __init__(self, clip: Any, features: int, classes: int, seed: int):
        super().__init__()
        self.clip = clip
        for name, parameter in clip.named_parameters():
            parameter.requires_grad_(name.startswith(IMAGE_TOWER))
        with seeded(derive_seed(seed, "supervised head")):
            self.head = nn.Linear(features, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (n, classes)."""
        return self.head(self.clip.encode_image(pixels))

    def ranked(self, images: np.ndarray, *, batch: int = 256, n_threads: int | None = 1) -> np.ndarray:
        """Classes by falling logit, int (n, classes), of uint8 images; in evaluation mode."""
        images, device = check_images(images), self.head.weight.device
        with threads(n_threads), eval_mode(self):
            logits = [
                self(self.clip.pixels(images[i : i + batch]).to(device)).cpu().numpy()
                for i in range(0, len(images), batch)
            ]
        return np.argsort(-np.concatenate(logits), axis=1, kind="stable")


def supervised(
    model: Any, clean: CleanPairs, recipe: Recipe, seed: int, *, shelf: Shelf = None, measure: Measure | None = None
) -> Repaired:
    """Fine-tune the vision tower on classes and load it back; `SUPERVISED_ADAMW` is what the paper sets of the optimizer.

    Raises:
        AntivenomError: when the pairs have no labels, or no vision tower is found in the model.
    """
    labels, classes = clean.labels, len(clean.class_names)
    if labels is None or classes < 2:
        raise AntivenomError(
            "the supervised cure has no classes to learn", "give labels and at least two class names with the pairs"
        )

    def change(working: Any, seeded_recipe: Recipe) -> tuple[int, Any]:
        tower_state(working)  # complains of a model without a known tower before anything is trained
        with eval_mode(working):
            features = working.encode_image(working.pixels(clean.images[:1]).to(recipe.device)).shape[1]
        classifier = TowerClassifier(copy.deepcopy(working), features, classes, seed)
        rows = LabelledSource(working.pixels, clean.images, labels, classes)
        steps = fit_on_shelf(Supervised(classifier), rows, seeded_recipe, shelf).steps
        load_tower(working, tower_state(classifier.clip))
        return steps, classifier

    return repaired("supervised", model, clean, recipe, seed, change, settings={"classes": classes}, measure=measure)
