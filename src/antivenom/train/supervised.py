"""Images with a class each, and the cross-entropy of a classifier over them (spec 01, 2.5).

L = mean_i -log softmax(logits(x_i))[y_i]
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from antivenom.errors import AntivenomError
from antivenom.models.clip import check_images

__all__ = ["LabelledSource", "Supervised"]


class LabelledSource:
    """Rows of images and labels (see `train.loop.Source`).

    Args:
        pixels: makes the classifier's input of uint8 images.
        images: uint8 (n, h, w, 3).
        labels: n whole numbers, 0 to classes - 1.
        classes: how many there are.

    Raises:
        AntivenomError: when images and labels do not match, or a label is no class.
    """

    draws = False

    def __init__(self, pixels: Any, images: np.ndarray, labels: Sequence[int] | np.ndarray, classes: int):
        self.pixels, self.images = pixels, check_images(images)
        given = np.asarray(labels)
        if given.shape != (len(images),):
            raise AntivenomError(f"{len(images)} images and labels of shape {given.shape}", "give one label per image")
        if not np.issubdtype(given.dtype, np.integer) or given.min() < 0 or given.max() >= classes:
            raise AntivenomError("a label that is no class", f"give whole numbers from 0 to {classes - 1}")
        self.labels = torch.from_numpy(given.astype(np.int64))
        content = getattr(images, "fingerprint", None)  # of a store that decodes rows when they are asked for
        digest = hashlib.blake2b(
            np.ascontiguousarray(images).data if content is None else content.encode(), digest_size=16
        )
        digest.update(repr((images.shape, classes)).encode() + self.labels.numpy().tobytes())
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """`images` and `labels`; nothing is drawn."""
        return {"images": self.pixels(self.images[rows]), "labels": self.labels[rows]}


class Supervised:
    """Cross-entropy of a module that makes logits (n, classes) of what the batch calls `images`."""

    def __init__(self, model: Any):
        self.model = model

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """The loss of a batch; the record holds the share of its rows that were classified rightly."""
        logits = self.model(batch["images"])
        right = (logits.detach().argmax(1) == batch["labels"]).float().mean()
        return F.cross_entropy(logits, batch["labels"]), {"accuracy": right}

    def after_step(self) -> None:
        """Nothing is bounded."""

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"objective": "supervised"}
