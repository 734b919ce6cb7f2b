"""`Windows.cut` for a whole batch, straight from its bytes: which words of the batch's word table lie in which window."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from antivenom.data.words import WordTable, fold_stream, text_buffers
from antivenom.screen.scoring.byte_bits import ODD, SPACE, ascii_table, byte_bits, first_set, ones, trailing
from antivenom.screen.scoring.hashed_linear import TextUnits
from antivenom.screen.scoring.windows import Windows

__all__ = ["CutWindows", "cut_windows", "window_units"]

WIDE_SPACES = (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
"""White space beyond ASCII, as Python's `\\s` has it."""
_SPACES = np.array([c.encode() for c in map(chr, WIDE_SPACES) if len(c.encode()) == 3], "S3").view(np.uint8)
_SPACES = _SPACES.reshape(-1, 3)


@dataclass(frozen=True)
class CutWindows:
    """Windows of a column, all int64, one per window.

    Attributes:
        first, last: the words [first, last) of the column's word table.
        owner: row, rising.
        begin, end: bytes of the row.
    """

    first: np.ndarray
    last: np.ndarray
    owner: np.ndarray
    begin: np.ndarray
    end: np.ndarray


def window_units(
    texts: pa.LargeStringArray,
    table: WordTable,
    windows: Windows,
    letters: np.ndarray | None = None,
    lanes: np.ndarray | None = None,
) -> tuple[TextUnits, np.ndarray]:
    """The windows of all texts as units to be scored, and the row each belongs to (int64, rising).

    A word belongs to the window in which it begins; the spans are those of `Windows.cut`.

    Args:
        texts: the batch's texts.
        table: their words.
        windows: how to cut.
        letters: `fold_stream` of the texts, where it is at hand.
        lanes: `byte_bits` of the texts, where they are at hand.
    """
    letters = fold_stream(texts)[0] if letters is None else letters
    cut = cut_windows(texts, table, windows, lanes)
    return TextUnits(table, letters, cut.first, cut.last), cut.owner


def cut_windows(
    texts: pa.LargeStringArray, table: WordTable, windows: Windows, lanes: np.ndarray | None = None
) -> CutWindows:
    """The windows of all texts, row after row; the arguments are those of `window_units`."""
    n = len(texts)
    data, offsets = text_buffers(texts)
    if not windows.size:
        rows = table.row_offsets
        return CutWindows(rows[:-1], rows[1:], np.arange(n), np.zeros(n, np.int64), np.diff(offsets))
    room = n + int((offsets[-1] - offsets[0]) // (2 * (windows.size - windows.overlap))) + 1
    out = np.empty((5, room), np.int64)
    lanes = byte_bits(data, offsets, ascii_table()) if lanes is None else lanes
    cut = lanes[SPACE], lanes[ODD], windows.size, windows.overlap, _SPACES
    count = _windows(data, offsets, table.starts, table.row_offsets, *cut, out)
    return CutWindows(*out[:, :count])


@njit(cache=True, nogil=True)
def _space(data, at, end, wide):
    """Bytes of the white space at a position; 0: there is none."""
    byte = data[at]
    if byte < 128:
        return 1 if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
    if byte == 0xC2 and at + 1 < end:
        return 2 if data[at + 1] == 0x85 or data[at + 1] == 0xA0 else 0
    if (byte == 0xE1 or byte == 0xE2 or byte == 0xE3) and at + 2 < end:
        for i in range(len(wide)):
            if wide[i, 0] == byte and wide[i, 1] == data[at + 1] and wide[i, 2] == data[at + 2]:
                return 3
    return 0


@njit(cache=True, nogil=True)
def _nth(bits, n):
    """Place of the set bit number n."""
    for _ in range(n):
        bits &= bits - np.uint64(1)
    return trailing(bits)


@njit(cache=True, nogil=True)
def _tokens(space, begin, end, size, step, begins, ends):
    """Where the windows of a row begin and end, by its bits: how many tokens it has. Only the tokens at a window's ends are looked up."""
    tokens = np.int64(0)
    before = np.uint64(0)
    n_begins, n_ends = 0, 0
    for block in range(begin >> 6, (end + 63) >> 6):
        at = block << 6
        text = ~space[block + 1]
        if at < begin:
            text &= ~np.uint64(0) << np.uint64(begin - at)
        if at + 64 > end:
            text &= ~np.uint64(0) >> np.uint64(at + 64 - end)
        new = text & ~(text << np.uint64(1) | before)
        before = text >> np.uint64(63)
        many = ones(new)
        while n_begins * step < tokens + many:
            begins[n_begins] = at + _nth(new, n_begins * step - tokens) - begin
            n_begins += 1
        while n_ends * step + size - 1 < tokens + many:
            place = at + _nth(new, n_ends * step + size - 1 - tokens)
            ends[n_ends] = first_set(space, place, end) - begin
            n_ends += 1
        tokens += many
    return tokens


@njit(cache=True, nogil=True)
def _all_space(data, first, begin, end, space, odd, wide, out):
    """Into out the row's bits of white space, that of other kinds too."""
    for block in range(begin >> 6, (end + 63) >> 6):
        out[block + 1] = space[block + 1]
    at = first_set(odd, begin, end)
    while at < end:
        width = _space(data, first + at, first + end, wide)
        for i in range(at, at + width):
            out[1 + (i >> 6)] |= np.uint64(1) << np.uint64(i & 63)
        at = first_set(odd, at + 1, end)


@njit(cache=True, nogil=True)
def _windows(data, offsets, starts, row_offsets, space, odd, size, overlap, wide, out):
    count = 0
    every = np.empty(len(space), np.uint64)
    step = size - overlap
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    begins = np.empty(longest // (2 * step) + 3, np.int64)
    ends = np.empty(longest // (2 * step) + 3, np.int64)
    for row in range(len(offsets) - 1):
        low, high = row_offsets[row], row_offsets[row + 1]
        begin, end = offsets[row], offsets[row + 1]
        tokens = np.int64(0)
        if end - begin > 2 * size - 2:  # a shorter text has no more than `size` tokens
            from_, to = begin - offsets[0], end - offsets[0]
            lane = space
            if first_set(odd, from_, to) < to:
                _all_space(data, offsets[0], from_, to, space, odd, wide, every)
                lane = every
            tokens = _tokens(lane, from_, to, size, step, begins, ends)
        if tokens <= size:
            out[0, count], out[1, count], out[2, count], out[3, count], out[4, count] = low, high, row, 0, end - begin
            count += 1
            continue
        left = low
        i = 0
        while i * step < tokens - overlap:
            # the last window ends with the row: behind its last token there is only white space
            stop = ends[i] if i * step + size <= tokens else end - begin
            left += np.searchsorted(starts[left:high], begins[i])
            right = left + np.searchsorted(starts[left:high], stop)
            out[0, count], out[1, count], out[2, count] = left, right, row
            out[3, count], out[4, count] = begins[i], stop
            count += 1
            i += 1
    return count
