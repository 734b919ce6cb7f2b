"""Contrastive objectives on image-caption pairs: MMCL, SSL, their sum (CleanCLIP), SigLIP and SigLIP + SSL.

With unit rows I, T of images and captions, I', T' of their augmented views, and s = exp(theta) the model's logit scale:

    CE(A, B)  = mean_i -log( exp(s A_i B_i) / sum_j exp(s A_i B_j) )
    L_MMCL    = (CE(I, T) + CE(T, I)) / 2                             originals only
    L_SSL     = (CE(I, I') + CE(T, T')) / 2                           one direction: anchors are the originals
    L         = cross * L_MMCL + inmodal * L_SSL                      both 1 in CleanCLIP, not one half each
    L_SigLIP  = -mean_ij log sigmoid( z_ij (s I_i T_j + b) )          z = 1 on the diagonal, else -1

The SSL term has no projection head, no negatives among the anchors, and the temperature of the cross-modal term. Originals and
views go through an encoder in ONE pass of 2 N rows, so that batch normalisation sees both.

Source: spec 01, 2.2 (arXiv 2303.03323 and its code); SigLIP form of spec 04, 2.2.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from antivenom.errors import AntivenomError

__all__ = [
    "LOGIT_SCALE_MAX",
    "OBJECTIVES",
    "Contrastive",
    "Objective",
    "clamp_logit_scale",
    "full",
    "gather_rows",
    "info_nce",
    "join_shards",
    "make_objective",
    "mmcl_loss",
    "siglip_loss",
    "ssl_loss",
]

LOGIT_SCALE_MAX = math.log(100)
"""theta is kept in [0, ln 100] after every step, so that s is in [1, 100]."""
VIEWS = ("image", "text")


class Objective(Protocol):
    """A model and what it is to make small."""

    model: Any

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """The loss of a batch, and figures for the record; where the loss is a mean over tokens, `tokens` counts them."""
        ...

    def after_step(self) -> None:
        """What must hold after every step of the optimizer."""
        ...

    def describe(self) -> dict[str, Any]:
        """What determines the loss, as plain data."""
        ...


def full(x: Tensor) -> Tensor:
    """In float32, what autocast made half as long; anything else as it is."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def info_nce(anchors: Tensor, candidates: Tensor, scale: Tensor | float) -> Tensor:
    """CE(A, B): cross-entropy of every anchor's own candidate among all candidates.

    Args:
        anchors, candidates: (N, d), rows of unit length.
        scale: s, not theta.
    """
    return F.cross_entropy(full(scale * anchors @ candidates.T), torch.arange(len(anchors), device=anchors.device))


def mmcl_loss(images: Tensor, texts: Tensor, scale: Tensor | float) -> Tensor:
    """L_MMCL, the loss of CLIP: both directions, halved."""
    logits = full(scale * images @ texts.T)
    own = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def ssl_loss(views: Sequence[tuple[Tensor, Tensor]], scale: Tensor | float) -> Tensor:
    """L_SSL: the mean of CE(original, augmented) over the given modalities (both: one half each; one alone: in full)."""
    return torch.stack([info_nce(original, augmented, scale) for original, augmented in views]).mean()


def siglip_loss(
    images: Tensor, texts: Tensor, scale: Tensor | float, bias: Tensor | float = 0.0, *, mean: str = "pairs"
) -> Tensor:
    """L_SigLIP.

    Args:
        images, texts: (N, d), rows of unit length.
        scale: s.
        bias: b, added to every logit; the code of spec 04 has none.
        mean: `pairs` divides by N^2 (spec 04), `rows` by N, as the original does.
    """
    logits = full(scale * images @ texts.T) + bias
    signs = 2 * torch.eye(len(logits), dtype=logits.dtype, device=logits.device) - 1
    total = -F.logsigmoid(signs * logits).sum()
    return total / (len(logits) ** 2 if mean == "pairs" else len(logits))


def clamp_logit_scale(theta: Tensor) -> None:
    """Put theta into [0, ln 100], in place."""
    with torch.no_grad():
        theta.clamp_(0.0, LOGIT_SCALE_MAX)


def join_shards(shards: Sequence[Tensor], own: Tensor, rank: int) -> Tensor:
    """Rows of all ranks in rank order; only this rank's own rows carry a gradient.

    Averaged over W ranks the gradient of the encoders is 1 / W of the exact one, that of theta is exact (spec 01, 2.2).
    """
    return torch.cat([*(s.detach() for s in shards[:rank]), own, *(s.detach() for s in shards[rank + 1 :])])


def gather_rows(own: Tensor) -> Tensor:
    """The rows of all ranks (see `join_shards`); `own` itself where torch.distributed is not running."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return own
    shards = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(shards, own.detach().contiguous())
    return join_shards(shards, own, torch.distributed.get_rank())


class Contrastive:
    """cross * (MMCL or SigLIP) + inmodal * SSL.

    A batch is a dict: `images`, `texts`, and where the SSL term asks for them `images_augmented`, `texts_augmented`; what
    they hold goes to the model's `encode_image`, `encode_text` as it is.

    Args:
        model: a `models.clip.Clip`: `encode_image`, `encode_text` (not normalised), `logit_scale` (theta).
        cross: weight of the cross-modal term.
        inmodal: weight of the SSL term.
        views: modalities of the SSL term.
        loss: `mmcl` or `siglip`.
        siglip_mean: see `siglip_loss`; a parameter `logit_bias` of the model is its b.
        gather: makes the rows of all ranks of this rank's rows.

    Raises:
        AntivenomError: when nothing would be trained, or for an unknown view or loss.
    """

    def __init__(
        self,
        model: Any,
        *,
        cross: float = 1.0,
        inmodal: float = 0.0,
        views: Sequence[str] = VIEWS,
        loss: str = "mmcl",
        siglip_mean: str = "pairs",
        gather: Callable[[Tensor], Tensor] = gather_rows,
    ):
        if (cross <= 0 and inmodal <= 0) or min(cross, inmodal) < 0:
            raise AntivenomError(
                f"an objective with the weights cross = {cross}, inmodal = {inmodal}", "give one of them above 0"
            )
        if loss not in ("mmcl", "siglip") or siglip_mean not in ("pairs", "rows"):
            raise AntivenomError(
                f"there is no contrastive loss '{loss}' with mean '{siglip_mean}'", "mmcl, siglip; pairs, rows"
            )
        if inmodal > 0 and (not views or set(views) - set(VIEWS)):
            raise AntivenomError(f"an SSL term over the views {tuple(views)}", "choose from: image, text")
        self.model, self.cross, self.inmodal = model, cross, inmodal
        self.views = tuple(view for view in VIEWS if view in views) if inmodal > 0 else ()
        self.kind, self.siglip_mean, self.gather = loss, siglip_mean, gather

    def describe(self) -> dict[str, Any]:
        """The weights and kinds of the terms."""
        return {
            "objective": self.kind if self.cross > 0 else "ssl",
            "cross": self.cross,
            "inmodal": self.inmodal,
            "views": list(self.views),
            "siglip_mean": self.siglip_mean if self.kind == "siglip" else None,
        }

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """The loss of a batch; the record holds its parts before they are weighted, and s."""
        scale = self.model.logit_scale.exp()
        found: dict[str, Any] = {}
        rows = {
            view: self._rows(view, batch) for view in VIEWS if self.cross > 0 or view in self.views
        }  # (originals, views or None)
        terms = []
        if self.cross > 0:
            (images, _), (texts, _) = rows["image"], rows["text"]
            cross = (
                mmcl_loss(images, texts, scale)
                if self.kind == "mmcl"
                else siglip_loss(
                    images, texts, scale, getattr(self.model, "logit_bias", None) or 0.0, mean=self.siglip_mean
                )
            )
            found["cross"] = cross.detach()
            terms.append(cross if self.cross == 1 else self.cross * cross)
        if self.views:
            inmodal = ssl_loss([(rows[view][0], rows[view][1]) for view in self.views], scale)
            found["inmodal"] = inmodal.detach()
            terms.append(inmodal if self.inmodal == 1 else self.inmodal * inmodal)
        total = terms[0] if len(terms) == 1 else terms[0] + terms[1]
        return total, found | {"scale": scale.detach()}

    def _rows(self, view: str, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        encode = self.model.encode_image if view == "image" else self.model.encode_text
        original = batch[f"{view}s"]
        if view not in self.views:
            return self.gather(F.normalize(full(encode(original)), dim=1)), None
        key = f"{view}s_augmented"
        if key not in batch:
            raise AntivenomError(f"the SSL term needs '{key}', and the batch has none", "give the data augmented views")
        both = F.normalize(full(encode(torch.cat([original, batch[key]]))), dim=1)
        first, second = both[: len(original)], both[len(original) :]
        return self.gather(first), self.gather(second)

    def after_step(self) -> None:
        """theta back into its bounds."""
        clamp_logit_scale(self.model.logit_scale)


OBJECTIVES: dict[str, dict[str, Any]] = {
    "mmcl": {},
    "ssl": {"cross": 0.0, "inmodal": 1.0},
    "ssl-image": {"cross": 0.0, "inmodal": 1.0, "views": ("image",)},
    "ssl-text": {"cross": 0.0, "inmodal": 1.0, "views": ("text",)},
    "mmcl+ssl": {"inmodal": 1.0},
    "siglip": {"cross": 0.1, "loss": "siglip"},
    "siglip+ssl": {"cross": 0.1, "inmodal": 1.0, "loss": "siglip"},
}
"""Objectives by name, with the weights of the published code; SigLIP's 0.1 is the weight of spec 04."""


def make_objective(name: str, model: Any, **options: Any) -> Contrastive:
    """An objective by name; `options` (see `Contrastive`) on top of its own.

    Raises:
        AntivenomError: when there is none of that name.
    """
    if name not in OBJECTIVES:
        raise AntivenomError(f"there is no objective '{name}'", f"choose from: {', '.join(OBJECTIVES)}")
    return Contrastive(model, **(OBJECTIVES[name] | options))
