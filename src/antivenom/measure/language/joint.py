"""One text in two parts, tokenised in one piece (spec 02, trap 11).

A tokenizer may merge across the border of prefix and continuation, so that tokens(prefix) + tokens(continuation) is not
tokens(prefix + continuation). The border is read off the characters' offsets: a token that reaches beyond the prefix belongs to the
continuation, whole.
"""

from typing import Any, Protocol

import numpy as np

__all__ = ["OffsetTokenizer", "joint_tokens", "token_characters"]


class OffsetTokenizer(Protocol):
    """What is needed of a tokenizer (`models.tokenizers_lm`)."""

    def encode_with_offsets(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """(L,) tokens and (L, 2) characters."""
        ...

    def decode(self, tokens: Any) -> str:
        """Their text."""
        ...


def joint_tokens(tokenizer: OffsetTokenizer, prefix: str, continuation: str) -> tuple[np.ndarray, int]:
    """The tokens of prefix + continuation, and the place of the first one that reaches beyond the prefix."""
    tokens, offsets = tokenizer.encode_with_offsets(prefix + continuation)
    beyond = np.flatnonzero(offsets[:, 1] > len(prefix))
    return tokens, int(beyond[0]) if len(beyond) else len(tokens)


def token_characters(tokenizer: OffsetTokenizer, text: str) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of a text, and how many characters each adds; they add up to the text's length.

    A character that is spread over several tokens counts with the first.
    """
    tokens, offsets = tokenizer.encode_with_offsets(text)
    reached = np.maximum.accumulate(offsets[:, 1]) if len(tokens) else np.empty(0, np.int64)
    return tokens, np.diff(reached, prepend=0)
