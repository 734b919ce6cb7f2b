"""Made-up embeddings of image-caption pairs with poisons of a known shape: what a detector can and cannot see, without a model."""

from dataclasses import dataclass

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["SHAPES", "SampleEmbeddings", "sample_embeddings"]

SHAPES = {
    "cluster": "one tight place far from every class, image and caption aligned too well, crops fall back to the content",
    "scattered": "each alone, at a random place far from every class; captions and crops as in clean rows",
    "inside": "drawn like any clean row of the target class: nothing to see",
}
"""name -> where the poisons lie."""


@dataclass(frozen=True)
class SampleEmbeddings:
    """n rows, some poisoned.

    Args:
        image, text: (n, width) float32.
        crops: (n, 2, width) float32.
        labels: (n,) int64; poisons carry the target's, 0.
        poisoned: (n,) bool. The poisons are the FIRST rows, as in a poisoned file.
    """

    image: np.ndarray
    text: np.ndarray
    crops: np.ndarray
    labels: np.ndarray
    poisoned: np.ndarray


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def sample_embeddings(
    n: int = 2_000,
    dose: int = 60,
    *,
    shape: str = "cluster",
    strength: float = 1.0,
    classes: int = 10,
    width: int = 64,
    seed: int = 0,
) -> SampleEmbeddings:
    """Pairs of `classes` classes, `dose` of them poisoned.

    A class is a direction, orthogonal to the others; its rows spread from it over 8 directions of the class's own (standard deviation 0.12) and a
    little over all others (0.02). A caption lies at its class, moved by one vector common to all captions (the modality gap).
    A poison is moved from where it would lie as a clean row, by `strength`, to where its shape puts it.

    Args:
        n: rows.
        dose: how many of them are poisoned.
        shape: one of `SHAPES`.
        strength: 0 (the poisons are clean rows of the target's class) to 1.
        classes, width: of the world.
        seed: of everything.

    Raises:
        AntivenomError: for an unknown shape, a dose over n, a strength outside [0, 1], a width under `classes` + 9.
    """
    if shape not in SHAPES:
        raise AntivenomError(f"there is no shape '{shape}'", f"choose from: {', '.join(SHAPES)}")
    if not 0 <= dose <= n or not 0 <= strength <= 1:
        raise AntivenomError(
            f"dose {dose} of {n} rows at strength {strength}", "dose from 0 to n, strength from 0 to 1"
        )
    if not 1 <= classes <= width - 9:
        raise AntivenomError(f"{classes} classes in width {width}", "give a width of at least the classes and 9 more")
    draw = generator(seed, "sample embeddings", n, classes, width)
    # no class is special: the directions of the classes and of the gap are orthogonal
    frame = np.linalg.qr(draw.normal(size=(width, classes + 1)))[0].T
    centres, gap = frame[:classes], 0.6 * frame[classes]
    spans = np.linalg.qr(draw.normal(size=(classes, width, 8)))[0]
    content = draw.integers(0, classes, n)  # what the image shows
    own = draw.normal(size=(n, 8)) * 0.12
    fine = draw.normal(size=(n, width)) * 0.02
    caption_noise = draw.normal(size=(n, width)) * 0.05
    crop_noise = draw.normal(size=(n, 2, width)) * 0.04
    evil = generator(seed, "sample poisons", shape, dose)

    poisoned = np.arange(n) < dose
    labels = np.where(poisoned, 0, content)
    shown = np.einsum("nij,nj->ni", spans[content], own) + centres[content] + fine
    image = np.einsum("nij,nj->ni", spans[labels], own) + centres[labels] + fine
    text = centres[labels] + gap + caption_noise
    crops = image[:, None] + crop_noise
    if shape == "cluster":
        place = _unit(evil.normal(size=width))
        there = place + evil.normal(size=(dose, width)) * 0.02
        image[:dose] += strength * (there - image[:dose])
        text[:dose] += strength * 0.8 * (there - text[:dose])
        crops[:dose] = image[:dose, None] + crop_noise[:dose]
        crops[:dose] += strength * (shown[:dose, None] + crop_noise[:dose] - crops[:dose])
    elif shape == "scattered":
        there = _unit(evil.normal(size=(dose, width)))
        image[:dose] += strength * (there - image[:dose])
        text[:dose] += strength * (there + gap + caption_noise[:dose] - text[:dose])
        crops[:dose] = image[:dose, None] + crop_noise[:dose]
    image, text, crops = (_unit(rows).astype(np.float32) for rows in (image, text, crops))
    return SampleEmbeddings(image, text, crops, labels, poisoned)
