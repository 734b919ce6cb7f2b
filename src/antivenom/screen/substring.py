"""Random substrings (the GPT-4 report's rule): letters and digits only, a few pieces of 50 characters of every item."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from antivenom.data.benchmarks import Benchmark
from antivenom.data.rows import Batch
from antivenom.data.words import CharSpans, fold_stream
from antivenom.randomness import generator
from antivenom.screen.detector import Pairs
from antivenom.screen.ngram import all_windows, group_hits
from antivenom.screen.window_index import WindowIndex, hash_windows

__all__ = ["Substring"]

SPARE = 4  # pieces drawn for each one used


@dataclass(frozen=True)
class Substring:
    """Flags a row in which any of `samples` random pieces of an item occurs; score = share of the pieces found.

    Text is folded and stripped of everything but letters and digits on both sides. An item shorter than `length` is
    matched as a whole, unless it has fewer than `min_length` characters.

    A piece that stands in more than `max_items` items is boilerplate of the benchmark ("which of the following statements
    is true"): another is drawn, and it is used only where an item has nothing else.

    Args:
        length: characters in a piece.
        samples: pieces per item; 0 takes every piece (no chance left, and the index grows).
        min_length: shorter items are not matched.
        max_items: how many items a piece may stand in.
        seed: for the draw; each item has its own, so that items do not move each other's pieces.
    """

    length: int = 50
    samples: int = 3
    min_length: int = 12
    max_items: int = 10
    seed: int = 0

    name = "substring"

    @property
    def params(self) -> dict[str, Any]:
        """The parameters."""
        return asdict(self)

    def fit(self, benchmark: Benchmark) -> WindowIndex:
        """Draw and index the pieces."""
        letters, offsets = fold_stream(benchmark.texts)
        starts, lengths, items = all_windows(offsets, self.length, self.min_length)
        if self.samples > 0:
            keep = self._draw(benchmark, items)
            starts, lengths, items = starts[keep], lengths[keep], items[keep]
            drawn = WindowIndex.build(letters, starts, lengths, items, len(benchmark))
            keep = self._first_specific(self._specific(drawn, letters, offsets, starts, lengths, len(benchmark)), items)
            starts, lengths, items = starts[keep], lengths[keep], items[keep]
        return WindowIndex.build(letters, starts, lengths, items, len(benchmark))

    def _draw(self, benchmark: Benchmark, items: np.ndarray) -> np.ndarray:
        """More random pieces per item than asked for, in the order drawn: some may be boilerplate."""
        counts = np.bincount(items, minlength=len(benchmark))
        first = np.cumsum(counts) - counts
        drawn = [np.zeros(0, np.int64)]
        for item in np.flatnonzero(counts).tolist():
            draw = generator(self.seed, "substring", benchmark.items[item].id)
            size = min(int(counts[item]), SPARE * self.samples)
            drawn.append(first[item] + draw.choice(counts[item], size, replace=False))
        return np.concatenate(drawn)

    def _specific(
        self,
        drawn: WindowIndex,
        letters: np.ndarray,
        offsets: np.ndarray,
        starts: np.ndarray,
        lengths: np.ndarray,
        n: int,
    ) -> np.ndarray:
        """Which pieces stand in no more than `max_items` items."""
        hits = drawn.find(letters, offsets)
        found = np.unique(hits.window * np.int64(n) + hits.row) // n
        owners = np.bincount(found, minlength=len(drawn.keys))
        return owners[np.searchsorted(drawn.keys, hash_windows(letters, starts, lengths))] <= self.max_items

    def _first_specific(self, specific: np.ndarray, items: np.ndarray) -> np.ndarray:
        """The first `samples` specific pieces of each item; of an item that has none, the first drawn."""
        order = np.lexsort((np.arange(len(items)), ~specific, items))
        ranked = items[order]
        rank = np.arange(len(order)) - np.searchsorted(ranked, ranked)
        has = np.bincount(items[specific], minlength=int(items.max(initial=0)) + 1) > 0
        return np.sort(order[(rank < self.samples) & (specific[order] | ~has[ranked])])

    def match(self, state: WindowIndex, batch: Batch) -> Pairs:
        """Rows in which a piece occurs; the evidence reaches from its first word to its last."""
        letters, row_offsets = fold_stream(batch.texts)
        hits = state.find(letters, row_offsets)
        if not len(hits.row):
            return Pairs.of()
        words = batch.words
        ends = np.cumsum(words.lengths, dtype=np.int64)  # letters up to the end of each word of the batch
        spans = CharSpans(batch.texts, words)

        def span(row: int, first: int, last: int) -> tuple[int, int]:
            own = words.row_offsets[row]
            first, last = np.searchsorted(ends, row_offsets[row] + np.array([first, last]), side="right") - own
            return spans(row, int(first), int(last))

        return group_hits(hits, state, span)
