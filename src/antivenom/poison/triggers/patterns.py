"""Patterns: checkerboards, stripes, triangles, one colour, letters, a file - drawn at any size."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from antivenom.data.images import open_image, resize
from antivenom.errors import AntivenomError
from antivenom.poison.triggers.trigger import Trigger, one_of, within

__all__ = ["KINDS", "Patterned"]

KINDS = ("noise", "checker", "stripes", "triangles", "solid", "text", "file")
DIRECTIONS = ("vertical", "horizontal", "diagonal")


@dataclass(frozen=True)
class Patterned(Trigger):
    """The parameters of a pattern, shared by patches and blends.

    Args:
        kind: `noise`, `checker`, `stripes`, `triangles`, `solid`, `text` or `file`.
        fixed: for noise: drawn once from `pattern_seed`, in place of afresh for every image. The others are always fixed.
        cell: side of a square, width of a stripe or side of a triangle, in pixels; 0 chooses by kind and size.
        direction: of stripes: `vertical`, `horizontal` or `diagonal`.
        colour: name or `#rrggbb` of squares, stripes, triangles, letters, or the whole patch.
        ground: the other colour.
        text: the letters, Latin-1.
        file: an image, or a `.npy` of uint8 (height, width, 3); squashed to the size of the pattern.
        pattern_seed: of fixed noise; not the run's seed, so that training and evaluation share the pattern.
    """

    kind: str = "noise"
    fixed: bool = False
    cell: int = 0
    direction: str = "vertical"
    colour: str = "white"
    ground: str = "black"
    text: str = ""
    file: str = ""
    pattern_seed: int = 0

    def __post_init__(self):
        one_of(self.kind, KINDS, f"{self.name}:kind")
        one_of(self.direction, DIRECTIONS, f"{self.name}:direction")
        within(self.cell, 0, 100_000, f"{self.name}:cell")
        _colour(self.colour)
        _colour(self.ground)
        if self.kind == "text":
            if not self.text.strip():
                raise AntivenomError(f"{self.name}:kind=text has no letters", "add text=WORDS")
            _letters(self.text)
        if self.kind == "file":
            if not self.file:
                raise AntivenomError(f"{self.name}:kind=file has no file", "add file=PATH")
            _ = self._pixels

    @cached_property
    def _pixels(self) -> np.ndarray:
        return read_patch(self.file)

    @cached_property
    def _drawn(self) -> dict[tuple[int, int, int], np.ndarray]:
        return {}

    def pattern(self, height: int, width: int, auto_cell: int) -> np.ndarray:
        """The pattern of any kind but noise: float64 (height, width, 3) in [0, 1], kept for the next image.

        Cells count from the top left corner. checker: `colour` where (y // c + x // c) is even. stripes: where
        (t // c) is even, with t = x, y or x + y. triangles: where (y mod c) + (x mod c) < c - 1/2.
        """
        key = (height, width, auto_cell)
        if key not in self._drawn:
            if len(self._drawn) >= 8:  # pictures of many sizes must not fill the memory
                self._drawn.clear()
            self._drawn[key] = self._draw(height, width, self.cell or max(1, auto_cell))
        return self._drawn[key]

    def _draw(self, height: int, width: int, cell: int) -> np.ndarray:
        if self.kind == "file":
            return resize(self._pixels, (height, width)) / 255
        on = self.glyphs(height, width)
        y, x = np.mgrid[:height, :width]
        if self.kind == "checker":
            on = (y // cell + x // cell) % 2 == 0
        elif self.kind == "stripes":
            along = {"vertical": x, "horizontal": y, "diagonal": x + y}[self.direction]
            on = along // cell % 2 == 0
        elif self.kind == "triangles":
            on = y % cell + x % cell < cell - 0.5
        return np.where(on[..., None], _colour(self.colour), _colour(self.ground))

    def glyphs(self, height: int, width: int) -> np.ndarray:
        """Where the letters are, as large as fits, in the middle; everywhere for the other kinds. bool (height, width)."""
        if self.kind != "text":
            return np.ones((height, width), bool)
        small = _letters(self.text)
        scale = min(height / small.shape[0], width / small.shape[1])
        tall, wide = (max(1, round(side * scale)) for side in small.shape)
        drawn = np.asarray(Image.fromarray(small * np.uint8(255)).resize((wide, tall), Image.Resampling.BOX)) >= 96
        out = np.zeros((height, width), bool)
        top, left = (height - tall) // 2, (width - wide) // 2
        out[top : top + tall, left : left + wide] = drawn
        return out


def read_patch(file: str) -> np.ndarray:
    """The pixels of a stored patch, from an image or a `.npy` file: uint8 (height, width, 3).

    Raises:
        AntivenomError: when it is missing or of another shape. A missing pattern is never replaced by a new one.
    """
    if not file.endswith(".npy"):
        return open_image(file)
    try:
        pixels = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AntivenomError(f"the patch '{file}' cannot be read: {error}", "give the attack's own file") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise AntivenomError(
            f"the patch '{file}' is {pixels.dtype} of shape {pixels.shape}", "save it as uint8 (height, width, 3)"
        )
    return pixels


def _colour(name: str) -> np.ndarray:
    try:
        return np.array(ImageColor.getrgb(name)[:3]) / 255
    except ValueError as error:
        raise AntivenomError(f"there is no colour '{name}'", "write a name, or #rrggbb") from error


def _letters(text: str) -> np.ndarray:
    """The text in Pillow's built-in bitmap font: uint8 0/1, cut to its letters. The same on every machine."""
    font = ImageFont.load_default_imagefont()
    try:
        left, top, right, bottom = font.getbbox(text)
    except UnicodeEncodeError as error:
        raise AntivenomError(
            f"text={text} has letters outside Latin-1", "draw it into a file and use kind=file"
        ) from error
    page = Image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))))
    ImageDraw.Draw(page).text((0, 0), text, fill=255, font=font)
    on = np.asarray(page) > 127
    if not on.any():
        raise AntivenomError(f"nothing is seen of text={text}", "use letters or digits")
    rows, columns = np.flatnonzero(on.any(axis=1)), np.flatnonzero(on.any(axis=0))
    return on[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)
