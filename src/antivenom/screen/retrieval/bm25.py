"""BM25 over the windows of a corpus: the retriever that needs no weights (Robertson and Zaragoza)."""

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numba import njit

from antivenom.data.benchmarks import Benchmark
from antivenom.data.rows import Batch
from antivenom.data.words import hash_words
from antivenom.errors import AntivenomError
from antivenom.screen.detector import Pairs
from antivenom.screen.retrieval.vocabulary import Vocabulary, add_term
from antivenom.screen.retrieval.windows import STRIDE, WINDOW, Best, check_windows, close_row, note_window, window_count

__all__ = ["BM25"]


@dataclass(frozen=True)
class Weights:
    """What `match` needs: vocabulary, idf per term, mean window length in words."""

    vocabulary: Vocabulary
    idf: np.ndarray
    mean_length: float


@dataclass(frozen=True)
class BM25:
    """The k best rows of the corpus for each item, a row counting with its best window.

    score(q, w) = sum over terms t of q: qtf(t) idf(t) tf (k1 + 1) / (tf + k1 (1 - b + b len(w) / mean length)),
    idf(t) = ln(1 + (N - df + .5) / (df + .5)), with N, df and the mean length counted over the corpus' windows. A term that
    the item repeats counts as often as it stands there (qtf). A row that shares no term with an item is no candidate for it.

    Args:
        k: rows per item.
        k1: saturation of term frequency.
        b: strength of length normalisation.
        window: words in a window.
        stride: words from one window to the next.
    """

    k: int = 5
    k1: float = 1.2
    b: float = 0.75
    window: int = WINDOW
    stride: int = STRIDE

    name: ClassVar[str] = "bm25"

    def __post_init__(self) -> None:
        """Refuse parameters that have no meaning."""
        check_windows(self.name, self.k, self.window, self.stride)
        if self.k1 < 0 or not 0 <= self.b <= 1:
            raise AntivenomError(f"bm25 with k1 = {self.k1}, b = {self.b}", "give k1 >= 0 and b between 0 and 1")

    @property
    def params(self) -> dict[str, Any]:
        """The parameters."""
        return asdict(self)

    def fit(self, benchmark: Benchmark) -> Weights:
        """Number the benchmark's terms."""
        table = hash_words(benchmark.texts)
        vocabulary = Vocabulary.build(table.hashes, table.row_offsets)
        return Weights(vocabulary, np.zeros(len(vocabulary)), 0.0)

    def count(self, state: Weights, batch: Batch) -> dict[str, Any]:
        """Windows, words in windows, and windows that have each term."""
        numbers = state.vocabulary.numbers(batch.words.hashes)
        frequency = np.zeros(len(state.vocabulary), np.int64)
        n, words = _count(numbers, batch.words.row_offsets, self.window, self.stride, frequency)
        return {"windows": np.int64(n), "words": np.int64(words), "frequency": frequency}

    def finish(self, state: Weights, total: dict[str, Any] | None) -> Weights:
        """idf and mean length from the corpus' counts."""
        if not total:
            return state
        n, df = float(total["windows"]), total["frequency"].astype(np.float64)
        return replace(
            state, idf=np.log1p((n - df + 0.5) / (df + 0.5)), mean_length=float(total["words"]) / max(1.0, n)
        )

    def match(self, state: Weights, batch: Batch) -> Pairs:
        """The k best rows of this batch per item."""
        vocabulary = state.vocabulary
        best = Best(vocabulary.n_items, self.k)
        numbers = vocabulary.numbers(batch.words.hashes)
        postings = (vocabulary.offsets, vocabulary.items, vocabulary.counts, *vocabulary.dense(vocabulary.counts))
        shape = (self.window, self.stride, self.k1, self.b, max(state.mean_length, 1e-9))
        _match(numbers, batch.words.row_offsets, *postings, state.idf, *shape, best.score, best.row, best.window)
        return best.pairs(batch, self.window, self.stride)


@njit(cache=True, nogil=True)
def _count(numbers, row_offsets, window, stride, frequency):
    seen = np.full(len(frequency), -1, np.int64)
    n = 0
    words = 0
    for row in range(len(row_offsets) - 1):
        low = row_offsets[row]
        total = row_offsets[row + 1] - low
        for w in range(window_count(total, window, stride)):
            first = low + w * stride
            last = min(low + total, first + window)
            words += last - first
            for at in range(first, last):
                term = numbers[at]
                if term >= 0 and seen[term] != n:
                    seen[term] = n
                    frequency[term] += 1
            n += 1
    return n, words


@njit(cache=True, nogil=True)
def _match(
    numbers,
    row_offsets,
    offsets,
    items,
    counts,
    place,
    dense,
    idf,
    window,
    stride,
    k1,
    b,
    mean_length,
    scores,
    rows,
    windows,
):
    n_items = scores.shape[0]
    n_terms = len(idf)
    tf = np.zeros(n_terms, np.int32)
    touched = np.empty(n_terms, np.int32)
    acc = np.zeros(n_items, np.float64)
    row_score = np.zeros(n_items, np.float32)
    floor = np.zeros(n_items, np.float32)
    chosen = np.empty(n_items, np.int32)
    row_window = np.empty(n_items, np.int32)
    for row in range(len(row_offsets) - 1):
        low = row_offsets[row]
        total = row_offsets[row + 1] - low
        n_windows = window_count(total, window, stride)
        n_chosen = 0
        for w in range(n_windows):
            first = low + w * stride
            last = min(low + total, first + window)
            n_touched = 0
            for at in range(first, last):
                term = numbers[at]
                if term >= 0:
                    if tf[term] == 0:
                        touched[n_touched] = term
                        n_touched += 1
                    tf[term] += 1
            if n_touched == 0:
                continue
            norm = k1 * (1.0 - b + b * (last - first) / mean_length)
            for i in range(n_touched):
                term = touched[i]
                weight = idf[term] * tf[term] * (k1 + 1.0) / (tf[term] + norm)
                tf[term] = 0
                add_term(acc, weight, term, offsets, items, counts, place, dense)
            n_chosen = note_window(acc, 1.0, w, floor, row_score, row_window, chosen, n_chosen)
        close_row(row, floor, row_score, row_window, chosen, n_chosen, scores, rows, windows)
