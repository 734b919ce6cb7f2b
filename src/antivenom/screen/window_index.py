"""An index of symbol windows: which stretches of a text stand, symbol for symbol, in an indexed item.

Symbols are 64-bit hashes of words (n-grams) or code points (substrings). A window of L symbols s_1..s_L has the polynomial
hash sum_i s_i B^(L-i) mod 2^64, mixed; it rolls along a text in constant time. A bitmap small enough for the cache turns
away almost every window before a table is asked. There are no false negatives; a false positive needs two equal 64-bit
hashes: for 10^9 windows against 10^6 indexed ones about 5e-5 in all.

Items shorter than the usual window are indexed whole, so windows have many lengths. They do not cost a pass each: lengths
from m to 2m share one pass, which rolls over m symbols and looks further only where an indexed window begins with these.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

__all__ = ["Hits", "WindowIndex", "hash_windows", "window_hashes"]

BASE = np.uint64(0x9E3779B97F4A7C15)
MIX = np.uint64(0xD6E8FEB86659FD93)
LENGTHS_OF_A_PASS = 63  # one bit of an int64 each


@dataclass
class Hits:
    """Where indexed windows occur: parallel arrays of row, first symbol (in the row) and window number."""

    row: np.ndarray
    position: np.ndarray
    window: np.ndarray


@dataclass
class Pass:
    """Windows of neighbouring lengths, found in one walk over a text.

    Attributes:
        lengths: int64, rising; the walk rolls over the least of them.
        prefixes: uint64, open-addressing table of the hashes of the windows' first lengths[0] symbols.
        masks: int64, for each slot of it which lengths begin like that (bit j: lengths[j]); 0 where the slot is free.
        bitmap: uint8, which hashes may be among the prefixes at all.
    """

    lengths: np.ndarray
    prefixes: np.ndarray
    masks: np.ndarray
    bitmap: np.ndarray


@dataclass
class WindowIndex:
    """Windows of several lengths, each belonging to one or more items.

    Attributes:
        passes: the walks it takes.
        slots: uint64, open-addressing table of the windows' hashes.
        numbers: int64, 1 + the window in each slot, 0 where it is free.
        keys: uint64 (n_windows,), the hash of each window, rising.
        posting_offsets: the items of window w are posting_items[posting_offsets[w] : posting_offsets[w + 1]].
        posting_items: int32.
        window_length: int32 (n_windows,), length of each window.
        item_windows: int32 (n_items,), how many distinct windows each item has.
    """

    passes: list[Pass]
    slots: np.ndarray
    numbers: np.ndarray
    keys: np.ndarray
    posting_offsets: np.ndarray
    posting_items: np.ndarray
    window_length: np.ndarray
    item_windows: np.ndarray

    @classmethod
    def build(
        cls, symbols: np.ndarray, starts: np.ndarray, lengths: np.ndarray, items: np.ndarray, n_items: int
    ) -> "WindowIndex":
        """Index the windows symbols[starts[i] : starts[i] + lengths[i]] of items[i]; duplicates count once."""
        keys = hash_windows(symbols, starts, lengths)
        order = np.lexsort((items, keys))
        keys, starts, lengths, items = keys[order], starts[order], lengths[order], items[order]
        new_key = np.r_[True, keys[1:] != keys[:-1]] if len(keys) else np.zeros(0, bool)
        posting = new_key | np.r_[True, items[1:] != items[:-1]] if len(keys) else new_key
        firsts = np.flatnonzero(new_key)
        posting_offsets = np.r_[np.searchsorted(np.flatnonzero(posting), firsts), posting.sum()].astype(np.int64)
        slots, numbers = _table(keys[firsts], np.arange(1, len(firsts) + 1))
        return cls(
            [_pass(symbols, starts[firsts], lengths[firsts], group) for group in _groups(np.unique(lengths))],
            slots,
            numbers,
            keys[firsts],
            posting_offsets,
            items[posting].astype(np.int32),
            lengths[firsts].astype(np.int32),
            np.bincount(items[posting], minlength=n_items).astype(np.int32),
        )

    def find(self, symbols: np.ndarray, row_offsets: np.ndarray) -> Hits:
        """All occurrences of indexed windows in rows of symbols."""
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for walk in self.passes:
            room = 1 << 12
            while True:
                rows, positions, windows = (np.empty(room, np.int32) for _ in range(3))
                count = _find(
                    symbols, row_offsets, walk.lengths, walk.prefixes, walk.masks, walk.bitmap,
                    self.slots, self.numbers, rows, positions, windows,
                )  # fmt: skip
                if count <= room:
                    break
                room = count
            found.append((rows[:count], positions[:count], windows[:count]))
        if not found:
            return Hits(*(np.zeros(0, np.int32) for _ in range(3)))
        return Hits(*(np.concatenate(parts) for parts in zip(*found)))


def hash_windows(symbols: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The hashes of the windows symbols[starts[i] : starts[i] + lengths[i]]; windows of unlike lengths never share one."""
    value = np.zeros(len(starts), np.uint64)
    for length in np.unique(lengths):
        chosen = np.flatnonzero(lengths == length)
        value[chosen] = _key(_roll(symbols, starts[chosen], int(length)), np.uint64(length))
    return value


def window_hashes(symbols: np.ndarray, length: int) -> np.ndarray:
    """The hashes of all windows of one length of a text, in order."""
    starts = np.arange(max(0, len(symbols) - length + 1))
    return _key(_roll(symbols, starts, length), np.uint64(length))


def _roll(symbols: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    value = np.zeros(len(starts), np.uint64)
    for i in range(length):
        value = value * BASE + symbols[starts + i].astype(np.uint64)
    return value


def _groups(lengths: np.ndarray) -> list[np.ndarray]:
    groups: list[list[int]] = []
    for length in lengths.tolist():
        if groups and length <= 2 * groups[-1][0] and len(groups[-1]) < LENGTHS_OF_A_PASS:
            groups[-1].append(length)
        else:
            groups.append([length])
    return [np.array(group, np.int64) for group in groups]


def _pass(symbols: np.ndarray, starts: np.ndarray, lengths: np.ndarray, group: np.ndarray) -> Pass:
    chosen = np.flatnonzero((lengths >= group[0]) & (lengths <= group[-1]))
    prefixes = _key(_roll(symbols, starts[chosen], int(group[0])), np.uint64(group[0]))
    bits = np.int64(1) << np.searchsorted(group, lengths[chosen])
    order = np.argsort(prefixes)
    prefixes, bits = prefixes[order], bits[order]
    firsts = np.flatnonzero(np.r_[True, prefixes[1:] != prefixes[:-1]])
    slots, masks = _table(prefixes[firsts], np.bitwise_or.reduceat(bits, firsts))
    bitmap = np.zeros(len(slots), np.uint8)  # at least 16 bits a prefix
    place = (prefixes[firsts] >> np.uint64(20)) & np.uint64(8 * len(bitmap) - 1)
    np.bitwise_or.at(bitmap, place >> np.uint64(3), (1 << (place & np.uint64(7)).astype(np.uint8)).astype(np.uint8))
    return Pass(group, slots, masks, bitmap)


def _table(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Open addressing, at most half full; a value of 0 marks a free slot."""
    size = 1 << max(6, (2 * len(keys)).bit_length())
    slots, into = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    _fill(keys, values, slots, into)
    return slots, into


@njit(cache=True, nogil=True, inline="always")
def _mix(value, length):
    value += length * MIX
    value = (value ^ (value >> np.uint64(32))) * MIX
    return value ^ (value >> np.uint64(29))


def _key(value: np.ndarray, length: np.uint64) -> np.ndarray:
    with np.errstate(over="ignore"):
        value = value + length * MIX
    value = (value ^ (value >> np.uint64(32))) * MIX
    return value ^ (value >> np.uint64(29))


@njit(cache=True, nogil=True)
def _fill(keys, values, slots, into):
    mask = np.uint64(len(slots) - 1)
    for i in range(len(keys)):
        slot = keys[i] & mask
        while into[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = keys[i]
        into[slot] = values[i]


@njit(cache=True, nogil=True)
def _find(symbols, row_offsets, lengths, prefixes, masks, bitmap, slots, numbers, rows, positions, windows):
    least = lengths[0]
    prefix_mask = np.uint64(len(prefixes) - 1)
    slot_mask = np.uint64(len(slots) - 1)
    bits = np.uint64(len(bitmap) * 8 - 1)
    power = np.uint64(1)
    for _ in range(least):
        power *= BASE
    count = 0
    for row in range(len(row_offsets) - 1):
        low = row_offsets[row]
        high = row_offsets[row + 1]
        if high - low < least:
            continue
        value = np.uint64(0)
        for at in range(low, low + least - 1):
            value = value * BASE + np.uint64(symbols[at])
        for at in range(low + least - 1, high):
            value = value * BASE + np.uint64(symbols[at])
            if at - least >= low:
                value -= np.uint64(symbols[at - least]) * power
            key = _mix(value, np.uint64(least))
            bit = (key >> np.uint64(20)) & bits
            if not bitmap[bit >> np.uint64(3)] & np.uint8(1 << (bit & np.uint64(7))):
                continue
            slot = key & prefix_mask
            while masks[slot] != 0 and prefixes[slot] != key:
                slot = (slot + np.uint64(1)) & prefix_mask
            wanted = masks[slot]
            longer = value
            reached = least
            for j in range(len(lengths)):
                if wanted >> j == 0 or at + 1 - least + lengths[j] > high:
                    break
                if not (wanted >> j) & 1:
                    continue
                while reached < lengths[j]:
                    longer = longer * BASE + np.uint64(symbols[at + 1 - least + reached])
                    reached += 1
                key = _mix(longer, np.uint64(reached))
                slot = key & slot_mask
                while numbers[slot] != 0:
                    if slots[slot] == key:
                        if count < len(rows):
                            rows[count] = row
                            positions[count] = at + 1 - least - low
                            windows[count] = numbers[slot] - 1
                        count += 1
                        break
                    slot = (slot + np.uint64(1)) & slot_mask
    return count
