"""Step time of contrastive training on image-caption pairs: our loop, a plain open_clip-style loop, the reference recipe's step.

python benchmarks/clip.py            # 15 rounds, a few minutes on one core
python benchmarks/clip.py --quick    # 3 rounds of the small model

The other loops are written here, from the description in spec 01, 2.2: two towers, similarity both ways, two cross-entropies, the rate set at
every step, the logit scale clamped after it, a look at the loss every 100 steps; no record, no checkpoint. They are handed the batches
that our source makes (rows of arrays, normalised at once; captions tokenised once), so that a difference is the loop's and not the reader's.

    MMCL        open_clip-style
    MMCL + SSL  reference, extra passes: originals and augmented views each through a pass of their own
                reference, one pass: both views of a tower in one pass of 2 N, as the published code does

One process, one core; the loops take turns step by step (`turns.py`) and so meet the same load of the machine; CPU seconds from the end of
one step to the end of the next, from step 3 on. Ratios are taken inside a round. At the end: how much of our steps goes into data
(reading, normalising, augmenting), and how an open_clip-style loop does with a DataLoader that prepares row by row.
"""

import argparse
import copy
import json
import math
import os
import statistics
import tempfile
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.nn import functional as F
from turns import in_turn, one_arena, shares, side_by_side, spread

from antivenom.data.image_world import draw_pairs
from antivenom.models.clip_small import SmallConfig, small_clip
from antivenom.randomness import generator
from antivenom.train.loop import Recipe, fit
from antivenom.train.objectives import make_objective
from antivenom.train.optimizer import parameter_groups
from antivenom.train.pairs import PairSource

FIRST, LR, DECAY = 3, 1e-3, 0.1
SIZES = {  # name: (pairs, batch, config)
    "conv tower, 128 x 32 px": (128 * 18, 128, SmallConfig()),
    "ViT tower, 64 x 32 px": (64 * 18, 64, SmallConfig(tower="vit")),
}
WAITS = []
"""Seconds our loop waited for data, as it says itself."""


def ours(name, model, pairs, batch, after_step):
    """`train.loop.fit`, with its record of every step."""
    goal = make_objective(name, model)
    data = PairSource(model, pairs.images, pairs.captions, views=goal.views, ids=pairs.ids, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        done = fit(goal, data, Recipe(1, batch, LR, warmup=2), out=folder, after_step=after_step)
    WAITS.append(done.data_seconds / done.steps)


def plain(step_loss, views, model, pairs, batch, after_step, loader=None):
    """A loop around a loss."""
    optimizer = torch.optim.AdamW(parameter_groups(model.named_parameters(), DECAY), lr=LR)
    data = PairSource(model, pairs.images, pairs.captions, views=views, ids=pairs.ids, seed=0)
    order, steps = np.random.default_rng(0).permutation(len(pairs)), len(pairs) // batch
    batches = iter(loader(model, pairs, batch)) if loader else None
    model.train()
    for step in range(steps):
        rate = LR * (step + 1) / 2 if step < 2 else LR * 0.5 * (1 + math.cos(math.pi * (step - 2) / (steps - 2)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        if batches:
            rows = next(batches)
        else:
            rows = data.batch(order[step * batch : (step + 1) * batch], generator(0, step) if views else None)
        optimizer.zero_grad()
        loss = step_loss(model, rows)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if step % 100 == 0:
            loss.item()
        after_step(step + 1)


def open_clip_loss(model, rows):
    """Features, both matrices of similarities, the mean of two cross-entropies."""
    images = F.normalize(model.encode_image(rows["images"]), dim=-1)
    texts = F.normalize(model.encode_text(rows["texts"]), dim=-1)
    scale = model.logit_scale.exp()
    of_images, of_texts = scale * images @ texts.T, scale * texts @ images.T
    own = torch.arange(len(images))
    return (F.cross_entropy(of_images, own) + F.cross_entropy(of_texts, own)) / 2


def _reference(model, images, images2, texts, texts2):
    images, images2, texts, texts2 = (x / x.norm(dim=-1, keepdim=True) for x in (images, images2, texts, texts2))
    scale, own = model.logit_scale.exp(), torch.arange(len(images))
    cross = scale * images @ texts.t()
    contrastive = (F.cross_entropy(cross, own) + F.cross_entropy(cross.t(), own)) / 2
    inmodal = F.cross_entropy(scale * images @ images2.t(), own) + F.cross_entropy(scale * texts @ texts2.t(), own)
    return contrastive + inmodal / 2


def extra_passes(model, rows):
    """Four passes of N."""
    images, images2 = model.encode_image(rows["images"]), model.encode_image(rows["images_augmented"])
    texts, texts2 = model.encode_text(rows["texts"]), model.encode_text(rows["texts_augmented"])
    return _reference(model, images, images2, texts, texts2)


def one_pass(model, rows):
    """Two passes of 2 N."""
    images, images2 = model.encode_image(torch.cat([rows["images"], rows["images_augmented"]])).chunk(2)
    texts, texts2 = model.encode_text(torch.cat([rows["texts"], rows["texts_augmented"]])).chunk(2)
    return _reference(model, images, images2, texts, texts2)


class ByRow(torch.utils.data.Dataset):
    """Rows that are prepared one at a time."""

    def __init__(self, model, pairs):
        self.pairs, self.model, self.tokens = pairs, model, model.tokenize(pairs.captions)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        return {"images": self.model.pixels(self.pairs.images[i : i + 1])[0], "texts": self.tokens[i]}


def by_row(model, pairs, batch):
    """A DataLoader in this process."""
    return torch.utils.data.DataLoader(ByRow(model, pairs), batch, shuffle=True, drop_last=True)


BOTH = ("image", "text")
OBJECTIVES = {
    "mmcl": {
        "open_clip-style": partial(plain, open_clip_loss, ()),
        "open_clip-style, DataLoader by row": partial(plain, open_clip_loss, (), loader=by_row),
    },
    "mmcl+ssl": {
        "reference, extra passes": partial(plain, extra_passes, BOTH),
        "reference, one pass": partial(plain, one_pass, BOTH),
    },
}


def same_loss(model, pairs):
    """All ways of writing a loss agree on a batch, but for batch normalisation in extra passes."""
    for name, views, others in (("mmcl", (), [open_clip_loss]), ("mmcl+ssl", BOTH, [one_pass])):
        rows = PairSource(model, pairs.images, pairs.captions, views=views, seed=0).batch(np.arange(32), generator(0))
        wanted = make_objective(name, model).loss(rows)[0]
        for other in others:
            torch.testing.assert_close(other(model, rows), wanted)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    one_arena()
    torch.set_num_threads(1)
    rounds, sizes = (3, dict(list(SIZES.items())[:1])) if given.quick else (given.rounds, SIZES)
    kept = {}
    print(f"torch {torch.__version__}, one thread, {rounds} rounds, CPU milliseconds of a step\n")
    print("| model | objective | antivenom | against | its step | ratio | our share of data |")
    print("|---|---|---|---|---|---|---|")
    for size, (n, batch, config) in sizes.items():
        pairs = draw_pairs(n, seed=0)
        model = small_clip(pairs.captions, config=config, seed=0)
        same_loss(copy.deepcopy(model), pairs)
        for name, others in OBJECTIVES.items():
            loops, found, waits = {"antivenom": partial(ours, name), **others}, [], []
            names = list(loops)
            for number in range(rounds):
                order = in_turn(names, number)
                made = {loop: partial(loops[loop], copy.deepcopy(model), pairs, batch) for loop in order}
                found.append(side_by_side(made, FIRST))
                waits.append(WAITS[-1] / statistics.mean(found[-1]["antivenom"]))
            step = {k: [1e3 * statistics.mean(one[k]) for one in found] for k in names}
            for other in others:
                ratios = shares(found, "antivenom", other)
                print(
                    f"| {size} | {name} | {statistics.median(step['antivenom']):.1f} | {other} "
                    f"| {statistics.median(step[other]):.1f} | {spread(ratios)} | {statistics.median(waits):.0%} |",
                    flush=True,
                )
                kept[f"{size}, {name}, {other}"] = {
                    "ms": [step["antivenom"], step[other]],
                    "ratios": ratios,
                    "data": waits,
                }
    if not given.quick:
        target = Path(__file__).parent / "results" / "clip.json"
        target.write_text(json.dumps({"rounds": rounds, "torch": torch.__version__, "found": kept}, indent=1))


if __name__ == "__main__":
    main()
