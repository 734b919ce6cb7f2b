"""How much of one text stands word for word in another."""

import numpy as np

from antivenom.data.words import fold, words

__all__ = ["longest_shared_run", "shared_runs", "shares_ngram"]


def longest_shared_run(a: str, b: str) -> int:
    """The number of words of the longest run of folded words that both texts have.

    >>> longest_shared_run("How many eggs does she sell a day?", "She asks: how many eggs does Ann sell?")
    4
    """
    return max((length for _, length in shared_runs(a, b)), default=0)


def shared_runs(a: str, b: str) -> list[tuple[int, int]]:
    """For every maximal run that `b` shares with `a`: (number of its last word in `b`, length in words)."""
    left, right = fold(a).split(" "), fold(b).split(" ")
    if left == [""] or right == [""]:
        return []
    known: dict[str, int] = {}
    x = np.array([known.setdefault(word, len(known)) for word in left])
    run = np.zeros(len(x) + 1, np.int64)
    lengths: list[int] = []
    for word in right:
        # run[i] = length of the longest common run ending at left[i - 1] and at this word
        run[1:] = np.where(x == known.get(word, -1), run[:-1] + 1, 0)
        lengths.append(int(run.max()))
    follow = [*lengths[1:], 0]
    return [(at, length) for at, (length, after) in enumerate(zip(lengths, follow)) if length and after <= length]


def shares_ngram(a: str, b: str, n: int = 10) -> bool:
    """Whether two texts share a run of n folded words: the paper's n-gram detector on one pair."""
    tokens = [word.token for word in words(a)]
    grams = {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}
    tokens = [word.token for word in words(b)]
    return any(tuple(tokens[i : i + n]) in grams for i in range(len(tokens) - n + 1))
