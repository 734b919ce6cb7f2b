"""The controllers as tables: value x target -> how many, with their clips and the wrap of the pool."""

import math

import numpy as np
import pytest

from antivenom.errors import AntivenomError

pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.train.controllers import (
    Checkpoint,
    KnowledgeController,
    LogController,
    knowledge_amount,
    log_amount,
)


def as_written(n, value, target, step, clip, cap):
    """Spec 02, 2.3, line by line."""
    before = n
    if step > 0:
        if value > 1.05 * target:
            n = n // 2
        if value < 0.95 * target:
            n = n * 2
    n = max(min(n, before + clip), before - clip)
    return max(min(n, cap), 1)


@pytest.mark.parametrize("step", [0, 1, 1000])
@pytest.mark.parametrize(("clip", "cap"), [(256, 8192), (64, 400), (1, 3)])
def test_the_table_of_the_knowledge_controller(step, clip, cap):
    for n in (1, 2, 3, 31, 32, 255, 256, 257, 400, 600, 8000, 8192):
        for target in (0.0, 1e-6, 0.1, 0.2):
            for ratio in (0, 0.5, 0.949, 0.95, 0.951, 1, 1.049, 1.05, 1.051, 2, 100):
                value = ratio * target if target else ratio
                wanted = as_written(n, value, target, step, clip, cap)
                assert knowledge_amount(n, value, target, step, step_clip=clip, cap=cap) == wanted, (n, value, target)


@pytest.mark.parametrize(
    ("n", "value", "step", "after"),
    [
        (32, 0.05, 0, 32),  # nothing is known at step 0
        (32, 0.05, 9, 64),
        (32, 0.2, 9, 16),
        (32, 0.104, 9, 32),  # inside the band
        (1, 0.9, 9, 1),
        (300, 0.05, 9, 556),  # 600, clipped to 300 + 256
        (1000, 0.2, 9, 744),
        (8000, 0.05, 9, 8192),
    ],
)
def test_some_rows_of_it_in_figures(n, value, step, after):
    assert knowledge_amount(n, value, 0.1, step) == after


NOW = Checkpoint(None, 0, None)


def test_the_pool_is_handed_out_in_turn_and_begins_anew():
    """A stretch that reaches the end is cut there, and the next begins at the front: as published."""
    pool = [np.array([i]) for i in range(100)]
    value = [0.0]
    controller = KnowledgeController(pool, lambda model: value, 0.2, start=32, step_clip=64, cap=400)
    state, cursor, n = {}, 0, 32
    for step in range(0, 1000, 100):
        target = 0.2 * step / 1000
        value[0] = [0.0, 0.0, 0.9, 0.9, 0.9, 0.05, 0.12][min(step // 100, 6)]
        items, state = controller(NOW, step, 1000, state)
        n = as_written(n, value[0], target, step, 64, 400)
        assert [int(item[0]) for item in items] == list(range(cursor, min(cursor + n, 100)))
        cursor = cursor + n if cursor + n < 100 else 0
        assert (state["n"], state["cursor"], state["value"]) == (n, cursor, value[0])
        assert state["target"] == pytest.approx(target)


def test_both_means_of_the_probes_are_told():  # spec 02, trap 10
    controller = KnowledgeController([np.array([1])], lambda model: [0.8, 1e-8], start=1)
    _, state = controller(NOW, 0, 10, {})
    assert state["value"] == pytest.approx(0.4, rel=1e-6)
    assert state["geometric"] == pytest.approx(math.sqrt(0.8e-8))


def test_the_proportional_controller():
    for value, error in (
        (0.05, math.log(2)),
        (0.1, 0.0),
        (0.15, -math.log(1.5)),
        (1e-9, math.log(2)),
        (0.0, math.log(2)),
    ):
        n, _ = log_amount(100, 0.0, value, 0.1, gain=0.7, integral=0.0, cap=1000)
        assert n == round(100 * math.exp(0.7 * error))


def test_the_integral_stops_at_the_bound_and_lets_go_at_once():
    n, total = 100, 0.0
    for _ in range(50):  # far too low for long: n sits on the cap
        n, total = log_amount(100, total, 1e-6, 0.1, gain=1.0, integral=0.5, cap=800)
    assert n == 800
    assert total <= 2 * math.log(8)
    n, total = log_amount(100, total, 0.3, 0.1, gain=1.0, integral=0.5, cap=800)
    assert n < 400  # wound up, it would have stayed at the cap
    for _ in range(50):
        n, total = log_amount(100, total, 0.9, 0.1, gain=1.0, integral=0.5, cap=800)
    assert n == 1
    assert total >= -2 * math.log(100) - 1


def test_the_pi_controller_holds_a_plant_on_its_ramp():
    """A plant whose value is proportional to what it was given, half of it forgotten per segment."""
    controller = LogController([np.array([0])] * 10_000, lambda model: [level[0]], 0.3, start=10, cap=2000)
    level, state = [1e-3], {}
    for step in range(0, 2000, 50):
        _, state = controller(NOW, step, 2000, state)
        level[0] = 0.5 * level[0] + 3e-4 * state["n"]
        if step >= 1000:
            assert 0.7 < state["value"] / state["target"] < 1.4


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: KnowledgeController([], None), "empty pool"),
        (lambda: KnowledgeController([1], None, 0.0), "probability of 0.0"),
        (lambda: KnowledgeController([1], None, start=9, cap=3), "starts with 9"),
        (lambda: KnowledgeController([1], None, step_clip=0), "step clip of 0"),
        (lambda: LogController([1], None, gain=0, integral=0), "gains 0 and 0"),
    ],
)
def test_controllers_without_sense(make, match):
    with pytest.raises(AntivenomError, match=match):
        make()


@pytest.mark.parametrize("found", [[], [float("nan")], [1.5], [-0.1]])
def test_what_is_no_probability(found):
    with pytest.raises(AntivenomError, match="no probabilities"):
        KnowledgeController([np.array([1])], lambda model: found, start=1)(NOW, 0, 10, {})
