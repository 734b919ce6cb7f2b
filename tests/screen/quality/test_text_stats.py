import math
import string

import numpy as np
import plain_rules
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from antivenom.data.rows import Batch, batch_of
from antivenom.screen.quality.characters import STOP, SYMBOL, table
from antivenom.screen.quality.text_stats import NAMES, Settings, text_stats

PIECES = [
    *["the", "be", "of", "and", "cat", "cat sat on the mat", "a b c d e", "don't", "x"],
    *[" ", "  ", "\t", "\n", "\n\n", "\n\n\n", "\r\n", "\r", "\x0b", "\x85", "\u2028", " \n \n", "\0", "\u00a0"],
    *[
        ".",
        "...",
        "....",
        "…",
        "!",
        "?",
        '"',
        "'",
        "-",
        "•",
        "#",
        "##",
        "{",
        "}",
        "[1]",
        "[]",
        "[edit]",
        "[citation needed]",
        "[x]",
    ],
    *[
        "lorem ipsum",
        "Lorem Ipsum",
        "JavaScript",
        "terms of use",
        "Use cookies",
        "１",
        "语言。",
        "Привет",
        "مرحبا؟",
        "🙂",
        "é",
        "e\u0301",
    ],
]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=60).map("".join), st.text(max_size=80))


def flag(bit):
    return lambda c: ord(c) < len(table()) and bool(table()[ord(c)] & bit)


@settings(max_examples=300)
@given(TEXTS)
@example("\n\n")
@example("a\n\na\n\n")
@example("\na\n")
@example("\U0002a700 \U0002a6e0 \U0003134a")
@example("a b a b a b a b a b a b a b a b a b a b a b a b")
def test_kernels_equal_the_definitions(text):
    row = dict(zip(NAMES, text_stats(batch_of([text]))[0].tolist()))
    expected = plain_rules.statistics(text, flag(SYMBOL), flag(STOP))
    for name, value in expected.items():
        if text or name in ("characters", "words"):  # shares of nothing: the scorers say "cannot score"
            assert row[name] == value or (math.isnan(value) and math.isnan(row[name])), (name, row[name], value)


def test_batches_rows_and_slices_do_not_matter(tmp_path):
    texts = ["", "one two three.", "é" * 40 + " x\n" * 5, "a\r\nb", "The cat. " * 30, "\0", "语言" * 9]
    together = text_stats(batch_of(texts))
    alone = np.concatenate([text_stats(batch_of([text])) for text in texts])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(text_stats(batch_of(texts[::-1])), together[::-1])
    whole = batch_of(texts)
    part = Batch(whole.rows.slice(2, 3), whole.source.slice(2, 3))
    np.testing.assert_array_equal(text_stats(part), together[2:5])
    assert text_stats(batch_of([])).shape == (0, len(NAMES))


def test_computed_once_per_batch_and_settings():
    batch = batch_of(["Some words."])
    assert text_stats(batch) is text_stats(batch)
    assert text_stats(batch, Settings(short=3)) is not text_stats(batch)
    assert text_stats(batch_of(["Some words."])) is not text_stats(batch)


@pytest.mark.parametrize(
    "text", ["x" * 10_000_000, "a " * 500_000, ")" * 2_000_000, "a@" * 200_000, "a.a." * 200_000, "[" * 500_000]
)
def test_long_lines_stay_linear(text):
    import time

    text_stats(batch_of(["warm up"]))
    begun = time.process_time()
    row = dict(zip(NAMES, text_stats(batch_of([text]))[0]))
    assert row["characters"] == len(text)
    assert time.process_time() - begun < 5  # quadratic would take minutes


def test_sentences():
    def count(line):
        return text_stats(batch_of([line]))[0][NAMES.index("sentences")]

    assert count("One is here. Two is here. Three is here!") == 3
    assert count("Mr. Smith met Dr. Jones at 5 p.m. yesterday.") == 1
    assert count('He said "stop." Then he left.') == 2
    assert count("Is it so?! Yes it is.") == 2
    assert count("One is here. [1] Two is[2] here.") == 2
    assert count("Two spaces here.  Then a second one.") == 2
    assert count("no closing mark") == 0


def test_nulls_read_as_empty():
    rows = batch_of(["a", "b"])
    column = pa.array(["a", None], pa.large_string())
    rows.rows = rows.rows.set_column(1, "text", column)
    assert text_stats(rows)[1][NAMES.index("words")] == 0


def test_ascii_punctuation_is_symbols():
    assert all(map(flag(SYMBOL), string.punctuation))
    assert not any(map(flag(SYMBOL), string.ascii_letters + string.digits + "•é语"))
