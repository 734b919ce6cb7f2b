"""Term counts of many texts under a fitted scikit-learn vectorizer, a word at a time: the same counts, several times as fast.

A word's character n-grams are looked up once, however often the word is used.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["count_terms"]

MOST_WORDS = 200_000  # kept at a time: a corpus without end has words without end


def count_terms(vectorizer: Any, texts: Sequence[str]) -> sparse.csr_matrix:
    """float64 (n, terms): how often each term of the vectorizer's vocabulary is in each text.

    Args:
        vectorizer: a fitted `CountVectorizer` or a child of it that reads character n-grams inside words (`char_wb`) and does not
            touch case.
        texts: n texts.
    """
    vocabulary, (low, high) = vectorizer.vocabulary_, vectorizer.ngram_range
    known: dict[str, np.ndarray] = {}
    columns, values, ends = [], [], [0]
    for text in texts:
        found, times = [], []
        for word, n in Counter(text.split()).items():
            places = known.get(word)
            if places is None:
                if len(known) >= MOST_WORDS:
                    known.clear()
                at = [vocabulary[gram] for gram in _grams(word, low, high) if gram in vocabulary]
                places = known[word] = np.array(at, np.int32)
            found.append(places)
            times.append(n)
        if found:
            flat = np.concatenate(found)
            weights = np.repeat(times, [len(places) for places in found])
            column, inverse = np.unique(flat, return_inverse=True)
            columns.append(column)
            values.append(np.bincount(inverse, weights, minlength=len(column)))
            ends.append(ends[-1] + len(column))
        else:
            ends.append(ends[-1])
    indices = np.concatenate(columns) if columns else np.empty(0, np.int32)
    data = np.concatenate(values) if values else np.empty(0)
    return sparse.csr_matrix((data, indices, np.array(ends)), shape=(len(texts), len(vocabulary)))


def _grams(word: str, low: int, high: int) -> list[str]:
    """The word's character n-grams, a blank on either side; a word that is shorter than n is taken whole, once.

    >>> _grams("ab", 2, 5)
    [' a', 'ab', 'b ', ' ab', 'ab ', ' ab ']
    """
    padded = f" {word} "
    grams = []
    for n in range(low, high + 1):
        grams += [padded[at : at + n] for at in range(max(len(padded) - n, 0) + 1)]
        if n >= len(padded):
            break
    return grams
