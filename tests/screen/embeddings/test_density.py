"""k-distance, SLOF, LID and DAO against plain loops and closed forms."""

import math

import numpy as np
import pytest

from antivenom.screen.embeddings.density import CAP, dao, k_distance, lid, slof
from antivenom.screen.embeddings.inputs import Embeddings, parts_of
from antivenom.screen.embeddings.neighbours import Neighbours, neighbours

K = 6


@pytest.fixture(scope="module")
def rows():
    draw = np.random.default_rng(0)
    x = np.concatenate([draw.normal(size=(40, 7)), 5 + 0.3 * draw.normal(size=(25, 7))])
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def loops(x, k=K):
    """The formulas of spec 01, section 9, row by row."""
    near, far = [], []
    for i in range(len(x)):
        gaps = sorted((math.dist(x[i], x[j]), j) for j in range(len(x)) if j != i)[:k]
        near.append([j for _, j in gaps])
        far.append([d for d, _ in gaps])
    kdist = [d[-1] for d in far]
    dimension = [-k / sum(math.log(d / ds[-1]) for d in ds) for ds in far]
    ratio = [sum(kdist[i] / kdist[o] for o in near[i]) / k for i in range(len(x))]
    weighed = [sum(dimension[o] * math.log(kdist[i] / kdist[o]) for o in near[i]) / k for i in range(len(x))]
    return kdist, ratio, dimension, weighed


def test_equal_the_formulas_row_by_row(rows):
    found = neighbours(rows, K)
    for ours, plain in zip((k_distance(found), slof(found), lid(found), dao(found)), loops(rows)):
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, plain, rtol=1e-9)


def test_the_two_traps_of_the_reference_code_would_be_seen(rows):
    x, kdist = rows, np.array(loops(rows)[0])
    square = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))
    rank_off = np.sort(square, axis=1)[:, K - 1]  # self counts as the first neighbour
    assert np.abs(rank_off - kdist).max() > 1e-3
    without = square[~np.eye(len(x), dtype=bool)].reshape(len(x), -1)
    unshifted = np.argsort(without, axis=1)[:, :K]  # columns after the diagonal point one row too early
    wrong = (kdist[:, None] / kdist[unshifted]).mean(axis=1)
    assert np.abs(wrong - slof(neighbours(x, K))).max() > 1e-3


def test_lid_of_halving_distances_is_one_over_ln_2():
    found = Neighbours(np.zeros((1, 3), int), np.array([[0.25, 0.5, 1.0]]), 4, 0)
    assert lid(found)[0] == pytest.approx(1 / math.log(2))


@pytest.mark.parametrize("dimension", [2, 4])
def test_lid_finds_the_dimension_of_a_patch(dimension):
    draw = np.random.default_rng(1)
    flat = 0.2 * draw.uniform(-1, 1, size=(4_000, dimension))
    rows = np.column_stack([flat @ np.linalg.qr(draw.normal(size=(20, dimension)))[0].T, np.ones(4_000)])
    assert np.median(lid(neighbours(rows, 60))) == pytest.approx(dimension, rel=0.12)


def test_equal_distances_everywhere():
    found = neighbours(np.eye(30), 4)
    np.testing.assert_allclose(slof(found), 1)
    np.testing.assert_allclose(lid(found), CAP)
    np.testing.assert_allclose(dao(found), 0, atol=1e-9)
    assert lid(found, cap=50).tolist() == [50] * 30


def test_copies_divide_nothing_by_zero():
    draw = np.random.default_rng(2)
    rows = draw.normal(size=(60, 5))
    rows[:20] = rows[0]  # more copies than k
    found = neighbours(rows, K)
    for score in (k_distance, slof, lid, dao):
        assert np.isfinite(score(found)).all()
    assert k_distance(found)[:20].tolist() == [0] * 20
    np.testing.assert_allclose(slof(found)[:20], 1)
    assert lid(found)[:20].tolist() == [0] * 20
    assert dao(found)[:20].tolist() == [0] * 20
    rows[59] = rows[0] + 0.05  # beside the pile: much sparser than its neighbours
    assert slof(neighbours(rows, K))[59] > 1_000


def test_parts_cover_every_row_once_and_do_not_follow_the_file():
    parts = parts_of(1_000, 64, seed=0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(1_000))
    assert {len(p) for p in parts} <= {62, 63}
    assert all((np.diff(p) > 0).all() for p in parts)
    first = [np.sum(p < 100) for p in parts]
    assert max(first) < 25
    assert parts_of(1_000, 64, seed=1)[0].tolist() != parts[0].tolist()
    assert len(parts_of(10, 0, 0)) == len(parts_of(10, 10, 0)) == 1


def test_within_parts_neighbours_are_those_of_the_part(rows):
    found = Embeddings(rows).neighbours(K, within=22, seed=3)
    for part in parts_of(len(rows), 22, 3):
        alone = neighbours(rows[part], K)
        np.testing.assert_array_equal(found.index[part], part[alone.index])
        np.testing.assert_allclose(found.distance[part], alone.distance, rtol=1e-12)


def test_neighbours_are_searched_once_per_question(rows):
    given = Embeddings(rows)
    assert given.neighbours(K) is given.neighbours(K, seed=9)
    assert given.neighbours(K) is not given.neighbours(K + 1)
    assert given.neighbours(K, within=22) is not given.neighbours(K, within=22, seed=9)
