"""What a language model writes: greedily, or sampled; batched, with kept keys and values.

    greedy   argmax of the logits (the lowest token of equal ones)
    sample   the smallest token whose cumulative softmax(logits / temperature) exceeds u, u ~ U[0, 1) drawn per (prompt, draw, step)

A prompt's sample depends on the seed, the prompt and the draw alone: neither on the batch nor on the other prompts. A second copy of a
prompt is a draw of its own. Equal prompts of a batch of another size give the same tokens, unless two tokens are within rounding of
one another.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from antivenom.errors import AntivenomError
from antivenom.models.causal_lm import CausalLM, check_tokens
from antivenom.models.torch_runtime import eval_mode
from antivenom.randomness import generator

__all__ = ["greedy", "sample"]

BATCH = 64


def greedy(
    model: CausalLM,
    prompts: Sequence[np.ndarray],
    n_tokens: int,
    stop: int | Sequence[int] | None = None,
    *,
    batch_size: int = BATCH,
) -> list[np.ndarray]:
    """The n most likely next tokens, one after the other.

    Args:
        model: with `n_tokens` of room behind every prompt.
        prompts: token sequences of any length, one token at least.
        n_tokens: how many.
        stop: token(s) that end a text; they are not part of it, so that a text may be empty.
        batch_size: prompts at a time.

    Returns:
        int64 arrays, one per prompt, in its order.

    Raises:
        AntivenomError: for an empty prompt, one that leaves no room, or a token that the model does not know.
    """
    return _write(model, prompts, n_tokens, _tokens(stop), batch_size, lambda logits, rows, step: logits.argmax(-1))


def sample(
    model: CausalLM,
    prompts: Sequence[np.ndarray],
    n_tokens: int,
    temperature: float,
    seed: int,
    k: int = 1,
    stop: int | Sequence[int] | None = None,
    *,
    top_p: float | None = None,
    batch_size: int = BATCH,
) -> list[list[np.ndarray]]:
    """k sampled continuations of every prompt.

    Args:
        model, prompts, n_tokens, stop, batch_size: see `greedy`.
        temperature: divides the logits.
        seed: of all draws.
        k: continuations per prompt; the first j of them are those of k = j.
        top_p: sample among the most likely tokens that together have at least this probability.

    Returns:
        per prompt, in its order, k int64 arrays.

    Raises:
        AntivenomError: as in `greedy`; for a temperature that is not positive, or top_p outside (0, 1].
    """
    if temperature <= 0 or k < 1 or (top_p is not None and not 0 < top_p <= 1):
        raise AntivenomError(
            f"a temperature of {temperature}, k = {k}, top_p = {top_p}",
            "give a temperature above 0, k >= 1, 0 < top_p <= 1",
        )
    seen: Counter = Counter()
    draws = np.empty((len(prompts) * k, n_tokens))
    for row, prompt in enumerate(prompts):
        name = hashlib.blake2b(np.asarray(prompt, np.int64).tobytes(), digest_size=8).hexdigest()
        for j in range(k):
            draws[row * k + j] = generator(seed, "sample", name, seen[name], j).random(n_tokens)
        seen[name] += 1

    def choose(logits: Tensor, rows: np.ndarray, step: int) -> Tensor:
        p = (logits.double() / temperature).softmax(-1)
        if top_p is not None:
            p = _nucleus(p, top_p)
        u = torch.from_numpy(draws[rows, step]).to(p.device)[:, None]
        cumulative = p.cumsum(-1)
        # rounding may leave the last sum below 1: then the last token of any probability
        return (cumulative <= u * cumulative[:, -1:]).sum(-1).clamp(max=p.shape[-1] - 1)

    repeated = [prompt for prompt in prompts for _ in range(k)]
    found = _write(model, repeated, n_tokens, _tokens(stop), batch_size, choose)
    return [found[i * k : (i + 1) * k] for i in range(len(prompts))]


def _nucleus(p: Tensor, top_p: float) -> Tensor:
    ordered, index = p.sort(dim=-1, descending=True, stable=True)
    kept = ordered.cumsum(-1) - ordered < top_p
    return torch.zeros_like(p).scatter(-1, index, torch.where(kept, ordered, 0.0))


def _tokens(stop: int | Sequence[int] | None) -> list[int]:
    return [] if stop is None else [int(stop)] if isinstance(stop, (int, np.integer)) else [int(t) for t in stop]


def _write(
    model: Any, prompts: Sequence[np.ndarray], n_tokens: int, stop: list[int], batch_size: int, choose: Any
) -> list[np.ndarray]:
    given = [np.asarray(prompt, np.int64) for prompt in prompts]
    if empty := [i for i, prompt in enumerate(given) if prompt.ndim != 1 or not len(prompt)]:
        raise AntivenomError(f"prompt {empty[0]} has no token", "let it begin with the model's end token")
    longest = max((len(prompt) for prompt in given), default=0)
    if given and longest + n_tokens - 1 > model.context:  # the last token that is written is not read again
        raise AntivenomError(
            f"a prompt of {longest} tokens and {n_tokens} to be written, in a context of {model.context}",
            "cut the prompt, or write less",
        )
    if n_tokens < 1:
        raise AntivenomError(f"{n_tokens} tokens to be written", "ask for one at least")
    order = sorted(range(len(given)), key=lambda i: (len(given[i]), i))
    found: list[np.ndarray] = [np.empty(0, np.int64)] * len(given)
    device = next(iter(model.parameters())).device
    with eval_mode(model):
        for start in range(0, len(order), batch_size):
            rows = np.array(order[start : start + batch_size])
            for row, text in zip(rows, _batch(model, [given[i] for i in rows], rows, n_tokens, stop, choose, device)):
                found[row] = text
    return found


def _batch(
    model: Any, prompts: list[np.ndarray], rows: np.ndarray, n_tokens: int, stop: list[int], choose: Any, device: Any
) -> list[np.ndarray]:
    length = max(map(len, prompts))
    tokens = torch.full((len(prompts), length), model.eos, dtype=torch.int64)
    mask = torch.zeros((len(prompts), length), dtype=torch.bool)
    for i, prompt in enumerate(prompts):
        tokens[i, length - len(prompt) :] = torch.from_numpy(prompt)
        mask[i, length - len(prompt) :] = True
    check_tokens(tokens, model)
    written = np.full((len(prompts), n_tokens), -1, np.int64)
    going = np.arange(len(prompts))
    new, state = tokens.to(device), None
    given = None if bool(mask.all()) else mask.to(device)
    for step in range(n_tokens):
        logits, state = model.extend(new, state, given, n_tokens - 1)
        given = None
        chosen = choose(logits, rows[going], step)
        values = chosen.cpu().numpy()
        goes = ~np.isin(values, stop)
        written[going[goes], step] = values[goes]
        if not goes.all():
            going = going[goes]
            if not len(going):
                break
            kept = torch.from_numpy(np.flatnonzero(goes)).to(device)
            chosen = chosen[kept]
            state.select(kept) if hasattr(state, "select") else state.batch_select_indices(kept)
        new = chosen[:, None]
    return [line[: int((line >= 0).sum())] for line in written]
