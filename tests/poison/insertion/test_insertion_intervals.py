"""The interval set against the naive one, and who wins against the loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from antivenom.poison.insertion.intervals import Intervals, pieces, winners


def test_the_set_answers_like_the_naive_one_under_random_operations():
    draw = np.random.default_rng(0)
    found, naive = Intervals.none(), []
    for _ in range(600):
        start = int(draw.integers(0, 900))
        end = start + int(draw.integers(1, 12))
        free = all(end <= a or start >= b for a, b in naive)
        assert found.overlaps(np.array([start]), np.array([end]))[0] == (not free)
        if free and draw.random() < 0.8:
            found = found.joined(np.array([start]), np.array([end]))
            naive.append((start, end))
        elif naive and draw.random() < 0.3:
            gone = naive.pop(int(draw.integers(len(naive))))
            found = found.without(np.array([gone[0]]))
        assert sorted(naive) == list(zip(found.starts.tolist(), found.ends.tolist()))
        assert found.covered == sum(b - a for a, b in naive)
    taken = np.zeros(1000, bool)
    for a, b in naive:
        taken[a:b] = True
    for first, last in ((0, 1000), (100, 350), (333, 334)):
        free = np.zeros(1000, bool)
        gaps = pieces(found.gaps(first, last), 64)
        for a, b in zip(gaps.starts.tolist(), gaps.ends.tolist()):
            assert a // 64 == (b - 1) // 64
            free[a:b] = True
        assert np.array_equal(free[first:last], ~taken[first:last])
        assert found.within(first, last) == taken[first:last].sum()


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 15)), max_size=40), st.randoms())
def test_winners_are_those_of_the_loop(spans, random):
    priority = list(range(len(spans)))
    random.shuffle(priority)
    starts = np.array([s for s, _ in spans], np.int64)
    ends = starts + np.array([n for _, n in spans], np.int64)
    won = winners(starts, ends, np.array(priority, np.uint64))
    kept = []
    for i in np.argsort(priority).tolist():
        if all(ends[i] <= starts[j] or starts[i] >= ends[j] for j in kept):
            kept.append(i)
    assert sorted(kept) == np.flatnonzero(won).tolist()
