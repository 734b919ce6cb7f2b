"""What an embedding space knows and how it is shaped: kNN and prototype classifiers, modality gap, backdoor z-score, a plane.

All on rows of length 1, in float64. The classifiers look at image features alone: a backdoor that lives between image and text
is not in them (spec 04, section 4.4), so their attack success is read beside the zero-shot one.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from antivenom.errors import AntivenomError
from antivenom.measure.calibration import Measured
from antivenom.measure.rates import Rate
from antivenom.randomness import generator
from antivenom.screen.embeddings.by_class import leading_directions
from antivenom.screen.embeddings.neighbours import neighbours
from antivenom.screen.embeddings.unit import unit_rows

__all__ = [
    "BackdoorScore",
    "Plane",
    "backdoor_z_score",
    "knn_accuracy",
    "knn_classes",
    "modality_gap",
    "pca_plane",
    "prototype_accuracy",
    "prototype_classes",
]


def knn_classes(train: ArrayLike, labels: ArrayLike, test: ArrayLike, *, k: int = 50) -> np.ndarray:
    """The class most frequent among the k nearest training rows, (m,); of equally frequent classes the first in sorted order.

    Attack success of this classifier is the share of triggered rows, of another true class than the target, that get the target.

    Args:
        train: (n, d).
        labels: (n,).
        test: (m, d).
        k: neighbours.

    Raises:
        AntivenomError: for bad rows, other numbers of labels, and fewer rows than k.
    """
    names, which = _named(labels, len(np.asarray(train)))
    near = which[neighbours(test, k, reference=train).index]
    votes = np.zeros((len(near), len(names)), np.int64)
    np.add.at(votes, (np.arange(len(near))[:, None], near), 1)
    return names[votes.argmax(axis=1)]


def prototype_classes(train: ArrayLike, labels: ArrayLike, test: ArrayLike) -> np.ndarray:
    """The class whose mean (of normalised training rows, itself not normalised) is nearest, (m,); ties as for `knn_classes`.

    Args, Raises: as for `knn_classes`.
    """
    rows, seen = unit_rows(train, "training embeddings").astype(np.float64), unit_rows(test).astype(np.float64)
    names, which = _named(labels, len(rows))
    if rows.shape[1] != seen.shape[1]:
        raise AntivenomError(f"widths {rows.shape[1]} and {seen.shape[1]}", "use one model for both")
    means = np.zeros((len(names), rows.shape[1]))
    np.add.at(means, which, rows)
    means /= np.bincount(which)[:, None]
    return names[(seen @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)]


def knn_accuracy(
    train: ArrayLike, labels: ArrayLike, test: ArrayLike, truth: ArrayLike, *, k: int = 50, of: str = "test images"
) -> Rate:
    """Share of test rows to which `knn_classes` gives their true class."""
    return _right(knn_classes(train, labels, test, k=k), truth, of)


def prototype_accuracy(
    train: ArrayLike, labels: ArrayLike, test: ArrayLike, truth: ArrayLike, *, of: str = "test images"
) -> Rate:
    """Share of test rows to which `prototype_classes` gives their true class."""
    return _right(prototype_classes(train, labels, test), truth, of)


def _named(labels: ArrayLike, n: int) -> tuple[np.ndarray, np.ndarray]:
    given = np.asarray(labels)
    if given.shape != (n,):
        raise AntivenomError(f"labels of shape {given.shape} for {n} rows", "give one label per row")
    return np.unique(given, return_inverse=True)


def _right(predicted: np.ndarray, truth: ArrayLike, of: str) -> Rate:
    wanted = np.asarray(truth)
    if wanted.shape != predicted.shape:
        raise AntivenomError(f"{wanted.shape} true classes for {len(predicted)} rows", "give one class per test row")
    return Rate(int((predicted == wanted).sum()), len(predicted), of)


def modality_gap(
    image: ArrayLike, text: ArrayLike, *, seed: int = 0, resamples: int = 200, level: float = 0.95
) -> Measured:
    """|mean_i I_i - mean_i T_i|_2 of the pairs, in [0, 2] (Liang et al. 2022), with the bootstrap interval over pairs.

    The length of a noisy mean is biased upwards, in the figure and more so in its resamples: read a gap near 0 with its n.

    Args:
        image, text: (n, d), row i of one belongs to row i of the other.
        seed, resamples, level: of the bootstrap.

    Raises:
        AntivenomError: for bad rows, and other shapes.
    """
    images, texts = unit_rows(image, "image embeddings"), unit_rows(text, "text embeddings")
    if images.shape != texts.shape:
        raise AntivenomError(
            f"{images.shape} image and {texts.shape} text embeddings", "give one text row per image row"
        )
    n = len(images)
    apart = images.astype(np.float64) - texts
    draw = generator(seed, "modality gap", n)
    drawn = [np.linalg.norm(draw.multinomial(n, np.full(n, 1 / n)) @ apart) / n for _ in range(resamples)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if drawn else (None, None)
    value = float(np.linalg.norm(apart.mean(axis=0)))
    return Measured(value, None if low is None else float(low), None if high is None else float(high), n)


@dataclass(frozen=True)
class BackdoorScore:
    """`backdoor_z_score`: z with its jackknife interval over images, and the three figures it is made of."""

    z: float
    low: float
    high: float
    triggered_mean: float
    clean_mean: float
    clean_std: float
    triggered: int
    clean: int


def backdoor_z_score(triggered: ArrayLike, clean: ArrayLike, *, level: float = 0.95) -> BackdoorScore:
    """(mean pairwise cosine of triggered images - mean pairwise cosine of clean images) / standard deviation of the latter.

    Carlini & Terzis 2022. Pairs i < j, all of them (cosines that are exactly 0 too), by the sums S = sum_i z_i and C = Z' Z:
    sum over pairs of s = (|S|^2 - sum_i |z_i|^2) / 2, of s^2 = (|C|_F^2 - sum_i |z_i|^4) / 2; the standard deviation divides by
    the number of pairs. The interval is the normal one with the delete-one jackknife over images of both sets (pairs that
    share an image are not independent).

    Args:
        triggered: (m, d), images with the trigger, m >= 3.
        clean: (n, d), n >= 3; best the same images without it.
        level: of the interval.

    Raises:
        AntivenomError: for bad rows, too few, other widths, and clean images that are all equally alike.
    """
    evil, good = unit_rows(triggered, "triggered embeddings"), unit_rows(clean, "clean embeddings")
    if min(len(evil), len(good)) < 3 or evil.shape[1] != good.shape[1]:
        raise AntivenomError(
            f"{evil.shape} triggered and {good.shape} clean embeddings", "give at least 3 of each, of one width"
        )
    (mean_evil, _, less_evil, _), (mean, std, less_mean, less_std) = _pairwise(evil), _pairwise(good)
    if std < 1e-7:
        raise AntivenomError("the clean images are all equally alike", "a z-score needs clean images that differ")
    z = (mean_evil - mean) / std
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = sum(
            (len(part) - 1) / len(part) * ((part - part.mean()) ** 2).sum()
            for part in ((less_evil - mean) / std, (mean_evil - less_mean) / less_std)
        )
    half = NormalDist().inv_cdf((1 + level) / 2) * float(np.sqrt(variance))
    return BackdoorScore(z, z - half, z + half, mean_evil, mean, std, len(evil), len(good))


def _pairwise(rows: np.ndarray) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Mean and standard deviation of the cosines of all pairs, and both without each row in turn."""
    z = unit_rows(rows.astype(np.float64))
    n, together, gram = len(z), z.sum(axis=0), z.T @ z
    first = (together @ together - n) / 2
    second = ((gram**2).sum() - n) / 2
    own_first = z @ together - 1  # a row's sum over the others
    own_second = np.einsum("ij,ij->i", z @ gram, z) - 1

    def moments(total, squares, count):
        pairs = count * (count - 1) / 2
        mean = total / pairs
        return mean, np.sqrt(np.maximum(squares / pairs - mean**2, 0))

    mean, std = moments(first, second, n)
    return float(mean), float(std), *moments(first - own_first, second - own_second, n - 1)


@dataclass(frozen=True)
class Plane:
    """The two directions of most variance of the rows it was made from.

    Args:
        mean: (d,) of the normalised rows.
        axes: (2, d) of length 1, the largest component of each positive; zeros where there is no second direction.
        share: of the variance, per axis.
    """

    mean: np.ndarray
    axes: np.ndarray
    share: tuple[float, float]

    def project(self, embeddings: ArrayLike) -> np.ndarray:
        """Coordinates (m, 2) of any rows of the same width."""
        rows = unit_rows(embeddings)
        if rows.shape[1] != len(self.mean):
            raise AntivenomError(f"embeddings of width {rows.shape[1]}", f"the plane has width {len(self.mean)}")
        return (rows - self.mean) @ self.axes.T


def pca_plane(embeddings: ArrayLike) -> Plane:
    """First two principal components of normalised rows; project clean and triggered rows on ONE plane to compare them.

    Raises:
        AntivenomError: for bad rows, and rows that are all equal.
    """
    rows = unit_rows(embeddings).astype(np.float64)
    mean = rows.mean(axis=0)
    total = ((rows - mean) ** 2).sum()
    if total < 1e-12 * len(rows):
        raise AntivenomError(
            f"all {len(rows)} embeddings are equal", "give rows that differ: there is no plane through one point"
        )
    values, axes = leading_directions(rows - mean, 2)
    both, shares = np.zeros((2, len(mean))), [0.0, 0.0]
    both[: len(axes)] = axes
    shares[: len(values)] = (values / total).tolist()
    return Plane(mean, both, (shares[0], shares[1]))
