"""RoCLIP-style protected pre-training: now and then an image learns from the nearest caption of a pool instead of its own.

    ordinary epochs    L_MMCL(I, T)
    every k-th epoch   L_MMCL(I, T*),  t*_i = the pool's caption nearest to the pair; not in the first `warmup` epochs

The pool is a queue of captions of recent batches; what it holds was embedded when it went in. A poisoned image whose caption names
another class meets, in a matching epoch, a caption that fits what is seen: the pair never comes together often enough.

Nearest to what? `match="image"`: to I_i, as we remember the paper's abstract; `match="caption"`: to T_i, the other way to read
"replace each caption by its nearest neighbour in a pool" (spec 01, section 9). With captions that repeat word by word the latter
finds the same words again, and changes nothing.

Our reading, where the description is silent: captions found are embedded anew, so that both towers learn from them; the pool begins
empty and a matching epoch without a full pool uses what is there; `augmented` shows images and captions through their augmented
views in matching epochs (off). Published: k = 2; `warmup` is ours (0), for trainings of few epochs, in which an untrained tower's
nearest captions would be a good part of what is learnt. The pool, and the number of steps, are in the trained module.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from antivenom.errors import AntivenomError
from antivenom.models.clip import embed_texts
from antivenom.train.loop import Recipe, Training
from antivenom.train.objectives import VIEWS, clamp_logit_scale, mmcl_loss
from antivenom.train.pairs import PairSource
from antivenom.train.shelf import fit_on_shelf

__all__ = ["Pooled", "RoClip", "roclip"]


class Pooled(nn.Module):
    """A CLIP (changed in place) with a pool of captions.

    Args:
        clip: the model.
        size: captions in the pool.
        length: tokens of a caption.
        features: d.
    """

    tokens: Tensor
    rows: Tensor
    filled: Tensor
    steps: Tensor

    def __init__(self, clip: Any, size: int, length: int, features: int):
        super().__init__()
        self.clip = clip
        self.register_buffer("tokens", torch.zeros(size, length, dtype=torch.int64))
        self.register_buffer("rows", torch.zeros(size, features))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def nearest(self, rows: Tensor) -> Tensor:
        """Places in the pool of the nearest captions, int64 (n,); the first of equal ones."""
        there = min(int(self.filled), len(self.rows))
        return (rows.detach() @ self.rows[:there].T).argmax(1)

    def take(self, tokens: Tensor, rows: Tensor) -> None:
        """Put captions into the pool, over the oldest."""
        size = len(self.rows)
        place = (int(self.filled) + torch.arange(len(rows), device=rows.device)) % size
        self.tokens[place], self.rows[place] = tokens, rows.detach()
        self.filled += len(rows)


class RoClip:
    """The objective (see `train.objectives.Objective`) at the head of this file.

    Args:
        model: with the pool.
        per_epoch: steps of an epoch.
        every: k; 1 matches in every epoch.
        match: `image` or `caption`.
        augmented: whether matching epochs see augmented views; the batches must then hold them.
        warmup: epochs before the first that may match; the k-th after them is the first that does.

    Raises:
        AntivenomError: for k < 1, another match, or a negative warm-up.
    """

    def __init__(
        self,
        model: Pooled,
        per_epoch: int,
        *,
        every: int = 2,
        match: str = "image",
        augmented: bool = False,
        warmup: int = 0,
    ):
        if every < 1 or match not in ("image", "caption") or warmup < 0:
            raise AntivenomError(
                f"a pool that is asked every {every} epochs after {warmup} for the caption nearest to the {match}",
                "every >= 1; match image or caption; warmup >= 0",
            )
        self.model, self.per_epoch, self.every, self.match, self.augmented = model, per_epoch, every, match, augmented
        self.warmup = warmup
        self.views = VIEWS if augmented else ()

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """The loss of a batch; the record holds the share of rows whose caption was replaced by other words."""
        pool, clip = self.model, self.model.clip
        epoch = int(pool.steps) // self.per_epoch - self.warmup
        matching = epoch >= 0 and (epoch + 1) % self.every == 0 and int(pool.filled) > 0
        suffix = "_augmented" if matching and self.augmented else ""
        images = F.normalize(clip.encode_image(batch[f"images{suffix}"]), dim=1)
        tokens, words = batch["texts"], batch[f"texts{suffix}"]
        own = F.normalize(clip.encode_text(words), dim=1)
        texts, changed = own, torch.zeros(())
        if matching:
            found = pool.tokens[pool.nearest(images if self.match == "image" else own)]
            texts = F.normalize(clip.encode_text(found), dim=1)
            changed = (found != tokens).any(1).float().mean()
        pool.take(tokens, own)
        loss = mmcl_loss(images, texts, clip.logit_scale.exp())
        return loss, {"cross": loss.detach(), "replaced": changed, "scale": clip.logit_scale.detach().exp()}

    def after_step(self) -> None:
        """theta back into its bounds, and the step is counted."""
        clamp_logit_scale(self.model.clip.logit_scale)
        self.model.steps += 1

    def describe(self) -> dict[str, Any]:
        """The settings of the pool."""
        return {
            "objective": "roclip", "pool": len(self.model.rows), "every": self.every, "match": self.match,
            "augmented": self.augmented,
        } | ({"warmup": self.warmup} if self.warmup else {})  # fmt: skip


def roclip(
    clip: Any,
    images: np.ndarray,
    captions: Sequence[str],
    recipe: Recipe,
    *,
    pool: int | None = None,
    every: int = 2,
    match: str = "image",
    augmented: bool = False,
    warmup: int = 0,
    ids: Sequence[object] | None = None,
    shelf: Any = None,
) -> Training:
    """Pre-train a CLIP in place.

    Args:
        clip: with fresh weights.
        images, captions, ids: the pairs, poisons among them.
        recipe: of the training.
        pool: captions in the pool; by default 2 % of the pairs, at least a batch (our choice).
        every, match, augmented, warmup: see `RoClip`.
        shelf: a folder of trainings (see `train.shelf`).

    Raises:
        AntivenomError: for a pool without a caption, and as `RoClip` and `fit` do.
    """
    size = max(recipe.batch, len(images) // 50) if pool is None else pool
    if size < 1:
        raise AntivenomError(f"a pool of {size} captions", "give at least one")
    features = embed_texts(clip, captions[:1], device=recipe.device).shape[1]
    length = clip.tokenize(list(captions[:1])).shape[1]
    model = Pooled(clip, size, length, features)
    goal = RoClip(
        model, max(1, len(images) // recipe.batch), every=every, match=match, augmented=augmented, warmup=warmup
    )
    data = PairSource(clip, images, captions, views=goal.views, ids=ids, seed=recipe.seed)
    return fit_on_shelf(goal, data, recipe, shelf)
