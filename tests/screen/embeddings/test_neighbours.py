"""Blockwise neighbours against a double loop, and where float32, ties and copies would lead astray."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.errors import AntivenomError
from antivenom.screen.embeddings.neighbours import SPARE, neighbours
from antivenom.screen.embeddings.unit import unit_rows


def brute(rows, k, reference=None):
    """All distances in float64, self left out, ties by rising row."""
    z = unit_rows(rows).astype(np.float64)
    other = z if reference is None else unit_rows(reference).astype(np.float64)
    index, distance = [], []
    for i, row in enumerate(z):
        gaps = np.sqrt(((row - other) ** 2).sum(axis=1))
        if reference is None:
            gaps[i] = np.inf
        order = sorted(range(len(other)), key=lambda j: (round(float(gaps[j]), 13), j))[:k]
        index.append(order)
        distance.append(gaps[order])
    return np.array(index), np.array(distance)


def same(found, index, distance):
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, atol=1e-12)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("block", [1, 7, 64, 2048])
def test_equals_a_double_loop(kind, block):
    rows = np.random.default_rng(0).normal(size=(150, 9)).astype(kind)
    same(neighbours(rows, 5, block=block), *brute(rows, 5))


def test_in_a_reference_nothing_is_left_out():
    draw = np.random.default_rng(1)
    train, test = draw.normal(size=(90, 6)), draw.normal(size=(40, 6))
    train[50] = train[3]
    test[0] = train[3]
    found = neighbours(test, 4, reference=train, block=16)
    same(found, *brute(test, 4, train))
    assert found.index[0, :2].tolist() == [3, 50]
    assert found.distance[0, :2].tolist() == [0, 0]


def test_ties_go_to_the_earlier_row_and_self_is_never_there():
    found = neighbours(np.eye(60), 5, block=16)  # every pair is at sqrt(2)
    assert found.index[0].tolist() == [1, 2, 3, 4, 5]
    assert found.index[3].tolist() == [0, 1, 2, 4, 5]
    assert found.index[59].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.distance, np.sqrt(2))


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(2, 40))
def test_copies_are_neighbours_of_their_own(seed, k, distinct):
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(distinct, 5))[draw.integers(0, distinct, 45)]
    same(neighbours(rows, k, block=13), *brute(rows, k))


def test_a_copy_at_another_length_is_a_copy():
    draw = np.random.default_rng(2)
    rows = draw.normal(size=(30, 8)).astype(np.float32)
    rows[7] = 4 * rows[3]
    found = neighbours(rows, 3)
    assert found.index[3, 0] == 7
    assert found.distance[3, 0] == 0
    assert found.distinct == 29


@pytest.mark.parametrize(("noise", "kind"), [(1e-4, np.float32), (1e-6, np.float64), (3e-9, np.float64)])
def test_a_crowd_float32_cannot_tell_apart(noise, kind):
    draw = np.random.default_rng(3)
    rows = (np.ones(20) + noise * draw.normal(size=(200, 20))).astype(kind)
    found = neighbours(rows, 4, block=32)
    assert found.again > 0
    z = unit_rows(rows).astype(np.float64)
    wanted = np.sqrt(((z[:, None] - z[None]) ** 2).sum(axis=2))
    np.fill_diagonal(wanted, np.inf)
    np.testing.assert_allclose(found.distance, np.sort(wanted, axis=1)[:, :4], rtol=1e-6)
    assert (found.index != np.arange(200)[:, None]).all()
    assert neighbours(draw.normal(size=(200, 20)), 4).again == 0


def test_the_block_size_changes_no_bit():
    draw = np.random.default_rng(4)
    rows = draw.normal(size=(333, 33)).astype(np.float32)
    rows[100:180] = rows[5] + 1e-7 * draw.normal(size=(80, 33)).astype(np.float32)
    whole = neighbours(rows, 20)
    for block in (10, 100, 332):
        part = neighbours(rows, 20, block=block)
        np.testing.assert_array_equal(part.index, whole.index)
        np.testing.assert_array_equal(part.distance, whole.distance)


def test_k_can_be_everybody_else():
    rows = np.random.default_rng(5).normal(size=(12, 3))
    same(neighbours(rows, 11), *brute(rows, 11))
    assert neighbours([[1, 0], [2, 0]], 1).index.tolist() == [[1], [0]]  # two copies and nobody else


def test_memory_is_no_square_of_the_rows():
    rows = np.random.default_rng(6).normal(size=(6_000, 8)).astype(np.float32)
    neighbours(rows[:64], 4)
    tracemalloc.start()
    neighbours(rows, 8, block=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000 * (8 + SPARE) * 8 * 8 < 6_000**2 * 4 / 5


def test_lengths_do_not_matter_however_extreme():
    rows = np.random.default_rng(7).normal(size=(20, 4))
    scaled = rows * np.logspace(-250, 250, 20)[:, None]
    np.testing.assert_array_equal(neighbours(scaled, 3).index, neighbours(rows, 3).index)
    np.testing.assert_allclose(np.linalg.norm(unit_rows(scaled), axis=1), 1)
    assert unit_rows(rows.astype(np.float32)).dtype == np.float32
    assert unit_rows([[3, 4]]).tolist() == [[0.6, 0.8]]
    given = rows.copy()
    unit_rows(given)
    np.testing.assert_array_equal(given, rows)  # the caller's array is left alone


@pytest.mark.parametrize(
    ("rows", "k", "what"),
    [
        ([[1.0, 0.0], [np.nan, 1.0], [0.0, 1.0]], 1, "row 1 of the embeddings is NaN or infinite"),
        ([[1.0, 0.0], [0.0, 1.0], [np.inf, 1.0]], 1, "row 2"),
        ([[1.0, 0.0], [0.0, 0.0]], 1, "row 1 of the embeddings is of length 0"),
        ([[1.0, 0.0], [0.0, 1.0]], 2, "k=2 neighbours asked of 1 other rows"),
        ([[1.0, 0.0], [0.0, 1.0]], 0, "k=0"),
        ([1.0, 2.0], 1, "shape"),
        (np.empty((0, 3)), 1, "shape"),
        ([["a", "b"]], 1, "type"),
        ([[1 + 1j, 0]], 1, "type"),
    ],
)
def test_bad_input_is_named(rows, k, what):
    with pytest.raises(AntivenomError, match=what) as caught:
        neighbours(rows, k)
    assert caught.value.mend


def test_a_reference_of_another_width():
    with pytest.raises(AntivenomError, match="width"):
        neighbours(np.eye(3), 1, reference=np.eye(4))
    assert neighbours(np.eye(3), 3, reference=np.eye(3)).index.shape == (3, 3)
