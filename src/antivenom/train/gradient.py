"""The gradient of one step: in one pass, or in parts and on several processes.

    g = sum_k w_k g_k / sum_k w_k,      w_k = tokens that the loss of part k is a mean over (its figure `tokens`), or else its rows

so that a loss that is a mean over tokens or rows has the same gradient in parts as in one pass, however unevenly its tokens fall.
"""

import math
from typing import Any

import torch
from torch import Tensor

from antivenom.train.objectives import Objective
from antivenom.train.processes import OneProcess

__all__ = ["backward"]


def backward(
    objective: Objective, batch: dict[str, Tensor], parameters: list[Tensor], parts: int, place: OneProcess
) -> tuple[Tensor | float, dict[str, Any]]:
    """Leave the gradient of a batch in the parameters; its loss and figures (counts are added up, others averaged).

    On a CPU the loss is read at once, and one that is no number leaves no gradient: nobody has to wait there to look at it.
    """
    for parameter in parameters:
        parameter.grad = None
    if parts == 1 and place.world == 1:
        with place.autocast():
            loss, figures = objective.loss(batch)
        value = float(loss.detach()) if place.device.type == "cpu" else loss.detach()
        if isinstance(value, Tensor) or math.isfinite(value):
            loss.backward()
        return value, figures
    return _in_parts(objective, batch, parameters, parts, place)


def _in_parts(
    objective: Objective, batch: dict[str, Tensor], parameters: list[Tensor], parts: int, place: OneProcess
) -> tuple[Tensor, dict[str, Any]]:
    rows = len(next(iter(batch.values())))
    each = rows // parts
    weights, found = [], []
    for part in range(parts):
        cut = slice(part * each, (part + 1) * each)
        some = {name: value[cut] if value.ndim and len(value) == rows else value for name, value in batch.items()}
        with place.autocast():
            loss, figures = objective.loss(some)
        weight = torch.as_tensor(figures.get("tokens", each), dtype=torch.float32, device=place.device)
        (loss * weight).backward()
        weights.append(weight)
        found.append({"loss": loss.detach(), **figures})
    total = torch.stack(weights).sum()
    counts = {name for name, value in found[0].items() if _is_count(value)}
    sums = {
        name: torch.stack(
            [
                torch.as_tensor(f[name], dtype=torch.float32, device=place.device) * (1 if name in counts else w)
                for f, w in zip(found, weights, strict=True)
            ]
        ).sum()
        for name in found[0]
    }
    used = torch.tensor([float(p.grad is not None) for p in parameters], device=place.device)
    if place.world > 1:
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
    place.sum([total, used, *sums.values(), *(p.grad for p in parameters if p.grad is not None)])
    share = total.clamp(min=1.0)
    for parameter, n in zip(parameters, used.tolist(), strict=True):
        if not n:
            parameter.grad = None  # as in one pass: no gradient, no decay
        elif parameter.grad is not None:
            parameter.grad /= share
    merged = {name: value if name in counts else value / share for name, value in sums.items()}
    return merged.pop("loss"), merged


def _is_count(value: Any) -> bool:
    return not value.is_floating_point() if isinstance(value, Tensor) else isinstance(value, int)
