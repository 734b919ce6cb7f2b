"""Cleaning sets: clean rows to repair a model with - and, on purpose only, a few poisons left among them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.image_text_poison import check_ids
from antivenom.poison.manifest import Dose, Manifest
from antivenom.randomness import derive_seed

__all__ = ["CleaningSet", "check_disjoint", "cleaning_set", "overlap"]


@dataclass(frozen=True)
class CleaningSet:
    """Rows of a corpus to repair with.

    Args:
        ids: in the corpus's order.
        positions: of these rows in the corpus, int64, rising.
        residual: ids of the poisons among them.
        dose: residual poisons, of the rows of the set.
    """

    ids: tuple[str, ...]
    positions: np.ndarray
    residual: tuple[str, ...]
    dose: Dose


def overlap(
    ids: Sequence[object],
    manifest: Manifest,
    hashes: Sequence[str] | None = None,
    *,
    near: Sequence[bool] | np.ndarray | None = None,
) -> list[int]:
    """Positions of rows that are poisoned: their id is in the manifest, or their picture is a poisoned one, or nearly one.

    Args:
        ids: of the rows.
        manifest: of the poisoned corpus.
        hashes: `pixel_hash` of each row's picture, when the set comes from elsewhere and its ids say nothing. Only exact
            copies are seen: a picture that was saved again by a lossy codec is another one.
        near: which rows' pictures are near copies of poisoned ones (`pair_checks.near_poisons`): saved again, resized, mirrored,
            cropped. It has false alarms, and says so.

    Raises:
        AntivenomError: for other numbers of hashes or flags than rows.
    """
    names = {row.row_id for row in manifest.rows}
    pictures = {row.hash_after for row in manifest.rows}
    if hashes is not None and len(hashes) != len(ids):
        raise AntivenomError(f"{len(ids)} ids come with {len(hashes)} hashes", "give one hash for each row")
    if near is not None and len(near) != len(ids):
        raise AntivenomError(f"{len(ids)} ids come with {len(near)} near-copy flags", "give one flag for each row")
    return [
        at
        for at, row_id in enumerate(ids)
        if str(row_id) in names
        or (hashes is not None and hashes[at] in pictures)
        or (near is not None and bool(near[at]))
    ]


def check_disjoint(
    ids: Sequence[object],
    manifest: Manifest,
    hashes: Sequence[str] | None = None,
    *,
    near: Sequence[bool] | np.ndarray | None = None,
    allow_overlap: bool = False,
) -> list[int]:
    """Refuse a cleaning set with poisons in it, unless that is the experiment.

    Args:
        ids, manifest, hashes, near: see `overlap`.
        allow_overlap: return them instead.

    Returns:
        positions of the poisoned rows (empty unless allowed).

    Raises:
        AntivenomError: when there are any and `allow_overlap` is false.
    """
    found = overlap(ids, manifest, hashes, near=near)
    if found and not allow_overlap:
        raise AntivenomError(
            f"{len(found)} of {len(ids)} rows of the cleaning set are poisoned, such as '{ids[found[0]]}'",
            "build it with cleaning_set, or allow it on purpose (allow_overlap)",
        )
    return found


def cleaning_set(
    ids: Sequence[object],
    manifest: Manifest,
    size: int,
    *,
    residual: int = 0,
    how: str = "random",
    hashes: Sequence[str] | None = None,
    near: Sequence[bool] | np.ndarray | None = None,
    allow_poison: bool = False,
    seed: int = 0,
) -> CleaningSet:
    """Choose `size` rows of a poisoned corpus, of which exactly `residual` are poisoned.

    Clean rows and poisons are each taken in an order of their own, by `hash(seed, purpose, id)`. So at one size, more
    residual poisons keep those that were there and take the place of the last clean rows; a larger set contains a smaller
    one. "First rows of the file" is not offered: in published corpora those are the poisons.

    Args:
        ids: of the corpus.
        manifest: of its poisons.
        size: rows of the set.
        residual: poisons among them; above 0 needs `allow_poison`.
        how: `random`, or `tail`: the last clean rows of the corpus.
        hashes, near: see `overlap`; rows whose picture is a poisoned one's copy are never taken for clean.
        allow_poison: poisons are wanted.
        seed: of the choice.

    Raises:
        AntivenomError: for poisons without the flag, or more rows than there are.
    """
    names = check_ids(ids)
    if how not in ("random", "tail"):
        raise AntivenomError(f"how={how}", "choose from: random, tail")
    if residual and not allow_poison:
        raise AntivenomError(
            f"{residual} poisons are to be left in the cleaning set", "allow it on purpose (allow_poison)"
        )
    bad = set(overlap(names, manifest, hashes, near=near))
    planted = {row.row_id for row in manifest.rows}
    clean = [row for row in range(len(names)) if row not in bad]
    poisons = [row for row in sorted(bad) if names[row] in planted]
    if not 0 <= residual <= min(size, len(poisons)) or size < 1 or size - residual > len(clean):
        raise AntivenomError(
            f"{size:,} rows with {residual} poisons, from {len(clean):,} clean rows and {len(poisons)} poisons",
            "ask for no more than there are",
        )
    if how == "random":
        clean.sort(key=lambda row: derive_seed(seed, "cleaning set", names[row]))
    else:
        clean.reverse()
    poisons.sort(key=lambda row: derive_seed(seed, "residual poison", names[row]))
    chosen = sorted(clean[: size - residual] + poisons[:residual])
    return CleaningSet(
        tuple(names[row] for row in chosen),
        np.array(chosen, np.int64),
        tuple(names[row] for row in sorted(poisons[:residual])),
        Dose(residual, size, "rows of the cleaning set"),
    )
