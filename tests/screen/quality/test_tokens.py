from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.screen.quality.english import LONGEST, cases, hash_of, lookup
from antivenom.screen.quality.pieces import tokens_of


def cut(text):
    return [text[a:b] for a, b in tokens_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world!", "Hello , world !"),
        ("I don't think it's Mr. Smith's.", "I do n't think it 's Mr. Smith 's ."),
        ("we'd’ve cannot", "we'd’ve can not"),
        ("well-known state-of-the-art", "well - known state - of - the - art"),
        ("-5 and 3-4 and A-", "-5 and 3 - 4 and A-"),
        ("wait...what", "wait ... what"),
        ("end...", "end ..."),
        ("(e.g. this, i.e., that)", "( e.g. this , i.e. , that )"),
        ("See https://example.org/a-b?c=d.", "See https://example.org/a-b?c=d ."),
        ("mail a.b@example.org, please", "mail a.b@example.org , please"),
        ("5km 10% $20 US$5 3pm", "5 km 10 % $ 20 US$ 5 3 pm"),
        ("U.S. NATO. x.", "U.S. NATO . x."),
        ("lower.Upper a,b x=y 1/b a/2", "lower . Upper a , b x = y 1 / b a/2"),
        ("tick\u2014tock dogs'", "tick \u2014 tock dogs '"),
        ("语言。 Привет, мир!", "语言 。 Привет , мир !"),
        ("a\u00a0b\u2003c\td", "a b c d"),
        ("🙂🙂ok", "🙂 🙂 ok"),
        ("", ""),
        (" \n\t ", ""),
    ],
)
def test_known_cuts(text, expected):
    assert cut(text) == expected.split()


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(["don't", "'", "(", ")", ".", "..", "a", "B", "-", "1", "@", "/", ":", " ", "Mr."])
        ).map("".join),
    )
)
def test_tokens_are_the_text_without_white_space(text):
    spans = tokens_of(text)
    assert "".join(text[a:b] for a, b in spans) == "".join(text.split())
    assert all(a < b for a, b in spans)
    assert all(stop <= start for (_, stop), (start, _) in pairwise(spans))


def test_cases_are_found_and_their_parts_fill_them():
    keys, parts = lookup()
    stored = dict(zip(keys.tolist(), parts.tolist()))
    assert sum(key != 0 for key in keys.tolist()) == len(cases())  # no two cases share a hash
    for word, lengths in cases().items():
        assert sum(lengths) == len(word) <= LONGEST
        assert max(lengths) < 16
        packed, found = stored[hash_of(word)], []
        while packed:
            found.append(packed & 15)
            packed >>= 4
        assert tuple(found) == lengths
    for word in ("ill", "its", "were", "well", "hell"):
        assert word not in cases()
