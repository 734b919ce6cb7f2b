"""Embedding retrieval: cosine of sentence vectors, over windows of long rows, exact and in bounded memory."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numba import njit

from antivenom.data.benchmarks import Benchmark
from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError
from antivenom.models.encoders import load_encoder, one_thread
from antivenom.screen.detector import Pairs
from antivenom.screen.retrieval.windows import (
    STRIDE,
    WINDOW,
    Best,
    check_windows,
    push,
    window_count,
    window_texts,
)

__all__ = ["CosineTopK", "Embedding"]

CHUNK = 1_024
CELLS = 2_000_000
"""Scores held at a time: 16 MB of float64, never items x rows."""


@dataclass(frozen=True)
class Embedding:
    """The k nearest rows by cosine of sentence embeddings, a row counting with its best window.

    Scores are rounded to 1e-6, so that batches, machines and BLAS libraries agree. A row whose cosine is not above 0 is no
    candidate. A row is cut into windows before it is encoded, so that no encoder's length limit drops the end of it.

    Args:
        k: rows per item.
        encoder: `static` and `minilm` are packaged; or a folder, or a name on the hub (see `models.encoders`).
        threshold: with it, and without a judge, a pair of at least this cosine is flagged (the paper: 0.5 for MMLU, 0.6 for
            HumanEval, with multi-qa-MiniLM-L6-cos-v1).
        window: words in a window.
        stride: words from one window to the next.
    """

    k: int = 5
    encoder: str = "static"
    threshold: float | None = None
    window: int = WINDOW
    stride: int = STRIDE

    name: ClassVar[str] = "embedding"

    def __post_init__(self) -> None:
        """Refuse parameters that have no meaning."""
        check_windows(self.name, self.k, self.window, self.stride)
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise AntivenomError(f"embedding with threshold = {self.threshold}", "a cosine lies between -1 and 1")

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, with the hash of the encoder's weights."""
        return asdict(self) | {"weights": load_encoder(self.encoder).fingerprint}

    def fit(self, benchmark: Benchmark) -> np.ndarray:
        """The items' vectors, (n_items, d)."""
        return load_encoder(self.encoder).encode(benchmark.texts.to_pylist())

    def count(self, state: np.ndarray, batch: Batch) -> None:
        """Nothing to count."""
        return

    def finish(self, state: np.ndarray, total: dict[str, Any] | None) -> np.ndarray:
        """The state is ready."""
        return state

    def match(self, state: np.ndarray, batch: Batch) -> Pairs:
        """The k best rows of this batch per item."""
        encoder = load_encoder(self.encoder)
        top = CosineTopK(state, self.k)
        for texts, rows, numbers in self._chunks(batch, max(1, min(CHUNK, CELLS // max(1, len(state))))):
            top.add(encoder.encode(texts), rows, numbers)
        return top.finish().pairs(batch, self.window, self.stride)

    def _chunks(self, batch: Batch, size: int) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
        """At most `size` windows at a time: texts, rows, numbers in the row."""
        texts: list[str] = []
        rows: list[int] = []
        numbers: list[int] = []
        for row, n_words in enumerate(np.diff(batch.words.row_offsets).tolist()):
            n_windows = window_count(n_words, self.window, self.stride)
            done = 0
            while done < n_windows:
                some = range(done, min(n_windows, done + size - len(texts)))
                texts += window_texts(batch, row, some, self.window, self.stride)
                rows += [row] * len(some)
                numbers += some
                done = some.stop
                if len(texts) == size:
                    yield texts, np.array(rows, np.int32), np.array(numbers, np.int32)
                    texts, rows, numbers = [], [], []
        if texts:
            yield texts, np.array(rows, np.int32), np.array(numbers, np.int32)


class CosineTopK:
    """The k best rows per item by cosine, of windows that come in chunks; a row may be split over chunks.

    Args:
        items: float32 (n_items, d), unit rows.
        k: rows per item.
    """

    def __init__(self, items: np.ndarray, k: int):
        self.items = items.astype(np.float64)
        self.best = Best(len(items), k)
        self.row = -1
        self.row_score = np.zeros(len(items), np.float32)
        self.row_window = np.zeros(len(items), np.int32)

    def add(self, vectors: np.ndarray, rows: np.ndarray, windows: np.ndarray) -> None:
        """Add windows.

        Args:
            vectors: float32 (n_windows, d), unit rows.
            rows: int32 (n_windows,), rising, not below the rows of earlier chunks.
            windows: int32 (n_windows,), the window's number in its row, rising within a row.
        """
        with one_thread():
            scores = np.round(self.items @ vectors.T.astype(np.float64), 6).astype(np.float32)
        best = self.best
        self.row = _add(
            scores, rows, windows, self.row, self.row_score, self.row_window, best.score, best.row, best.window
        )

    def finish(self) -> Best:
        """The k best, ties to the earlier row and, in a row, to the earlier window; to be called once, at the end."""
        nothing = np.zeros((len(self.items), 1), np.float32)
        best, end = self.best, np.full(1, -1, np.int32)
        _add(nothing, end, end, self.row, self.row_score, self.row_window, best.score, best.row, best.window)
        return best


@njit(cache=True, nogil=True)
def _add(scores, rows, windows, open_row, open_score, open_window, best_score, best_row, best_window):
    last = open_row
    for item in range(scores.shape[0]):
        row = open_row
        score = open_score[item]
        window = open_window[item]
        for at in range(scores.shape[1]):
            if rows[at] != row:
                if row >= 0 and score > 0:
                    push(best_score, best_row, best_window, item, score, row, window)
                row = rows[at]
                score = np.float32(0)
            if scores[item, at] > score:
                score = scores[item, at]
                window = windows[at]
        open_score[item] = score
        open_window[item] = window
        last = row
    return last
