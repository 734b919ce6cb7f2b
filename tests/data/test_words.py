"""One folding for the house: the kernel equals the plain reference, and spellings of a word fold together."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.data.words import CharSpans, char_offset, char_span, fold, fold_stream, hash_token, hash_words, words

texts = st.text(st.characters(codec="utf-8"), max_size=60)
mixed = st.text(st.sampled_from("aZ9 _-é́½ﬁΣ12全角漢字カナ한국\u200b\u00ad\u0301İß🙂\r\n\t\x00"), max_size=60)


def column(values: list[str]) -> pa.LargeStringArray:
    return pa.array(values, pa.large_string())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(texts, mixed), max_size=5))
def test_kernel_equals_reference(values):
    table = hash_words(column(values))
    letters, offsets = fold_stream(column(values))
    for row, text in enumerate(values):
        low, high = table.row_offsets[row], table.row_offsets[row + 1]
        found = words(text)
        assert table.hashes[low:high].tolist() == [hash_token(w.token) for w in found]
        assert [char_offset(text, int(b)) for b in table.starts[low:high]] == [w.start for w in found]
        assert table.lengths[low:high].tolist() == [len(w.token) for w in found]
        assert "".join(map(chr, letters[offsets[row] : offsets[row + 1]])) == "".join(w.token for w in found)
        for number, word in enumerate(found):
            start, stop = char_span(text, table, row, number, number)
            assert start == word.start
            assert stop >= word.stop
            assert CharSpans(column(values), table)(row, number, number) == (start, stop)


@given(mixed)
def test_ascii_short_cut_is_the_same(text):
    plain = "".join(c for c in text if c.isascii())
    assert [w.token for w in words(plain)] == [w.token for w in words(plain + "\u3000")]


@settings(deadline=None)
@given(st.text(st.sampled_from("éàüÅçñô aeZ"), max_size=30))
def test_composed_and_decomposed_fold_together(text):
    assert fold(unicodedata.normalize("NFC", text)) == fold(unicodedata.normalize("NFD", text))


def test_every_character_folds_as_its_decomposition_does():
    unlike = set()
    for point in [*range(0xD800), *range(0xE000, 0x32000)]:
        text = f"a{chr(point)}é"
        tokens = [w.token for w in words(text)]
        for form in ("NFC", "NFD"):
            if (other := unicodedata.normalize(form, text)) != text and [w.token for w in words(other)] != tokens:
                unlike.add(chr(point))
    assert all(unicodedata.name(c).startswith("MUSICAL SYMBOL") for c in unlike)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("１２ apples", "12 APPLES"),
        ("ﬁne", "fine"),
        ("line one\r\nline two", "line one\nline two"),
        ("pass\u200bword", "password"),
        ("Straße", "STRASSE"),
        ("ガラス", "ｶﾞﾗｽ"),
        ("5 ㎏™", "5 kgtm"),
        ("snake_case", "snake case"),
    ],
)
def test_spellings_fold_together(a, b):
    assert fold(a) == fold(b)


def test_ideographs_are_words_of_their_own():
    assert [w.token for w in words("漢字kana")] == ["漢", "字", "kana"]


def test_empty_and_sliced_columns():
    assert len(hash_words(column([])).hashes) == 0
    whole = column(["one two", "three", "", "four five six"])
    cut = hash_words(whole.slice(1, 3))
    assert cut.row_offsets.tolist() == [0, 1, 1, 4]
    np.testing.assert_array_equal(cut.hashes, hash_words(column(["three", "", "four five six"])).hashes)
