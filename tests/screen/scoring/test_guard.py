"""Two scorers' figures never share a table silently."""

from dataclasses import replace

import pytest

from antivenom.errors import AntivenomError
from antivenom.screen.scoring.guard import same_scorer
from antivenom.screen.scoring.scorer import Identity

ONE = Identity("toxicity", "1", "ab" * 16, "worse", {"window": 5, "names": ("a", "b")})
CHANGES = [
    {"name": "lexicon"},
    {"version": "2"},
    {"weights": "cd" * 16},
    {"higher_is": "better"},
    {"params": {"window": 6, "names": ("a", "b")}},
    {"date": "2026-11-25"},
]


@pytest.mark.parametrize("change", CHANGES, ids=[next(iter(change)) for change in CHANGES])
def test_every_part_of_an_identity_counts(change):
    other = replace(ONE, **change)
    assert other.key != ONE.key
    with pytest.raises(AntivenomError, match=next(iter(change))) as error:
        same_scorer([ONE, ONE, other], where="the table of models")
    assert "the table of models" in error.value.what
    assert "rescore" in error.value.mend
    (said,) = same_scorer([ONE, other], allow_mixed=True)
    assert next(iter(change)) in said


def test_equal_scorers_may_share_a_table():
    assert same_scorer([]) == []
    assert same_scorer([ONE]) == []
    assert same_scorer([ONE, replace(ONE)]) == []


def test_a_scorer_read_back_from_a_file_is_the_same():
    stored = Identity(**(ONE.record() | {"params": {"names": ["a", "b"], "window": 5}}))
    assert stored.key == ONE.key
    assert same_scorer([ONE, stored]) == []
