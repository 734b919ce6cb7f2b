"""Real pictures with captions that come with scikit-learn: 1,797 handwritten digits, scanned at 8 x 8, enlarged.

Source: `sklearn.datasets.load_digits` (BSD). Captions and the split are drawn here; class names are the ten words.
"""

import numpy as np

from antivenom.data.image_world import ImagePairs
from antivenom.data.images import resize
from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["DIGITS", "DIGIT_CAPTIONS", "DIGIT_TEMPLATES", "digit_pairs"]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT_CAPTIONS = (
    "a handwritten {}",
    "the digit {}",
    "somebody wrote a {} with a pen",
    "a scan of the number {}",
    "a small picture of a {}",
    "the number {} in white on black",
)
DIGIT_TEMPLATES = ("a handwritten {}", "the digit {}", "a scan of the number {}", "a small picture of a {}")
"""For zero-shot heads; `{}` is the class name."""
PARTS = {"train": (0.0, 0.6), "clean": (0.6, 0.8), "test": (0.8, 1.0)}


def digit_pairs(name: str = "train", *, size: int = 32, seed: int = 0) -> ImagePairs:
    """One part of the digits: train (60 %), clean (20 %, to repair with) or test (20 %); no scan is in two of them.

    Args:
        name: of the part.
        size: the scans are enlarged to this side, bicubic.
        seed: of the split and of the captions.

    Raises:
        AntivenomError: for an unknown part or a size under 8.
    """
    if name not in PARTS or size < 8:
        raise AntivenomError(
            f"part '{name}' of the digits at {size} pixels", f"choose from: {', '.join(PARTS)}; 8 or more"
        )
    from sklearn.datasets import load_digits

    found = load_digits()
    scans, labels = np.asarray(found["images"]), np.asarray(found["target"])  # pyright: ignore
    order = generator(seed, "digits", "split").permutation(len(scans))
    low, high = (round(share * len(scans)) for share in PARTS[name])
    rows = np.sort(order[low:high])
    grey = np.rint(scans[rows] * (255 / 16)).astype(np.uint8)
    images = np.stack([resize(np.repeat(scan[..., None], 3, axis=2), size) for scan in grey])
    templates = generator(seed, "digits", "captions").integers(0, len(DIGIT_CAPTIONS), len(scans))[rows]
    captions = tuple(DIGIT_CAPTIONS[t].format(DIGITS[d]) for t, d in zip(templates, labels[rows], strict=True))
    return ImagePairs(tuple(f"digit-{row}" for row in rows), images, captions, labels[rows].astype(np.int64), DIGITS)
