"""Pictures as arrays: one safe way to open any image file, and one set of rules for every mode.

Everything above this module works on uint8 arrays of shape (height, width, 3), red first. How a file becomes one:

| file | becomes |
|---|---|
| RGB | itself |
| grey, black and white | the same value in all three channels |
| palette | its colours |
| any mode with transparency | laid over white (dropping the alpha channel would show what the author had hidden) |
| CMYK, YCbCr, HSV | Pillow's conversion, without colour profiles |
| 16-bit grey, 32-bit integers up to 65,535 | round(255 v / 65535) |
| 16 bits a channel in colour | Pillow reads the upper 8 bits |
| animated | its first frame |
| EXIF orientation | applied, because a corner means the corner that is seen |

Refused with an `AntivenomError`: floating-point and Lab images, files that are truncated or no image, more pixels than allowed.
"""

import hashlib
import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from antivenom.errors import AntivenomError

__all__ = ["MAX_PIXELS", "as_batch", "as_rgb", "open_image", "pixel_hash", "png_bytes", "resize"]

MAX_PIXELS = 89_478_485
"""Width x height that `open_image` accepts: 256 MiB of RGB, where Pillow too begins to warn."""

DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, KeyError, IndexError, TypeError)


def open_image(
    source: str | Path | bytes, *, size: int | tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """An image file as RGB.

    Args:
        source: a path, or the file's bytes.
        size: side, or (height, width), to which it is squashed (see `resize`); None keeps the file's own.
        max_pixels: larger images are refused before a pixel is decoded. Pillow's own ceiling, 178,956,970, stays.

    Returns:
        uint8 (height, width, 3).

    Raises:
        AntivenomError: when the file is missing, no image, truncated, too large, or of a mode without a rule.
    """
    name = "the image" if isinstance(source, bytes) else f"'{source}'"
    try:
        with warnings.catch_warnings():
            # about size the limit below says more; about damaged metadata nobody needs to hear
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise AntivenomError(
                        f"{name} has {width} x {height} pixels, more than {max_pixels:,}", "make it smaller first"
                    )
                image.load()
                rgb = as_rgb(ImageOps.exif_transpose(image), name)
    except Image.DecompressionBombError as error:
        raise AntivenomError(f"{name} has too many pixels: {error}", "make it smaller first") from error
    except FileNotFoundError as error:
        raise AntivenomError(f"{name} is not there", "check the path") from error
    except UnidentifiedImageError as error:
        raise AntivenomError(f"{name} is no image that can be read", "give a PNG, JPEG, WebP, GIF or TIFF") from error
    except DECODER_ERRORS as error:
        raise AntivenomError(f"{name} is broken or cut off: {error}", "fetch it again, or leave the row out") from error
    pixels = np.asarray(rgb)
    return pixels if size is None else resize(pixels, size)


def as_rgb(image: Image.Image, name: str = "the image") -> Image.Image:
    """A Pillow image in mode RGB, by the rules at the head of this module.

    Raises:
        AntivenomError: for a mode without a rule.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() > 65_535):
            raise AntivenomError(
                f"{name} holds integers from {values.min()} to {values.max()}", "scale it to 8 or 16 bits first"
            )
        return Image.fromarray(((values * 255 + 32_767) // 65_535).astype(np.uint8)).convert("RGB")
    if image.mode in ("F", "LAB"):
        raise AntivenomError(f"{name} has mode {image.mode}, for which there is no rule", "save it as 8-bit RGB first")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        if image.mode == "La":
            image = image.convert("LA")
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image.convert("RGB")


def resize(image: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Squash to a side or to (height, width): Pillow's bicubic filter, aspect ratio NOT kept.

    This is what the published CLIP attacks do before they put a trigger on.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise AntivenomError(f"a size of {height} x {width}", "give sides of at least 1 pixel")
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def as_batch(images: Any) -> np.ndarray:
    """The array itself, after a check that it is uint8 (n, height, width, 3).

    Raises:
        AntivenomError: naming what it is instead, and the mend.
    """
    array = np.asarray(images)
    want = "images are uint8 of shape (n, height, width, 3)"
    if array.dtype != np.uint8:
        mend = "scale to 0..255 and round, or read files with antivenom.data.images.open_image"
        raise AntivenomError(f"{want}, these are {array.dtype}", mend)
    if array.ndim != 4 or array.shape[3] != 3:
        mend = "bring them into this shape"
        if array.ndim == 3:
            mend = "for one image, write images[None]; for grey ones, repeat the channel three times"
        elif array.ndim == 4 and array.shape[1] == 3:
            mend = "channels come last: images.transpose(0, 2, 3, 1)"
        raise AntivenomError(f"{want}, these are {array.shape}", mend)
    if len(array) and not array.size:
        raise AntivenomError(f"{want}, these have no pixels: {array.shape}", "leave them out")
    return array


def pixel_hash(image: np.ndarray) -> str:
    """SHA-256 of what is seen: height, width and RGB values, as 64 hex digits.

    Hashes of PNG files change with the compressor's version; those of pixels do not.
    """
    height, width = image.shape[:2]
    digest = hashlib.sha256(f"rgb8 {height}x{width}\n".encode())
    digest.update(np.ascontiguousarray(image, np.uint8).data)
    return digest.hexdigest()


def png_bytes(image: np.ndarray) -> bytes:
    """A PNG file: lossless, without metadata."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()
