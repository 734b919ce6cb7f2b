"""Windows: a long row is scored by its best stretch, so that a question at the end of a long document is found."""

from collections.abc import Iterable

import numpy as np
from numba import njit

from antivenom.data.rows import Batch
from antivenom.data.words import WordTable, char_span, text_buffers
from antivenom.errors import AntivenomError
from antivenom.screen.detector import Pairs

__all__ = ["STRIDE", "WINDOW", "Best", "check_windows", "window_spans", "window_texts", "windows_of"]

WINDOW = 200
STRIDE = 100


def check_windows(name: str, k: int, window: int, stride: int) -> None:
    """Refuse windows that would leave words out, and a k that keeps nothing.

    Raises:
        AntivenomError: unless k >= 1 and 1 <= stride <= window.
    """
    if k < 1:
        raise AntivenomError(f"{name} with k = {k} keeps no row", "give a k of at least 1")
    if not 1 <= stride <= window:
        what = f"{name} with windows of {window} words, {stride} apart"
        raise AntivenomError(what, "give a stride between 1 and the window, so that no word is left out")


def windows_of(n_words: int, window: int = WINDOW, stride: int = STRIDE) -> list[tuple[int, int]]:
    """The windows [start, stop) of a row, in words: each `stride` further, the last one ending with the row.

    >>> windows_of(5)
    [(0, 5)]
    >>> windows_of(450)
    [(0, 200), (100, 300), (200, 400), (300, 450)]
    """
    if n_words == 0:
        return []
    return [(start, min(n_words, start + window)) for start in range(0, max(1, n_words - window + stride), stride)]


@njit(cache=True, nogil=True, inline="always")
def window_count(n_words, window, stride):
    """How many windows a row of n words has."""
    if n_words == 0:
        return 0
    if n_words <= window:
        return 1
    return (n_words - window + stride - 1) // stride + 1


class Best:
    """The k best rows per item so far: arrays of shape (n_items, k), best first; row -1 where nothing is yet."""

    def __init__(self, n_items: int, k: int):
        self.score = np.full((n_items, k), -np.inf, np.float32)
        self.row = np.full((n_items, k), -1, np.int32)
        self.window = np.zeros((n_items, k), np.int32)

    def pairs(self, batch: Batch, window: int, stride: int) -> Pairs:
        """As pairs, with the characters of the best window as evidence."""
        item, rank = np.nonzero(self.row >= 0)
        rows, numbers = self.row[item, rank], self.window[item, rank]
        spans = window_spans(batch, zip(rows.tolist(), numbers.tolist()), window, stride)
        at = np.array([spans[key] for key in zip(rows.tolist(), numbers.tolist())], np.int32).reshape(-1, 2)
        return Pairs.of(rows, item, self.score[item, rank], at[:, 0], at[:, 1])


def window_spans(
    batch: Batch, wanted: Iterable[tuple[int, int]], window: int, stride: int
) -> dict[tuple[int, int], tuple[int, int]]:
    """The characters [start, stop) of windows, from their first word to the end of their last.

    Args:
        batch: whose rows they are windows of.
        wanted: (row, number of the window in the row), in any order, repeats allowed.
        window: words in a window.
        stride: words from one window to the next.

    Returns:
        (row, number) -> (start, stop). A row's text is walked once, however many of its windows are wanted.
    """
    data, offsets = text_buffers(batch.texts)
    words = batch.words
    found: dict[tuple[int, int], tuple[int, int]] = {}
    row, byte, character = -1, 0, 0
    for key in sorted(set(wanted)):
        if key[0] != row:
            row, byte, character = key[0], 0, 0
        base, end = int(offsets[row]), int(offsets[row + 1])
        low, high = int(words.row_offsets[row]), int(words.row_offsets[row + 1])
        if low == high:
            found[key] = (0, 0)
            continue
        first = low + key[1] * stride
        last = min(high, first + window) - 1
        begin = int(words.starts[first])
        character += _characters(data[base + byte : base + begin])
        byte = begin
        at_last = int(words.starts[last])
        after = base + int(words.starts[last + 1]) if last + 1 < high else end
        piece = data[base + at_last : after].tobytes().decode()
        one = WordTable(
            words.hashes[last : last + 1], np.zeros(1, np.int32), words.lengths[last : last + 1], np.array([0, 1])
        )
        stop = character + _characters(data[base + begin : base + at_last]) + char_span(piece, one, 0, 0, 0)[1]
        found[key] = (character, stop)
    return found


def _characters(utf8: np.ndarray) -> int:
    return int(np.count_nonzero((utf8 & 0xC0) != 0x80))


def window_texts(batch: Batch, row: int, numbers: Iterable[int], window: int, stride: int) -> list[str]:
    """The texts of some of a row's windows with all that stands between their words, each cut straight from the bytes.

    A row's first window begins with the row and its last one ends with it, so that together they hold all of the text.
    """
    data, offsets = text_buffers(batch.texts)
    words = batch.words
    low, high = int(words.row_offsets[row]), int(words.row_offsets[row + 1])
    base, end = int(offsets[row]), int(offsets[row + 1])
    texts = []
    for number in numbers:
        first = low + number * stride
        start = base + int(words.starts[first]) if number else base
        stop = base + int(words.starts[first + window]) if first + window < high else end
        texts.append(data[start:stop].tobytes().decode())
    return texts


@njit(cache=True, nogil=True)
def push(scores, rows, windows, item, score, row, window):
    """Put a row into an item's k best if it belongs there; among equals the earlier row stays ahead."""
    k = scores.shape[1]
    if not score > scores[item, k - 1]:
        return
    at = k - 1
    while at > 0 and score > scores[item, at - 1]:
        scores[item, at] = scores[item, at - 1]
        rows[item, at] = rows[item, at - 1]
        windows[item, at] = windows[item, at - 1]
        at -= 1
    scores[item, at] = score
    rows[item, at] = row
    windows[item, at] = window


@njit(cache=True, nogil=True, inline="always")
def note_window(total, scale, window, floor, row_score, row_window, chosen, n_chosen):
    """Remember a window's scores (total * scale, cleared here) for the items where its row could enter the k best.

    `floor` is each item's k-th best score so far, so nothing that is passed over could have entered: exact.
    """
    for item in range(len(total)):
        score = np.float32(total[item] * scale)
        total[item] = 0.0
        if score > floor[item] and score > row_score[item]:
            if row_score[item] == 0:
                chosen[n_chosen] = item
                n_chosen += 1
            row_score[item] = score
            row_window[item] = window
    return n_chosen


@njit(cache=True, nogil=True, inline="always")
def close_row(row, floor, row_score, row_window, chosen, n_chosen, scores, rows, windows):
    """Put a finished row into the k best of the chosen items."""
    for i in range(n_chosen):
        item = chosen[i]
        push(scores, rows, windows, item, row_score[item], row, row_window[item])
        floor[item] = max(np.float32(0), scores[item, scores.shape[1] - 1])
        row_score[item] = 0
