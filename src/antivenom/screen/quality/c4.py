"""C4's rules (Raffel et al. 2020, section 2.2): lines that are no sentences go, and documents with too few left."""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch, content_id
from antivenom.errors import AntivenomError
from antivenom.randomness import derive_seed
from antivenom.screen.quality.english import lookup
from antivenom.screen.quality.lines import REASONS, c4_lines
from antivenom.screen.quality.pieces import decoded, tokens_of
from antivenom.screen.quality.rules import Rule, columns_of, identity_of, judge
from antivenom.screen.quality.text_stats import NAMES, Settings, text_stats
from antivenom.screen.quality.tokens import UNITS
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["C4"]

CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")


@dataclass(frozen=True)
class C4:
    """Share of C4's document rules that a text keeps, after its line rules; `clean` gives the text that is left.

    Args:
        min_sentences: fewest sentences in the lines that are kept.
        min_words_per_line: a line with fewer words goes.
        max_word_length: a line with a longer word goes.
        max_lorem_ipsum: most lines with "lorem ipsum".
        max_curly_brackets: most lines with "{".
        bad_words: file of words or phrases, one a line, none of which may stand in a text as a word of its own; "": no such rule.
        keep_fraction: share of the texts with bad words that is kept all the same, drawn by the hash of text and `seed`.
        seed: of that draw.
    """

    min_sentences: int = 5
    min_words_per_line: int = 3
    max_word_length: int = 1_000
    max_lorem_ipsum: int = 0
    max_curly_brackets: int = 0
    bad_words: str = ""
    keep_fraction: float = 0.0
    seed: int = 0
    name = "c4"

    def __post_init__(self) -> None:
        if not 0 <= self.keep_fraction <= 1:
            raise AntivenomError(f"keep_fraction={self.keep_fraction} is no share", "give a number from 0 to 1")

    @property
    def rules(self) -> list[Rule]:
        """The rules with this scorer's thresholds."""
        rules = [
            Rule("sentences", "sentences in kept lines", low=self.min_sentences),
            Rule("lorem_ipsum_lines", "lines with lorem ipsum", high=self.max_lorem_ipsum),
            Rule("curly_bracket_lines", "lines with a curly bracket", high=self.max_curly_brackets),
        ]
        return [*rules, Rule("bad_words", "listed words", high=0)] if self.bad_words else rules

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The rules' statistics, `passes`, and how many lines there are and are kept."""
        counts = {"lines": pa.int64(), "kept_lines": pa.int64()}
        return columns_of(self.rules) | counts | ({"bad_words_excused": pa.bool_()} if self.bad_words else {})

    def identity(self) -> Identity:
        """All thresholds; the hash of the list of bad words, but not its path."""
        if not self.bad_words:
            return identity_of(self.name, self)
        known = identity_of(self.name, self, _words_hash(self.bad_words))
        return Identity(known.name, known.version, known.weights, "better", {**known.params, "bad_words": "a file"})

    def score(self, batch: Batch) -> Scores:
        """1.0 = kept by the published filter; with `bad_words` also by its word filter."""
        settings = Settings(max_word=self.max_word_length, min_words=self.min_words_per_line)
        statistics = text_stats(batch, settings)
        extra: dict[str, np.ndarray] = {}
        hits, excused = np.zeros(len(batch)), np.zeros(len(batch), bool)
        if self.bad_words:
            pattern = _pattern(_words(self.bad_words))
            texts = batch.texts.to_pylist()
            hits = np.array([len(pattern.findall((text or "").lower())) for text in texts], float)
            for row in np.flatnonzero(hits).tolist():
                excused[row] = self._draw(texts[row]) < self.keep_fraction
            extra["bad_words"] = np.where(excused, 0.0, hits)
        scores = judge(self.rules, statistics, extra)
        if self.bad_words:
            scores.columns["bad_words"] = pa.array(hits, pa.float64())
            scores.columns["bad_words_excused"] = pa.array(excused)
        for name in ("lines", "kept_lines"):
            scores.columns[name] = pa.array(statistics[:, NAMES.index(name)].astype(np.int64))
        return scores

    def _draw(self, text: str) -> float:
        return derive_seed(self.seed, "c4 bad words", content_id(text)) / 2**64

    def line_verdicts(self, text: str) -> list[tuple[int, int, str]]:
        """Every line as [start, stop) without its break, and why it goes ("" = kept)."""
        points, flags = decoded(text)
        spans = np.array(tokens_of(text), np.int32).reshape(-1, 2)
        room = len(text.splitlines())
        verdicts, bounds = np.zeros(room, np.int8), np.zeros((room, 2), np.int64)
        starts, stops = np.ascontiguousarray(spans[:, 0]), np.ascontiguousarray(spans[:, 1])
        limits = self.max_word_length, self.min_words_per_line
        c4_lines(points, flags, len(points), starts, stops, len(spans), *limits, *lookup(), UNITS, verdicts, bounds)
        why = ("", *REASONS)
        return [(a, b, why[verdict]) for (a, b), verdict in zip(bounds.tolist(), verdicts.tolist())]

    def drop_spans(self, text: str) -> list[tuple[int, int, str]]:
        """What to take out of a text, as [start, stop, why) in order, without overlap: the rest is `clean(text)`.

        White space around kept lines and citation marks in them go too. Between two kept lines the break before the later
        one stays as it is.
        """
        keep: list[tuple[int, int]] = []
        why: dict[int, str] = {}
        for a, b, reason in self.line_verdicts(text):
            if reason:
                why[a] = reason
                continue
            line = text[a:b]
            start, stop = a + len(line) - len(line.lstrip()), a + len(line.rstrip())
            if keep:  # one line break between kept lines
                keep.append((a - 1, a))
            at = start
            for mark in CITATION.finditer(text[start:stop]):
                keep.append((at, start + mark.start()))
                at = start + mark.end()
            keep.append((at, stop))
        spans: list[tuple[int, int, str]] = []
        at = 0
        for a, b in [*keep, (len(text), len(text))]:
            if a > at:
                reasons = dict.fromkeys(what for line, what in why.items() if at <= line < a)
                spans.append((at, a, ", ".join(reasons) or ("space" if not text[at:a].strip() else "citation mark")))
            at = max(at, b)
        return spans

    def clean(self, text: str) -> str:
        """The text without what `drop_spans` names: kept lines, one a line."""
        kept, at = [], 0
        for start, stop, _ in self.drop_spans(text):
            kept.append(text[at:start])
            at = stop
        return "".join([*kept, text[at:]]).strip()

    def explain(self, text: str) -> list[Evidence]:
        """The lines that go and why, longest first."""
        found = [Evidence(a, b, (b - a) / len(text), why) for a, b, why in self.line_verdicts(text) if why and b > a]
        return sorted(found, key=lambda e: (-e.weight, e.start))


def _words(path: str) -> tuple[str, ...]:
    try:
        stat = Path(path).stat()
    except OSError:
        return _read(path, 0, 0)  # says what is wrong
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(16)
def _read(path: str, _changed: int, _size: int) -> tuple[str, ...]:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        mend = "give a UTF-8 file with one word or phrase a line"
        raise AntivenomError(f"the list of bad words '{path}' cannot be read: {error}", mend) from None
    words = sorted({line.strip().lower() for line in text.splitlines()} - {""})
    if not words:
        raise AntivenomError(f"the list of bad words '{path}' is empty", "give one word or phrase a line")
    return tuple(words)


@lru_cache(16)
def _pattern(listed: tuple[str, ...]) -> re.Pattern[str]:
    """Listed words flanked by what is no word character; two in a row both count; white space in phrases is any."""
    words = [r"\s+".join(map(re.escape, word.split())) for word in sorted(listed, key=len, reverse=True)]
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)")


def _words_hash(path: str) -> str:
    return blake2b("\n".join(_words(path)).encode(), digest_size=16).hexdigest()
