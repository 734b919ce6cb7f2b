"""Deep clustering: before each epoch the images are clustered by where the model puts them; the model then learns its clusters.

    centroids c_1 .. c_k   spherical k-means of the unit image embeddings of all rows, in evaluation mode, once per epoch
    y_i                    argmax_j I_i . c_j, I_i the embedding of the step, not that of the clustering
    L                      contrastive loss + weight * CE( W_e I_i + b_e , y_i )

W_e, b_e is a fresh head for every epoch e (weights N(0, 0.01), bias 0); a head of another epoch gets no gradient, and AdamW leaves
it alone (trap U14). With `labels` (oracle clustering, "cheating") y is given, and one head is kept. Heads do not decay when the
recipe's `no_decay` names them (`HEADS`).

Centroids and the number of steps are buffers of the trained module: a resumed run goes on with them.

Source: spec 04, 2.2 and trap U14 (arXiv 2311.14948 and its code; 1,000 centroids, 20 iterations, weight 5).
"""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from antivenom.errors import AntivenomError
from antivenom.models.clip import embed_images
from antivenom.models.torch_runtime import seeded
from antivenom.randomness import derive_seed, generator
from antivenom.train.loop import Recipe
from antivenom.train.objectives import make_objective

__all__ = ["HEADS", "Clustered", "DeepClustering", "spherical_kmeans"]

HEADS = "heads."
"""How the names of the heads begin."""
SPREAD = 0.01


def spherical_kmeans(rows: np.ndarray, clusters: int, *, iterations: int = 20, seed: int = 0) -> np.ndarray:
    """Centroids (k, d) of unit length that make sum_i max_j x_i . c_j large (Dhillon & Modha 2001).

    c_j is the normalised sum of the rows nearest to it. It starts from k-means++ (squared distances 2 - 2 cos); a centroid without
    rows is put on the row that is farthest from its own.

    Args:
        rows: (n, d), unit rows.
        clusters: k.
        iterations: at most; it stops when no row changes its cluster.
        seed: of the start.

    Raises:
        AntivenomError: for fewer distinct rows than clusters (trap U14), or fewer than 2 clusters.
    """
    rows = np.asarray(rows)
    distinct = len(np.unique(rows.round(6), axis=0)) if clusters <= len(rows) else len(rows)
    if clusters < 2 or distinct < clusters:
        raise AntivenomError(
            f"{clusters} clusters of {len(rows)} rows, {distinct} of them distinct",
            "give at least 2 clusters, and no more than there are distinct rows",
        )
    draw = generator(seed, "spherical k-means", clusters)
    centroids = np.empty((clusters, rows.shape[1]), rows.dtype)
    gap = np.ones(len(rows))
    for j in range(clusters):
        centroids[j] = rows[draw.choice(len(rows), p=gap / gap.sum())]
        near = np.maximum(2 - 2 * (rows @ centroids[j]), 0)
        gap = near if j == 0 else np.minimum(gap, near)
        gap[gap < 1e-9] = 0.0
        if j + 1 < clusters and not gap.any():  # only copies are left, told apart by rounding alone
            gap = np.ones(len(rows))
    label = None
    for _ in range(iterations):
        cosine = rows @ centroids.T
        found = cosine.argmax(axis=1)
        if label is not None and np.array_equal(found, label):
            break
        label, best = found, cosine.max(axis=1)
        sums = np.zeros_like(centroids)
        np.add.at(sums, label, rows)
        for j in np.flatnonzero(np.bincount(label, minlength=clusters) == 0):
            lost = int(best.argmin())
            sums[j], best[lost] = rows[lost], 2.0
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centroids = np.where(length > 1e-12, sums / np.maximum(length, 1e-12), centroids)
    return centroids


class Clustered(nn.Module):
    """A CLIP with heads over clusters: what is trained. The CLIP itself is `clip`, changed in place.

    Args:
        clip: the model.
        features: d of its embeddings.
        clusters: k.
        heads: how many: one per epoch, or one.
        seed: of their weights.
    """

    centroids: Tensor
    steps: Tensor

    def __init__(self, clip: Any, features: int, clusters: int, heads: int, seed: int):
        super().__init__()
        self.clip = clip
        with seeded(derive_seed(seed, "cluster heads")):
            made = [nn.Linear(features, clusters) for _ in range(heads)]
            for head in made:
                nn.init.normal_(head.weight, std=SPREAD)
                nn.init.zeros_(head.bias)
        self.heads = nn.ModuleList(made)
        self.register_buffer("centroids", torch.zeros(clusters, features))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))


class _Remembering:
    """A CLIP for the contrastive term, whose last image features the clustering term uses again: one pass serves both."""

    def __init__(self, clip: Any):
        self.clip = clip
        self.last: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clip, name)

    def encode_image(self, pixels: Tensor) -> Tensor:
        self.last = self.clip.encode_image(pixels)
        return self.last


class DeepClustering:
    """The objective (see `train.objectives.Objective`) at the head of this file. Its batches hold `rows` when there are labels.

    Args:
        clip: the model.
        images: of all rows, uint8 (n, h, w, 3), as the data have them.
        recipe: of the training: it says how many steps an epoch has.
        clusters: k.
        weight: of the clustering term.
        objective: of the contrastive term, by name (see `train.objectives.OBJECTIVES`).
        iterations: of k-means.
        labels: (n,) int, pseudo-labels of the oracle in 0 .. k - 1.

    Raises:
        AntivenomError: for fewer images than clusters, a negative weight, or labels that do not fit.
    """

    def __init__(
        self,
        clip: Any,
        images: np.ndarray,
        recipe: Recipe,
        *,
        clusters: int = 1_000,
        weight: float = 1.0,
        objective: str = "mmcl",
        iterations: int = 20,
        labels: np.ndarray | None = None,
    ):
        if not 2 <= clusters <= len(images) or weight < 0:
            raise AntivenomError(
                f"{clusters} clusters of {len(images)} images with weight {weight}",
                "give from 2 clusters to one per image, and a weight of at least 0",
            )
        self.images, self.recipe, self.clusters, self.weight = images, recipe, clusters, weight
        self.objective, self.iterations = objective, iterations
        self.labels = None if labels is None else torch.from_numpy(_labels(labels, len(images), clusters))
        features = embed_images(clip, images[:1], device=recipe.device).shape[1]
        heads = recipe.epochs if labels is None else 1
        self.model = Clustered(clip, features, clusters, heads, recipe.seed)
        self.per_epoch = max(1, len(images) // recipe.batch)
        self._seen = _Remembering(clip)
        self.contrastive = make_objective(objective, self._seen)
        self.views = self.contrastive.views

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """The loss of a batch; the record holds its terms and the share of rows whose cluster the head says."""
        done = int(self.model.steps)
        epoch = min(done // self.per_epoch, self.recipe.epochs - 1)
        if self.labels is None and done % self.per_epoch == 0:
            self._cluster(epoch)
        total, found = self.contrastive.loss(batch)
        rows = F.normalize(self._seen.last[: len(batch["images"])], dim=1)
        if self.labels is None:
            label, head = (rows.detach() @ self.model.centroids.T).argmax(1), self.model.heads[epoch]
        else:
            label, head = self.labels.to(rows.device)[batch["rows"]], self.model.heads[0]
        logits = head(rows)
        term = F.cross_entropy(logits, label)
        right = (logits.detach().argmax(1) == label).float().mean()
        return total + self.weight * term, found | {"clustering": term.detach(), "cluster accuracy": right}

    def _cluster(self, epoch: int) -> None:
        rows = embed_images(self.model.clip, self.images, device=self.recipe.device)
        seed = derive_seed(self.recipe.seed, "clusters", epoch)
        found = spherical_kmeans(rows, self.clusters, iterations=self.iterations, seed=seed)
        self.model.centroids.copy_(torch.from_numpy(found))

    def after_step(self) -> None:
        """theta back into its bounds, and the step is counted."""
        self.contrastive.after_step()
        self.model.steps += 1

    def describe(self) -> dict[str, Any]:
        """The weights, the clusters, and a hash of the oracle's labels."""
        who = None if self.labels is None else hashlib.blake2b(self.labels.numpy().tobytes(), digest_size=8).hexdigest()
        return {
            "objective": "deep clustering", "clusters": self.clusters, "weight": self.weight,
            "iterations": self.iterations, "labels": who, "contrastive": self.contrastive.describe(),
        }  # fmt: skip


def _labels(labels: np.ndarray, n: int, clusters: int) -> np.ndarray:
    given = np.asarray(labels)
    if given.shape != (n,) or given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= clusters:
        raise AntivenomError(
            f"pseudo-labels of shape {given.shape} and type {given.dtype} for {n} images",
            f"give one whole number from 0 to {clusters - 1} per image",
        )
    return given.astype(np.int64)
