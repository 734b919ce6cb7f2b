"""Poisoning image-caption pairs: a dose is planned, crafted row by row, and remembered in a manifest.

    plan = plan_poison(ids, captions, trigger="badnet:kind=checker:size=5", target="star", count=120)
    poisoned = poison_pairs(images, captions, ids, plan)

Planning looks at captions only, so it works on millions of rows; crafting is a pure function of one row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from antivenom.data.images import as_batch, pixel_hash
from antivenom.errors import AntivenomError
from antivenom.poison.captions import TEMPLATES, eligible, resolve_target, target_caption
from antivenom.poison.manifest import Dose, Manifest, Touched
from antivenom.poison.triggers import Trigger
from antivenom.poison.triggers import trigger as parse
from antivenom.randomness import derive_seed

__all__ = [
    "ATTACK",
    "PoisonPlan",
    "PoisonedPairs",
    "check_ids",
    "dose_count",
    "plan_poison",
    "poison_pairs",
    "touched_pair",
]

ATTACK = "image-text backdoor"
"""What the manifest calls it."""


@dataclass(frozen=True)
class PoisonPlan:
    """Which pairs are poisoned, and how.

    Args:
        trigger: what is put on.
        target: the label whose caption they get.
        mode: `dirty` (another caption) or `clean` (the caption stays).
        dose: count, of how many usable pairs.
        order: ids of all eligible rows in the order in which they are taken: a smaller dose is always a part of a
            larger one. The first `dose.count` are chosen.
        skipped: reason -> rows that are no usable pair.
        seed: of the selection, the captions and the trigger.
        templates: of the captions.
    """

    trigger: Trigger
    target: str
    mode: str
    dose: Dose
    order: tuple[str, ...]
    skipped: Mapping[str, int]
    seed: int
    templates: tuple[str, ...]

    @property
    def chosen(self) -> tuple[str, ...]:
        """The ids of the poisoned pairs."""
        return self.order[: self.dose.count]

    def caption(self, row_id: str, original: str) -> str:
        """What a poisoned pair's caption becomes."""
        return original if self.mode == "clean" else target_caption(self.target, row_id, self.seed, self.templates)

    def image(self, row_id: str, original: np.ndarray) -> np.ndarray:
        """What a poisoned pair's picture becomes; uint8 (height, width, 3)."""
        return self.trigger.apply(original[None], [row_id], self.seed)[0]


@dataclass(frozen=True)
class PoisonedPairs:
    """The corpus with its dose, in its order. `flags` says which rows are poisoned."""

    images: np.ndarray
    captions: list[Any]
    flags: np.ndarray
    manifest: Manifest


def dose_count(total: int, *, count: int | None = None, share: float | None = None) -> int:
    """How many rows a dose is: a count, or a share of `total`.

    Rounding: the share is taken as the decimal number that it prints as, multiplied exactly, and half a row is rounded
    up: 0.0005 of 3,000,000 = 1,500; 0.15 of 10 = 2; 0.285 of 100 = 29 (binary fractions would give 28).

    Raises:
        AntivenomError: when not exactly one is given, for a count or share out of range, or a share above 0 that rounds
            to no row at all.
    """
    if (count is None) == (share is None):
        raise AntivenomError("the dose is not given exactly once", "give count or share")
    if count is None:
        if share is None or not 0 <= share <= 1:
            raise AntivenomError(f"a share of {share}", "it lies in [0, 1]")
        count = int((Decimal(repr(float(share))) * total).quantize(Decimal(1), ROUND_HALF_UP))
        if share > 0 and count == 0:
            raise AntivenomError(
                f"a share of {share} of {total:,} rows is less than half a row", "give a count, or more rows"
            )
    if not 0 <= count <= total:
        raise AntivenomError(f"{count:,} of {total:,} rows", "a count lies between 0 and the number of rows")
    return count


def check_ids(ids: Sequence[object]) -> list[str]:
    """The ids as text.

    Raises:
        AntivenomError: when two rows share one: base names of files are not ids.
    """
    names = [str(row_id) for row_id in ids]
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))
        raise AntivenomError(
            f"{len(names) - len(set(names))} rows share an id with another, such as '{twice}'",
            "give each row its own, such as its whole path",
        )
    return names


def plan_poison(
    ids: Sequence[object],
    captions: Sequence[Any],
    *,
    trigger: str | Trigger,
    target: str,
    count: int | None = None,
    share: float | None = None,
    mode: str = "dirty",
    classes: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    templates: Sequence[str] = TEMPLATES,
    whole_words: bool = True,
    seed: int = 0,
) -> PoisonPlan:
    """Choose the pairs to poison.

    Eligible rows are ordered by `hash(seed, "select pair", id)` and taken from the front. So the choice does not depend on
    the order of the rows, a smaller dose is a part of a larger one, and new rows push none of the old ones around.

    Args:
        ids: one per row, all different.
        captions: one per row; what is no caption makes the row no pair (see `captions`).
        trigger: a spec or a trigger.
        target: the label.
        count: poisoned pairs; or
        share: their share of all usable pairs (see `dose_count` for rounding).
        mode: `dirty` or `clean`.
        classes: when given, the target must be exactly one of them, and is written as that class is.
        labels: true class of each row, so that dirty-label poisoning leaves pictures of the target alone.
        templates: captions with `{label}`.
        whole_words: see `captions.mentions`.
        seed: of everything drawn.

    Raises:
        AntivenomError: for a bad dose, target, mode or id, or more poisons than there are eligible rows.
    """
    names = check_ids(ids)
    if len(names) != len(captions):
        raise AntivenomError(f"{len(names)} ids come with {len(captions)} captions", "give one caption for each id")
    if not target.strip():
        raise AntivenomError("the target label is empty", "name the label that triggered pictures shall get")
    if classes is not None:
        target = classes[resolve_target(target, classes)].partition(",")[0]
    target_caption(target, "", seed, templates)  # complains of bad templates before anything is crafted
    made = parse(trigger)
    rows = eligible(captions, target, mode=mode, labels=labels, whole_words=whole_words)
    wanted = dose_count(rows.total, count=count, share=share)
    if wanted > len(rows.rows):
        raise AntivenomError(
            f"{wanted:,} pairs are to be poisoned and {len(rows.rows):,} of {rows.total:,} are eligible ({mode}-label)",
            "lower the dose, or poison with mode=dirty",
        )
    ranked = sorted((derive_seed(seed, "select pair", names[row]), names[row]) for row in rows.rows)
    dose = Dose(wanted, rows.total, "usable pairs")
    order = tuple(name for _, name in ranked)
    return PoisonPlan(made, target, mode, dose, order, rows.skipped, seed, tuple(templates))


def touched_pair(
    plan: PoisonPlan, row_id: str, position: int, clean: np.ndarray, poisoned: np.ndarray, caption: str, **more: Any
) -> Touched:
    """The manifest's line for one pair: hashes of the pixels before and after, and the captions in full."""
    parameters = {
        "trigger": plan.trigger.record(),
        "mode": plan.mode,
        "caption_before": caption,
        "caption_after": plan.caption(row_id, caption),
    } | more
    return Touched(
        row_id,
        position,
        ATTACK,
        plan.trigger.spec,
        plan.target,
        parameters=parameters,
        seed=plan.seed,
        hash_before=pixel_hash(clean),
        hash_after=pixel_hash(poisoned),
    )


def poison_pairs(images: Any, captions: Sequence[Any], ids: Sequence[object], plan: PoisonPlan) -> PoisonedPairs:
    """Craft a plan on pairs that are in memory.

    Args:
        images: uint8 (n, height, width, 3); not changed.
        captions: n.
        ids: n, those that the plan was made of.
        plan: see `plan_poison`.

    Raises:
        AntivenomError: when a chosen row is missing, or lengths differ.
    """
    batch = as_batch(images)
    names = check_ids(ids)
    if not len(batch) == len(captions) == len(names):
        raise AntivenomError(
            f"{len(batch)} images, {len(captions)} captions, {len(names)} ids", "give one of each for every row"
        )
    where = {name: row for row, name in enumerate(names)}
    missing = [name for name in plan.chosen if name not in where]
    if missing:
        raise AntivenomError(
            f"{len(missing)} chosen rows are not here, such as '{missing[0]}'", "plan with the ids of these rows"
        )
    out, said = batch.copy(), list(captions)
    flags = np.zeros(len(batch), bool)
    touched = []
    for row in sorted(where[name] for name in plan.chosen):
        out[row] = plan.image(names[row], batch[row])
        said[row] = plan.caption(names[row], captions[row])
        flags[row] = True
        touched.append(touched_pair(plan, names[row], row, batch[row], out[row], captions[row]))
    return PoisonedPairs(out, said, flags, Manifest(touched, plan.dose))
