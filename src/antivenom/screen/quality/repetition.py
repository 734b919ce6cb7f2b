"""Gopher's repetition rules (Rae et al. 2021, table A1): copies of lines, paragraphs and n-grams inside one document."""

from dataclasses import dataclass

import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.screen.quality.pieces import copied_lines, copied_words
from antivenom.screen.quality.rules import Rule, columns_of, identity_of, judge
from antivenom.screen.quality.text_stats import text_stats
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["GopherRepetition"]


@dataclass(frozen=True)
class GopherRepetition:
    """Share of Gopher's thirteen repetition rules that a text keeps.

    Shares of characters are over all characters of the text. `max_top_n`: characters covered by the most frequent n-gram of
    words; `max_duplicate_n`: characters in n-grams that stood in the text before, each counted once.
    """

    max_duplicate_lines: float = 0.30
    max_duplicate_paragraphs: float = 0.30
    max_duplicate_line_characters: float = 0.20
    max_duplicate_paragraph_characters: float = 0.20
    max_top_2: float = 0.20
    max_top_3: float = 0.18
    max_top_4: float = 0.16
    max_duplicate_5: float = 0.15
    max_duplicate_6: float = 0.14
    max_duplicate_7: float = 0.13
    max_duplicate_8: float = 0.12
    max_duplicate_9: float = 0.11
    max_duplicate_10: float = 0.10
    name = "gopher-repetition"

    @property
    def rules(self) -> list[Rule]:
        """The rules with this scorer's thresholds."""
        high = self.max_duplicate_line_characters, self.max_duplicate_paragraph_characters
        rules = [
            Rule("duplicate_lines", "share of lines that are copies", high=self.max_duplicate_lines),
            Rule("duplicate_paragraphs", "share of paragraphs that are copies", high=self.max_duplicate_paragraphs),
            Rule("duplicate_line_characters", "share of characters in copied lines", high=high[0]),
            Rule("duplicate_paragraph_characters", "share of characters in copied paragraphs", high=high[1]),
        ]
        for n in (2, 3, 4):
            words = f"share of characters in the most frequent {n}-gram"
            rules.append(Rule(f"top_{n}_gram", words, high=getattr(self, f"max_top_{n}")))
        for n in range(5, 11):
            words = f"share of characters in copied {n}-grams"
            rules.append(Rule(f"duplicate_{n}_grams", words, high=getattr(self, f"max_duplicate_{n}")))
        return rules

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The rules' statistics and `passes`."""
        return columns_of(self.rules)

    def identity(self) -> Identity:
        """All thresholds."""
        return identity_of(self.name, self)

    def score(self, batch: Batch) -> Scores:
        """1.0 = kept by the published filter."""
        return judge(self.rules, text_stats(batch))

    def explain(self, text: str) -> list[Evidence]:
        """Copied lines and stretches of copied 5-grams of words, by their share of the text."""
        return copied_lines(text) or copied_words(text, 5)
