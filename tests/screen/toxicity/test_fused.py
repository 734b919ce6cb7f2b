"""The fused walk gives the very integers, places and scores of the plain way, on hostile text."""

import codecs
import random

import numpy as np
import pyarrow as pa
import pytest

from antivenom.data.rows import batch_of
from antivenom.data.words import fold_stream, hash_words, text_buffers
from antivenom.screen.scoring.byte_bits import byte_bits, clear_from, count_bits, first_set, last_set
from antivenom.screen.scoring.hashed_features import LONGEST_WORD, sums
from antivenom.screen.scoring.window_units import window_units
from antivenom.screen.scoring.windows import Windows
from antivenom.screen.scoring.word_sums import scan_words, window_sums
from antivenom.screen.toxicity import obfuscation
from antivenom.screen.toxicity.default import DefaultToxicity, packaged_model, packaged_words

LISTED = [codecs.encode(w, "rot13") for w in ("fuvg", "shpx", "ovgpu", "vqvbg", "f h p x", "fu1g", "o.v.g.p.u", "n$$")]
PIECES = [
    "a",
    "B",
    "i",
    "u",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\x1c",
    "é",
    "а",
    "\u200b",
    "\u0301",
    "中",
    "🙂",
    "ﬁ",
    "ß",
    "İ",
    "½",
]
PIECES += [
    "\u00a0",
    "\u2003",
    "ｄ",
    "٣",
    "1",
    "3",
    "$",
    "!",
    "@",
    "***",
    "#",
    "-",
    "'",
    ".",
    "_",
    "/",
    "?",
    "don't",
    "sss",
    "the",
]
PIECES += ["ABCDEFGHIJKLMNOP", "abcdefghijklmnopq", "z" * 60, "fr1ck", "\u2026", "\x00", *LISTED, *LISTED]


def hostile(n=1500, seed=0):
    choose = random.Random(seed)
    sizes = (1, 2, 3, 5, 8, 20, 60, 900)
    return ["", "a", "é", *("".join(choose.choices(PIECES, k=choose.choice(sizes))) for _ in range(n)), "f", "u", ""]


def column_of(texts):
    return pa.array(texts, pa.large_string())


def plain_sums(column, windows, model):
    """The way without fusing: word table, letters, windows, features."""
    table = hash_words(column)
    units, owner = window_units(column, table, windows)
    return table, units, owner, sums(units, model.weights, model.bits, model.word_ngrams, model.char_ngrams)


def read_every_token(monkeypatch):
    monkeypatch.setattr(
        obfuscation, "perhaps_disguised", lambda lanes, offsets: np.full(lanes.shape[1], 2**64 - 1, np.uint64)
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("windows", [Windows(), Windows(200, 20), Windows(7, 3)])
def test_sums_of_the_one_walk_are_those_of_the_plain_way(seed, windows):
    model, column = packaged_model(), column_of(hostile(seed=seed))
    column = column[2:-3]  # offsets that do not begin at 0
    table, units, owner, (totals, counts) = plain_sums(column, windows, model)
    lanes = byte_bits(*text_buffers(column), obfuscation.disguise_table())
    words = scan_words(column, model.weights, model.char_ngrams, lanes)
    assert np.array_equal(words.table.hashes, table.hashes)
    assert np.array_equal(words.table.starts, table.starts)
    assert np.array_equal(words.table.row_offsets, table.row_offsets)
    mine, mine_owner = window_units(column, words.table, windows, np.zeros(0, np.uint32), lanes)
    assert np.array_equal(mine.first, units.first)
    assert np.array_equal(mine_owner, owner)
    fused = window_sums(words, mine.first, mine.last, model.weights, model.word_ngrams)
    assert np.array_equal(fused[0], totals)
    assert np.array_equal(fused[1], counts)


def test_letters_are_counted_as_the_folded_stream_has_them():
    column, model = column_of(hostile()), packaged_model()
    lanes = byte_bits(*text_buffers(column), obfuscation.disguise_table())
    words = scan_words(column, model.weights, model.char_ngrams, lanes)
    letters, offsets = fold_stream(column)
    table = hash_words(column)
    for row in range(len(column)):
        own = letters[offsets[row] : offsets[row + 1]]
        real = own[(own < 48) | (own > 57)]
        lengths = table.lengths[table.row_offsets[row] : table.row_offsets[row + 1]]
        expected = (len(own), len(real), (real < 0x250).sum(), lengths[lengths > LONGEST_WORD].sum())
        assert (words.size[row], words.letters[row], words.latin[row], words.run[row]) == expected


@pytest.mark.parametrize("seed", range(3))
def test_passing_over_tokens_finds_what_reading_every_token_finds(seed, monkeypatch):
    column, listed = column_of(hostile(3000, seed)), packaged_words().words
    quick = obfuscation.find_disguised(column, listed)
    read_every_token(monkeypatch)
    slow = obfuscation.find_disguised(column, listed)
    assert len(slow) > 100
    for name in ("row", "start", "stop", "word"):
        assert np.array_equal(getattr(quick, name), getattr(slow, name)), name


@pytest.mark.parametrize("aggregate", ["max", "mean"])
def test_scores_are_those_of_both_readings_by_the_plain_way(aggregate):
    texts = hostile(400, 9)
    windows, model, listed = Windows(200, 20, aggregate), packaged_model(), packaged_words().words
    found = DefaultToxicity(aggregate=aggregate).score(batch_of(texts))

    def reading(column):
        _, units, owner, parts = plain_sums(column, windows, model)
        p = model.probability(model.logits_of(*parts))
        p[units.first == units.last] = np.nan
        return windows.join(p, owner, len(column))

    plain = [obfuscation.undo(text, listed)[0] for text in texts]
    assert plain != texts
    expected = np.fmax(reading(column_of(texts)), reading(column_of(plain)))
    known = found.scored
    assert known.sum() > 200
    assert np.array_equal(found.values[known], expected[known])


def test_ten_megabytes_of_one_word_and_of_words_without_ascii():
    for text in ("x" * 10_000_000, "ж" * 5_000_000, "é " * 3_000_000):
        column, model = column_of([text]), packaged_model()
        *_, (totals, counts) = plain_sums(column, Windows(), model)
        lanes = byte_bits(*text_buffers(column), obfuscation.disguise_table())
        words = scan_words(column, model.weights, model.char_ngrams, lanes)
        table = words.table
        fused = window_sums(words, table.row_offsets[:-1], table.row_offsets[1:], model.weights, model.word_ngrams)
        assert np.array_equal(fused[0], totals)
        assert np.array_equal(fused[1], counts)


def test_stamps_of_more_units_than_they_can_tell_apart():
    model, column = packaged_model(), column_of(["you and i", "and you"] * 70_000)
    *_, (totals, counts) = plain_sums(column, Windows(), model)
    lanes = byte_bits(*text_buffers(column), obfuscation.disguise_table())
    words = scan_words(column, model.weights, model.char_ngrams, lanes)
    fused = window_sums(words, words.table.row_offsets[:-1], words.table.row_offsets[1:], model.weights, 2)
    assert np.array_equal(fused[0], totals)
    assert np.array_equal(fused[1], counts)


def test_bits_by_brute_force():
    choose = np.random.default_rng(0)
    lane = np.zeros(6, np.uint64)
    bits = choose.random(256) < 0.05
    lane[1:5] = np.packbits(bits, bitorder="little").view(np.uint64)
    for begin, end in choose.integers(0, 257, (500, 2)):
        begin, end = min(begin, end), max(begin, end)
        inside = np.flatnonzero(bits[begin:end]) + begin
        clear = np.flatnonzero(~bits[begin:end]) + begin
        assert first_set(lane, begin, end) == (inside[0] if len(inside) else end)
        assert clear_from(lane, begin, end) == (clear[0] if len(clear) else end)
        assert last_set(lane, begin, end) == (inside[-1] if len(inside) else -1)
        assert count_bits(lane, begin, end) == len(inside)
