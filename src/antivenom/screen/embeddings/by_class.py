"""Class by class: spectral signatures (Tran, Li, Madry 2018) and activation clustering (Chen et al. 2018).

Both look for a minority inside a class. A row of a class with too few rows cannot be scored: NaN, never 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import eigh
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from antivenom.errors import AntivenomError
from antivenom.randomness import derive_seed
from antivenom.screen.embeddings.inputs import Embeddings

__all__ = ["ActivationClustering", "SpectralSignature", "leading_directions"]

FLAT = 1e-12


def leading_directions(centred: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The right singular vectors of a matrix (n, d) with the largest singular values, by the smaller of its two Gram matrices.

    Returns:
        squared singular values (count,), falling, and directions (count, d) of length 1, the largest component positive.
    """
    n, d = centred.shape
    count = min(count, n, d)
    tall = n >= d
    gram = centred.T @ centred if tall else centred @ centred.T
    values, vectors = eigh(gram, subset_by_index=[len(gram) - count, len(gram) - 1])
    values, directions = np.maximum(values[::-1], 0), vectors[:, ::-1].T
    if not tall:
        directions = directions @ centred
        lengths = np.sqrt((directions**2).sum(axis=1, keepdims=True))
        directions = np.divide(directions, lengths, out=np.zeros_like(directions), where=lengths > 0)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], 1)
    return values, directions * np.where(largest < 0, -1.0, 1.0)


def _classes(embeddings: Embeddings, view: str, who: str, least: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(class, its places, its rows minus their mean) of every class with at least `least` rows."""
    rows, labels = embeddings.spread(view, who), embeddings.need("labels", who)
    names, which, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if sizes.max() < least:
        mend = "give coarser labels (pseudo-classes), or more rows"
        raise AntivenomError(f"'{who}': no class has {least} rows (the largest has {sizes.max()})", mend)
    for number in np.flatnonzero(sizes >= least):
        mine = np.flatnonzero(which == number)
        members = rows[mine].astype(np.float64)
        yield str(names[number]), mine, members - members.mean(axis=0)


@dataclass(frozen=True)
class SpectralSignature:
    """((z_i - m) . v)^2, m the mean of the row's class and v the top right singular vector of the class's rows minus m.

    Args:
        view: `image` or `text`.
        least: rows a class needs; rows of smaller classes are NaN.
        scale: divide by the class's mean score, so that classes of other spread compare; the paper removes a share per class.
    """

    name: ClassVar[str] = "spectral-signature"
    view: str = "image"
    least: int = 3
    scale: bool = False

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """Squared projection on the class's top direction, (n,) float64; higher is more suspicious, NaN for small classes."""
        found = np.full(len(embeddings), np.nan)
        for _, mine, centred in _classes(embeddings, self.view, self.name, self.least):
            value = (centred @ leading_directions(centred, 1)[1][0]) ** 2
            if self.scale and value.mean() > FLAT:
                value /= value.mean()
            found[mine] = value
        return found


@dataclass(frozen=True)
class ActivationClustering:
    """S (1 - 2 p): S is the silhouette of two clusters in the row's class, p the share of the class in the row's own cluster.

    The paper projects to `dimensions`, makes two clusters (k-means) and judges a CLASS, by silhouette and by relative size; this
    score of a row puts its two figures together and is ours. Rows of a small, well separated cluster come near 1, the
    majority beside them near -1, rows of a class that splits evenly or badly near 0. Principal components stand for the
    paper's independent components: k-means sees the same subspace, and the result needs no iteration.

    Args:
        view: `image` or `text`.
        dimensions: kept before clustering.
        least: rows a class needs; rows of smaller classes are NaN.
        sample: rows of a class on which the silhouette is computed (it is quadratic).
        seed: of k-means and of the sample.
    """

    name: ClassVar[str] = "activation-clustering"
    view: str = "image"
    dimensions: int = 10
    least: int = 10
    sample: int = 2_000
    seed: int = 0

    def __post_init__(self):
        if self.dimensions < 1 or self.sample < 10 or self.least < 3:
            mend = "dimensions >= 1, sample >= 10, least >= 3"
            raise AntivenomError(f"'{self.name}' with {vars(self)}", mend)

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """S (1 - 2 p), (n,) float64 in [-1, 1]; higher is more suspicious, NaN for small classes."""
        found = np.full(len(embeddings), np.nan)
        for name, mine, centred in _classes(embeddings, self.view, self.name, self.least):
            found[mine] = self._of_class(name, centred)
        return found

    def _of_class(self, name: str, centred: np.ndarray) -> np.ndarray:
        if len(np.unique(centred.round(9), axis=0)) < 3:  # two places or one: a silhouette says nothing about copies
            return np.zeros(len(centred))
        low = centred @ leading_directions(centred, self.dimensions)[1].T
        state = derive_seed(self.seed, self.name, name) % 2**32
        means = KMeans(2, n_init=10, random_state=state)  # pyright: ignore[reportArgumentType]
        cluster = means.fit_predict(low)
        share = np.bincount(cluster, minlength=2) / len(cluster)
        size = min(self.sample, len(low))
        if min(share) * len(low) < 1:
            return np.zeros(len(centred))
        try:
            value = silhouette_score(low, cluster, sample_size=size if size < len(low) else None, random_state=state)
        except ValueError:  # the sample holds one cluster only: take everything
            value = silhouette_score(low, cluster)
        return float(value) * (1 - 2 * share[cluster])
