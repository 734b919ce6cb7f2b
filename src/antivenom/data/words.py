"""Words: the one way in which the house cuts and folds text.

A word is a maximal run of word characters (Unicode letters, digits and marks); a Han ideograph, Hiragana or Katakana
character is a word of its own. `_` and all punctuation separate, so `snake_case` is two words. Zero-width characters,
combining accents (U+0300-U+036F), marks around symbols (U+20D0-U+20F0), the sound marks of kana (U+3099-U+309A) and variation
selectors (U+FE00-U+FE0F) are passed over: an emoji is no word. Every character
is folded by itself:

    fold(c) = NFKD(casefold(NFKD(c) without marks)), without these marks and without what is no word character

so that composed, decomposed, full-width and ligature spellings of a word fold to the same letters by construction,
and the offsets always speak of the original text. (Symbols that stand for several words, such as a vulgar fraction, are the
exception: one word here, two when somebody has spelled them out.)
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

__all__ = [
    "CharSpans",
    "Word",
    "WordTable",
    "char_offset",
    "char_span",
    "fold",
    "fold_stream",
    "hash_token",
    "hash_words",
    "text_buffers",
    "words",
]

ASCII_WORD = re.compile("[A-Za-z0-9]+")
MARKS = ((0x0300, 0x036F), (0x20D0, 0x20F0), (0x3099, 0x309A), (0xFE00, 0xFE0F))
LIMIT = 0x32000  # the last assigned letters end below; private use and beyond are separators
SEPARATOR, LETTER, SINGLE, IGNORED = 0, 1, 2, 3
ZERO_WIDTH = {0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF}
SINGLES = (
    (0x3041, 0x3100),
    (0x31F0, 0x3200),
    (0x3400, 0x4DC0),
    (0x4E00, 0xA000),
    (0xF900, 0xFB00),
    (0xFF66, 0xFF9E),
    (0x20000, LIMIT),
)
IDEOGRAPHS = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0x20000, 0x2F800), (0x30000, LIMIT))

SEED = np.uint64(0xCBF29CE484222325)
PRIME = np.uint64(0x100000001B3)
MIX = np.uint64(0x9E3779B97F4A7C15)


class Word(NamedTuple):
    """A folded word and the characters [start, stop) of the original text it stands for."""

    token: str
    start: int
    stop: int


@dataclass
class WordTable:
    """The words of a batch of texts, hashed.

    Attributes:
        hashes: uint64 (n_words,), 64-bit hash of each folded word, row after row.
        starts: int32 (n_words,), where the word begins in its row, in UTF-8 BYTES (see `char_offset`).
        lengths: int32 (n_words,), folded letters in the word (its stretch of `fold_stream`).
        row_offsets: int64 (n_rows + 1,), row i has the words row_offsets[i] : row_offsets[i + 1].
    """

    hashes: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    row_offsets: np.ndarray


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class of every code point below LIMIT, and the code points it folds to (offsets into one flat array)."""
    kind = np.zeros(LIMIT, np.uint8)
    starts = np.zeros(LIMIT + 1, np.int32)
    flat: list[int] = []
    for point in range(LIMIT):
        starts[point] = len(flat)
        character = chr(point)
        if point in ZERO_WIDTH or _is_mark(point):
            kind[point] = IGNORED
        elif any(low <= point < high for low, high in IDEOGRAPHS):  # most of the table, and each folds to itself
            if character.isalnum():
                kind[point] = LETTER
                flat.append(point)
        elif not 0xD800 <= point < 0xE000:
            plain = unicodedata.normalize("NFKD", character)
            if _is_word(character) or (plain != character and all(map(_is_word, plain))):
                kind[point] = LETTER
                folded = "".join(filter(_is_word, plain)).casefold()
                flat += [ord(c) for c in unicodedata.normalize("NFKD", folded) if _is_word(c)]
    starts[LIMIT] = len(flat)
    for low, high in SINGLES:
        kind[low:high] = np.where(kind[low:high] == LETTER, SINGLE, kind[low:high])
    return kind, starts, np.array(flat, np.uint32)


def _is_mark(point: int) -> bool:
    return any(low <= point <= high for low, high in MARKS)


def _is_word(c: str) -> bool:
    return not _is_mark(ord(c)) and (c.isalnum() or unicodedata.category(c)[0] == "M")


def words(text: str) -> list[Word]:
    """The folded words of a text with their character offsets: the plain reference of `hash_words`.

    >>> [w.token for w in words("The \uff11\uff12 Caf\u00e9s, snake_case")]
    ['the', '12', 'cafes', 'snake', 'case']
    """
    if text.isascii():  # the same answer, some thirty times faster
        return [Word(m[0].lower(), m.start(), m.end()) for m in ASCII_WORD.finditer(text)]
    kind, starts, flat = _tables()
    found: list[Word] = []
    token: list[str] = []
    begin = 0
    stop = 0
    for at, character in enumerate(text):
        point = ord(character)
        group = kind[point] if point < LIMIT else SEPARATOR
        if group == IGNORED:
            continue
        if group != LETTER and token:
            found.append(Word("".join(token), begin, stop))
            token = []
        if group == SEPARATOR:
            continue
        letters = [chr(p) for p in flat[starts[point] : starts[point + 1]]]
        if group == SINGLE:
            found.append(Word("".join(letters), at, at + 1))
            continue
        if not letters:
            continue
        if not token:
            begin = at
        token += letters
        stop = at + 1
    if token:
        found.append(Word("".join(token), begin, stop))
    return found


def fold(text: str) -> str:
    """The folded words of a text, joined by single spaces.

    >>> fold("Don't STOP!")
    'don t stop'
    """
    return " ".join(word.token for word in words(text))


def hash_token(token: str) -> int:
    """The 64-bit hash of one folded word, as `hash_words` gives it."""
    value = int(SEED)
    for character in token:
        value = ((value ^ ord(character)) * int(PRIME)) & 0xFFFFFFFFFFFFFFFF
    value ^= value >> 32
    value = (value * int(MIX)) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 29)


def hash_words(texts: pa.LargeStringArray) -> WordTable:
    """Cut, fold and hash all words of a column of texts, straight from its Arrow buffers."""
    data, offsets = text_buffers(texts)
    size = int(offsets[-1] - offsets[0])
    hashes = np.empty(size // 2 + len(texts) + 1, np.uint64)
    starts = np.empty(len(hashes), np.int32)
    lengths = np.empty(len(hashes), np.int32)
    row_offsets = np.empty(len(texts) + 1, np.int64)
    count = _hash_words(data, offsets, *_tables(), hashes, starts, lengths, row_offsets)
    return WordTable(hashes[:count], starts[:count], lengths[:count], row_offsets)


def text_buffers(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 bytes of a text column and its int64 offsets (n + 1), without a copy; nulls read as empty."""
    _, offsets, data = texts.buffers()
    if data is None or len(texts) == 0:
        return np.zeros(1, np.uint8), np.zeros(len(texts) + 1, np.int64)
    spans = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(data, np.uint8)
    return (content if len(content) else np.zeros(1, np.uint8)), spans


def char_offset(text: str, byte: int) -> int:
    """The character at which a UTF-8 byte offset lies (the same number for ASCII text)."""
    if text.isascii():
        return min(byte, len(text))
    return len(text.encode("utf-8", "surrogatepass")[:byte].decode("utf-8", "ignore"))


def char_span(text: str, table: WordTable, row: int, first: int, last: int) -> tuple[int, int]:
    """The characters [start, stop) of a row's words number `first` to `last`, both included."""
    base = table.row_offsets[row]
    start = char_offset(text, int(table.starts[base + first]))
    return start, _word_end(text, char_offset(text, int(table.starts[base + last])))


class CharSpans:
    """`char_span` for many words of a column of texts: asked row by row, it decodes each row once."""

    def __init__(self, texts: pa.LargeStringArray, table: WordTable):
        self.texts, self.table = texts, table
        self.row, self.text = -1, ""
        self.characters: np.ndarray | None = None

    def __call__(self, row: int, first: int, last: int) -> tuple[int, int]:
        """The characters [start, stop) of words number `first` to `last` of a row."""
        if row != self.row:
            self.row, self.text, self.characters = row, self.texts[row].as_py(), None
            if not self.text.isascii():
                raw = np.frombuffer(self.text.encode("utf-8", "surrogatepass"), np.uint8)
                self.characters = np.cumsum((raw & 0xC0) != 0x80) - 1  # the character each byte belongs to
        base = self.table.row_offsets[row]
        start, begin = (int(self.table.starts[base + word]) for word in (first, last))
        if self.characters is not None:
            start, begin = int(self.characters[start]), int(self.characters[begin])
        return start, _word_end(self.text, begin)


def _word_end(text: str, at: int) -> int:
    """Where the word that begins at a character ends."""
    kind = _tables()[0]
    single = ord(text[at]) < LIMIT and kind[ord(text[at])] == SINGLE
    at += 1
    while not single and at < len(text) and ord(text[at]) < LIMIT and kind[ord(text[at])] in (LETTER, IGNORED):
        at += 1
    return at


def fold_stream(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """The folded letters of a column of texts without anything between them.

    Returns:
        code points uint32 (n_letters,), and int64 (n_rows + 1,) where each row's letters begin.
    """
    data, offsets = text_buffers(texts)
    kind, starts, flat = _tables()
    size = int(offsets[-1] - offsets[0])
    room = size if _ascii(data, offsets) else size * max(1, _widest() // 2)
    letters = np.empty(room + 1, np.uint32)
    row_offsets = np.empty(len(texts) + 1, np.int64)
    count = _fold_stream(data, offsets, kind, starts, flat, letters, row_offsets)
    return letters[:count], row_offsets


@cache
def _widest() -> int:
    """Most letters that one character folds to."""
    starts = _tables()[1]
    return int(np.max(starts[1:] - starts[:-1]))


def _ascii(data: np.ndarray, offsets: np.ndarray) -> bool:
    return not bool((data[offsets[0] : offsets[-1]] > 127).any())


@njit(cache=True, nogil=True, inline="always")
def _finish(value):
    value ^= value >> np.uint64(32)
    value *= MIX
    return value ^ (value >> np.uint64(29))


@njit(cache=True, nogil=True, inline="always")
def _decode(data, at):
    byte = data[at]
    if byte < 0xE0:
        return ((byte & 0x1F) << 6) | (data[at + 1] & 0x3F), at + 2
    if byte < 0xF0:
        return ((byte & 0x0F) << 12) | ((data[at + 1] & 0x3F) << 6) | (data[at + 2] & 0x3F), at + 3
    high = ((byte & 0x07) << 18) | ((data[at + 1] & 0x3F) << 12)
    return high | ((data[at + 2] & 0x3F) << 6) | (data[at + 3] & 0x3F), at + 4


@njit(cache=True, nogil=True)
def _hash_words(data, offsets, kind, fold_starts, fold_flat, hashes, starts, lengths, row_offsets):
    count = 0
    for row in range(len(offsets) - 1):
        row_offsets[row] = count
        at = offsets[row]
        end = offsets[row + 1]
        base = at
        value = SEED
        inside = False
        begin = at
        letters = 0
        while at < end:
            byte = data[at]
            here = at
            if byte < 128:
                at += 1
                if (97 <= byte <= 122) or (48 <= byte <= 57):
                    point = np.uint64(byte)
                elif 65 <= byte <= 90:
                    point = np.uint64(byte + 32)
                else:
                    if inside:
                        hashes[count] = _finish(value)
                        starts[count] = begin - base
                        lengths[count] = letters
                        count += 1
                        inside = False
                    continue
                if not inside:
                    inside = True
                    begin = here
                    value = SEED
                    letters = 0
                value = (value ^ point) * PRIME
                letters += 1
                continue
            code, at = _decode(data, at)
            group = kind[code] if code < LIMIT else SEPARATOR
            if group == IGNORED:
                continue
            if group != LETTER and inside:
                hashes[count] = _finish(value)
                starts[count] = begin - base
                lengths[count] = letters
                count += 1
                inside = False
            if group == SEPARATOR:
                continue
            low = fold_starts[code]
            high = fold_starts[code + 1]
            if group == SINGLE:
                single = SEED
                for i in range(low, high):
                    single = (single ^ np.uint64(fold_flat[i])) * PRIME
                hashes[count] = _finish(single)
                starts[count] = here - base
                lengths[count] = high - low
                count += 1
                continue
            if low == high:
                continue
            if not inside:
                inside = True
                begin = here
                value = SEED
                letters = 0
            letters += high - low
            for i in range(low, high):
                value = (value ^ np.uint64(fold_flat[i])) * PRIME
        if inside:
            hashes[count] = _finish(value)
            starts[count] = begin - base
            lengths[count] = letters
            count += 1
    row_offsets[len(offsets) - 1] = count
    return count


@njit(cache=True, nogil=True)
def _fold_stream(data, offsets, kind, fold_starts, fold_flat, letters, row_offsets):
    count = 0
    for row in range(len(offsets) - 1):
        row_offsets[row] = count
        at = offsets[row]
        end = offsets[row + 1]
        while at < end:
            byte = data[at]
            if byte < 128:
                at += 1
                if (97 <= byte <= 122) or (48 <= byte <= 57):
                    letters[count] = byte
                    count += 1
                elif 65 <= byte <= 90:
                    letters[count] = byte + 32
                    count += 1
                continue
            code, at = _decode(data, at)
            if code < LIMIT and (kind[code] == LETTER or kind[code] == SINGLE):
                for i in range(fold_starts[code], fold_starts[code + 1]):
                    letters[count] = fold_flat[i]
                    count += 1
    row_offsets[len(offsets) - 1] = count
    return count
