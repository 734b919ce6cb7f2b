"""Perplexity of a text under an n-gram model of text one trusts (Witten-Bell), as CCNet and its followers filter by it.

    bits = - sum_i log2 P(w_i | w_{i-n+1} .. w_{i-1}) / N,      perplexity = 2^bits

`unit=character`: symbols are UTF-8 bytes (an alphabet of 256: no text has unknown symbols), N counts characters, so that
the figure does not depend on how many bytes a script needs. `unit=word`: symbols are folded words hashed into 2^bits
buckets, N counts words; words that share a bucket share its probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.data.words import CharSpans, hash_words, text_buffers
from antivenom.errors import AntivenomError
from antivenom.screen.quality.ngram_counts import LARGEST_ORDER, NGramCounts
from antivenom.screen.scoring.labelled import require_model
from antivenom.screen.scoring.model_file import content_hash, read_model, write_model
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["LanguageModel", "NGramPerplexity"]

KIND = "n-gram language model"
SHORT = {"character": 100, "word": 20}
FIT_ROWS = 10_000


@dataclass(frozen=True)
class LanguageModel:
    """The counts, and how a text becomes symbols.

    Args:
        counts: of the n-grams.
        unit: `character` or `word`.
        bits: log2 of the word buckets.
    """

    counts: NGramCounts
    unit: str
    bits: int

    @cached_property
    def hash(self) -> str:
        """Of everything that determines a score."""
        return content_hash(self.header, self.counts.arrays())

    @property
    def header(self) -> dict[str, str | int]:
        """What the file says beside the counts."""
        return {"order": self.counts.order, "alphabet": self.counts.alphabet, "unit": self.unit, "bits": self.bits}


@dataclass(frozen=True)
class NGramPerplexity:
    """Perplexity per character or per word.

    Args:
        model: file written by `save`.
        order: symbols in the longest n-gram, for `fit`.
        unit: `character` or `word`, for `fit` (a model file keeps its own).
        bits: log2 of the word buckets, for `fit`.
    """

    model: str = ""
    order: int = 5
    unit: str = "character"
    bits: int = 18

    name: ClassVar[str] = "perplexity"

    def __post_init__(self) -> None:
        if self.unit not in SHORT or not 1 <= self.order <= LARGEST_ORDER or not 1 <= self.bits <= 30:
            what = f"a language model with order={self.order}, unit={self.unit}, bits={self.bits}"
            raise AntivenomError(what, f"order is 1 to {LARGEST_ORDER}, unit character or word, bits 1 to 30")

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Bits per unit, and how many units there are."""
        return {"bits_per_unit": pa.float32(), "units": pa.int64()}

    @cached_property
    def learned(self) -> LanguageModel:
        """The model: of `fit`, else from the file."""
        path = require_model(self.model, self.name, "train one: scripts/train_scorer.py perplexity")
        header, arrays = read_model(path, KIND, ("keys", "counts", "totals", "types", "root"))
        try:
            unit, bits = header["unit"], int(header["bits"])
            counts = NGramCounts.of_arrays(int(header["order"]), int(header["alphabet"]), arrays)
            if unit not in SHORT or counts.alphabet != (256 if unit == "character" else 1 << bits):
                raise ValueError("its unit and alphabet do not fit")
        except (KeyError, TypeError, ValueError) as error:
            raise AntivenomError(f"'{path}' is no {KIND} ({error})", "train it again") from None
        return LanguageModel(counts, unit, bits)

    def fit(self, texts: Sequence[str], labels: Sequence[int] | None = None, *, seed: int = 0) -> "NGramPerplexity":
        """Learn from trusted texts: all of them, or with labels those of label 0 (1 is what a high score shall mean).

        Raises:
            AntivenomError: when nothing is left to learn from.
        """
        if labels is not None and len(labels) != len(texts):
            raise AntivenomError(f"{len(texts)} texts and {len(labels)} labels", "give one label per text")
        kept = texts if labels is None else [text for text, label in zip(texts, labels) if label == 0]
        counts = NGramCounts.empty(self.order, 256 if self.unit == "character" else 1 << self.bits)
        for begin in range(0, len(kept), FIT_ROWS):
            column = pa.array(list(kept[begin : begin + FIT_ROWS]), pa.large_string())
            counts.add(*_symbols(column, self.unit, self.bits))
        if not counts.root[0]:
            raise AntivenomError("there is nothing to learn a language model from", "give texts that are not empty")
        fitted = replace(self, model="")
        vars(fitted)["learned"] = LanguageModel(counts, self.unit, self.bits)
        return fitted

    def save(self, path: str | Path) -> None:
        """Write the model file."""
        write_model(path, KIND, self.learned.header, self.learned.counts.arrays())

    def identity(self) -> Identity:
        """Higher perplexity is worse: less like the trusted text."""
        return Identity(self.name, "1", self.learned.hash, "worse", dict(self.learned.header))

    def score(self, batch: Batch) -> Scores:
        """Perplexity per unit; NaN for a text without any."""
        unit = self.learned.unit
        table = batch.words if unit == "word" else None
        symbols, offsets = _symbols(batch.texts, unit, self.learned.bits, table)
        losses = np.concatenate([[0.0], np.cumsum(self.learned.counts.bits(symbols, offsets))])
        units = _characters(symbols, offsets) if unit == "character" else np.diff(offsets)
        with np.errstate(divide="ignore", invalid="ignore"):
            bits = np.where(units > 0, (losses[offsets[1:]] - losses[offsets[:-1]]) / units, np.nan)
        columns = {"bits_per_unit": pa.array(bits, pa.float32(), from_pandas=True), "units": pa.array(units)}
        return Scores(np.exp2(bits).astype(np.float32), [_reason(n, unit) for n in units.tolist()], columns)

    def explain(self, text: str) -> list[Evidence]:
        """The ten most surprising words, with their bits."""
        column = pa.array([text], pa.large_string())
        table = hash_words(column)
        symbols, offsets = _symbols(column, self.learned.unit, self.learned.bits, table)
        losses = np.concatenate([[0.0], np.cumsum(self.learned.counts.bits(symbols, offsets))])
        spans = CharSpans(column, table)
        found = []
        for i in range(len(table.hashes)):
            start, stop = spans(0, i, i)
            if self.learned.unit == "word":
                weight = losses[i + 1] - losses[i]
            else:
                begin = int(table.starts[i])
                weight = losses[begin + len(text[start:stop].encode())] - losses[begin]
            found.append(Evidence(start, stop, float(weight), text[start:stop]))
        return sorted(found, key=lambda evidence: (-evidence.weight, evidence.start))[:10]


def _symbols(texts: pa.LargeStringArray, unit: str, bits: int, table=None) -> tuple[np.ndarray, np.ndarray]:
    """The symbols of a column of texts and where each row's begin."""
    if unit == "word":
        table = hash_words(texts) if table is None else table
        return (table.hashes >> np.uint64(64 - bits)).astype(np.uint32), table.row_offsets
    data, offsets = text_buffers(texts)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]


def _characters(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Characters per row of UTF-8 bytes: those that are no continuation."""
    starts = np.concatenate([[0], np.cumsum((data & 0xC0) != 0x80)])
    return starts[offsets[1:]] - starts[offsets[:-1]]


def _reason(units: int, unit: str) -> str:
    if units == 0:
        return "cannot score: empty" if unit == "character" else "cannot score: no letters or digits"
    return f"only {units} {unit}s" if units < SHORT[unit] else ""
