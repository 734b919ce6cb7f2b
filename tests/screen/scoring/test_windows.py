"""Windows cover a text, and their scores are put together by closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.errors import AntivenomError
from antivenom.screen.scoring.windows import Windows


@given(st.lists(st.text("ab é\n\t", min_size=0, max_size=4), max_size=40), st.integers(0, 9), st.data())
def test_every_token_is_in_a_window_and_none_is_too_long(words, size, data):
    text = " ".join(words)
    overlap = data.draw(st.integers(0, max(size - 1, 0)))
    spans = Windows(size, overlap).cut(text)
    tokens = text.split()
    assert spans
    seen = [text[a:b].split() for a, b in spans]
    assert all(not size or len(part) <= size for part in seen)
    rebuilt = list(seen[0])
    for part in seen[1:]:
        assert part[:overlap] == rebuilt[len(rebuilt) - overlap :]
        assert len(part) > overlap  # no window that holds nothing new
        rebuilt += part[overlap:]
    assert rebuilt == tokens


def test_a_toxic_tail_of_a_long_clean_text_is_in_a_window():
    text = "calm " * 1000 + "XX"
    windows = Windows(200, 20)
    scores = np.array([float("XX" in text[a:b]) for a, b in windows.cut(text)])
    owner = np.zeros(len(scores), int)
    assert windows.join(scores, owner, 1)[0] == 1
    assert Windows(200, 20, "mean").join(scores, owner, 1)[0] == pytest.approx(1 / len(scores))
    assert Windows(200, 20, "share").join(scores, owner, 1)[0] == pytest.approx(1 / len(scores))


@given(
    st.lists(st.lists(st.one_of(st.none(), st.floats(0, 1, width=32)), max_size=5), max_size=6),
    st.sampled_from(["max", "mean", "share"]),
)
def test_join_equals_a_plain_loop(rows, aggregate):
    scores = np.array([np.nan if x is None else x for row in rows for x in row], np.float64)
    owner = np.array([i for i, row in enumerate(rows) for _ in row], np.int64)
    got = Windows(aggregate=aggregate, threshold=0.25).join(scores, owner, len(rows))
    for value, row in zip(got, rows):
        known = [x for x in row if x is not None]
        if not known:
            assert np.isnan(value)
            continue
        want = {"max": max(known), "mean": np.mean(known), "share": np.mean([x >= 0.25 for x in known])}[aggregate]
        assert value == pytest.approx(want, abs=1e-6)


def test_a_share_counts_a_score_at_the_threshold():
    assert Windows(aggregate="share", threshold=0.5).join(np.array([0.5, 0.49]), np.array([0, 0]), 1)[0] == 0.5


def test_the_record_has_the_threshold_only_where_it_matters():
    assert Windows(5, 1).record() == {"window": 5, "overlap": 1, "aggregate": "max"}
    assert Windows(5, 1, "share", 0.3).record()["share_threshold"] == 0.3


@pytest.mark.parametrize("wrong", [(-1, 0, "max"), (5, 5, "max"), (5, -1, "max"), (0, 1, "max"), (5, 1, "median")])
def test_windows_that_cannot_be_are_refused(wrong):
    with pytest.raises(AntivenomError):
        Windows(*wrong)
