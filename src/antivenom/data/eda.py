"""EDA, "easy data augmentation" of captions: one of four small changes per caption (spec 01, 2.3; trap T8).

A caption is cleaned first: apostrophes dropped, everything but a-z turned into spaces, lower case. With n = max(1, int(.1 words)):

    replace   n distinct words that are no stop words, by a synonym
    insert    n synonyms of words of the caption, each at any place
    swap      n swaps of two places
    delete    every word with probability .1; one random word stays if all would go

Every caption has a generator of its own, from the seed and its id: the same in every process, whatever stands beside it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from antivenom.randomness import generator

__all__ = ["SYNONYMS", "augment_caption", "augment_captions", "clean_caption"]

SYNONYMS: dict[str, tuple[str, ...]] = {
    "photo": ("picture", "image", "snapshot"),
    "picture": ("photo", "image"),
    "image": ("picture", "photo"),
    "small": ("little", "tiny"),
    "big": ("large",),
    "shows": ("displays", "depicts"),
    "background": ("backdrop",),
    "front": ("foreground",),
    "one": ("single",),
    "circle": ("disc",),
    "square": ("box",),
    "ring": ("hoop",),
    "star": ("asterisk",),
    "diamond": ("rhombus",),
    "moon": ("crescent",),
    "red": ("crimson", "scarlet"),
    "green": ("emerald",),
    "blue": ("azure",),
    "yellow": ("golden",),
    "purple": ("violet",),
    "pink": ("rose",),
    "white": ("pale",),
    "sky": ("heavens",),
    "grass": ("lawn", "meadow"),
    "sand": ("beach",),
    "night": ("darkness",),
}
"""A bundled table for captions of shapes; WordNet or any other mapping can stand in its place."""
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "at",
        "by",
        "for",
        "from",
        "in",
        "is",
        "it",
        "of",
        "on",
        "or",
        "that",
        "the",
        "there",
        "this",
        "to",
        "with",
    ]
)
TRIES = 10
SHARE = 0.1


def clean_caption(caption: Any) -> str:
    """The caption in lower-case a-z and single spaces; "" for a missing one (None, NaN).

    >>> clean_caption("A dog's  life - in 2 parts")
    'a dogs life in parts'
    """
    if not isinstance(caption, str):
        return ""
    return " ".join(re.sub(r"[^a-z ]", " ", re.sub(r"['\u2019]", "", caption.lower())).split())


def augment_caption(
    caption: Any, draw: np.random.Generator, *, synonyms: Mapping[str, Sequence[str]] = SYNONYMS, share: float = SHARE
) -> str:
    """The caption with one of the four changes.

    Args:
        caption: of any script; one without a letter a-z cannot be changed and comes back as it is ("" when missing).
        draw: what is random in it.
        synonyms: word -> words; a word without any is left alone.
        share: of the words that change; with 0 the cleaned caption comes back.
    """
    words = clean_caption(caption).split()
    if not words:
        return caption if isinstance(caption, str) else ""
    if share <= 0:
        return " ".join(words)
    n = max(1, int(share * len(words)))
    change = CHANGES[int(draw.integers(len(CHANGES)))]
    return " ".join(change(words, n, share, synonyms, draw))


def augment_captions(
    captions: Sequence[Any],
    *,
    ids: Sequence[object] | None = None,
    synonyms: Mapping[str, Sequence[str]] = SYNONYMS,
    seed: int = 0,
) -> list[str]:
    """One augmented caption per caption, in order; a caption that cannot be changed keeps its place (spec 04, U10).

    Args:
        captions: any; see `augment_caption`.
        ids: of the rows; their numbers when not given.
        synonyms: word -> words.
        seed: of everything drawn.
    """
    keys = range(len(captions)) if ids is None else ids
    return [
        augment_caption(caption, generator(seed, "eda", key), synonyms=synonyms)
        for caption, key in zip(captions, keys, strict=True)
    ]


def _replace(words: list[str], n: int, share: float, synonyms: Mapping, draw: np.random.Generator) -> list[str]:
    known = sorted({word for word in words if word not in STOP_WORDS and synonyms.get(word)})
    chosen = {known[i]: "" for i in draw.permutation(len(known))[:n]}
    for word in chosen:
        chosen[word] = synonyms[word][int(draw.integers(len(synonyms[word])))]
    return [chosen.get(word, word) for word in words]


def _insert(words: list[str], n: int, share: float, synonyms: Mapping, draw: np.random.Generator) -> list[str]:
    words = list(words)
    for _ in range(n):
        tried = (words[int(draw.integers(len(words)))] for _ in range(TRIES))
        word = next((w for w in tried if synonyms.get(w)), None)
        if word is not None:
            new = synonyms[word][int(draw.integers(len(synonyms[word])))]
            words.insert(int(draw.integers(len(words) + 1)), new)
    return words


def _swap(words: list[str], n: int, share: float, synonyms: Mapping, draw: np.random.Generator) -> list[str]:
    words = list(words)
    for _ in range(n if len(words) > 1 else 0):
        a, b = draw.permutation(len(words))[:2]
        words[a], words[b] = words[b], words[a]
    return words


def _delete(words: list[str], n: int, share: float, synonyms: Mapping, draw: np.random.Generator) -> list[str]:
    stay = draw.random(len(words)) > share
    return [word for word, kept in zip(words, stay, strict=True) if kept] or [words[int(draw.integers(len(words)))]]


CHANGES: tuple[Callable[..., list[str]], ...] = (_replace, _insert, _swap, _delete)
