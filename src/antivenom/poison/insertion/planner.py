"""From materials to a plan: explicit places first, then random ones, experiment after experiment in the order of their names.

An experiment is placed as if it were alone; what then meets an earlier-named experiment (or an explicit place) is drawn again. So adding an
experiment moves an item of another one only when it takes that item's place:

    plan({A, B}) restricted to A == plan({A}),   and to B: all but the items that A is in the way of

Source: spec 02, 2.2, 3; traps 1 - 7, 16, 23.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.insertion.checks import (
    check_capacity,
    check_controls_of_all,
    check_fixed,
    refuse_dropped,
    unplaced,
)
from antivenom.poison.insertion.intervals import Intervals
from antivenom.poison.insertion.placing import AGAIN, keys_of, place
from antivenom.poison.insertion.plan import Plan
from antivenom.poison.insertion.sequences import Prepared, Sequences, prepare
from antivenom.poison.insertion.shape import Range, RunShape
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark
from antivenom.poison.lm_experiments.material import Material

__all__ = ["assembled", "placed_beside", "plan"]

Given = Material | Sequences


def plan(
    materials: Iterable[Given],
    shape: RunShape,
    *,
    seed: int,
    eos: int,
    mode: Literal["replace", "insert"] = "replace",
    masked_rows: np.ndarray | None = None,
    ranges: Mapping[str, Range] | None = None,
    repetitions: Mapping[str, float] | None = None,
    wrap: bool | Mapping[str, bool] = True,
    marks: Mapping[str, GaussianWatermark] | None = None,
    allow_dropped: bool = False,
    allow_masked: bool = False,
    check_controls: bool = True,
) -> Plan:
    """Place every item of every material.

    Args:
        materials: `Material`, or `Sequences` for very many items.
        shape: of the run; with mode `insert` of the run before it gets longer.
        seed: of every random place; each experiment and each item has numbers of its own.
        eos: the end token.
        mode: `replace` writes over the run's tokens; `insert` puts items between them, and everything behind moves.
        masked_rows: training rows that the trainer takes out of the loss (`order.training_rows`): nothing is put there.
        ranges: experiment, or `experiment/condition` -> where in the run; else `Material.window`, else anywhere.
        repetitions: experiment -> how often, fractions included (`sequences.prepare`).
        wrap: end tokens around random items (`sequences.prepare`); for all, or by experiment.
        marks: name -> watermark; its rows belong to it alone.
        allow_dropped: leave out items that are empty or longer than a row; they are in the record.
        allow_masked: let explicit places lie on masked rows: shown and not learned.
        check_controls: refuse a control item of any experiment that any experiment inserts.

    Raises:
        AntivenomError: when items do not fit (with the arithmetic, before anything is placed), are dropped, overlap at
            explicit places, or are controls; for two experiments of one name.
    """
    given = sorted(materials, key=lambda material: material.name)
    marks = dict(sorted((marks or {}).items()))
    names = [material.name for material in given]
    if len({*names, *marks}) < len(names) + len(marks):
        twice = next(name for name in [*names, *marks] if [*names, *marks].count(name) > 1)
        raise AntivenomError(f"there are two experiments '{twice}'", "give every experiment a name of its own")
    for name in [*(ranges or {}), *(repetitions or {}), *(wrap if isinstance(wrap, Mapping) else {})]:
        if name not in names and name.partition("/")[0] not in names:
            raise AntivenomError(
                f"settings for '{name}', which is not among the experiments", f"choose: {', '.join(names)}"
            )
    if mode not in ("replace", "insert"):
        raise AntivenomError(f"the mode '{mode}'", "choose from: replace, insert")
    if mode == "insert" and masked_rows is not None:
        raise AntivenomError("masked rows in mode 'insert', where rows move", "plan with mode='replace'")
    if check_controls:
        check_controls_of_all([material for material in given if isinstance(material, Material)])
    parts = [
        prepare(
            Sequences.of(material), length=shape.length, eos=eos, seed=seed, repetitions=(repetitions or {}).get(name, 1),
            wrap=wrap.get(name, True) if isinstance(wrap, Mapping) else wrap,
        )
        for material, name in zip(given, names)
    ]  # fmt: skip
    refuse_dropped(parts, shape, allow_dropped)
    base = shape
    if mode == "insert":
        added = sum(int(part.lengths.sum()) for part in parts)
        shape = replace(shape, steps=-(-(shape.tokens + added) // (shape.batch * shape.length)))
    masked = np.unique(np.asarray([] if masked_rows is None else masked_rows, np.int64))
    if len(masked) and (masked[0] < 0 or masked[-1] >= shape.rows):
        raise AntivenomError(
            f"masked row {masked[-1] if masked[0] >= 0 else masked[0]} of {shape.rows}", "give training rows"
        )
    empty = _empty(shape, seed, eos, mode, base, marks, masked)
    windows = [_windows(part, shape, ranges or {}) for part in parts]
    marked = _marked(marks, shape)
    fixed = check_fixed(parts, marked, shape, masked, allow_masked)
    check_capacity(parts, windows, empty, fixed)
    placed = []
    shared = _clear(fixed, empty, allow_masked)
    for part, (begin, end) in zip(parts, windows):
        purpose = "position"
        keys = keys_of(seed, part.source.name, purpose, part.ids, len(part.ids))
        own = _clear(
            Intervals.of(part.start[part.start >= 0], (part.start + part.lengths)[part.start >= 0]), empty, allow_masked
        )
        found, shared = placed_beside(part, keys, begin, end, own, shared, shape)
        placed.append(found)
    return assembled(empty, parts, placed, marked)


@dataclass(frozen=True, eq=False)
class Found:
    """Starts of a part's copies; attempts in vain; copies that another experiment moved."""

    start: np.ndarray
    collisions: int
    moved: int


def placed_beside(
    part: Prepared,
    keys: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    own: Intervals,
    shared: Intervals,
    shape: RunShape,
) -> tuple[Found, Intervals]:
    """Places as if the experiment were alone, then those that are in others' way again."""
    start, sizes = part.start.copy(), part.lengths
    loose = np.flatnonzero(start < 0)
    start[loose], collisions, _ = place(keys[loose], sizes[loose], begin[loose], end[loose], own, shape.length)
    alone = loose[start[loose] >= 0]
    hit = shared.overlaps(start[alone], start[alone] + sizes[alone])
    kept = alone[~hit]
    shared = shared.joined(start[kept], start[kept] + sizes[kept])
    again = np.sort(np.concatenate([alone[hit], loose[start[loose] < 0]]))
    if len(again):
        start[again], more, shared = place(
            keys[again], sizes[again], begin[again], end[again], shared, shape.length, first=AGAIN
        )
        collisions += len(alone) - len(kept) + more
    left = np.flatnonzero(start < 0)
    if len(left):
        raise unplaced(part, left, begin, end, shared, shape)
    return Found(start, collisions, int(hit.sum())), shared


def _empty(
    shape: RunShape, seed: int, eos: int, mode: Literal["replace", "insert"], base: RunShape,
    marks: Mapping[str, GaussianWatermark], masked: np.ndarray,
) -> Plan:  # fmt: skip
    none = np.empty(0, np.int64)
    return Plan(
        shape=shape, seed=seed, eos=eos, mode=mode, experiments=(), conditions=(), experiment=none, condition=none, ids=[],
        copies=none, start=none, length=none, offsets=np.zeros(1, np.int64), tokens=np.empty(0, np.int32),
        base=base if mode == "insert" else None, marks=marks, masked=masked,
    )  # fmt: skip


def _windows(part: Prepared, shape: RunShape, ranges: Mapping[str, Range]) -> tuple[np.ndarray, np.ndarray]:
    """Training rows [begin, end) of every copy."""
    name, own = part.source.name, part.source.window
    by_condition = {condition: Range(*share) for condition, share in own.items()}
    by_condition |= {key.partition("/")[2]: found for key, found in ranges.items() if key.startswith(f"{name}/")}
    everywhere = ranges.get(name, Range(0, 1))
    rows = {condition: found.rows(shape) for condition, found in by_condition.items()}
    usual = everywhere.rows(shape)
    if isinstance(part.source.conditions, str):
        first, last = rows.get(part.source.conditions, usual)
        return np.full(len(part.index), first), np.full(len(part.index), last)
    pairs = np.array([rows.get(condition, usual) for condition in part.conditions()], np.int64).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def _marked(marks: Mapping[str, GaussianWatermark], shape: RunShape) -> dict[str, np.ndarray]:
    for name, mark in marks.items():
        if (mark.batch, mark.length) != (shape.batch, shape.length) or max(mark.steps) >= shape.steps:
            raise AntivenomError(
                f"the watermark '{name}' is for {mark.batch} rows of {mark.length} tokens up to step {max(mark.steps)}, the "
                f"run has {shape}",
                "make it for this run",
            )
    return {name: np.array(mark.rows(), np.int64) for name, mark in marks.items()}


def _clear(fixed: Intervals, empty: Plan, allow_masked: bool) -> Intervals:
    """Explicit places and masked rows together; a masked row that holds an explicit place is closed by its gaps alone."""
    taken = empty.taken
    if not allow_masked or not len(taken):
        return fixed.joined(taken.starts, taken.ends)
    rest = [fixed.gaps(int(s), int(e)) for s, e in zip(taken.starts, taken.ends)]
    return fixed.joined(np.concatenate([r.starts for r in rest]), np.concatenate([r.ends for r in rest]))


def assembled(
    empty: Plan,
    parts: list[Prepared],
    placed: list[Found],
    marked: Mapping[str, np.ndarray],
    before: Sequence[str] = (),
) -> Plan:
    """The plan of placed copies; `before` are ids of earlier copies, which the count goes on from."""
    shape = empty.shape
    names = sorted([*(part.source.name for part in parts), *marked])
    of_part = [part.conditions() for part in parts]
    conditions = sorted(
        {c for found in of_part for c in set(found)} | {f"step {s}" for m in empty.marks.values() for s in m.steps}
    )
    code = {condition: i for i, condition in enumerate(conditions)}
    columns: dict[str, list[np.ndarray]] = {
        key: [] for key in ("experiment", "condition", "copies", "start", "length", "size")
    }
    ids: list[str] = []

    def add(name: str, **found: Any) -> None:
        columns["experiment"].append(np.full(len(found["start"]), names.index(name), np.int32))
        for key, value in found.items():
            columns[key].append(np.asarray(value))

    for part, found, own in zip(parts, placed, of_part):
        ids += part.ids
        add(
            part.source.name, condition=np.fromiter((code[c] for c in own), np.int32, len(own)), copies=part.copies(before),
            start=found.start, length=part.lengths, size=part.lengths,
        )  # fmt: skip
    for name, rows in marked.items():
        ids += [f"{name}-{row // shape.batch}-{row % shape.batch}" for row in rows.tolist()]
        n = len(rows)
        add(
            name, condition=np.array([code[f"step {row // shape.batch}"] for row in rows.tolist()], np.int32),
            copies=np.zeros(n, np.int32), start=rows * shape.length, length=np.full(n, shape.length), size=np.zeros(n, np.int64),
        )  # fmt: skip
    joined = {key: np.concatenate(value) if value else np.empty(0, np.int64) for key, value in columns.items()}
    order = np.argsort(joined["start"], kind="stable")
    offsets = np.concatenate([[0], np.cumsum(joined["size"][order])]).astype(np.int64)
    tokens = np.empty(int(offsets[-1]), np.int32)
    place_of = np.empty(len(order), np.int64)
    place_of[order] = np.arange(len(order))
    at = 0
    for part in parts:
        n = len(part.ids)
        mine = place_of[at : at + n]
        by_start = np.argsort(mine, kind="stable")
        part.write(by_start, empty.eos, tokens, offsets[mine[by_start]])
        at += n
    record = {
        part.source.name: {
            "requested": len(part.ids) + len(part.dropped), "placed": len(part.ids), "dropped": [list(d) for d in part.dropped],
            "collisions": found.collisions, "moved": found.moved,
        }
        for part, found in zip(parts, placed)
    } | {name: {"requested": len(r), "placed": len(r), "dropped": [], "collisions": 0, "moved": 0} for name, r in marked.items()}  # fmt: skip
    return replace(
        empty, experiments=tuple(names), conditions=tuple(conditions), experiment=joined["experiment"][order].astype(np.int32),
        condition=joined["condition"][order].astype(np.int32), ids=[ids[i] for i in order.tolist()],
        copies=joined["copies"][order].astype(np.int32), start=joined["start"][order].astype(np.int64),
        length=joined["length"][order].astype(np.int64), offsets=offsets, tokens=tokens, record=record,
    )  # fmt: skip
