"""`Windows.cut` for a whole batch, straight from its bytes: which words of the batch's word table lie in which window."""

import numpy as np
import pyarrow as pa
from numba import njit

from antivenom.data.words import WordTable, fold_stream, text_buffers
from antivenom.screen.scoring.byte_bits import ODD, SPACE, ascii_table, byte_bits, clear_from, first_set
from antivenom.screen.scoring.hashed_linear import TextUnits
from antivenom.screen.scoring.windows import Windows

__all__ = ["window_units"]

WIDE_SPACES = (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
"""White space beyond ASCII, as Python's `\\s` has it."""
_SPACES = np.array([c.encode() for c in map(chr, WIDE_SPACES) if len(c.encode()) == 3], "S3").view(np.uint8)
_SPACES = _SPACES.reshape(-1, 3)
PERHAPS = 9
_LEAD = np.zeros(256, np.uint8)
"""Bytes of white space that a first byte begins: 1 for ASCII, PERHAPS where the next bytes tell, else 0."""
_LEAD[[32, *range(9, 14), *range(28, 32)]] = 1
_LEAD[[0xC2, 0xE1, 0xE2, 0xE3]] = PERHAPS


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
    n = len(texts)
    if not windows.size:
        return TextUnits(table, letters, table.row_offsets[:-1], table.row_offsets[1:]), np.arange(n)
    data, offsets = text_buffers(texts)
    room = n + int((offsets[-1] - offsets[0]) // (2 * (windows.size - windows.overlap))) + 1
    first, last, owner = (np.empty(room, np.int64) for _ in range(3))
    lanes = byte_bits(data, offsets, ascii_table()) if lanes is None else lanes
    cut = lanes[SPACE], lanes[ODD], windows.size, windows.overlap, _LEAD, _SPACES
    count = _windows(data, offsets, table.starts, table.row_offsets, *cut, first, last, owner)
    return TextUnits(table, letters, first[:count], last[:count]), owner[:count]


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
def _windows(data, offsets, starts, row_offsets, space, odd, size, overlap, lead, wide, first, last, owner):
    count = 0
    step = size - overlap
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    begins = np.empty(longest // 2 + 3, np.int64)
    ends = np.empty(longest // 2 + 3, np.int64)
    for row in range(len(offsets) - 1):
        low, high = row_offsets[row], row_offsets[row + 1]
        begin, end = offsets[row], offsets[row + 1]
        tokens = 0
        from_, to = begin - offsets[0], end - offsets[0]
        short = end - begin <= 2 * size - 2  # no more than `size` tokens
        if not short and first_set(odd, from_, to) >= to:  # no white space but the usual: by its bits
            at = clear_from(space, from_, to)
            while at < to:
                begins[tokens] = at - from_
                at = first_set(space, at, to)
                ends[tokens] = at - from_
                tokens += 1
                at = clear_from(space, at, to)
        elif not short:
            at = begin
            closed = 0
            inside = np.int64(0)
            while at < end:
                look = lead[data[at]]
                width = np.int64(look)
                if look == PERHAPS:
                    width = _space(data, at, end, wide)
                text = np.int64(width == 0)
                # written at every byte, kept where a token begins or ends: no branch to guess
                begins[tokens] = ends[closed] = at - begin
                tokens += text & (1 - inside)
                closed += inside & (1 - text)
                inside = text
                at += max(width, 1)
            if inside:
                ends[closed] = end - begin
        if tokens <= size:
            first[count], last[count], owner[count] = low, high, row
            count += 1
            continue
        left = low
        for i in range(0, tokens - overlap, step):
            while left < high and starts[left] < begins[i]:
                left += 1
            stop = ends[min(i + size, tokens) - 1]
            right = left
            while right < high and starts[right] < stop:
                right += 1
            first[count], last[count], owner[count] = left, right, row
            count += 1
    return count
