"""Near copies of pictures: saved again by a lossy codec, resized, mirrored, or cropped, under any name.

A picture's thumbnail is its mean over a 16 x 16 grid, per channel, minus the mean of all its values, divided by their norm: a unit vector
of 768 numbers that a brighter, or a flatter, copy shares. Each known picture is seen through 70 views: whole, 9 windows of .9 of the
sides, 25 of .8, and all of these mirrored. A picture's likeness to a known one is the largest cosine of its
thumbnail with these views; above `threshold` it is called a near copy.

The threshold is a trade: the likeness of pictures that have nothing to do with each other depends on the world they come from. Measured
by `python scripts/near_copies.py` (figures in docs/cures.md). The method is ours; perceptual hashes of 64 bits do worse where pictures
are few shapes on plain grounds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from antivenom.data.images import as_batch
from antivenom.errors import AntivenomError

__all__ = ["THRESHOLD", "NearCopies", "near_copies", "thumbnails", "views_of"]

SIDE = 16
WINDOWS = ((0.9, 3), (0.8, 5))
"""(side of a window, as a share; places per axis)"""
THRESHOLD = 0.95
BLOCK, KNOWN = 1_024, 64
"""Pictures, and known pictures, at a time: their likenesses are held at once."""


@dataclass(frozen=True)
class NearCopies:
    """What `near_copies` found.

    Args:
        likeness: of each picture to the nearest known one, float64 (n,) in [-1, 1].
        nearest: which that is, int64 (n,).
        threshold: at and above which a picture is a near copy.
    """

    likeness: np.ndarray
    nearest: np.ndarray
    threshold: float

    @property
    def found(self) -> np.ndarray:
        """Which pictures are near copies, (n,) bool."""
        return self.likeness >= self.threshold


def _boxes(size: int) -> list[tuple[int, int, int, int]]:
    """The whole and the windows, as (left, top, right, bottom) of a square of `size`."""
    found = [(0, 0, size, size)]
    for part, places in WINDOWS:
        inside = round(part * size)
        starts = [(size - inside) * step // (places - 1) for step in range(places)]
        found += [(left, top, left + inside, top + inside) for top in starts for left in starts]
    return found


def _unit(small: np.ndarray) -> np.ndarray:
    """Float32 (n, 768) of uint8 thumbnails: centred, of length 1; a picture of one colour is all zeros and like nothing."""
    rows = small.reshape(len(small), -1).astype(np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-9).astype(np.float32)


def thumbnails(images: Any) -> np.ndarray:
    """Unit thumbnails of uint8 (n, h, w, 3), float32 (n, 768)."""
    batch = as_batch(images)
    small = np.empty((len(batch), SIDE, SIDE, 3), np.uint8)
    for i, image in enumerate(batch):
        small[i] = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX))
    return _unit(small)


def views_of(images: Any) -> np.ndarray:
    """Unit thumbnails of every view of uint8 (n, h, w, 3), float32 (n, views, 768)."""
    batch = as_batch(images)
    boxes = _boxes(1_000)
    small = np.empty((len(batch), 2 * len(boxes), SIDE, SIDE, 3), np.uint8)
    for i, image in enumerate(batch):
        picture, (tall, wide) = Image.fromarray(image), image.shape[:2]
        for j, (left, top, right, bottom) in enumerate(boxes):
            box = (left * wide / 1_000, top * tall / 1_000, right * wide / 1_000, bottom * tall / 1_000)
            small[i, j] = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX, box=box))
    small[:, len(boxes) :] = small[:, : len(boxes), :, ::-1]
    return _unit(small.reshape(-1, SIDE, SIDE, 3)).reshape(len(batch), 2 * len(boxes), -1)


def near_copies(images: Any, known: Any, *, threshold: float = THRESHOLD) -> NearCopies:
    """Likeness of pictures to known ones.

    Args:
        images: uint8 (n, h, w, 3), or a list of uint8 (h, w, 3) of any sizes.
        known: the same, of the pictures that are looked for, m >= 1.
        threshold: see `NearCopies`.

    Raises:
        AntivenomError: for a threshold outside (0, 1], no known picture, and other arrays.
    """
    if not 0 < threshold <= 1:
        raise AntivenomError(f"a likeness of {threshold}", "give a number above 0, up to 1")
    if not len(known):
        raise AntivenomError("no known picture to compare with", "give the poisoned pictures")
    rows = np.concatenate([thumbnails(part) for part in _same_size(images)]) if len(images) else np.empty((0, 1))
    likeness, nearest, place = np.full(len(rows), -1.0), np.zeros(len(rows), np.int64), 0
    for part in _same_size(known):
        for start in range(0, len(part), KNOWN):
            views = views_of(part[start : start + KNOWN])
            flat = np.ascontiguousarray(views.reshape(-1, views.shape[2]).T)
            for first in range(0, len(rows), BLOCK):
                here = slice(first, first + BLOCK)
                best = (rows[here] @ flat).reshape(-1, *views.shape[:2]).max(axis=2)
                better = best.max(axis=1) > likeness[here]
                nearest[here] = np.where(better, place + best.argmax(axis=1), nearest[here])
                likeness[here] = np.maximum(likeness[here], best.max(axis=1))
            place += len(views)
    return NearCopies(np.minimum(likeness, 1.0), nearest, threshold)


def _same_size(images: Any) -> list[np.ndarray]:
    """An array as it is; a list of pictures one by one, because their sizes may differ."""
    if isinstance(images, np.ndarray):
        return [images]
    return [np.asarray(image)[None] for image in images]
