"""Disguised words: find them, and say what they stand for.

A token (between white space) is read again with its disguise undone, and counts only when what comes out is, letter by letter, a
word of a given list of hashes. So no disguise can turn an ordinary word or an identifier into anything: `Scunthorpe` is
never searched inside, `hash_items` and `WTF::Vector` are identifiers and left alone.

Undone are: look-alike letters of Cyrillic and Greek, full-width and accented letters and zero-width characters (by the
house's folding), digits and signs for letters (`1` as i or l, `$` as s, ...), marks between letters, letters that stand alone one
after the other, letters said three times or more, and one or two letters hidden by `*` or `#`.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
from numba import njit

from antivenom.data.words import LIMIT, MIX, PRIME, SEED, _tables, text_buffers
from antivenom.screen.scoring.byte_bits import SPACE, ascii_table, byte_bits, first_set, load64
from antivenom.screen.toxicity.idle_tokens import INNER_EDGE, INNER_SIGN, idle_bytes, perhaps_disguised

__all__ = ["Disguises", "Found", "disguise_table", "find_disguised", "undo"]

LONGEST = 32  # letters of a token that is looked at
LOOKALIKES = {
    **{"а": "a", "с": "c", "ԁ": "d", "е": "e", "һ": "h", "і": "i", "ј": "j", "к": "k", "ӏ": "l", "м": "m", "о": "o"},
    **{"р": "p", "ԛ": "q", "ѕ": "s", "т": "t", "у": "y", "ѵ": "v", "ԝ": "w", "х": "x", "в": "b", "ь": "b", "н": "h"},
    **{"α": "a", "β": "b", "ϲ": "c", "ε": "e", "η": "n", "ι": "i", "ϳ": "j", "κ": "k", "ν": "v", "ο": "o", "ρ": "p"},
    **{"σ": "o", "τ": "t", "υ": "u", "ω": "w", "χ": "x", "γ": "y"},
}
"""Cyrillic and Greek letters (lower case) that look like Latin ones."""
SIGNS = {"@": "a", "4": "a", "8": "b", "3": "e", "€": "e", "!": "i", "1": "i", "|": "i", "0": "o", "$": "s", "5": "s"}
SIGNS |= {"7": "t", "+": "t", "9": "g", "6": "g", "2": "z"}
INNER = "-.'’·•~^`"  # between letters they separate nothing
CODE = '_(){}[]=<>/\\;:,"&%'  # a token with one of these inside is code, an address or several words
EDGES = "\"'`()[]{}<>,;:?.“”‘’…-*#!_"

TOP = np.uint64(64 - 14)
LOW = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)  # the first n of eight bytes
LETTER, SIGN, DIGIT, STAR, MARK, STOP = 1, 2, 3, 4, 5, 6


@cache
def _classes() -> tuple[np.ndarray, np.ndarray]:
    """Class of every code point below LIMIT, and the Latin letter it stands for (0: none)."""
    kind, starts, flat = _tables()
    group = np.zeros(LIMIT, np.uint8)
    plain = np.zeros(LIMIT, np.uint8)
    looks = np.zeros(LIMIT, np.uint8)
    for character, letter in LOOKALIKES.items():
        looks[ord(character)] = ord(letter)
    single = np.flatnonzero((starts[1:] - starts[:-1] == 1) & (kind == 1))
    folded = flat[starts[single]]
    latin = (folded >= 97) & (folded <= 122)
    letter = np.where(latin, folded, looks[np.minimum(folded, LIMIT - 1)]).astype(np.uint8)
    plain[single], group[single] = letter, np.where(letter > 0, LETTER, STOP)
    group[(group == 0) & ((kind == 1) | (kind == 2))] = STOP
    for characters, value in ((SIGNS, SIGN), (INNER, MARK), (CODE, STOP), ("*#", STAR)):
        for character in characters:
            group[ord(character)] = DIGIT if character.isdigit() else value
    for character, stands in SIGNS.items():
        plain[ord(character)] = ord(stands)
    return group, plain


@cache
def disguise_table() -> np.ndarray:
    """`ascii_table` with the signs that a disguised word can hold: those that are stripped from a token's edges, and others."""
    group, table = _classes()[0], ascii_table()
    for byte in range(128):
        if group[byte] in (SIGN, DIGIT, STAR, MARK):
            table[byte] |= np.uint64(1 << (INNER_EDGE if chr(byte) in EDGES else INNER_SIGN))
    return table


@dataclass
class Disguises:
    """What was found in a batch, in the order of the text.

    Attributes:
        row: int64, the row.
        start, stop: int64, bytes of the row that stand for the word.
        word: int64, its number in the sorted list of hashes.
        letters: uint8 (n, LONGEST + 1), its length, then its letters.
    """

    row: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    word: np.ndarray
    letters: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def spelled(self, i: int) -> str:
        """The word that number i stands for."""
        return bytes(self.letters[i, 1 : 1 + self.letters[i, 0]]).decode("ascii")


@dataclass(frozen=True)
class Found:
    """Characters [start, stop) of a text that stand for a listed word."""

    start: int
    stop: int
    word: str


def find_disguised(texts: pa.LargeStringArray, words: np.ndarray, lanes: np.ndarray | None = None) -> Disguises:
    """Every disguised word of a list in a column of texts.

    Args:
        texts: the column.
        words: uint64, the sorted `hash_token` values of the list.
        lanes: `byte_bits` of the column by `disguise_table`, where they are at hand.
    """
    data, offsets = text_buffers(texts)
    lanes = byte_bits(data, offsets, disguise_table()) if lanes is None else lanes
    places = lanes[SPACE], perhaps_disguised(lanes, offsets)
    # room for one in 64 bytes, more than text has: without it everything is read a second time
    room = 1024 + int(offsets[-1] - offsets[0]) // 64
    while True:
        found = np.empty((room, 4), np.int64)
        letters = np.empty((room, LONGEST + 1), np.uint8)
        n = _find(data, offsets, *places, *_classes(), _tables()[0], words, found, letters)
        if n <= room:
            row, start, stop, word = found[:n].T
            return Disguises(row, start, stop, word, letters[:n])
        room = 2 * n


def undo(text: str, words: np.ndarray) -> tuple[str, list[Found]]:
    """The text with its disguised words written plainly, and where they stood in the original.

    Args:
        text: any.
        words: uint64, the sorted `hash_token` values of the list.
    """
    raw = text.encode("utf-8", "surrogatepass")
    found = find_disguised(pa.array([text], pa.large_string()), words)
    places = []
    for i in range(len(found)):
        start, stop = (len(raw[: int(at[i])].decode("utf-8")) for at in (found.start, found.stop))
        places.append(Found(start, stop, found.spelled(i)))
    return _spelled_out(raw, found, 0, len(found)), places


def _spelled_out(raw: bytes, found: Disguises, first: int, last: int) -> str:
    pieces, at = [], 0
    for i in range(first, last):
        pieces += [raw[at : int(found.start[i])], found.spelled(i).encode()]
        at = int(found.stop[i])
    return b"".join([*pieces, raw[at:]]).decode("utf-8")


_EDGES = np.zeros(128, np.bool_)
for _character in EDGES:
    if ord(_character) < 128:
        _EDGES[ord(_character)] = True


@njit(cache=True, nogil=True)
def _edge(code):
    return code < 128 and _EDGES[code]


@njit(cache=True, nogil=True)
def _lookup(letters, n, words, likely):
    """Number of the word in the sorted list, or -1."""
    value = SEED
    for i in range(n):
        value = (value ^ np.uint64(letters[i])) * PRIME
    value ^= value >> np.uint64(32)
    value *= MIX
    value ^= value >> np.uint64(29)
    if not likely[value >> TOP]:
        return -1
    at = np.searchsorted(words, value)
    return at if at < len(words) and words[at] == value else -1


@njit(cache=True, nogil=True)
def _squeezed(letters, n, keep, out):
    """Runs of three or more equal letters shortened to `keep`."""
    m = 0
    at = 0
    while at < n:
        stop = at
        while stop < n and letters[stop] == letters[at] and letters[at] != 42:
            stop += 1
        stop = max(stop, at + 1)
        times = stop - at
        for _ in range(keep if times >= 3 else times):
            out[m] = letters[at]
            m += 1
        at = stop
    return m


@njit(cache=True, nogil=True)
def _match(letters, ones, n, stars, words, likely, trial, out):
    """Number of the first listed word that the letters can stand for; its letters are in out, its length is returned too."""
    for one in range(2):
        if one and not ones[:n].any():
            break
        for i in range(n):
            trial[i] = 108 if one and ones[i] else letters[i]  # a 1 is an i, then an l
        before = -1
        for keep in range(1, 3):
            m = _squeezed(trial, n, keep, out)
            if m == before:  # nothing stands three times running: the same letters again
                break
            before = m
            if stars == 0:
                word = _lookup(out, m, words, likely)
                if word >= 0:
                    return word, m
                continue
            first, second = -1, -1
            for i in range(m):
                if out[i] == 42:
                    first, second = (i, second) if first < 0 else (first, i)
            for a in range(97, 123):
                out[first] = a
                if second < 0:
                    word = _lookup(out, m, words, likely)
                    if word >= 0:
                        return word, m
                else:
                    for b in range(97, 123):
                        out[second] = b
                        word = _lookup(out, m, words, likely)
                        if word >= 0:
                            return word, m
    return -1, 0


@njit(cache=True, nogil=True)
def _find(data, offsets, space, perhaps, group, plain, kind, words, found, spelled):
    likely = np.zeros(1 << 14, np.bool_)  # by the first bits of a hash: most letters are no listed word
    for word in words:
        likely[word >> TOP] = True
    codes = np.empty(3 * LONGEST, np.int64)
    where = np.empty(3 * LONGEST + 1, np.int64)
    letters = np.empty(LONGEST, np.uint8)
    ones = np.empty(LONGEST, np.bool_)
    trial = np.empty(LONGEST, np.uint8)
    out = np.empty(LONGEST, np.uint8)
    run = np.empty(LONGEST, np.uint8)  # letters that stand alone, one after the other
    run_at = np.empty(LONGEST, np.int64)
    none = np.zeros(LONGEST, np.bool_)
    ordinary = np.zeros((1 << 14, 2), np.uint64)  # bytes and length of tokens that were read and are no disguise
    readable = len(data) - 16
    count = 0
    first = offsets[0]
    for row in range(len(offsets) - 1):
        base, end = offsets[row], offsets[row + 1]
        at = base
        alone = 0
        run_stop = base
        while at <= end:
            while at < end and (data[at] == 32 or 9 <= data[at] <= 13):
                at += 1
            # one token: its code points, without those that do not show
            size = 0
            plainly = True  # nothing but ASCII letters, none three times
            hidden = False
            last, times = 0, 0
            inside = 0  # 1: a letter was seen, 2: and behind it a sign of code
            begin = at
            x = y = np.uint64(0)
            slot = -1  # of a token of which is not known yet that it is no disguise
            idle = idle_bytes(space, perhaps, at - first, end - first)
            if idle:
                at += idle  # the same outcome as below, without looking at their letters
                size = 2
            elif at < end:
                stop = first_set(space, at - first, end - first) + first
                if 1 < stop - at < 16 and at <= readable:
                    x = load64(data, at) & LOW[min(stop - at, 8)]
                    y = load64(data, at + 8) & LOW[max(stop - at - 8, 0)] | np.uint64(stop - at) << np.uint64(56)
                    slot = np.int64(((x ^ (y * PRIME)) * MIX) >> TOP)
                    if ordinary[slot, 0] == x and ordinary[slot, 1] == y:
                        at = stop
                        size = 2
                        slot = -1
            while at < end and not (data[at] == 32 or 9 <= data[at] <= 13):
                byte = data[at]
                here = at
                if byte < 128:
                    code = np.int64(byte)
                    at += 1
                    low = code | 32
                    if not 97 <= low <= 122:
                        plainly = False
                        if inside and group[code] == STOP:
                            inside = 2
                    elif inside == 2:  # code between letters: no disguise, whatever follows
                        at = first_set(space, at - first, end - first) + first
                        size = 2
                        break
                    else:
                        inside = 1
                    times = times + 1 if low == last else 1
                    last = low
                    if times >= 3:
                        plainly = False
                else:
                    plainly = False
                    if byte < 0xE0:
                        code = (np.int64(byte & 0x1F) << 6) | (data[at + 1] & 0x3F)
                        at += 2
                    elif byte < 0xF0:
                        code = (
                            (np.int64(byte & 0x0F) << 12) | (np.int64(data[at + 1] & 0x3F) << 6) | (data[at + 2] & 0x3F)
                        )
                        at += 3
                    else:
                        code = np.int64(LIMIT - 1)
                        at += 4
                    if code >= LIMIT:
                        code = np.int64(LIMIT - 1)
                    if kind[code] == 3:
                        hidden = True
                        continue
                if size < 3 * LONGEST:
                    codes[size] = code
                    where[size] = here
                    where[size + 1] = at
                size += 1
            single = size == 1 and group[codes[0]] == LETTER
            if single:
                if alone < LONGEST:
                    run[alone] = plain[codes[0]]
                    run_at[alone] = begin
                    alone += 1
                    run_stop = at
            if not single or at >= end:
                if alone >= 3:
                    for skip in range(2):  # "you a f u ..." - the first letter may be a word
                        if alone - skip < 3 or (skip and run[0] != 97 and run[0] != 105 and run[0] != 117):
                            break
                        word, n = _match(run[skip:], none, alone - skip, 0, words, likely, trial, out)
                        if word >= 0:
                            if count < len(found):
                                found[count] = row, run_at[skip] - base, run_stop - base, word
                                spelled[count, 0] = n
                                spelled[count, 1 : n + 1] = out[:n]
                            count += 1
                            break
                alone = 0
            if at >= end and size == 0:
                break
            if (plainly and not hidden) or single or size < 3 or size > 3 * LONGEST:
                if slot >= 0 and size > 1:
                    ordinary[slot, 0], ordinary[slot, 1] = x, y
                if at >= end:
                    break
                continue
            # without what stands around it
            left, right = 0, size
            while left < right and (_edge(codes[left]) or (group[codes[left]] == 0)):
                left += 1
            while right > left and (_edge(codes[right - 1]) or group[codes[right - 1]] == 0):
                right -= 1
            n = stars = real = digits = 0
            changed = hidden
            good = right - left >= 3
            last = 0
            times = 0
            for i in range(left, right):
                what = group[codes[i]]
                if what == MARK and i > left:
                    changed = True
                    continue
                if what == 0 or what in (STOP, MARK) or n == LONGEST:
                    good = False
                    break
                if what == STAR:
                    stars += 1
                    letters[n] = 42
                else:
                    letters[n] = plain[codes[i]]
                ones[n] = codes[i] == 49 or codes[i] == 124 or codes[i] == 33
                if what == LETTER:
                    real += 1
                    changed = changed or codes[i] > 127
                else:
                    changed = True
                    digits += what == DIGIT
                times = times + 1 if letters[n] == last else 1
                last = letters[n]
                changed = changed or times >= 3
                n += 1
            word = m = -1
            if good and changed and real >= 1 and real >= digits and stars <= 2 and n >= 3 and not (stars and n < 4):
                word, m = _match(letters, ones, n, stars, words, likely, trial, out)
                if word >= 0:
                    if count < len(found):
                        found[count] = row, where[left] - base, where[right - 1 + 1] - base, word
                        spelled[count, 0] = m
                        spelled[count, 1 : m + 1] = out[:m]
                    count += 1
            if word < 0 and slot >= 0:
                ordinary[slot, 0], ordinary[slot, 1] = x, y
            if at >= end:
                break
    return count
