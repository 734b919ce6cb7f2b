"""Tokens per second of training a small decoder: our loop, a plain nanoGPT-style loop, transformers.Trainer.

python benchmarks/lm.py            # 15 rounds, a few minutes on one core
python benchmarks/lm.py --quick    # 3 rounds of the smaller model

One process, one core. In every round each loop trains a fresh copy of the same model on rows of the same array, and all of them take turns
step by step (`turns.py`), so that they meet the same load of the machine. The clock (CPU seconds) runs from the end of a step to the end of
the next, from step 5 on: set-up and checkpoints are left out, and whatever a loop does per step is in: data, learning rate, clipping,
AdamW, its record. The nanoGPT-style loop is written here: random windows of one long array, `loss.item()` every 10 steps. All
loops clip at 1, have the same two groups of parameters and a rate that is set at every step. Ratios are taken inside a round.
"""

import argparse
import copy
import json
import logging
import math
import os
import statistics
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.nn import functional as F
from turns import in_turn, one_arena, shares, side_by_side, spread

from antivenom.data.token_stream import TokenStream
from antivenom.models.decoder_small import DecoderConfig, small_decoder
from antivenom.train.causal_lm import CausalLanguageModel
from antivenom.train.loop import Recipe, fit
from antivenom.train.optimizer import parameter_groups
from antivenom.train.token_source import TokenSource

FIRST = 5
"""Steps before the clock starts."""
LR, DECAY, BETAS, CLIP = 2e-3, 0.1, (0.9, 0.95), 1.0
SIZES = {  # name: (batch, length, config, steps)
    "2 layers, d 64, 16 x 64 tokens": (16, 64, DecoderConfig(288, 64), 65),
    "4 layers, d 128, 8 x 256 tokens": (8, 256, DecoderConfig(512, 256, width=128, layers=4), 25),
}
WAITS = []
"""Seconds our loop waited for data, as it says itself."""
OPTIMIZERS = {"for-loop AdamW": False, "fused AdamW": True}


def ours(model, rows, batch, steps, fused, folder, after_step):
    """`train.loop.fit` over a `TokenSource`, with its record of every step."""
    stream = TokenStream.of(rows, length=rows.shape[1], vocab_size=model.vocab_size)
    recipe = Recipe(
        1, batch, LR, warmup=2, weight_decay=DECAY, betas=BETAS, no_decay=("ln_",), clip_norm=CLIP, fused=fused
    )
    done = fit(
        CausalLanguageModel(model),
        TokenSource(stream, None, seed=0, batch=batch),
        recipe,
        out=folder,
        after_step=after_step,
    )
    WAITS.append((done.data_seconds, done.seconds))


def nanogpt(model, rows, batch, steps, fused, folder, after_step):
    """A plain loop."""
    data, length = rows.reshape(-1).astype(np.uint16), rows.shape[1]
    groups = parameter_groups(model.named_parameters(), DECAY, ("ln_",))
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, fused=fused or None)
    model.train()
    for step in range(steps):
        lr = LR * (step + 1) / 2 if step < 2 else LR * 0.5 * (1.0 + math.cos(math.pi * (step - 2) / (steps - 2)))
        for group in optimizer.param_groups:
            group["lr"] = lr
        at = torch.randint(len(data) - length, (batch,))
        x = torch.stack([torch.from_numpy(data[i : i + length].astype(np.int64)) for i in at])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + length].astype(np.int64)) for i in at])
        logits = model(x)
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), y.view(-1), ignore_index=-1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 0:
            loss.item()
        after_step(step + 1)


class Rows(torch.utils.data.Dataset):
    """What a Trainer's data set usually is: tensors, row by row."""

    def __init__(self, rows):
        self.rows = torch.from_numpy(rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return {"input_ids": self.rows[i], "labels": self.rows[i]}


class WithLoss(torch.nn.Module):
    """The decoder with the loss that a Trainer asks for."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, input_ids, labels):
        """Loss and logits."""
        logits = self.inner(input_ids)
        wanted = F.pad(labels[:, 1:], (0, 1), value=-100)
        return {"loss": F.cross_entropy(logits.view(-1, logits.size(-1)), wanted.reshape(-1)), "logits": logits}


def trainer(model, rows, batch, steps, fused, folder, after_step):
    """transformers.Trainer."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Steps(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            after_step(state.global_step)

    wrapped = WithLoss(model)
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=batch, max_steps=steps, learning_rate=LR, weight_decay=DECAY,
        adam_beta1=BETAS[0], adam_beta2=BETAS[1], max_grad_norm=CLIP, lr_scheduler_type="cosine", warmup_steps=2,
        logging_steps=10, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
        optim="adamw_torch_fused" if fused else "adamw_torch", dataloader_pin_memory=False,
    )  # fmt: skip
    Trainer(wrapped, arguments, train_dataset=Rows(rows), callbacks=[Steps()]).train()


LOOPS = {"antivenom": ours, "nanoGPT-style": nanogpt, "Trainer": trainer}


def measured(batch, length, config, steps, fused, rounds):
    """CPU seconds per step of every loop in every round; and the share of our steps that was spent on data."""
    model = small_decoder(config)
    rows = np.random.default_rng(0).integers(1, config.vocab_size, (steps * batch, length))
    names, found, waits = list(LOOPS), [], []
    for number in range(rounds):
        order = in_turn(names, number)
        with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
            made = {
                name: partial(LOOPS[name], copy.deepcopy(model), rows, batch, steps, fused, f"{folder}/{name}")
                for name in order
            }
            out, sys.stdout = sys.stdout, nowhere
            try:
                found.append(side_by_side(made, FIRST))
            finally:
                sys.stdout = out
        waits.append(WAITS[-1][0] / steps / statistics.mean(found[-1]["antivenom"]))
    return found, waits


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    one_arena()
    torch.set_num_threads(1)
    rounds, sizes = (3, dict(list(SIZES.items())[:1])) if given.quick else (given.rounds, SIZES)
    kept = {}
    print(f"torch {torch.__version__}, one thread, {rounds} rounds, CPU seconds of the process\n")
    print(
        "| model | optimizer | antivenom tokens/s | nanoGPT-style | Trainer | antivenom / nanoGPT-style | antivenom / Trainer |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, (batch, length, config, steps) in sizes.items():
        waited = []
        for opt, fused in OPTIMIZERS.items():
            found, waits = measured(batch, length, config, steps, fused, rounds)
            waited += waits
            speed = {k: [batch * length * len(one[k]) / sum(one[k]) for one in found] for k in LOOPS}
            ratios = {other: shares(found, "antivenom", other) for other in list(LOOPS)[1:]}
            middle = " | ".join(f"{statistics.median(values):,.0f}" for values in speed.values())
            told = " | ".join(spread(values) for values in ratios.values())
            print(f"| {name} | {opt} | {middle} | {told} |", flush=True)
            kept[f"{name}, {opt}"] = {"tokens_per_s": speed, "ratios": ratios}
        print(f"| | share of our steps spent on data | {statistics.median(waited):.1%} | | | | |")
        kept[f"{name}, share of data"] = waited
    if not given.quick:
        target = Path(__file__).parent / "results" / "lm.json"
        target.write_text(json.dumps({"rounds": rounds, "torch": torch.__version__, "found": kept}, indent=1))


if __name__ == "__main__":
    main()
