"""Poisoned pairs against their manifest: bring pictures back, check a corpus, find near copies elsewhere, and the trigger that a
model is tested with."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from antivenom.data.images import as_batch, pixel_hash
from antivenom.errors import AntivenomError
from antivenom.poison.image_text_poison import ATTACK, check_ids
from antivenom.poison.manifest import Manifest, Touched
from antivenom.poison.near_copies import THRESHOLD, NearCopies, near_copies
from antivenom.poison.triggers import Trigger, from_record
from antivenom.poison.triggers import trigger as parse

__all__ = ["check_pairs", "check_trigger", "manifest_trigger", "near_poisons", "reproduce"]


def reproduce(row: Touched, clean: np.ndarray) -> np.ndarray:
    """Craft a poisoned picture again, from the manifest's line and the clean picture; bit by bit the same.

    Raises:
        AntivenomError: when the picture is not the one that was poisoned, or the result another one.
    """
    if pixel_hash(clean) != row.hash_before:
        raise AntivenomError(f"this is not the picture that row '{row.row_id}' had", "give the clean original")
    made = from_record(row.parameters["trigger"]).apply(clean[None], [row.row_id], row.seed)[0]
    if pixel_hash(made) != row.parameters.get("crafted_hash", row.hash_after):
        raise AntivenomError(
            f"row '{row.row_id}' comes out differently", "use the versions of numpy and antivenom it was made with"
        )
    return made


def check_pairs(manifest: Manifest, images: Any, captions: Sequence[Any], ids: Sequence[object]) -> None:
    """Raise unless every touched row is here, with the picture and the caption that the manifest says."""
    batch = as_batch(images)
    where = {name: row for row, name in enumerate(check_ids(ids))}
    for line in manifest.rows:
        row = where.get(line.row_id)
        if (
            row is None
            or pixel_hash(batch[row]) != line.hash_after
            or captions[row] != line.parameters["caption_after"]
        ):
            what = "missing" if row is None else "not the pair the manifest says"
            raise AntivenomError(f"row '{line.row_id}' is {what}", "use the corpus that was poisoned with it")


def near_poisons(
    images: Any, manifest: Manifest, corpus: Any, ids: Sequence[object], *, threshold: float = THRESHOLD
) -> NearCopies:
    """Which pictures of another set are near copies of the poisoned ones (see `near_copies`), by whatever name.

        near = near_poisons(clean_images, manifest, corpus_images, corpus_ids)
        check_disjoint(clean_ids, manifest, near=near.found)

    Args:
        images: uint8 (n, h, w, 3), or a list of pictures of any sizes: the set to be checked.
        manifest: of the poisoned corpus.
        corpus, ids: its pictures and ids; the poisoned ones are taken from it, by id, and must have the manifest's pixels.
        threshold: see `near_copies`.

    Raises:
        AntivenomError: for a corpus that is not the manifest's, or a manifest without a poisoned picture.
    """
    batch = as_batch(corpus)
    where = {name: row for row, name in enumerate(check_ids(ids))}
    rows = [where.get(line.row_id) for line in manifest.rows]
    for row, line in zip(rows, manifest.rows, strict=True):
        if row is None or pixel_hash(batch[row]) != line.hash_after:
            raise AntivenomError(
                f"row '{line.row_id}' is missing, or not the picture the manifest says",
                "use the corpus that was poisoned with it",
            )
    return near_copies(images, batch[np.array(rows, np.int64)], threshold=threshold)


def manifest_trigger(manifest: Manifest) -> Trigger:
    """The trigger that a manifest's rows carry.

    Raises:
        AntivenomError: when it has no poisoned pair, or pairs with different triggers, or the trigger cannot be brought
            back as it was.
    """
    records = {
        row.parameters["trigger"]["fingerprint"]: row.parameters["trigger"]
        for row in manifest.rows
        if row.attack == ATTACK
    }
    if len(records) != 1:
        raise AntivenomError(f"the manifest holds {len(records)} triggers", "evaluate each trigger by itself")
    return from_record(next(iter(records.values())))


def check_trigger(manifest: Manifest, tested: str | Trigger, *, allow_other: bool = False) -> bool:
    """Whether a trigger is the one that the corpus was poisoned with; raise when not, unless allowed.

    A model that is tested with another trigger looks clean.

    Raises:
        AntivenomError: when it is another one and `allow_other` is false.
    """
    made, planted = parse(tested), manifest_trigger(manifest)
    same = made.fingerprint == planted.fingerprint
    if not same and not allow_other:
        raise AntivenomError(
            f"the corpus was poisoned with {planted.spec}, and this is {made.spec}",
            "test with the manifest's trigger, or allow another one on purpose (allow_other)",
        )
    return same
