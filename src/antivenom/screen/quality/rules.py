"""Rule scorers: each rule is a range for one statistic, the score is the share of rules a text keeps.

A score of 1 is exactly what the published filter keeps; below 1 it drops. A text without a word cannot be scored.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import numpy as np
import pyarrow as pa

from antivenom.screen.quality.text_stats import NAMES
from antivenom.screen.scoring.scorer import Identity, Scores

__all__ = ["Rule", "columns_of", "identity_of", "judge"]

CANNOT = "cannot score: no words"
VERSION = "1"


@dataclass(frozen=True)
class Rule:
    """low <= statistic <= high; a statistic that does not exist (no denominator) fails.

    Args:
        column: name of the statistic, and of the column it is shown in.
        words: what it is, for reasons.
        low: least value kept.
        high: greatest value kept.
    """

    column: str
    words: str
    low: float = -inf
    high: float = inf

    def broken(self, values: np.ndarray) -> np.ndarray:
        """Mask of the values outside of the range."""
        return ~((values >= self.low) & (values <= self.high))

    def reason(self, value: float) -> str:
        """What is wrong with a value.

        >>> Rule("words", "words", low=50).reason(49.0)
        'words 49 < 50'
        """
        if value < self.low:
            return f"{self.words} {_number(value, self.low)} < {self.low:g}"
        if value > self.high:
            return f"{self.words} {_number(value, self.high)} > {self.high:g}"
        return f"{self.words} cannot be computed"


def _number(value: float, limit: float) -> str:
    """Four digits, and more where these would show the value equal to the limit it breaks."""
    for digits in (4, 6, 9, 17):
        text = f"{value:.{digits}g}"
        if float(text) != limit:
            return text
    return repr(value)


def columns_of(rules: Sequence[Rule]) -> dict[str, pa.DataType]:
    """The rules' statistics and `passes`."""
    return {rule.column: pa.float64() for rule in rules} | {"passes": pa.bool_()}


def judge(rules: Sequence[Rule], statistics: np.ndarray, extra: dict[str, np.ndarray] | None = None) -> Scores:
    """Scores of a batch.

    Args:
        rules: each names a column of the statistics or of `extra`.
        statistics: (n_rows, len(NAMES)), see `text_stats`.
        extra: further statistics, (n_rows,) each.
    """
    extra = extra or {}
    found = [extra[r.column] if r.column in extra else statistics[:, NAMES.index(r.column)] for r in rules]
    unknown = statistics[:, NAMES.index("words")] == 0
    broken = np.array([rule.broken(values) for rule, values in zip(rules, found)]).reshape(len(rules), -1)
    scores = (1 - broken.mean(axis=0)).astype(np.float32)
    scores[unknown] = np.nan
    reasons = [""] * len(scores)
    for row in np.flatnonzero(broken.any(axis=0) & ~unknown).tolist():
        reasons[row] = "; ".join(
            rule.reason(float(values[row])) for rule, values, wrong in zip(rules, found, broken[:, row]) if wrong
        )
    for row in np.flatnonzero(unknown).tolist():
        reasons[row] = CANNOT
    columns: dict[str, pa.Array] = {
        rule.column: pa.array(values, pa.float64(), from_pandas=True) for rule, values in zip(rules, found)
    }
    columns["passes"] = pa.array(~broken.any(axis=0), pa.bool_(), mask=unknown)
    return Scores(scores, reasons, columns)


def identity_of(name: str, scorer: Any, weights: str = "") -> Identity:
    """The identity of a rule scorer: its thresholds are its parameters, the whole text its window."""
    return Identity(name, VERSION, weights, "better", asdict(scorer) | {"window": 0, "language": "en"})
