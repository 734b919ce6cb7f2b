"""Image against caption, and image against its own crops (CleanCLIP's repository; Carlini & Terzis 2022).

Cosines without the logit scale: a threshold on the scaled score means something else in every checkpoint.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import rankdata

from antivenom.errors import AntivenomError
from antivenom.screen.embeddings.inputs import Embeddings, parts_of

__all__ = ["ClipScore", "CropConsistency", "InBatch"]


def _cosines(embeddings: Embeddings, who: str) -> np.ndarray:
    text = embeddings.need("text", who)
    image = embeddings.spread("image", who)
    return np.einsum("ij,ij->i", image, text, dtype=np.float64)


def _sign(side: str, who: str) -> float:
    if side not in ("high", "low"):
        raise AntivenomError(f"{who}:side={side}", "high: too well aligned is suspicious; low: badly aligned is")
    return 1.0 if side == "high" else -1.0


@dataclass(frozen=True)
class ClipScore:
    """cos(I_i, T_i): a backdoored model aligns its poisons too well (`side=high`); a clean model finds their captions wrong (`low`).

    Args:
        side: which end is suspicious, `high` or `low`; the score is the cosine or its negative.
    """

    name: ClassVar[str] = "clip-score"
    side: str = "high"

    def __post_init__(self):
        _sign(self.side, self.name)

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """+-cos(I_i, T_i), (n,) float64; higher is more suspicious."""
        return _sign(self.side, self.name) * _cosines(embeddings, self.name)


@dataclass(frozen=True)
class InBatch:
    """The place of cos(I_i, T_i) within the row's random batch: mean rank / size, in (0, 1].

    Args:
        batch: rows per batch.
        side: as for `ClipScore`.
        seed: of the batches.
    """

    name: ClassVar[str] = "in-batch"
    batch: int = 128
    side: str = "high"
    seed: int = 0

    def __post_init__(self):
        _sign(self.side, self.name)
        if self.batch < 2:
            raise AntivenomError(f"{self.name}:batch={self.batch}", "a batch has at least 2 rows")

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """Mean rank within the batch / its size, (n,) float64; higher is more suspicious."""
        cosine = _sign(self.side, self.name) * _cosines(embeddings, self.name)
        found = np.empty(len(cosine))
        for part in parts_of(len(cosine), self.batch, self.seed):
            found[part] = rankdata(cosine[part]) / len(part)
        return found

    def flags(self, embeddings: Embeddings, share: float) -> np.ndarray:
        """Mask of the floor(share * size) most suspicious rows of every batch, (n,) bool; ties by rising row.

        Raises:
            AntivenomError: for a share outside [0, 1].
        """
        if not 0 <= share <= 1:
            raise AntivenomError(f"a share of {share}", "give a number from 0 to 1")
        cosine = _sign(self.side, self.name) * _cosines(embeddings, self.name)
        flagged = np.zeros(len(cosine), bool)
        for part in parts_of(len(cosine), self.batch, self.seed):
            count = int(share * len(part) + 1e-9)
            flagged[part[np.argsort(-cosine[part], kind="stable")[:count]]] = True
        return flagged


@dataclass(frozen=True)
class CropConsistency:
    """1 - cos(image, crop): a crop loses the trigger, and with it the place the image was put at.

    Args:
        over: `mean` of the crops, or `worst` (the crop that is least alike).
    """

    name: ClassVar[str] = "crop-consistency"
    over: str = "mean"

    def __post_init__(self):
        if self.over not in ("mean", "worst"):
            raise AntivenomError(f"{self.name}:over={self.over}", "choose mean or worst")

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """1 - mean (or least) cosine to the crops, (n,) float64; higher is more suspicious."""
        crops = embeddings.need("crops", self.name)
        cosine = np.einsum("ij,icj->ic", embeddings.spread("image", self.name), crops, dtype=np.float64)
        return 1 - (cosine.mean(axis=1) if self.over == "mean" else cosine.min(axis=1))
