"""Do experiments that share one training run disturb each other? The continual-pretraining dependence test (CPDT).

From one checkpoint, a short training per arm: nothing (twice at least), the data of experiment j alone, and all of them.

    M[j, i] = Y_i(arm j) - Y_i(empty),    M[ALL, i] = Y_i(ALL) - Y_i(empty)

Diagonal: the experiment works at this dose. Off the diagonal: dependence. ALL against the diagonal: what pairs do not show.

    interval, se   paired bootstrap over the evaluation items of Y_i: both arms on the same resample
    p              2 Phi(-|M| / se); corrected over the n (n - 1) off-diagonal entries (Holm, or Benjamini-Hochberg).
                   Not the bootstrap's tail count: with 2,000 resamples that is never below .001, and no correction over many pairs
                   could then find anything
    floor          largest |Y_i(empty') - Y_i(empty)|: what another order of the same data moves
    MDE            (z[1 - alpha / 2m] + z[power]) se: the effect that would be found with this power
    margin         tolerance |M[i, i]|
    verdict        not safe: significant and above the floor. safe: the interval (at 1 - alpha / m) lies within +- the margin.
                   unknown: neither, or experiment i itself did not show, so that there is nothing to compare with

An experiment of absence cannot be tested: its row and column are blank. Limits: pairs only, one dose, a short horizon.

Source: spec 02, 2.5 (the bootstrap, the corrections, MDE, floor and positive control are ours).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.measure.rates import RESAMPLES
from antivenom.randomness import generator

__all__ = ["ALL", "Dependence", "Entry", "Outcome", "benjamini_hochberg", "dependence", "holm", "membership_statistic"]

ALL, EMPTY = "ALL", "empty"
NORMAL = NormalDist()


@dataclass(frozen=True)
class Outcome:
    """What every arm's model answered on the evaluation items of one experiment.

    Args:
        values: arm -> (n,) or (n, k): one row per evaluation item, the same items in every arm.
        statistic: rows -> Y.
        unit: of Y, in words.
        strata: (n,), resampled each within itself (members and non-members).
    """

    values: Mapping[str, np.ndarray]
    statistic: Callable[[np.ndarray], float] = np.mean
    unit: str = ""
    strata: np.ndarray | None = None


@dataclass(frozen=True)
class Entry:
    """One M[j, i]; p values of the diagonal and of ALL are not corrected with the others."""

    train: str
    test: str
    value: float
    n: int
    low: float
    high: float
    se: float
    p: float
    p_corrected: float | None = None
    minimum_detectable: float | None = None
    verdict: str | None = None


@dataclass(frozen=True)
class Dependence:
    """The matrix with its verdicts.

    Args:
        names: experiments, in order; rows are these and ALL.
        entries: (train, test) -> entry; blank for experiments of absence.
        floor: test -> largest difference of two empty runs.
        totals: test -> M[ALL, i] - M[i, i], with its interval; corrected over the experiments.
        verdict: safe / not safe / unknown, of all pairs together.
    """

    names: tuple[str, ...]
    entries: dict[tuple[str, str], Entry]
    floor: dict[str, float]
    totals: dict[str, Entry]
    verdict: str
    alpha: float
    units: dict[str, str] = field(default_factory=dict)

    @property
    def matrix(self) -> np.ndarray:
        """(n + 1, n), the last row is ALL; NaN where blank."""
        rows = [*self.names, ALL]
        table = np.full((len(rows), len(self.names)), np.nan)
        for (train, test), entry in self.entries.items():
            table[rows.index(train), self.names.index(test)] = entry.value
        return table

    def flagged(self) -> list[tuple[str, str]]:
        """The pairs (train, test) that are not safe."""
        return [pair for pair, entry in self.entries.items() if entry.verdict == "not safe"]

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "names": list(self.names), "verdict": self.verdict, "alpha": self.alpha, "floor": self.floor, "units": self.units,
            "entries": [vars(entry) for entry in self.entries.values()],
            "totals": [vars(entry) for entry in self.totals.values()],
        }  # fmt: skip


def membership_statistic(rows: np.ndarray) -> float:
    """AUC - 0.5 of rows (score, is a member)."""
    inside = rows[:, 1] > 0.5
    members, others = rows[inside, 0], np.sort(rows[~inside, 0])
    if not len(members) or not len(others):
        return float("nan")
    wins = np.searchsorted(others, members, "left") + np.searchsorted(others, members, "right")  # ties count half
    return float(wins.mean() / (2 * len(others)) - 0.5)


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's corrected p values, in the given order.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p, float)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * (len(given) - np.arange(len(given))))
    found = np.empty(len(given))
    found[order] = np.minimum(stepped, 1.0)
    return found


def benjamini_hochberg(p: Sequence[float]) -> np.ndarray:
    """Benjamini and Hochberg's corrected p values (false discovery rate), in the given order.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    given = np.asarray(p, float)
    n, order = len(given), np.argsort(-given, kind="stable")
    stepped = np.minimum.accumulate(given[order] * n / (n - np.arange(n))) if n else given
    found = np.empty(n)
    found[order] = np.minimum(stepped, 1.0)
    return found


CORRECTIONS: dict[str, Callable[[Sequence[float]], np.ndarray]] = {
    "holm": holm,
    "benjamini-hochberg": benjamini_hochberg,
}


def dependence(
    outcomes: Mapping[str, Outcome],
    *,
    empty: Sequence[str] = (EMPTY, "empty-2"),
    absent: Sequence[str] = (),
    alpha: float = 0.05,
    power: float = 0.8,
    tolerance: float = 0.25,
    correction: str = "holm",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Dependence:
    """The dependence test.

    Args:
        outcomes: experiment -> its outcome in every arm: each experiment's name, `ALL`, and the empty arms.
        empty: names of the empty arms, two at least; the first is what the matrix subtracts.
        absent: experiments of absence: no row, no column.
        alpha, power: of the tests.
        tolerance: an off-diagonal effect of up to this share of the experiment's own effect counts as harmless.
        correction: `holm` or `benjamini-hochberg`.
        seed, resamples: of the bootstrap.

    Raises:
        AntivenomError: for fewer than two empty arms, an arm that an outcome lacks, items that differ between arms, a missing value,
            or an unknown correction.
    """
    if len(set(empty)) < 2:
        raise AntivenomError(
            "a dependence test with fewer than two empty arms",
            "train the empty arm with a second seed: it is the noise floor",
        )
    if correction not in CORRECTIONS:
        raise AntivenomError(f"there is no correction '{correction}'", f"choose from: {', '.join(CORRECTIONS)}")
    names = tuple(outcomes)
    tested = [name for name in names if name not in absent]
    raw: dict[tuple[str, str], Entry] = {}
    totals, floor = {}, {}
    for test in tested:
        _check(test, outcomes[test], [*empty, *tested, ALL])
        resampled = _Resampled(test, outcomes[test], seed, resamples)
        floor[test] = max(abs(resampled.value(other) - resampled.value(empty[0])) for other in empty[1:])
        for train in [*tested, ALL]:
            raw[train, test] = resampled.entry(train, empty[0], alpha)
        totals[test] = resampled.entry(ALL, test, alpha)
    pairs = [(j, i) for j in tested for i in tested if i != j]
    corrected = dict(zip(pairs, CORRECTIONS[correction]([raw[pair].p for pair in pairs])))
    half = NORMAL.inv_cdf(1 - alpha / (2 * max(1, len(pairs))))
    entries = {}
    for pair, entry in raw.items():
        train, test = pair
        more: dict[str, Any] = {"minimum_detectable": (half + NORMAL.inv_cdf(power)) * entry.se}
        if pair in corrected:
            own = raw[test, test]
            more["p_corrected"] = float(corrected[pair])
            shows = own.p < alpha and abs(own.value) > floor[test]
            more["verdict"] = _verdict(
                entry, corrected[pair] < alpha, floor[test], half, tolerance * abs(own.value), shows
            )
        entries[pair] = Entry(**(vars(entry) | more))
    adjusted = holm([totals[test].p for test in tested])
    totals = {test: Entry(**(vars(totals[test]) | {"p_corrected": float(p)})) for test, p in zip(tested, adjusted)}
    found = {entry.verdict for pair, entry in entries.items() if pair in corrected}
    verdict = next((word for word in ("not safe", "unknown") if word in found), "safe" if found else "unknown")
    return Dependence(names, entries, floor, totals, verdict, alpha, {test: outcomes[test].unit for test in tested})


def _verdict(entry: Entry, significant: bool, floor: float, half: float, margin: float, shows: bool) -> str:
    if significant and abs(entry.value) > floor:
        return "not safe"
    within = abs(entry.value) + half * entry.se <= margin
    return "safe" if shows and within else "unknown"


def _check(test: str, outcome: Outcome, arms: Sequence[str]) -> None:
    if lacking := [arm for arm in arms if arm not in outcome.values]:
        raise AntivenomError(
            f"experiment '{test}' was not measured in the arm '{lacking[0]}'",
            "measure every arm on every experiment's items",
        )
    shapes = {np.shape(outcome.values[arm]) for arm in arms}
    if len(shapes) > 1 or not next(iter(shapes)) or next(iter(shapes))[0] == 0:
        raise AntivenomError(
            f"experiment '{test}' has the items {sorted(shapes)} in its arms", "measure the same items in every arm"
        )
    if missing := [arm for arm in arms if np.isnan(np.asarray(outcome.values[arm], float)).any()]:
        raise AntivenomError(
            f"experiment '{test}' has missing values in the arm '{missing[0]}'",
            "leave such items out of every arm, and say how many",
        )


class _Resampled:
    """One experiment's items, resampled alike in every arm."""

    def __init__(self, test: str, outcome: Outcome, seed: int, resamples: int):
        self.test, self.outcome = test, outcome
        self.arms = {arm: np.asarray(values, float) for arm, values in outcome.values.items()}
        self.n = len(next(iter(self.arms.values())))
        strata = np.zeros(self.n, int) if outcome.strata is None else np.asarray(outcome.strata)
        groups = [np.flatnonzero(strata == one) for one in np.unique(strata)]
        draw = generator(seed, "dependence", test)
        self.picks = [
            np.concatenate([group[draw.integers(0, len(group), len(group))] for group in groups])
            for _ in range(resamples)
        ]
        self.found: dict[str, np.ndarray] = {}

    def value(self, arm: str) -> float:
        return float(self.outcome.statistic(self.arms[arm]))

    def draws(self, arm: str) -> np.ndarray:
        if arm not in self.found:
            values = self.arms[arm]
            self.found[arm] = np.array([self.outcome.statistic(values[pick]) for pick in self.picks], float)
        return self.found[arm]

    def entry(self, arm: str, against: str, alpha: float) -> Entry:
        value = self.value(arm) - self.value(against)
        moved = self.draws(arm) - self.draws(against)
        moved = moved[~np.isnan(moved)]
        se = float(moved.std(ddof=1)) if len(moved) > 1 else float("nan")
        se = 0.0 if se < 1e-12 else se  # the same difference on every item
        low, high = np.quantile(moved, [alpha / 2, 1 - alpha / 2])
        p = 2 * NORMAL.cdf(-abs(value) / se) if se else float(abs(value) < 1e-12)
        return Entry(arm, self.test, value, self.n, float(low), float(high), se, p)
