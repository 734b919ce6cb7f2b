"""The C4 line rules in numba: which lines of a text are kept, and the sentences in them.

Rules and their order after Raffel et al. 2020 (section 2.2) as the public pipelines apply them. One line = what `str.splitlines`
cuts, stripped. A line goes for the first of: a word over `max_word` characters; no closing mark (. ? ! " ') or an
ellipsis at its end; fewer than `min_words` words; "javascript"; a cookie or policy phrase. "lorem ipsum" or "{" in a line
that came so far counts against the whole document. Citation marks ([1], [edit], [citation needed]) are cut out of a
line before its end is looked at.
"""

import numpy as np
from numba import njit

from antivenom.screen.quality.characters import LINE_BREAK, NUMBER, SPACE
from antivenom.screen.quality.tokens import sentences, tokenize

__all__ = ["PHRASES", "REASONS", "c4_lines", "line_end", "next_line", "stripped"]

REASONS = ("long word", "no closing mark", "few words", "lorem ipsum", "javascript", "curly bracket", "policy phrase")
LONG, UNCLOSED, FEW, LOREM, SCRIPT, CURLY, POLICY = range(1, 8)
PHRASES = (
    "lorem ipsum",
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
WIDTH = max(map(len, PHRASES))
LETTERS = np.array([[ord(c) for c in phrase.ljust(WIDTH, "\0")] for phrase in PHRASES], np.uint32)
LENGTHS = np.array([len(phrase) for phrase in PHRASES])
FIRST = np.zeros(128, np.bool_)
FIRST[LETTERS[:, 0]] = True
EDIT = np.array([ord(c) for c in "[edit]"], np.uint32)
NEEDED = np.array([ord(c) for c in "[citation needed]"], np.uint32)


@njit(cache=True, nogil=True)
def line_end(flags, at, n):
    """Where the line that begins at `at` ends: at its break, or at n."""
    while at < n and not flags[at] & LINE_BREAK:
        at += 1
    return at


@njit(cache=True, nogil=True)
def next_line(points, end, n):
    """Where the line after a break at `end` begins: a carriage return and a line feed are one break."""
    return end + 2 if end + 1 < n and points[end] == 0x0D and points[end + 1] == 0x0A else end + 1


@njit(cache=True, nogil=True)
def stripped(flags, start, stop):
    """Characters [start, stop) without the white space at both ends."""
    while start < stop and flags[start] & SPACE:
        start += 1
    while stop > start and flags[stop - 1] & SPACE:
        stop -= 1
    return start, stop


@njit(cache=True, nogil=True, inline="always")
def _lower(point):
    if 0x41 <= point <= 0x5A:
        return point + np.uint32(32)
    return np.uint32(0x6B) if point == 0x212A else point  # the Kelvin sign is a k


@njit(cache=True, nogil=True)
def _here(points, at, stop, pattern):
    if at + len(pattern) > stop:
        return False
    for i in range(len(pattern)):  # noqa: SIM110 - numba has no generators here
        if points[at + i] != pattern[i]:
            return False
    return True


@njit(cache=True, nogil=True)
def _citation(points, flags, at, stop):
    """Length of the citation mark that begins at a "[", or 0."""
    end = at + 1
    while end < stop and flags[end] & NUMBER:
        end += 1
    if end < stop and points[end] == 0x5D:
        return end + 1 - at
    if _here(points, at, stop, EDIT):
        return len(EDIT)
    return len(NEEDED) if _here(points, at, stop, NEEDED) else 0


@njit(cache=True, nogil=True)
def _phrases(points, a, b):
    """Bit set of the phrases in points [a, b), lower-cased."""
    found = 0
    for at in range(a, b):
        first = _lower(points[at])
        if first >= 128 or not FIRST[first]:
            continue
        for number in range(len(LENGTHS)):
            length = LENGTHS[number]
            if LETTERS[number, 0] != first or at + length > b:
                continue
            same = True
            for i in range(1, length):
                if _lower(points[at + i]) != LETTERS[number, i]:
                    same = False
                    break
            if same:
                found |= 1 << number
    return found


@njit(cache=True, nogil=True)
def c4_lines(points, flags, n, starts, stops, count, max_word, min_words, keys, parts, units, verdicts, bounds):
    """Verdicts of the lines of one text.

    Args:
        points: code points (n) and flags of the text; its tokens are [starts, stops), `count` of them.
        max_word: longest word allowed (characters between white space).
        min_words: fewest words of a line.
        keys: with `parts`, `units`: tables of the tokenizer.
        verdicts: written for the first len(verdicts) lines: 0 kept, else 1 + place in `REASONS`.
        bounds: (len(verdicts), 2): the characters of each line without its break.

    Returns:
        lines, lines kept, sentences in kept lines, lorem ipsum lines, lines with a curly bracket.
    """
    lines = kept = total = lorem = curly = 0
    token = 0
    at = 0
    while at < n:
        end = line_end(flags, at, n)
        a, b = stripped(flags, at, end)
        first = token
        while token < count and starts[token] < end:
            token += 1
        words = longest = 0
        marks = False
        i = a
        while i < b:
            begin = i
            while i < b and not flags[i] & SPACE:
                if points[i] == 0x5B:
                    marks = True
                i += 1
            words += 1
            longest = max(longest, i - begin)
            while i < b and flags[i] & SPACE:
                i += 1
        text, kinds, c, d = points, flags, a, b
        if marks:  # cut citation marks out
            marks = False
            fresh = np.empty(b - a, np.uint32)
            kind = np.empty(b - a, np.uint32)
            size = 0
            i = a
            while i < b:
                skip = _citation(points, flags, i, b) if points[i] == 0x5B else 0
                if skip:
                    marks = True
                    i += skip
                else:
                    fresh[size] = points[i]
                    kind[size] = flags[i]
                    size += 1
                    i += 1
            if marks:
                text, kinds, c, d = fresh, kind, 0, size
        verdict = 0
        last = text[d - 1] if d > c else np.uint32(0)
        if max_word >= 0 and longest > max_word:
            verdict = LONG
        elif not (last == 0x2E or last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27) or (
            last == 0x2E and d - c > 2 and text[d - 2] == 0x2E and text[d - 3] == 0x2E
        ):
            verdict = UNCLOSED
        elif words < min_words:
            verdict = FEW
        else:
            found = _phrases(text, c, d)
            bracket = False
            for i in range(c, d):
                if text[i] == 0x7B:
                    bracket = True
                    break
            if found & 1:
                verdict = LOREM
                lorem += 1
            elif found & 2:
                verdict = SCRIPT
            elif bracket:
                verdict = CURLY
                curly += 1
            elif found > 3:
                verdict = POLICY
            elif marks:
                begun = np.empty(d - c + 2, np.int32)
                ended = np.empty(d - c + 2, np.int32)
                cut = tokenize(text, kinds, c, d, begun, ended, keys, parts, units)
                total += sentences(text, kinds, begun, ended, 0, cut)
                kept += 1
            else:
                total += sentences(points, flags, starts, stops, first, token)
                kept += 1
        if lines < len(verdicts):
            verdicts[lines] = verdict
            bounds[lines, 0] = at
            bounds[lines, 1] = end
        lines += 1
        at = next_line(points, end, n)
    return lines, kept, total, lorem, curly
