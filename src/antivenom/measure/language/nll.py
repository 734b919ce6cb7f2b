"""Negative log-likelihoods of tokens: the engine under every likelihood metric.

    nll_t = -log p(x_t | x_0 .. x_{t-1}),  t = 1 .. L - 1;   the first token has nothing before it and is not scored

With `leading_eos` the model's end token stands before the text as it did in training (spec 02, trap 25); the first token can then be
scored too (`first`). Sequences are sorted by length and padded on the right, where no token looks, so that neither batch nor padding
touches a figure beyond rounding (trap 14); log-probabilities are made in float32 at least.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from antivenom.errors import AntivenomError
from antivenom.measure.rates import Mean, bootstrap_interval
from antivenom.models.causal_lm import CausalLM, check_tokens
from antivenom.models.torch_runtime import eval_mode

__all__ = ["NllSettings", "TokenScores", "insertion_likelihood", "token_nll", "token_scores", "truncate_left"]

BATCH = 32


@dataclass(frozen=True)
class NllSettings:
    """What a likelihood may depend on; it is written next to every figure (see `measure.language.record`).

    Args:
        batch_size: sequences at a time.
        leading_eos: put the end token before a sequence that does not begin with it.
        first: score the first token too; needs `leading_eos`.
    """

    batch_size: int = BATCH
    leading_eos: bool = False
    first: bool = False

    def __post_init__(self) -> None:
        """Refuse a first token without anything before it."""
        if self.batch_size < 1 or (self.first and not self.leading_eos):
            raise AntivenomError(
                f"{self}", "give a batch of 1 or more; the first token is scored behind a leading end token only"
            )

    def describe(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True)
class TokenScores:
    """One sequence's scored tokens, float64 each.

    Args:
        nll: -log p of the token.
        mean, std: of log p(v) over the vocabulary under p itself: sum_v p(v) log p(v), and the root of the variance.
    """

    nll: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def token_nll(
    model: CausalLM,
    sequences: Sequence[np.ndarray],
    batch_size: int = BATCH,
    *,
    leading_eos: bool = False,
    first: bool = False,
) -> list[np.ndarray]:
    """Negative log-likelihood of every token but the first.

    Args:
        model: any `CausalLM`.
        sequences: token ids, one token at least, within the context (see `truncate_left`).
        batch_size, leading_eos, first: see `NllSettings`.

    Returns:
        per sequence, in its order, float64 (L - 1,), or (L,) with `first` (a sequence that begins with the end token keeps L - 1:
        its first token is the leading one).

    Raises:
        AntivenomError: for an empty sequence, one longer than the context, or a token that the model does not know.
    """
    return [
        nll for nll, _, _ in _scored(model, sequences, NllSettings(batch_size, leading_eos, first), statistics=False)
    ]


def token_scores(
    model: CausalLM,
    sequences: Sequence[np.ndarray],
    batch_size: int = BATCH,
    *,
    leading_eos: bool = False,
    first: bool = False,
) -> list[TokenScores]:
    """`token_nll` with the moments of log p that Min-K%++ needs."""
    settings = NllSettings(batch_size, leading_eos, first)
    return [TokenScores(*found) for found in _scored(model, sequences, settings, statistics=True)]


def truncate_left(sequences: Sequence[np.ndarray], most: int) -> list[np.ndarray]:
    """The last `most` tokens of every sequence (spec 02, 2.4: over-long canaries lose their beginning, never their suffix)."""
    return [np.asarray(tokens)[-most:] for tokens in sequences]


def _scored(
    model: Any, sequences: Sequence[np.ndarray], settings: NllSettings, *, statistics: bool
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    read, skipped = [], []
    for i, tokens in enumerate(sequences):
        line = np.asarray(tokens, np.int64)
        if line.ndim != 1 or not len(line):
            raise AntivenomError(f"sequence {i} has no token", "leave it out, and say how many were left out")
        put = settings.leading_eos and line[0] != model.eos
        read.append(np.concatenate([[model.eos], line]) if put else line)
        skipped.append(int(put and not settings.first))
        if len(read[-1]) > model.context:
            raise AntivenomError(
                f"sequence {i} has {len(read[-1])} tokens (with its end token), the model's context is {model.context}",
                "cut it: truncate_left keeps its end",
            )
    found: list[Any] = [None] * len(read)
    with eval_mode(model):
        for rows, parts in _batches(model, read, settings.batch_size, statistics):
            for place, row in enumerate(rows):
                length = len(read[row]) - 1
                found[row] = tuple(part[place, skipped[row] : length].copy() for part in parts)
    return found


def _batches(
    model: Any, read: list[np.ndarray], batch_size: int, statistics: bool
) -> Iterator[tuple[list[int], tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    order = sorted(
        range(len(read)), key=lambda i: (-len(read[i]), i)
    )  # the longest first: memory fails at once or never
    device = next(iter(model.parameters())).device
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        tokens = torch.full((len(rows), len(read[rows[0]])), model.eos, dtype=torch.int64)
        for place, row in enumerate(rows):
            tokens[place, : len(read[row])] = torch.from_numpy(read[row])
        check_tokens(tokens, model)
        tokens = tokens.to(device)
        yield rows, _moments(model(tokens)[:, :-1], tokens[:, 1:], statistics)


def _moments(logits: Tensor, targets: Tensor, statistics: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    norm = logits.logsumexp(-1)
    nll = norm - logits.gather(-1, targets[..., None])[..., 0]
    if not statistics:
        numbers = _numbers(nll)
        return numbers, numbers, numbers
    logs = logits - norm[..., None]
    p = logs.exp()
    # a token of probability 0 adds nothing: 0 log 0 = 0
    weighted = torch.where(p > 0, p * logs, 0.0)
    mean = weighted.sum(-1)
    square = torch.where(p > 0, weighted * logs, 0.0).sum(-1)
    return _numbers(nll), _numbers(mean), _numbers((square - mean.square()).clamp(min=0).sqrt())


def _numbers(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()


def insertion_likelihood(
    model: CausalLM,
    sequences: Sequence[np.ndarray],
    *,
    batch_size: int = BATCH,
    leading_eos: bool = True,
    max_tokens: int | None = 1_000_000,
    seed: int = 0,
) -> Mean:
    """Token-weighted cross-entropy of inserted texts: sum of nll over tokens 1 .. / number of those tokens.

    End tokens at both ends are taken off, copies are counted once, the first token is skipped, and texts are taken in their order until
    `max_tokens` scored tokens are reached (spec 02, 2.4). The interval resamples texts.

    Args:
        model: any `CausalLM`.
        sequences: the texts; what is longer than the context keeps its end.
        batch_size, leading_eos: see `NllSettings`.
        max_tokens: cap; None for none.
        seed: of the interval.

    Returns:
        the mean with n = texts scored; `missing` counts texts without a token to score.
    """
    unique: dict[bytes, np.ndarray] = {}
    for tokens in sequences:
        line = np.asarray(tokens, np.int64)
        inner = np.flatnonzero(line != model.eos)
        line = line[inner[0] : inner[-1] + 1] if len(inner) else line[:0]
        unique.setdefault(line.tobytes(), line)
    texts = [line for line in unique.values() if len(line) > 1]
    missing = len(unique) - len(texts)
    texts = truncate_left(texts, model.context - int(leading_eos))
    if max_tokens is not None:
        before = np.cumsum([0, *(len(line) - 1 for line in texts)])[:-1]
        texts = [line for line, so_far in zip(texts, before) if so_far < max_tokens]
    parts = [(nll.sum(), len(nll)) for nll in token_nll(model, texts, batch_size, leading_eos=leading_eos)]
    if not parts:
        return Mean(None, 0, None, None, missing)
    table = np.array(parts, float)
    low, high = bootstrap_interval(table, lambda part: part[:, 0].sum() / part[:, 1].sum(), seed=seed)
    return Mean(float(table[:, 0].sum() / table[:, 1].sum()), len(table), low, high, missing)
