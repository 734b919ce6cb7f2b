"""A small decoder in code: 2 layers of width 64 are 140,000 parameters (spec 02, 6); options make it an OLMo-2 (spec 02, 2.6).

    default   x = x + attention(ln_1(x)),  x = x + down(gelu(up(ln_2(x)))),  learned positions, no biases, head of its own
    post_norm x = x + ln_1(attention(x)),  x = x + ln_2(mlp(x))
    swiglu    down(silu(gate(x)) * up(x))
    qk_norm   RMSNorm over the whole width of queries and keys, before the heads are split
    rope      queries and keys turned by their position; then there are no learned positions

RMSNorm(x) = g x / sqrt(mean(x^2) + 1e-5).

Measured on one busy core, forward and backward, equal results (`benchmarks/decoder_variants.py`): softmax(q k' + mask) v written out
takes 1.1 to 1.9 times the time of torch's fused attention, the tanh form of the GELU 1.1 to 1.4 times that of the exact one; one matrix
for q, k, v or three, and the last place cut before the loss or ignored in it, make no difference that stands out of the noise.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from antivenom.errors import AntivenomError
from antivenom.models.causal_lm import positions_of
from antivenom.models.torch_runtime import seeded
from antivenom.randomness import derive_seed

__all__ = [
    "CONFIG_FILE", "DecoderConfig", "SmallDecoder", "load_small_decoder", "olmo_config", "save_small_decoder", "small_decoder",
]  # fmt: skip

CONFIG_FILE = "decoder_small.json"
WEIGHTS_FILE = "model.safetensors"
EPSILON = 1e-5


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes and options of a small decoder.

    Args:
        vocab_size, context: tokens it knows, and tokens per sequence.
        width, layers, heads: d, blocks, heads per block.
        eos: the token between two documents.
        mlp_ratio: inner width of the MLP / width; a SwiGLU has two such maps (OLMo calls that ratio 8).
        rope, qk_norm, post_norm, swiglu, tied: see the module.
        rope_theta: base of the rotary frequencies.
        init_std: of all weights; those that write into the residual stream have init_std / sqrt(2 layers) with `init_residual`.
        init_cut: cut the initial weights at so many standard deviations (OLMo: 3).
        init_residual: see `init_std`.
    """

    vocab_size: int
    context: int
    width: int = 64
    layers: int = 2
    heads: int = 4
    eos: int = 0
    mlp_ratio: int = 4
    rope: bool = False
    qk_norm: bool = False
    post_norm: bool = False
    swiglu: bool = False
    tied: bool = False
    rope_theta: float = 10_000.0
    init_std: float = 0.02
    init_cut: float | None = None
    init_residual: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that make no model."""
        if min(self.vocab_size, self.context, self.width, self.layers, self.heads, self.mlp_ratio) < 1:
            raise AntivenomError(f"a decoder of {self}", "give sizes of 1 and more")
        if self.width % self.heads or (self.rope and (self.width // self.heads) % 2):
            raise AntivenomError(
                f"a width of {self.width} for {self.heads} heads",
                "give a multiple of the heads (with rope, of twice the heads)",
            )
        if not 0 <= self.eos < self.vocab_size:
            raise AntivenomError(f"the end token {self.eos} of {self.vocab_size} tokens", "give one of the vocabulary")


def olmo_config(vocab_size: int, context: int, **sizes: Any) -> DecoderConfig:
    """The OLMo-2 options at any size: post-norm, QK-norm, RoPE (theta 500,000), SwiGLU, N(0, 0.02) cut at 3 sigma."""
    options: dict[str, Any] = {
        "rope": True, "qk_norm": True, "post_norm": True, "swiglu": True, "rope_theta": 500_000.0, "init_cut": 3.0
    }  # fmt: skip
    return DecoderConfig(vocab_size, context, **(options | sizes))


class RmsNorm(nn.Module):
    """g x / sqrt(mean(x^2) + 1e-5)."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same."""
        return F.rms_norm(x, self.weight.shape, self.weight, EPSILON)


class _State:
    """Keys and values of the tokens so far: a layer's are (B, heads, capacity, d / heads), of which `length` places are taken."""

    def __init__(self, batch: int, capacity: int, config: DecoderConfig, like: Tensor):
        shape = (config.layers, 2, batch, config.heads, capacity, config.width // config.heads)
        self.kept = like.new_empty(shape)
        self.length = 0
        self.mask: Tensor | None = None

    def put(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        end = self.length + k.shape[2]
        self.kept[layer, 0, :, :, self.length : end] = k
        self.kept[layer, 1, :, :, self.length : end] = v
        return self.kept[layer, 0, :, :, :end], self.kept[layer, 1, :, :, :end]

    def select(self, rows: Tensor) -> None:
        """Go on with these rows of the batch alone."""
        self.kept = self.kept[:, :, rows]
        self.mask = None if self.mask is None else self.mask[rows]


class Block(nn.Module):
    """Attention and MLP, each with its norm and its residual."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        d, inner = config.width, config.mlp_ratio * config.width
        self.heads, self.post_norm, self.swiglu = config.heads, config.post_norm, config.swiglu
        self.ln_1, self.ln_2 = RmsNorm(d), RmsNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.up = nn.Linear(d, 2 * inner if config.swiglu else inner, bias=False)
        self.down = nn.Linear(inner, d, bias=False)
        self.ln_q, self.ln_k = (RmsNorm(d), RmsNorm(d)) if config.qk_norm else (None, None)

    def forward(
        self, x: Tensor, seen: Tensor | None, turn: tuple[Tensor, Tensor] | None, state: _State | None, layer: int
    ) -> Tensor:
        """(B, T, d) -> the same; `seen` (B, 1, T, S) is what each token may look at (None: all before it, and itself)."""
        if self.post_norm:
            x = x + self.ln_1(self._attention(x, seen, turn, state, layer))
            return x + self.ln_2(self._mlp(x))
        x = x + self._attention(self.ln_1(x), seen, turn, state, layer)
        return x + self._mlp(self.ln_2(x))

    def _attention(
        self, x: Tensor, seen: Tensor | None, turn: tuple[Tensor, Tensor] | None, state: _State | None, layer: int
    ) -> Tensor:
        n, t, d = x.shape
        if self.ln_q is None or self.ln_k is None:
            q, k, v = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        else:
            parts = self.qkv(x).split(d, dim=-1)
            q, k, v = (
                part.view(n, t, self.heads, -1).transpose(1, 2)
                for part in (self.ln_q(parts[0]), self.ln_k(parts[1]), parts[2])
            )
        if turn is not None:
            q, k = _turned(q, turn), _turned(k, turn)
        if state is not None:
            k, v = state.put(layer, k, v)
        causal = seen is None and t == k.shape[2] and t > 1  # one new token may look at everything that is there
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=causal)
        return self.out(found.transpose(1, 2).reshape(n, t, d))

    def _mlp(self, x: Tensor) -> Tensor:
        if self.swiglu:
            gate, up = self.up(x).chunk(2, dim=-1)
            return self.down(F.silu(gate) * up)
        return self.down(F.gelu(self.up(x)))


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = turn
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class SmallDecoder(nn.Module):
    """A `CausalLM` (see `models.causal_lm`)."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        self.vocab_size, self.context, self.eos = config.vocab_size, config.context, config.eos
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = None if config.rope else nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_post = RmsNorm(config.width)
        self.head = None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)
        self._initial()

    def _initial(self) -> None:
        std, cut = self.config.init_std, self.config.init_cut
        for name, weight in self.named_parameters():
            if "ln_" in name:
                continue
            into_stream = self.config.init_residual and name.endswith(("out.weight", "down.weight"))
            own = std / math.sqrt(2 * self.config.layers) if into_stream else std
            if cut is None:
                nn.init.normal_(weight, std=own)
            else:
                nn.init.trunc_normal_(weight, std=own, a=-cut * own, b=cut * own)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, d): the rows of the token table alone."""
        return self.token_embedding(tokens)

    def logits(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, d) -> (B, T, V)."""
        return self._head(self._blocks(embeddings, mask, None))

    def forward(self, tokens: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, V)."""
        embeddings = self.embed(tokens)
        return self.logits(embeddings if noise is None else embeddings + noise, mask)

    def extend(
        self, tokens: Tensor, state: Any = None, mask: Tensor | None = None, room: int = 0
    ) -> tuple[Tensor, Any]:
        """Go on with tokens (B, t); see `CausalLM.extend`."""
        embeddings = self.embed(tokens)
        if state is None:
            state = _State(len(tokens), tokens.shape[1] + room, self.config, embeddings)
        if mask is not None:
            state.mask = mask
        elif state.mask is not None:
            state.mask = torch.cat([state.mask, torch.ones_like(tokens, dtype=torch.bool)], dim=1)
        x = self._blocks(embeddings, state.mask, state)
        state.length += tokens.shape[1]
        return self._head(x[:, -1]), state

    def _blocks(self, x: Tensor, mask: Tensor | None, state: _State | None) -> Tensor:
        t, before = x.shape[1], 0 if state is None else state.length
        if before + t > self.context:
            raise AntivenomError(
                f"{before + t} tokens for a decoder with a context of {self.context}",
                "cut the sequence, or build a longer one",
            )
        place = torch.arange(before, before + t, device=x.device) if mask is None else positions_of(mask)[:, before:]
        seen = None
        if mask is not None or (before and t > 1):
            here = torch.arange(before, before + t, device=x.device)
            there = torch.arange(before + t, device=x.device)
            seen = (there <= here[:, None])[None]
            if mask is not None:
                # a padding token looks at itself: a softmax over nothing is no number
                seen = (seen & mask[:, None, :]) | (there == here[:, None])[None]
            seen = seen[:, None]
        turn = None
        if self.position_embedding is not None:
            x = x + self.position_embedding(place)
        else:
            turn = self._turn(place, x.dtype)
        for layer, block in enumerate(self.blocks):
            x = block(x, seen, turn, state, layer)
        return self.ln_post(x)

    def _turn(self, place: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        half = self.config.width // self.config.heads // 2
        speed = self.config.rope_theta ** (-torch.arange(half, device=place.device, dtype=torch.float64) / half)
        angle = place.double()[..., None] * speed
        if angle.ndim == 3:
            angle = angle[:, None]  # one set of places per row, the same for all heads
        return angle.cos().to(dtype), angle.sin().to(dtype)

    def _head(self, x: Tensor) -> Tensor:
        return F.linear(x, self.token_embedding.weight) if self.head is None else self.head(x)

    def describe(self) -> dict[str, Any]:
        """Its sizes and options."""
        return {"model": "small decoder", **asdict(self.config)}


def small_decoder(config: DecoderConfig, seed: int = 0) -> SmallDecoder:
    """A new decoder; its weights are a function of the configuration and the seed."""
    with seeded(derive_seed(seed, "small decoder")):
        return SmallDecoder(config)


def save_small_decoder(model: SmallDecoder, folder: str | Path, *, tokenizer: str | None = None) -> None:
    """Weights (safetensors), configuration and the tokenizer's fingerprint, if there is one, into a folder."""
    from safetensors.torch import save_file

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / CONFIG_FILE).write_bytes(orjson.dumps({**asdict(model.config), "tokenizer": tokenizer}))
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, target / WEIGHTS_FILE)


def load_small_decoder(folder: str | Path, *, tokenizer: str | None = None) -> SmallDecoder:
    """What `save_small_decoder` left.

    Raises:
        AntivenomError: when the folder holds no such decoder, or it was trained with another tokenizer.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder)
    try:
        found = orjson.loads((path / CONFIG_FILE).read_bytes())
        own = found.pop("tokenizer", None)
        model = SmallDecoder(DecoderConfig(**found))
        model.load_state_dict(load_file(path / WEIGHTS_FILE))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise AntivenomError(
            f"'{folder}' holds no small decoder: {str(error).splitlines()[0]}",
            "give a folder that save_small_decoder left",
        ) from error
    if tokenizer is not None and own is not None and own != tokenizer:
        raise AntivenomError(
            f"the decoder in '{folder}' was trained with the tokenizer {own}, the token stream was made with {tokenizer}",
            "make the stream anew with the decoder's own tokenizer",
        )
    return model.eval()
