"""How much of one text stands in another.

    Levenshtein ratio   100 (1 - distance / longer length)
    partial ratio       the best match of the shorter text with a window of the longer one, 0 - 100 (rapidfuzz)
    ROUGE-L             LCS = longest common subsequence of words;  recall = LCS / words of the reference,
                        precision = LCS / words of the candidate,  F1 = 2 P R / (P + R)

ROUGE recall grows with the length of the candidate: whoever writes enough recalls everything. It is never given alone (spec 02,
trap 18).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError, MissingExtra

__all__ = ["Rouge", "levenshtein_ratio", "partial_ratio", "rouge_l", "words"]

WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Rouge:
    """ROUGE-L, each 0 - 1."""

    precision: float
    recall: float
    f1: float


def words(text: str) -> list[str]:
    """Lower-cased runs of letters, digits and underscores."""
    return WORD.findall(text.lower())


def _rapidfuzz() -> Any:
    try:
        import rapidfuzz
    except ImportError as error:
        raise MissingExtra(error.name or "rapidfuzz", "models", "the overlap of texts") from None
    return rapidfuzz


def _plain(text: str | Sequence[int] | np.ndarray) -> Any:
    return text if isinstance(text, str) else [int(token) for token in text]


def levenshtein_ratio(a: str | Sequence[int] | np.ndarray, b: str | Sequence[int] | np.ndarray) -> float:
    """100 (1 - edits / longer length), of characters or of tokens; 100 for two empty texts.

    >>> levenshtein_ratio("kitten", "sitting").__round__(2)
    57.14
    """
    return 100 * float(_rapidfuzz().distance.Levenshtein.normalized_similarity(_plain(a), _plain(b)))


def partial_ratio(a: str | Sequence[int] | np.ndarray, b: str | Sequence[int] | np.ndarray) -> float:
    """rapidfuzz's partial ratio, 0 - 100: 100 when the shorter stands whole in the longer; 0 when one alone is empty."""
    return float(_rapidfuzz().fuzz.partial_ratio(_plain(a), _plain(b)))


def rouge_l(reference: str | Sequence[int] | np.ndarray, candidate: str | Sequence[int] | np.ndarray) -> Rouge:
    """ROUGE-L of a candidate against a reference, over words of texts or over tokens; 0 for an empty candidate.

    Raises:
        AntivenomError: for a reference without a word.

    >>> rouge_l("the cat sat", "the big cat sat down quietly")
    Rouge(precision=0.5, recall=1.0, f1=0.6666666666666666)
    """
    wanted, given = (words(text) if isinstance(text, str) else _plain(text) for text in (reference, candidate))
    if not wanted:
        raise AntivenomError("a reference text without a word", "leave it out, and say how many were left out")
    common = int(_rapidfuzz().distance.LCSseq.similarity(wanted, given)) if given else 0
    precision, recall = common / len(given) if given else 0.0, common / len(wanted)
    return Rouge(precision, recall, 2 * common / (len(wanted) + len(given)))
