"""Any `AutoModelForCausalLM` of the library transformers as a `CausalLM`, through its `inputs_embeds`.

Weights are read as safetensors only: a pickle from outside is never opened. Noise is added to what the model's input embedding gives;
models that scale that output, or add positions to it, do so afterwards.
"""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from antivenom.errors import AntivenomError, MissingExtra
from antivenom.models.causal_lm import positions_of
from antivenom.models.tokenizers_lm import TextTokenizer

__all__ = ["TransformersLM", "load_transformers_lm"]


class _State:
    """The library's cache and the mask of all tokens so far."""

    def __init__(self, mask: Tensor | None):
        self.cache: Any = None
        self.mask = mask

    def select(self, rows: Tensor) -> None:
        """Go on with these rows of the batch alone."""
        self.cache.batch_select_indices(rows)
        self.mask = None if self.mask is None else self.mask[rows]


class TransformersLM(nn.Module):
    """A model of the library behind the names of `models.causal_lm`.

    Args:
        inner: the `PreTrainedModel`.
        eos: its end token.
        name: for the record.
        tokenizer: that of its folder, if it has one.
    """

    def __init__(self, inner: Any, eos: int, *, name: str = "", tokenizer: TextTokenizer | None = None):
        super().__init__()
        self.inner, self.eos, self.name, self.tokenizer = inner, eos, name, tokenizer
        config = inner.config
        self.vocab_size: int = inner.get_input_embeddings().weight.shape[0]
        # transformers 5.24 renamed the argument
        self.cache_name = "cache" if "cache" in inspect.signature(inner.forward).parameters else "past_key_values"
        lengths = (getattr(config, key, None) for key in ("max_position_embeddings", "n_positions", "max_seq_len"))
        self.context: int = next((int(length) for length in lengths if length), 1 << 30)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, d)."""
        return self.inner.get_input_embeddings()(tokens)

    def logits(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, d) -> (B, T, V)."""
        return self.inner(inputs_embeds=embeddings, use_cache=False, **_masked(mask)).logits

    def forward(self, tokens: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, V)."""
        embeddings = self.embed(tokens)
        return self.logits(embeddings if noise is None else embeddings + noise.to(embeddings.dtype), mask)

    def extend(
        self, tokens: Tensor, state: Any = None, mask: Tensor | None = None, room: int = 0
    ) -> tuple[Tensor, Any]:
        """Go on with tokens (B, t); see `CausalLM.extend`."""
        if state is None:
            state = _State(mask)
        elif state.mask is not None:
            state.mask = torch.cat([state.mask, torch.ones_like(tokens, dtype=torch.bool)], dim=1)
        given = {"input_ids": tokens, self.cache_name: state.cache, **_masked(state.mask, tokens.shape[1])}
        found = self.inner(**given, use_cache=True)
        state.cache = found[self.cache_name]
        return found.logits[:, -1], state

    def describe(self) -> dict[str, Any]:
        """Its name, architecture and sizes."""
        return {
            "model": "transformers", "name": self.name, "architecture": type(self.inner).__name__,
            "vocab_size": self.vocab_size, "context": self.context, "dtype": str(self.inner.dtype),
        }  # fmt: skip


def _masked(mask: Tensor | None, new: int | None = None) -> dict[str, Tensor]:
    if mask is None:
        return {}
    places = positions_of(mask)
    return {"attention_mask": mask.long(), "position_ids": places if new is None else places[:, -new:]}


def load_transformers_lm(
    name: str | Path, *, tokenizer: str | None = None, dtype: str = "float32", revision: str | None = None
) -> TransformersLM:
    """A causal language model by local folder or hub name, in evaluation mode.

    Args:
        name: a folder with config.json and model.safetensors, or a name on the hub.
        tokenizer: fingerprint of the tokenizer that made the token stream (`TextTokenizer.fingerprint`).
        dtype: of the weights.
        revision: on the hub.

    Raises:
        MissingExtra: when transformers is not installed.
        AntivenomError: when there is no such model, or its tokenizer is not the stream's.
    """
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise MissingExtra(
            error.name or "transformers", "models", "a language model from a folder or the hub"
        ) from None
    mend = "give a folder with config.json and model.safetensors, or a name on the hub (with a network)"
    local = Path(name).is_dir()
    where: dict[str, Any] = {"local_files_only": local, "revision": revision or "main"}
    try:
        inner: Any = AutoModelForCausalLM.from_pretrained(
            str(name), use_safetensors=True, trust_remote_code=False, dtype=getattr(torch, dtype), **where
        )
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise AntivenomError(f"'{name}' cannot be loaded: {str(error).splitlines()[0]}", mend) from error
    own: TextTokenizer | None = None
    try:
        found: Any = AutoTokenizer.from_pretrained(str(name), trust_remote_code=False, **where)
        end = found.eos_token_id if found.eos_token_id is not None else _first(inner.config.eos_token_id)
        own = TextTokenizer(found.backend_tokenizer, 0 if end is None else int(end))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        own = None  # weights without a tokenizer: for streams that were made without one
    eos = own.eos if own else _first(inner.config.eos_token_id)
    rows = inner.get_input_embeddings().weight.shape[0]
    if own is not None and own.vocab_size > rows:
        raise AntivenomError(f"the tokenizer of '{name}' has {own.vocab_size} tokens, its model {rows}", mend)
    if tokenizer is not None and (own is None or own.fingerprint != tokenizer):
        theirs = "no tokenizer" if own is None else f"the tokenizer {own.fingerprint}"
        raise AntivenomError(
            f"'{name}' has {theirs}, the token stream was made with {tokenizer}",
            "make the stream anew with the tokenizer of this checkpoint (load_tokenizer on its folder)",
        )
    return TransformersLM(inner, 0 if eos is None else int(eos), name=str(name), tokenizer=own).eval()


def _first(value: Any) -> Any:
    return (
        value[0] if isinstance(value, (list, tuple)) and value else None if isinstance(value, (list, tuple)) else value
    )
