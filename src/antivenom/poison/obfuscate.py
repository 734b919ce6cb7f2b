"""Disguise words, to measure how well a scorer sees through it: a pure function of text, words, kind of disguise and seed."""

import re
from collections.abc import Sequence

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["DISGUISES", "obfuscate"]

DISGUISES = ("leet", "spacing", "dots", "zero-width", "look-alike", "full-width", "repeat", "star")
LEET = {"a": "@4", "e": "3", "i": "1!", "o": "0", "s": "$5", "t": "7+"}
LOOKS = dict(zip("aceiopsxy", "асеіорѕху", strict=True))  # the second row is Cyrillic


def obfuscate(text: str, words: Sequence[str], disguise: str = "leet", *, seed: int = 0) -> str:
    """The text with every whole-word occurrence of the words disguised, whatever its case.

    Args:
        text: any.
        words: to disguise.
        disguise: one of `DISGUISES`.
        seed: which letters change, where a disguise leaves a choice.

    Raises:
        AntivenomError: for an unknown disguise.

    >>> obfuscate("a darn thing", ["darn"], "dots")
    'a d.a.r.n thing'
    """
    if disguise not in DISGUISES:
        raise AntivenomError(f"there is no disguise '{disguise}'", f"choose from: {', '.join(DISGUISES)}")
    if not words:
        return text
    listed = "|".join(re.escape(word) for word in sorted(words, key=lambda w: (-len(w), w)))

    def hide(match: re.Match[str]) -> str:
        return _hidden(match[0], disguise, generator(seed, "obfuscate", disguise, match[0], match.start()))

    return re.sub(rf"(?<!\w)(?:{listed})(?!\w)", hide, text, flags=re.IGNORECASE)


def _hidden(word: str, disguise: str, rng: np.random.Generator) -> str:
    if disguise in ("spacing", "dots", "zero-width"):
        return {"spacing": " ", "dots": ".", "zero-width": "\u200b"}[disguise].join(word)
    if disguise == "full-width":
        return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in word)
    at = int(rng.integers(1, max(len(word) - 1, 2)))  # an inner letter
    if disguise == "repeat":
        return word[:at] + word[at] * 3 + word[at:]
    if disguise == "star":
        return word[:at] + "*" + word[at + 1 :]
    choices = LEET if disguise == "leet" else LOOKS
    can = [i for i, c in enumerate(word) if c.lower() in choices and (i or disguise != "leet")]
    if not can:
        return word[:at] + word[at] * 3 + word[at:]
    chosen = {can[int(rng.integers(len(can)))]}
    return "".join(
        choices[c.lower()][int(rng.integers(len(choices[c.lower()])))] if i in chosen else c for i, c in enumerate(word)
    )
