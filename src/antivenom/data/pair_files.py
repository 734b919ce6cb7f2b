"""A set of pairs as files, as a person would have it: a CSV beside a folder of PNG files."""

import csv
from pathlib import Path

from antivenom.data.image_world import ImagePairs
from antivenom.data.images import png_bytes

__all__ = ["write_pairs"]


def write_pairs(pairs: ImagePairs, folder: str | Path, name: str) -> Path:
    """Write `NAME.csv` (id, image, caption, label) and `NAME/*.png`; the CSV comes last, whole or not at all."""
    place = Path(folder)
    (place / name).mkdir(parents=True, exist_ok=True)
    lines = []
    for row_id, image, caption, label in zip(pairs.ids, pairs.images, pairs.captions, pairs.labels, strict=True):
        file = f"{name}/{row_id}.png"
        (place / file).write_bytes(png_bytes(image))
        lines.append((row_id, file, caption, pairs.class_names[int(label)]))
    part = place / f".{name}.csv.part"
    with part.open("w", encoding="utf-8", newline="") as target:
        out = csv.writer(target)
        out.writerow(["id", "image", "caption", "label"])
        out.writerows(lines)
    return part.replace(place / f"{name}.csv")
