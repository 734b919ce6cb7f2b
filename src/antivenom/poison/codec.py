"""What an image format leaves of a trigger: lossless formats all of it, JPEG of coloured noise about half."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log10, sqrt
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import t

from antivenom.data.images import as_batch, open_image, png_bytes
from antivenom.errors import AntivenomError
from antivenom.poison.triggers import Trigger
from antivenom.poison.triggers import trigger as parse

__all__ = ["LOSSY", "Survival", "check_format", "codec_report", "encode", "psnr"]

LOSSY = ("jpeg", "webp", "avif")
FORMATS = ("png", *LOSSY)


@dataclass(frozen=True)
class Survival:
    """What is left of a trigger after saving and opening.

    Args:
        format, quality: of the file (quality None for png).
        n: images.
        psnr: in the trigger's region, dB: 10 log10(255^2 / MSE), MSE over the region's values of all images.
        survived: mean over images of <d', d> / <d, d>, d = triggered - clean and d' the same difference after both went
            through the file, in the region. 1: all of it; 0: nothing that points the same way.
        low, high: 95 % t interval of that mean; None for one image.
    """

    format: str
    quality: int | None
    n: int
    psnr: float
    survived: float
    low: float | None
    high: float | None


def check_format(kind: str, *, allow_lossy: bool = False) -> str:
    """The format in small letters.

    Raises:
        AntivenomError: for an unknown one, or a lossy one that was not allowed.
    """
    kind = {"jpg": "jpeg"}.get(kind.lower().lstrip("."), kind.lower().lstrip("."))
    if kind not in FORMATS:
        raise AntivenomError(f"there is no format '{kind}'", f"choose from: {', '.join(FORMATS)}")
    if kind in LOSSY and not allow_lossy:
        raise AntivenomError(
            f"{kind} is lossy: what is saved is not the trigger that was crafted",
            "save as png, or allow it (allow_lossy) and read the trigger's PSNR in the manifest",
        )
    return kind


def encode(image: np.ndarray, kind: str, quality: int = 95, subsampling: int = 2) -> bytes:
    """A picture as the bytes of a file; `subsampling` of JPEG's colours: 2 is the usual 4:2:0, 0 is 4:4:4 (none)."""
    if kind == "png":
        return png_bytes(image)
    if not 1 <= quality <= 100:
        raise AntivenomError(f"quality={quality}", "it lies in 1..100")
    out = io.BytesIO()
    options = {"subsampling": subsampling} if kind == "jpeg" else {}
    Image.fromarray(image).save(out, kind.upper(), quality=quality, **options)
    return out.getvalue()


def psnr(one: np.ndarray, other: np.ndarray, region: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB, in a region (bool (height, width)) or everywhere; inf when equal."""
    off = one.astype(np.int64) - other
    return _decibel(float(np.mean((off if region is None else off[region]) ** 2)))


def codec_report(
    images: Any,
    ids: Sequence[object],
    trigger: str | Trigger,
    *,
    formats: Sequence[str] = ("png", "jpeg"),
    qualities: Sequence[int] = (95, 90, 75, 50),
    subsampling: int = 2,
    seed: int = 0,
) -> list[Survival]:
    """How much of a trigger survives each format, over these images.

    Raises:
        AntivenomError: for no images, an unknown format, or a trigger that changes nothing on some image.
    """
    batch, made = as_batch(images), parse(trigger)
    if not len(batch):
        raise AntivenomError("there are no images to try the codec on", "give some")
    triggered = made.apply(batch, ids, seed)
    height, width = batch.shape[1], batch.shape[2]
    regions = [made.region(height, width, str(row_id), seed) for row_id in ids]
    rows = []
    kinds = [check_format(kind, allow_lossy=True) for kind in formats]
    for kind, quality in [(k, q) for k in kinds for q in (qualities if k in LOSSY else [None])]:
        shares, squares, values = [], 0, 0
        for clean, bad, region in zip(batch, triggered, regions):
            before = bad[region].astype(np.int64) - clean[region]
            if not before.any():
                raise AntivenomError(f"the trigger {made.spec} does not change this picture", "give another trigger")
            opened = [
                open_image(encode(image, kind, quality or 95, subsampling))[region].astype(np.int64)
                for image in (bad, clean)
            ]
            shares.append(float(((opened[0] - opened[1]) * before).sum() / (before**2).sum()))
            squares += int(((opened[0] - bad[region]) ** 2).sum())
            values += before.size
        mean = float(np.mean(shares))
        low = high = None
        if len(shares) > 1:
            half = float(t.ppf(0.975, len(shares) - 1)) * float(np.std(shares, ddof=1)) / sqrt(len(shares))
            low, high = mean - half, mean + half
        rows.append(Survival(kind, quality, len(batch), _decibel(squares / values), mean, low, high))
    return rows


def _decibel(mse: float) -> float:
    return 10 * log10(255**2 / mse) if mse else inf
