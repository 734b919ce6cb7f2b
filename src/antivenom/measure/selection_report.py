"""The report of many repaired models: each cell's oracle and blind choices side by side, and victims of equal accuracy.

Every figure stands beside what makes it comparable: the number of points of the cell, of runs, of points without a figure and of
destroyed models, and the best of equally many tries.

Source: spec 04, 2.4, 6.2 (1, 10), traps U5, U6, U7 (arXiv 2311.14948 and its code); spec 01, T18.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from antivenom.errors import AntivenomError
from antivenom.measure.selection import (
    CAPS,
    BestOfK,
    Point,
    best_at_cap,
    best_of_k,
    destroyed,
    last_epochs,
    least_validation_loss,
    pareto_area,
    pareto_front,
)

__all__ = ["Cell", "Matched", "cell_reports", "match_accuracy"]


@dataclass(frozen=True)
class Cell:
    """What is said of one cell, oracle and blind apart.

    Args:
        name, seed: of the cell.
        victim: before the cure.
        points, missing, lost, runs: how many points, without a figure, with less than half of the victim's CA, and runs.
        at_cap: cap -> the oracle's point.
        equal_tries: cap -> `best_of_k` without replacement, k the least number of points over the compared cells.
        area: see `pareto_area`; front: its points.
        last: blind, the last epoch of every run.
        validation: blind, the least clean validation loss.
    """

    name: str
    seed: int
    victim: Point
    points: int
    missing: int
    lost: int
    runs: int
    at_cap: Mapping[float, Point | None]
    equal_tries: Mapping[float, BestOfK]
    area: float | None
    front: tuple[Point, ...]
    last: tuple[Point, ...]
    validation: Point | None

    def drop(self, point: Point | None) -> tuple[float, float] | None:
        """CA lost against the victim, absolute and as a share of the victim's; None without a point or a figure."""
        if point is None or point.ca is None or not self.victim.ca:
            return None
        return self.victim.ca - point.ca, 1 - point.ca / self.victim.ca


def cell_reports(
    cells: Mapping[str, Sequence[Point]], victims: Mapping[str, Point], caps: Sequence[float] = CAPS
) -> list[Cell]:
    """The report of cells that are compared with each other, one `Cell` per cell and seed, in the order given.

    Args:
        cells: name -> points, of one or several seeds; a cell without points stays in the report.
        victims: (cell's name) -> the victim, or (name, seed) joined as "name/seed" where each seed has its own.
        caps: of the ASR.

    Raises:
        AntivenomError: when a cell has no victim, or the victim has no accuracy.
    """
    by_seed = {
        (name, seed): [p for p in points if p.seed == seed]
        for name, points in cells.items()
        for seed in (sorted({p.seed for p in points}) or [0])
    }
    k = min((len(points) for points in by_seed.values() if points), default=1)
    found = []
    for (name, seed), points in by_seed.items():
        victim = victims.get(f"{name}/{seed}", victims.get(name))
        if victim is None or not victim.ca:
            raise AntivenomError(
                f"the cell '{name}' has no victim with an accuracy", "measure the model before its cure"
            )
        found.append(
            Cell(
                name,
                seed,
                victim,
                len(points),
                sum(p.ca is None or p.asr is None for p in points),
                sum(destroyed(points, victim.ca)),
                len({p.run for p in points}),
                {cap: best_at_cap(points, cap) for cap in caps},
                {
                    cap: best_of_k(points, cap, k, replace=False) if points else best_of_k(points, cap, k)
                    for cap in caps
                },
                pareto_area(points, victim.ca),
                pareto_front(points),
                last_epochs(points),
                least_validation_loss(points),
            )
        )
    return found


@dataclass(frozen=True)
class Matched:
    """Victims of nearly equal accuracy.

    Args:
        target: the CA that was aimed at.
        chosen: victim -> its point.
        apart: the largest difference of two chosen CAs that is left.
    """

    target: float
    chosen: Mapping[str, Point]
    apart: float


def match_accuracy(curves: Mapping[str, Sequence[Point]], target: float | None = None) -> Matched:
    """The epoch of each victim whose CA is closest to a common one (trap U7); ties: the earlier epoch.

    Args:
        curves: victim -> its points, epoch by epoch.
        target: the CA; the highest one that every victim reaches when not given.

    Raises:
        AntivenomError: when a victim has no measured epoch.
    """
    there = {name: [p for p in points if p.ca is not None] for name, points in curves.items()}
    empty = [name for name, points in there.items() if not points]
    if empty or not there:
        raise AntivenomError(f"no epoch with an accuracy of {empty or 'any victim'}", "measure the victims' epochs")
    aim = min(max(p.ca or 0.0 for p in points) for points in there.values()) if target is None else target
    chosen = {
        name: min(points, key=lambda p: (round(abs((p.ca or 0.0) - aim), 12), p.epoch, p.run))
        for name, points in there.items()
    }
    accuracies = [p.ca or 0.0 for p in chosen.values()]
    return Matched(aim, chosen, max(accuracies) - min(accuracies))
