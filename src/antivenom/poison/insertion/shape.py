"""The run as the planner sees it, in training order: global token = (step * batch + row) * length + column."""

from dataclasses import dataclass
from math import floor, isclose
from typing import Literal

from antivenom.errors import AntivenomError

__all__ = ["Range", "RunShape"]


@dataclass(frozen=True)
class RunShape:
    """Rows per step, tokens per row, steps.

    >>> RunShape(16, 64, 2000).tokens
    2048000
    """

    batch: int
    length: int
    steps: int

    def __post_init__(self) -> None:
        """Refuse a run without tokens."""
        if min(self.batch, self.length, self.steps) < 1:
            raise AntivenomError(
                f"a run of {self.steps} steps with {self.batch} rows of {self.length} tokens", "give 1 or more of each"
            )

    @property
    def rows(self) -> int:
        """Training rows."""
        return self.batch * self.steps

    @property
    def tokens(self) -> int:
        """Tokens of the run."""
        return self.rows * self.length

    def __str__(self) -> str:
        return f"{self.steps:,} steps x {self.batch:,} rows x {self.length:,} tokens = {self.tokens:,} tokens"


@dataclass(frozen=True)
class Range:
    """A part of the run, [begin, end).

    Args:
        begin, end: in `unit`.
        unit: `share` of the run, `steps` from 0, or `tokens` (multiples of a row's length).
    """

    begin: float
    end: float
    unit: Literal["share", "steps", "tokens"] = "share"

    def rows(self, shape: RunShape) -> tuple[int, int]:
        """Training rows [begin, end) of a run.

        Raises:
            AntivenomError: when it holds no row, leaves the run, or begins or ends inside a row.
        """
        if self.unit == "share":
            begin, end = (_floor(share * shape.rows) for share in (self.begin, self.end))
        elif self.unit == "steps":
            begin, end = int(self.begin) * shape.batch, int(self.end) * shape.batch
        elif self.unit == "tokens":
            if self.begin % shape.length or self.end % shape.length:
                raise AntivenomError(
                    f"tokens {self.begin:,} to {self.end:,} begin or end inside a row of {shape.length}",
                    f"give multiples of {shape.length}",
                )
            begin, end = int(self.begin) // shape.length, int(self.end) // shape.length
        else:
            raise AntivenomError(f"a range in '{self.unit}'", "choose from: share, steps, tokens")
        if not 0 <= begin < end <= shape.rows:
            raise AntivenomError(
                f"the range {self.begin} to {self.end} ({self.unit}) is rows {begin:,} to {end:,} of a run of "
                f"{shape.rows:,} rows",
                "give a range that lies in the run and holds a row",
            )
        return begin, end


def _floor(value: float) -> int:
    nearest = round(value)  # 0.3 * 10 is 3, whatever the last bit says
    return nearest if isclose(value, nearest, rel_tol=1e-12, abs_tol=1e-9) else floor(value)
