"""Which way of writing the small decoder's parts is fastest on one core: python benchmarks/decoder_variants.py

Forward and backward of attention (fused, written out), of its projection (one matrix, three), of the MLP's GELU (exact, tanh), and of
the head with its cross-entropy (all places, all but the last), at the sizes of the studies; medians of interleaved rounds in
milliseconds. The variants of a part give equal results (checked; the two forms of the GELU differ by 5e-4 at most).
"""

import statistics
import sys
import time

import torch
from torch.nn import functional as F

ROUNDS = 15


def parts(batch, length, width, heads, vocabulary=288):
    """Per part, its variants as functions of nothing that return an output."""
    make = torch.Generator().manual_seed(0)

    def weight(*shape):
        return (torch.randn(*shape, generator=make) * 0.1).requires_grad_(True)

    x, one = weight(batch, length, width), weight(3 * width, width)
    up, down, head = weight(4 * width, width), weight(width, 4 * width), weight(vocabulary, width)
    tokens = torch.randint(0, vocabulary, (batch, length), generator=make)
    mask = torch.full((length, length), float("-inf")).triu(1)
    size = width // heads

    def fused():
        return F.linear(x, one).view(batch, length, 3, heads, size).permute(2, 0, 3, 1, 4)

    def split():
        return [F.linear(x, w).view(batch, length, heads, size).transpose(1, 2) for w in one.chunk(3)]

    def torchs(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def written_out(q, k, v):
        return (q @ k.transpose(-1, -2) * size**-0.5 + mask).softmax(-1) @ v

    def all_places():
        wanted = F.pad(tokens[:, 1:], (0, 1), value=-100)
        return F.cross_entropy(F.linear(x, head).view(-1, vocabulary), wanted.view(-1))

    def cut():
        return F.cross_entropy(F.linear(x, head)[:, :-1].reshape(-1, vocabulary), tokens[:, 1:].reshape(-1))

    return {
        "attention": {"fused": lambda: torchs(*fused()), "written out": lambda: written_out(*fused())},
        "projection": {"one matrix": lambda: torchs(*fused()), "three": lambda: torchs(*split())},
        "gelu": {
            form: lambda form=form: F.linear(F.gelu(F.linear(x, up), approximate=form), down)
            for form in ("none", "tanh")
        },
        "head": {"all places": all_places, "last place cut": cut},
    }


def main():
    """Print the table."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, median of {ROUNDS} rounds, ms forward + backward")
    for sizes in ((16, 64, 64, 4), (16, 64, 128, 4), (8, 256, 128, 4)):
        for part, variants in parts(*sizes).items():
            outputs = [run() for run in variants.values()]
            if (outputs[0] - outputs[1]).abs().max() > (2e-3 if part == "gelu" else 1e-4):
                sys.exit(f"{part}: the variants differ")
            times = {name: [] for name in variants}
            for _ in range(ROUNDS):
                for name, run in variants.items():
                    start = time.perf_counter()
                    for _ in range(3):
                        run().sum().backward()
                    times[name].append((time.perf_counter() - start) / 3 * 1e3)
            found = {name: statistics.median(values) for name, values in times.items()}
            first, second = found.values()
            told = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
            print(f"batch {sizes[0]} x {sizes[1]}, width {sizes[2]}: {part:10} {told}   ratio {second / first:.2f}")


if __name__ == "__main__":
    main()
