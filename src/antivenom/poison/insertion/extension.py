"""More items for a plan, in steps that are still to come: the control loop's insertions beside the ones that were planned before.

Both share one record of what is taken (spec 02, trap 2); what is handed over is placed, or there is an error (traps 1, 3).
"""

from dataclasses import replace

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.insertion.checks import check_capacity, check_controls_of_all, check_fixed, refuse_dropped
from antivenom.poison.insertion.placing import keys_of
from antivenom.poison.insertion.plan import Plan
from antivenom.poison.insertion.planner import assembled, placed_beside
from antivenom.poison.insertion.sequences import Prepared, Sequences, prepare, ragged
from antivenom.poison.insertion.shape import Range
from antivenom.poison.lm_experiments.material import Material

__all__ = ["extended"]


def extended(
    before: Plan,
    material: Material | Sequences,
    begin_step: int,
    end_step: int,
    *,
    wrap: bool = True,
    repetitions: float = 1.0,
) -> Plan:
    """See `Plan.extend`."""
    shape, name = before.shape, material.name
    if before.mode == "insert":
        raise AntivenomError(
            "a plan that inserts cannot be extended: the run would get longer", "plan with mode='replace'"
        )
    if name in before.marks:
        raise AntivenomError(f"'{name}' is a watermark", "give the items another experiment's name")
    begin, end = Range(begin_step, end_step, "steps").rows(shape)
    if isinstance(material, Material):
        check_controls_of_all([material], before)
    part = prepare(
        Sequences.of(material),
        length=shape.length,
        eos=before.eos,
        seed=before.seed,
        wrap=wrap,
        repetitions=repetitions,
    )
    refuse_dropped([part], shape, False)
    own = [before.ids[i] for i in before.of(name).tolist()] if name in before.experiments else []
    _refuse(part, own, begin * shape.length, end * shape.length)
    window = np.full(len(part.ids), begin), np.full(len(part.ids), end)
    fixed = check_fixed([part], {}, shape, before.masked, False, before)
    check_capacity([part], [window], before, fixed)
    keys = keys_of(before.seed, name, f"segment {begin_step}", part.ids, len(part.ids))
    taken = before.taken.joined(fixed.starts, fixed.ends)
    found, _ = placed_beside(part, keys, *window, taken, taken, shape)
    empty = replace(before, marks={}, ids=[], experiments=(), conditions=())
    return _merged(before, assembled(empty, [part], [found], {}, own))


def _refuse(part: Prepared, own: list[str], begin: int, end: int) -> None:
    name, there = part.source.name, set(own)
    if again := next((key for key in part.ids if key in there), None):
        raise AntivenomError(f"item '{again}' of '{name}' is in the plan already", "give every copy an id of its own")
    outside = np.flatnonzero((part.start >= 0) & ((part.start < begin) | (part.start >= end)))
    if len(outside):
        raise AntivenomError(
            f"item '{part.ids[outside[0]]}' has its place outside of the segment", "give it one inside"
        )


def _merged(before: Plan, added: Plan) -> Plan:
    both = (before, added)
    experiments = sorted({*before.experiments, *added.experiments})
    conditions = sorted({*before.conditions, *added.conditions})

    def codes(names: list[str], own: tuple[str, ...], column: np.ndarray) -> np.ndarray:
        return np.array([names.index(name) for name in own], np.int32)[column] if len(column) else column

    start = np.concatenate([one.start for one in both])
    order = np.argsort(start, kind="stable")
    sizes = np.concatenate([np.diff(one.offsets) for one in both])[order]
    begins = np.concatenate([before.offsets[:-1], added.offsets[:-1] + before.offsets[-1]])[order]
    ids = [*before.ids, *added.ids]
    name = added.experiments[0]
    new, old = added.record[name], before.record.get(name)
    return replace(
        before,
        experiments=tuple(experiments),
        conditions=tuple(conditions),
        experiment=np.concatenate([codes(experiments, one.experiments, one.experiment) for one in both])[order],
        condition=np.concatenate([codes(conditions, one.conditions, one.condition) for one in both])[order],
        ids=[ids[i] for i in order.tolist()],
        copies=np.concatenate([one.copies for one in both])[order],
        start=start[order],
        length=np.concatenate([one.length for one in both])[order],
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        tokens=np.concatenate([one.tokens for one in both])[ragged(begins, sizes)],
        record={**before.record, name: new if old is None else {key: old[key] + new[key] for key in new}},
        lineage=(*before.lineage, before.hash),
    )
