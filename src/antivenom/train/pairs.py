"""Image-caption pairs as the rows of a training, with augmented views for the SSL term.

Images: affine (scale .8 - 1.2, turn +-.4 rad, shift +-.1, mirrored half the time), brightness .7 - 1.3, contrast .6 - 1.4, 15 %
solarised, 15 % posterised, drawn afresh for every step (a cheap stand-in for AutoAugment; spec 01, 6.1). Captions: EDA, drawn
once and then the same in every epoch (spec 01, 2.3).
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from antivenom.data.eda import augment_captions
from antivenom.errors import AntivenomError
from antivenom.models.clip import check_images
from antivenom.train.objectives import VIEWS

__all__ = ["PairSource", "augment_images"]

TURN, SHIFT, ZOOM = 0.4, 0.1, 0.2
SHARE = 0.15


def augment_images(images: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Augmented copies, uint8 (n, h, w, 3) -> the same; what leaves the frame is filled from its border."""
    n = len(images)
    zoom, turn, right, down, light, contrast = (
        torch.from_numpy(draw.uniform(low, high, n).astype(np.float32))
        for low, high in (
            (1 - ZOOM, 1 + ZOOM), (-TURN, TURN), (-SHIFT, SHIFT), (-SHIFT, SHIFT), (0.7, 1.3), (0.6, 1.4)
        )
    )  # fmt: skip
    mirror, solar, poster = (
        torch.from_numpy(draw.random(n) < share)[:, None, None, None] for share in (0.5, SHARE, SHARE)
    )
    side = 1 - 2 * mirror.view(n).float()
    cos, sin = torch.cos(turn) / zoom, torch.sin(turn) / zoom
    theta = torch.stack([torch.stack([cos * side, -sin, right], 1), torch.stack([sin * side, cos, down], 1)], 1)
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = ((x - mean) * contrast.view(n, 1, 1, 1) + mean) * light.view(n, 1, 1, 1)
    x = torch.where(solar & (x > 0.5), 1 - x, x).clamp(0, 1)
    x = torch.where(poster, torch.floor(x * 7.999) / 7, x)
    return (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


class PairSource:
    """Rows of images and captions (see `train.loop.Source`).

    Args:
        model: its `pixels` and `tokenize` prepare the rows.
        images: uint8 (n, h, w, 3), an array or a store that decodes rows when they are asked for (`data.image_store`).
        captions: one per image; a missing one (None, NaN) is an error.
        views: modalities that need an augmented view: the objective's `views`.
        ids: of the rows; a caption's augmentation depends on its id alone.
        seed: of the captions' augmentation.
        augment: of images; `augment_images` when not given.

    Raises:
        AntivenomError: when images and captions do not match, or a caption is missing or empty.
    """

    def __init__(
        self,
        model: Any,
        images: np.ndarray,
        captions: Sequence[str],
        *,
        views: Sequence[str] = (),
        ids: Sequence[object] | None = None,
        seed: int = 0,
        augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] = augment_images,
    ):
        self.images = check_images(images)
        if len(images) != len(captions):
            raise AntivenomError(f"{len(images)} images and {len(captions)} captions", "give one caption per image")
        empty = next((i for i, c in enumerate(captions) if not isinstance(c, str) or not c.strip()), None)
        if empty is not None:
            raise AntivenomError(f"row {empty} has no caption", "remove such rows, or give them a caption")
        if unknown := set(views) - set(VIEWS):
            raise AntivenomError(f"there is no view '{sorted(unknown)[0]}'", f"choose from: {', '.join(VIEWS)}")
        self.model, self.views, self.augment = model, tuple(views), augment
        self.draws = "image" in self.views
        self.tokens: Tensor = model.tokenize(captions)
        self.others: Tensor | None = None
        if "text" in self.views:
            self.others = model.tokenize(augment_captions(captions, ids=ids, seed=seed))
        content = getattr(images, "fingerprint", None)
        digest = hashlib.blake2b(
            np.ascontiguousarray(images).data if content is None else content.encode(), digest_size=16
        )
        for tokens in (self.tokens, self.others):
            digest.update(b"none" if tokens is None else tokens.numpy().tobytes())
        digest.update(repr((images.shape, self.views, getattr(augment, "__qualname__", repr(augment)))).encode())
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """`images`, `texts`, and their augmented views where asked for."""
        images = self.images[rows]
        found = {"images": self.model.pixels(images), "texts": self.tokens[rows]}
        if "image" in self.views:
            found["images_augmented"] = self.model.pixels(self.augment(images, draw))
        if self.others is not None:
            found["texts_augmented"] = self.others[rows]
        return found
