"""A linear classifier on hashed words and character n-grams: the house's small text model.

    z(x) = b + sum_{j in W} w_j / |W|^power + sum_{j in C} w_j / |C|^power,     P(1 | x) = 1 / (1 + exp(-(a z + c)))

W: the set of buckets of the folded words and runs of up to `word_ngrams` words; C: the character n-grams inside the distinct
words (with marks where a word begins and ends), an n-gram of two different words twice. So repeating a word does not raise
the score, and what a word's letters add is a number of the word alone, computed once per batch. Two words of one bucket are one
word. power = 1/2 is the L2 norm of binary features. w and b minimise the mean logistic loss + l2/2 |w|^2 (balanced classes);
a and c are Platt's, fitted on logits of folds the weights did not see (Platt 1999, with his smoothed targets).

A bucket is the top bits of a fixed 64-bit hash of the folded letters: nothing depends on the process, the machine or
PYTHONHASHSEED. Weights are small integers times one scale, so the sums are exact in any order.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from antivenom.data.words import CharSpans, WordTable, fold_stream, hash_words
from antivenom.errors import AntivenomError
from antivenom.screen.scoring import hashed_features as features
from antivenom.screen.scoring.model_file import read_model, write_model

__all__ = ["HashedLinear", "TextUnits"]

FORMAT = 2
KIND = "hashed linear model"
LONGEST = features.LONGEST
LEVELS = {8: np.int8, 16: np.int16}


@dataclass(frozen=True)
class TextUnits:
    """Stretches of texts to be scored: of each the words [first, last) in the batch's word table.

    Args:
        table: the hashed words of the batch.
        letters: `fold_stream` of the batch (code points, uint32).
        first, last: int64, one per unit.
    """

    table: WordTable
    letters: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @classmethod
    def whole(cls, texts: pa.LargeStringArray, table: WordTable | None = None) -> "TextUnits":
        """Every text is one unit."""
        table = hash_words(texts) if table is None else table
        return cls(table, fold_stream(texts)[0], table.row_offsets[:-1], table.row_offsets[1:])

    @cached_property
    def letter_starts(self) -> np.ndarray:
        """Where each word's letters begin in `letters`."""
        return np.concatenate([[0], np.cumsum(self.table.lengths, dtype=np.int64)])

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class HashedLinear:
    """See the module's text. Made by `fit` or `load`; never changed.

    Args:
        weights: integer (2^bits,), in units of `scale`.
        scale: of the weights.
        bias: b.
        slope, offset: a and c of the calibration.
        word_ngrams: longest run of words; 0: no words.
        char_ngrams: shortest and longest run of characters; (0, 0): none.
        power: of the feature counts.
        meta: how it was made, as plain data; not part of the hash.
    """

    weights: np.ndarray
    scale: float
    bias: float
    slope: float = 1.0
    offset: float = 0.0
    word_ngrams: int = 2
    char_ngrams: tuple[int, int] = (3, 5)
    power: float = 0.5
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def bits(self) -> int:
        """log2 of the number of buckets."""
        return len(self.weights).bit_length() - 1

    @property
    def weights_hash(self) -> str:
        """Hash (32 hex digits) of everything that determines a score."""
        digest = hashlib.blake2b(json.dumps(self._numbers(), sort_keys=True).encode(), digest_size=16)
        digest.update(self.weights.astype("<i4").tobytes())
        return digest.hexdigest()

    def _numbers(self) -> dict[str, Any]:
        names = ("scale", "bias", "slope", "offset", "word_ngrams", "power")
        return {name: getattr(self, name) for name in names} | {"char_ngrams": list(self.char_ngrams), "format": FORMAT}

    # learn

    @classmethod
    def fit(
        cls,
        texts: Sequence[str] | pa.LargeStringArray,
        labels: Sequence[int] | np.ndarray,
        *,
        bits: int = 18,
        word_ngrams: int = 2,
        char_ngrams: tuple[int, int] = (3, 5),
        power: float = 0.5,
        l2: float = 1e-5,
        seed: int = 0,
        groups: Sequence[Any] | None = None,
        sample_weights: np.ndarray | None = None,
        calibration_folds: int = 5,
        levels: int = 8,
        meta: dict[str, Any] | None = None,
    ) -> "HashedLinear":
        """Learn from texts with labels 0 / 1.

        Args:
            texts: one per row.
            labels: 0 or 1.
            bits: log2 of the number of buckets.
            word_ngrams, char_ngrams, power: see the class.
            l2: strength of the penalty (on the mean loss).
            seed: of the calibration folds.
            groups: rows of a group (a text and its rewrite) stay in one calibration fold.
            sample_weights: float (n,); each class's sum is made equal. Default: all rows of a class the same.
            calibration_folds: for Platt scaling; 0: none (a = 1, c = 0).
            levels: bits of a stored weight, 8 or 16.
            meta: kept with the model.

        Raises:
            AntivenomError: when a class is missing.
        """
        from antivenom.screen.scoring.logistic import fit_logistic, folds_of, platt  # scipy: only where one learns

        y = np.asarray(labels, np.int8)
        if len(y) != len(texts) or not np.isin(y, (0, 1)).all() or len(np.unique(y)) < 2:
            what = f"{len(texts)} texts with labels {sorted(set(y.tolist()))[:5]} ({len(y)} of them)"
            raise AntivenomError(f"cannot fit on {what}", "give one label 0 or 1 per text, and rows of both")
        column = texts if isinstance(texts, pa.LargeStringArray) else pa.array(list(texts), pa.large_string())
        x = features.matrix(column, bits, word_ngrams, char_ngrams, power)
        importance = np.ones(len(y)) if sample_weights is None else np.asarray(sample_weights, np.float64).copy()
        for value in (0, 1):
            importance[y == value] /= 2 * importance[y == value].sum()
        slope, offset = 1.0, 0.0
        if calibration_folds:
            fold = folds_of(y, calibration_folds, groups, seed)
            held_out = np.empty(len(y))
            for k in range(calibration_folds):
                train = fold != k
                w, b = fit_logistic(x[train], y[train], importance[train] / importance[train].sum(), l2)
                held_out[~train] = x[~train] @ w + b
            slope, offset = platt(held_out, y, importance)
        w, b = fit_logistic(x, y, importance, l2)
        largest = 2 ** (levels - 1) - 1
        scale = float(np.abs(w).max() / largest) or 1.0
        quantised = np.clip(np.rint(w / scale), -largest, largest).astype(LEVELS[levels])
        record = {"rows": len(y), "positive": int(y.sum()), "l2": l2, "seed": seed} | (meta or {})
        return cls(quantised, scale, b, slope, offset, word_ngrams, (char_ngrams[0], char_ngrams[1]), power, record)

    # score

    def score(self, texts: pa.LargeStringArray, table: WordTable | None = None) -> np.ndarray:
        """P(1 | text), float32 (n,); a text without features has the probability of the bias. Say elsewhere who has none."""
        return self.probability(self.logits(TextUnits.whole(texts, table)))

    def logits(self, units: TextUnits) -> np.ndarray:
        """z of every unit, float64, not yet calibrated."""
        sums, counts = features.sums(units, self.weights, self.bits, self.word_ngrams, self.char_ngrams)
        return self.logits_of(sums, counts)

    def logits_of(self, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """z from the sums of weights and the numbers of features, both (n, 2): words, characters."""
        parts = sums * self.scale / np.maximum(counts, 1) ** self.power
        return self.bias + parts.sum(axis=1)

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """1 / (1 + exp(-(a z + c))), float32."""
        z = np.clip(self.slope * np.asarray(logits, np.float64) + self.offset, -40, 40)
        return (1 / (1 + np.exp(-z))).astype(np.float32)

    def contributions(self, text: str) -> list[tuple[int, int, float]]:
        """(start, stop, weight) of every word in the order of the text: the characters and what they add to a z + c.

        A word or run that occurs k times gives each occurrence 1/k of its weight, a run of words gives each of its words an equal
        share: the weights sum to a (z - b).
        """
        texts = pa.array([text], pa.large_string())
        units = TextUnits.whole(texts)
        n = int(units.last[0])
        added = features.word_shares(units, 0, self.weights, self.bits, self.word_ngrams, self.char_ngrams, self.power)
        spans = CharSpans(texts, units.table)
        return [(*spans(0, i, i), float(added[i] * self.scale * self.slope)) for i in range(n)]

    # keep

    def save(self, path: str | Path) -> None:
        """Write one `.npz` without objects, the same bytes for the same model."""
        write_model(path, KIND, self._numbers() | {"meta": self.meta}, {"weights": self.weights})

    @classmethod
    def load(cls, path: str | Path) -> "HashedLinear":
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            AntivenomError: when the file is missing, or no such model.
        """
        header, arrays = read_model(path, KIND, ("weights",))
        weights = arrays["weights"]
        try:
            low, high = (int(n) for n in header["char_ngrams"])
            numbers = {name: float(header[name]) for name in ("scale", "bias", "slope", "offset", "power")}
            runs = int(header["word_ngrams"])
            if header["format"] != FORMAT or weights.dtype.kind != "i" or weights.ndim != 1:
                raise ValueError("another format")
            if not np.isfinite(list(numbers.values())).all():
                raise ValueError("a number is not finite")
            if len(weights) < 2 or len(weights) & (len(weights) - 1) or len(weights) > 1 << 30:
                raise ValueError(f"{len(weights)} weights are no power of two")
            if not (0 <= runs <= LONGEST and 0 <= low <= high <= LONGEST and (low > 0) == (high > 0)):
                raise ValueError("n-gram lengths out of range")
        except (ValueError, KeyError, TypeError) as error:
            mend = "give a file that HashedLinear.save wrote"
            raise AntivenomError(f"'{path}' is no {KIND} ({error})", mend) from None
        return cls(weights, word_ngrams=runs, char_ngrams=(low, high), meta=header.get("meta", {}), **numbers)
