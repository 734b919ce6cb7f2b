"""Quality as closeness to curated text: a linear classifier on hashed words, after GLaM and PaLM.

Positives are curated texts (encyclopaedias, books, chosen sites), negatives other web pages (Du et al. 2022, GLaM; Longpre
et al. 2023, section 2.2). The score is P(curated). The published filter counts the other way round - 0 is high quality -
which `orientation=paper` gives: 1 - P(curated), where a higher score is worse.

Such a classifier learns style as much as worth: print its AUROC beside that of document length alone (`scripts/evaluate_quality.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError
from antivenom.screen.scoring.fit_distinct import fit_distinct
from antivenom.screen.scoring.hashed_linear import HashedLinear, TextUnits
from antivenom.screen.scoring.labelled import require_model
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores
from antivenom.screen.scoring.windows import Windows

__all__ = ["QualityLinear"]

SHORT = 20  # words


@dataclass(frozen=True)
class QualityLinear:
    """P(curated) of a text, from hashed words and word pairs.

    Args:
        model: file written by `save`.
        orientation: `better` (1 = high quality) or `paper` (0 = high quality, 1 = low).
        window: space-separated tokens per window; 0: the whole text.
        overlap: tokens shared by neighbouring windows.
        aggregate: of the windows of a text: `mean`, `max` or `share`.
        bits, word_ngrams, char_low, char_high, l2: for `fit`; see `HashedLinear`.
    """

    model: str = ""
    orientation: str = "better"
    window: int = 0
    overlap: int = 0
    aggregate: str = "mean"
    bits: int = 18
    word_ngrams: int = 2
    char_low: int = 0
    char_high: int = 0
    l2: float = 1e-4

    name: ClassVar[str] = "quality"

    def __post_init__(self) -> None:
        if self.orientation not in ("better", "paper"):
            raise AntivenomError(f"there is no orientation '{self.orientation}'", "choose from: better, paper")
        _ = self._windows

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """None beside the score."""
        return {}

    @property
    def _windows(self) -> Windows:
        return Windows(self.window, self.overlap, self.aggregate)

    @cached_property
    def learned(self) -> HashedLinear:
        """The classifier: of `fit`, else from the model file."""
        learn = "train one on curated and web text: scripts/train_scorer.py quality"
        return HashedLinear.load(require_model(self.model, self.name, learn))

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[int],
        *,
        seed: int = 0,
        evaluation: Sequence[str] | None = None,
    ) -> "QualityLinear":
        """Learn from curated (label 1) and web texts (label 0), whatever the orientation of the score.

        Args:
            texts, labels: copies count once.
            seed: of the calibration folds.
            evaluation: texts a score will be taken on; refused when one of them is in `texts`.

        Raises:
            AntivenomError: when a class is missing or evaluation texts are among the training texts.
        """
        learned, *_ = fit_distinct(self, texts, labels, evaluation, seed)
        fitted = replace(self, model="")
        vars(fitted)["learned"] = learned
        return fitted

    def save(self, path: str | Path) -> None:
        """Write the model file."""
        self.learned.save(path)

    def identity(self) -> Identity:
        """The orientation is part of it."""
        params = {"orientation": self.orientation} | self._windows.record()
        higher = "better" if self.orientation == "better" else "worse"
        return Identity(self.name, "1", self.learned.weights_hash, higher, params)

    def score(self, batch: Batch) -> Scores:
        """P(curated), or 1 - P(curated); NaN for a text without a word."""
        texts, n_words = batch.texts, np.diff(batch.words.row_offsets)
        if self.window:
            pieces, owner = [], []
            for row, text in enumerate(texts.to_pylist()):
                spans = self._windows.cut(text)
                pieces += [text[a:b] for a, b in spans]
                owner += [row] * len(spans)
            units = TextUnits.whole(pa.array(pieces, pa.large_string()))
        else:
            units, owner = TextUnits.whole(texts, batch.words), range(len(texts))
        good = self.learned.probability(self.learned.logits(units)).astype(np.float32)
        if self.orientation == "paper":
            good = 1 - good
        good[np.asarray(units.last) == np.asarray(units.first)] = np.nan
        values = self._windows.join(good, np.asarray(owner, np.int64), len(texts))
        return Scores(values, [_reason(n) for n in n_words.tolist()])

    def explain(self, text: str) -> list[Evidence]:
        """The ten words that move the score most; positive weights raise it."""
        sign = 1 if self.orientation == "better" else -1
        shares = sorted(self.learned.contributions(text), key=lambda share: (-abs(share[2]), share[0]))
        return [Evidence(a, b, sign * w, text[a:b]) for a, b, w in shares[:10] if w]


def _reason(words: int) -> str:
    if words == 0:
        return "cannot score: no letters or digits"
    return f"only {words} words" if words < SHORT else ""
