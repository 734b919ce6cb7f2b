"""What the rule filters measure on a text, computed once per batch and shared by all of them.

One pass per text: code points and character flags, tokens (`tokens`), lines, paragraphs, copies (`repeats`), C4's lines
(`lines`). All lengths are in characters, all shares are 0..1. The statistics' definitions are those of the published
filters, so that a verdict is theirs: Gopher (Rae et al. 2021, table A1 and section A.1.1), C4 (Raffel et al. 2020,
section 2.2), FineWeb (Penedo et al. 2024, section 3.6).
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numba import njit

from antivenom.data.rows import Batch
from antivenom.data.words import text_buffers
from antivenom.screen.quality.characters import ALPHA, SPACE, STOP, SYMBOL, table
from antivenom.screen.quality.english import hash_of, lookup
from antivenom.screen.quality.lines import c4_lines, line_end, next_line, stripped
from antivenom.screen.quality.repeats import copied_characters, is_copy, next_power, top_gram, word_hashes
from antivenom.screen.quality.tokens import UNITS, decode, tokenize

__all__ = ["NAMES", "STOP_WORDS", "Settings", "text_stats"]

STOP_WORDS = "the be to of and that have with"
"""Gopher's eight (Rae et al. 2021, section A.1.1)."""

NAMES = (
    "characters",
    "words",
    "real_words",
    "mean_word_length",
    "hash_ratio",
    "ellipsis_ratio",
    "bullet_lines",
    "ellipsis_lines",
    "alpha_words",
    "stop_words",
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
    "duplicate_lines",
    "duplicate_line_characters",
    "top_2_gram",
    "top_3_gram",
    "top_4_gram",
    "duplicate_5_grams",
    "duplicate_6_grams",
    "duplicate_7_grams",
    "duplicate_8_grams",
    "duplicate_9_grams",
    "duplicate_10_grams",
    "closed_lines",
    "short_lines",
    "copied_line_characters",
    "newline_ratio",
    "lines",
    "kept_lines",
    "sentences",
    "lorem_ipsum_lines",
    "curly_bracket_lines",
)
"""The columns of the statistics, in order."""

(
    CHARACTERS,
    WORDS,
    REAL,
    LENGTH,
    HASHES,
    DOTS,
    BULLETS,
    DOT_LINES,
    ALPHAS,
    STOPS,
    PARAS,
    PARA_CHARS,
    LINES,
    LINE_CHARS,
) = range(14)
TOP, COPIED, CLOSED, SHORT, REPEATED, NEWLINES, C4 = 14, 17, 23, 24, 25, 26, 27
LINE_FEED, DOT, ELLIPSIS = 0x0A, 0x2E, 0x2026


@dataclass(frozen=True)
class Settings:
    """What changes a statistic, as opposed to a threshold on it.

    Args:
        stop_words: Gopher's stop words, case-sensitive, by spaces; 64 at most.
        short: a line is short up to this many characters (FineWeb).
        max_word: longest word of a line (C4).
        min_words: fewest words of a line (C4).
    """

    stop_words: str = STOP_WORDS
    short: int = 30
    max_word: int = 1_000
    min_words: int = 3


_DONE: "WeakKeyDictionary[_Key, dict[Settings, np.ndarray]]" = WeakKeyDictionary()


class _Key:
    """Stands for one batch: lives as long as the batch, which cannot be hashed itself."""


def text_stats(batch: Batch, settings: Settings = Settings()) -> np.ndarray:
    """Statistics of a batch's texts, float64 (n_rows, len(NAMES)); NaN where a share has no denominator.

    Kept with the batch: the four scorers of one batch compute them once.
    """
    key = batch.__dict__.setdefault("_text_stats_key", _Key())
    known = _DONE.setdefault(key, {})
    if settings not in known:
        stops = np.array([hash_of(word) for word in settings.stop_words.split()[:64]], np.uint64)
        data, offsets = text_buffers(batch.texts)
        out = np.empty((len(batch), len(NAMES)))
        _measure(
            data, offsets, table(), *lookup(), UNITS, stops, settings.short, settings.max_word, settings.min_words, out
        )
        known[settings] = out
    return known[settings]


@njit(cache=True, nogil=True, inline="always")
def _share(part, whole):
    return part / whole if whole > 0 else np.nan


@njit(cache=True, nogil=True)
def _gopher_lines(points, flags, n):
    """Lines (`str.splitlines`), those that begin with a bullet, those that end in an ellipsis."""
    lines = bullets = dotted = 0
    at = 0
    while at < n:
        end = line_end(flags, at, n)
        a, b = stripped(flags, at, end)
        if a < b:
            if points[a] == 0x2022 or points[a] == 0x2D:
                bullets += 1
            last = points[b - 1]
            if last == ELLIPSIS or (last == DOT and b - a > 2 and points[b - 2] == DOT and points[b - 3] == DOT):
                dotted += 1
        lines += 1
        at = next_line(points, end, n)
    return lines, bullets, dotted


@njit(cache=True, nogil=True)
def _copies(points, flags, n, feeds, short, row):
    """Copies of lines and paragraphs, and FineWeb's line shares."""
    keys = np.zeros(next_power(2 * feeds + 4), np.uint64)
    lines = copies = copied = 0
    real = closed = shorts = repeated = 0
    edges = 0  # a text that begins (ends) with line feeds begins (ends) with an empty piece
    if n > 0 and points[0] == LINE_FEED:
        edges += 1
    if n > 0 and points[n - 1] == LINE_FEED:
        edges += 1
    at = 0
    while at < n:
        end = at
        blank = True
        while end < n and points[end] != LINE_FEED:
            if not flags[end] & SPACE:
                blank = False
            end += 1
        if end > at:
            lines += 1
            again = is_copy(points, at, end, keys)
            if again:
                copies += 1
                copied += end - at
            if not blank:
                real += 1
                if flags[end - 1] & STOP:
                    closed += 1
                if end - at <= short:
                    shorts += 1
                if again:
                    repeated += end - at
        at = end + 1
    if edges == 2:
        copies += 1
    row[LINES] = _share(copies, lines + edges)
    row[LINE_CHARS] = _share(copied, n)
    row[CLOSED] = _share(closed, real)
    row[SHORT] = _share(shorts, real)
    row[REPEATED] = _share(repeated, n - feeds)
    keys[:] = 0
    a, b = stripped(flags, 0, n)
    pieces = copies = copied = 0
    begin = at = a
    while at <= b:
        if at == b or (points[at] == LINE_FEED and points[at + 1] == LINE_FEED):  # the last character is no space
            pieces += 1
            if is_copy(points, begin, at, keys):
                copies += 1
                copied += at - begin
            while at < b and points[at] == LINE_FEED:
                at += 1
            begin = at
            if at == b:
                break
        else:
            at += 1
    row[PARAS] = _share(copies, pieces)
    row[PARA_CHARS] = _share(copied, n)


@njit(cache=True, nogil=True)
def _measure(data, offsets, kinds, keys, parts, units, stops, short, max_word, min_words, out):
    room = 0
    for r in range(len(offsets) - 1):
        room = max(room, offsets[r + 1] - offsets[r])
    points = np.empty(room + 1, np.uint32)
    flags = np.empty(room + 1, np.uint32)
    begins = np.empty(room + 2, np.int32)
    ends = np.empty(room + 2, np.int32)
    words = 0
    hashes = np.empty(words, np.uint64)
    powers = np.empty(words, np.uint64)
    grams = np.empty(words, np.uint64)
    before = np.empty(words + 1, np.int64)
    counts = np.empty(words, np.int32)
    slots = np.empty(1, np.int32)
    none = np.empty(0, np.int8)
    nowhere = np.empty((0, 2), np.int64)
    for r in range(len(offsets) - 1):
        row = out[r]
        row[:] = np.nan
        n = decode(data, offsets[r], offsets[r + 1], kinds, points, flags)
        count = tokenize(points, flags, 0, n, begins, ends, keys, parts, units)
        row[CHARACTERS] = n
        row[WORDS] = count
        feeds = marks = dots = run = 0
        for i in range(n):
            point = points[i]
            if point == DOT:
                run += 1
                if run == 3:
                    dots += 1
                    run = 0
                continue
            run = 0
            if point == LINE_FEED:
                feeds += 1
            elif point == 0x23:
                marks += 1
            elif point == ELLIPSIS:
                dots += 1
        if count > words:
            words = count
            hashes = np.empty(words, np.uint64)
            powers = np.empty(words, np.uint64)
            grams = np.empty(words, np.uint64)
            before = np.empty(words + 1, np.int64)
            counts = np.empty(words, np.int32)
        word_hashes(points, begins, ends, count, hashes, powers)
        real = length = alphas = 0
        met = np.uint64(0)
        before[0] = 0
        for i in range(count):
            size = ends[i] - begins[i]
            before[i + 1] = before[i] + size
            symbol = True
            alpha = False
            for j in range(begins[i], ends[i]):
                if not flags[j] & SYMBOL:
                    symbol = False
                if flags[j] & ALPHA:
                    alpha = True
                    break
            if alpha or not symbol:
                real += 1
                length += size
            if alpha:
                alphas += 1
            for j in range(len(stops)):
                if hashes[i] == stops[j]:
                    met |= np.uint64(1) << np.uint64(j)
        found = 0
        while met:
            found += 1
            met &= met - np.uint64(1)
        lines, bullets, dotted = _gopher_lines(points, flags, n)
        row[REAL] = real
        row[LENGTH] = _share(length, real)
        row[HASHES] = _share(marks, count)
        row[DOTS] = _share(dots, count)
        row[BULLETS] = _share(bullets, lines)
        row[DOT_LINES] = _share(dotted, lines)
        row[ALPHAS] = _share(alphas, count)
        row[STOPS] = found
        _copies(points, flags, n, feeds, short, row)
        row[NEWLINES] = _share(feeds, count)
        size = next_power(2 * count + 2)
        if size > len(slots):
            slots = np.empty(size, np.int32)
        some = slots[:size]
        for k in range(2, 5):
            top = top_gram(hashes, grams, k, before, count, some, counts)
            row[TOP + k - 2] = top / n if top >= 0 else 0.0
        for i in range(count):
            grams[i] = hashes[i]
        for k in range(2, 11):
            for i in range(count - k + 1):
                grams[i] = grams[i] * powers[i + k - 1] + hashes[i + k - 1]
            if k >= 5 and n > 0:
                row[COPIED + k - 5] = copied_characters(grams, k, before, count, some) / n
        found_lines = c4_lines(
            points, flags, n, begins, ends, count, max_word, min_words, keys, parts, units, none, nowhere
        )
        for i in range(5):
            row[C4 + i] = found_lines[i]
