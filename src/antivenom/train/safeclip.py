"""SafeCLIP-style protected pre-training: captions are believed only of pairs that a model which has not learned them yet finds right.

    1  warm-up     `warmup` epochs in-modality alone: L_nn(images) + L_nn(captions), halved; no caption meets an image
    2  first look  one epoch of L_MMCL over all pairs at a small rate
    3  split       cosines I_i . T_i of all pairs; mixture of two Gaussians; safe = posterior of the higher one >= `believe`
    4  training    L = L_MMCL(safe rows of the batch) + L_SSL(risky rows); after each epoch the cosines are taken again and the
                   safe rows are the best `share` of them, share growing by `growth` per epoch up to `most`

    L_nn(X)      = CE(NN(x_i), x'_i): the nearest row of a memory bank takes the place of the anchor, x' the augmented view

A poison of another class than its caption's looks badly aligned to a model of stage 2, and stays risky. Weights, bank, split and
the number of steps are in the trained module, so that a resumed run goes on exactly.

What the description (spec 01, section 9: SafeCLIP, ICML 2024) does not say is our reading: the bank replaces anchors (nearest
neighbours of a queue), a fresh optimizer per stage, the temperature is the model's own, rows after the first split are ranked by
cosine, both terms of stage 4 have weight 1. Published: 5 epochs of warm-up, rate 5e-6 in stage 2 (of 5e-4), .9, 1 %, 85 %.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from antivenom.errors import AntivenomError
from antivenom.models.clip import embed_images, embed_texts
from antivenom.randomness import derive_seed
from antivenom.train.loop import Recipe
from antivenom.train.numbered import Numbered
from antivenom.train.objectives import VIEWS, clamp_logit_scale, info_nce, make_objective, mmcl_loss, ssl_loss
from antivenom.train.pairs import PairSource
from antivenom.train.shelf import fit_on_shelf

__all__ = ["BankSSL", "Guarded", "SafeAndRisky", "SafeClip", "Split", "believed", "safeclip"]


@dataclass(frozen=True)
class SafeClip:
    """How SafeCLIP guards.

    Args:
        warmup: epochs of stage 1.
        first_rate: rate of stage 2, as a share of the recipe's.
        believe: least posterior of the first split.
        growth: of the safe share, per epoch.
        most: largest safe share.
        bank: rows of the memory bank; 0 for the plain SSL term.
    """

    warmup: int = 5
    first_rate: float = 0.01
    believe: float = 0.9
    growth: float = 0.01
    most: float = 0.85
    bank: int = 1_024

    def __post_init__(self) -> None:
        """Refuse settings without sense."""
        shares = (self.believe, self.growth, self.most)
        if self.warmup < 1 or self.bank < 0 or self.first_rate <= 0 or not all(0 <= s <= 1 for s in shares):
            raise AntivenomError(f"{self}", "at least one epoch of warm-up; shares lie in [0, 1], the rate is above 0")


def believed(cosines: np.ndarray, least: float = 0.9, *, seed: int = 0) -> np.ndarray:
    """Which cosines belong to the higher of two Gaussians with posterior >= `least`, (n,) bool.

    A row below the lower mean is never believed, however wide the higher Gaussian is (our reading).

    Raises:
        AntivenomError: for cosines that are not finite, or nearly all equal: there is no mixture.
    """
    from sklearn.mixture import GaussianMixture

    x = np.asarray(cosines, np.float64)
    if not np.isfinite(x).all() or len(x) < 4 or x.std() < 1e-6:
        raise AntivenomError(
            f"{len(x)} cosines with a spread of {x.std():.1e}", "train the first look longer, or at a higher rate"
        )
    mixture = GaussianMixture(2, random_state=derive_seed(seed, "safe or risky") % 2**32).fit(x[:, None])
    means = np.asarray(mixture.means_).ravel()
    high = int(means.argmax())
    return (mixture.predict_proba(x[:, None])[:, high] >= least) & (x > means.min())


class Guarded(nn.Module):
    """A CLIP (changed in place) with what the guard remembers.

    Args:
        clip: the model.
        rows: of the data.
        features: d.
        bank: rows of each memory bank.
    """

    safe: Tensor
    bank_image: Tensor
    bank_text: Tensor
    filled: Tensor
    steps: Tensor

    def __init__(self, clip: Any, rows: int, features: int, bank: int):
        super().__init__()
        self.clip = clip
        self.register_buffer("safe", torch.ones(rows, dtype=torch.bool))
        for view in VIEWS:
            self.register_buffer(f"bank_{view}", torch.zeros(bank, features))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def nearest(self, view: str, rows: Tensor) -> Tensor:
        """The nearest row of the bank to each row; the rows themselves while the bank is empty. No gradient."""
        there = min(int(self.filled), len(self.bank_image))
        if not there:
            return rows.detach()
        bank = getattr(self, f"bank_{view}")[:there]
        return bank[(rows.detach() @ bank.T).argmax(1)]

    def remember(self, images: Tensor, texts: Tensor) -> None:
        """Put rows into the banks, over the oldest."""
        size = len(self.bank_image)
        if not size:
            return
        with torch.no_grad():
            place = (int(self.filled) + torch.arange(len(images), device=images.device)) % size
            self.bank_image[place], self.bank_text[place] = images.detach(), texts.detach()
            self.filled += len(images)


def _views(clip: Any, batch: dict[str, Tensor], seen: Tensor | None = None) -> dict[str, tuple[Tensor, Tensor]]:
    """view -> (unit rows of the originals, of the augmented views of the rows `seen`, or of all); one pass of both."""
    found = {}
    for view, encode in (("image", clip.encode_image), ("text", clip.encode_text)):
        first, second = batch[f"{view}s"], batch[f"{view}s_augmented"]
        rows = F.normalize(encode(torch.cat([first, second if seen is None else second[seen]])), dim=1)
        found[view] = (rows[: len(first)], rows[len(first) :])
    return found


def _towers(clip: Any, batch: dict[str, Tensor], suffix: str = "") -> dict[str, Tensor]:
    """view -> unit rows of the originals, or of the views of that suffix."""
    return {
        "image": F.normalize(clip.encode_image(batch[f"images{suffix}"]), dim=1),
        "text": F.normalize(clip.encode_text(batch[f"texts{suffix}"]), dim=1),
    }


class BankSSL:
    """Stage 1: (L_nn(images) + L_nn(captions)) / 2; without a bank it is L_SSL."""

    def __init__(self, model: Guarded):
        self.model = model

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """The loss of a batch with views; then the bank takes the originals in."""
        scale = self.model.clip.logit_scale.exp()
        if len(self.model.bank_image) and int(self.model.filled):
            # the candidates carry the gradient: an anchor out of the bank has none, and the original only looks for it
            with torch.no_grad():
                first = _towers(self.model.clip, batch)
            second = _towers(self.model.clip, batch, "_augmented")
            total = torch.stack(
                [info_nce(self.model.nearest(view, first[view]), second[view], scale) for view in VIEWS]
            ).mean()
        else:
            rows = _views(self.model.clip, batch)
            total = ssl_loss(list(rows.values()), scale)
            first = {view: original for view, (original, _) in rows.items()}
        self.model.remember(first["image"], first["text"])
        return total, {"inmodal": total.detach(), "bank": self.model.filled.clamp(max=len(self.model.bank_image))}

    def after_step(self) -> None:
        """theta back into its bounds."""
        clamp_logit_scale(self.model.clip.logit_scale)

    def describe(self) -> dict[str, Any]:
        """Its name and the size of the bank."""
        return {"objective": "ssl with bank", "bank": len(self.model.bank_image), "passes": "apart"}


Split = Callable[[int, Any], np.ndarray]
"""(epochs done in stage 4, CLIP) -> which rows are safe, (n,) bool."""


class SafeAndRisky:
    """Stage 4: L_MMCL over the safe rows of the batch + L_SSL over its risky rows.

    Args:
        model: its `safe` says which rows are which.
        per_epoch: steps of an epoch.
        split: asked after every epoch; None keeps the split.
        key: what the split depends on, for `describe`.
    """

    def __init__(self, model: Guarded, per_epoch: int, split: Split | None = None, key: Sequence[Any] = ()):
        self.model, self.per_epoch, self.split, self.key = model, per_epoch, split, list(key)

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """The loss of a batch with views and `rows`; a part with fewer than two rows counts nothing."""
        safe = self.model.safe[batch["rows"]]
        # a safe row has no use for its augmented view, and one risky row alone has nothing to be told from
        apart = ~safe if int((~safe).sum()) >= 2 else torch.zeros_like(safe)
        rows, scale = _views(self.model.clip, batch, apart), self.model.clip.logit_scale.exp()
        total, found = 0.0 * rows["image"][0].sum(), {"safe": safe.float().mean()}
        if int(safe.sum()) >= 2:
            cross = mmcl_loss(rows["image"][0][safe], rows["text"][0][safe], scale)
            total, found["cross"] = total + cross, cross.detach()
        if apart.any():
            inmodal = ssl_loss([(first[apart], second) for first, second in rows.values()], scale)
            total, found["inmodal"] = total + inmodal, inmodal.detach()
        return total, found

    def after_step(self) -> None:
        """theta back into its bounds; at the end of an epoch the rows are split again."""
        clamp_logit_scale(self.model.clip.logit_scale)
        self.model.steps += 1
        done, rest = divmod(int(self.model.steps), self.per_epoch)
        if self.split and rest == 0:
            self.model.safe.copy_(torch.from_numpy(self.split(done, self.model.clip)))

    def describe(self) -> dict[str, Any]:
        """Its name and what the split depends on."""
        return {"objective": "safe and risky", "views": "risky", "split": self.key}


def safeclip(
    clip: Any,
    images: np.ndarray,
    captions: Sequence[str],
    recipe: Recipe,
    *,
    how: SafeClip | None = None,
    ids: Sequence[object] | None = None,
    shelf: Any = None,
    after_split: Callable[[int, np.ndarray], None] | None = None,
) -> np.ndarray:
    """Pre-train a CLIP in place.

    Args:
        clip: with fresh weights.
        images, captions, ids: the pairs, poisons among them.
        recipe: of stage 4; its epochs are those of stage 4, stages 1 and 2 come on top.
        how: see `SafeClip`.
        shelf: a folder of trainings (see `train.shelf`).
        after_split: is told the epochs of stage 4 done and the safe rows, at every split that this call makes.

    Returns:
        the last split, (n,) bool: the safe rows.

    Raises:
        AntivenomError: when the first split believes fewer than two rows per batch, and as `fit` does.
    """
    how = how or SafeClip()
    source = PairSource(clip, images, captions, views=VIEWS, ids=ids, seed=recipe.seed)
    data = Numbered(source)
    features = embed_images(clip, images[:1], device=recipe.device).shape[1]
    model, per_epoch = Guarded(clip, len(images), features, how.bank), max(1, len(images) // recipe.batch)

    def cosines(trained: Any) -> np.ndarray:
        image, text = (
            embed_images(trained, images, device=recipe.device),
            embed_texts(trained, captions, device=recipe.device),
        )
        return (image.astype(np.float64) * text).sum(1)

    def split(done: int, trained: Any) -> np.ndarray:
        count = int(min(max(how.most, first.mean()), first.mean() + how.growth * done) * len(images))
        order = np.argsort(-cosines(trained), kind="stable")
        safe = np.zeros(len(images), bool)
        safe[order[:count]] = True
        if after_split:
            after_split(done, safe.copy())
        return safe

    def stage(name: str) -> Recipe:
        shorter = replace(
            recipe, warmup=min(recipe.warmup, per_epoch // 2), seed=derive_seed(recipe.seed, name) % 2**31
        )
        return replace(shorter, epochs=how.warmup if name == "warm-up" else 1)

    fit_on_shelf(BankSSL(model), data, stage("warm-up"), shelf)
    look = replace(stage("first look"), lr=recipe.lr * how.first_rate)
    fit_on_shelf(
        make_objective("mmcl", clip), PairSource(clip, images, captions, ids=ids, seed=recipe.seed), look, shelf
    )
    first = believed(cosines(clip), how.believe, seed=recipe.seed)
    if first.mean() * recipe.batch < 2:  # a batch of stage 4 would hold nothing to tell a caption from
        raise AntivenomError(
            f"{int(first.sum())} of {len(images)} pairs are believed at first",
            "train the first look at a higher rate (first_rate), or believe more (believe)",
        )
    if after_split:
        after_split(0, first.copy())
    model.safe.copy_(torch.from_numpy(first))
    fit_on_shelf(SafeAndRisky(model, per_epoch, split, [how.growth, how.most]), data, recipe, shelf)
    return model.safe.cpu().numpy()
