"""Real image-caption pairs: the same concept drawn by several vendors. Nothing of it ships here; a folder of yours is read.

A folder holds Parquet with the columns vendor, hexcode, label (the caption), group (the class) and jpeg or png (the picture), as it is
made of the npm packages emoji-datasource-google, emoji-datasource-twitter, @lobehub/fluent-emoji-3d and emojibase-data. Train on two
vendors and test on the third: what is drawn is known, how it is drawn is not.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.data.image_store import decode
from antivenom.data.image_world import ImagePairs
from antivenom.errors import AntivenomError

__all__ = ["EMOJI_TEMPLATES", "emoji_pairs"]

EMOJI_TEMPLATES = ("{}", "an emoji of {}", "a small picture of {}", "a drawing of {}")
COLUMNS = ("vendor", "hexcode", "label", "group")
PICTURES = ("jpeg", "png", "image")


def emoji_pairs(
    folder: str | Path,
    *,
    vendors: Sequence[str] | None = None,
    without: Sequence[str] = (),
    classes: str = "group",
    size: int = 64,
    limit: int | None = None,
) -> ImagePairs:
    """The pairs of some vendors.

    Args:
        folder: see the head of this module; a Parquet file will do.
        vendors: whose drawings; all when None.
        without: hexcodes that are left out, for tests on concepts that were never seen.
        classes: the column of the class: `group` (ten), `subgroup`, or `label` (every concept is its own).
        size: drawings are squashed to this side.
        limit: the first drawings only.

    Raises:
        AntivenomError: when nothing is there, a column is missing, or there is no such vendor.
    """
    place = Path(folder)
    files = [place] if place.is_file() else sorted(place.glob("*.parquet"))
    mend = f"give a folder with Parquet of {', '.join(COLUMNS)} and a picture ({', '.join(PICTURES)})"
    if not files:
        raise AntivenomError(f"there are no emoji pairs in '{folder}'", mend)
    try:
        table = pa.concat_tables([pq.read_table(file) for file in files])
        picture = next(name for name in PICTURES if name in table.column_names)
        columns = {name: table.column(name).to_pylist() for name in {*COLUMNS, classes, picture}}
    except (OSError, pa.ArrowException, KeyError, StopIteration) as error:
        raise AntivenomError(f"'{folder}' cannot be read as emoji pairs: {error}", mend) from error
    known = list(dict.fromkeys(columns["vendor"]))
    if unknown := [v for v in vendors or () if v not in known]:
        raise AntivenomError(f"'{folder}' has no vendor '{unknown[0]}'", f"it has: {', '.join(map(str, known))}")
    left_out = set(without)
    rows = [
        row
        for row, (vendor, code) in enumerate(zip(columns["vendor"], columns["hexcode"], strict=True))
        if (vendors is None or vendor in vendors) and code not in left_out
    ][:limit]
    if not rows:
        raise AntivenomError(f"no drawing of '{folder}' is left", "leave out fewer of them")
    names = tuple(sorted({str(value) for value in columns[classes]}))
    where = {name: i for i, name in enumerate(names)}
    return ImagePairs(
        tuple(f"{columns['vendor'][r]}-{columns['hexcode'][r]}" for r in rows),
        np.stack([decode(columns[picture][r], size) for r in rows]),
        tuple(columns["label"][r] for r in rows),
        np.array([where[str(columns[classes][r])] for r in rows], np.int64),
        names,
    )
