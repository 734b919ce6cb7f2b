"""Cognitive distillation: the smallest part of an image that a model needs to see what it sees (Huang et al., ICLR 2023).

For every image x, with a mask m (one channel, h x w, values in (0, 1)) and a colour u drawn afresh at every step:

    x'   = m x + (1 - m) u
    L(m) = |f(x') - f(x)|_1 / d  +  alpha |m|_1 / (h w)  +  beta TV(m)
    TV   = sum of squared differences of neighbouring m / (h w)

made small by Adam over m = (tanh(r) + 1) / 2, r = 1 at first. f are unit image embeddings in evaluation mode. A trigger is little and
enough, so the mask of a poisoned image shrinks to it: the score is 1 - |m|_1 / (h w).

`distilled_area` computes |m|_1 / (h w) with the model (torch); the detector reads it from `Embeddings(..., masks=...)`, as all detectors
read what was computed before. Cost: `steps` forward and backward passes per image. Published: alpha .01 of the SUM of m, beta 1,
100 steps of rate .1, betas (.1, .1). Here alpha weighs the mean of m, so that the same alpha serves images of other sizes, and f has
length 1, so that it serves other models (our reading; the default was set on the small CLIP of the study `cleanclip`).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.models.clip import check_images
from antivenom.models.torch_runtime import require_torch, seeded
from antivenom.randomness import derive_seed
from antivenom.screen.embeddings.inputs import Embeddings

__all__ = ["ALPHA", "BETA", "CognitiveDistillation", "distilled_area", "distilled_masks", "mask_loss"]

ALPHA, BETA = 0.3, 1.0
STEPS, RATE, BETAS = 60, 0.1, (0.1, 0.1)
MOST = 1_000
"""Steps a mask may take: the work is bounded by images x steps."""


def mask_loss(features: Any, wanted: Any, mask: Any, alpha: float = ALPHA, beta: float = BETA) -> Any:
    """L(m) per image, (n,), of torch tensors.

    Args:
        features, wanted: (n, d), of the masked and of the whole images.
        mask: (n, 1, h, w).
        alpha, beta: weights.
    """
    pixels = mask.shape[2] * mask.shape[3]
    rough = (mask[:, :, 1:] - mask[:, :, :-1]).square().sum((1, 2, 3))
    rough = rough + (mask[:, :, :, 1:] - mask[:, :, :, :-1]).square().sum((1, 2, 3))
    apart = (features - wanted).abs().mean(1)
    return apart + alpha * mask.abs().sum((1, 2, 3)) / pixels + beta * rough / pixels


def distilled_masks(
    model: Any,
    images: np.ndarray,
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
    steps: int = STEPS,
    batch: int = 256,
    seed: int = 0,
    device: str = "cpu",
    n_threads: int | None = 1,
) -> np.ndarray:
    """The mask of every image, float32 (n, h, w).

    Args:
        model: a `models.clip.Clip`; it is not changed.
        images: uint8 (n, h, w, 3).
        alpha, beta: see the head of this file.
        steps: of Adam, at most 1,000.
        batch: images at a time; a mask depends on its image, its place and the seed, up to the last bits on the batch.
        seed: of the colours.
        device, n_threads: of torch.

    Raises:
        MissingExtra: when torch is not installed.
        AntivenomError: for other images, too many steps, and a model whose preprocessing has no gradient.
    """
    require_torch("cognitive distillation")
    import torch
    from torch.nn import functional as F

    from antivenom.models.pixel_gradient import PixelGradient

    pictures = check_images(images)
    if not 1 <= steps <= MOST or alpha < 0 or beta < 0:
        raise AntivenomError(
            f"masks of {steps} steps with alpha {alpha} and beta {beta}",
            f"from 1 to {MOST} steps, weights of at least 0",
        )
    n, height, width, _ = pictures.shape
    prepare, found = PixelGradient(model, height, width), np.empty((n, height, width), np.float32)
    modes = {module: module.training for module in model.modules()}
    frozen = [p for p in model.parameters() if p.requires_grad]
    model.eval()
    try:
        for p in frozen:
            p.requires_grad_(False)
        with seeded(derive_seed(seed, "cognitive distillation"), n_threads):
            for start in range(0, n, batch):
                part = np.ascontiguousarray(pictures[start : start + batch].transpose(0, 3, 1, 2))
                x = torch.from_numpy(part).to(device).float() / 255
                wanted = F.normalize(model.encode_image(prepare(x)), dim=1)
                raw = torch.ones(len(x), 1, height, width, device=device, requires_grad=True)
                adam = torch.optim.Adam([raw], lr=RATE, betas=BETAS)
                for _ in range(steps):
                    mask = (raw.tanh() + 1) / 2
                    colour = torch.rand(len(x), 3, 1, 1).to(device)
                    rows = F.normalize(model.encode_image(prepare(x * mask + (1 - mask) * colour)), dim=1)
                    adam.zero_grad()
                    mask_loss(rows, wanted, mask, alpha, beta).sum().backward()  # each mask has a loss of its own
                    adam.step()
                found[start : start + batch] = ((raw.detach().tanh() + 1) / 2)[:, 0].cpu().numpy()
    finally:
        for p in frozen:
            p.requires_grad_(True)
        for module, mode in modes.items():
            module.training = mode
    return found


def distilled_area(model: Any, images: np.ndarray, **options: Any) -> np.ndarray:
    """|m|_1 / (h w) of every image, float64 (n,) in [0, 1]; options and errors of `distilled_masks`."""
    return distilled_masks(model, images, **options).mean(axis=(1, 2), dtype=np.float64)


@dataclass(frozen=True)
class CognitiveDistillation:
    """1 - the share of the image that its mask keeps.

    Args:
        side: `small` masks are suspicious (a trigger is enough), or `large` ones (a trigger that covers the whole picture).
    """

    name: ClassVar[str] = "cognitive-distillation"
    side: str = "small"

    def __post_init__(self):
        if self.side not in ("small", "large"):
            raise AntivenomError(f"{self.name}:side={self.side}", "choose small or large")

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """1 - |m|_1 / (h w) or |m|_1 / (h w), (n,) float64; higher is more suspicious."""
        embeddings.spread("image", self.name)
        area = embeddings.need("masks", self.name).astype(np.float64)
        return 1 - area if self.side == "small" else area
