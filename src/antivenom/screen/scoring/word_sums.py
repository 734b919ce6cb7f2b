"""`HashedLinear`'s sums in one walk over the words of a column: no list of letters or features is made.

Words of up to 16 ASCII letters and digits - nearly all - are told apart by their bytes, folded by one bit, and what is known of a word
(its hash, the sum and the number of its character n-grams) is looked up by them; every other stretch is folded character by
character. `hashed_features.sums` is the plain way to the same integers.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from antivenom.data.words import (
    IGNORED,
    LETTER,
    LIMIT,
    PRIME,
    SEED,
    SEPARATOR,
    SINGLE,
    WordTable,
    _decode,
    _finish,
    _tables,
    text_buffers,
)
from antivenom.screen.scoring import byte_bits as bits
from antivenom.screen.scoring.hashed_features import LONGEST_WORD, _bucket, _character_buckets

__all__ = ["ScannedWords", "scan_words", "window_sums"]

SHORT = 16
LATIN = 0x250  # code points of folded Latin letters end below
_LOW = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(SHORT + 1)], np.uint64)
_HIGH = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(SHORT + 1)], np.uint64)
TO_LOWER = np.uint64(0x2020202020202020)
BEYOND = np.uint64(0x8080808080808080)
TURN = np.uint64(0x9E3779B97F4A7C15)
STAMPS = 1 << 16
MOST_SLOTS = 1 << 15


@dataclass(frozen=True)
class ScannedWords:
    """The words of a column with what their letters weigh.

    Attributes:
        table: hashes, starts and rows; its `lengths` are not kept.
        packed: int64 per word, sum of the weights of its character n-grams << 32 | their number.
        letters: int64 per row, letters that are no ASCII digits.
        latin: int64 per row, the Latin ones of them.
        size: int64 per row, letters and digits.
        run: int64 per row, letters and digits in words of more than LONGEST_WORD of them.
    """

    table: WordTable
    packed: np.ndarray
    letters: np.ndarray
    latin: np.ndarray
    size: np.ndarray
    run: np.ndarray


def scan_words(
    texts: pa.LargeStringArray, weights: np.ndarray, char_ngrams: tuple[int, int], lanes: np.ndarray
) -> ScannedWords:
    """Cut, fold, hash and weigh the words of a column.

    Args:
        texts: the column.
        weights: integer (2^bits,), of the model.
        char_ngrams: shortest and longest run of characters; (0, 0): none.
        lanes: `byte_bits` of the column.
    """
    data, offsets = text_buffers(texts)
    size, n = int(offsets[-1] - offsets[0]), len(texts)
    hashes = np.empty(size // 2 + n + 1, np.uint64)
    starts = np.empty(len(hashes), np.int32)
    packed = np.empty(len(hashes), np.int64)
    row_offsets = np.empty(n + 1, np.int64)
    stats = np.zeros((n, 4), np.int64)
    slots = 64
    while slots < min(size // 6, MOST_SLOTS):
        slots *= 2
    memo = np.zeros((slots, 4), np.uint64)
    shift = np.uint64(64 - (len(weights).bit_length() - 1))
    arrays = hashes, starts, packed, row_offsets, stats
    count = _scan(
        data, offsets, lanes[bits.WORD], lanes[bits.LETTER], *_tables(), weights, shift, *char_ngrams, memo, *arrays
    )
    table = WordTable(hashes[:count], starts[:count], np.zeros(0, np.int32), row_offsets)
    return ScannedWords(table, packed[:count], *stats.T)


def window_sums(
    words: ScannedWords, first: np.ndarray, last: np.ndarray, weights: np.ndarray, word_ngrams: int
) -> tuple[np.ndarray, np.ndarray]:
    """Per unit the sum of its features' weights and their number, both int64 (n, 2): words, characters.

    Args:
        words: of the column.
        first, last: int64, the words [first, last) of each unit.
        weights: integer of at most 16 bits (2^bits,).
        word_ngrams: longest run of words; 0: no words.
    """
    totals = np.zeros((len(first), 2), np.int64)
    counts = np.zeros((len(first), 2), np.int64)
    shift = np.uint64(64 - (len(weights).bit_length() - 1))
    seen = weights.astype(np.int32) << 16  # a weight and the unit that saw it last side by side: one look at memory
    _window_sums(words.table.hashes, words.packed, first, last, seen, shift, word_ngrams, totals, counts)
    return totals, counts


@njit(cache=True, nogil=True)
def _weigh(letters, size, weights, shift, low, high, room):
    if high == 0:
        return np.int64(0)
    n = _character_buckets(letters, 0, size, shift, low, high, room)
    total = np.int64(0)
    for i in range(n):
        total += weights[room[i]]
    return total << 32 | n


@njit(cache=True, nogil=True)
def _scan(
    data, offsets, word, letter, kind, fold_starts, fold_flat, weights, shift, low, high, memo,
    hashes, starts, packed, row_offsets, stats,
):  # fmt: skip
    room = np.empty((LONGEST_WORD + 2) * (high - low + 1), np.uint64)
    letters = np.empty(LONGEST_WORD, np.uint32)
    slot_mask = np.uint64(len(memo) - 1)
    base = offsets[0]
    readable = len(data) - SHORT
    count = 0
    for row in range(len(offsets) - 1):
        row_offsets[row] = count
        begin, end = offsets[row], offsets[row + 1]
        stats[row, 0] = stats[row, 1] = bits.count_bits(letter, begin - base, end - base)
        size = 0
        at = begin - base
        stop = end - base
        while True:
            at = bits.first_set(word, at, stop)
            if at >= stop:
                break
            here = at
            at = bits.clear_from(word, at, stop)
            n = at - here
            if n <= SHORT:
                place = base + here
                if place <= readable:
                    x, y = bits.load64(data, place) & _LOW[n], bits.load64(data, place + 8) & _HIGH[n]
                else:
                    x = y = np.uint64(0)
                    for i in range(n):
                        if i < 8:
                            x |= np.uint64(data[place + i]) << np.uint64(8 * i)
                        else:
                            y |= np.uint64(data[place + i]) << np.uint64(8 * i - 64)
                if not (x | y) & BEYOND:
                    x |= TO_LOWER & _LOW[n]  # digits have this bit already
                    y |= TO_LOWER & _HIGH[n]
                    mixed = (x ^ (y * PRIME)) * TURN
                    slot = (mixed >> np.uint64(40)) & slot_mask
                    if memo[slot, 0] != x or memo[slot, 1] != y:
                        value = SEED
                        for i in range(n):
                            code = np.uint64(data[place + i]) | np.uint64(32)
                            letters[i] = code
                            value = (value ^ code) * PRIME
                        memo[slot, 0], memo[slot, 1], memo[slot, 2] = x, y, _finish(value)
                        memo[slot, 3] = np.uint64(_weigh(letters, n, weights, shift, low, high, room))
                    hashes[count] = memo[slot, 2]
                    packed[count] = np.int64(memo[slot, 3])
                    starts[count] = place - begin
                    count += 1
                    size += n
                    continue
            count = _fold_stretch(
                data, base + here, base + at, begin, kind, fold_starts, fold_flat, weights, shift, low, high,
                letters, room, hashes, starts, packed, count, stats[row],
            )  # fmt: skip
        stats[row, 2] += size
    row_offsets[len(offsets) - 1] = count
    return count


@njit(cache=True, nogil=True)
def _fold_stretch(
    data, at, end, base, kind, fold_starts, fold_flat, weights, shift, low, high,
    letters, room, hashes, starts, packed, count, stats,
):  # fmt: skip
    """The words of a stretch without ASCII separators, character by character as `hash_words` has them; returns the count."""
    value = SEED
    begin = at
    size = 0  # letters of the word that is open; 0: none is
    while at < end:
        here = at
        byte = data[at]
        group = LETTER
        code = np.int64(byte)
        if byte < 128:
            at += 1
        else:
            code, at = _decode(data, at)
            group = kind[code] if code < LIMIT else SEPARATOR
            if group == IGNORED:
                continue
            if group != LETTER and size:
                hashes[count], starts[count] = _finish(value), begin - base
                packed[count] = _weigh(letters, min(size, LONGEST_WORD), weights, shift, low, high, room)
                stats[3] += size if size > LONGEST_WORD else 0
                count += 1
                size = 0
            if group == SEPARATOR:
                continue
        from_, to = fold_starts[code], fold_starts[code + 1]
        if not size and (from_ < to or group == SINGLE):
            begin = here
            value = SEED
        for i in range(from_, to):
            folded = fold_flat[i]
            if size < LONGEST_WORD:
                letters[size] = folded
            size += 1
            value = (value ^ np.uint64(folded)) * PRIME
            if byte > 127 and (folded > 57 or folded < 48):
                stats[0] += 1
                stats[1] += folded < LATIN
        stats[2] += to - from_
        if group == SINGLE:
            hashes[count], starts[count] = _finish(value), begin - base
            packed[count] = _weigh(letters, min(size, LONGEST_WORD), weights, shift, low, high, room)
            count += 1
            size = 0
    if size:
        hashes[count], starts[count] = _finish(value), begin - base
        packed[count] = _weigh(letters, min(size, LONGEST_WORD), weights, shift, low, high, room)
        stats[3] += size if size > LONGEST_WORD else 0
        count += 1
    return count


@njit(cache=True, nogil=True)
def _window_sums(hashes, packed, firsts, lasts, seen, shift, word_ngrams, totals, counts):
    stamp = np.int32(0)
    for unit in range(len(firsts)):
        stamp += np.int32(1)
        if stamp == STAMPS:
            for i in range(len(seen)):
                seen[i] = (seen[i] >> 16) << 16
            stamp = np.int32(1)
        first, last = firsts[unit], lasts[unit]
        total = number = characters = many = np.int64(0)
        for at in range(first, last):
            bucket = _bucket((SEED ^ hashes[at]) * PRIME, shift)
            entry = seen[bucket]
            fresh = entry & 0xFFFF != stamp  # no branch: whether a word was seen cannot be foretold
            weight = entry >> 16
            seen[bucket] = (weight << 16) | stamp
            total += weight * fresh
            number += fresh
            characters += (packed[at] >> 32) * fresh
            many += (packed[at] & 0xFFFFFFFF) * fresh
        if word_ngrams == 0:
            total = number = np.int64(0)
        # runs after all single words: a run that shares a word's bucket never hides the word's letters
        for at in range(first, last):
            value = (SEED ^ hashes[at]) * PRIME
            for k in range(1, min(word_ngrams, last - at)):
                value = (value ^ hashes[at + k]) * PRIME
                bucket = _bucket(value, shift)
                entry = seen[bucket]
                fresh = entry & 0xFFFF != stamp
                weight = entry >> 16
                seen[bucket] = (weight << 16) | stamp
                total += weight * fresh
                number += fresh
        totals[unit, 0], totals[unit, 1] = total, characters
        counts[unit, 0], counts[unit, 1] = number, many
