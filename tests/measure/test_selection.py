"""Choosing among repaired models, against brute force on hand-made and random points (spec 04, 6.2: 1 and 10)."""

import itertools

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.measure.selection import (
    Point,
    best_at_cap,
    best_of_k,
    best_runs,
    destroyed,
    last_epochs,
    least_validation_loss,
    lowest_asr,
    pareto_area,
    pareto_front,
    points_of,
)
from antivenom.measure.selection_report import cell_reports, match_accuracy


def point(ca, asr, run="a", epoch=1, **more):
    return Point(run, epoch, ca, asr, **more)


def random_points(seed, n=25):
    """On a coarse grid, so that ties and copies are there."""
    draw = np.random.default_rng(seed)
    return [
        point(float(ca) / 10, float(asr) / 10, run=f"r{i % 5}", epoch=1 + i // 5)
        for i, (ca, asr) in enumerate(draw.integers(0, 11, (n, 2)))
    ]


HAND = [point(0.8, 0.9, "a", 1), point(0.7, 0.3, "a", 2), point(0.7, 0.05, "b", 1), point(0.6, 0.02, "b", 2)]


def test_by_hand():
    assert best_at_cap(HAND, 0.05) == HAND[2]  # the cap itself is within
    assert best_at_cap(HAND, 0.04) == HAND[3]
    assert best_at_cap(HAND, 1.0) == HAND[0]
    assert pareto_front(HAND) == (HAND[3], HAND[2], HAND[0])
    # caps .02 - .05: .6, .05 - .9: .7, .9 - 1: .8, below .02 nothing
    assert pareto_area(HAND, 0.8) == pytest.approx((0.03 * 0.6 + 0.85 * 0.7 + 0.1 * 0.8) / 0.8)
    assert pareto_area([point(0.8, 0.9)], 0.8) == pytest.approx(1 - 0.9)  # doing nothing
    assert lowest_asr(HAND, 0.8, 0.1) == HAND[2]
    assert lowest_asr(HAND, 0.8, 0.05) == HAND[0]


@pytest.mark.parametrize("seed", range(8))
def test_equal_brute_force(seed):
    points = random_points(seed)
    for cap in np.linspace(0, 1, 21):
        kept = [p for p in points if p.asr <= cap]
        found = best_at_cap(points, cap)
        assert (found is None) == (not kept)
        if kept:
            assert found.ca == max(p.ca for p in kept)
            assert found.asr == min(p.asr for p in kept if p.ca == found.ca)
        for loss in (0.0, 0.1, 0.3):
            close = [p for p in points if p.ca >= 0.6 - loss - 1e-12]
            assert lowest_asr(points, 0.6, loss).asr == min(p.asr for p in close)
    front = {(p.ca, p.asr) for p in pareto_front(points)}
    assert front == {
        (p.ca, p.asr)
        for p in points
        if not any(q.ca >= p.ca and q.asr <= p.asr and (q.ca, q.asr) != (p.ca, p.asr) for q in points)
    }
    assert len(front) == len(pareto_front(points))
    steps = (np.arange(100_000) + 0.5) / 100_000
    best = [max((p.ca for p in points if p.asr <= a), default=0.0) for a in np.arange(0.05, 1, 0.1)]
    assert pareto_area(points, 0.7) == pytest.approx(np.interp(steps, steps, np.repeat(best, 10_000)).mean() / 0.7)
    shuffled = [points[i] for i in np.random.default_rng(0).permutation(len(points))]
    assert best_at_cap(shuffled, 0.3) == best_at_cap(points, 0.3)
    assert pareto_front(shuffled) == pareto_front(points)


def test_ties_have_one_answer():
    same = [point(0.5, 0.1, "b", 2), point(0.5, 0.1, "a", 2), point(0.5, 0.1, "c", 1), point(0.5, 0.2, "d", 1)]
    for order in itertools.permutations(same):
        assert best_at_cap(order, 0.3) == same[2]  # lower ASR, then the earlier epoch
        assert pareto_front(order) == (same[2],)
        assert best_at_cap([p for p in order if p.run != "c"], 0.3) == same[1]  # then the run's id


def test_nothing_is_none_and_never_0():
    assert best_at_cap([], 0.05) is None
    assert best_at_cap(HAND[:1], 0.05) is None
    assert lowest_asr(HAND[3:], 0.8, 0.1) is None
    assert pareto_front([]) == last_epochs([]) == ()
    assert pareto_area([], 0.8) is None
    assert least_validation_loss(HAND) is None  # no loss was given
    assert best_of_k([], 0.05, 3).median is best_of_k([], 0.05, 3).reached is None
    never = best_of_k(HAND[:2], 0.05, 100)
    assert (never.median, never.low, never.high, never.reached) == (None, None, None, 0)


def test_a_missing_figure_is_counted_and_never_a_repair():
    broken = [*HAND, point(None, 0.0, "c"), point(0.9, None, "d")]
    assert best_at_cap(broken, 0.05) == HAND[2]
    assert pareto_front(broken) == pareto_front(HAND)
    (cell,) = cell_reports({"x": broken}, {"x": point(0.8, 0.95, epoch=0)})
    assert (cell.points, cell.missing, cell.runs) == (6, 2, 4)
    assert [p.run for p in cell.last] == ["a", "b", "c", "d"]
    assert best_of_k(broken, 0.05, 1).reached == pytest.approx(2 / 6)  # a try that failed is a try


def test_blind_choices_do_not_look_at_the_trigger():
    draw = np.random.default_rng(3)
    points = [
        Point(f"r{run}", epoch, 0.8, float(draw.random()), loss=loss)
        for run, losses in enumerate([(2.0, 1.0, 1.5), (1.9, 1.0, 0.9)])
        for epoch, loss in enumerate(losses, 1)
    ]
    other = [Point(p.run, p.epoch, p.ca, 1 - p.asr, loss=p.loss) for p in points]
    for those in (points, other):
        assert [(p.run, p.epoch) for p in last_epochs(those)] == [("r0", 3), ("r1", 3)]
        chosen = least_validation_loss(those)
        assert (chosen.run, chosen.epoch) == ("r1", 3)
    assert best_at_cap(points, 1.0) != best_at_cap(other, 1.0)
    tied = [Point("b", 2, 0.1, 0.1, loss=1.0), Point("a", 2, 0.1, 0.1, loss=1.0), Point("z", 1, 0.1, 0.1, loss=1.0)]
    assert least_validation_loss(tied).run == "z"
    assert least_validation_loss(tied[:2]).run == "a"


def test_a_destroyed_model_is_masked():  # U6
    points = [
        point(0.41, 0.0, epoch=1),
        point(0.39, 0.0, epoch=2),
        point(0.005, 0.0, epoch=3),
        point(None, None, epoch=4),
    ]
    assert destroyed(points, 0.8) == [False, True, True, True]
    (cell,) = cell_reports({"x": points}, {"x": point(0.8, 0.9)})
    assert cell.lost == 3


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("unit", ["point", "run"])
def test_the_best_of_k_is_its_resampling(unit, replace):  # U5
    points, cap, k = random_points(4), 0.2, 5
    draw = np.random.default_rng(0)
    if unit == "point":
        tries = [p.ca if p.asr <= cap else -1.0 for p in points]
    else:
        runs = sorted({p.run for p in points})
        tries = [max((p.ca for p in points if p.run == run and p.asr <= cap), default=-1.0) for run in runs]
    best = np.array([max(draw.choice(tries, k, replace=replace)) for _ in range(20_000)])
    found = best_of_k(points, cap, k, unit=unit, replace=replace, level=0.8)
    assert found.of == len(tries)
    assert found.reached == pytest.approx((best >= 0).mean(), abs=0.01)
    for q, value in ((0.5, found.median), (0.1, found.low), (0.9, found.high)):
        assert (-1.0 if value is None else value) == np.quantile(best, q, method="inverted_cdf")


def test_all_of_a_cell_without_replacement_is_its_best():
    points = random_points(1)
    found = best_of_k(points, 0.4, len(points), replace=False)
    assert found.low == found.median == found.high == best_at_cap(points, 0.4).ca
    for k, options, match in (
        (0, {}, "best of 0"),
        (1, {"unit": "seed"}, "unit=seed"),
        (26, {"replace": False}, "26 different tries of 25"),
    ):
        with pytest.raises(AntivenomError, match=match):
            best_of_k(points, 0.4, k, **options)


def test_the_larger_grid_wins_the_plain_best_and_not_at_equal_tries():
    draw = np.random.default_rng(5)
    plain, equal = [], []
    for _ in range(40):
        cells = {name: [point(float(ca), 0.0, f"{i}") for i, ca in enumerate(draw.random(n))] for name, n in SIZES}
        found = cell_reports(cells, {name: point(1.0, 1.0) for name, _ in SIZES}, caps=[0.1])
        assert [(c.points, c.equal_tries[0.1].k) for c in found] == [(200, 10), (10, 10)]
        plain.append([c.at_cap[0.1].ca for c in found])
        equal.append([c.equal_tries[0.1].median for c in found])
    ahead, fair = (np.mean(x, axis=0) @ [1, -1] for x in (plain, equal))
    assert ahead > 0.07  # 200 / 201 - 10 / 11 in expectation
    assert abs(fair) < 0.04


SIZES = (("large", 200), ("small", 10))


def test_seeds_are_not_mixed():
    two = [point(0.8, 0.0, "a", seed=1), point(0.9, 0.0, "b", seed=2)]
    for choose in (lambda: best_at_cap(two, 1), lambda: pareto_front(two), lambda: last_epochs(two)):
        with pytest.raises(AntivenomError, match=r"seeds \[1, 2\]"):
            choose()
    cells = cell_reports({"x": two}, {"x/1": point(0.8, 1.0), "x/2": point(0.6, 1.0)})
    assert [(c.seed, c.victim.ca, c.at_cap[0.05].ca) for c in cells] == [(1, 0.8, 0.8), (2, 0.6, 0.9)]
    assert cells[1].drop(cells[1].at_cap[0.05]) == pytest.approx((-0.3, -0.5))
    assert cells[1].drop(None) is None


def test_the_report_of_an_empty_cell_says_none():
    (cell,) = cell_reports({"x": []}, {"x": point(0.8, 0.9)})
    assert (cell.points, cell.at_cap[0.05], cell.area, cell.validation) == (0, None, None, None)
    with pytest.raises(AntivenomError, match="no victim"):
        cell_reports({"x": HAND}, {})


def test_refusals():
    with pytest.raises(AntivenomError, match="twice"):
        best_at_cap([HAND[0], HAND[0]], 0.5)
    for bad in (1.2, -0.1, float("nan")):
        with pytest.raises(AntivenomError, match="a CA of"):
            point(bad, 0.5)
        with pytest.raises(AntivenomError, match="ASR of"):
            point(0.5, bad)
    with pytest.raises(AntivenomError, match="victim with CA 0"):
        pareto_area(HAND, 0)


def test_points_of_a_record_are_tidy():  # U17
    lines = [
        {"epoch": 1, "CA": 0.5, "ASR": 0.9, "validation loss": 2.0},
        {"epoch": 2, "CA": float("nan"), "ASR": 0.0},
    ]
    first, second = points_of(lines, run="x", seed=3, lr=1e-3, weight=1.0, n=900, n_ca=1000, method="cleanclip")
    assert first.row() == {
        "run": "x", "epoch": 1, "ca": 0.5, "asr": 0.9, "n": 900, "n_ca": 1000, "seed": 3, "method": "cleanclip",
        "lr": 1e-3, "weight": 1.0, "loss": 2.0,
    }  # fmt: skip
    assert (second.ca, second.asr, second.loss) == (None, 0.0, None)


def test_trajectories_of_the_best_runs():
    points = random_points(2)
    found = best_runs(points, 0.3, most=2)
    runs = {run: [p for p in points if p.run == run and p.asr <= 0.3] for run in {p.run for p in points}}
    order = sorted((max(p.ca for p in kept), run) for run, kept in runs.items() if kept)
    assert max(p.ca for p in found[0] if p.asr <= 0.3) == order[-1][0]
    assert max(p.ca for p in found[1] if p.asr <= 0.3) == order[-2][0]
    assert [p.epoch for p in found[0]] == [1, 2, 3, 4, 5]


def test_matched_accuracy_picks_the_documented_epochs():  # U7
    def curve(values):
        return [Point("v", e, ca, 0.9) for e, ca in enumerate(values, 1)]

    curves = {"mmcl": curve([0.1, 0.22, 0.2376, 0.25]), "mmcl+ssl": curve([0.05, 0.15, 0.2386, 0.2385])}
    found = match_accuracy(curves)
    assert found.target == 0.2386  # the highest CA that both reach
    assert {name: p.epoch for name, p in found.chosen.items()} == {"mmcl": 3, "mmcl+ssl": 3}
    assert found.apart == pytest.approx(0.001)
    assert match_accuracy(curves, 0.1).chosen["mmcl+ssl"].epoch == 1  # .05 and .15 are as far: the earlier one
    with pytest.raises(AntivenomError, match="mmcl"):
        match_accuracy({"mmcl": [Point("v", 1, None, 0.1)]})
    with pytest.raises(AntivenomError, match="any victim"):
        match_accuracy({})
