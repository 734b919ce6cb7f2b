"""The packaged toxicity scorer: works offline, at once. What it is, and where it fails: docs/model-card-toxicity.md."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.screen.scoring.hashed_linear import HashedLinear
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores
from antivenom.screen.scoring.windows import Windows
from antivenom.screen.toxicity.lexicon import packaged_words
from antivenom.screen.toxicity.linear import COLUMNS, explain_windows, score_windows

__all__ = ["DefaultToxicity", "packaged_model"]


@cache
def packaged_model() -> HashedLinear:
    """The packaged weights, written by scripts/train_toxicity.py."""
    return HashedLinear.load(str(files("antivenom.screen") / "weights" / "toxicity.npz"))


@dataclass(frozen=True)
class DefaultToxicity:
    """P(toxic), at equal priors, under the packaged hashed linear model. English; like every keyword-like scorer it sees words,
    not intent.

    Args:
        window: space-separated tokens per window; 0: the whole text.
        overlap: tokens shared by neighbouring windows.
        aggregate: of the windows of a text: `max`, `mean` or `share` (of windows at `share_threshold` or more).
        share_threshold: for `share`.
        disguises: whether disguised words are undone for a second reading; the greater score counts.
    """

    window: int = 200
    overlap: int = 20
    aggregate: str = "max"
    share_threshold: float = 0.5
    disguises: bool = True

    name = "toxicity"
    frees_python = True

    def __post_init__(self) -> None:
        _ = self.windows

    @property
    def windows(self) -> Windows:
        """How long rows are cut."""
        return Windows(self.window, self.overlap if self.window else 0, self.aggregate, self.share_threshold)

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """`windows`: how many; `disguised`: disguised words that were undone."""
        return COLUMNS

    def identity(self) -> Identity:
        """Packaged model, packaged word list, windows."""
        listed = packaged_words().content_hash if self.disguises else ""
        return Identity(
            self.name, "1", packaged_model().weights_hash, "worse", self.windows.record() | {"words": listed}
        )

    def score(self, batch: Batch) -> Scores:
        """P(toxic) of every row; see `score_windows`."""
        return score_windows(packaged_model(), packaged_words() if self.disguises else None, self.windows, batch)

    def explain(self, text: str) -> list[Evidence]:
        """The words that raise the score of the most toxic window; see `explain_windows`."""
        return explain_windows(packaged_model(), packaged_words() if self.disguises else None, self.windows, text)
