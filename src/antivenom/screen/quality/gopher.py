"""Gopher's document rules (Rae et al. 2021, section A.1.1): length, symbols, bullets, ellipses, letters, stop words."""

from dataclasses import dataclass

import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.screen.quality.pieces import line_evidence
from antivenom.screen.quality.rules import Rule, columns_of, identity_of, judge
from antivenom.screen.quality.text_stats import STOP_WORDS, Settings, text_stats
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["Gopher"]


@dataclass(frozen=True)
class Gopher:
    """Share of Gopher's eight rules that a text keeps; for English.

    Words are tokens (see `tokens`); tokens of punctuation alone are left out of the count and of the mean length, and stay in
    the denominators of the ratios, as in the published filter. A minimum of 0 or a maximum of `inf` turns a rule off.

    Args:
        min_words: fewest words.
        max_words: most words.
        min_mean_word_length: characters.
        max_mean_word_length: characters.
        max_hash_ratio: "#" per token.
        max_ellipsis_ratio: "..." and the ellipsis sign per token.
        max_bullet_lines: share of lines that begin with a bullet or "-".
        max_ellipsis_lines: share of lines that end in an ellipsis.
        min_alpha_words: share of tokens with a letter.
        min_stop_words: how many different ones of `stop_words` the text holds.
        stop_words: case-sensitive, by spaces.
    """

    min_words: int = 50
    max_words: int = 100_000
    min_mean_word_length: float = 3.0
    max_mean_word_length: float = 10.0
    max_hash_ratio: float = 0.1
    max_ellipsis_ratio: float = 0.1
    max_bullet_lines: float = 0.9
    max_ellipsis_lines: float = 0.3
    min_alpha_words: float = 0.8
    min_stop_words: int = 2
    stop_words: str = STOP_WORDS
    name = "gopher"

    @property
    def rules(self) -> list[Rule]:
        """The rules with this scorer's thresholds."""
        return [
            Rule("real_words", "words", self.min_words, self.max_words),
            Rule("mean_word_length", "mean word length", self.min_mean_word_length, self.max_mean_word_length),
            Rule("hash_ratio", "hash signs per word", high=self.max_hash_ratio),
            Rule("ellipsis_ratio", "ellipses per word", high=self.max_ellipsis_ratio),
            Rule("bullet_lines", "share of bullet lines", high=self.max_bullet_lines),
            Rule("ellipsis_lines", "share of lines ending in an ellipsis", high=self.max_ellipsis_lines),
            Rule("alpha_words", "share of words with a letter", low=self.min_alpha_words),
            Rule("stop_words", "different stop words", low=self.min_stop_words),
        ]

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The rules' statistics and `passes`."""
        return columns_of(self.rules)

    def identity(self) -> Identity:
        """Thresholds and stop words."""
        return identity_of(self.name, self)

    def score(self, batch: Batch) -> Scores:
        """1.0 = kept by the published filter."""
        return judge(self.rules, text_stats(batch, Settings(stop_words=self.stop_words)))

    def explain(self, text: str) -> list[Evidence]:
        """Bullet lines and lines that end in an ellipsis, by their share of the text."""
        return line_evidence(text, lambda line: _line_fault(line.strip()))


def _line_fault(line: str) -> str:
    if line.startswith(("\u2022", "-")):
        return "bullet line"
    return "ends in an ellipsis" if line.endswith(("...", "\u2026")) else ""
