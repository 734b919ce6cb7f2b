"""What every causal language model here can do, whoever wrote it.

    embed      tokens (B, T) int64                     -> (B, T, d), the output of the embedding layer, before positions and blocks
    logits     embeddings (B, T, d), mask (B, T)       -> (B, T, V); position t is the prediction of token t + 1
    forward    logits(embed(tokens) + noise, mask)
    extend     tokens (B, t), what came before         -> logits (B, V) of the last place, and what has now come before

`mask` is of attention: True where a token is real. Text looks backwards only, so padding on the RIGHT needs no mask; padding on the
left does, and positions are then counted from the first real token. Which tokens are learned is the objective's business
(`train.causal_lm`).
"""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from antivenom.errors import AntivenomError
from antivenom.models.model_hash import model_hash

__all__ = ["CausalLM", "check_tokens", "load_causal_lm", "model_hash", "positions_of"]


@runtime_checkable
class CausalLM(Protocol):
    """A torch module that predicts the next token."""

    vocab_size: int
    context: int
    """The longest sequence it takes."""
    eos: int
    """The token between two documents; it also stands before a text that is measured (spec 02, trap 25)."""

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, d)."""
        ...

    def logits(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, d) -> (B, T, V)."""
        ...

    def forward(self, tokens: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, V); `noise` (B, T, d) is added to the output of the embedding layer."""
        ...

    def extend(
        self, tokens: Tensor, state: Any = None, mask: Tensor | None = None, room: int = 0
    ) -> tuple[Tensor, Any]:
        """Go on from `state` (None: from nothing) with tokens (B, t): logits (B, V) of the last one, and the new state.

        `mask` (B, t) belongs to the first call; `room` is the number of tokens that later calls will bring.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What it is, as plain data."""
        ...


def positions_of(mask: Tensor) -> Tensor:
    """(B, T) bool -> (B, T): places counted from the first real token; padding before it has place 0.

    >>> import torch
    >>> positions_of(torch.tensor([[False, True, True]])).tolist()
    [[0, 0, 1]]
    """
    return (mask.long().cumsum(1) - 1).clamp(min=0)


def check_tokens(tokens: Tensor, model: Any) -> None:
    """Refuse what would end as an index error, or on a GPU as an assertion without a name.

    Raises:
        AntivenomError: for a token that is not in the vocabulary, or a sequence that is longer than the context.
    """
    if tokens.numel() == 0:
        return
    if tokens.shape[1] > model.context:
        raise AntivenomError(
            f"a sequence of {tokens.shape[1]} tokens for a model with a context of {model.context}",
            "cut it, or take another model",
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= model.vocab_size:
        raise AntivenomError(
            f"token {low if low < 0 else high} for a model with {model.vocab_size} tokens",
            "use the tokenizer that the model was trained with",
        )


def load_causal_lm(name: str | Path, *, tokenizer: str | None = None) -> Any:
    """A folder that `save_small_decoder` left, or any `AutoModelForCausalLM` by local folder or hub name.

    Args:
        name: where it is.
        tokenizer: fingerprint of the tokenizer that made the token stream; the checkpoint's must be the same.

    Raises:
        AntivenomError: when there is no such model, or its tokenizer is another one.
    """
    from antivenom.models.causal_lm_transformers import load_transformers_lm
    from antivenom.models.decoder_small import CONFIG_FILE, load_small_decoder

    if (Path(name) / CONFIG_FILE).exists():
        return load_small_decoder(name, tokenizer=tokenizer)
    return load_transformers_lm(name, tokenizer=tokenizer)
