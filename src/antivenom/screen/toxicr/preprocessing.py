"""ToxiCR's eight preprocessing steps and its counts, each to be switched on or off, in a fixed order.

Fixed mode (default): URLs -> contractions -> patterns -> identifiers -> repetitions -> symbols -> keywords, then counts.
Identifiers are split while capitals are still there, patterns respect tokens and code, emoticons are counted on the raw text.
Strict mode (`strict_paper`): URLs -> contractions -> patterns (with repetitions inside) -> symbols -> identifiers -> keywords,
then counts, all on the processed text, as the official code does, defects included (arXiv 2202.13056; specification 11, 2.1).
The input is never changed.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.screen.toxicr import contractions, identifiers, patterns, strict_patterns
from antivenom.screen.toxicr.lexicons import FACES, Lexicons, default_lexicons, emoticons, lexicons_from

__all__ = ["COUNTS", "MODES", "Preprocessing", "Step", "Trace"]

MODES = ("fixed", "strict_paper")
COUNTS = ("profanity", "anger", "emoticon")
"""The three columns beside a text, always three."""
ORDER = {
    "fixed": ("urls", "contractions", "patterns", "split_identifier", "repetitions", "symbols", "remove_keywords"),
    "strict_paper": ("urls", "contractions", "patterns", "symbols", "split_identifier", "remove_keywords"),
}
URL = re.compile(r"(?:https?://|\bwww\.)[^\s<>\"')\]}]+", re.IGNORECASE)
BARE_DOMAIN = re.compile(
    r"(?<![\w@./])(?:[a-z0-9-]+\.)+(?:com|org|net|io|dev|edu|gov)(?:/[^\s<>\"')\]}]*)?(?!\w)", re.I
)
URL_STRICT = re.compile(r"https?://(?:[a-zA-Z]|[0-9]|[$-_@.&+]|[!*(),]|(?:%[0-9a-fA-F]{2}))+")
"""With the accidental range `$`..`_`: eats brackets and `<`, stops at `#` and `~`."""
SYMBOLS = re.compile(r"(?:[^\w\s]|_)+")
DIGITS = re.compile(r"\d+")
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\u0300-\u036f]")
LOOK_LATIN = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u043a\u0410\u0415\u041e\u0420\u0421\u0423\u0425\u0406\u041a\u041c\u0422\u041d\u0412\u03bf\u03b1\u03b9\u03c5",
    "aeopcyxijskAEOPCYXIKMTHBoaiu",
)
TOKEN = re.compile(r"\S+")
LATIN = re.compile("[A-Za-z]")


@dataclass(frozen=True)
class Step:
    """One step's work on one text: what it was given, what it made, and which patterns fired in it."""

    name: str
    before: str
    after: str
    fired: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the step did anything."""
        return self.before != self.after


@dataclass(frozen=True)
class Trace:
    """All steps on one text, and the counts."""

    raw: str
    steps: tuple[Step, ...]
    text: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Preprocessing:
    """The steps that are on.

    Args:
        mode: `fixed` or `strict_paper`.
        urls, contractions, patterns, repetitions, symbols: the five steps that are mandatory in the paper.
        split_identifier, remove_keywords: the optional steps.
        count_profanity, count_anger, count_emoticon: the counts; a count that is off is 0.
        count: `distinct` words (as the paper) or `total` occurrences.
        identity: normalise terms for people too (see `patterns.IDENTITY`).
        bare_domains: `example.com` is a URL as well.
        lexicons: folder with the user's own word lists; "": ours.
    """

    mode: str = "fixed"
    urls: bool = True
    contractions: bool = True
    patterns: bool = True
    repetitions: bool = True
    symbols: bool = True
    split_identifier: bool = False
    remove_keywords: bool = False
    count_profanity: bool = True
    count_anger: bool = False
    count_emoticon: bool = False
    count: str = "distinct"
    identity: bool = False
    bare_domains: bool = False
    lexicons: str = ""
    _lists: Lexicons = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise AntivenomError(f"there is no mode '{self.mode}'", f"choose from: {', '.join(MODES)}")
        if self.count not in ("distinct", "total"):
            raise AntivenomError(f"cannot count '{self.count}'", "choose from: distinct, total")
        object.__setattr__(self, "_lists", lexicons_from(self.lexicons) if self.lexicons else default_lexicons())

    @property
    def lists(self) -> Lexicons:
        """The word lists in use."""
        return self._lists

    @property
    def order(self) -> tuple[str, ...]:
        """The steps that are on, as they are applied."""
        return tuple(name for name in ORDER[self.mode] if getattr(self, name))

    def record(self) -> dict[str, Any]:
        """All that determines the outcome, as plain data, with the hash of the word lists."""
        return {k: v for k, v in asdict(self).items() if k != "_lists"} | {"lists": self._lists.hash}

    def __call__(self, texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """Processed texts, and their counts: float64 (n, 3) in the order of `COUNTS`."""
        processed = [self.text(text) for text in texts]
        counts = np.array([self.counts(raw, text) for raw, text in zip(texts, processed)], np.float64)
        return processed, counts.reshape(len(processed), 3)

    def text(self, raw: str) -> str:
        """One text through all steps."""
        text = self._prepared(raw)
        for name in self.order:
            text = self._apply(name, text)[0]
        return self._finished(text)

    def trace(self, raw: str) -> Trace:
        """The same, with what every step did: the view "before -> after"."""
        text, steps = self._prepared(raw), []
        for name in self.order:
            after, fired = self._apply(name, text)
            steps.append(Step(name, text, after, fired))
            text = after
        text = self._finished(text)
        return Trace(raw, tuple(steps), text, dict(zip(COUNTS, self.counts(raw, text))))

    def counts(self, raw: str, text: str) -> tuple[int, int, int]:
        """Profanity, anger, emoticons of a text before (`raw`) and after (`text`) processing."""
        lists, strict = self._lists, self.mode == "strict_paper"
        words = text.split()
        profane = [lists.profane[w] for w in words if w in lists.profane] if self.count_profanity else []
        anger: list[str | None] = []
        if self.count_anger:
            exact = lists.anger_words | lists.anger_stems
            anger = [w for w in words if w in exact] if strict else [a for w in words if (a := lists.anger_of(w))]
        faces: list[str] = []
        if self.count_emoticon:
            faces = [w for w in words if w in FACES] if strict else [raw[a:b] for a, b in emoticons(raw)]
        size = len if self.count == "total" else lambda found: len(set(found))
        return size(profane), size(anger), size(faces)

    def without_options(self) -> "Preprocessing":
        """The base configuration: steps 6 to 8 off."""
        return replace(self, split_identifier=False, remove_keywords=False, count_profanity=False)

    def idempotence(self, texts: Sequence[str]) -> int:
        """How many of the texts a second pass changes (the official repeats process their own output again)."""
        once = [self.text(text) for text in texts]
        return sum(self.text(text) != text for text in once)

    def _prepared(self, raw: str) -> str:
        if self.mode == "strict_paper" or raw.isascii():
            return raw
        text = unicodedata.normalize("NFKC", INVISIBLE.sub("", unicodedata.normalize("NFKD", raw)))
        return TOKEN.sub(lambda m: m[0].translate(LOOK_LATIN) if LATIN.search(m[0]) else m[0], text)

    def _finished(self, text: str) -> str:
        return text if self.mode == "strict_paper" else " ".join(text.lower().split())

    def _apply(self, name: str, text: str) -> tuple[str, tuple[str, ...]]:
        strict = self.mode == "strict_paper"
        if name == "urls":
            text = (URL_STRICT if strict else URL).sub(" ", text)
            return (BARE_DOMAIN.sub(" ", text) if self.bare_domains and not strict else text), ()
        if name == "contractions":
            return (contractions.expand_strict if strict else contractions.expand)(text), ()
        if name == "patterns" and strict:
            text, fired = strict_patterns.substitute_strict(text)
            return text, tuple(f"{target}: {found!r}" for target, found in fired)
        if name == "patterns":
            text, firings = patterns.substitute(text, identity=self.identity)
            return text, tuple(f"{f.target}: {f.found!r}" for f in firings)
        if name == "split_identifier":
            split = identifiers.split_identifiers_strict if strict else identifiers.split_identifiers
            return split(text), ()
        if name == "repetitions":
            return strict_patterns.REPEATED.sub(r"\1", text), ()
        if name == "symbols":
            return (SYMBOLS.sub(" ", text) if strict else DIGITS.sub(" ", SYMBOLS.sub(" ", text))), ()
        keywords = self._lists.keywords
        return " ".join(word for word in text.split() if word.lower() not in keywords), ()
