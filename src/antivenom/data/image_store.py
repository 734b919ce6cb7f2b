"""Pictures that are decoded when they are asked for: any number of them in bounded memory.

An `ImageStore` looks like an array uint8 (n, size, size, 3): `len`, `shape`, `store[rows]`. It knows where the bytes of every picture
are - a file, a stretch of a tar, or a stretch of a spool on disk - and keeps the last decoded ones up to `cache_bytes`.
"""

import hashlib
import os
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.data.images import MAX_PIXELS, open_image, resize
from antivenom.errors import AntivenomError

__all__ = ["ImageStore", "Place", "Spool", "decode"]

CACHE_BYTES = 2**30
CHUNK = 256


@dataclass(frozen=True)
class Place:
    """Where the bytes of a picture are.

    Args:
        path: of a file; None for the spool.
        offset, size: of the stretch; size -1 is the whole file.
    """

    path: str | None
    offset: int = 0
    size: int = -1


class Spool:
    """Bytes kept in a nameless file on disk, which goes when the process does."""

    def __init__(self):
        self.handle, name = tempfile.mkstemp(prefix="antivenom-pictures-")
        Path(name).unlink()
        self.bytes = 0
        weakref.finalize(self, os.close, self.handle)

    def keep(self, content: bytes) -> Place:
        """Write bytes; where they are."""
        place = Place(None, self.bytes, len(content))
        left = memoryview(content)
        while left:
            done = os.pwrite(self.handle, left, self.bytes)
            self.bytes, left = self.bytes + done, left[done:]
        return place

    def read(self, place: Place) -> bytes:
        """Bytes that were kept."""
        return os.pread(self.handle, place.size, place.offset)


def decode(
    content: bytes | str | Path | np.ndarray, size: int | None, *, max_pixels: int = MAX_PIXELS, least: int = 2
) -> np.ndarray:
    """A picture squashed to a side (see `images.open_image` for what each mode becomes).

    Args:
        content: a file's bytes, its path, or pixels.
        size: of the result; None keeps the picture's own.
        max_pixels: larger ones are refused before a pixel is decoded.
        least: smaller sides are refused: one pixel is a tracker, not a picture.

    Raises:
        AntivenomError: when it is no picture that can be used, saying why.
    """
    if isinstance(content, str | Path) and not Path(content).is_file():
        raise AntivenomError(f"'{content}' is not there", "check the path")
    image = content if isinstance(content, np.ndarray) else open_image(content, max_pixels=max_pixels)
    if min(image.shape[:2]) < least:
        raise AntivenomError(
            f"the image has {image.shape[1]} x {image.shape[0]} pixels, fewer than {least} a side", "leave it out"
        )
    return image if size is None else resize(image, size)


class ImageStore:
    """See the head of this module.

    Args:
        places: of the pictures.
        size: they are squashed to this side.
        spool: where places without a path are.
        names: of the pictures, for messages.
        cache_bytes: of decoded pictures in memory; at least one batch of them is there in any case.
        max_pixels, least: see `decode`.
        workers: threads that decode.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        places: Sequence[Place],
        size: int,
        *,
        spool: Spool | None = None,
        names: Sequence[str] | None = None,
        cache_bytes: int = CACHE_BYTES,
        max_pixels: int = MAX_PIXELS,
        least: int = 2,
        workers: int = 2,
    ):
        self.places, self.size, self.spool = list(places), size, spool
        self.names = list(names) if names is not None else [str(row) for row in range(len(self.places))]
        self.room = max(1, cache_bytes // (size * size * 3))
        self.how: dict[str, int] = {"max_pixels": max_pixels, "least": least}
        self.workers = max(1, workers)
        self.cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self.decoded = self.found = 0

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, size, size, 3)."""
        return len(self), self.size, self.size, 3

    @property
    def fingerprint(self) -> str:
        """Hash of every picture's pixels; every one is decoded for it."""
        digest = hashlib.blake2b(repr(self.shape).encode(), digest_size=16)
        for start in range(0, len(self), CHUNK):
            digest.update(np.ascontiguousarray(self[start : start + CHUNK]).data)
        return digest.hexdigest()

    def __getitem__(self, rows: Any) -> np.ndarray:
        """A picture (size, size, 3) by its row, or several (k, size, size, 3) by a slice or an array of rows or of flags.

        Raises:
            AntivenomError: when a picture cannot be decoded, naming it.
        """
        if isinstance(rows, int | np.integer):
            return self._batch([int(rows) % len(self)])[0]
        wanted = np.arange(len(self))[rows]
        return self._batch(wanted.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All pictures in memory: for whoever needs a real array."""
        return self[:].astype(dtype) if dtype is not None else self[:]

    def content(self, row: int) -> bytes | Path:
        """The bytes of a picture, or the path of its file."""
        place = self.places[row]
        if place.path is None:
            if self.spool is None:
                raise AntivenomError(f"'{self.names[row]}' is in no file", "open the pairs again")
            return self.spool.read(place)
        if place.size < 0:
            return Path(place.path)
        with Path(place.path).open("rb") as source:
            source.seek(place.offset)
            return source.read(place.size)

    def check(self) -> dict[int, str]:
        """Decode every picture once: row -> why it cannot be used. What fits into the cache stays there."""
        wrong: dict[int, str] = {}
        for start in range(0, len(self), CHUNK):
            rows = list(range(start, min(len(self), start + CHUNK)))
            for row, made in zip(rows, self._decode(rows), strict=True):
                if isinstance(made, AntivenomError):
                    wrong[row] = made.what
                elif len(self.cache) < self.room:
                    self.cache[row] = made
        return wrong

    def take(self, rows: Sequence[int]) -> "ImageStore":
        """The store of some of the pictures; what is decoded stays so."""
        other = ImageStore(
            [self.places[row] for row in rows], self.size, spool=self.spool, names=[self.names[row] for row in rows],
            cache_bytes=self.room * self.size * self.size * 3, workers=self.workers, **self.how,
        )  # fmt: skip
        other.cache = OrderedDict((new, self.cache[old]) for new, old in enumerate(rows) if old in self.cache)
        return other

    def _batch(self, rows: list[int]) -> np.ndarray:
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)
        lacking = [at for at, row in enumerate(rows) if row not in self.cache]
        self.found += len(rows) - len(lacking)
        for at, row in enumerate(rows):
            if row in self.cache:
                out[at] = self.cache[row]
                self.cache.move_to_end(row)
        for at, made in zip(lacking, self._decode([rows[at] for at in lacking]), strict=True):
            if isinstance(made, AntivenomError):
                raise AntivenomError(f"{self.names[rows[at]]}: {made.what}", "open the pairs again: files have changed")
            out[at] = made
            self.cache[rows[at]] = made
            while len(self.cache) > self.room:
                self.cache.popitem(last=False)
        return out

    def _decode(self, rows: list[int]) -> Iterable[np.ndarray | AntivenomError]:
        self.decoded += len(rows)

        def one(row: int) -> np.ndarray | AntivenomError:
            try:
                return decode(self.content(row), self.size, **self.how)
            except AntivenomError as error:
                return error
            except OSError as error:
                return AntivenomError(f"'{self.names[row]}' cannot be read: {error.strerror or error}")

        if len(rows) < 2 * self.workers or self.workers == 1:
            return map(one, rows)
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(one, rows))
