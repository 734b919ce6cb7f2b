"""DSIR: how much more likely a text is under the target texts than under the raw ones, by hashed words and word pairs.

    log w(x) = sum_{f in x} ( log(p_target(f) + eps) - log(p_raw(f) + eps) ),      p(f) = count(f) / sum_g count(g)

f runs over the folded words and pairs of neighbouring words of x, each as often as it occurs, hashed into `buckets` buckets;
eps = 1e-8. Xie et al. 2023 (Data Selection for Language Models via Importance Resampling), section 3, which has 10,000
buckets. exp(log w) is the importance weight; as a sum it grows with length, so `per=feature` divides by the number of
features, which is what a threshold over texts of unequal length needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.data.words import CharSpans, WordTable, hash_words
from antivenom.errors import AntivenomError
from antivenom.screen.scoring.labelled import distinct_labelled, require_model
from antivenom.screen.scoring.model_file import content_hash, read_model, write_model
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["DSIR"]

KIND = "DSIR model"
EPSILON = 1e-8
MIX = np.uint64(0x9E3779B97F4A7C15)
PAIR = np.uint64(0xD6E8FEB86659FD93)
FIT_ROWS = 10_000
SHORT = 20


@dataclass(frozen=True)
class DSIR:
    """Log importance weight of a text: target against raw.

    Args:
        model: file written by `save`.
        per: `text` (the sum, as published) or `feature` (its mean).
        buckets: of the hashed features, for `fit`.
    """

    model: str = ""
    per: str = "text"
    buckets: int = 10_000

    name: ClassVar[str] = "dsir"

    def __post_init__(self) -> None:
        if self.per not in ("text", "feature") or not 2 <= self.buckets <= 1 << 30:
            what = f"dsir with per={self.per}, buckets={self.buckets}"
            raise AntivenomError(what, "per is text or feature, buckets 2 to 2^30")

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """How many features a text has."""
        return {"features": pa.int64()}

    @cached_property
    def counts(self) -> np.ndarray:
        """int64 (2, buckets): the features' counts in raw (0) and target (1) texts; of `fit`, else from the file."""
        learn = "train one on raw and target texts: scripts/train_scorer.py dsir"
        path = require_model(self.model, self.name, learn)
        counts = read_model(path, KIND, ("counts",))[1]["counts"]
        if (
            counts.dtype != np.int64
            or counts.ndim != 2
            or len(counts) != 2
            or (counts < 0).any()
            or not counts.sum(1).all()
        ):
            raise AntivenomError(f"'{path}' is no {KIND} (its counts)", learn)
        return counts

    @cached_property
    def log_ratio(self) -> np.ndarray:
        """log(p_target + eps) - log(p_raw + eps) of every bucket, float64."""
        p = self.counts / self.counts.sum(axis=1, keepdims=True)
        return np.log(p[1] + EPSILON) - np.log(p[0] + EPSILON)

    def fit(
        self, texts: Sequence[str], labels: Sequence[int], *, seed: int = 0, evaluation: Sequence[str] | None = None
    ) -> "DSIR":
        """Count the features of target (label 1) and raw texts (label 0).

        Args:
            texts, labels: copies count once; a text that is in both is left out.
            seed: not used: there is nothing random.
            evaluation: texts a score will be taken on; refused when one of them is in `texts`.

        Raises:
            AntivenomError: when one side has no words, or evaluation texts are among the training texts.
        """
        kept, y, _ = distinct_labelled(texts, labels, evaluation)
        counts = np.zeros((2, self.buckets), np.int64)
        for begin in range(0, len(kept), FIT_ROWS):
            table = hash_words(pa.array(kept[begin : begin + FIT_ROWS], pa.large_string()))
            features, owner = _features(table, self.buckets)
            side = y[begin + owner] == 1
            for label in (0, 1):
                counts[label] += np.bincount(features[side == label], minlength=self.buckets)
        if not counts.sum(axis=1).all():
            raise AntivenomError("dsir needs words on both sides", "give texts with label 1 (target) and 0 (raw)")
        fitted = replace(self, model="")
        vars(fitted)["counts"] = counts
        return fitted

    def save(self, path: str | Path) -> None:
        """Write the model file."""
        write_model(path, KIND, {"epsilon": EPSILON}, {"counts": self.counts})

    def identity(self) -> Identity:
        """Higher is better: more like the target."""
        weights = content_hash({"epsilon": EPSILON}, {"counts": self.counts})
        return Identity(self.name, "1", weights, "better", {"per": self.per, "buckets": self.counts.shape[1]})

    def score(self, batch: Batch) -> Scores:
        """log w, or log w per feature; NaN for a text without a word.

        A text none of whose words a training text had gets log eps - log eps = 0 for each, and its reason says so.
        """
        features, owner = _features(batch.words, self.counts.shape[1])
        n = np.bincount(owner, minlength=len(batch))
        met = self.counts.sum(axis=0) > 0
        known = np.bincount(owner[met[features]], minlength=len(batch))
        total = np.bincount(owner, self.log_ratio[features], minlength=len(batch))
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(n > 0, total / n if self.per == "feature" else total, np.nan).astype(np.float32)
        words = np.diff(batch.words.row_offsets).tolist()
        reasons = [_reason(*row) for row in zip(words, known.tolist())]
        return Scores(values, reasons, {"features": pa.array(n.astype(np.int64))})

    def explain(self, text: str) -> list[Evidence]:
        """The ten words that move log w most; a pair gives half to each of its words."""
        column = pa.array([text], pa.large_string())
        table = hash_words(column)
        n = len(table.hashes)
        features, _ = _features(table, self.counts.shape[1])
        shares = self.log_ratio[features]
        added = shares[:n].copy()
        added[:-1] += shares[n:] / 2
        added[1:] += shares[n:] / 2
        spans = CharSpans(column, table)
        found = []
        for i in np.argsort(-np.abs(added), kind="stable")[:10].tolist():
            start, stop = spans(0, i, i)
            found.append(Evidence(start, stop, float(added[i]), text[start:stop]))
        return found


def _features(table: WordTable, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """Buckets of all words, then of all pairs inside a text, and the row each belongs to."""
    row = np.repeat(np.arange(len(table.row_offsets) - 1), np.diff(table.row_offsets))
    hashes = table.hashes
    inside = row[1:] == row[:-1]
    with np.errstate(over="ignore"):
        pairs = (hashes[:-1] * PAIR + hashes[1:])[inside]
        mixed = np.concatenate([hashes, pairs ^ (pairs >> np.uint64(29))]) * MIX
    return ((mixed >> np.uint64(20)) % np.uint64(buckets)).astype(np.int64), np.concatenate([row, row[1:][inside]])


def _reason(words: int, known: int) -> str:
    if words == 0:
        return "cannot score: no letters or digits"
    if known == 0:
        return f"none of its {words} words was in the training texts"
    return f"only {words} words" if words < SHORT else ""
