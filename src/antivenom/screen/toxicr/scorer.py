"""ToxiCR as a scorer of a corpus: `--score toxicr:model=FOLDER`."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError
from antivenom.screen.scoring.labelled import distinct_labelled, require_model
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores
from antivenom.screen.scoring.windows import Windows

__all__ = ["ToxiCRScorer"]

COLUMNS = {"windows": pa.int32(), "verdict": pa.bool_()}


@dataclass(frozen=True)
class ToxiCRScorer:
    """P(toxic) by a trained ToxiCR model, the most toxic window of a long text counting.

    Args:
        model: folder written by `antivenom toxicr train`.
        window: space-separated tokens of a window; 0: the whole text.
        overlap: tokens that neighbouring windows share.
        aggregate: `max`, `mean` or `share` of windows.
        algorithm: for `fit`.
        min_df: for `fit`; -1: the learner's own.
    """

    model: str = ""
    window: int = 200
    overlap: int = 20
    aggregate: str = "max"
    algorithm: str = "linear+"
    min_df: int = -1

    name: ClassVar[str] = "toxicr"

    def __post_init__(self) -> None:
        _ = self.windows

    @property
    def windows(self) -> Windows:
        """How long rows are cut."""
        return Windows(self.window, self.overlap, self.aggregate)

    @cached_property
    def learned(self) -> Any:
        """The estimator (`estimator.ToxiCR`): of `fit`, else from the folder."""
        from antivenom.screen.toxicr.estimator import ToxiCR

        return ToxiCR.load(require_model(self.model, self.name, "train one: antivenom toxicr train"))

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """`windows`: how many; `verdict`: whether the score reaches the model's threshold, null where there is no score."""
        return COLUMNS

    def identity(self) -> Identity:
        """The model's files, its parameters, and the windows."""
        learned = self.learned
        params = self.windows.record() | {"algorithm": learned.algorithm, "threshold": learned.threshold_}
        return Identity(
            self.name, "1", learned.weights_hash, "worse", params | {"steps": learned.preprocessing_.record()}
        )

    def fit(self, texts: Any, labels: Any, *, seed: int = 0) -> "ToxiCRScorer":
        """Learn from labelled texts, copies counted once."""
        from antivenom.screen.toxicr.estimator import ToxiCR

        kept, y, _ = distinct_labelled(texts, labels)
        options = {} if self.min_df < 0 else {"min_df": self.min_df}
        if options and self.algorithm.lower() not in ("dt", "rf", "gbt", "svm", "lr", "linear+"):
            raise AntivenomError(f"'{self.algorithm}' has no min_df", "leave min_df out")
        fitted = replace(self, model="")
        vars(fitted)["learned"] = ToxiCR(self.algorithm, options=options, seed=seed).fit(kept, y.tolist())
        return fitted

    def score(self, batch: Batch) -> Scores:
        """P(toxic) of every row, NaN with the reason where it cannot be scored."""
        from antivenom.screen.toxicr.estimator import cannot_score

        texts, windows, n = batch.texts.to_pylist(), self.windows, len(batch)
        reasons, pieces, owner = [""] * n, [], []
        for row, text in enumerate(texts):
            why = cannot_score(text)
            if why:
                reasons[row] = f"cannot score: {why}"
                continue
            spans = [(a, b) for a, b in windows.cut(text)]
            pieces += [text[a:b] for a, b in spans]
            owner += [row] * len(spans)
            if len(spans) > 1:
                reasons[row] = f"{windows.aggregate} of {len(spans)} windows"
        p = self.learned.score(pieces) if pieces else np.zeros(0)
        values = windows.join(p, np.array(owner, np.int64), n)
        counts = np.bincount(np.array(owner, np.int64), minlength=n)
        for row in np.flatnonzero(np.isnan(values) & (counts > 0)):
            reasons[row] = "cannot score: no window holds words"
        verdict = pa.array((values >= self.learned.threshold_).tolist(), pa.bool_(), mask=np.isnan(values))
        return Scores(values, reasons, {"windows": pa.array(counts, pa.int32()), "verdict": verdict})

    def explain(self, text: str) -> list[Evidence]:
        """The stretches of the most toxic window; see `ToxiCR.explain`."""
        spans = self.windows.cut(text)
        p = self.learned.score([text[a:b] for a, b in spans])
        if np.isnan(p).all():
            return []
        start, stop = spans[int(np.nanargmax(p))]
        return [replace(e, start=e.start + start, stop=e.stop + start) for e in self.learned.explain(text[start:stop])]
