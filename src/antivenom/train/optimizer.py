"""Which parameters decay, and the optimizer made of that (spec 01, 2.5)."""

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["NO_DECAY", "NO_DECAY_SUPERVISED", "adamw", "parameter_groups"]

NO_DECAY = ("bn", "ln", "bias", "logit_scale")
"""Parts of names without weight decay in contrastive training. By name, not by shape: a ViT's `class_embedding`,
`positional_embedding` and `proj` decay, and so do the norms of a ResNet's `downsample`, and of models that call them `norm`."""
NO_DECAY_SUPERVISED = ("bias",)
"""In the supervised cure of the published code: the weights of norms decay there."""


def parameter_groups(
    named: Iterable[tuple[str, Any]], weight_decay: float, no_decay: Sequence[str] = NO_DECAY
) -> list[dict[str, Any]]:
    """Two groups: names that contain one of `no_decay` (decay 0), and all others; a group without parameters is left out.

    Args:
        named: (name, parameter); frozen parameters are left out.
        weight_decay: of the other group.
        no_decay: parts of names, case-sensitive.
    """
    trained = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    free = [parameter for name, parameter in trained if any(part in name for part in no_decay)]
    rest = [parameter for name, parameter in trained if not any(part in name for part in no_decay)]
    groups = [{"params": free, "weight_decay": 0.0}, {"params": rest, "weight_decay": float(weight_decay)}]
    return [group for group in groups if group["params"]]


def adamw(
    model: Any,
    *,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    no_decay: Sequence[str] = NO_DECAY,
    fused: bool = False,
) -> Any:
    """torch's AdamW over `parameter_groups`, always fresh: a cure must not inherit the moments and the hyper-parameters of the
    training that planted the backdoor (spec 01, T5)."""
    import torch

    groups = parameter_groups(model.named_parameters(), weight_decay, no_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, **({"fused": True} if fused else {}))
