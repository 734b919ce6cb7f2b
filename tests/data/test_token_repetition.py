"""The repetition filter of trainers, against counting by hand (spec 02, trap 7)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from antivenom.data.token_repetition import repeated_rows


def by_hand(row, max_period, repeats):
    for period in range(1, max_period + 1):
        for start in range(len(row) - period * repeats + 1):
            piece = row[start : start + period]
            if all(np.array_equal(row[start + r * period : start + (r + 1) * period], piece) for r in range(repeats)):
                return True
    return False


@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 4))
def test_equals_counting_by_hand(seed, repeats, max_period):
    rows = np.random.default_rng(seed).integers(0, 2, (6, 14))
    found = repeated_rows(rows, max_period=max_period, repeats=repeats)
    assert found.tolist() == [by_hand(row, max_period, repeats) for row in rows]


def test_the_published_limits():
    draw = np.random.default_rng(0)
    rows = draw.integers(0, 1000, (4, 600))
    piece = draw.integers(0, 1000, 13)
    rows[1, 50 : 50 + 13 * 32] = np.tile(piece, 32)
    rows[2, 50 : 50 + 13 * 31] = np.tile(piece, 31)
    rows[2, 50 + 13 * 31] = piece[0] + 1
    rows[3, 100:132] = 5
    assert repeated_rows(rows).tolist() == [False, True, False, True]
    assert repeated_rows(rows[:, :8]).tolist() == [False] * 4
