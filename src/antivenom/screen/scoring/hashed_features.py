"""The features of `HashedLinear`: which buckets a stretch of text falls into, straight from the word table of a batch.

Only the first `LONGEST_WORD` letters of a word give character n-grams: a megabyte of base64 is one word, not a million features.
"""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numba import njit

from antivenom.data.words import MIX, PRIME, SEED

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from antivenom.screen.scoring.hashed_linear import TextUnits

__all__ = ["LONGEST", "LONGEST_WORD", "matrix", "sums", "word_shares"]

LONGEST = 8
LONGEST_WORD = 48
CHARACTERS = np.uint64(0x51ED270B8F4C2A35)  # where character n-grams start, so that a word and its letters differ
BEGIN, END = np.uint64(1), np.uint64(2)
CHUNK = 2_000


@njit(cache=True, nogil=True, inline="always")
def _bucket(value, shift):
    value ^= value >> np.uint64(32)
    value *= MIX
    value ^= value >> np.uint64(29)
    return (value * PRIME) >> shift


@njit(cache=True, nogil=True, inline="always")
def _bucket_of_word(word, shift):
    """Bucket of a word by itself; it also says which words of a stretch are the same word."""
    return _bucket((SEED ^ word) * PRIME, shift)


@njit(cache=True, nogil=True)
def _character_buckets(letters, start, stop, shift, low, high, out):
    """Buckets of a word's character n-grams, with the marks of its begin and end; returns how many."""
    n = 0
    size = min(stop - start, LONGEST_WORD)
    for i in range(size + 2 - low + 1):
        value = CHARACTERS
        for k in range(high):
            position = i + k
            if position > size + 1:
                break
            if position == 0:
                letter = BEGIN
            elif position == size + 1:
                letter = END
            else:
                letter = np.uint64(letters[start + position - 1])
            value = (value ^ letter) * PRIME
            if k + 1 >= low:
                out[n] = _bucket(value, shift)
                n += 1
    return n


@njit(cache=True, nogil=True)
def _sums(hashes, letters, letter_starts, firsts, lasts, weights, shift, word_ngrams, low, high, totals, counts):
    room = np.empty((LONGEST_WORD + 2) * (high - low + 1), np.uint64)
    seen = np.full(len(weights), -1, np.int32)
    slots = 64  # words whose character sums are at hand: the frequent ones of the batch are computed once
    while slots < min(len(hashes), 1 << 13):
        slots *= 2
    mask = np.uint64(slots - 1)
    known = np.zeros(slots, np.uint64)
    known_sum = np.zeros(slots, np.int64)
    known_count = np.full(slots, -1, np.int64)
    for unit in range(len(firsts)):
        last = lasts[unit]
        for at in range(firsts[unit], last):
            word = hashes[at]
            value = (SEED ^ word) * PRIME
            bucket = _bucket(value, shift)
            if seen[bucket] < unit:
                seen[bucket] = unit
                if word_ngrams:
                    totals[unit, 0] += weights[bucket]
                    counts[unit, 0] += 1
                if high:
                    slot = word & mask
                    if known[slot] != word or known_count[slot] < 0:
                        n = _character_buckets(
                            letters, letter_starts[at], letter_starts[at + 1], shift, low, high, room
                        )
                        total = 0
                        for i in range(n):
                            total += weights[room[i]]
                        known[slot], known_sum[slot], known_count[slot] = word, total, n
                    totals[unit, 1] += known_sum[slot]
                    counts[unit, 1] += known_count[slot]
        # runs after all single words: a run that shares a word's bucket never hides the word's letters
        for at in range(firsts[unit], last):
            value = (SEED ^ hashes[at]) * PRIME
            for k in range(1, min(word_ngrams, last - at)):
                value = (value ^ hashes[at + k]) * PRIME
                bucket = _bucket(value, shift)
                if seen[bucket] < unit:
                    seen[bucket] = unit
                    totals[unit, 0] += weights[bucket]
                    counts[unit, 0] += 1


@njit(cache=True, nogil=True)
def _collect(hashes, letters, letter_starts, first, last, shift, word_ngrams, low, high, buckets, owners, blocks, same):
    """All features of one unit with the word they begin at (block = length of the word run, 0: characters); `same`: the
    bucket of each word."""
    room = np.empty((LONGEST_WORD + 2) * (high - low + 1), np.uint64)
    count = 0
    for at in range(first, last):
        same[at - first] = _bucket_of_word(hashes[at], shift)
        value = SEED
        for k in range(min(word_ngrams, last - at)):
            value = (value ^ hashes[at + k]) * PRIME
            buckets[count], owners[count], blocks[count] = _bucket(value, shift), at - first, k + 1
            count += 1
        if high:
            n = _character_buckets(letters, letter_starts[at], letter_starts[at + 1], shift, low, high, room)
            for i in range(n):
                buckets[count], owners[count], blocks[count] = room[i], at - first, 0
                count += 1
    return count


def sums(
    units: "TextUnits", weights: np.ndarray, bits: int, word_ngrams: int, char_ngrams: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Per unit the sum of its features' weights and their number, both int64 (n, 2): words, characters."""
    totals = np.zeros((len(units), 2), np.int64)
    counts = np.zeros((len(units), 2), np.int64)
    low, high = char_ngrams
    _sums(
        *_arrays(units), units.first, units.last, weights, np.uint64(64 - bits), word_ngrams, low, high, totals, counts
    )
    return totals, counts


def word_shares(
    units: "TextUnits",
    unit: int,
    weights: np.ndarray,
    bits: int,
    word_ngrams: int,
    char_ngrams: tuple[int, int],
    power: float,
) -> np.ndarray:
    """What each word of a unit adds to its logit, in units of the weights' scale, float64 (n_words,)."""
    first, last = int(units.first[unit]), int(units.last[unit])
    buckets, owners, blocks, same = _features(units, first, last, bits, word_ngrams, char_ngrams)
    added = np.zeros(last - first + word_ngrams)
    if not len(buckets):
        return added[: last - first]
    runs = blocks > 0
    if runs.any():
        distinct, which, times = np.unique(buckets[runs], return_inverse=True, return_counts=True)
        share = weights[distinct].astype(np.float64) / times / len(distinct) ** power
        run, owner = blocks[runs], owners[runs]
        for k in range(1, word_ngrams + 1):  # a run of k words: the k-th word of it gets 1 / run
            has = run >= k
            np.add.at(added, owner[has] + k - 1, (share[which] / run)[has])
    if not runs.all():
        _, which, times = np.unique(same, return_inverse=True, return_counts=True)
        part = 1 / times[which][owners[~runs]]  # a word said k times: each time 1 / k of its letters
        np.add.at(added, owners[~runs], weights[buckets[~runs]] * part / part.sum() ** power)
    return added[: last - first]


def matrix(
    texts: pa.LargeStringArray, bits: int, word_ngrams: int, char_ngrams: tuple[int, int], power: float
) -> "csr_matrix":
    """The features of texts as a float32 CSR matrix (n, 2^bits): logit = matrix @ w + b."""
    from scipy.sparse import csr_matrix

    from antivenom.screen.scoring.hashed_linear import TextUnits

    values, columns, lengths = [], [], []
    for begin in range(0, len(texts), CHUNK):
        units = TextUnits.whole(texts[begin : begin + CHUNK])
        for unit in range(len(units)):
            first, last = int(units.first[unit]), int(units.last[unit])
            buckets, owners, blocks, same = _features(units, first, last, bits, word_ngrams, char_ngrams)
            once = np.zeros(last - first, bool)
            once[np.unique(same, return_index=True)[1]] = True
            size = 0
            for block in (np.unique(buckets[blocks > 0]), buckets[(blocks == 0) & once[owners]]):
                columns.append(block.astype(np.int32))
                values.append(np.full(len(block), max(len(block), 1) ** -power, np.float32))
                size += len(block)
            lengths.append(size)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    x = csr_matrix((np.concatenate(values), np.concatenate(columns), offsets), (len(texts), 1 << bits))
    x.sum_duplicates()  # a bucket of several features
    return x


def _features(
    units: "TextUnits", first: int, last: int, bits: int, word_ngrams: int, char_ngrams: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    low, high = char_ngrams
    letters = np.minimum(units.table.lengths[first:last], LONGEST_WORD).astype(np.int64)
    room = int((letters + 2).sum()) * (high - low + 1) + (last - first) * word_ngrams
    buckets, owners, blocks = np.empty(room, np.int64), np.empty(room, np.int32), np.empty(room, np.int8)
    same, shift = np.empty(last - first, np.int64), np.uint64(64 - bits)
    n = _collect(*_arrays(units), first, last, shift, word_ngrams, low, high, buckets, owners, blocks, same)
    return buckets[:n], owners[:n], blocks[:n], same


def _arrays(units: "TextUnits") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return units.table.hashes, units.letters, units.letter_starts
