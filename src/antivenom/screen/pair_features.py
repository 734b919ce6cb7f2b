"""What the offline judge sees of a pair: nine figures about one benchmark item and one training row.

The row is first *aligned*: of all its stretches of about the item's length, the one that shares most with the item is
taken, so that a long document around a copied question, or a sentence appended to it, changes next to nothing.
Every feature is a function of this pair alone: not of the batch, of the other candidates or of the order.
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numba import njit

from antivenom.data.numbers import numbers

__all__ = ["FEATURES", "Idf", "load_idf", "pair_features", "script_counts", "token_buckets"]

FEATURES = (
    "item_in_row",
    "row_in_item",
    "char_cosine",
    "bigrams_in_row",
    "rare_in_row",
    "numbers_in_row",
    "numbers_in_item",
    "numbers_equal",
    "has_numbers",
)

WORD_BUCKETS = 1 << 16
CHAR_BUCKETS = 1 << 15
UNMATCHED = 0.35  # what a foreign word costs beside what a shared word of the same weight gains
STRETCHES = (0.75, 1.0, 1.5, 2.25)  # lengths tried, in units of the item's words
LONGEST = 20_000  # characters of either text that are looked at


@dataclass(frozen=True)
class Idf:
    """Inverse document frequencies by hash bucket, float32: `words` (2**16,) and `chars` (2**15,) for 3-5-grams."""

    words: np.ndarray
    chars: np.ndarray


@cache
def load_idf() -> Idf:
    """The packaged table, made by `scripts/train_offline_judge.py` (uint8 in the file, in sixteenths)."""
    with (
        (files("antivenom.screen") / "weights" / "idf.npz").open("rb") as source,
        np.load(source, allow_pickle=False) as table,
    ):
        return Idf(*(table[name].astype(np.float32) / 16 for name in ("words", "chars")))


def script_counts(text: str) -> tuple[int, int]:
    """How many letters are Latin (below U+0250) and how many are not.

    >>> script_counts("group 群组")
    (5, 2)
    """
    if text.isascii():
        return sum(map(str.isalpha, text)), 0
    letters = [character for character in text if character.isalpha()]
    latin = sum(character < "ɐ" for character in letters)
    return latin, len(letters) - latin


def pair_features(items: list[str], rows: list[str], idf: Idf | None = None) -> np.ndarray:
    """The features of pairs of texts, float64 (n, len(FEATURES)); rows of NaN where a text has no words.

    With Q the item's words, S the words of the row's aligned stretch, w(x) the packaged inverse document frequency and
    distinct stems in place of words, numbers left out:

    * `item_in_row` = w(Q & S) / w(Q), `row_in_item` = w(Q & S) / w(S): containment in both directions
    * `char_cosine`: cosine of character 3-5-gram TF-IDF vectors (tf = 1 + ln count)
    * `bigrams_in_row`: share of the item's neighbouring word pairs that are neighbours in the stretch
    * `rare_in_row`: share of the item's eight rarest words that are in the stretch
    * `numbers_in_row`, `numbers_in_item`: share of the item's numbers that the stretch has, and of the stretch's
      distinct numbers that the item has, 1 when there are none; `numbers_equal` 0 or 1; `has_numbers` (the item) 0 or 1
    """
    idf = idf or load_idf()
    out = np.full((len(items), len(FEATURES)), np.nan)
    known: dict[str, tuple] = {}
    for at, (text, other) in enumerate(zip(items, rows)):
        if text not in known:
            raw = _bytes(text)
            known[text] = (raw, _tokens(raw), numbers(text[:LONGEST]))
        raw_item, (item, _, item_digits), wanted = known[text]
        raw_row = _bytes(other)
        row, starts, row_digits = _tokens(raw_row)
        if not len(item) or not len(row):
            continue
        first, last, wide_first, wide_last, values = _align(item, item_digits, row, row_digits, idf.words)
        narrow = _stretch(raw_row, starts, first, last)
        wide = _stretch(raw_row, starts, wide_first, wide_last)
        out[at, :2] = values[:2]
        out[at, 2] = _cosine(raw_item, narrow, idf.chars)
        out[at, 3:5] = values[2:4]
        out[at, 5:] = _numbers_shared(wanted, _decoded(narrow), _decoded(wide))
    return out


def token_buckets(text: str) -> np.ndarray:
    """The buckets in `Idf.words` of a text's distinct stems that are no numbers, int64."""
    hashes, _, digits = _tokens(_bytes(text))
    return np.unique(hashes[~digits] & np.uint64(WORD_BUCKETS - 1)).astype(np.int64)


def _bytes(text: str) -> np.ndarray:
    """UTF-8 of the first LONGEST characters, composed; a lone surrogate becomes a question mark."""
    text = text[:LONGEST]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return np.frombuffer(text.encode("utf-8", "replace"), np.uint8)


def _stretch(raw: np.ndarray, starts: np.ndarray, first: int, last: int) -> np.ndarray:
    """The bytes from the first word to just before the word after the last."""
    begin = int(starts[first])
    if begin and raw[begin - 1] in (34, 36, 39, 45):  # a quote, dollar or minus sign belongs to the word after it
        begin -= 1
    return raw[begin : int(starts[last + 1]) if last + 1 < len(starts) else len(raw)]


def _decoded(raw: np.ndarray) -> str:
    return raw.tobytes().decode("utf-8", "ignore")


def _numbers_shared(wanted: Counter[str], narrow: str, wide: str) -> list[float]:
    """The item's numbers may stand anywhere in the untrimmed stretch; foreign ones count in the trimmed one."""
    found, found_wide = numbers(narrow), numbers(wide)
    total = sum(wanted.values())
    return [
        sum((wanted & found_wide).values()) / total if total else 1.0,
        len(wanted.keys() & found.keys()) / len(found) if found else 1.0,  # a number said twice is not a foreign one
        float(set(wanted) == set(found) or wanted == found_wide),
        float(total > 0),
    ]


@njit(cache=True, nogil=True)
def _tokens(raw):
    """Stems of a text: 64-bit hashes, first bytes int32, and which are numbers.

    A token is a run of digits or of letters, cut where camelCase turns up; a CJK character is one token. English
    endings (s, es, ed, ing, ly, a last e) go, and 8 letters are kept: `inserting`, `Inserts` and `insert` are one stem.
    """
    size = len(raw)
    hashes = np.empty(size + 1, np.uint64)
    starts = np.empty(size + 1, np.int32)
    digits = np.empty(size + 1, np.bool_)
    word = np.empty(size + 1, np.uint8)
    count = 0
    at = 0
    while at < size:
        byte = raw[at]
        begin = at
        length = 0
        number = False
        if 48 <= byte <= 57:
            number = True
            while at < size and 48 <= raw[at] <= 57:
                word[length] = raw[at]
                length += 1
                at += 1
        elif 0xE3 <= byte <= 0xE9 and at + 2 < size:
            for _ in range(3):
                word[length] = raw[at]
                length += 1
                at += 1
        elif (65 <= byte <= 90) or (97 <= byte <= 122) or byte > 127:
            small = False
            while at < size:
                byte = raw[at]
                if 65 <= byte <= 90:
                    if small:
                        break
                    byte += 32
                elif 97 <= byte <= 122:
                    small = True
                elif byte <= 127 or 0xE3 <= byte <= 0xE9:
                    break
                word[length] = byte
                length += 1
                at += 1
            length = _stem(word, length)
        else:
            at += 1
            continue
        value = np.uint64(0xCBF29CE484222325)
        for i in range(min(length, 8) if not number else length):
            value = (value ^ np.uint64(word[i])) * np.uint64(0x100000001B3)
        value ^= value >> np.uint64(32)
        value *= np.uint64(0x9E3779B97F4A7C15)
        hashes[count] = value ^ (value >> np.uint64(29))
        starts[count] = begin
        digits[count] = number
        count += 1
    return hashes[:count].copy(), starts[:count].copy(), digits[:count].copy()


@njit(cache=True, nogil=True)
def _stem(word, length):
    """The length that is left of a lower-case word without its English ending."""
    if length >= 6 and word[length - 3] == 105 and word[length - 2] == 110 and word[length - 1] == 103:  # ing
        length -= 3
    elif (length >= 5 and word[length - 2] == 101 and (word[length - 1] == 100 or word[length - 1] == 115)) or (
        length >= 5 and word[length - 2] == 108 and word[length - 1] == 121
    ):  # ed, es
        length -= 2
    elif length >= 4 and word[length - 1] == 115 and word[length - 2] != 115:  # s, not ss
        length -= 1
    if length >= 4 and word[length - 1] == 101:  # e
        length -= 1
    return length


@njit(cache=True, nogil=True)
def _align(item, item_digits, row, row_digits, weights):
    """The best stretch of `row` for `item`: word numbers (trimmed first, last, untrimmed first, last) and four shares.

    Every window of STRETCHES x |item| words is scored by w(shared) - UNMATCHED w(foreign), where a word is shared at
    most as often as the item has it; the best window is trimmed at both ends by the same score (maximum sub-array).
    The shares are taken over distinct words; numbers weigh nothing here, they have features of their own.
    """
    n = len(item)
    m = len(row)
    mask = np.uint64(WORD_BUCKETS - 1)
    ordered = item[np.argsort(item)]
    unique = np.empty(n, np.uint64)
    quota = np.zeros(n, np.int64)
    kinds = 0
    for i in range(n):
        if i == 0 or ordered[i] != ordered[i - 1]:
            unique[kinds] = ordered[i]
            kinds += 1
        quota[kinds - 1] += 1
    unique = unique[:kinds]
    at = np.empty(m, np.int64)
    weight = np.empty(m, np.float64)
    for j in range(m):
        k = np.searchsorted(unique, row[j])
        at[j] = k if k < kinds and unique[k] == row[j] else -1
        weight[j] = 1.0 if row_digits[j] else weights[np.int64(row[j] & mask)]
    best = -1e18
    low = 0
    high = m - 1
    counts = np.zeros(kinds, np.int64)
    for s in range(len(STRETCHES)):
        length = max(3, int(n * STRETCHES[s] + 0.5))
        counts[:] = 0
        score = 0.0
        for j in range(m):
            k = at[j]
            if k >= 0:
                counts[k] += 1
                score += weight[j] if counts[k] <= quota[k] else -UNMATCHED * weight[j]
            else:
                score -= UNMATCHED * weight[j]
            gone = j - length
            if gone >= 0:
                k = at[gone]
                if k >= 0:
                    score -= weight[gone] if counts[k] <= quota[k] else -UNMATCHED * weight[gone]
                    counts[k] -= 1
                else:
                    score += UNMATCHED * weight[gone]
            if score > best + 1e-9 and (j >= length - 1 or j == m - 1):
                best = score
                low = max(0, gone + 1)
                high = j
        if length >= m:
            break
    # trim
    counts[:] = 0
    run = 0.0
    top = -1e18
    begin = low
    first = low
    last = high
    for j in range(low, high + 1):
        k = at[j]
        value = -UNMATCHED * weight[j]
        if k >= 0:
            counts[k] += 1
            if counts[k] <= quota[k]:
                value = weight[j]
        if run <= 0:
            run = 0.0
            begin = j
        run += value
        if run > top + 1e-9:
            top = run
            first = begin
            last = j
    # shares, over distinct words
    counts[:] = 0
    shared = 0.0
    foreign = 0.0
    strangers = np.empty(last - first + 1, np.uint64)
    strange = 0
    for j in range(first, last + 1):
        k = at[j]
        if k >= 0:
            counts[k] += 1
        elif not row_digits[j]:
            strangers[strange] = row[j]
            strange += 1
    strangers = np.sort(strangers[:strange])
    for i in range(strange):
        if i == 0 or strangers[i] != strangers[i - 1]:
            foreign += weights[np.int64(strangers[i] & mask)]
    total = 0.0
    used = np.zeros(kinds, np.bool_)
    item_weight = np.zeros(n, np.float64)
    for i in range(n):
        k = np.searchsorted(unique, item[i])
        if used[k] or item_digits[i]:
            continue
        used[k] = True
        item_weight[i] = weights[np.int64(item[i] & mask)]
        total += item_weight[i]
        if counts[k] > 0:
            shared += item_weight[i]
    pairs = 0
    for i in range(n - 1):
        for j in range(first, last):
            if row[j] == item[i] and row[j + 1] == item[i + 1]:
                pairs += 1
                break
    rank = np.argsort(-item_weight)
    seen = 0
    hits = 0
    for i in rank[:8]:
        if item_weight[i] > 0:
            seen += 1
            hits += 1 if counts[np.searchsorted(unique, item[i])] > 0 else 0
    values = np.zeros(4, np.float64)
    values[0] = shared / total if total > 0 else 0.0
    values[1] = shared / (shared + foreign) if shared > 0 else 0.0
    values[2] = pairs / (n - 1) if n > 1 else values[0]
    values[3] = hits / seen if seen > 0 else 0.0
    return first, last, low, high, values


@njit(cache=True, nogil=True)
def _clean(raw):
    """ASCII lower-cased, everything that is neither letter nor digit as one space, other bytes kept."""
    out = np.empty(len(raw) + 2, np.uint8)
    out[0] = 32
    size = 1
    for byte in raw:
        if 65 <= byte <= 90:
            byte += 32
        if (97 <= byte <= 122) or (48 <= byte <= 57) or byte > 127:
            out[size] = byte
            size += 1
        elif out[size - 1] != 32:
            out[size] = 32
            size += 1
    if out[size - 1] != 32:
        out[size] = 32
        size += 1
    return out[:size]


@njit(cache=True, nogil=True)
def _char_counts(raw, counts):
    """Add the hashed 3-, 4- and 5-grams of a text to `counts` (CHAR_BUCKETS,)."""
    text = _clean(raw)
    for i in range(len(text)):
        value = np.uint32(2166136261)
        for k in range(min(5, len(text) - i)):
            value = np.uint32((np.uint64(value ^ np.uint32(text[i + k])) * np.uint64(16777619)) & np.uint64(0xFFFFFFFF))
            if k >= 2:
                mixed = value ^ (value >> np.uint32(15))
                counts[np.int64(mixed & np.uint32(CHAR_BUCKETS - 1))] += 1


@njit(cache=True, nogil=True)
def _cosine(a, b, weights):
    left = np.zeros(CHAR_BUCKETS, np.int32)
    right = np.zeros(CHAR_BUCKETS, np.int32)
    _char_counts(a, left)
    _char_counts(b, right)
    dot = 0.0
    aa = 0.0
    bb = 0.0
    for k in range(CHAR_BUCKETS):
        x = left[k]
        y = right[k]
        if x == 0 and y == 0:
            continue
        w = weights[k]
        u = (1 + np.log(x)) * w if x else 0.0
        v = (1 + np.log(y)) * w if y else 0.0
        dot += u * v
        aa += u * u
        bb += v * v
    return dot / np.sqrt(aa * bb) if aa > 0 and bb > 0 else 0.0
