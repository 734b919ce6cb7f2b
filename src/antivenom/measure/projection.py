"""Where clean images, triggered images and the target's captions lie: one plane for all of them, as a page, with figures beside it.

The plane is that of the clean images' and the captions' first two principal components (`embedding_space.pca_plane`): triggered rows are
projected on it and do not choose it. What a plane cannot show stands beside it: mean cosines, modality gap, backdoor z-score (M6, M7).

Source: spec 01, 2.7 and M6 (t-SNE and PCA plots of the published code; PCA here: it has no seed and places new rows).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from antivenom.errors import AntivenomError
from antivenom.measure.embedding_space import Plane, backdoor_z_score, modality_gap, pca_plane
from antivenom.report.projection_chart import plane_page
from antivenom.screen.embeddings.unit import unit_rows

__all__ = ["Projection", "embedding_projection"]

CLEAN, TRIGGERED, CAPTIONS, TARGET = (
    "clean images",
    "the same with the trigger",
    "their captions",
    "the target's captions",
)


@dataclass(frozen=True)
class Projection:
    """`embedding_projection`'s answer.

    Args:
        plane: see `pca_plane`.
        groups: name -> coordinates, (n, 2).
        figures: what the plane does not show, by name.
    """

    plane: Plane
    groups: dict[str, np.ndarray]
    figures: dict[str, float]

    def page(self, out: str | Path, title: str = "Embeddings in one plane") -> Path:
        """Write it as a page."""
        groups = {name: [(float(x), float(y)) for x, y in rows] for name, rows in self.groups.items()}
        told = [(name, f"{value:.3f}") for name, value in self.figures.items()]
        return plane_page(out, groups, self.plane.share, title=title, figures=told)


def embedding_projection(clean: ArrayLike, triggered: ArrayLike, captions: ArrayLike, target: ArrayLike) -> Projection:
    """Project four groups on one plane.

    Args:
        clean: (n, d), images.
        triggered: (n, d), the same images with the trigger, in the same order.
        captions: (n, d), of the images.
        target: (m, d), captions of the target.

    Raises:
        AntivenomError: for bad rows, other numbers of images, and fewer than 3.
    """
    named = {CLEAN: clean, TRIGGERED: triggered, CAPTIONS: captions, TARGET: target}
    rows = {name: unit_rows(values, name).astype(np.float64) for name, values in named.items()}
    shapes = {rows[name].shape for name in (CLEAN, TRIGGERED, CAPTIONS)}
    if len(shapes) > 1 or rows[TARGET].shape[1] != rows[CLEAN].shape[1] or len(rows[CLEAN]) < 3:
        raise AntivenomError(
            f"groups of shapes {', '.join(str(r.shape) for r in rows.values())}",
            "give the same images with and without the trigger, a caption for each, from one model; at least 3",
        )
    plane = pca_plane(np.concatenate([rows[CLEAN], rows[CAPTIONS]]))
    aim = rows[TARGET].mean(axis=0)
    aim /= np.linalg.norm(aim)
    figures = {
        "mean cosine, image and the same with the trigger": float((rows[CLEAN] * rows[TRIGGERED]).sum(1).mean()),
        "mean cosine, clean image and the target's captions": float((rows[CLEAN] @ aim).mean()),
        "mean cosine, triggered image and the target's captions": float((rows[TRIGGERED] @ aim).mean()),
        "modality gap, clean": modality_gap(rows[CLEAN], rows[CAPTIONS], resamples=0).value or 0.0,
        "backdoor z-score": backdoor_z_score(rows[TRIGGERED], rows[CLEAN]).z,
    }
    return Projection(plane, {name: plane.project(values) for name, values in rows.items()}, figures)
