"""What a detector may look at: the embeddings of one set of rows in several views, and their neighbours."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from antivenom.errors import AntivenomError
from antivenom.randomness import generator
from antivenom.screen.embeddings.neighbours import Neighbours, neighbours
from antivenom.screen.embeddings.unit import unit_rows

__all__ = ["Embeddings", "parts_of"]


@dataclass
class Embeddings:
    """Embeddings of n rows, normalised when they are given; neighbours are searched once and shared by the detectors.

    Args:
        image: (n, d).
        text: (n, d), of the caption of each row.
        crops: (n, c, d), of c crops of each image.
        labels: (n,), the class or pseudo-class of each row.
        masks: (n,), the share of each image that its distilled mask keeps (see `cognitive_distillation.distilled_area`).

    Raises:
        AntivenomError: for bad rows (see `unit_rows`), other numbers of rows or widths, a missing label, and fewer than 2 rows.
    """

    image: Any
    text: Any = None
    crops: Any = None
    labels: Any = None
    masks: Any = None
    _found: dict[tuple, Neighbours] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        self.image = unit_rows(self.image, "image embeddings")
        n, width = self.image.shape
        if n < 2:
            raise AntivenomError("one row has nothing to be compared with", "give at least 2 rows")
        if self.text is not None:
            self.text = unit_rows(self.text, "text embeddings")
            _same(self.text.shape, (n, width), "text embeddings")
        if self.crops is not None:
            crops = np.asarray(self.crops)
            if crops.ndim != 3 or 0 in crops.shape:
                raise AntivenomError(f"crop embeddings of shape {crops.shape}", "give (rows, crops per row, width)")
            _same((crops.shape[0], crops.shape[2]), (n, width), "crop embeddings")
            self.crops = unit_rows(crops.reshape(-1, width), "crop embeddings").reshape(crops.shape)
        if self.labels is not None:
            self.labels = _labels(self.labels, n)
        if self.masks is not None:
            self.masks = _shares(self.masks, n)

    def __len__(self) -> int:
        return len(self.image)

    def need(self, name: str, who: str) -> np.ndarray:
        """One of the views, or labels.

        Raises:
            AntivenomError: when it was not given.
        """
        if name not in ("image", "text", "crops", "labels", "masks"):
            raise AntivenomError(f"there is no view '{name}'", "choose from: image, text")
        found = getattr(self, name)
        if found is None:
            raise AntivenomError(f"the detector '{who}' needs {name}", f"give them: Embeddings(..., {name}=...)")
        return found

    def spread(self, name: str, who: str) -> np.ndarray:
        """A view whose rows are not all the same point.

        Raises:
            AntivenomError: when they are: nothing can stand out.
        """
        rows = self.need(name, who)
        if (rows == rows[0]).all():
            mend = "look at the encoder: it maps every row to one place (collapsed, or fed the same input)"
            raise AntivenomError(f"all {len(rows):,} {name} embeddings are equal", mend)
        return rows

    def neighbours(self, k: int, *, view: str = "image", within: int = 0, seed: int = 0, who: str = "") -> Neighbours:
        """The k nearest rows of each row, of all rows or of the row's own random part (see `parts_of`).

        Raises:
            AntivenomError: for fewer rows (of a part) than k, and for rows that are all equal.
        """
        key = (view, k, within, seed if within else 0)
        if key not in self._found:
            rows = self.spread(view, who)
            index, distance = np.empty((len(rows), k), np.int64), np.empty((len(rows), k))
            distinct = again = 0
            for part in parts_of(len(rows), within, seed):
                found = neighbours(rows[part] if within else rows, k)
                index[part], distance[part] = part[found.index], found.distance
                distinct, again = distinct + found.distinct, again + found.again
            self._found[key] = Neighbours(index, distance, distinct, again)
        return self._found[key]


def parts_of(n: int, size: int, seed: int) -> list[np.ndarray]:
    """Rows 0..n-1 in random parts of about `size` (none more than one row larger than another); one part for 0.

    The parts do not follow the order of the rows: poisons are often the first rows of a file.

    Raises:
        AntivenomError: for a negative size.
    """
    if size < 0:
        raise AntivenomError(f"parts of {size} rows", "give a positive number, or 0 for all rows together")
    if size == 0 or size >= n:
        return [np.arange(n)]
    shuffled = generator(seed, "parts", n, size).permutation(n)
    return [np.sort(part) for part in np.array_split(shuffled, -(-n // size))]


def _same(shape: tuple, wanted: tuple, what: str) -> None:
    if shape != wanted:
        mend = f"give {wanted[0]:,} rows of width {wanted[1]}, in the order of the images, from the same model"
        raise AntivenomError(f"{what}: {shape[0]:,} rows of width {shape[1]}", mend)


def _shares(masks: ArrayLike, n: int) -> np.ndarray:
    given = np.asarray(masks, np.float64)
    if given.shape != (n,) or not ((given >= 0) & (given <= 1)).all():  # a NaN is not within either
        raise AntivenomError(
            f"mask areas of shape {given.shape} for {n:,} rows, or outside [0, 1]", "give distilled_area(model, images)"
        )
    return given


def _labels(labels: ArrayLike, n: int) -> np.ndarray:
    given = list(labels)  # pyright: ignore[reportArgumentType]
    if len(given) != n:
        raise AntivenomError(f"{len(given):,} labels for {n:,} rows", "give one label per row")
    for row, label in enumerate(given):
        if label is None or label != label:
            raise AntivenomError(f"row {row} has no label", "give every row a class or a pseudo-class")
    return np.array([str(label) for label in given])
