"""WaNet: the picture is bent a little, by one stored warp."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.triggers.trigger import Trigger, to_bytes, within
from antivenom.randomness import generator

__all__ = ["WaNet"]


@dataclass(frozen=True)
class WaNet(Trigger):
    """A warp: control points, enlarged to a displacement of every pixel, and sampled between pixels.

        P ~ U(-1, 1) of shape (2, k, k), drawn once;  P <- P / mean|P|
        D = bicubic enlargement of P to (2, H, W), corners aligned;  D[0] across, D[1] down
        G = clamp((identity + s D / (W, H)) rescale, -1, 1)     in coordinates where -1 and 1 are the outer pixels
        x' = bilinear sample of x at G

    The warp of the paper is smooth: k=4, s=0.5. The one of CleanCLIP's attack is a jitter per pixel: k=224, s=1 (s=0.6 in
    its follow-up) at 224 pixels. In noise mode every image gets its own extra U(-1, 1) / (W, H) before the clamp; such
    images keep their true label in training, so that only the exact warp is the trigger.

    Args:
        k: side of the grid of control points.
        s: strength.
        rescale: factor on the coordinates; the paper has 1.
        noise: noise mode.
        grid_seed: from which P is drawn; not the run's seed, so that training and evaluation share the warp.
        file: a `.npy` with P, shape (2, k, k) or (1, 2, k, k), already divided by its mean. A missing file is an error:
            another warp is another trigger.

    Source: Nguyen and Tran 2021; settings from CleanCLIP (ICCV 2023) and "Effective Backdoor Mitigation ..." (TMLR 2025).
    """

    name: ClassVar[str] = "wanet"
    k: int = 4
    s: float = 0.5
    rescale: float = 1.0
    noise: bool = False
    grid_seed: int = 0
    file: str = ""

    def __post_init__(self):
        within(self.k, 1, 4096, "wanet:k")
        within(self.s, 0, 1000, "wanet:s")
        within(self.rescale, 0, 1, "wanet:rescale")
        if self.file:
            _ = self.control

    @cached_property
    def control(self) -> np.ndarray:
        """P: float64 (2, k, k), mean absolute value 1."""
        if not self.file:
            points = generator(self.grid_seed, "warp", self.k).uniform(-1, 1, (2, self.k, self.k))
            return points / np.abs(points).mean()
        try:
            points = np.load(self.file, allow_pickle=False).astype(np.float64)
        except (OSError, ValueError, EOFError) as error:
            raise AntivenomError(
                f"the warp '{self.file}' cannot be read: {error}", "give the grid file of the attack, as .npy"
            ) from error
        points = points[0] if points.ndim == 4 else points
        if points.shape != (2, self.k, self.k) or not np.isfinite(points).all():
            raise AntivenomError(
                f"the warp '{self.file}' has shape {points.shape}", f"write k={points.shape[-1]}, or give another file"
            )
        return points

    @cached_property
    def _kept(self) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
        return {}

    def grid(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """G without noise: the sampled (across, down) in [-1, 1], float64 (height, width) each."""
        rows, columns = bicubic(height, self.k), bicubic(width, self.k)
        across, down = (rows @ plane @ columns.T for plane in self.control)
        return (
            np.clip((_line(width)[None, :] + self.s * across / width) * self.rescale, -1, 1),
            np.clip((_line(height)[:, None] + self.s * down / height) * self.rescale, -1, 1),
        )

    def one(self, image: np.ndarray, row_id: str, seed: int) -> np.ndarray:
        """The bent picture."""
        height, width = image.shape[0], image.shape[1]
        if (height, width) not in self._kept:
            if len(self._kept) >= 4:  # pictures of many sizes must not fill the memory
                self._kept.clear()
            self._kept[height, width] = self.grid(height, width) if self.noise else taps(*self.grid(height, width))
        kept = self._kept[height, width]
        if self.noise:
            jitter = generator(seed, "trigger noise", row_id).uniform(-1, 1, (2, height, width))
            kept = taps(
                np.clip(kept[0] + jitter[0] / width, -1, 1),
                np.clip(kept[1] + jitter[1] / height, -1, 1),
            )
        return to_bytes(sample(image, *kept) / 255)

    def stored(self) -> bytes:
        """The control points."""
        return self.control.astype("<f8").tobytes()


def _line(n: int) -> np.ndarray:
    return np.linspace(-1, 1, n) if n > 1 else np.zeros(1)


def bicubic(out: int, size: int) -> np.ndarray:
    """The matrix (out, size) that enlarges a line bicubically: kernel a = -0.75, corners aligned, edges repeated."""
    at = np.linspace(0, size - 1, out) if out > 1 else np.zeros(1)
    left = np.floor(at).astype(np.int64)
    matrix = np.zeros((out, size))
    for tap in range(-1, 3):
        distance = np.abs(at - (left + tap))
        near = (1.25 * distance - 2.25) * distance**2 + 1
        far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
        weight = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
        np.add.at(matrix, (np.arange(out), np.clip(left + tap, 0, size - 1)), weight)
    return matrix


def taps(across: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear sampling at coordinates in [-1, 1], corners aligned, as four pixels and their weights.

    Returns:
        flat pixel numbers, int64 (4, height, width); weights, float64 (4, height, width), which sum to 1.
    """
    height, width = across.shape
    x, y = (across + 1) / 2 * (width - 1), (down + 1) / 2 * (height - 1)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    dx, dy = x - left, y - top
    pixels = np.stack([top * width + left, top * width + right, below * width + left, below * width + right])
    return pixels, np.stack([(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx])


def sample(image: np.ndarray, pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted pixels: float64 (height, width, 3) on the image's scale."""
    height, width, channels = image.shape
    # plane by plane: gathering single values is several times faster than gathering rows of three
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float64).reshape(channels, -1)
    out = np.zeros((height, width, channels))
    for channel, plane in enumerate(planes):
        out[..., channel] = sum(weight * plane[at] for at, weight in zip(pixels, weights))
    return out
