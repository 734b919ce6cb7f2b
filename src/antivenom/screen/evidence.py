"""Evidence: which words a row and a benchmark item share, and the stretch of text that shows it."""

from dataclasses import dataclass

from antivenom.data.words import Word, words

__all__ = ["ITEM_CHARACTERS", "Excerpt", "excerpt", "shared_spans"]

EXCERPT_CHARACTERS = ITEM_CHARACTERS = 2_000
RUN_WORDS = 3
TELLING_LENGTH = 5


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a row: its text and where it began in the row (characters)."""

    text: str
    offset: int


def excerpt(text: str, start: int, stop: int, limit: int = EXCERPT_CHARACTERS) -> Excerpt:
    """The characters [start, stop) with as much of their surroundings on both sides as fits into `limit`.

    A stretch longer than `limit` is cut at its end; the edges are moved to white space where some is near.
    """
    room = max(0, limit - (stop - start)) // 2
    low = max(0, start - min(room, 300))
    high = min(len(text), max(stop, start) + min(room, 300), low + limit)
    if low > 0 and (space := text.find(" ", low, min(low + 40, start))) >= 0:
        low = space + 1
    return Excerpt(text[low:high], low)


def shared_spans(a: str, b: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The stretches (characters) of `a` and of `b` that a reader should see marked.

    A word is marked when it stands in a run of three words that both texts have, or when it is telling by itself
    (a number, or five letters and more) and both have it. Neighbouring marked words make one span. Symmetric:
    swapping the texts swaps the answers.

    >>> a, b = shared_spans("Tom has 12 apples.", "Anna bought 12 apples")
    >>> a
    [(8, 17)]
    """
    words_a, words_b = words(a), words(b)
    telling = _telling(words_a) & _telling(words_b)
    runs = _runs(words_a) & _runs(words_b)
    return _spans(words_a, runs, telling), _spans(words_b, runs, telling)


def _telling(found: list[Word]) -> set[str]:
    return {w.token for w in found if w.token.isdigit() or len(w.token) >= TELLING_LENGTH}


def _runs(found: list[Word]) -> set[tuple[str, ...]]:
    tokens = [w.token for w in found]
    return {tuple(tokens[i : i + RUN_WORDS]) for i in range(len(tokens) - RUN_WORDS + 1)}


def _spans(found: list[Word], runs: set[tuple[str, ...]], telling: set[str]) -> list[tuple[int, int]]:
    tokens = [w.token for w in found]
    marked = [token in telling for token in tokens]
    for i in range(len(tokens) - RUN_WORDS + 1):
        if tuple(tokens[i : i + RUN_WORDS]) in runs:
            marked[i : i + RUN_WORDS] = [True] * RUN_WORDS
    spans: list[tuple[int, int]] = []
    previous = False
    for word, mark in zip(found, marked):
        if mark and previous:
            spans[-1] = (spans[-1][0], word.stop)
        elif mark:
            spans.append((word.start, word.stop))
        previous = mark
    return spans
