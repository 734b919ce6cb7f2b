"""Pieces of a row - sentences or lines - and the row without some of them."""

import re
from collections.abc import Sequence

__all__ = ["cut_pieces", "drop_pieces"]

SENTENCE = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]+|\n\s*\n|\n(?=\s*[-*\u2022] )")
LINE = re.compile(r"\n")


def cut_pieces(text: str, unit: str = "sentence") -> list[tuple[int, int]]:
    """Character spans of the pieces, edge to edge: white space after a piece belongs to it, nothing is in none.

    A sentence ends at . ! ? (and their full-width forms) before white space, at an empty line, and before a list item.

    >>> [("One. Two!")[a:b] for a, b in cut_pieces("One. Two!")]
    ['One. ', 'Two!']
    """
    ends = []
    for match in (SENTENCE if unit == "sentence" else LINE).finditer(text):
        end = match.end()
        while end < len(text) and text[end].isspace():
            end += 1
        if not ends or end > ends[-1]:
            ends.append(end)
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    starts = [0, *ends[:-1]]
    return [(start, end) for start, end in zip(starts, ends) if end > start]


def drop_pieces(text: str, spans: Sequence[tuple[int, int]]) -> str | None:
    """The text without the characters of `spans`; None when only white space would be left.

    >>> drop_pieces("Fine. Vile! Fine.", [(6, 12)])
    'Fine. Fine.'
    """
    kept, at = [], 0
    for start, stop in sorted(spans):
        if start > at:
            kept.append(text[at:start])
        at = max(at, stop)
    kept.append(text[at:])
    left = "".join(kept)
    return left if left.strip() else None
