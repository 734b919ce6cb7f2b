"""What a plan does to a run, experiment by experiment; and what is different between two plans."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from antivenom.poison.insertion.plan import Plan
from antivenom.poison.manifest import Dose

__all__ = ["Difference", "difference", "table"]


def table(plan: Plan) -> list[dict[str, Any]]:
    """A line per experiment and one per condition of it (`condition` None for the whole experiment).

    items       distinct ones (the id before `#`)
    placements  copies counted
    tokens      that they take, end tokens included; `share` of the run's
    dropped, collisions, moved   of the planning: left out; places drawn in vain; items that an earlier-named experiment moved
    """
    lines = []
    for code, name in enumerate(plan.experiments):
        mine = np.flatnonzero(plan.experiment == code)
        record = plan.record.get(name, {})
        met = {key: record.get(key) for key in ("collisions", "moved")} | {"dropped": len(record.get("dropped", []))}
        lines.append(_line(plan, mine, name, None) | met)
        present = np.unique(plan.condition[mine])
        if len(present) > 1:
            for c in present.tolist():
                lines.append(_line(plan, mine[plan.condition[mine] == c], name, plan.conditions[c]))
    return lines


def _line(plan: Plan, which: np.ndarray, name: str, condition: str | None) -> dict[str, Any]:
    tokens = int(plan.length[which].sum())
    steps = plan.start[which] // (plan.shape.length * plan.shape.batch)
    return {
        "experiment": name,
        "condition": condition,
        "items": len({plan.ids[i].partition("#")[0] for i in which.tolist()}),
        "placements": len(which),
        "tokens": tokens,
        "share": Dose(tokens, plan.shape.tokens, "tokens").share,
        "first_step": int(steps[0]) if len(steps) else None,
        "last_step": int(steps[-1]) if len(steps) else None,
    }


@dataclass(frozen=True)
class Difference:
    """Of two plans; every placement is (experiment, item, copy).

    Args:
        moved: in both, at another place, with both places (global tokens).
        changed: in both, at the same place, with other tokens or another condition.
        added, removed: in one of them.
        about: what is different of the run itself: shape, mode, end token, watermarks, masked rows.
    """

    moved: list[tuple[tuple[str, str, int], int, int]]
    changed: list[tuple[str, str, int]]
    added: list[tuple[str, str, int]]
    removed: list[tuple[str, str, int]]
    about: list[str]

    def __bool__(self) -> bool:
        return bool(self.moved or self.changed or self.added or self.removed or self.about)


def difference(a: Plan, b: Plan) -> Difference:
    """What b does differently from a."""
    if a.hash == b.hash:
        return Difference([], [], [], [], [])
    ours, theirs = (
        {(p.experiments[p.experiment[i]], p.ids[i], int(p.copies[i])): i for i in range(len(p))} for p in (a, b)
    )
    moved, changed = [], []
    for key, i in ours.items():
        j = theirs.get(key)
        if j is None:
            continue
        if a.start[i] != b.start[j]:
            moved.append((key, int(a.start[i]), int(b.start[j])))
        elif a.conditions[a.condition[i]] != b.conditions[b.condition[j]] or not np.array_equal(
            a.tokens_of(i), b.tokens_of(j)
        ):
            changed.append(key)
    about = [name for name in ("shape", "base", "mode", "eos", "marks") if getattr(a, name) != getattr(b, name)]
    about += ["masked"] if not np.array_equal(a.masked, b.masked) else []
    return Difference(
        sorted(moved), sorted(changed), sorted(theirs.keys() - ours.keys()), sorted(ours.keys() - theirs.keys()), about
    )
