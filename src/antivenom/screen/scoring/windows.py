"""Windows: long texts are scored in stretches, and the stretches' scores are put together by a stated policy.

A model that reads only the start of a document judges it by its start; a mean over a long clean document hides its toxic
tail. So every scorer states its window and how it aggregates, and both are part of its identity.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from antivenom.errors import AntivenomError

__all__ = ["AGGREGATES", "Aggregate", "Windows"]

Aggregate = Literal["max", "mean", "share"]
AGGREGATES: tuple[str, ...] = ("max", "mean", "share")
TOKEN = re.compile(r"\S+")


@dataclass(frozen=True)
class Windows:
    """Cut texts into windows of `size` space-separated tokens that overlap by `overlap`; put scores together again.

    Args:
        size: tokens of a window; 0: the whole text is one window.
        overlap: tokens a window shares with the one before it.
        aggregate: `max`, `mean`, or `share` of windows with a score of `threshold` or more.
        threshold: for `share`.

    >>> Windows(2, 1).cut("a b c")
    [(0, 3), (2, 5)]
    """

    size: int = 0
    overlap: int = 0
    aggregate: str = "max"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.aggregate not in AGGREGATES:
            raise AntivenomError(f"there is no aggregate '{self.aggregate}'", f"choose from: {', '.join(AGGREGATES)}")
        if self.size < 0 or not 0 <= self.overlap < max(self.size, 1):
            raise AntivenomError(f"a window of {self.size} tokens cannot overlap by {self.overlap}", "overlap < size")

    def record(self) -> dict[str, Any]:
        """As plain data, for a scorer's identity."""
        return {"window": self.size, "overlap": self.overlap, "aggregate": self.aggregate} | (
            {"share_threshold": self.threshold} if self.aggregate == "share" else {}
        )

    def cut(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the windows; at least one, and the last token is always in one."""
        if not self.size:
            return [(0, len(text))]
        tokens = [match.span() for match in TOKEN.finditer(text)]
        if len(tokens) <= self.size:
            return [(0, len(text))]
        step = self.size - self.overlap
        starts = range(0, len(tokens) - self.overlap, step)
        return [(tokens[i][0], tokens[min(i + self.size, len(tokens)) - 1][1]) for i in starts]

    def join(self, scores: np.ndarray, owner: np.ndarray, n: int) -> np.ndarray:
        """Row scores from window scores.

        Args:
            scores: one per window, NaN for missing; missing windows do not count.
            owner: index of the row each window belongs to, rising.
            n: number of rows.

        Returns:
            float32 of length n; NaN for a row all of whose windows are missing.
        """
        out = np.full(n, np.nan, np.float32)
        known = ~np.isnan(scores)
        values, rows = np.asarray(scores, np.float64)[known], np.asarray(owner)[known]
        if self.aggregate == "share":
            values = (values >= self.threshold).astype(np.float64)
        counts = np.bincount(rows, minlength=n)
        has = counts > 0
        if self.aggregate == "max":
            best = np.full(n, -np.inf)
            np.maximum.at(best, rows, values)
            out[has] = best[has]
        else:
            out[has] = (np.bincount(rows, values, minlength=n)[has] / counts[has]).astype(np.float32)
        return out
