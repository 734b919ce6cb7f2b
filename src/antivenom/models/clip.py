"""What a CLIP model is here, whoever made it, and how images and texts are embedded with one.

`clip_small` builds small ones in code; `clip_transformers` and `clip_open` take the models of two libraries; `clip_load` is the one
door to all of them.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.models.torch_runtime import eval_mode

__all__ = ["IMAGE_TOWER", "Clip", "check_images", "embed_images", "embed_texts", "load_tower", "tower_state"]

IMAGE_TOWER = ("visual.", "model.visual.", "model.vision_model.", "model.visual_projection.")
"""How the names of a vision tower begin: ours, open_clip's, and those of a folder of transformers."""


class Clip(Protocol):
    """A torch module with two encoders into one space of d dimensions."""

    logit_scale: Any
    """theta, a parameter: similarities are multiplied by exp(theta)."""

    def encode_image(self, pixels: Any) -> Any:
        """What `pixels` made -> (n, d), not normalised."""
        ...

    def encode_text(self, tokens: Any) -> Any:
        """What `tokenize` made -> (n, d), not normalised."""
        ...

    def pixels(self, images: np.ndarray) -> Any:
        """uint8 (n, h, w, 3) -> the model's input; triggers are applied before it."""
        ...

    def tokenize(self, texts: Sequence[str]) -> Any:
        """Texts -> int64 (n, length), cut so that the end token stays."""
        ...


def check_images(images: np.ndarray) -> np.ndarray:
    """The images, when they are uint8 (n, h, w, 3): an array, or a store that decodes the rows it is asked for.

    Raises:
        AntivenomError: when they are not.
    """
    if not hasattr(images, "fingerprint"):  # `data.image_store`: an array of it would hold every picture
        images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise AntivenomError(
            f"images of shape {images.shape} and type {images.dtype}", "give uint8 (n, height, width, 3): RGB, 0 to 255"
        )
    return images


def embed_images(model: Any, images: np.ndarray, *, batch: int = 256, device: str = "cpu") -> np.ndarray:
    """Unit vectors of images, float32 (n, d), in evaluation mode: no row depends on its batch."""
    images = check_images(images)
    return _embed(model, model.encode_image, model.pixels, images, batch, device)


def embed_texts(model: Any, texts: Sequence[str], *, batch: int = 512, device: str = "cpu") -> np.ndarray:
    """Unit vectors of texts, float32 (n, d), in evaluation mode."""
    return _embed(model, model.encode_text, model.tokenize, list(texts), batch, device)


def _embed(model: Any, encode: Any, prepare: Any, rows: Any, batch: int, device: str) -> np.ndarray:
    from torch.nn import functional as F

    if not len(rows):
        raise AntivenomError("nothing to embed", "give at least one image or text")
    with eval_mode(model):
        parts = [
            F.normalize(encode(prepare(rows[i : i + batch]).to(device)), dim=1).float().cpu().numpy()
            for i in range(0, len(rows), batch)
        ]
    return np.concatenate(parts)


def tower_state(model: Any) -> dict[str, Any]:
    """Copies of the weights and buffers of a model's vision tower, by name.

    Raises:
        AntivenomError: when no name begins as one of `IMAGE_TOWER`.
    """
    found = {k: v.detach().clone() for k, v in model.state_dict().items() if k.startswith(IMAGE_TOWER)}
    if not found:
        raise AntivenomError(
            f"no vision tower is found in {type(model).__name__}", f"its names begin: {', '.join(IMAGE_TOWER)}"
        )
    return found


def load_tower(model: Any, state: dict[str, Any]) -> None:
    """Put a vision tower into a model, in place; everything else stays as it is.

    Raises:
        AntivenomError: when the tower has other names or shapes than the model's own.
    """
    own = {name: tuple(value.shape) for name, value in tower_state(model).items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    if own != given:
        other = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        raise AntivenomError(
            f"a vision tower of another architecture (differs in '{other[0]}')", "give a tower of the same sizes"
        )
    model.load_state_dict(state, strict=False)
