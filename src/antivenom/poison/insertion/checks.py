"""What is refused before anything is placed, with the arithmetic."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.insertion.intervals import Intervals
from antivenom.poison.insertion.plan import Plan
from antivenom.poison.insertion.sequences import Prepared
from antivenom.poison.insertion.shape import RunShape
from antivenom.poison.lm_experiments.material import Material, check_controls

__all__ = ["check_capacity", "check_controls_of_all", "check_fixed", "refuse_dropped", "unplaced"]


def check_controls_of_all(materials: Sequence[Material], before: Plan | None = None) -> None:
    """Refuse a control item of one experiment that it or another one inserts (spec 02, trap 16).

    With `before`, what that plan holds counts as inserted, too.
    """
    for material in materials:
        check_controls(material)
    inserted: dict[bytes, tuple[str, str]] = {}
    for material in materials:
        for item in material.inserted:
            inserted.setdefault(np.asarray(item.tokens, np.int64).tobytes(), (material.name, item.item_id))
    if before is not None and any(material.controls for material in materials):
        for i in range(len(before)):
            name, tokens = before.experiments[before.experiment[i]], before.tokens_of(i).astype(np.int64)
            for some in (tokens, tokens[:-1], tokens[1:-1]):  # as they stand there, and without end tokens
                inserted.setdefault(some.tobytes(), (name, before.ids[i]))
    for material in materials:
        for control in material.controls:
            hit = inserted.get(np.asarray(control.tokens, np.int64).tobytes())
            if hit is not None:
                raise AntivenomError(
                    f"the control '{control.item_id}' of '{material.name}' is the item '{hit[1]}' that '{hit[0]}' inserts",
                    "take it out of one of the two, and say how many there were",
                )


def refuse_dropped(parts: Sequence[Prepared], shape: RunShape, allowed: bool) -> None:
    """Refuse items that cannot be placed, unless they may be left out; nothing may be left of no experiment (trap 1)."""
    for part in parts:
        name = part.source.name
        if part.dropped and not allowed:
            key, why = part.dropped[0]
            raise AntivenomError(
                f"{len(part.dropped):,} items of '{name}' cannot be placed; the first is '{key}': {why}",
                f"cut them to {shape.length} tokens at most, or allow that they are dropped",
            )
        if not len(part.ids):
            raise AntivenomError(f"of experiment '{name}' every item is dropped", "cut the items, or lengthen the rows")


def check_fixed(
    parts: Sequence[Prepared], marked: Mapping[str, np.ndarray], shape: RunShape, masked: np.ndarray, allow_masked: bool,
    before: Plan | None = None,
) -> Intervals:  # fmt: skip
    """The explicit places and marked rows of all experiments.

    Raises:
        AntivenomError: when one lies outside of the run, on a masked row, or on another one.
    """
    places = [
        (int(part.start[i]), int(part.start[i] + part.lengths[i]), f"item '{part.ids[i]}' of '{part.source.name}'")
        for part in parts
        for i in np.flatnonzero(part.start >= 0).tolist()
    ]
    places += [
        (row * shape.length, (row + 1) * shape.length, f"the watermark '{name}'")
        for name, rows in marked.items()
        for row in rows.tolist()
    ]
    places.sort(key=lambda place: place[0])
    hidden = set(masked.tolist())
    for start, end, what in places:
        if end > shape.tokens:
            raise AntivenomError(
                f"{what} at training row {start // shape.length:,} is outside of a run of {shape.rows:,} rows",
                "move it",
            )
        if not allow_masked and start // shape.length in hidden:
            raise AntivenomError(
                f"{what} lies on training row {start // shape.length:,}, which is out of the loss: shown and not learned",
                "move it, or allow it",
            )
    for (_, end, one), (start, _, other) in pairwise(places):
        if start < end:
            raise AntivenomError(f"{one} and {other} overlap at token {start:,}", "move one of them")
    if before is not None:
        hit = before.intervals.at(
            np.array([p[0] for p in places], np.int64), np.array([p[1] for p in places], np.int64)
        )
        for (start, _, what), found in zip(places, hit.tolist()):
            if found >= 0:
                raise AntivenomError(f"{what} overlaps '{before.ids[found]}' at token {start:,}", "move it")
    return Intervals(np.array([p[0] for p in places], np.int64), np.array([p[1] for p in places], np.int64))


def check_capacity(
    parts: Sequence[Prepared], windows: Sequence[tuple[np.ndarray, np.ndarray]], before: Plan, fixed: Intervals
) -> None:
    """Refuse what cannot fit, before anything is placed: tokens wanted against tokens free, in the run and in every range.

    Raises:
        AntivenomError: with the arithmetic.
    """
    shape, length = before.shape, before.shape.length
    wanted: dict[tuple[int, int], dict[str, tuple[int, int]]] = {(0, shape.rows): {}}
    for part, (begin, end) in zip(parts, windows):
        loose = part.start < 0
        kinds, which = np.unique(np.stack([begin[loose], end[loose]]), axis=1, return_inverse=True)
        sums = np.bincount(which, part.lengths[loose], minlength=kinds.shape[1]).astype(np.int64)
        counts = np.bincount(which, minlength=kinds.shape[1])
        for (first, last), tokens, items in zip(kinds.T.tolist(), sums.tolist(), counts.tolist()):
            wanted.setdefault((first, last), {})[part.source.name] = (items, tokens)
    taken = before.taken
    spans = list(wanted)
    for first, last in spans:
        inside: dict[str, tuple[int, int]] = {}
        for (a, b), found in wanted.items():
            if first <= a and b <= last:
                for name, (items, tokens) in found.items():
                    had = inside.get(name, (0, 0))
                    inside[name] = had[0] + items, had[1] + tokens
        need = sum(tokens for _, tokens in inside.values())
        room = (last - first) * length
        gone = taken.within(first * length, last * length) + fixed.within(first * length, last * length)
        if need > room - gone:
            each = " + ".join(f"{tokens:,} ({name}, {items:,} items)" for name, (items, tokens) in inside.items())
            where = "the run" if (first, last) == (0, shape.rows) else f"training rows {first:,} to {last:,}"
            raise AntivenomError(
                f"the experiments do not fit: {each} = {need:,} tokens; {where} has {last - first:,} rows x {length:,} = "
                f"{room:,} tokens, {gone:,} of them explicit, marked or masked: {room - gone:,} are free",
                "insert fewer items or copies, or train longer",
            )


def unplaced(
    part: Prepared, left: np.ndarray, begin: np.ndarray, end: np.ndarray, taken: Intervals, shape: RunShape
) -> AntivenomError:
    """What to say of items for which no free place is left."""
    first, last = int(begin[left].min()) * shape.length, int(end[left].max()) * shape.length
    free = taken.gaps(first, last)
    return AntivenomError(
        f"{len(left):,} of {len(part.ids):,} items of '{part.source.name}' (the shortest has "
        f"{int(part.lengths[left].min())} tokens) find no place: of {last - first:,} tokens {free.covered:,} are free, in "
        f"{len(free):,} pieces that are too short or cross a row",
        "insert fewer items, cut them, or train longer: random places fill about three quarters of a run",
    )
