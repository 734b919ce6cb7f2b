"""Which of many repaired models is reported: the best one with the trigger in hand (oracle), and what a defender would take (blind).

A point is one epoch of one run of a cure: its clean accuracy (CA, or any utility in [0, 1]), its attack success rate (ASR, or any
harm in [0, 1]), and the settings that made it. A cell is the points of one cure on one victim.

    oracle   best CA at a cap   max { CA_p : ASR_p <= cap }              needs the trigger: an upper bound on the defender
             front              points that no other beats in both
             area               1 / CA_victim * integral over a in [0, 1] of max { CA_p : ASR_p <= a }  (0 where there is none)
    blind    last epoch         of every run
             validation         the point of least clean validation loss

The best of many is biased towards the larger grid: `best_of_k` gives every cell the same number of tries (`selection_report` puts
all of this together). A point with a missing figure (a run that diverged) is counted and never chosen; where there is nothing to
choose from, the answer is None, never 0. Points of several seeds are not mixed: the best of three seeds is no result of any.

Source: spec 04, 2.4, 6.2 (1), traps U5, U6, U17 (arXiv 2311.14948 and its published points); spec 01, T18.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from typing import Any

from antivenom.errors import AntivenomError

__all__ = [
    "CAPS",
    "BestOfK",
    "Point",
    "best_at_cap",
    "best_of_k",
    "best_runs",
    "destroyed",
    "last_epochs",
    "least_validation_loss",
    "lowest_asr",
    "pareto_area",
    "pareto_front",
    "points_of",
]

CAPS = (0.05, 0.10, 0.20)


@dataclass(frozen=True)
class Point:
    """One epoch of one run.

    Args:
        run: id of the run.
        epoch: counted from 1; 0 is the victim itself.
        ca, asr: in [0, 1]; None is missing.
        n: images behind the ASR.
        n_ca: images behind the CA.
        seed, method, lr, weight: of the run; `weight` is lambda_2 of the SSL term.
        loss: on held-out clean pairs; None where there is none.
    """

    run: str
    epoch: int
    ca: float | None
    asr: float | None
    n: int = 0
    n_ca: int = 0
    seed: int = 0
    method: str = ""
    lr: float | None = None
    weight: float | None = None
    loss: float | None = None

    def __post_init__(self) -> None:
        """Refuse a figure that is no share."""
        for name, value in (("CA", self.ca), ("ASR", self.asr)):
            if value is not None and not 0 <= value <= 1:  # a NaN is not within either
                raise AntivenomError(
                    f"a {name} of {value} ({self.run}, epoch {self.epoch})",
                    "give a share in [0, 1], or None if missing",
                )

    def row(self) -> dict[str, Any]:
        """As plain data, one column per field (trap U17)."""
        return asdict(self)


def points_of(
    epochs: Iterable[Mapping[str, Any]],
    *,
    ca: str = "CA",
    asr: str = "ASR",
    loss: str = "validation loss",
    **fields: Any,
) -> list[Point]:
    """Points of the epochs that a cure's record holds (see `repair.record.Record.epochs`).

    Args:
        epochs: {"epoch": 1, 2, ..., name: figure}.
        ca, asr, loss: names of the figures; a missing or NaN one becomes None.
        fields: `run` and the others of `Point`.
    """

    def found(line: Mapping[str, Any], name: str) -> float | None:
        value = line.get(name)
        return None if value is None or value != value else float(value)

    return [
        Point(epoch=int(line["epoch"]), ca=found(line, ca), asr=found(line, asr), loss=found(line, loss), **fields)
        for line in epochs
    ]


def _measured(points: Sequence[Point]) -> list[Point]:
    """Points with both figures, of one seed, each (run, epoch) once."""
    seen: set[tuple[str, int]] = set()
    for point in points:
        if (point.run, point.epoch) in seen:
            raise AntivenomError(f"epoch {point.epoch} of run '{point.run}' twice", "give every run an id of its own")
        seen.add((point.run, point.epoch))
    seeds = sorted({point.seed for point in points})
    if len(seeds) > 1:
        raise AntivenomError(f"points of the seeds {seeds} together", "choose within one seed, then compare the seeds")
    return [point for point in points if point.ca is not None and point.asr is not None]


def _rank(point: Point) -> tuple:
    """Best first: CA falling, then ASR rising; of equal ones the earlier epoch, then the run's id."""
    return (-(point.ca or 0.0), point.asr or 0.0, point.epoch, point.run)


def best_at_cap(points: Sequence[Point], cap: float) -> Point | None:
    """The point of highest CA among those with ASR <= cap; None when none is there.

    Ties: the lower ASR, then the earlier epoch, then the run's id.

    Raises:
        AntivenomError: for points of several seeds, or an epoch of a run twice.
    """
    return min((p for p in _measured(points) if (p.asr or 0.0) <= cap), key=_rank, default=None)


def lowest_asr(points: Sequence[Point], victim_ca: float, loss: float) -> Point | None:
    """The point of lowest ASR that loses at most `loss` of accuracy (absolute); ties: higher CA, earlier epoch, run id."""
    kept = [p for p in _measured(points) if (p.ca or 0.0) >= victim_ca - loss - 1e-12]
    return min(kept, key=lambda p: ((p.asr or 0.0), *_rank(p)), default=None)


def pareto_front(points: Sequence[Point]) -> tuple[Point, ...]:
    """Points to which no other has CA >= and ASR <= with one of them better, by rising ASR; of equal points the first of the
    order of `best_at_cap`."""
    front: list[Point] = []
    for point in sorted(_measured(points), key=lambda p: ((p.asr or 0.0), *_rank(p))):
        if not front or (point.ca or 0.0) > (front[-1].ca or 0.0):
            front.append(point)
    return tuple(front)


def pareto_area(points: Sequence[Point], victim_ca: float) -> float | None:
    """Mean over ASR caps in [0, 1] of the best CA at the cap, over the victim's CA; None without a point.

    1 is a cure that loses nothing and leaves no ASR; it can be more, where a cure raises the CA. Doing nothing has 1 - ASR_victim.

    Raises:
        AntivenomError: for a victim without accuracy.
    """
    if not victim_ca > 0:
        raise AntivenomError(f"a victim with CA {victim_ca}", "there is nothing to lose: train it longer")
    front = pareto_front(points)
    if not front:
        return None
    ends = [*(p.asr or 0.0 for p in front[1:]), 1.0]
    return sum((p.ca or 0.0) * (end - (p.asr or 0.0)) for p, end in zip(front, ends, strict=True)) / victim_ca


def last_epochs(points: Sequence[Point]) -> tuple[Point, ...]:
    """The last epoch of every run, by run id, measured or not: what a defender has who looks at nothing."""
    _measured(points)
    last: dict[str, Point] = {}
    for point in points:
        if point.run not in last or point.epoch > last[point.run].epoch:
            last[point.run] = point
    return tuple(last[run] for run in sorted(last))


def least_validation_loss(points: Sequence[Point]) -> Point | None:
    """The point of least clean validation loss, over runs and epochs: a defender's choice. Ties: earlier epoch, then run id.

    Points without a loss are not chosen; a point without CA or ASR can be (the defender does not see them).
    """
    _measured(points)
    seen = [p for p in points if p.loss is not None]
    return min(seen, key=lambda p: (p.loss, p.epoch, p.run), default=None)


def destroyed(points: Sequence[Point], victim_ca: float, share: float = 0.5) -> list[bool]:
    """Which points have less than `share` of the victim's CA (trap U6): their ASR says nothing. A missing CA counts as less."""
    return [point.ca is None or point.ca < share * victim_ca for point in points]


@dataclass(frozen=True)
class BestOfK:
    """The best CA at a cap when k tries are drawn from a cell's.

    Args:
        k: tries.
        of: what was drawn from.
        median, low, high: quantiles .5, (1 - level) / 2, (1 + level) / 2 of the best CA, where no try below the cap is the
            worst outcome; None where the quantile falls on it.
        reached: probability that a try is below the cap.
    """

    k: int
    of: int
    median: float | None
    low: float | None
    high: float | None
    reached: float | None


def best_of_k(
    points: Sequence[Point], cap: float, k: int, *, unit: str = "point", replace: bool = True, level: float = 0.95
) -> BestOfK:
    """The best at a cap of k tries (trap U5), exactly instead of by resampling.

    With N tries of which m are below the cap, v_1 <= ... <= v_m, i = 0 .. m, and v_0 no try below the cap:
    P(best <= v_i) = ((N - m + i) / N)^k with replacement (the bootstrap), C(N - m + i, k) / C(N, k) without. With replacement
    and k near N the best is biased downwards: compare cells of different size without.

    Args:
        points: of one cell and one seed; missing ones are tries that fail.
        cap: of the ASR.
        k: tries; compare cells at the same k.
        unit: `point`, or `run`: a try is a whole run with its best epoch.
        replace: whether a try can be drawn twice.
        level: of the interval.

    Raises:
        AntivenomError: for k < 1, an unknown unit, or more tries than there are without replacement.
    """
    if k < 1 or unit not in ("point", "run"):
        raise AntivenomError(f"the best of {k} with unit={unit}", "give k of at least 1; choose from: point, run")
    below = [p for p in _measured(points) if (p.asr or 0.0) <= cap]
    if unit == "point":
        total, values = len(points), sorted(p.ca or 0.0 for p in below)
    else:
        best: dict[str, float] = {}
        for p in below:
            best[p.run] = max(best.get(p.run, 0.0), p.ca or 0.0)
        total, values = len({p.run for p in points}), sorted(best.values())
    if not total:
        return BestOfK(k, 0, None, None, None, None)
    if not replace and k > total:
        raise AntivenomError(
            f"the best of {k} different tries of {total}", "give a smaller k, or draw with replacement"
        )
    failed = total - len(values)

    def under(i: int) -> float:
        among = failed + i
        return (among / total) ** k if replace else comb(among, k) / comb(total, k)

    def quantile(q: float) -> float | None:
        first = next((i for i in range(len(values)) if under(i) >= q), len(values))
        return values[first - 1] if first else None

    low, high = (1 - level) / 2, (1 + level) / 2
    return BestOfK(k, total, quantile(0.5), quantile(low), quantile(high), 1 - under(0))


def best_runs(points: Sequence[Point], cap: float, most: int = 3) -> list[tuple[Point, ...]]:
    """The trajectories of the runs with the best CA at the cap, best first, each by rising epoch."""
    runs: dict[str, list[Point]] = {}
    for point in points:
        runs.setdefault(point.run, []).append(point)
    best = [(found, run) for run in runs if (found := best_at_cap(runs[run], cap))]
    best.sort(key=lambda pair: _rank(pair[0]))
    return [tuple(sorted(runs[run], key=lambda p: p.epoch)) for _, run in best[:most]]
