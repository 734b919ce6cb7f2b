"""Repetition inside one document, in numba: copies of lines and paragraphs, and of word n-grams.

Texts are compared by 64-bit hashes. The hash of a concatenation follows from the hashes of its parts, so all n-grams of one
length cost one pass over the words: h(w_1 .. w_n) = h(w_1 .. w_n-1) B^|w_n| + h(w_n).
"""

import numpy as np
from numba import njit

from antivenom.screen.quality.english import BASE
from antivenom.screen.quality.tokens import hash_range

__all__ = ["copied_characters", "is_copy", "next_power", "top_gram", "word_hashes"]

JOIN = np.uint64(0xBF58476D1CE4E5B9)
MIX = np.uint64(0x94D049BB133111EB)
SHIFT = np.uint64(29)


@njit(cache=True, nogil=True, inline="always")
def _mixed(value):
    value ^= value >> SHIFT
    value *= MIX
    return value ^ (value >> np.uint64(32))


@njit(cache=True, nogil=True)
def next_power(n):
    """The least power of two that is n or more."""
    size = 1
    while size < n:
        size *= 2
    return size


@njit(cache=True, nogil=True)
def is_copy(points, start, stop, keys):
    """Was this stretch put into the table before? Puts it in. `keys` (a power of two, twice the entries) starts as zeros."""
    key = _mixed(hash_range(points, start, stop) * JOIN + np.uint64(stop - start)) | np.uint64(1)
    mask = np.uint64(len(keys) - 1)
    slot = (key >> np.uint64(20)) & mask
    while keys[slot] != 0:
        if keys[slot] == key:
            return True
        slot = (slot + np.uint64(1)) & mask
    keys[slot] = key
    return False


@njit(cache=True, nogil=True)
def word_hashes(points, starts, stops, count, hashes, powers):
    """h(w) and B^|w| of each word."""
    for i in range(count):
        value = np.uint64(0)
        power = np.uint64(1)
        for j in range(starts[i], stops[i]):
            value = value * BASE + np.uint64(points[j]) + np.uint64(1)
            power *= BASE
        hashes[i] = value
        powers[i] = power


@njit(cache=True, nogil=True)
def top_gram(hashes, grams, n, ends, count, slots, counts):
    """Characters covered by the most frequent n-gram of words joined by spaces: occurrences x length.

    Of equally frequent ones the first counts. `grams` holds the (n-1)-grams' hashes and is brought to n (n = 2 begins anew);
    `ends[i]` counts the characters of the words before word i; -1 when the text has fewer than n words.
    """
    size = count - n + 1
    if size <= 0:
        return -1
    if n == 2:
        for i in range(count):
            grams[i] = _mixed(hashes[i] + JOIN)
    mask = len(slots) - 1
    slots[:] = 0
    best = 0
    top = 0
    for i in range(size):
        gram = grams[i] * JOIN + _mixed(hashes[i + n - 1] + JOIN)
        grams[i] = gram
        slot = np.int64(_mixed(gram) & np.uint64(mask))
        while True:
            first = slots[slot]
            if first == 0:
                slots[slot] = i + 1
                counts[i] = 1
                first = i + 1
                break
            if grams[first - 1] == gram:
                counts[first - 1] += 1
                break
            slot = (slot + 1) & mask
        if counts[first - 1] > top or (counts[first - 1] == top and first - 1 < best):
            top = counts[first - 1]
            best = first - 1
    return top * (ends[best + n] - ends[best] + n - 1)


@njit(cache=True, nogil=True)
def copied_characters(grams, n, ends, count, slots):
    """Characters in n-grams of words (joined without spaces) that stood in the text before.

    After a copied n-gram the search goes on behind it, so no character counts twice. `grams` are the n-grams' hashes.
    """
    mask = len(slots) - 1
    slots[:] = 0
    copied = 0
    i = 0
    while i < count - n + 1:
        gram = grams[i]
        slot = np.int64(_mixed(gram) & np.uint64(mask))
        known = False
        while slots[slot] != 0:
            if grams[slots[slot] - 1] == gram:
                known = True
                break
            slot = (slot + 1) & mask
        if known:
            copied += ends[i + n] - ends[i]
            i += n
        else:
            slots[slot] = i + 1
            i += 1
    return copied
