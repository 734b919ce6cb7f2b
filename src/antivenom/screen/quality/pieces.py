"""The stretches of one text behind a rule's verdict: for reading, one text at a time (verdicts come from `text_stats`)."""

import re
from collections.abc import Callable, Iterator

import numpy as np

from antivenom.screen.quality.characters import table
from antivenom.screen.quality.english import lookup
from antivenom.screen.quality.tokens import UNITS, decode, tokenize
from antivenom.screen.scoring.scorer import Evidence

__all__ = ["copied_lines", "copied_words", "decoded", "line_evidence", "tokens_of"]

LINE = re.compile(r"[^\n]+")


def decoded(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Code points and flags of a text, uint32 (n,) each."""
    data = np.frombuffer(text.encode("utf-8", "surrogatepass") or b"\0", np.uint8)
    points, flags = np.empty(len(data), np.uint32), np.empty(len(data), np.uint32)
    n = decode(data, 0, len(data) if text else 0, table(), points, flags)
    return points[:n], flags[:n]


def tokens_of(text: str) -> list[tuple[int, int]]:
    """The tokens of a text, as characters [start, stop)."""
    points, flags = decoded(text)
    starts, stops = np.empty(len(points) + 2, np.int32), np.empty(len(points) + 2, np.int32)
    count = tokenize(points, flags, 0, len(points), starts, stops, *lookup(), UNITS)
    return list(zip(starts[:count].tolist(), stops[:count].tolist()))


def _lines(text: str) -> Iterator[re.Match[str]]:
    return (line for line in LINE.finditer(text) if line[0].strip())


def _ranked(evidence: list[Evidence]) -> list[Evidence]:
    return sorted(evidence, key=lambda e: (-e.weight, e.start))


def line_evidence(text: str, fault: Callable[[str], str]) -> list[Evidence]:
    """Lines for which `fault` has a word, weighted by their share of the text's characters, longest first."""
    found = [
        Evidence(line.start(), line.end(), (line.end() - line.start()) / len(text), what)
        for line in _lines(text)
        if (what := fault(line[0]))
    ]
    return _ranked(found)


def copied_lines(text: str) -> list[Evidence]:
    """Lines that stood in the text before."""
    seen: set[str] = set()

    def fault(line: str) -> str:
        known = line in seen
        seen.add(line)
        return "copied line" if known else ""

    return line_evidence(text, fault)


def copied_words(text: str, n: int) -> list[Evidence]:
    """n-grams of words that stood in the text before, neighbours put together."""
    words = tokens_of(text)
    tokens = [text[a:b] for a, b in words]
    seen: set[str] = set()
    spans: list[list[int]] = []
    at = 0
    while at + n <= len(tokens):
        gram = "".join(tokens[at : at + n])
        if gram not in seen:
            seen.add(gram)
            at += 1
            continue
        if spans and spans[-1][1] == words[at - 1][1]:
            spans[-1][1] = words[at + n - 1][1]
        else:
            spans.append([words[at][0], words[at + n - 1][1]])
        at += n
    return _ranked([Evidence(a, b, (b - a) / len(text), f"copied {n}-grams") for a, b in spans])
