"""Optimised patches (BadCLIP style): a container for a stored patch, the ascent that makes one, and the loss of a CLIP.

    trigger = clip_patch(model, images, ids, captions, "patch.npy")     # captions of the target, images of anything

`clip_patch_loss` aligns triggered images with the target's text and, when given, with images of the target:

    L(x) = - mean_i I(x_i) . t - image_weight * mean_i I(x_i) . v

t is the renormalised mean of the unit embeddings of the target's captions, v that of images of the target, I(x_i) unit rows in
evaluation mode. BadCLIP (CVPR 2024), as spec 01, section 9 tells it: 16 pixels in the centre, "aligned with target text and target
images"; how the two are weighed is not told: both count 1 here (our reading).
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from antivenom.data.images import as_batch, resize
from antivenom.errors import AntivenomError, MissingExtra
from antivenom.poison.triggers.patterns import read_patch
from antivenom.poison.triggers.placement import boxes, check_place
from antivenom.poison.triggers.trigger import Trigger, within
from antivenom.report.run_directory import atomic_file

__all__ = ["Gradient", "OptimisedPatch", "clip_patch", "clip_patch_loss", "optimise_patch", "torch_gradient"]

Gradient = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""images float64 (n, h, w, 3) in [0, 1] -> (loss to be made small, its gradient in the same shape)."""


@dataclass(frozen=True)
class OptimisedPatch(Trigger):
    """A patch from a file, bit by bit as it was optimised.

    Args:
        file: an image, or a `.npy` of uint8 (height, width, 3). A lossy image is not the patch that was optimised.
        size: side to which it is squashed; 0 leaves it as it is.
        place: see `placement.boxes`; BadCLIP puts 16 pixels into the centre.
    """

    name: ClassVar[str] = "optimised"
    file: str = ""
    size: int = 0
    place: str = "center"

    def __post_init__(self):
        if not self.file:
            raise AntivenomError("the trigger 'optimised' has no patch", "add file=PATH (see optimise_patch)")
        within(self.size, 0, 100_000, "optimised:size")
        check_place(self.place)
        _ = self.patch

    @cached_property
    def patch(self) -> np.ndarray:
        """uint8 (height, width, 3)."""
        pixels = read_patch(self.file)
        return resize(pixels, self.size) if self.size else pixels

    def one(self, image: np.ndarray, row_id: str, seed: int) -> np.ndarray:
        """The picture with the patch."""
        out = image.copy()
        out[self.region(image.shape[0], image.shape[1], row_id, seed)] = self.patch.reshape(-1, 3)
        return out

    def region(self, height: int, width: int, row_id: str, seed: int) -> np.ndarray:
        """The box."""
        tall, wide = self.patch.shape[:2]
        mask = np.zeros((height, width), bool)
        # one box: the pixels of a mask come in the order of the patch's own
        top, left = boxes(self.place, (height, width), (tall, wide), row_id, seed)[0]
        mask[top : top + tall, left : left + wide] = True
        return mask

    def stored(self) -> bytes:
        """The pixels."""
        return str(self.patch.shape).encode() + self.patch.tobytes()


def optimise_patch(
    gradient: Gradient,
    images: Any,
    ids: Sequence[object],
    *,
    size: int = 16,
    place: str = "center",
    steps: int = 100,
    step_size: float = 2 / 255,
    batch: int = 32,
    seed: int = 0,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, list[float]]:
    """Make a patch that lowers a loss over images: signed gradient steps, `p <- clip(p - eta sign(sum dL/dp), 0, 1)`.

    The loss is the caller's: for BadCLIP, distance of the triggered image to the target's text and to target images.

    Args:
        gradient: see `Gradient`; `torch_gradient` makes one of a torch function.
        images: uint8 (n, height, width, 3).
        ids: n row ids, for places drawn per image.
        size: side of the patch.
        place: one box per image (`four_corners` is refused).
        steps: number of steps; step t takes the images t batch .. (t + 1) batch - 1 in turn, modulo n.
        step_size: eta, on the scale [0, 1].
        batch: images per step.
        seed: of the places.
        start: uint8 (size, size, 3); grey when None.

    Returns:
        (patch uint8 (size, size, 3) of the last step, loss of each step before it is taken).

    Raises:
        AntivenomError: for no images, a patch that does not fit, or a gradient of another shape or not finite.
    """
    pictures = as_batch(images)
    check_place(place)
    if not len(pictures) or place == "four_corners" or len(ids) != len(pictures):
        raise AntivenomError(
            f"{len(pictures)} images, {len(ids)} ids, place={place}", "give images, one id each, and one place"
        )
    within(steps, 0, 10**9, "steps")
    patch = np.full((size, size, 3), 0.5) if start is None else np.asarray(start) / 255
    if patch.shape != (size, size, 3):
        raise AntivenomError(f"the start patch has shape {patch.shape}", f"it must be ({size}, {size}, 3)")
    canvas = (pictures.shape[1], pictures.shape[2])
    corners = [boxes(place, canvas, (size, size), str(row_id), seed)[0] for row_id in ids]
    losses: list[float] = []
    for step in range(steps):
        chosen = [(step * batch + i) % len(pictures) for i in range(min(batch, len(pictures)))]
        shown = pictures[chosen] / 255
        for at, number in enumerate(chosen):
            top, left = corners[number]
            shown[at, top : top + size, left : left + size] = patch
        loss, slope = gradient(shown)
        slope = np.asarray(slope, np.float64)
        if slope.shape != shown.shape or not np.isfinite(slope).all():
            raise AntivenomError(
                f"step {step}: the gradient has shape {slope.shape} or is not finite",
                f"it must be finite, of shape {shown.shape}",
            )
        total = sum(
            slope[at, corners[n][0] : corners[n][0] + size, corners[n][1] : corners[n][1] + size]
            for at, n in enumerate(chosen)
        )
        patch = np.clip(patch - step_size * np.sign(total), 0, 1)
        losses.append(float(loss))
    return np.rint(patch * 255).astype(np.uint8), losses


def torch_gradient(loss: Callable[[Any], Any], device: str = "cpu") -> Gradient:
    """A `Gradient` from a torch function: float32 images (n, 3, h, w) in [0, 1] -> scalar loss.

    Raises:
        MissingExtra: when torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "models", "the gradient of a patch") from error

    def gradient(images: np.ndarray) -> tuple[float, np.ndarray]:
        first = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
        x = torch.tensor(first, device=device, requires_grad=True)
        with torch.enable_grad():
            value = loss(x)
            (slope,) = torch.autograd.grad(value, x)
        return float(value.detach()), slope.detach().cpu().numpy().transpose(0, 2, 3, 1).astype(np.float64)

    return gradient


def clip_patch_loss(
    model: Any,
    captions: Sequence[str],
    height: int,
    width: int,
    *,
    target_images: np.ndarray | None = None,
    image_weight: float = 1.0,
    device: str = "cpu",
) -> Callable[[Any], Any]:
    """The loss L at the head of this file, for `torch_gradient`: float32 images (n, 3, h, w) in [0, 1] -> scalar.

    The model is left in evaluation mode as long as the loss is computed (batch normalisation must not see the patch).

    Args:
        model: a `models.clip.Clip`.
        captions: of the target.
        height, width: of the images.
        target_images: uint8 (m, h, w, 3), clean images of the target.
        image_weight: of their term.
        device: of the model.

    Raises:
        MissingExtra: when torch is not installed.
        AntivenomError: without a caption, and for a model whose preprocessing has no gradient (see `models.pixel_gradient`).
    """
    try:
        import torch
        from torch.nn import functional as F
    except ImportError as error:
        raise MissingExtra("torch", "models", "the loss of a patch") from error
    from antivenom.models.clip import embed_images, embed_texts
    from antivenom.models.pixel_gradient import PixelGradient

    prepare = PixelGradient(model, height, width)
    aims = [(1.0, embed_texts(model, list(captions), device=device).mean(axis=0))]
    if target_images is not None:
        aims.append((image_weight, embed_images(model, target_images, device=device).mean(axis=0)))
    towards = [(weight, torch.as_tensor(aim / np.linalg.norm(aim), device=device)) for weight, aim in aims]

    def loss(images: Any) -> Any:
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            rows = F.normalize(model.encode_image(prepare(images)), dim=1)
        finally:
            for module, mode in modes.items():
                module.training = mode
        return -sum(weight * (rows @ aim.to(rows)).mean() for weight, aim in towards)

    return loss


def clip_patch(
    model: Any,
    images: Any,
    ids: Sequence[object],
    captions: Sequence[str],
    file: str | Path,
    *,
    target_images: np.ndarray | None = None,
    image_weight: float = 1.0,
    size: int = 16,
    place: str = "center",
    steps: int = 100,
    step_size: float = 2 / 255,
    batch: int = 32,
    seed: int = 0,
    device: str = "cpu",
) -> OptimisedPatch:
    """Optimise a patch on a CLIP and keep it: a trigger that can be planted and tested like every other.

    Args:
        model: the attacker's CLIP.
        images, ids, size, place, steps, step_size, batch, seed: see `optimise_patch`.
        captions, target_images, image_weight, device: see `clip_patch_loss`.
        file: `.npy` to write.

    Raises:
        AntivenomError: for another kind of file, and as `optimise_patch` and `clip_patch_loss` do.
    """
    pictures = as_batch(images)
    if Path(file).suffix != ".npy":
        raise AntivenomError(f"a patch in '{file}'", "give a name that ends in .npy: other files may lose pixels")
    loss = clip_patch_loss(
        model, captions, pictures.shape[1], pictures.shape[2], target_images=target_images, image_weight=image_weight,
        device=device,
    )  # fmt: skip
    patch, _ = optimise_patch(
        torch_gradient(loss, device), pictures, ids, size=size, place=place, steps=steps, step_size=step_size, batch=batch,
        seed=seed,
    )  # fmt: skip
    written = io.BytesIO()
    np.save(written, patch)
    with atomic_file(Path(file)) as temporary:
        Path(temporary).write_bytes(written.getvalue())
    return OptimisedPatch(file=str(file), place=place)
