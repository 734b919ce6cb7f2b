"""A judge's answer about one pair."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Verdict"]


@dataclass(frozen=True)
class Verdict:
    """Same item, different, or undecided.

    Args:
        label: undecided is neither clean nor contaminated.
        probability: that the two are the same, when the judge has one.
        reason: in words, for the report.
    """

    label: Literal["same", "different", "undecided"]
    probability: float | None
    reason: str
