"""Which stretches of a raw text make ToxiCR's verdict: log odds with the whole text minus log odds without the stretch.

Works for every learner, and shows what the steps did: a disguised word ("f u c k") is one stretch, named by its target.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from antivenom.screen.scoring.scorer import Evidence
from antivenom.screen.toxicr import patterns
from antivenom.screen.toxicr.lexicons import emoticons
from antivenom.screen.toxicr.preprocessing import Preprocessing

__all__ = ["explain_by_absence", "stretches"]

WORD = re.compile(r"\S+")
MOST = 256
"""Stretches tried one by one; a longer text is first tried in blocks, and the strongest blocks word by word."""
LEAST = 0.05
"""Weights nearer to 0, in log odds, are not shown."""


def stretches(text: str, steps: Preprocessing) -> list[tuple[int, int, str]]:
    """Spans (start, stop, what) that cover all words once: fired patterns, emoticons, then what lies between white space."""
    found = []
    if steps.patterns:
        found += [(f.start, f.stop, f.target) for f in patterns.find(text, identity=steps.identity)]
    taken = np.zeros(len(text), bool)
    for start, stop, _ in found:
        taken[start:stop] = True
    if steps.count_emoticon:
        found += [(a, b, "emoticon") for a, b in emoticons(text) if not taken[a:b].any()]
        for start, stop, _ in found:
            taken[start:stop] = True
    for match in WORD.finditer(text):
        at = match.start()
        while at < match.end():  # the parts of a word that no pattern has taken
            if taken[at]:
                at += 1
                continue
            stop = at
            while stop < match.end() and not taken[stop]:
                stop += 1
            if any(map(str.isalnum, text[at:stop])):
                found.append((at, stop, _what(text[at:stop], steps)))
            at = stop
    return sorted(found)


def _what(word: str, steps: Preprocessing) -> str:
    lists = steps.lists
    for part in steps.text(word).split():
        if steps.count_profanity and part in lists.profane:
            return "profanity"
        if steps.count_anger and lists.anger_of(part):
            return "anger"
    return ""


def explain_by_absence(
    text: str, probabilities: Callable[[Sequence[str]], np.ndarray], steps: Preprocessing
) -> list[Evidence]:
    """Evidence, strongest first; weight = log odds of the text minus log odds of the text without the stretch.

    Args:
        text: raw.
        probabilities: of raw texts.
        steps: the preprocessing behind them.
    """
    parts = stretches(text, steps)
    whole = _log_odds(probabilities([text]))[0]
    if len(parts) > MOST:
        size = -(-len(parts) // MOST)
        blocks = [(block[0][0], block[-1][1], "") for i in range(0, len(parts), size) if (block := parts[i : i + size])]
        weights = whole - _log_odds(probabilities([text[:a] + " " + text[b:] for a, b, _ in blocks]))
        strongest = np.argsort(-np.abs(weights), kind="stable")[: max(1, MOST // size)]
        parts = [part for i in sorted(strongest) for part in parts[i * size : (i + 1) * size]]
    if not parts:
        return []
    weights = whole - _log_odds(probabilities([text[:a] + " " + text[b:] for a, b, _ in parts]))
    found = [Evidence(a, b, round(float(w), 4), what) for (a, b, what), w in zip(parts, weights, strict=True)]
    return sorted((e for e in found if abs(e.weight) >= LEAST), key=lambda e: -abs(e.weight))


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))
