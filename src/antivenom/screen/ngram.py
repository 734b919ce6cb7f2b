"""Word n-grams: a row that shares a run of n words with an item (GPT-3, appendix C: n = 13; others 8 or 10)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from antivenom.data.benchmarks import Benchmark
from antivenom.data.rows import Batch
from antivenom.data.words import CharSpans, hash_words
from antivenom.screen.detector import Pairs
from antivenom.screen.window_index import Hits, WindowIndex, hash_windows

__all__ = ["NGram", "all_windows", "group_hits"]


@dataclass(frozen=True)
class NGram:
    """Flags a row that shares at least `min_hits` distinct word n-grams with an item.

    score = distinct n-grams of the item found in the row / distinct n-grams of the item (coverage).

    An item of fewer than n words has no n-gram: it is matched as a whole, so that even a bare six-word question is found
    (short-item rule). Items of fewer than `min_words` words are never matched.

    Args:
        n: words in a run.
        min_hits: how many distinct n-grams must be shared (an item matched as a whole needs one).
        min_coverage: how much of the item must be found.
        max_items: an n-gram that more than this many items have is boilerplate of the benchmark ("answer the following
            question") and is not matched, unless an item would be left without any.
        min_words: shorter items are not matched.
    """

    n: int = 13
    min_hits: int = 1
    min_coverage: float = 0.0
    max_items: int = 10
    min_words: int = 3

    name = "ngram"

    @property
    def params(self) -> dict[str, Any]:
        """The parameters."""
        return asdict(self)

    def fit(self, benchmark: Benchmark) -> WindowIndex:
        """Index the items' n-grams."""
        table = hash_words(benchmark.texts)
        starts, lengths, items = all_windows(table.row_offsets, self.n, self.min_words)
        keep = self._specific(hash_windows(table.hashes, starts, lengths), items, len(benchmark))
        return WindowIndex.build(table.hashes, starts[keep], lengths[keep], items[keep], len(benchmark))

    def _specific(self, keys: np.ndarray, items: np.ndarray, n_items: int) -> np.ndarray:
        """Which windows are no boilerplate; all windows of an item that has nothing else."""
        _, window = np.unique(keys, return_inverse=True)
        owners = np.bincount(np.unique(window * np.int64(max(n_items, 1)) + items) // max(n_items, 1))
        specific = owners[window] <= self.max_items
        return specific | (np.bincount(items[specific], minlength=n_items) == 0)[items]

    def match(self, state: WindowIndex, batch: Batch) -> Pairs:
        """Rows that share n-grams, with coverage as score and the densest stretch as evidence."""
        words = batch.words
        hits = state.find(words.hashes, words.row_offsets)
        return group_hits(hits, state, CharSpans(batch.texts, words), self.min_hits, self.min_coverage)


def all_windows(offsets: np.ndarray, length: int, least: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every window of every item: where it begins, its length, its item.

    Args:
        offsets: item i has the symbols offsets[i] : offsets[i + 1].
        length: of a window; an item with fewer symbols is one window.
        least: items with fewer symbols have no window.
    """
    sizes = np.diff(offsets)
    counts = np.where(sizes >= max(1, least), np.maximum(1, sizes - length + 1), 0)
    items = np.repeat(np.arange(len(sizes)), counts)
    within = np.arange(len(items)) - np.repeat(np.cumsum(counts) - counts, counts)
    return offsets[items] + within, np.minimum(length, sizes)[items], items


def group_hits(
    hits: Hits,
    index: WindowIndex,
    span: Callable[[int, int, int], tuple[int, int]],
    min_hits: int = 1,
    min_coverage: float = 0.0,
) -> Pairs:
    """From occurrences of windows to one pair per (row, item).

    Args:
        hits: the occurrences.
        index: tells which items a window belongs to.
        span: (row, first symbol, last symbol) -> the characters [start, stop); asked row by row.
        min_hits: distinct windows a pair needs (no more than the item has).
        min_coverage: share of the item's windows a pair needs.
    """
    if not len(hits.row):
        return Pairs.of()
    fan = index.posting_offsets[hits.window + 1] - index.posting_offsets[hits.window]
    source = np.repeat(np.arange(len(hits.row)), fan)
    within = np.arange(len(source)) - np.repeat(np.cumsum(fan) - fan, fan)
    item = index.posting_items[index.posting_offsets[hits.window[source]] + within]
    row, position, window = hits.row[source], hits.position[source], hits.window[source]
    order = np.lexsort((position, window, item, row))
    row, item, window = row[order], item[order], window[order]
    new_pair = np.r_[True, (row[1:] != row[:-1]) | (item[1:] != item[:-1])]
    new_window = new_pair | np.r_[True, window[1:] != window[:-1]]
    edges = np.r_[np.flatnonzero(new_pair), len(row)]
    distinct = np.add.reduceat(new_window.astype(np.int64), edges[:-1])
    total = index.item_windows[item[edges[:-1]]]
    flagged = (distinct >= np.minimum(min_hits, total)) & (distinct / total >= min_coverage)
    stretches: list[tuple[int, int]] = []
    for number in np.flatnonzero(flagged).tolist():
        low, high = edges[number], edges[number + 1]
        at = position[order[low:high]]
        by_position = np.argsort(at, kind="stable")
        lengths = index.window_length[window[low:high]][by_position]
        first, last = _densest(at[by_position], lengths, int(total[number]))
        stretches.append(span(int(row[low]), first, last))
    begins = edges[:-1][flagged]
    starts, stops = zip(*stretches) if stretches else ((), ())
    return Pairs.of(row[begins], item[begins], (distinct / total)[flagged], starts, stops)


def _densest(position: np.ndarray, length: np.ndarray, total: int) -> tuple[int, int]:
    """First and last symbol of the stretch with most occurrences; a gap longer than the item ends a stretch."""
    reach = int(length[0]) + total
    edges = np.r_[0, np.flatnonzero(np.diff(position) > reach) + 1, len(position)]
    best = int(np.argmax(np.diff(edges)))
    first, last = edges[best], edges[best + 1] - 1
    return int(position[first]), int(position[last] + length[last] - 1)
