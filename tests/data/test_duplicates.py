"""Copies within and between data sets."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.data.duplicates import duplicate_groups, normal_key, overlap, refuse_overlap
from antivenom.errors import AntivenomError

TEXTS = st.lists(st.text(alphabet="aA bB\n\u00e9", max_size=5), max_size=12)


@given(TEXTS)
def test_groups_are_the_classes_of_equal_keys(texts):
    groups = duplicate_groups(texts).tolist()
    for i, a in enumerate(texts):
        for j, b in enumerate(texts):
            assert (groups[i] == groups[j]) == (normal_key(a) == normal_key(b))
    seen = list(dict.fromkeys(groups))
    assert seen == sorted(seen) == list(range(len(seen)))


@given(TEXTS, TEXTS)
def test_overlap_is_membership_by_brute_force(a, b):
    expected = [any(normal_key(x) == normal_key(y) != "" for x in a) for y in b]
    assert overlap(a, b).tolist() == expected


def test_empty():
    assert duplicate_groups([]).shape == (0,)
    assert overlap(["a"], []).dtype == bool
    assert not overlap([], ["a"]).any()


def test_a_lone_surrogate_is_a_text_too():
    assert duplicate_groups(["\ud800", "\ud800", "x"]).tolist() == [0, 0, 1]


def test_refusal_names_the_count():
    refuse_overlap(["a"], ["b"])
    with pytest.raises(AntivenomError, match="1 of the 2 evaluation texts"):
        refuse_overlap(["a", "b"], ["c", " B"])


def test_the_leaky_quality_set_is_found(shared):
    """DCLM's agreement_data is a strict subset of majority_data (spec 05, trap 6)."""
    texts = {}
    for name in ("majority", "agreement"):
        with gzip.open(shared / "quality_dclm" / f"{name}_data.jsonl.gz", "rt") as lines:
            rows = [json.loads(line) for line in lines]
        field = next(k for k, v in rows[0].items() if isinstance(v, str) and len(v) > 100)
        texts[name] = [row[field] for row in rows]
    assert overlap(texts["majority"], texts["agreement"]).all()
    assert np.mean(overlap(texts["agreement"], texts["majority"])) < 0.7
