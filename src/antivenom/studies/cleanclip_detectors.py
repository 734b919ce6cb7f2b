"""Which detector finds the poisoned pairs by where the victim puts them? AUROC, and poisons found when the top share is removed.

antivenom study run cleanclip-detectors --size tiny --seeds 3

World, poison and victim are those of the study `cleanclip`; the treatments are the detectors of `screen/embeddings`, on the victim's
own embeddings of its training pairs. Classes of the detectors by class are those of the captions, as a defender has them: a poison is
in the target's class. Crops: four corners of three quarters of the side, put back to full size by nearest pixel. `random` knows nothing.

Source: spec 01, 6.1 (e) and section 9 (arXiv 2502.01385 for the density detectors).
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from antivenom.errors import MissingExtra
from antivenom.measure.embedding_detection import detection
from antivenom.models.torch_runtime import require_torch, threads
from antivenom.screen.embeddings.detectors import EMBEDDING_DETECTORS, parse
from antivenom.screen.embeddings.inputs import Embeddings
from antivenom.studies.cleanclip import DOSES, SIZES, TARGET, poisoned, victim, world
from antivenom.studies.frame import Cell, Response, SkipCell, study

__all__ = ["DETECTORS", "SHARES", "cleanclip_detectors", "corner_crops", "seen"]

SHARES = (0.01, 0.05, 0.10)
RANDOM = "as many rows removed at random"
DETECTORS = tuple(name for name in EMBEDDING_DETECTORS if name != "cognitive-distillation")
"""Cognitive distillation optimises a mask per image: minutes per dose, more than a study of this size may take (docs/cures.md)."""


@study(
    paper="CleanCLIP (arXiv 2303.03323); density detectors after arXiv 2502.01385",
    title="Which detector finds the poisoned pairs by where the victim puts them?",
    dose="poisoned pairs",
    of="training pairs",
    doses=tuple(dose for dose in DOSES if dose),
    treatments=DETECTORS,
    controls=("random",),
    sizes=SIZES,
)
def cleanclip_detectors(cell: Cell) -> Iterator[Response]:
    """Detectors on the embeddings of a poisoned CLIP's own training pairs."""
    try:
        require_torch("training a CLIP")
    except MissingExtra as missing:
        raise SkipCell(str(missing)) from None
    key = tuple(sorted(cell.settings.items()))
    embeddings, truth = seen(key, cell.dose, cell.seed, cell.cache_dir)
    scores = parse(cell.treatment).scores(embeddings)
    found = detection(cell.treatment, truth, scores, shares=SHARES, seed=cell.seed, resamples=200)
    share = {"dose_count": cell.dose, "dose_share": cell.dose / len(truth)}
    area = found.auroc
    yield Response("AUROC", area.value, len(truth), area.low, area.high, 0.5, "no knowledge", **share)
    for point in found.curve:
        rate = point.recall
        yield Response(
            f"poisons among the most suspicious {point.share:.0%}".replace("%", " %"),
            rate.value, rate.n, rate.low, rate.high, 1 - point.random_left / cell.dose, RANDOM, **share,
        )  # fmt: skip


@lru_cache(maxsize=2)
def seen(key: tuple, dose: int, seed: int, cache: str | None) -> tuple[Embeddings, np.ndarray]:
    """The victim's embeddings of its training pairs, and which of them are poisoned."""
    from antivenom.models.clip import embed_images, embed_texts

    train = world(key, seed)["train"]
    images, captions, rows = poisoned(train, dose, dict(key)["trigger"], seed)
    model = victim(key, dose, seed, cache)
    truth = np.zeros(len(train), bool)
    truth[rows] = True
    names = np.array(train.class_names)
    labels = names[train.labels].astype(object)
    labels[rows] = TARGET
    with threads(1):
        image, text = embed_images(model, images), embed_texts(model, captions)
        crops = np.stack([embed_images(model, crop) for crop in corner_crops(images)], axis=1)
    return Embeddings(image, text, crops, labels), truth


def corner_crops(images: np.ndarray, part: float = 0.75) -> list[np.ndarray]:
    """The four corner crops of uint8 images (n, h, w, 3), each of `part` of the sides and put back to full size."""
    _, height, width, _ = images.shape
    tall, wide = max(1, int(part * height)), max(1, int(part * width))
    down, right = np.arange(height) * tall // height, np.arange(width) * wide // width
    return [
        np.ascontiguousarray(images[:, top + down][:, :, left + right])
        for top in (0, height - tall)
        for left in (0, width - wide)
    ]
