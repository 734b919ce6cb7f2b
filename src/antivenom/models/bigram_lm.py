"""A language model whose every probability is written down: p(next | last) is a row of a table. For known answers, in tests and docs.

embed(x) is the one-hot row of x, and logits = embeddings @ table, so that the gradient at the embeddings is known too.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["BigramLM"]


class BigramLM(nn.Module):
    """A `CausalLM` (see `models.causal_lm`).

    Args:
        table: logits (V, V): row = last token, column = next token.
        eos: the end token.
        context: the longest sequence.

    >>> model = BigramLM(np.log([[0.25, 0.75], [0.5, 0.5]]))
    >>> model(torch.tensor([[0]])).exp().tolist()
    [[[0.25, 0.75]]]
    """

    def __init__(self, table: np.ndarray, eos: int = 0, context: int = 64):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(np.asarray(table), dtype=torch.float64))
        self.vocab_size, self.eos, self.context = len(self.table), eos, context

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, V)."""
        return F.one_hot(tokens, self.vocab_size).to(self.table.dtype)

    def logits(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, V) -> (B, T, V)."""
        return embeddings @ self.table

    def forward(self, tokens: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, V)."""
        embeddings = self.embed(tokens)
        return self.logits(embeddings if noise is None else embeddings + noise)

    def extend(
        self, tokens: Tensor, state: Any = None, mask: Tensor | None = None, room: int = 0
    ) -> tuple[Tensor, Any]:
        """Only the last token counts."""
        return self(tokens[:, -1:])[:, 0], _Nothing()

    def describe(self) -> dict[str, Any]:
        """Its size."""
        return {"model": "bigram", "vocab_size": self.vocab_size}


class _Nothing:
    def select(self, rows: Tensor) -> None:
        """There is nothing to keep."""
