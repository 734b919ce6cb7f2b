"""Cutting English text into tokens, in numba: words, punctuation and contractions as spaCy's blank English pipeline cuts them.

The thresholds of the public rule filters were set on, and are applied to, these tokens (datatrove counts words so), and
therefore a faster way of counting that disagrees would move verdicts. The algorithm, per stretch without white space:

1. strip a prefix and a suffix (quotes, brackets, currency signs, "'s", units after a digit, ...) as long as there is one, unless
   what is left is a known case (`english`);
2. what is left is a known case, or a URL, or is cut at infixes (hyphens between letters, runs of dots, ...);
3. neighbouring tokens that together spell a short known case ("):" or "vs.") are put together.

Everything works on code points and the flags of `characters`, linear in the text's length.
"""

import numpy as np
from numba import njit

from antivenom.screen.quality.characters import (
    CLOSES,
    CURRENCY,
    DIGIT,
    HOST,
    HYPHEN,
    ICON,
    LETTER,
    LIMIT,
    LOWER,
    PUNCTUATION,
    QUOTE,
    SCHEME,
    SPACE,
    STARTS,
    STOP,
    UPPER,
)
from antivenom.screen.quality.english import BASE, LONGEST, SIZE, hash_of

__all__ = ["UNITS", "decode", "hash_range", "is_known", "sentences", "tokenize"]

UNITS = np.sort(
    np.array(
        [
            hash_of(unit)
            for unit in [
                "km",
                "m",
                "dm",
                "cm",
                "mm",
                "km²",
                "m²",
                "dm²",
                "cm²",
                "mm²",
                "km³",
                "m³",
                "dm³",
                "cm³",
                "mm³",
                "ha",
                "µm",
                "nm",
                "yd",
                "in",
                "ft",
                "kg",
                "g",
                "mg",
                "µg",
                "t",
                "lb",
                "oz",
                "m/s",
                "km/h",
                "kmh",
                "mph",
                "hPa",
                "Pa",
                "mbar",
                "mb",
                "MB",
                "kb",
                "KB",
                "gb",
                "GB",
                "tb",
                "TB",
                "T",
                "G",
                "M",
                "K",
                "%",
                "км",
                "м",
                "дм",
                "см",
                "мм",
                "нм",
                "кг",
                "г",
                "мг",
            ]
        ],
        np.uint64,
    )
)
LONGEST_UNIT = 4
MASK = np.uint64(SIZE - 1)
DOT, ELLIPSIS = 0x2E, 0x2026


@njit(cache=True, nogil=True)
def decode(data, start, stop, table, points, flags):
    """Code points and flags of UTF-8 bytes [start, stop); returns how many."""
    n = 0
    at = start
    while at < stop:
        byte = data[at]
        if byte < 0x80:
            code = np.uint32(byte)
            at += 1
        elif byte < 0xE0:
            code = np.uint32(((byte & 0x1F) << 6) | (data[at + 1] & 0x3F))
            at += 2
        elif byte < 0xF0:
            code = np.uint32(((byte & 0x0F) << 12) | ((data[at + 1] & 0x3F) << 6) | (data[at + 2] & 0x3F))
            at += 3
        else:
            high = ((byte & 0x07) << 18) | ((data[at + 1] & 0x3F) << 12)
            code = np.uint32(high | ((data[at + 2] & 0x3F) << 6) | (data[at + 3] & 0x3F))
            at += 4
        points[n] = code
        flags[n] = table[code] if code < LIMIT else 0
        n += 1
    return n


@njit(cache=True, nogil=True, inline="always")
def hash_range(points, start, stop):
    """Polynomial hash (base odd, modulo 2^64) of code points; concatenation of texts is h(a) B^|b| + h(b)."""
    value = np.uint64(0)
    for i in range(start, stop):
        value = value * BASE + np.uint64(points[i]) + np.uint64(1)
    return value


@njit(cache=True, nogil=True)
def is_known(points, start, stop, keys):
    """Slot of a known case in the lookup table, or -1."""
    if stop - start > LONGEST or stop <= start:
        return -1
    key = hash_range(points, start, stop)
    slot = (key >> np.uint64(40)) & MASK
    while keys[slot] != 0:
        if keys[slot] == key:
            return np.int64(slot)
        slot = (slot + np.uint64(1)) & MASK
    return -1


@njit(cache=True, nogil=True)
def _prefix(points, flags, a, b):
    """Length of the prefix token of [a, b), or 0."""
    first = points[a]
    if flags[a] & STARTS:
        return 1
    if first == 0x2B:  # + not before a digit
        return 0 if a + 1 < b and flags[a + 1] & DIGIT else 1
    if first == DOT:
        run = a + 1
        while run < b and points[run] == DOT:
            run += 1
        return run - a if run - a > 1 else 0
    if b - a > 2 and first == 0x55 and points[a + 1] == 0x53 and points[a + 2] == 0x24:  # US$
        return 3
    if b - a > 1 and (first == 0x41 or first == 0x43) and points[a + 1] == 0x24:  # A$, C$
        return 2
    return 0


@njit(cache=True, nogil=True)
def _suffix(points, flags, a, b, units):
    """Length of the longest suffix token of [a, b), or 0."""
    if b <= a:
        return 0
    last = points[b - 1]
    flag = flags[b - 1]
    found = 0
    if last == DOT:
        run = b - 1
        while run > a and points[run - 1] == DOT:
            run -= 1
        if b - run > 1:
            return b - run
        if b - a < 2:
            return 0
        before = points[b - 2]
        kind = flags[b - 2]
        if kind & (DIGIT | LOWER | QUOTE):
            return 1
        if kind & CLOSES and not kind & ICON and before not in (0x2013, 0x2014):
            return 1
        if before in (0x25, 0xB2, 0x2D, 0x2B, 0x7C):
            return 1
        if b - a > 2 and kind & UPPER and flags[b - 3] & UPPER:
            return 1
        return 0
    if flag & CLOSES:
        if last == ELLIPSIS and b - a > 1 and points[b - 2] == ELLIPSIS:
            return 2
        return 1
    if last == 0x73 or last == 0x53:  # 's
        if b - a > 1 and (points[b - 2] == 0x27 or points[b - 2] == 0x2019):
            return 2
        return 0 if not (b - a > 1 and points[b - 2] == 0x2F) else _unit(points, flags, a, b, units)
    if last == 0x2B:
        return 1 if b - a > 1 and flags[b - 2] & DIGIT else 0
    if flag & CURRENCY:
        if b - a > 1 and flags[b - 2] & DIGIT:
            found = 1
        elif last == 0x24:
            if b - a > 2 and flags[b - 3] & DIGIT and (points[b - 2] == 0x41 or points[b - 2] == 0x43):
                found = 2
            elif b - a > 3 and flags[b - 4] & DIGIT and points[b - 3] == 0x55 and points[b - 2] == 0x53:
                found = 3
        return found
    if flag & DIGIT:
        return 0
    return _unit(points, flags, a, b, units)


@njit(cache=True, nogil=True)
def _unit(points, flags, a, b, units):
    low = b - 1
    while low > a and b - low <= LONGEST_UNIT and not flags[low - 1] & DIGIT:
        low -= 1
    if low > a and flags[low - 1] & DIGIT:
        key = hash_range(points, low, b)
        place = np.searchsorted(units, key)
        if place < len(units) and units[place] == key:
            return b - low
    return 0


@njit(cache=True, nogil=True)
def _host(points, flags, a, b):
    """Does [a, b) read as host.tld, perhaps with a port, and a path?"""
    at = a
    labels = 0
    while True:
        start = at
        lower = True
        while at < b and (flags[at] & HOST or points[at] == 0x5F or points[at] == 0x2D):
            if not flags[at] & LOWER:
                lower = False
            at += 1
        if at == start:
            return False
        if labels and lower and 2 <= at - start <= 63:
            if at == b:
                return True
            stop = at
            if points[stop] == 0x3A:
                stop += 1
                while stop < b and flags[stop] & DIGIT:
                    stop += 1
                if not 3 <= stop - at <= 6:
                    stop = at
                elif stop == b:
                    return True
            if points[stop] == 0x2F or points[stop] == 0x3F or points[stop] == 0x23:
                return True
        if at >= b or points[at] != DOT:
            # a lower-case label may end inside the run, before "-" or "_": no host ends there
            return False
        if at - start > 64 or not flags[start] & HOST or not flags[at - 1] & HOST:
            return False
        labels += 1
        at += 1


@njit(cache=True, nogil=True)
def _is_url(points, flags, a, b):
    dotted = False
    for i in range(a + 1, b - 2):
        if points[i] == DOT:
            dotted = True
            break
    if not dotted:
        return False
    if _host(points, flags, a, b):
        return True
    at = a
    while at < b and flags[at] & SCHEME:
        at += 1
    scheme = at - a >= 2 and at + 3 < b and points[at] == 0x3A and points[at + 1] == 0x2F and points[at + 2] == 0x2F
    if scheme and _host(points, flags, at + 3, b):
        return True
    for i in range(a + 1, b - 1):  # noqa: SIM110 - numba has no generators here
        if points[i] == 0x40 and _host(points, flags, i + 1, b):  # user@host
            return True
    return False


@njit(cache=True, nogil=True)
def _infix(points, flags, i, a, b):
    """Length of the infix token at i of [a, b), or 0."""
    point = points[i]
    flag = flags[i]
    if flag & LETTER and not flag & ICON:
        return 0
    if point == DOT:
        run = i + 1
        while run < b and points[run] == DOT:
            run += 1
        if run - i > 1:
            return run - i
        if i > a and run < b and flags[i - 1] & (LOWER | QUOTE) and flags[run] & (UPPER | QUOTE):
            return 1
        return 0
    if point == ELLIPSIS or flag & ICON:
        return 1
    if i == a or i + 1 >= b:
        return 0
    before = flags[i - 1]
    after = flags[i + 1]
    if point in (0x2B, 0x2D, 0x2A, 0x5E) and before & DIGIT and (after & DIGIT or points[i + 1] == 0x2D):
        return 1
    if point == 0x2C:
        return 1 if before & LETTER and after & LETTER else 0
    if flag & HYPHEN:
        if not before & (LETTER | DIGIT):
            return 0
        if after & LETTER:
            return 1
        if point == 0x2D and points[i + 1] == 0x2D:
            if i + 2 < b and flags[i + 2] & LETTER:
                return 2
            if i + 3 < b and points[i + 2] == 0x2D and flags[i + 3] & LETTER:
                return 3
        if point == 0x2014 and points[i + 1] == 0x2014 and i + 2 < b and flags[i + 2] & LETTER:
            return 2
        return 0
    if point in (0x3A, 0x3C, 0x3E, 0x3D, 0x2F) and before & (LETTER | DIGIT) and after & LETTER:
        return 1
    return 0


@njit(cache=True, nogil=True)
def _merge(points, starts, stops, first, count, keys, parts):
    """Put neighbouring tokens of one stretch together where they spell a short known case.

    The wider case wins, then the earlier one; a case that overlaps another bars its tokens even when it does not win, so
    that of a run of apostrophes only the first two are put together.
    """
    size = count - first
    width_at = np.zeros(0, np.int8)
    barred = np.zeros(0, np.bool_)
    for width in (3, 2):
        for i in range(size - width + 1):
            begin, end = starts[first + i], stops[first + i + width - 1]
            if end - begin > 4:
                continue
            slot = is_known(points, begin, end, keys)
            if slot < 0 or parts[slot] != end - begin:  # a case of one token
                continue
            if len(barred) == 0:
                width_at = np.zeros(size, np.int8)
                barred = np.zeros(size, np.bool_)
            if not barred[i] and not barred[i + width - 1]:
                width_at[i] = width
            barred[i : i + width] = True
    if len(barred) == 0:
        return count
    to = first
    i = 0
    while i < size:
        width = max(1, np.int64(width_at[i]))
        starts[to] = starts[first + i]
        stops[to] = stops[first + i + width - 1]
        to += 1
        i += width
    return to


@njit(cache=True, nogil=True)
def _stretch(points, flags, a, b, count, starts, stops, keys, parts, units):
    """The tokens of one stretch [a, b) without white space, written from `count` on; returns the new count."""
    first = count
    plain = True
    for i in range(a, b):
        if not flags[i] & LETTER or flags[i] & CLOSES:  # the ideographic full stop is both
            plain = False
            break
    whole = is_known(points, a, b, keys)
    if plain and whole < 0:
        starts[count] = a
        stops[count] = b
        return count + 1
    top = len(starts)  # suffixes wait at the far end of the arrays: a token has a character or more, so they never meet
    begun, ended = a, b
    while a < b and whole < 0:
        before = _prefix(points, flags, a, b)
        if before and a + before < b:
            whole = is_known(points, a + before, b, keys)
            if whole >= 0:
                starts[count] = a
                stops[count] = a + before
                count += 1
                a += before
                break
        after = _suffix(points, flags, a + before, b, units)
        if after and b - after > a:
            whole = is_known(points, a, b - after, keys)
            if whole >= 0:
                top -= 1
                starts[top] = b - after
                stops[top] = b
                b -= after
                break
        if before == 0 and after == 0:
            break
        if before:
            starts[count] = a
            stops[count] = a + before
            count += 1
            a += before
        if after:
            top -= 1
            starts[top] = b - after
            stops[top] = b
            b -= after
        whole = is_known(points, a, b, keys)
    if whole >= 0:
        packed = parts[whole]
        while packed:
            length = np.int64(packed & np.uint32(15))
            starts[count] = a
            stops[count] = a + length
            count += 1
            a += length
            packed >>= np.uint32(4)
    elif a < b:
        if _is_url(points, flags, a, b):
            starts[count] = a
            stops[count] = b
            count += 1
        else:
            start = a
            i = a
            while i < b:
                length = _infix(points, flags, i, a, b)
                if length == 0:
                    i += 1
                    continue
                if i == a:  # nothing stands before it
                    i += length
                    continue
                if i != start:
                    starts[count] = start
                    stops[count] = i
                    count += 1
                starts[count] = i
                stops[count] = i + length
                count += 1
                i += length
                start = i
            if start < b:
                starts[count] = start
                stops[count] = b
                count += 1
    for j in range(top, len(starts)):
        starts[count] = starts[j]
        stops[count] = stops[j]
        count += 1
    if count - first > 1 and ended - begun <= 512:
        count = _merge(points, starts, stops, first, count, keys, parts)
    return count


@njit(cache=True, nogil=True)
def tokenize(points, flags, a, b, starts, stops, keys, parts, units):
    """Tokens of points [a, b) as [start, stop); arrays of b - a + 2 or more; returns how many."""
    count = 0
    at = a
    while at < b:
        while at < b and flags[at] & SPACE:
            at += 1
        begin = at
        while at < b and not flags[at] & SPACE:
            at += 1
        if at > begin:
            count = _stretch(points, flags, begin, at, count, starts, stops, keys, parts, units)
    return count


@njit(cache=True, nogil=True)
def sentences(points, flags, starts, stops, first, last):
    """Sentences in the tokens [first, last) of one line: a new one begins after a closing mark with what is no punctuation.

    White space other than one plain space between two tokens counts as a token of its own.
    """
    if last <= first:
        return 0
    count = 1
    ended = False
    for token in range(first, last):
        a, b = starts[token], stops[token]
        if token > first and ended:
            gap = stops[token - 1]
            if a - gap > 1 or (a - gap == 1 and points[gap] != 0x20):
                count += 1
                ended = False
        stop = b - a == 1 and flags[a] & STOP != 0
        if ended and not stop:
            marks = True
            for i in range(a, b):
                if not flags[i] & PUNCTUATION:
                    marks = False
                    break
            if not marks:
                count += 1
                ended = False
        if stop:
            ended = True
    return count
