"""What every trigger is: a pure function of (image, row id, seed), with a record and a fingerprint."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import orjson

from antivenom.data.images import as_batch
from antivenom.errors import AntivenomError

__all__ = ["Nothing", "Trigger", "to_bytes"]


@dataclass(frozen=True)
class Trigger(ABC):
    """A change to a picture. The fields of a subclass are its parameters, its spec and its record."""

    name: ClassVar[str]

    def apply(self, images: Any, ids: Sequence[object], seed: int = 0) -> np.ndarray:
        """Put the trigger on a batch.

        What an image becomes depends on its pixels, its id and the seed, and on nothing else: not on the batch it
        comes in, nor on its place there.

        Args:
            images: uint8 (n, height, width, 3). They are not changed.
            ids: n row ids; they are taken as text.
            seed: of the run. Fixed patterns and stored warps do not depend on it (they have seeds of their own), so that
                a trigger is the same one in training and in evaluation.

        Returns:
            uint8, same shape.

        Raises:
            AntivenomError: for another shape or type, a wrong number of ids, or a patch larger than the image.
        """
        batch = as_batch(images)
        if len(ids) != len(batch):
            raise AntivenomError(f"{len(batch)} images come with {len(ids)} ids", "give one id for each image")
        out = np.empty_like(batch)
        for at, row_id in enumerate(ids):
            out[at] = self.one(batch[at], str(row_id), seed)
        return out

    @abstractmethod
    def one(self, image: np.ndarray, row_id: str, seed: int) -> np.ndarray:
        """The triggered picture; uint8 (height, width, 3)."""

    def region(self, height: int, width: int, row_id: str, seed: int) -> np.ndarray:
        """Which pixels the trigger may change: bool (height, width). The whole picture, unless a patch says less."""
        return np.ones((height, width), bool)

    def stored(self) -> bytes:
        """What the trigger consists of beside its parameters: a drawn pattern, a grid, a file's pixels."""
        return b""

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters, as plain data."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of name, parameters and `stored()`: equal means the same trigger, whatever files are called."""
        told = {key: value for key, value in self.parameters.items() if key != "file"}
        head = orjson.dumps([self.name, told], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(head + b"\n" + self.stored()).hexdigest()

    def record(self) -> dict[str, Any]:
        """For manifests and checkpoints; `from_record` brings the trigger back and compares the fingerprint."""
        return {"name": self.name, "parameters": self.parameters, "fingerprint": self.fingerprint}

    @property
    def spec(self) -> str:
        """The shortest spec that gives this trigger: `badnet:kind=checker:size=5`."""
        parts = [self.name]
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                parts.append(f"{field.name}={str(value).lower() if isinstance(value, bool) else value}")
        return ":".join(parts)


@dataclass(frozen=True)
class Nothing(Trigger):
    """No trigger: the control that takes the same path through resizing and saving as the attack."""

    name: ClassVar[str] = "none"

    def one(self, image: np.ndarray, row_id: str, seed: int) -> np.ndarray:
        """The picture itself."""
        return image


def to_bytes(values: np.ndarray, overflow: str = "clip") -> np.ndarray:
    """Values in [0, 1] as uint8.

    clip: `rint(255 min(1, max(0, v)))`. wrap: `trunc(255 v) mod 256`, what a plain cast to bytes does to values outside
    [0, 1]: 1.5 -> 126, -0.5 -> 129. The published CLIP attack was crafted with such a cast.
    """
    if overflow == "wrap":
        return (np.trunc(values * 255).astype(np.int64) % 256).astype(np.uint8)
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def one_of(value: str, choices: Sequence[str], what: str) -> None:
    """Raise unless the value is among the choices."""
    if value not in choices:
        raise AntivenomError(f"{what}={value}", f"choose from: {', '.join(choices)}")


def within(value: float, low: float, high: float, what: str) -> None:
    """Raise unless low <= value <= high (NaN is outside)."""
    if not low <= value <= high:
        raise AntivenomError(f"{what}={value}", f"it lies in [{low:g}, {high:g}]")
