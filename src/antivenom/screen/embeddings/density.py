"""Local density: k-distance, SLOF, LID, DAO (Huang et al., ICLR 2025, arXiv 2502.01385; DAO from Anderberg et al. 2024).

d_i(x) is the distance to the i-th neighbour of x, kdist(x) = d_k(x), N(x) the k neighbours, x not among them. A distance
under `FLOOR` is read as `FLOOR`: float32 embeddings that close are the same point, and copies divide nothing by zero.

`within` is the number that decides what is seen. Poisons that outnumber k lie close together and have each other for
neighbours: they look dense, not sparse. Searched for within random parts so small that a part holds fewer than k of them,
they stand alone.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.screen.embeddings.inputs import Embeddings
from antivenom.screen.embeddings.neighbours import Neighbours

__all__ = ["DAO", "LID", "SLOF", "KDistance", "dao", "k_distance", "lid", "slof"]

FLOOR = 1e-6
CAP = 1_000.0


def k_distance(found: Neighbours) -> np.ndarray:
    """kdist(x) = d_k(x), (n,) float64."""
    return found.distance[:, -1].copy()


def slof(found: Neighbours) -> np.ndarray:
    """SLOF(x) = mean over o in N(x) of kdist(x) / kdist(o), (n,) float64; 1 where the density is that of the neighbours.

    Simplified local outlier factor (Schubert et al. 2014).
    """
    far = np.maximum(k_distance(found), FLOOR)
    return far * (1 / far)[found.index].mean(axis=1)


def lid(found: Neighbours, cap: float = CAP) -> np.ndarray:
    """LID(x) = -k / sum_i ln(d_i / d_k), (n,) float64: maximum-likelihood local intrinsic dimension (Amsaleg et al. 2015).

    At most `cap` (k neighbours at one distance would make it infinite); 0 where all k neighbours are copies of x: a point has
    no dimension.
    """
    k = found.distance.shape[1]
    distance = np.maximum(found.distance, FLOOR)
    total = np.log(distance[:, -1:] / distance).sum(axis=1)
    value = k / np.maximum(total, k / cap)
    value[found.distance[:, -1] <= FLOOR] = 0
    return value


def dao(found: Neighbours, cap: float = CAP) -> np.ndarray:
    """DAO(x) = mean over o in N(x) of LID(o) ln(kdist(x) / kdist(o)), (n,) float64.

    The log of SLOF's ratio, each weighed by the dimension of the neighbour: in high dimension distances hardly differ, so a small
    ratio says more there. Dimensionality-aware outlier detection (Anderberg, Bailey, Campello, Houle, Marques, Radovanovic, Zimek,
    SDM 2024).
    """
    far = np.log(np.maximum(k_distance(found), FLOOR))
    dimension = lid(found, cap)
    return (dimension[found.index] * (far[:, None] - far[found.index])).mean(axis=1)


@dataclass(frozen=True)
class KDistance:
    """`k_distance` as a detector.

    Args:
        k: neighbours.
        within: rows of the random parts in which neighbours are looked for; 0 for all rows.
        view: `image` or `text`.
        seed: of the parts.
    """

    name: ClassVar[str] = "k-distance"
    k: int = 16
    within: int = 0
    view: str = "image"
    seed: int = 0

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """kdist of each row, (n,) float64; higher is more suspicious."""
        return k_distance(self._found(embeddings))

    def _found(self, embeddings: Embeddings) -> Neighbours:
        return embeddings.neighbours(self.k, view=self.view, within=self.within, seed=self.seed, who=self.name)


@dataclass(frozen=True)
class SLOF(KDistance):
    """`slof` as a detector; parameters of `KDistance`."""

    name: ClassVar[str] = "slof"

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """SLOF of each row, (n,) float64; higher is more suspicious."""
        return slof(self._found(embeddings))


@dataclass(frozen=True)
class LID(KDistance):
    """`lid` as a detector; parameters of `KDistance`, and `cap`, the largest dimension believed."""

    name: ClassVar[str] = "lid"
    cap: float = CAP

    def __post_init__(self):
        if not self.cap > 0:
            raise AntivenomError(f"cap={self.cap} for the local dimension", "give a positive number")

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """LID of each row, (n,) float64; higher is more suspicious."""
        return lid(self._found(embeddings), self.cap)


@dataclass(frozen=True)
class DAO(LID):
    """`dao` as a detector; parameters of `LID`."""

    name: ClassVar[str] = "dao"

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """DAO of each row, (n,) float64; higher is more suspicious."""
        return dao(self._found(embeddings), self.cap)
