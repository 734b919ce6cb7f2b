"""Patches: BadNet in all its patterns, the yellow patch, four corners."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from antivenom.poison.triggers.patterns import Patterned
from antivenom.poison.triggers.placement import boxes, check_place
from antivenom.poison.triggers.trigger import one_of, to_bytes, within
from antivenom.randomness import generator

__all__ = ["Patch"]


@dataclass(frozen=True)
class Patch(Patterned):
    """A small picture written over the image: `x[box] = (1 - alpha) x[box] + alpha p`.

    Noise, afresh per image: `p = m + N(0, 1)` per pixel and channel, m the channel's mean over that image in [0, 1]. Fixed
    noise: the same with m = 1/2. Most values lie outside [0, 1], so `overflow` decides what is seen: clipped noise is mostly
    saturated, wrapped noise nearly uniform. A model trained on one is not to be tested on the other.

    Args:
        size: height of the patch in pixels; with kind=file, 0 takes the file's own height and width.
        width: 0 for as wide as high.
        place: see `placement.boxes`.
        alpha: opacity.
        overflow: `clip` or `wrap`, see `to_bytes`.

    Source: BadNets (Gu et al. 2017); noise and placement as in CleanCLIP's attack (ICCV 2023).
    """

    name: ClassVar[str] = "badnet"
    size: int = 16
    width: int = 0
    place: str = "random"
    alpha: float = 1.0
    overflow: str = "clip"

    def __post_init__(self):
        super().__post_init__()
        within(self.size, 0 if self.kind == "file" else 1, 100_000, f"{self.name}:size")
        within(self.width, 0, 100_000, f"{self.name}:width")
        within(self.alpha, 0, 1, f"{self.name}:alpha")
        one_of(self.overflow, ("clip", "wrap"), f"{self.name}:overflow")
        check_place(self.place)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the patch."""
        if not self.size:
            tall, wide, _ = self._pixels.shape
            return tall, self.width or wide
        return self.size, self.width or self.size

    def one(self, image: np.ndarray, row_id: str, seed: int) -> np.ndarray:
        """The picture with the patch; the same patch in every box."""
        tall, wide = self.shape
        places = boxes(self.place, (image.shape[0], image.shape[1]), (tall, wide), row_id, seed)
        patch = self._patch(image, row_id, seed)
        out = image.copy()
        for top, left in places:
            box = np.s_[top : top + tall, left : left + wide]
            under = (1 - self.alpha) * (image[box] / 255) if self.alpha < 1 else 0.0
            out[box] = to_bytes(under + self.alpha * patch, self.overflow)
        return out

    def region(self, height: int, width: int, row_id: str, seed: int) -> np.ndarray:
        """The boxes."""
        tall, wide = self.shape
        mask = np.zeros((height, width), bool)
        for top, left in boxes(self.place, (height, width), (tall, wide), row_id, seed):
            mask[top : top + tall, left : left + wide] = True
        return mask

    def _patch(self, image: np.ndarray, row_id: str, seed: int) -> np.ndarray:
        if self.kind != "noise":
            side = min(self.shape)
            auto = {"checker": 1, "stripes": max(1, side // 8), "triangles": max(2, side // 2)}
            return self.pattern(*self.shape, auto.get(self.kind, 1))
        if self.fixed:
            return 0.5 + self._fixed_noise()
        # sums of whole numbers are exact in any order: the mean does not depend on how the array lies in memory
        pixels = image.reshape(-1, 3).astype(np.float64)
        mean = np.ones(len(pixels)) @ pixels / (len(pixels) * 255)
        return mean + generator(seed, "trigger noise", row_id).standard_normal((*self.shape, 3))

    def _fixed_noise(self) -> np.ndarray:
        key = (*self.shape, -1)
        if key not in self._drawn:
            draw = generator(self.pattern_seed, "trigger pattern", self.name)
            self._drawn[key] = draw.standard_normal((*self.shape, 3))
        return self._drawn[key]

    def stored(self) -> bytes:
        """The pixels of the patch, unless they differ per image."""
        if self.kind == "noise" and not self.fixed:
            return b""
        return to_bytes(self._patch(np.zeros((1, 1, 3), np.uint8), "", 0), self.overflow).tobytes()
