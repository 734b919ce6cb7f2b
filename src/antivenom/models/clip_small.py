"""A small CLIP in code, for images of 32 pixels and a few thousand captions; about 0.2 M parameters.

conv  four blocks conv 3x3 - batch norm - ReLU (16, 32, 64, 128 channels, strides 2, 2, 1, 2), then the mean AND the maximum over
      the places: the mean alone dilutes a small patch, and a backdoor does not take
packaged  a backbone trained on ImageNet that a package ships (`models.packaged_backbone`)
vit   patches of 8 pixels, a class token, pre-norm transformer layers
text  word embeddings + positions, a pre-norm transformer layer, the mean over the words (or the end token), a linear map

Source: spec 01, 6.1. Names of norms contain `bn` or `ln`, so that the published rule of weight decay finds them.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from antivenom.errors import AntivenomError
from antivenom.models.clip import check_images
from antivenom.models.torch_runtime import seeded
from antivenom.models.word_tokenizer import END, PAD, WordTokenizer
from antivenom.randomness import derive_seed

__all__ = ["ClipSmall", "SmallConfig", "load_small_clip", "save_small_clip", "small_clip"]

THETA = math.log(1 / 0.07)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""CLIP's pixel normalisation."""
FILES = ("clip_small.json", "model.safetensors")


@dataclass(frozen=True)
class SmallConfig:
    """Sizes of a small CLIP.

    Args:
        tower: `conv`, `vit` or `packaged`.
        size: of the images in pixels; a conv tower takes others too.
        width: of the first conv block (others are 2, 4, 8 times as wide), or four times less than the ViT's.
        depth: layers of the ViT.
        dim: d of the shared space.
        text_width, text_depth, heads: of the text tower.
        pool: `mean` over the words, or the `end` token.
        logit_bias: initial b of SigLIP's original form; None has no such parameter.
    """

    tower: str = "conv"
    size: int = 32
    width: int = 16
    depth: int = 3
    dim: int = 64
    text_width: int = 64
    text_depth: int = 1
    heads: int = 4
    pool: str = "mean"
    logit_bias: float | None = None

    def __post_init__(self) -> None:
        """Refuse sizes that fit no tower."""
        if self.tower not in ("conv", "vit", "packaged") or self.pool not in ("mean", "end"):
            raise AntivenomError(
                f"a small CLIP with the tower '{self.tower}' and the pool '{self.pool}'",
                "conv, vit, packaged; mean, end",
            )
        if self.tower == "vit" and self.size % PATCH:
            raise AntivenomError(f"a ViT for images of {self.size} pixels", f"give a multiple of {PATCH}")


PATCH = 8


class Layer(nn.Module):
    """Pre-norm transformer layer: x + attention(ln(x)), then x + mlp(ln(x))."""

    def __init__(self, width: int, heads: int, inner: int):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, L, width) -> the same; `mask` (n, 1, 1, L) is True where a token may be looked at."""
        n, length, width = x.shape
        q, k, v = self.qkv(self.ln_1(x)).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(seen.transpose(1, 2).reshape(n, length, width))
        return x + self.down(F.gelu(self.up(self.ln_2(x))))


class ConvTower(nn.Module):
    """Images (n, 3, h, w) -> (n, d)."""

    def __init__(self, config: SmallConfig):
        super().__init__()
        widths = [3, *(config.width * 2**i for i in range(4))]
        self.conv = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride, 1, bias=False)
            for a, b, stride in zip(widths, widths[1:], (2, 2, 1, 2), strict=False)
        )
        self.bn = nn.ModuleList(nn.BatchNorm2d(w) for w in widths[1:])
        self.proj = nn.Linear(2 * widths[-1], config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """The embeddings."""
        for conv, bn in zip(self.conv, self.bn, strict=True):
            x = F.relu(bn(conv(x)))
        return self.proj(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))


class VitTower(nn.Module):
    """Images (n, 3, size, size) -> (n, d)."""

    def __init__(self, config: SmallConfig):
        super().__init__()
        width = 4 * config.width
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn((config.size // PATCH) ** 2 + 1, width) * width**-0.5)
        self.layers = nn.ModuleList(Layer(width, config.heads, 2 * width) for _ in range(config.depth))
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Linear(width, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """The embeddings."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1) + self.positional_embedding
        for layer in self.layers:
            x = layer(x)
        return self.proj(self.ln_post(x[:, 0]))


class TextTower(nn.Module):
    """Tokens (n, L) -> (n, d)."""

    def __init__(self, config: SmallConfig, words: int, context: int):
        super().__init__()
        width = config.text_width
        self.pool = config.pool
        self.token_embedding = nn.Embedding(words, width)
        nn.init.normal_(self.token_embedding.weight, std=0.1)
        self.positional_embedding = nn.Parameter(torch.randn(context, width) * 0.02)
        self.layers = nn.ModuleList(Layer(width, config.heads, 2 * width) for _ in range(config.text_depth))
        self.ln_final = nn.LayerNorm(width)
        self.proj = nn.Linear(width, config.dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """The embeddings."""
        tokens = tokens[:, : int((tokens != PAD).any(0).sum())]  # columns of pads alone cost time and change nothing
        there = tokens != PAD
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, there[:, None, None])
        x = self.ln_final(x)
        if self.pool == "end":
            x = x[torch.arange(len(x), device=x.device), (tokens == END).int().argmax(1)]
        else:
            kept = there.unsqueeze(2).to(x.dtype)
            x = (x * kept).sum(1) / kept.sum(1)
        return self.proj(x)


def _tower(config: SmallConfig) -> nn.Module:
    if config.tower == "packaged":
        from antivenom.models.packaged_backbone import PackagedTower

        return PackagedTower(config.dim, MEAN, STD)
    return ConvTower(config) if config.tower == "conv" else VitTower(config)


class ClipSmall(nn.Module):
    """A small CLIP (see `models.clip.Clip`); build it with `small_clip`."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: SmallConfig, tokenizer: WordTokenizer):
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.visual = _tower(config)
        self.text = TextTower(config, len(tokenizer), tokenizer.context)
        self.logit_scale = nn.Parameter(torch.tensor(THETA))
        if config.logit_bias is not None:
            self.logit_bias = nn.Parameter(torch.tensor(float(config.logit_bias)))
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def pixels(self, images: np.ndarray) -> Tensor:
        """uint8 (n, h, w, 3) -> float32 (n, 3, h, w), normalised as CLIP does; images are not resized.

        Raises:
            AntivenomError: for a ViT and images of another size than it was built for.
        """
        images = check_images(images)
        size = self.config.size
        if self.config.tower == "vit" and images.shape[1:3] != (size, size):
            raise AntivenomError(
                f"images of {images.shape[1:3]} pixels for a model of {size}", "resize them before their triggers"
            )
        x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
        return (x - self.mean.cpu()) / self.std.cpu()

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Texts -> int64 (n, context)."""
        return torch.from_numpy(self.tokenizer(texts))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(n, d), not normalised."""
        return self.visual(pixels)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(n, d), not normalised."""
        return self.text(tokens)


def small_clip(
    captions: Sequence[str], *, config: SmallConfig | None = None, context: int = 16, seed: int = 0
) -> ClipSmall:
    """A small CLIP with random weights from the seed, that knows the words of these captions; a packaged tower is pretrained."""
    with seeded(derive_seed(seed, "small clip")):
        model = ClipSmall(config or SmallConfig(), WordTokenizer.fit(captions, context=context))
    if model.config.tower == "packaged":
        from antivenom.models.packaged_backbone import PackagedTower, fill_packaged

        assert isinstance(model.visual, PackagedTower)
        fill_packaged(model.visual)
    return model


def save_small_clip(model: ClipSmall, folder: str | Path) -> None:
    """Weights, sizes and vocabulary into a folder."""
    from safetensors.torch import save_file

    Path(folder).mkdir(parents=True, exist_ok=True)
    about = {"config": asdict(model.config), "words": model.tokenizer.words, "context": model.tokenizer.context}
    (Path(folder) / FILES[0]).write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, Path(folder) / FILES[1])


def load_small_clip(folder: str | Path) -> ClipSmall:
    """What `save_small_clip` wrote, in evaluation mode.

    Raises:
        AntivenomError: when the folder holds no small CLIP, or weights of another architecture.
    """
    from safetensors.torch import load_file

    try:
        about = orjson.loads((Path(folder) / FILES[0]).read_bytes())
        tokenizer = WordTokenizer(about["words"], context=about["context"])
        model = ClipSmall(SmallConfig(**about["config"]), tokenizer)
        model.load_state_dict(load_file(Path(folder) / FILES[1]))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise AntivenomError(
            f"{folder} holds no small CLIP: {reason}", "give a folder that save_small_clip wrote"
        ) from error
    return model.eval()
