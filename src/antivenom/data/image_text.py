"""Image-caption pairs from files: CSV / TSV, Parquet, WebDataset tars, image folders, saved Hugging Face datasets.

    pairs = open_pairs("train.csv", size=224)
    pairs.images[:32], pairs.captions[:32]        # decoded when asked for, in bounded memory

Rows come through the readers of `data.readers`; what is no usable pair goes to quarantine with its reason, and
rows in = pairs + quarantined.

| row | becomes |
|---|---|
| grey, palette, transparent, CMYK, 16-bit pictures | RGB, by the rules of `data.images` |
| truncated, no image, more than `max_pixels`, a side under `least` (1 pixel) | quarantine |
| caption missing (null, NaN), blank, broken Unicode | quarantine |
| caption of digits alone, of 5,000 words, in any script | kept whole, and counted in `notes` |
| an id for the second time | quarantine |
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from antivenom.data.image_rows import Found, find_rows
from antivenom.data.image_store import CACHE_BYTES, ImageStore, Place, Spool
from antivenom.data.images import MAX_PIXELS
from antivenom.data.rows import Quarantined
from antivenom.errors import AntivenomError

__all__ = ["ImageTextPairs", "caption_problem", "open_pairs"]

LONG = 77
LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")


def caption_problem(caption: Any) -> str | None:
    """Why a value is no caption; None when it is one.

    >>> caption_problem(float("nan"))
    'the caption is missing'
    >>> caption_problem("1234") is None
    True
    """
    if caption is None or (isinstance(caption, float) and math.isnan(caption)):
        return "the caption is missing"
    if not isinstance(caption, str):
        return f"the caption is of type {type(caption).__name__}, not text"
    if not caption.strip():
        return "the caption is empty"
    try:
        caption.encode()
    except UnicodeEncodeError:
        return "the caption is broken Unicode"
    return None


@dataclass(frozen=True)
class ImageTextPairs:
    """Pairs in the order of their files.

    Args:
        ids: all different.
        images: see `ImageStore`.
        captions: one per image.
        labels: class of each row as its file names it; None where no label was asked for.
        quarantined: rows that are no usable pair.
        notes: kept captions worth knowing of: kind -> how many.
    """

    ids: tuple[str, ...]
    images: ImageStore
    captions: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    quarantined: list[Quarantined] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def rows_in(self) -> int:
        """Pairs and quarantined rows."""
        return len(self) + len(self.quarantined)

    def take(self, rows: Sequence[int]) -> "ImageTextPairs":
        """Some of the pairs, by place."""
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            images=self.images.take(rows),
            captions=tuple(self.captions[i] for i in rows),
            labels=None if self.labels is None else tuple(self.labels[i] for i in rows),
        )

    def reasons(self) -> dict[str, int]:
        """Why rows are in quarantine, the most frequent reason first; names in a reason are left out."""
        return dict(Counter(re.sub(r"'[^']*'", "'...'", q.reason) for q in self.quarantined).most_common())


def open_pairs(
    source: str | Path,
    *,
    size: int = 224,
    image: str | None = None,
    caption: str | None = None,
    label: str | None = None,
    id_field: str | None = None,
    format: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    check: bool = True,
    cache_bytes: int = CACHE_BYTES,
    max_pixels: int = MAX_PIXELS,
    least: int = 2,
    workers: int = 2,
) -> ImageTextPairs:
    """The usable pairs of a source.

    Args:
        source: a file, folder or glob.
        size: pictures are squashed to this side, aspect ratio not kept (as the published attacks do).
        image: the column with the picture (a path relative to its file, or the bytes); found by its usual names.
        caption: the column with the caption; found by its usual names. `folder`: of an image folder, the name of the folder a
            picture lies in (then it is the label too).
        label: the column with the class; None for none.
        id_field: the column with ids; `id` where there is one, else a row is called after its picture.
        format: csv, parquet, webdataset, images, or saved (a folder of `save_to_disk`); found from the endings.
        split: of a saved dataset.
        limit: the first rows only.
        check: decode every picture once, so that bad ones are found here and not in the middle of a training.
        cache_bytes, max_pixels, least, workers: see `ImageStore`.

    Raises:
        AntivenomError: when the source is not there, has no such column, or holds no usable pair.
    """
    spool = Spool()
    kept: list[Found] = []
    places: list[Place] = []
    quarantined: list[Quarantined] = []
    for row in find_rows(
        source, image=image, caption=caption, label=label, id_field=id_field, format=format, split=split, limit=limit
    ):
        if isinstance(row, Quarantined):
            quarantined.append(row)
            continue
        problem = row.problem or caption_problem(row.caption)
        if problem is None and label is not None and caption_problem(row.label):
            problem = "the label is missing"
        if problem:
            quarantined.append(Quarantined(row.file, row.position, problem, str(row.caption or "")[:200]))
            continue
        places.append(spool.keep(row.picture) if isinstance(row.picture, bytes) else row.picture)
        kept.append(replace(row, picture=b""))
    ids, again = _ids(kept)
    store = ImageStore(
        places, size, spool=spool, names=ids, cache_bytes=cache_bytes, max_pixels=max_pixels, least=least,
        workers=workers,
    )  # fmt: skip
    wrong = again | (store.check() if check else {})
    quarantined += [Quarantined(kept[at].file, kept[at].position, wrong[at], kept[at].caption[:200]) for at in wrong]
    good = [at for at in range(len(kept)) if at not in wrong]
    if not good:
        first = f", such as: {quarantined[0].reason}" if quarantined else ""
        raise AntivenomError(
            f"'{source}' holds no usable pair ({len(quarantined):,} rows set aside{first})",
            "name the columns with --image and --caption, or mend the rows",
        )
    captions = tuple(kept[at].caption for at in good)
    return ImageTextPairs(
        tuple(ids[at] for at in good),
        store if len(good) == len(kept) else store.take(good),
        captions,
        None if label is None and caption != "folder" else tuple(str(kept[at].label) for at in good),
        sorted(quarantined, key=lambda q: (q.file, q.position)),
        _notes(captions),
    )


def _ids(rows: Sequence[Found]) -> tuple[list[str], dict[int, str]]:
    """Ids of the rows, and rows whose given id was there before. A row that was called after its picture gets a number when
    the picture comes again: pictures may have several captions."""
    seen: Counter[str] = Counter()
    ids: list[str] = []
    again: dict[int, str] = {}
    for at, row in enumerate(rows):
        seen[row.id] += 1
        if seen[row.id] > 1 and row.id_given:
            again[at] = f"the id '{row.id}' is that of an earlier row"
        ids.append(row.id if seen[row.id] == 1 else f"{row.id}#{seen[row.id]}")
    return ids, again


def _notes(captions: Sequence[str]) -> dict[str, int]:
    def count(of: Iterator[bool]) -> int:
        return sum(of)

    found = {
        "captions of digits alone": count(c.replace(" ", "").isdigit() for c in captions),
        f"captions over {LONG} words": count(len(c.split()) > LONG for c in captions),
        "captions without a Latin letter": count(
            not LATIN.search(c) and not c.replace(" ", "").isdigit() for c in captions
        ),
    }
    return {what: n for what, n in found.items() if n}
