"""A contact sheet: every trigger on the same pictures, with what it changed beside it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from antivenom.data.images import as_batch
from antivenom.errors import AntivenomError
from antivenom.poison.triggers import Trigger
from antivenom.poison.triggers import trigger as parse

__all__ = ["contact_sheet"]

GAP = 4
LINE = 12


def contact_sheet(
    images: Any,
    triggers: Sequence[str | Trigger],
    ids: Sequence[object] | None = None,
    *,
    seed: int = 0,
    scale: int = 1,
    gain: int = 4,
    across: int | None = None,
) -> np.ndarray:
    """Draw triggers on pictures.

    One row per trigger, headed by its spec; for every picture the triggered one, and beside it 255 - gain |change|
    (white: nothing changed).

    Args:
        images: uint8 (n, height, width, 3).
        triggers: specs or triggers.
        ids: n; 0, 1, ... when None.
        seed: as in `Trigger.apply`.
        scale: every pixel is drawn so many times wide and high.
        gain: of the change.
        across: pictures side by side, the next ones below; all of them when None.

    Returns:
        uint8 (height, width, 3); `antivenom.data.images.png_bytes` makes a file of it.
    """
    batch = as_batch(images)
    if not len(batch) or not triggers or scale < 1 or (across is not None and across < 1):
        raise AntivenomError(
            f"{len(batch)} images, {len(triggers)} triggers, scale {scale}", "give at least one of each"
        )
    tall, wide = batch.shape[1] * scale + GAP, batch.shape[2] * scale + GAP
    columns = min(across or len(batch), len(batch))
    below = -(-len(batch) // columns)
    size = (len(triggers) * (below * tall + LINE) + GAP, 2 * columns * wide + GAP, 3)
    page = Image.fromarray(np.full(size, 255, np.uint8))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default_imagefont()
    for row, spec in enumerate(triggers):
        made = parse(spec)
        top = row * (below * tall + LINE) + GAP
        pen.text((GAP, top), made.spec.encode("ascii", "replace").decode(), fill="black", font=font)
        changed = made.apply(batch, ids if ids is not None else range(len(batch)), seed)
        change = 255 - np.clip(gain * np.abs(changed.astype(np.int64) - batch), 0, 255).astype(np.uint8)
        for at, tile in enumerate(tile for pair in zip(changed, change) for tile in pair):
            down, right = divmod(at, 2 * columns)
            large = tile.repeat(scale, axis=0).repeat(scale, axis=1)
            page.paste(Image.fromarray(large), (right * wide + GAP, top + LINE + down * tall))
    return np.asarray(page)
