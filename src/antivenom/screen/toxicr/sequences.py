"""Texts as sequences of word numbers, the way Keras' `Tokenizer` and `pad_sequences` make them (spec 11, 2.2)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["FILTERS", "PAPER_LENGTH", "PAPER_WORDS", "WordIndex", "append_counts", "pad_left"]

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
"""Characters that Keras' tokenizer turns into spaces: all of ASCII punctuation but the apostrophe."""
PAPER_WORDS, PAPER_LENGTH = 5_000, 500

_TO_SPACE = str.maketrans(dict.fromkeys(FILTERS, " "))


def words_of(text: str) -> list[str]:
    """Lower case, `FILTERS` as spaces, cut at single spaces, empty pieces dropped.

    >>> words_of("Don't do_this, PLEASE")
    ["don't", 'do', 'this', 'please']
    """
    return [word for word in text.lower().translate(_TO_SPACE).split(" ") if word]


@dataclass(frozen=True)
class WordIndex:
    """Words by number: 1 is the most frequent word of the training texts, ties in order of first occurrence.

    Only numbers below `size` are ever used, so `size - 1` words are kept; 0 is the padding. Other words are left out of a
    sequence, as Keras does without an `oov_token`.

    Args:
        words: the kept words; `words[i]` has the number i + 1.
        size: Keras' `num_words`.
    """

    words: tuple[str, ...]
    size: int = PAPER_WORDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "_number", {word: i for i, word in enumerate(self.words, 1)})

    @classmethod
    def fit(cls, texts: Sequence[str], size: int = PAPER_WORDS) -> "WordIndex":
        """Count the words of the training texts."""
        counted = Counter(word for text in texts for word in words_of(text))
        return cls(tuple(word for word, _ in counted.most_common(size - 1)), size)

    def numbers(self, text: str) -> list[int]:
        """The numbers of a text's known words, in order."""
        number: dict[str, int] = self._number  # pyright: ignore[reportAttributeAccessIssue]
        return [number[word] for word in words_of(text) if word in number]

    def matrix(self, texts: Sequence[str], length: int) -> np.ndarray:
        """int32 (n, length): see `pad_left`."""
        return pad_left([self.numbers(text) for text in texts], length)


def pad_left(sequences: Sequence[Sequence[int]], length: int) -> np.ndarray:
    """int32 (n, length): zeros before a short sequence; of a long one its LAST `length` numbers (padding, truncating = 'pre').

    >>> pad_left([[1, 2], [1, 2, 3, 4]], 3).tolist()
    [[0, 1, 2], [2, 3, 4]]
    """
    out = np.zeros((len(sequences), length), np.int32)
    for row, sequence in enumerate(sequences):
        kept = sequence[-length:]
        if kept:
            out[row, length - len(kept) :] = kept
    return out


def append_counts(ids: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """The official code's input (trap T5): the counts stand behind the word numbers and are looked up as words.

    A text with two profane words thus ends in the second most frequent word of the corpus. Only `strict_paper` uses it;
    by default the counts are a dense input of their own.

    Args:
        ids: (n, length). counts: (n, 3), whole numbers. size: of the embedding; larger counts become `size - 1`.

    Returns:
        int32 (n, length + 3): 503 columns in the paper.
    """
    return np.concatenate([ids, np.clip(counts, 0, size - 1).astype(np.int32)], axis=1)
