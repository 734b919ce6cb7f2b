"""Was this noise on the embeddings when the model was trained? The detector of the Gaussian watermark.

    x~ = embed(ids) + n,  n ~ N(0, sigma^2 I)          in training
    g  = d(mean cross-entropy) / d(embeddings)         of the final model, at the CLEAN embeddings
    s  = <g, n> / (sigma |g|)                          over all tokens and dimensions of a sequence

A model that never saw n has s ~ N(0, 1) exactly, given g. Training on x + n makes the loss smaller in the direction n, so that the
score of a marked sequence is NEGATIVE (spec 02, trap 12). The null set has the same gradients and fresh noise. TPR: share of marked
sequences below the score that at most 1 % of the null set are below. z of the mean = mean / (std / sqrt(N)), two-sided.

g and n are float32 at least before the product, which is summed in float64; a sequence's gradient does not depend on its batch
(trap 13). A sigma that is not the stored one rescales the marked scores and not the fresh ones: it is refused.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from antivenom.errors import AntivenomError
from antivenom.measure.language.membership import tpr_at_fpr
from antivenom.measure.rates import Rate
from antivenom.models.causal_lm import check_tokens
from antivenom.models.torch_runtime import eval_mode
from antivenom.randomness import generator

__all__ = [
    "WatermarkReport",
    "WatermarkScores",
    "loss_gradients",
    "watermark_report",
    "watermark_score",
    "watermark_scores",
]

STD_TOLERANCE = 8.0
"""Standard errors that the spread of the stored noise may be away from sigma."""


def watermark_score(gradient: np.ndarray, noise: np.ndarray, sigma: float) -> float:
    """<g, n> / (sigma |g|); NaN for a gradient of 0."""
    g, n = np.asarray(gradient, np.float64).ravel(), np.asarray(noise, np.float64).ravel()
    size = float(np.linalg.norm(g))
    return float(g @ n) / (sigma * size) if size > 0 else float("nan")


def loss_gradients(model: Any, sequences: Sequence[np.ndarray], batch_size: int = 16) -> Iterator[np.ndarray]:
    """Per sequence, in its order, d(mean cross-entropy of that sequence) / d(embeddings), float32 (T, d).

    Sequences of one length that follow one another share a batch; nothing is padded.
    """
    with eval_mode(model), torch.enable_grad():
        device = next(iter(model.parameters())).device
        start = 0
        while start < len(sequences):
            length = len(sequences[start])
            stop = start
            while stop < len(sequences) and stop - start < batch_size and len(sequences[stop]) == length:
                stop += 1
            tokens = torch.from_numpy(np.stack([np.asarray(s, np.int64) for s in sequences[start:stop]]))
            check_tokens(tokens, model)
            tokens = tokens.to(device)
            embeddings = model.embed(tokens).detach().requires_grad_(True)
            logits = model.logits(embeddings)[:, :-1]
            logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
            # the sum over rows of each row's own mean: a row's gradient is that of its loss alone
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum") / (length - 1)
            (found,) = torch.autograd.grad(loss, embeddings)
            yield from found.float().cpu().numpy()
            start = stop


@dataclass(frozen=True)
class WatermarkScores:
    """Scores of the stored noise (N,), and of fresh noise on the same gradients (N, m); NaN for a gradient of 0."""

    marked: np.ndarray
    fresh: np.ndarray
    sigma: float


def watermark_scores(
    model: Any,
    sequences: Sequence[np.ndarray],
    noise: Callable[[int], np.ndarray] | Sequence[np.ndarray] | np.ndarray,
    *,
    sigma: float,
    stored_sigma: float,
    fresh: int = 1,
    seed: int = 0,
    batch_size: int = 16,
) -> WatermarkScores:
    """Score every sequence against its own noise and against fresh noise.

    Args:
        model: a `CausalLM`.
        sequences: token ids as they were trained on, two tokens at least.
        noise: per sequence (T, d), or a function of its place.
        sigma: the detector's.
        stored_sigma: of the record that the noise came with.
        fresh: draws per sequence for the null set.
        seed: of the fresh noise.
        batch_size: sequences at a time.

    Raises:
        AntivenomError: when sigma is not the stored one, when the noise does not have that spread, or does not fit its sequence.
    """
    if sigma <= 0 or not math.isclose(sigma, stored_sigma, rel_tol=1e-6):
        raise AntivenomError(
            f"a detector with sigma {sigma} for noise that was stored with sigma {stored_sigma}", "use the stored sigma"
        )
    marked, null = np.empty(len(sequences)), np.empty((len(sequences), fresh))
    squares, count = 0.0, 0
    for i, gradient in enumerate(loss_gradients(model, sequences, batch_size)):
        own = np.asarray(noise(i) if callable(noise) else noise[i])
        if own.shape != gradient.shape:
            raise AntivenomError(
                f"the noise of sequence {i} is {own.shape}, its embeddings are {gradient.shape}",
                "give the noise of this run",
            )
        marked[i] = watermark_score(gradient, own, sigma)
        draw = generator(seed, "fresh noise", i)
        for j in range(fresh):
            null[i, j] = watermark_score(gradient, draw.normal(0.0, sigma, gradient.shape), sigma)
        squares, count = squares + float(np.square(own, dtype=np.float64).sum()), count + own.size
    # the variance of n draws has a relative standard error of sqrt(2 / n)
    if count and abs(squares / count / sigma**2 - 1) > STD_TOLERANCE * math.sqrt(2 / count):
        raise AntivenomError(
            f"the stored noise has a spread of {math.sqrt(squares / count):.4g}, its record says sigma {sigma:.4g}",
            "use the noise and the sigma of one and the same run",
        )
    return WatermarkScores(marked, null, sigma)


@dataclass(frozen=True)
class WatermarkReport:
    """Marked against fresh noise.

    Args:
        n: marked sequences.
        mean, std, z, p: of the marked scores; p is two-sided.
        fresh_mean, fresh_std, fresh_z: of the null set.
        tpr: marked sequences below the threshold.
        threshold, fpr: the score that at most `limit` of the null set are below, and how many are.
        missing: sequences with a gradient of 0.
        sign: of the mean of a marked set.
    """

    n: int
    mean: float
    std: float
    z: float
    p: float
    fresh_mean: float
    fresh_std: float
    fresh_z: float
    tpr: Rate
    threshold: float
    fpr: float
    missing: int
    sign: str = "negative when marked"


def watermark_report(scores: WatermarkScores, limit: float = 0.01) -> WatermarkReport:
    """Mean, spread, z-test and TPR at `limit` FPR.

    Raises:
        AntivenomError: for fewer than two scores.
    """
    marked = scores.marked[~np.isnan(scores.marked)]
    null = scores.fresh[~np.isnan(scores.fresh)]
    if len(marked) < 2 or len(null) < 2:
        raise AntivenomError(f"{len(marked)} marked and {len(null)} fresh scores", "give two at least of each")
    share, fpr, threshold = tpr_at_fpr(-marked, -null, limit)
    assert share is not None
    assert fpr is not None
    assert threshold is not None
    z = _z(marked)
    return WatermarkReport(
        len(marked), float(marked.mean()), float(marked.std(ddof=1)), z, 2 * NormalDist().cdf(-abs(z)),
        float(null.mean()), float(null.std(ddof=1)), _z(null),
        Rate(round(share * len(marked)), len(marked), "marked sequences"), -threshold, fpr, len(scores.marked) - len(marked),
    )  # fmt: skip


def _z(values: np.ndarray) -> float:
    return float(values.mean() / (values.std(ddof=1) / math.sqrt(len(values))))
