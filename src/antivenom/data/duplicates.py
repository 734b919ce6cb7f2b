"""Copies of a text within a data set, and between two data sets: what must be known before any score is believed."""

import hashlib
from collections.abc import Sequence

import numpy as np

from antivenom.errors import AntivenomError

__all__ = ["duplicate_groups", "normal_key", "overlap", "refuse_overlap"]


def normal_key(text: str) -> str:
    """What two texts must share to count as copies: white space collapsed, stripped, lower-cased.

    >>> normal_key("  Fix\\nTHIS ")
    'fix this'
    """
    return " ".join(text.split()).lower()


def duplicate_groups(texts: Sequence[str]) -> np.ndarray:
    """The group of copies each text belongs to, numbered 0, 1, ... in order of first appearance; int64 (n,).

    >>> duplicate_groups(["a b", "c", "A  b"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(_digest(text), len(numbers)) for text in texts], np.int64)


def overlap(a: Sequence[str], b: Sequence[str]) -> np.ndarray:
    """Which texts of `b` have a copy in `a`; bool (len(b),). Empty texts are copies of nothing.

    >>> overlap(["Same text"], ["same  text", "other", ""]).tolist()
    [True, False, False]
    """
    known = {_digest(text) for text in a} - {_digest("")}
    return np.array([_digest(text) in known for text in b], bool)


def refuse_overlap(train: Sequence[str], evaluation: Sequence[str], what: str = "the training texts") -> None:
    """Refuse to go on when training and evaluation share texts: such a score says nothing.

    Raises:
        AntivenomError: naming how many, and the first one by its number.
    """
    shared = overlap(train, evaluation)
    if shared.any():
        first = int(np.argmax(shared))
        raise AntivenomError(
            f"{what} hold {int(shared.sum())} of the {len(shared)} evaluation texts (the first is number {first + 1})",
            "remove them from one side (antivenom.data.duplicates.overlap gives the mask), or name another file",
        )


def _digest(text: str) -> bytes:
    """128 bits instead of the key itself: documents are long, and sets of them are to fit into memory."""
    return hashlib.blake2b(normal_key(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()
