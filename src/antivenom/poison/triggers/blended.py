"""Triggers over the whole picture that are mixed in: Blended and SIG."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from antivenom.poison.triggers.patterns import Patterned
from antivenom.poison.triggers.trigger import Trigger, one_of, to_bytes, within
from antivenom.randomness import generator

__all__ = ["SIG", "Blended"]


@dataclass(frozen=True)
class Blended(Patterned):
    """`clip((1 - alpha) x + alpha u)`, u the pattern over the whole picture.

    Noise: u ~ U[0, 1] per pixel and channel, afresh per image (as CleanCLIP's attack does) or fixed. Letters are mixed in
    where they are; the rest of the picture stays.

    Source: Chen et al. 2017, who use one fixed picture; noise as in CleanCLIP (ICCV 2023).
    """

    name: ClassVar[str] = "blended"
    alpha: float = 0.2

    def __post_init__(self):
        super().__post_init__()
        within(self.alpha, 0, 1, f"{self.name}:alpha")

    def one(self, image: np.ndarray, row_id: str, seed: int) -> np.ndarray:
        """The mixed picture."""
        height, width = image.shape[0], image.shape[1]
        mixed = to_bytes((1 - self.alpha) * (image / 255) + self.alpha * self._over(height, width, row_id, seed))
        if self.kind == "text":
            return np.where(self.glyphs(height, width)[..., None], mixed, image)
        return mixed

    def region(self, height: int, width: int, row_id: str, seed: int) -> np.ndarray:
        """The letters, or everything."""
        return self.glyphs(height, width)

    def _over(self, height: int, width: int, row_id: str, seed: int) -> np.ndarray:
        if self.kind == "noise" and not self.fixed:
            return generator(seed, "trigger noise", row_id).random((height, width, 3))
        side = min(height, width)
        auto = {"checker": side // 16, "stripes": side // 16, "triangles": max(2, side // 4)}
        return self.pattern(height, width, auto.get(self.kind, 1))

    def _draw(self, height: int, width: int, cell: int) -> np.ndarray:
        if self.kind == "noise":
            return generator(self.pattern_seed, "trigger pattern", self.name).random((height, width, 3))
        return super()._draw(height, width, cell)

    def stored(self) -> bytes:
        """The pattern at 32 x 32 pixels, unless it differs per image."""
        if self.kind == "noise" and not self.fixed:
            return b""
        return to_bytes(self._over(32, 32, "", 0)).tobytes()


@dataclass(frozen=True)
class SIG(Trigger):
    """A sinus over the columns: `v[j] = (delta / 255) sin(2 pi f j / W)` in every row and channel.

    mix=blend: `clip((1 - alpha) x + alpha v)`, as CleanCLIP's attack: weaker than the original by the factor alpha, and it
    darkens the picture by the share alpha. mix=add: `clip(x + v)`, as in the SIG paper (alpha is not used).

    Args:
        delta: amplitude in grey levels of 255.
        frequency: full waves over the width.
        alpha: share of the wave.
        mix: `blend` or `add`.

    Source: Barni et al. 2019; blend as in CleanCLIP (ICCV 2023).
    """

    name: ClassVar[str] = "sig"
    delta: float = 60.0
    frequency: float = 6.0
    alpha: float = 0.2
    mix: str = "blend"

    def __post_init__(self):
        within(self.delta, 0, 255, "sig:delta")
        within(self.frequency, 0, 1e6, "sig:frequency")
        within(self.alpha, 0, 1, "sig:alpha")
        one_of(self.mix, ("blend", "add"), "sig:mix")

    def wave(self, width: int) -> np.ndarray:
        """v, float64 (width,)."""
        return self.delta / 255 * np.sin(2 * np.pi * self.frequency * np.arange(width) / width)

    def one(self, image: np.ndarray, row_id: str, seed: int) -> np.ndarray:
        """The picture with the wave."""
        wave = self.wave(image.shape[1])[None, :, None]
        if self.mix == "add":
            return to_bytes(image / 255 + wave)
        return to_bytes((1 - self.alpha) * (image / 255) + self.alpha * wave)
