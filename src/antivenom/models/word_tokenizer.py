"""A word-level tokenizer learned from captions, for models trained from scratch on few of them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["END", "PAD", "UNKNOWN", "WordTokenizer"]

PAD, UNKNOWN, END = 0, 1, 2
FIRST = 3
WORD = re.compile(r"\w+")


class WordTokenizer:
    """Words to numbers: 0 pads, 1 is an unknown word, 2 ends the text, words follow by falling count.

    Args:
        words: the vocabulary, in order.
        context: tokens per text, the end token included. A longer text loses words, never its end token (spec 01, T7).

    >>> t = WordTokenizer.fit(["a red ring", "a star"], context=4)
    >>> t(["a star", "A ring!", "a red ring a star"]).tolist()
    [[3, 6, 2, 0], [3, 5, 2, 0], [3, 4, 5, 2]]
    """

    def __init__(self, words: Sequence[str], *, context: int = 16):
        self.words, self.context = tuple(words), context
        self.numbers = {word: FIRST + i for i, word in enumerate(self.words)}

    @classmethod
    def fit(cls, texts: Iterable[str], *, context: int = 16, most: int | None = None) -> "WordTokenizer":
        """The vocabulary of these texts: by falling count, then by spelling; at most `most` words."""
        counts = Counter(word for text in texts for word in WORD.findall(text.lower()))
        return cls([w for w, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]], context=context)

    def __len__(self) -> int:
        return FIRST + len(self.words)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """int64 (n, context)."""
        rows = np.full((len(texts), self.context), PAD, np.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = [self.numbers.get(word, UNKNOWN) for word in WORD.findall(text.lower())][: self.context - 1]
            row[: len(ids) + 1] = [*ids, END]
        return rows
