"""The embedding detectors by the names users type: `dao`, `slof:k=32,within=512`, `clip-score:side=low`, ..."""

from dataclasses import asdict
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from antivenom.screen.embeddings.inputs import Embeddings
from antivenom.screen.scoring.scorer import Identity
from antivenom.screen.specs import Registry

__all__ = ["EMBEDDING_DETECTORS", "EmbeddingDetector", "get", "identity", "parse", "parse_all"]

VERSION = "1"
_HERE = "antivenom.screen.embeddings"

EMBEDDING_DETECTORS: dict[str, tuple[str, str, str]] = {
    "clip-score": (f"{_HERE}.alignment", "ClipScore", "cosine of image and caption"),
    "in-batch": (f"{_HERE}.alignment", "InBatch", "place of that cosine within a random batch"),
    "crop-consistency": (f"{_HERE}.alignment", "CropConsistency", "1 - cosine of the image and its crops"),
    "k-distance": (f"{_HERE}.density", "KDistance", "distance to the k-th neighbour"),
    "slof": (f"{_HERE}.density", "SLOF", "k-distance over that of the neighbours"),
    "lid": (f"{_HERE}.density", "LID", "local intrinsic dimension, maximum likelihood"),
    "dao": (f"{_HERE}.density", "DAO", "log density ratio weighed by the neighbours' dimension"),
    "isolation-forest": (f"{_HERE}.isolation", "IsolationForest", "how soon random cuts isolate the row"),
    "spectral-signature": (f"{_HERE}.by_class", "SpectralSignature", "squared projection on the class's top direction"),
    "activation-clustering": (
        f"{_HERE}.by_class",
        "ActivationClustering",
        "in a small, well separated part of its class",
    ),
    "cognitive-distillation": (
        f"{_HERE}.cognitive_distillation",
        "CognitiveDistillation",
        "how little of the image is enough for its embedding (needs masks distilled with the model)",
    ),
    "random": (f"{_HERE}.isolation", "Random", "the control: knows nothing"),
}
"""name -> (module, class, what it does)."""


@runtime_checkable
class EmbeddingDetector(Protocol):
    """Scores rows by their embeddings. Its dataclass fields are its parameters; it is pure: the same rows, the same scores."""

    name: ClassVar[str]

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """(n,) float64, higher is more suspicious; NaN where a row cannot be scored."""
        ...


def identity(detector: EmbeddingDetector) -> Identity:
    """Who scores, as it is stored with every score; a higher score is `worse` for every embedding detector."""
    params: dict[str, Any] = asdict(detector)  # pyright: ignore[reportArgumentType]
    return Identity(detector.name, VERSION, "", "worse", params)


_REGISTRY = Registry("embedding detector", "--embedding-detectors", EMBEDDING_DETECTORS)
get, parse, parse_all = _REGISTRY.get, _REGISTRY.parse, _REGISTRY.parse_all
