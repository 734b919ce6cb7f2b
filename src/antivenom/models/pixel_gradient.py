"""A model's own `pixels`, differentiable: what an optimised patch and a distilled mask need.

`models.clip.Clip.pixels` takes uint8 arrays. Its last part is an affine map per channel, (x - mean) / std, which is read off a black and
a white image; where the model's input has another size, a bicubic resize with antialiasing comes before it. A crop, or padding, is not
imitated: a model whose processor changes the frame sees the picture a little differently here than through `pixels` (`off` says how much).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from antivenom.errors import AntivenomError

__all__ = ["PixelGradient"]


class PixelGradient:
    """float (n, 3, h, w) in [0, 1] -> the model's input, with a gradient.

    Args:
        model: a `models.clip.Clip`.
        height, width: of the images.

    Raises:
        AntivenomError: when what `pixels` makes of one colour is not one number per channel, or is not affine in the colour.
    """

    def __init__(self, model: Any, height: int, width: int):
        def seen(grey: int) -> Tensor:
            out = torch.as_tensor(model.pixels(np.full((1, height, width, 3), grey, np.uint8))).float()
            flat = out.flatten(2)
            if out.ndim != 4 or out.shape[1] != 3 or not torch.allclose(flat, flat[..., :1], atol=1e-3):
                raise AntivenomError(
                    f"the model's input of one grey has shape {tuple(out.shape)} or is not uniform",
                    "give a model whose `pixels` normalises per channel",
                )
            self.size = (out.shape[2], out.shape[3])
            return flat[0, :, 0]

        black, white, middle = seen(0), seen(255), seen(128)
        self.low, self.range = black.view(1, 3, 1, 1), (white - black).view(1, 3, 1, 1)
        if not torch.allclose(middle, black + (white - black) * 128 / 255, atol=1e-2):
            raise AntivenomError("the model's `pixels` is not affine in the colour", "write the gradient yourself")

    def __call__(self, images: Tensor) -> Tensor:
        """The input."""
        x = images
        if (x.shape[2], x.shape[3]) != self.size:
            x = F.interpolate(x, self.size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        return self.low.to(x) + self.range.to(x) * x

    def off(self, model: Any, images: np.ndarray) -> float:
        """The largest difference to the model's own `pixels` of uint8 images (n, h, w, 3), in units of the input's range."""
        own = torch.as_tensor(model.pixels(images)).float()
        here = self(torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255)
        return float(((here - own).abs() / self.range.abs()).max())
