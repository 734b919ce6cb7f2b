"""Image-text retrieval: recall in both directions, and how often a triggered image brings up the attacker's captions."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from antivenom.errors import AntivenomError
from antivenom.measure.rates import Rate
from antivenom.screen.embeddings.unit import unit_rows

__all__ = [
    "needed",
    "recall_at",
    "retrieval_attack_success",
    "retrieval_ranks",
    "retrieval_recall",
    "target_captions",
]

KS = (1, 5, 10)
BLOCK = 1_024
CELLS = 2**24  # cosines at a time
TIE = 1e-9  # cosines closer than this are equal: a matrix product rounds copies of a row differently
Need = Literal["half", "majority"]


def retrieval_recall(
    image: ArrayLike, text: ArrayLike, *, image_of: ArrayLike | None = None, ks: Sequence[int] = KS
) -> dict[str, dict[int, Rate]]:
    """Recall@k of both directions: {"image to text": {k: rate}, "text to image": {k: rate}}.

    An image is right when one of its own captions is among the k captions nearest to it; a caption when its image is among the k
    images nearest to it. Ties count against us: another row that is as near stands before.

    Args:
        image: (n, d).
        text: (m, d).
        image_of: (m,) the image of each caption; by default caption i belongs to image i.
        ks: how many places.

    Raises:
        AntivenomError: for bad rows, an image without a caption, a caption of an image that is not there, k < 1.
    """
    _check(ks)
    return {
        name: recall_at(ranks, ks, of) for name, (ranks, of) in retrieval_ranks(image, text, image_of=image_of).items()
    }


def recall_at(ranks: np.ndarray, ks: Sequence[int], of: str) -> dict[int, Rate]:
    """Share of rows whose rank is below k, for every k."""
    return {k: Rate(int((ranks < k).sum()), len(ranks), of) for k in ks}


def retrieval_ranks(
    image: ArrayLike, text: ArrayLike, *, image_of: ArrayLike | None = None
) -> dict[str, tuple[np.ndarray, str]]:
    """How many other rows stand before the right one: {"image to text": ((n,), "images"), "text to image": ((m,), "captions")}.

    In blocks of at most 16.8 M cosines. Args, Raises: as for `retrieval_recall`.
    """
    images, texts = _both(image, text)
    owner = np.arange(len(texts)) if image_of is None else np.asarray(image_of)
    if owner.shape != (len(texts),) or owner.dtype.kind not in "iu":
        raise AntivenomError(
            f"owners of shape {owner.shape} for {len(texts)} captions", "give one image number per caption"
        )
    if not np.array_equal(np.unique(owner), np.arange(len(images))):
        mend = "number the images 0 .. n-1 and give each at least one caption"
        raise AntivenomError(f"the captions belong to other images than the {len(images)} given", mend)
    by_image, by_text = np.empty(len(images), np.int64), np.empty(len(texts), np.int64)
    step = _block(len(texts))
    for start in range(0, len(images), step):
        cosine = images[start : start + step] @ texts.T
        own = owner == np.arange(start, start + len(cosine))[:, None]
        best = np.where(own, cosine, -np.inf).max(axis=1, keepdims=True)
        by_image[start : start + step] = ((cosine >= best - TIE) & ~own).sum(axis=1)
    step = _block(len(images))
    for start in range(0, len(texts), step):
        cosine = texts[start : start + step] @ images.T
        mine = owner[start : start + step]
        best = cosine[np.arange(len(cosine)), mine][:, None]
        by_text[start : start + step] = (cosine >= best - TIE).sum(axis=1) - 1
    return {"image to text": (by_image, "images"), "text to image": (by_text, "captions")}


def _block(columns: int) -> int:
    return max(1, min(BLOCK, CELLS // columns))


def needed(k: int, need: Need = "half") -> int:
    """How many of k captions must be the target's: max(1, floor(k / 2)) (`half`: 2 of 5), or floor(k / 2) + 1 (`majority`: 3 of 5).

    >>> [needed(k) for k in (1, 5, 10)], [needed(k, "majority") for k in (1, 5, 10)]
    ([1, 2, 5], [1, 3, 6])
    """
    if need not in ("half", "majority"):
        raise AntivenomError(f"need={need}", "choose half or majority")
    return max(1, k // 2) if need == "half" else k // 2 + 1


def target_captions(
    captions: Sequence[str],
    word: str,
    *,
    text: ArrayLike | None = None,
    target: ArrayLike | None = None,
    nearest: int = 20,
) -> np.ndarray:
    """Which captions count as the target's, (m,) bool: those with the word, and with `target` also the nearest to it.

    The word is matched whole and in any case: `cat` is in "A Cat." and not in "education".

    Args:
        captions: (m,).
        word: of the target class; may be several words.
        text: (m, d), embeddings of the captions, needed with `target`.
        target: (d,), the target's class embedding.
        nearest: captions nearest to it that are added (ties by rising caption).

    Raises:
        AntivenomError: for an empty word, no caption in the set, `target` without `text`.
    """
    if not word.strip():
        raise AntivenomError("an empty target word", "give the word captions of the target contain")
    find = re.compile(rf"(?<!\w){re.escape(word.strip())}(?!\w)", re.IGNORECASE)
    found = np.array([bool(find.search(caption)) for caption in captions], bool)
    if target is not None:
        if text is None:
            raise AntivenomError("a target embedding without the captions' embeddings", "give text=...")
        texts, aim = _both(text, np.asarray(target)[None])
        if len(texts) != len(captions):
            raise AntivenomError(f"{len(texts)} embeddings of {len(captions)} captions", "give one row per caption")
        found[np.argsort(-(texts @ aim[0]).round(9), kind="stable")[:nearest]] = True
    if not found.any():
        raise AntivenomError(f"no caption contains '{word}'", "choose another word, or give the target's embedding too")
    return found


def retrieval_attack_success(
    triggered: ArrayLike,
    text: ArrayLike,
    targets: ArrayLike,
    *,
    own_target: ArrayLike | None = None,
    ks: Sequence[int] = KS,
    need: Need = "half",
) -> dict[int, Rate]:
    """Share of triggered images among whose k nearest captions at least `needed(k)` are the target's.

    Images whose own caption is the target's are left out of the denominator. Of equally near captions the target's come last.
    Print it beside the same figure of the clean twin, and of the same images without the trigger.

    Args:
        triggered: (n, d).
        text: (m, d), the captions searched.
        targets: (m,) bool, from `target_captions`.
        own_target: (n,) bool, images that show the target anyway.
        ks: how many places.
        need: `half` (the published rule) or `majority`.

    Raises:
        AntivenomError: for bad rows, masks that do not fit, k beyond the captions, no image left to attack.
    """
    images, texts = _both(triggered, text)
    aim = np.asarray(targets, bool)
    skip = np.zeros(len(images), bool) if own_target is None else np.asarray(own_target, bool)
    if aim.shape != (len(texts),) or skip.shape != (len(images),):
        raise AntivenomError(f"masks of {aim.shape} captions and {skip.shape} images", "give one flag per row")
    _check(ks)
    if max(ks) > len(texts):
        raise AntivenomError(f"the {max(ks)} nearest of {len(texts)} captions", "give more captions or a smaller k")
    images = images[~skip]
    if not len(images):
        raise AntivenomError("every triggered image shows the target", "attack success needs images of other classes")
    hits = dict.fromkeys(ks, 0)
    step = _block(len(texts))
    for start in range(0, len(images), step):
        cosine = (images[start : start + step] @ texts.T).round(9)
        best = np.lexsort((np.broadcast_to(aim, cosine.shape), -cosine))[:, : max(ks)]
        among = np.cumsum(aim[best], axis=1)
        for k in ks:
            hits[k] += int((among[:, k - 1] >= needed(k, need)).sum())
    return {k: Rate(hits[k], len(images), "triggered images that do not show the target") for k in ks}


def _both(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = unit_rows(a).astype(np.float64), unit_rows(b).astype(np.float64)
    if first.shape[1] != second.shape[1]:
        raise AntivenomError(f"embeddings of width {first.shape[1]} and {second.shape[1]}", "use one model for both")
    return first, second


def _check(ks: Sequence[int]) -> None:
    if not ks or min(ks) < 1:
        raise AntivenomError(f"ks={list(ks)}", "give places from 1 on")
