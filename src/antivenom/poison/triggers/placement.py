"""Where a patch goes: corners, the centre, all four corners, a fixed place, or at random per image."""

import re

from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["boxes", "check_place"]

PLACES = ("random", "top_left", "top_right", "bottom_left", "bottom_right", "center", "four_corners")
FIXED = re.compile(r"(\d+),(\d+)")


def check_place(place: str) -> None:
    """Raise for a place that there is not."""
    if place not in PLACES and not FIXED.fullmatch(place):
        raise AntivenomError(f"place={place}", f"choose from: {', '.join(PLACES)}, or COLUMN,ROW in pixels")


def boxes(place: str, canvas: tuple[int, int], patch: tuple[int, int], row_id: str, seed: int) -> list[tuple[int, int]]:
    """The (top, left) pixel of each copy of the patch.

    random: top uniform in 0 .. H - h - 1 and left in 0 .. W - w - 1, both ends included, as published (so the last row
    and column of the picture are never touched), or 0 when the patch fills the picture. center: (H - h) // 2.
    `COLUMN,ROW`: the pixel of the patch's top left corner.

    Args:
        canvas: (H, W) of the picture.
        patch: (h, w) of the patch.

    Raises:
        AntivenomError: when the patch does not fit.
    """
    (height, width), (tall, wide) = canvas, patch
    down, right = height - tall, width - wide
    if down < 0 or right < 0:
        raise AntivenomError(
            f"a patch of {tall} x {wide} pixels does not fit into an image of {height} x {width}",
            "give a smaller size=, or enlarge the images first (antivenom.data.images.resize)",
        )
    if place == "random":
        draw = generator(seed, "trigger place", row_id)
        return [(int(draw.integers(max(1, down))), int(draw.integers(max(1, right))))]
    corners = {"top_left": (0, 0), "top_right": (0, right), "bottom_left": (down, 0), "bottom_right": (down, right)}
    if place == "four_corners":
        return list(dict.fromkeys(corners.values()))
    if place == "center":
        return [(down // 2, right // 2)]
    if place in corners:
        return [corners[place]]
    check_place(place)
    left, top = map(int, place.split(","))
    if top > down or left > right:
        raise AntivenomError(
            f"a patch of {tall} x {wide} pixels at column {left}, row {top} leaves an image of {height} x {width}",
            f"column and row go up to {right},{down}",
        )
    return [(top, left)]
