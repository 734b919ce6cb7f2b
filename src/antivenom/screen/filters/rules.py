"""Rules: what a filter keeps, in a formula, in words, and how far a row is from the line.

Let s be the score of a row, "bad" the end of its scale that the scorer's orientation names, T a threshold.

    threshold           keep s <= T (higher is worse) or s >= T (higher is better)
    inverse threshold   drop exactly {s < T} (or {s > T}): the BEST rows go; kept(T, inverse) + dropped{s < T} = 1
    band                keep lo <= s <= hi
    quantile            keep exactly ceil(q n) of the n scored rows, the best ones (inverse: the worst ones)
    Pareto-soft         keep if X > 1 - s with X ~ Lomax(alpha), so that P(keep | s) = (2 - s)^-alpha

The inverse of a filter is not its complement (Longpre et al. 2023, section 2, "inverse" filters): with T = .06 it keeps 92 %
of C4 and drops the cleanest 8 %. A row without a score follows the stated policy `missing`, never a default score.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, inf
from typing import Literal

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.screen.filters.order import Cut, code_of, draws, uniform

__all__ = ["MISSING", "Band", "Filter", "Missing", "Pareto", "Quantile", "Spans", "shown"]

Missing = Literal["keep", "drop", "quarantine"]
MISSING: tuple[Missing, ...] = ("keep", "drop", "quarantine")


@dataclass(frozen=True)
class Filter:
    """One rule over one column of scores.

    Args:
        column: the score it reads: a scorer's label, or `label.column`.
        spec: as the user typed it; the filter's name in every record.
        higher_is: what a higher score means here: the scorer's word, or the user's explicit one.
        missing: what happens to a row without a score.
        inverse: drops the good end on purpose.
    """

    column: str
    spec: str
    higher_is: str = "neutral"
    missing: Missing = "keep"
    inverse: bool = False

    needs_ranks = False
    """Whether the rule speaks of the whole corpus and must be `settled` before it can judge a row."""

    def keep(
        self,
        values: np.ndarray,
        keys: np.ndarray | None = None,
        sequence: np.ndarray | None = None,
    ) -> np.ndarray:
        """Mask of the rows to keep. Rows whose value is NaN are kept here: `missing` is for the caller to apply.

        Args:
            values: float32 scores.
            keys: uint64 hashes of the rows' ids (for draws and ties).
            sequence: uint64 places of the rows in the corpus.
        """
        raise NotImplementedError

    def words(self) -> str:
        """The rule, written down."""
        raise NotImplementedError

    def why(self, value: float) -> str:
        """Why a row of this score is dropped."""
        raise NotImplementedError

    def to_be_kept(self, value: float) -> str:
        """What would have to be otherwise for the row to be kept."""
        raise NotImplementedError

    def lines(self) -> list[float]:
        """Thresholds to draw into the histogram of the score."""
        return []

    def _words_missing(self) -> str:
        return {"keep": "", "drop": "; drop rows without a score", "quarantine": "; set aside rows without a score"}[
            self.missing
        ]


@dataclass(frozen=True)
class Band(Filter):
    """Keep low <= score <= high. One end open: a threshold. The comparison is of float32 numbers, as scores are."""

    low: float = -inf
    high: float = inf

    def keep(self, values: np.ndarray, keys=None, sequence=None) -> np.ndarray:
        """See `Filter.keep`."""
        del keys, sequence
        values = np.asarray(values, np.float32)
        return ~((values < np.float32(self.low)) | (values > np.float32(self.high)))

    def words(self) -> str:
        """See `Filter.words`."""
        name = self.column
        if self.low > -inf and self.high < inf:
            rule = f"keep {name} from {shown(self.low)} to {shown(self.high)}"
        elif self.high < inf:
            rule = f"drop {name} over {shown(self.high)}"
        else:
            rule = f"drop {name} under {shown(self.low)}"
        return rule + (" (inverse: the best rows go)" if self.inverse else "") + self._words_missing()

    def why(self, value: float) -> str:
        """See `Filter.why`."""
        bound, side = (self.high, "over") if value > self.high else (self.low, "under")
        return f"{self.column} {shown(value, bound)} is {side} {shown(bound, value)}"

    def to_be_kept(self, value: float) -> str:
        """See `Filter.to_be_kept`."""
        bound, way = (self.high, "fall") if value > self.high else (self.low, "rise")
        gap = abs(float(np.float32(value)) - float(np.float32(bound)))
        return f"{self.column} would have to {way} by {shown(gap)}, from {shown(value, bound)} to {shown(bound, value)}"

    def lines(self) -> list[float]:
        """See `Filter.lines`."""
        return [bound for bound in (self.low, self.high) if abs(bound) < inf]


@dataclass(frozen=True)
class Quantile(Filter):
    """Keep exactly ceil(share * n) of the n scored rows: the best, or with `inverse` the worst.

    Equal scores are ordered by the hash of the row's id, then by the row's place in the corpus.
    """

    share: str = "1"
    """As typed: a decimal fraction, so that .8 of 10 rows is 8 and not ceil(8.000000000000002)."""
    cut: Cut | None = None
    line: float | None = None

    needs_ranks = True

    def __post_init__(self) -> None:
        try:
            inside = 0 <= Fraction(self.share) <= 1
        except (ValueError, ZeroDivisionError):
            inside = False
        if not inside:
            raise AntivenomError(f"'{self.share}' in --filter {self.spec} is not a share", "give one from 0 to 1")

    @property
    def rising(self) -> bool:
        """Whether the rows to keep are those with the lowest scores."""
        return (self.higher_is == "worse") != self.inverse

    def kept_of(self, n: int) -> int:
        """How many of n scored rows are kept."""
        return ceil(Fraction(self.share) * n)

    def settled(self, cut: Cut | None, line: float | None) -> "Quantile":
        """The same rule with its cut known: the triple of the last row to keep (None: keep none)."""
        return replace(self, cut=cut or Cut(0, 0, 0), line=line)

    def keep(self, values: np.ndarray, keys=None, sequence=None) -> np.ndarray:
        """See `Filter.keep`.

        Raises:
            ValueError: when the rule has not been `settled` for a corpus.
        """
        if self.cut is None or keys is None or sequence is None:
            raise ValueError("a quantile speaks of a corpus: settle it first, and give keys and places")
        reached = self.cut.reached(code_of(values, rising=self.rising), keys, sequence)
        if self.line is None:
            reached = np.zeros(len(values), bool)
        return reached | np.isnan(values)

    def words(self) -> str:
        """See `Filter.words`."""
        best = "worst" if self.inverse else "best"
        line = f" (the line is at {shown(self.line)})" if self.line is not None else ""
        rule = f"keep the {best} {shown(float(100 * Fraction(self.share)))} % by {self.column}{line}"
        return rule + (" (inverse: the best rows go)" if self.inverse else "") + self._words_missing()

    def why(self, value: float) -> str:
        """See `Filter.why`."""
        rest = "worst" if not self.inverse else "best"
        share = shown(float(100 * (1 - Fraction(self.share))))
        return f"{self.column} {shown(value, self.line)} is among the {rest} {share} % (the line is at {shown(self.line, value)})"

    def to_be_kept(self, value: float) -> str:
        """See `Filter.to_be_kept`."""
        way = "fall" if self.rising else "rise"
        gap = abs(value - (self.line if self.line is not None else value))
        if gap == 0:
            return f"{self.column} ties with the line at {shown(self.line)}; the tie went by the row's id"
        return f"{self.column} would have to {way} by {shown(gap)} to the line at {shown(self.line, value)}, or the share grow"

    def lines(self) -> list[float]:
        """See `Filter.lines`."""
        return [self.line] if self.line is not None else []


@dataclass(frozen=True)
class Pareto(Filter):
    """Keep if X > 1 - g, X ~ Lomax(alpha), g the score turned so that 1 is good: P(keep | g) = (2 - g)^-alpha.

    The rule of GPT-3's web filter (Brown et al. 2020, appendix A, alpha = 9), with the draw taken from the hash of the row's
    id and the seed: X = U^(-1/alpha) - 1, the same on every worker.
    """

    alpha: float = 9.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise AntivenomError(f"alpha in --filter {self.spec} must be over 0", "GPT-3 used 9")

    def good(self, values: np.ndarray) -> np.ndarray:
        """Scores turned so that 1 is good."""
        values = np.asarray(values, np.float64)
        return 1 - values if self.higher_is == "worse" else values

    def probability(self, values: np.ndarray) -> np.ndarray:
        """P(keep | score), the closed form."""
        return (2 - self.good(values)) ** -self.alpha

    def keep(self, values: np.ndarray, keys=None, sequence=None) -> np.ndarray:
        """See `Filter.keep`."""
        del sequence
        if keys is None:
            raise ValueError("a draw needs the rows' keys")
        x = uniform(draws(keys, self.seed, "filter", "pareto", self.column)) ** (-1 / self.alpha) - 1
        return (x > 1 - self.good(values)) | np.isnan(values)

    def words(self) -> str:
        """See `Filter.words`."""
        good = self.column if self.higher_is == "better" else f"1 - {self.column}"
        return f"keep with probability (2 - s)^-{shown(self.alpha)}, s = {good}{self._words_missing()}"

    def why(self, value: float) -> str:
        """See `Filter.why`."""
        chance = float(self.probability(np.array([value]))[0])
        return f"{self.column} {shown(value)} is kept with probability {shown(chance)}, and the draw went against it"

    def to_be_kept(self, value: float) -> str:
        """See `Filter.to_be_kept`."""
        chance = float(self.probability(np.array([value]))[0])
        return f"another --seed keeps the row with probability {shown(chance)}"


@dataclass(frozen=True)
class Spans(Filter):
    """Cut the pieces (sentences or lines) whose own score is over the threshold; keep the rest of the row.

    A different experiment from dropping documents, and never pooled with it (Soldaini et al. 2024 cut sentences, Longpre
    et al. 2023 drop documents). The row goes only when nothing is left.
    """

    threshold: float = 0.5
    unit: str = "sentence"

    def keep(self, values: np.ndarray, keys=None, sequence=None) -> np.ndarray:
        """All rows: what goes are pieces (see `bad`)."""
        del keys, sequence
        return np.ones(len(values), bool)

    def bad(self, values: np.ndarray) -> np.ndarray:
        """Mask of the pieces to cut, by their own scores; a piece that cannot be scored stays."""
        values = np.asarray(values, np.float32)
        line = np.float32(self.threshold)
        return values < line if (self.higher_is == "better") != self.inverse else values > line

    def words(self) -> str:
        """See `Filter.words`."""
        side = "under" if (self.higher_is == "better") != self.inverse else "over"
        return f"cut every {self.unit} with {self.column} {side} {shown(self.threshold)}{self._words_missing()}"

    def why(self, value: float) -> str:
        """See `Filter.why`; `value` is the worst piece's score."""
        side = "under" if (self.higher_is == "better") != self.inverse else "over"
        return f"a {self.unit} has {self.column} {shown(value, self.threshold)}, {side} {shown(self.threshold, value)}"

    def to_be_kept(self, value: float) -> str:
        """See `Filter.to_be_kept`."""
        return f"no {self.unit} may score beyond {shown(self.threshold, value)} (the worst has {shown(value, self.threshold)})"

    def lines(self) -> list[float]:
        """See `Filter.lines`."""
        return [self.threshold]


def shown(value: float | None, beside: float | None = None) -> str:
    """A score in few digits, but in enough that it differs from the one it stands beside.

    >>> shown(0.91), shown(0.5), shown(0.5004, 0.5), shown(2015.0), shown(-1.25), shown(12.345)
    ('.91', '.50', '.5004', '2015', '-1.25', '12.3')
    """
    if value is None or value != value:
        return "-"
    for digits in range(2, 9):
        text = _digits(value, digits)
        if beside is None or value == beside or text != _digits(beside, digits):
            return text
    return repr(float(value))


def _digits(value: float, digits: int) -> str:
    if float(value).is_integer() and abs(value) >= 1:
        return f"{value:.0f}"
    decimals = digits if abs(value) < 10 else max(0, digits - 1)
    text = f"{value:.{decimals}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
