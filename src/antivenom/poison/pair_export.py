"""Poisoned pairs as files: a lossless folder that a training loop reads, with its manifest."""

import csv
import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.data.images import MAX_PIXELS, as_batch, open_image, pixel_hash, resize
from antivenom.data.rows import Quarantined, content_id
from antivenom.errors import AntivenomError
from antivenom.poison.captions import caption_problem
from antivenom.poison.codec import LOSSY, check_format, encode, psnr
from antivenom.poison.image_text_poison import PoisonPlan, check_ids, touched_pair
from antivenom.poison.manifest import Manifest, Touched

__all__ = ["ExportedPairs", "Pair", "export_pairs"]

Pair = tuple[str, str | Path | bytes | np.ndarray, Any]
"""(id, picture as a path, a file's bytes or uint8 (height, width, 3), caption)"""


@dataclass(frozen=True)
class ExportedPairs:
    """What was written: `pairs.csv`, `manifest.parquet` and `images/` in `folder`; rows_in = kept + quarantined."""

    folder: Path
    manifest: Manifest
    rows_in: int
    kept: int
    quarantined: list[Quarantined]


def export_pairs(
    pairs: Sequence[Pair],
    plan: PoisonPlan,
    folder: str | Path,
    *,
    size: int | tuple[int, int] | None = 224,
    format: str = "png",
    quality: int = 95,
    allow_lossy: bool = False,
    copy_clean: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> ExportedPairs:
    """Craft a plan on files.

    Poisoned pictures are squashed to `size`, triggered and saved under the hash of their row id, so that equal base names
    do not meet. `pairs.csv` has the columns id, image (relative to the folder), caption, is_backdoor, in the order of
    `pairs`: poisons do not come first. A chosen picture that cannot be opened goes to quarantine and the next row in the
    plan's order takes its place, so that the dose is what was asked for. The folder appears whole or not at all.

    Args:
        pairs: see `Pair`; ids are those of the plan.
        plan: see `plan_poison`.
        folder: to write; it must not exist.
        size: side, or (height, width), before the trigger is put on; None keeps each picture's own.
        format: `png`; a lossy one needs `allow_lossy` and puts the trigger's PSNR into the manifest.
        quality: of a lossy format.
        allow_lossy: see `format`.
        copy_clean: squash and save the clean pictures too. Without it they are named where they are, and poisoned rows can
            be told from clean ones by size and codec alone: for a fair attack, copy.
        max_pixels: see `open_image`.

    Raises:
        AntivenomError: when the folder exists, the format is refused, ids do not fit the plan, or too few chosen pictures
            can be opened.
    """
    kind = check_format(format, allow_lossy=allow_lossy)
    final = Path(folder)
    if final.exists():
        raise AntivenomError(f"'{final}' exists", "name a folder that does not")
    names = check_ids([row_id for row_id, _, _ in pairs])
    where = {name: row for row, name in enumerate(names)}
    missing = [name for name in plan.chosen if name not in where]
    if missing:
        raise AntivenomError(
            f"{len(missing)} chosen rows are not here, such as '{missing[0]}'", "plan with the ids of these rows"
        )
    final.parent.mkdir(parents=True, exist_ok=True)
    work = final.parent / f".{final.name}.{os.getpid()}.partial"
    try:
        (work / "images").mkdir(parents=True)
        done = _write(pairs, names, where, plan, work, final, (size, kind, quality, copy_clean, max_pixels))
        work.rename(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return done


def _write(
    pairs: Sequence[Pair],
    names: list[str],
    where: dict[str, int],
    plan: PoisonPlan,
    work: Path,
    final: Path,
    how: tuple[int | tuple[int, int] | None, str, int, bool, int],
) -> ExportedPairs:
    size, kind, quality, copy_clean, max_pixels = how
    refused: dict[int, str] = {
        row: problem for row, (_, _, caption) in enumerate(pairs) if (problem := caption_problem(caption))
    }
    crafted: dict[int, tuple[str, Touched]] = {}
    for name in plan.order:
        if len(crafted) == plan.dose.count:
            break
        row = where.get(name)
        if row is None or row in refused:
            continue
        try:
            clean = _opened(pairs[row][1], size, max_pixels)
        except AntivenomError as error:
            refused[row] = error.what
            continue
        crafted[row] = _craft(plan, name, clean, pairs[row][2], work, kind, quality)
    if len(crafted) < plan.dose.count:
        raise AntivenomError(
            f"{len(crafted)} of {plan.dose.count} pictures could be poisoned, the others cannot be opened",
            "lower the dose, or mend the pictures",
        )
    kept = 0
    touched = []
    with (work / "pairs.csv").open("w", encoding="utf-8", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["id", "image", "caption", "is_backdoor"])
        for row, (name, (_, source, caption)) in enumerate(zip(names, pairs)):
            if row in refused:
                continue
            if row in crafted:
                file, line = crafted[row]
                touched.append(replace(line, position=kept))
                caption = line.parameters["caption_after"]
            elif copy_clean or not isinstance(source, str | Path):
                try:
                    file = _save(encode(_opened(source, size, max_pixels), kind, quality), name, work, kind)
                except AntivenomError as error:
                    refused[row] = error.what
                    continue
            else:
                file = os.path.relpath(source, final)
            lines.writerow([name, file, caption, int(row in crafted)])
            kept += 1
    manifest = Manifest(touched, plan.dose)
    manifest.save(work / "manifest.parquet")
    quarantined = [Quarantined(names[row], row, refused[row]) for row in sorted(refused)]
    return ExportedPairs(final, manifest, len(pairs), kept, quarantined)


def _craft(
    plan: PoisonPlan, name: str, clean: np.ndarray, caption: str, work: Path, kind: str, quality: int
) -> tuple[str, Touched]:
    """Save one poisoned picture; the manifest's line speaks of what a reader of the file will see."""
    made = plan.image(name, clean)
    content = encode(made, kind, quality)
    seen = made
    more: dict[str, Any] = {"file_sha256": hashlib.sha256(content).hexdigest(), "size": list(clean.shape[:2])}
    if kind in LOSSY:
        seen = open_image(content)
        region = plan.trigger.region(clean.shape[0], clean.shape[1], name, plan.seed)
        left = psnr(made, seen, region)
        more |= {"format": kind, "quality": quality, "trigger_psnr": left, "crafted_hash": pixel_hash(made)}
    file = _save(content, name, work, kind)
    return file, touched_pair(plan, name, 0, clean, seen, caption, image=file, **more)


def _save(content: bytes, name: str, work: Path, kind: str) -> str:
    file = f"images/{content_id(name)}.{kind}"
    (work / file).write_bytes(content)
    return file


def _opened(source: Any, size: int | tuple[int, int] | None, max_pixels: int) -> np.ndarray:
    if isinstance(source, np.ndarray):
        image = as_batch(source[None])[0]
        return image if size is None else resize(image, size)
    return open_image(source, size=size, max_pixels=max_pixels)
