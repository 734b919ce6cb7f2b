"""A world of images with captions, made by formula: one coloured shape on a background, in words (spec 01, 6.1).

10 shapes x 8 colours x 4 backgrounds, with place, size, turn, shade, lighting and pixel noise drawn per image; captions from
templates that name the shape and, in part, its colour and its background. Class names are the shapes.

Every attribute has a generator of its own, so that the first n pairs of a set are the same however many are asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["BACKGROUNDS", "CAPTIONS", "CLASS_TEMPLATES", "COLOURS", "SHAPES", "ImagePairs", "draw_pairs"]

Grid = np.ndarray


def _star(u: Grid, v: Grid) -> Grid:
    turn = np.abs((np.arctan2(u, v) / (2 * np.pi) * 5) % 1 - 0.5) * 2  # 1 at a tip, 0 between two
    return 0.45 + 0.6 * turn - np.hypot(u, v)


def _triangle(u: Grid, v: Grid) -> Grid:
    return np.minimum.reduce([0.55 + v, 0.55 - v / 2 + 0.87 * u, 0.55 - v / 2 - 0.87 * u])


def _heart(u: Grid, v: Grid) -> Grid:
    side, v = 0.68, v - 0.15  # a square on its corner, and a disc on each of its upper sides
    discs = side / 2**0.5 - np.hypot(np.abs(u) - side / 2, v + side / 2)
    return np.maximum((side - np.abs(u) - np.abs(v)) / 2**0.5, discs)


def _hexagon(u: Grid, v: Grid) -> Grid:
    return 0.85 - np.maximum(np.abs(u) * 0.87 + np.abs(v) / 2, np.abs(v))


SHAPES: dict[str, Callable[[Grid, Grid], Grid]] = {
    "circle": lambda u, v: 0.85 - np.hypot(u, v),
    "square": lambda u, v: 0.75 - np.maximum(np.abs(u), np.abs(v)),
    "triangle": _triangle,
    "star": _star,
    "cross": lambda u, v: np.maximum(
        np.minimum(0.27 - np.abs(u), 0.9 - np.abs(v)), np.minimum(0.27 - np.abs(v), 0.9 - np.abs(u))
    ),
    "ring": lambda u, v: 0.22 - np.abs(np.hypot(u, v) - 0.7),
    "diamond": lambda u, v: 0.85 - np.abs(u) * 1.6 - np.abs(v),
    "heart": _heart,
    "moon": lambda u, v: np.minimum(0.9 - np.hypot(u, v), np.hypot(u - 0.5, v) - 0.65),
    "hexagon": _hexagon,
}
"""Above 0 inside the shape, with u to the right and v downwards, both about [-1, 1]."""
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (210, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 215, 50),
    "purple": (150, 60, 190),
    "orange": (240, 140, 30),
    "pink": (245, 150, 190),
    "white": (245, 245, 245),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "sky": (130, 180, 225),
    "sand": (205, 180, 135),
    "grass": (70, 115, 60),
    "night": (25, 25, 50),
}
CAPTIONS = (
    "a photo of a {colour} {shape}",
    "a {colour} {shape} on a {background} background",
    "there is a {shape} in front of the {background}",
    "a small picture of one {shape}",
    "the {colour} {shape}",
    "an image that shows a {colour} {shape} and {background}",
)
CLASS_TEMPLATES = (
    "a photo of a {}",
    "there is a {} in front of the sky",
    "a small picture of one {}",
    "the {}",
    "an image that shows a {}",
)
"""For zero-shot heads; `{}` is the class name."""
SHARPNESS = 9.0


@dataclass(frozen=True)
class ImagePairs:
    """Images and captions, row by row.

    Args:
        ids: of the rows, unlike those of any other set.
        images: uint8 (n, size, size, 3).
        captions: one per image.
        labels: int64 (n,), places in `class_names`.
        class_names: the shapes.
    """

    ids: tuple[str, ...]
    images: np.ndarray
    captions: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...] = tuple(SHAPES)

    def __len__(self) -> int:
        return len(self.ids)


def draw_pairs(n: int, *, name: str = "train", size: int = 32, noise: float = 12.0, seed: int = 0) -> ImagePairs:
    """n pairs.

    Args:
        n: how many.
        name: of the set; sets of different names share no draw.
        size: of the images, in pixels.
        noise: standard deviation of the pixel noise, in grey levels of 255.
        seed: of everything drawn.

    Raises:
        AntivenomError: for fewer than one pair or images under 8 pixels.

    >>> draw_pairs(2, seed=1).captions[0]
    'an image that shows a yellow diamond and sand'
    """
    if n < 1 or size < 8:
        raise AntivenomError(f"{n} images of {size} pixels", "give at least one image of at least 8 pixels")

    def draw(purpose: str) -> np.random.Generator:
        return generator(seed, "image world", name, purpose)

    shape, colour, background, template = (
        draw(what).integers(0, len(of), n)
        for what, of in (("shape", SHAPES), ("colour", COLOURS), ("background", BACKGROUNDS), ("caption", CAPTIONS))
    )
    images = np.empty((n, size, size, 3), np.uint8)
    jitter = draw("jitter").random((n, 8), np.float32)
    texture, grain = draw("texture"), draw("noise")
    for start in range(0, n, 512):
        rows = slice(start, start + 512)
        many = len(shape[rows])
        canvas = _backgrounds(background[rows], jitter[rows], texture.random((many, size, size), np.float32))
        inside = _masks(shape[rows], jitter[rows], size)[..., None]
        paint = np.array(list(COLOURS.values()), np.float32)[colour[rows]] * (0.8 + 0.3 * jitter[rows, 4, None])
        canvas = canvas * (1 - inside) + paint[:, None, None] * inside
        canvas *= 0.85 + 0.3 * jitter[rows, 5, None, None, None]
        canvas += noise * grain.standard_normal((many, size, size, 3), np.float32)
        images[rows] = np.clip(np.rint(canvas), 0, 255)
    names = [list(of) for of in (SHAPES, COLOURS, BACKGROUNDS)]
    captions = tuple(
        CAPTIONS[t].format(shape=names[0][s], colour=names[1][c], background=names[2][b])
        for s, c, b, t in zip(shape, colour, background, template, strict=True)
    )
    return ImagePairs(tuple(f"{name}-{seed}-{i}" for i in range(n)), images, captions, shape.astype(np.int64))


def _masks(shape: np.ndarray, jitter: np.ndarray, size: int) -> np.ndarray:
    """Cover of each pixel by the shape, float32 (n, size, size) in [0, 1]."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    radius = 0.6 + 0.25 * jitter[:, 0]
    x, y = ((jitter[:, i] * 2 - 1) * (1.0 - radius) for i in (1, 2))
    turn = (jitter[:, 3] * 2 - 1) * 0.3
    dx = (axis[None, None, :] - x[:, None, None]) / radius[:, None, None]
    dy = (axis[None, :, None] - y[:, None, None]) / radius[:, None, None]
    cos, sin = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    cover = np.empty((len(shape), size, size), np.float32)
    for number, inside in enumerate(SHAPES.values()):
        rows = shape == number
        if rows.any():
            edge = np.clip(SHARPNESS * inside(u[rows], v[rows]), -20, 20)
            cover[rows] = 1 / (1 + np.exp(-edge))
    return cover


def _backgrounds(kind: np.ndarray, jitter: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """Float32 (n, size, size, 3): sky brightens upwards, sand is speckled, grass is streaked, night has stars."""
    n, size, _ = texture.shape
    axis = np.linspace(0, 1, size, dtype=np.float32)
    base = np.array(list(BACKGROUNDS.values()), np.float32)[kind][:, None, None]
    change = np.zeros((n, size, size), np.float32)
    for number, name in enumerate(BACKGROUNDS):
        rows = kind == number
        if name == "sky":
            change[rows] = 45 * (0.5 - axis)[None, :, None]
        elif name == "sand":
            change[rows] = 50 * (texture[rows] - 0.5)
        elif name == "grass":
            phase = 2 * np.pi * (jitter[rows, 6, None, None] + (5 + 3 * jitter[rows, 7, None, None]) * axis)
            change[rows] = 22 * np.sin(phase)
        else:
            change[rows] = 190 * (texture[rows] > 0.985)
    return base + change[..., None]
