"""TF-IDF over the windows of a corpus, by words or by characters inside words; cosine similarity."""

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numba import njit

from antivenom.data.benchmarks import Benchmark
from antivenom.data.rows import Batch
from antivenom.data.words import WordTable, fold_stream, hash_words
from antivenom.errors import AntivenomError
from antivenom.screen.detector import Pairs
from antivenom.screen.retrieval.vocabulary import Vocabulary, add_term
from antivenom.screen.retrieval.windows import STRIDE, WINDOW, Best, check_windows, close_row, note_window, window_count

__all__ = ["CharTfidf", "WordTfidf"]

MAX_CHARACTERS = 16


@dataclass(frozen=True)
class Weights:
    """Vocabulary, idf per term, and the items' weights (aligned with the postings), l2-normalised per item."""

    vocabulary: Vocabulary
    idf: np.ndarray
    item_weights: np.ndarray


@dataclass(frozen=True)
class _Tfidf:
    """What both have in common.

    weight(t, d) = (1 + ln tf(t, d)) idf(t), idf(t) = ln((1 + N) / (1 + df)) + 1 over the corpus' windows; score = the cosine of
    item and window over the benchmark's vocabulary: a window's terms that no item has are not in its norm, so a question that
    stands among foreign words keeps its score (and the corpus' own vocabulary need not be held).
    """

    k: int = 5
    window: int = WINDOW
    stride: int = STRIDE

    name: ClassVar[str] = "tfidf"

    def __post_init__(self) -> None:
        """Refuse parameters that have no meaning."""
        check_windows(self.name, self.k, self.window, self.stride)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters."""
        return asdict(self)

    def _hashes(self, texts: pa.LargeStringArray, words: WordTable) -> tuple[np.ndarray, np.ndarray]:
        """All terms of a column of texts, hashed, and int64 (n_words + 1,) where each word's terms begin."""
        raise AssertionError("each kind of term has its own")

    def fit(self, benchmark: Benchmark) -> Weights:
        """Number the benchmark's terms."""
        words = hash_words(benchmark.texts)
        hashes, by_word = self._hashes(benchmark.texts, words)
        vocabulary = Vocabulary.build(hashes, by_word[words.row_offsets])
        return Weights(vocabulary, np.zeros(len(vocabulary)), np.zeros(0))

    def count(self, state: Weights, batch: Batch) -> dict[str, Any]:
        """Windows, and windows that have each term."""
        terms, by_word = self._terms(state, batch)
        frequency = np.zeros(len(state.vocabulary), np.int64)
        n = _count(terms, by_word, batch.words.row_offsets, self.window, self.stride, frequency)
        return {"windows": np.int64(n), "frequency": frequency}

    def finish(self, state: Weights, total: dict[str, Any] | None) -> Weights:
        """idf from the corpus' counts; items normalised."""
        vocabulary = state.vocabulary
        n, df = (
            (float(total["windows"]), total["frequency"].astype(np.float64))
            if total
            else (0.0, np.zeros(len(vocabulary)))
        )
        idf = np.log((1 + n) / (1 + df)) + 1
        weights = (1 + np.log(vocabulary.counts)) * np.repeat(idf, np.diff(vocabulary.offsets))
        norms = np.sqrt(np.bincount(vocabulary.items, weights**2, minlength=vocabulary.n_items))
        return replace(state, idf=idf, item_weights=weights / np.maximum(norms, 1e-12)[vocabulary.items])

    def match(self, state: Weights, batch: Batch) -> Pairs:
        """The k best rows of this batch per item."""
        vocabulary = state.vocabulary
        best = Best(vocabulary.n_items, self.k)
        terms, by_word = self._terms(state, batch)
        postings = (vocabulary.offsets, vocabulary.items, state.item_weights, *vocabulary.dense(state.item_weights))
        shape = (self.window, self.stride)
        rows = batch.words.row_offsets
        _match(terms, by_word, rows, *postings, state.idf, *shape, best.score, best.row, best.window)
        return best.pairs(batch, self.window, self.stride)

    def _terms(self, state: Weights, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        hashes, by_word = self._hashes(batch.texts, batch.words)
        return state.vocabulary.numbers(hashes), by_word


@dataclass(frozen=True)
class WordTfidf(_Tfidf):
    """The k nearest rows by TF-IDF of folded words."""

    name: ClassVar[str] = "word-tfidf"

    def _hashes(self, texts: pa.LargeStringArray, words: WordTable) -> tuple[np.ndarray, np.ndarray]:
        return words.hashes, np.arange(len(words.hashes) + 1)


@dataclass(frozen=True)
class CharTfidf(_Tfidf):
    """The k nearest rows by TF-IDF of `low` to `high` characters inside words (a word is padded by one space each side)."""

    low: int = 3
    high: int = 5

    name: ClassVar[str] = "char-tfidf"

    def __post_init__(self) -> None:
        """Refuse parameters that have no meaning."""
        super().__post_init__()
        if not 1 <= self.low <= self.high <= MAX_CHARACTERS:
            what = f"char-tfidf with {self.low} to {self.high} characters"
            raise AntivenomError(what, f"give 1 <= low <= high <= {MAX_CHARACTERS}")

    def _hashes(self, texts: pa.LargeStringArray, words: WordTable) -> tuple[np.ndarray, np.ndarray]:
        letters, _ = fold_stream(texts)
        counts = np.zeros(len(words.lengths), np.int64)
        for n in range(self.low, self.high + 1):
            counts += np.maximum(0, words.lengths + 3 - n)
        by_word = np.r_[0, np.cumsum(counts)]
        hashes = np.empty(int(by_word[-1]), np.uint64)
        _character_hashes(letters, words.lengths, by_word, self.low, self.high, hashes)
        return hashes, by_word


@njit(cache=True, nogil=True)
def _character_hashes(letters, lengths, by_word, low, high, hashes):
    begin = 0
    for word in range(len(lengths)):
        length = lengths[word]
        out = by_word[word]
        for start in range(-1, length + 1):
            value = np.uint64(0xCBF29CE484222325)
            for n in range(1, high + 1):
                at = start + n - 1
                if at > length:
                    break
                letter = np.uint64(32) if at < 0 or at == length else np.uint64(letters[begin + at])
                value = (value ^ letter) * np.uint64(0x100000001B3)
                if n >= low:
                    key = value ^ (value >> np.uint64(32))
                    key = (key + np.uint64(n)) * np.uint64(0x9E3779B97F4A7C15)
                    hashes[out] = key ^ (key >> np.uint64(29))
                    out += 1
        begin += length


@njit(cache=True, nogil=True)
def _count(terms, by_word, row_offsets, window, stride, frequency):
    seen = np.full(len(frequency), -1, np.int64)
    n = 0
    for row in range(len(row_offsets) - 1):
        low = row_offsets[row]
        total = row_offsets[row + 1] - low
        for w in range(window_count(total, window, stride)):
            first = low + w * stride
            last = min(low + total, first + window)
            for at in range(by_word[first], by_word[last]):
                term = terms[at]
                if term >= 0 and seen[term] != n:
                    seen[term] = n
                    frequency[term] += 1
            n += 1
    return n


@njit(cache=True, nogil=True)
def _match(
    terms, by_word, row_offsets, offsets, items, weights, place, dense, idf, window, stride, scores, rows, windows
):
    n_items = scores.shape[0]
    tf = np.zeros(len(idf), np.int32)
    touched = np.empty(len(idf), np.int32)
    acc = np.zeros(n_items, np.float64)
    row_score = np.zeros(n_items, np.float32)
    floor = np.zeros(n_items, np.float32)
    chosen = np.empty(n_items, np.int32)
    row_window = np.empty(n_items, np.int32)
    for row in range(len(row_offsets) - 1):
        low = row_offsets[row]
        total = row_offsets[row + 1] - low
        n_chosen = 0
        for w in range(window_count(total, window, stride)):
            first = low + w * stride
            last = min(low + total, first + window)
            n_touched = 0
            for at in range(by_word[first], by_word[last]):
                term = terms[at]
                if term >= 0:
                    if tf[term] == 0:
                        touched[n_touched] = term
                        n_touched += 1
                    tf[term] += 1
            norm = 0.0
            for i in range(n_touched):
                term = touched[i]
                weight = idf[term] * (1.0 + np.log(tf[term]))
                tf[term] = 0
                norm += weight * weight
                add_term(acc, weight, term, offsets, items, weights, place, dense)
            if n_touched == 0:
                continue
            scale = 1.0 / np.sqrt(norm)
            n_chosen = note_window(acc, scale, w, floor, row_score, row_window, chosen, n_chosen)
        close_row(row, floor, row_score, row_window, chosen, n_chosen, scores, rows, windows)
