"""Isolation forest, and the random control."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.ensemble import IsolationForest as Forest

from antivenom.errors import AntivenomError
from antivenom.randomness import derive_seed, generator
from antivenom.screen.embeddings.inputs import Embeddings

__all__ = ["IsolationForest", "Random"]


@dataclass(frozen=True)
class IsolationForest:
    """2^(-E h(x) / c(s)): h(x) the depth at which random cuts isolate x, c(s) that of an average row (Liu et al. 2008).

    Args:
        trees: how many.
        sample: rows per tree, s (all rows when there are fewer).
        view: `image` or `text`.
        seed: of the trees.
    """

    name: ClassVar[str] = "isolation-forest"
    trees: int = 100
    sample: int = 256
    view: str = "image"
    seed: int = 0

    def __post_init__(self):
        if self.trees < 1 or self.sample < 2:
            raise AntivenomError(
                f"'{self.name}' with {self.trees} trees of {self.sample} rows", "trees >= 1, sample >= 2"
            )

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """Anomaly score, (n,) float64 in (0, 1]; higher is more suspicious."""
        rows = embeddings.spread(self.view, self.name)
        state = derive_seed(self.seed, self.name) % 2**32
        size: Any = min(self.sample, len(rows))
        forest = Forest(n_estimators=self.trees, max_samples=size, random_state=state).fit(rows)
        return -forest.score_samples(rows).astype(np.float64)


@dataclass(frozen=True)
class Random:
    """The control: a number per row that knows nothing.

    Args:
        seed: of the numbers.
    """

    name: ClassVar[str] = "random"
    seed: int = 0

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """Uniform numbers in [0, 1), (n,) float64."""
        return generator(self.seed, self.name, len(embeddings)).random(len(embeddings))
