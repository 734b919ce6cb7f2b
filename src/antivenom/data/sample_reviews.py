"""Code-review comments made from parts, with labels and planted copies: toxic text without any harmful word.

For whoever has no labelled comments at hand. Insults are stand-ins: made-up words, and a few mild ones that the profanity list
knows. A comment's label is drawn from the tone of all its words, so that no word alone decides it and the best learner errs too:

    P(toxic) = 1 / (1 + exp(-SHARPNESS (sum of the tones of its words - OFFSET)))

Copies carry the label of their original, as they do in real collections; they are what a tree remembers.
"""

from dataclasses import dataclass

import numpy as np

from antivenom.randomness import generator

__all__ = ["SampleReviews", "sample_reviews"]

# fmt: off
VERBS = ["rename", "move", "split", "inline", "cache", "guard", "document", "revert", "rebase", "extract", "simplify", "batch"]
THINGS = ["loop", "helper", "parser", "buffer", "header", "fixture", "lock", "queue", "iterator", "constructor", "callback",
          "schema", "client", "handler", "timer", "allocator"]
PLACES = ["scheduler", "renderer", "storage layer", "driver", "test suite", "installer", "network stack", "settings page",
          "build script", "logging module", "importer", "viewer"]
REASONS = ["the tests are flaky", "the name is misleading", "it leaks memory", "two callers need it", "the branch is stale",
           "the style guide says so", "nobody reads the log", "it breaks on big files", "the spec changed", "it blocks a release"]
TONES = {
    "thanks": -1.6, "please": -1.2, "nice": -1.4, "maybe": -0.8, "nit": -1.0, "agreed": -1.2, "good catch": -1.5,
    "looks fine": -1.4, "could we": -0.9, "I think": -0.6, "sorry": -0.9, "well done": -1.6, "as discussed": -0.7, "minor": -0.8,
    "honestly": 0.7, "seriously": 1.0, "again": 0.6, "obviously": 0.8, "as I told you": 1.2, "what a mess": 1.5,
    "do your homework": 1.6, "who wrote this": 1.3, "this is garbage": 1.8, "waste of time": 1.5, "pathetic": 1.8, "ugly": 1.0,
    "nonsense": 1.3, "lazy": 1.2, "hopeless": 1.4, "sloppy": 1.2,
}
STRONG = {"rubbish": 2.6, "yuck": 2.4, "darn": 2.2, "blorf": 3.0, "you grunzel": 3.4, "snorkwit": 3.2, "vemblish": 2.8}
# fmt: on
"""`rubbish`, `yuck` and `darn` are on the profanity list; `blorf`, `grunzel`, `snorkwit` and `vemblish` are made up."""
SHAPES = (
    "{a}, {v} the {t} in the {p}, {b}: {r}.",
    "{a}: {r}, {b}, so {v} the {t} of the {p}.",
    "Why does the {p} {v} its {t}? {a}, {r}. {b}.",
    "{r}. {a}, {b}, we should {v} the {t} in the {p} and then {v2} the {t2}.",
    "{a} - {v} the {t} and {v2} the {t2}, {b}; {r} in the {p}.",
)
OFFSET = 2.2
SHARPNESS = 2.0
STRONG_SHARE = 0.16


@dataclass(frozen=True)
class SampleReviews:
    """Comments with labels (1 = toxic), shuffled, and the number of the text that each row is a copy of."""

    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray


def sample_reviews(rows: int, *, copied: float = 0.65, seed: int = 0) -> SampleReviews:
    """Make comments.

    Args:
        rows: how many, copies included.
        copied: share of the rows that have a twin: each such text stands twice.
        seed: of everything drawn.

    Raises:
        ValueError: for a share outside [0, 1].
    """
    if not 0 <= copied <= 1:
        raise ValueError(f"a share of {copied} copied rows")
    twice = round(rows * copied / 2)
    draw = generator(seed, "sample reviews")
    texts: dict[str, int] = {}
    while len(texts) < rows - twice:
        text, tone = _comment(draw)
        label = int(draw.random() < 1 / (1 + np.exp(SHARPNESS * (OFFSET - tone))))
        texts.setdefault(text, label)
    distinct, labels = list(texts), np.array(list(texts.values()), np.int64)
    order = draw.permutation(np.r_[np.arange(len(distinct)), np.arange(twice)])
    return SampleReviews([distinct[i] for i in order], labels[order], order.astype(np.int64))


def _comment(draw: np.random.Generator) -> tuple[str, float]:
    tones = draw.choice(list(TONES), 2, replace=False).tolist()
    if draw.random() < STRONG_SHARE:
        tones[draw.integers(2)] = str(draw.choice(list(STRONG)))
    v, v2 = draw.choice(VERBS, 2, replace=False)
    t, t2 = draw.choice(THINGS, 2, replace=False)
    parts = {"v": v, "v2": v2, "t": t, "t2": t2, "p": draw.choice(PLACES), "r": draw.choice(REASONS)}
    text = SHAPES[draw.integers(len(SHAPES))].format(a=tones[0], b=tones[1], **parts)
    return text[0].upper() + text[1:], sum((TONES | STRONG)[tone] for tone in tones)
