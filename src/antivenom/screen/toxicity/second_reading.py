"""The second reading: the stretches of a column that hold disguised words, with these written plainly.

Where the greatest window counts, only the windows that a disguised word lies in are read again: the others would get the score they have.
A row is read again whole where its windows are put together in another way, or where a disguise runs over white space, so that
undoing it moves the windows.
"""

import numpy as np
import pyarrow as pa
from numba import njit

from antivenom.data.words import text_buffers
from antivenom.screen.scoring.byte_bits import SPACE, first_set
from antivenom.screen.scoring.window_units import CutWindows
from antivenom.screen.toxicity.obfuscation import Disguises

__all__ = ["second_reading"]


def second_reading(
    texts: pa.LargeStringArray, found: Disguises, cut: CutWindows, lanes: np.ndarray, by_window: bool
) -> tuple[np.ndarray, pa.LargeStringArray]:
    """The stretches to be read again, plainly, and the row of each (int64, rising).

    Args:
        texts: the column.
        found: its disguised words.
        cut: its windows.
        lanes: its `byte_bits`.
        by_window: whether windows may be read apart (the greatest counts); else every row is read whole.
    """
    data, offsets = text_buffers(texts)
    rows, firsts = np.unique(found.row, return_index=True)
    lasts = np.append(firsts[1:], len(found))
    units = np.searchsorted(cut.owner, np.arange(len(texts) + 1))
    pieces = np.empty((5, len(cut.owner)), np.int64)  # row, begin, end, and the disguises [first, last) of each
    spans = found.start, found.stop
    n = _pieces(offsets, rows, firsts, lasts, *spans, units, cut.begin, cut.end, lanes[SPACE], by_window, pieces)
    pieces = pieces[:, :n]
    room = int((pieces[2] - pieces[1]).sum()) + int((found.letters.shape[1] * (pieces[4] - pieces[3])).sum())
    out, out_offsets = np.empty(room, np.uint8), np.zeros(n + 1, np.int64)
    _write_plain(data, offsets, pieces, *spans, found.letters, out, out_offsets)
    plain = pa.py_buffer(out[: out_offsets[-1]])
    return pieces[0], pa.LargeStringArray.from_buffers(n, pa.py_buffer(out_offsets), plain)


@njit(cache=True, nogil=True)
def _pieces(offsets, rows, firsts, lasts, starts, stops, units, begins, ends, space, by_window, out):
    count = 0
    for i in range(len(rows)):
        row, low, high = rows[i], firsts[i], lasts[i]
        base = offsets[row] - offsets[0]
        whole = not by_window or units[row + 1] - units[row] == 1
        for j in range(low, high):
            whole = whole or first_set(space, base + starts[j], base + stops[j]) < base + stops[j]
        if whole:
            out[0, count], out[1, count], out[2, count] = row, 0, offsets[row + 1] - offsets[row]
            out[3, count], out[4, count] = low, high
            count += 1
            continue
        for unit in range(units[row], units[row + 1]):
            while low < high and starts[low] < begins[unit]:
                low += 1
            last = low
            while last < high and stops[last] <= ends[unit]:
                last += 1
            if last > low:
                out[0, count], out[1, count], out[2, count] = row, begins[unit], ends[unit]
                out[3, count], out[4, count] = low, last
                count += 1
    return count


@njit(cache=True, nogil=True)
def _write_plain(data, offsets, pieces, starts, stops, letters, out, out_offsets):
    count = 0
    for i in range(pieces.shape[1]):
        base = offsets[pieces[0, i]]
        at = base + pieces[1, i]
        for j in range(pieces[3, i], pieces[4, i]):
            before = base + starts[j] - at
            out[count : count + before] = data[at : at + before]
            count += before
            size = np.int64(letters[j, 0])
            out[count : count + size] = letters[j, 1 : 1 + size]
            count += size
            at = base + stops[j]
        left = base + pieces[2, i] - at
        out[count : count + left] = data[at : at + left]
        count += left
        out_offsets[i + 1] = count
