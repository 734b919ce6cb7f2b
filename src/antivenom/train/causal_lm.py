"""Next-token objective of a causal language model, with the options of the OLMo recipe and the goldfish defence.

    L = mean over predicted (b, t) of  -log softmax(logits_{b,t})[x_{b,t+1}]  +  z mean (log sum_v exp logits_{b,t,v})^2

`mask` of a batch says which tokens are learned: (B, T) per token, or (B,) per row. A token is predicted when its mask is true and the
goldfish loss does not drop it; the first token of a row has nothing before it and is never predicted.

Goldfish (Hans et al. 2024): a target token is dropped from the loss when the hash of the h tokens before it falls below 1 / k; the same
passage then loses the same tokens every time it is seen, wherever it stands, and cannot be learned by heart. The first h tokens of a
row are always learned, because their context is not whole.

Source: spec 02, 2.6 (z-loss 1e-5), 5 (trap 7), 9 (goldfish).
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from antivenom.errors import AntivenomError
from antivenom.train.objectives import full

__all__ = ["NO_DECAY_OLMO", "CausalLanguageModel", "Goldfish", "goldfish_drops"]

IGNORED = -100
NO_DECAY_OLMO = ("embedding",)
"""Parts of names without weight decay in the OLMo recipe: embeddings; norms decay there (give it to `Recipe.no_decay`)."""


@dataclass(frozen=True)
class Goldfish:
    """One of k tokens is dropped, by the hash of the h tokens before it."""

    k: int = 4
    h: int = 13

    def __post_init__(self) -> None:
        """Refuse what drops everything."""
        if self.k < 2 or self.h < 1:
            raise AntivenomError(f"a goldfish loss with k = {self.k}, h = {self.h}", "give k >= 2 and h >= 1")


def goldfish_drops(tokens: Tensor, goldfish: Goldfish) -> Tensor:
    """(B, T) int64 -> (B, T) bool, True for the tokens that are dropped from the loss.

    A polynomial of the h tokens before, in wrapping 64-bit arithmetic, mixed; its upper 31 bits / 2^31 < 1 / k.
    """
    drops = torch.zeros_like(tokens, dtype=torch.bool)
    h = goldfish.h
    if tokens.shape[1] <= h:
        return drops
    power, powers = 1, []
    for _ in range(h):
        powers.append(power - (1 << 64) if power >= 1 << 63 else power)
        power = power * 0x9E3779B97F4A7C15 % (1 << 64)
    before = (tokens[:, :-1] + 1).unfold(1, h, 1)  # window i: tokens i .. i + h - 1, which stand before token i + h
    x = (before * torch.tensor(powers, device=tokens.device)).sum(-1)
    for _ in range(2):
        x = (x ^ ((x >> 32) & 0xFFFFFFFF)) * -0x4B47D0C5A1A6A1B5
    drops[:, h:] = ((x >> 33) & 0x7FFFFFFF) < (1 << 31) // goldfish.k
    return drops


class CausalLanguageModel:
    """The objective of a `CausalLM` (see `train.loop.Objective`).

    Args:
        model: what learns.
        z_loss: weight z of the squared log-normaliser; 0 leaves it out (OLMo: 1e-5).
        goldfish: drop tokens from the loss.
    """

    def __init__(self, model: Any, z_loss: float = 0.0, goldfish: Goldfish | None = None):
        if z_loss < 0:
            raise AntivenomError(f"a z-loss with the weight {z_loss}", "give 0 or more (OLMo: 1e-5)")
        self.model, self.z_loss, self.goldfish = model, z_loss, goldfish

    def targets(self, batch: dict[str, Tensor]) -> tuple[Tensor, int]:
        """(B, T) int64: the token to be predicted at every place, -100 for none; and how many the goldfish loss dropped."""
        tokens = batch["tokens"]
        # the logits stay whole and contiguous: cutting off their last place would copy them
        found = F.pad(tokens[:, 1:], (0, 1), value=IGNORED)
        dropped = 0
        mask = batch.get("mask")
        if mask is not None:
            learned = mask.bool()[:, None].expand_as(tokens) if mask.ndim == 1 else mask.bool()
            found = found.masked_fill(~F.pad(learned[:, 1:], (0, 1)), IGNORED)
        if self.goldfish is not None:
            drops = F.pad(goldfish_drops(tokens, self.goldfish)[:, 1:], (0, 1))
            dropped = int((drops & (found != IGNORED)).sum())
            found = found.masked_fill(drops, IGNORED)
        return found, dropped

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """The loss of `tokens` (B, T), with optional `noise` (B, T, d) on the embeddings and `mask`; a batch without any token
        to predict has the loss 0.

        The record holds the cross-entropy, and where they are on the z-loss and the dropped tokens; `tokens` counts the predicted.
        """
        targets, dropped = self.targets(batch)
        logits = self.model(batch["tokens"], noise=batch.get("noise"))
        flat, wanted = full(logits).reshape(-1, logits.shape[-1]), targets.reshape(-1)
        whole = batch.get("mask") is None and self.goldfish is None and len(wanted) > len(targets)
        n: Any = len(wanted) - len(targets) if whole else (wanted != IGNORED).sum()
        many = n if whole else n.clamp(min=1)
        entropy = F.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="sum") / many
        figures: dict[str, Any] = {"ce": entropy.detach(), "tokens": n}
        total = entropy
        if self.z_loss:
            z = self.z_loss * (flat.logsumexp(-1).square() * (wanted != IGNORED)).sum() / many
            figures["z"] = z.detach()
            total = total + z
        if self.goldfish is not None:
            figures["dropped"] = dropped
        return total, figures

    def after_step(self) -> None:
        """Nothing is bounded."""

    def describe(self) -> dict[str, Any]:
        """What determines the loss, and the model it trains."""
        return {
            "objective": "causal-lm",
            "z_loss": self.z_loss,
            "goldfish": None if self.goldfish is None else asdict(self.goldfish),
            "model": self.model.describe(),
        }
