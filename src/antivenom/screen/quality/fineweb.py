"""FineWeb's rules (Penedo et al. 2024, section 3.6): line ends, short lines, copied lines, lists."""

from dataclasses import dataclass

import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.screen.quality.pieces import copied_lines, line_evidence
from antivenom.screen.quality.rules import Rule, columns_of, identity_of, judge
from antivenom.screen.quality.text_stats import Settings, text_stats
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["FineWeb"]


@dataclass(frozen=True)
class FineWeb:
    """Share of FineWeb's four rules that a text keeps. Lines are pieces between line feeds that are not blank.

    Args:
        min_closed_lines: share of lines that end in a sentence's closing mark (of any script).
        max_short_lines: share of lines with `short` characters or fewer.
        short: characters.
        max_copied_line_characters: characters in copied lines over all characters but line feeds.
        max_newline_ratio: line feeds per word.
    """

    min_closed_lines: float = 0.12
    max_short_lines: float = 0.67
    short: int = 30
    max_copied_line_characters: float = 0.01
    max_newline_ratio: float = 0.3
    name = "fineweb"

    @property
    def rules(self) -> list[Rule]:
        """The rules with this scorer's thresholds."""
        high = self.max_copied_line_characters
        return [
            Rule("closed_lines", "share of lines ending in punctuation", low=self.min_closed_lines),
            Rule("short_lines", f"share of lines up to {self.short} characters", high=self.max_short_lines),
            Rule("copied_line_characters", "share of characters in copied lines", high=high),
            Rule("newline_ratio", "line breaks per word", high=self.max_newline_ratio),
        ]

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The rules' statistics and `passes`."""
        return columns_of(self.rules)

    def identity(self) -> Identity:
        """All thresholds."""
        return identity_of(self.name, self)

    def score(self, batch: Batch) -> Scores:
        """1.0 = kept by the published filter."""
        return judge(self.rules, text_stats(batch, Settings(short=self.short)))

    def explain(self, text: str) -> list[Evidence]:
        """Copied lines, else short ones."""
        return copied_lines(text) or line_evidence(text, lambda line: "short line" if len(line) <= self.short else "")
