"""The training loop: every step is a function of the seed, so a run that is killed and resumed ends in the same bytes.

    order of epoch e      generator(seed, "order", e).permutation(n)
    augmentation          generator(seed, "batch", step), handed to the data
    learning rate         a function of the step
    dropout and the like  torch's generator; its state is in the checkpoint

A run with a folder leaves there `checkpoint.pt` (weights, optimizer, generator state, step) and `metrics.jsonl` (one line per
step). Called again with the same arguments, `fit` goes on from the checkpoint; a finished run is read back. With `until` it stops on
the way, at a checkpoint, to be called again; with `start` it begins from the weights and moments of another run.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from antivenom.errors import AntivenomError
from antivenom.models.model_hash import model_hash
from antivenom.models.torch_runtime import seeded
from antivenom.randomness import derive_seed, generator
from antivenom.report.run_directory import fingerprint
from antivenom.train.checkpoint import Record, State
from antivenom.train.gradient import backward
from antivenom.train.objectives import Objective
from antivenom.train.optimizer import adamw
from antivenom.train.processes import OneProcess, processes
from antivenom.train.recipe import Recipe

__all__ = ["Diverged", "Recipe", "Source", "State", "Training", "fit", "model_hash"]

READ_EVERY = {"cpu": 1}
"""Steps between two looks at the figures, by device: elsewhere than on the CPU every look makes the device wait."""
SELDOM = 16


class Diverged(AntivenomError):
    """The loss is no number any more: the run has no result (and none that could be taken for a repair)."""


class Source(Protocol):
    """The rows of a training."""

    fingerprint: str
    """Hash of everything that the batches depend on. A source with `draws = False` promises to draw nothing."""

    def __len__(self) -> int:
        """Rows."""
        ...

    def batch(self, rows: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """A batch of these rows; everything random in it comes from `draw`."""
        ...


@dataclass(frozen=True)
class Training:
    """What a training did: its steps, the figures of the last one, and (of this call) the seconds and those spent on data."""

    steps: int
    last: dict[str, Any]
    seconds: float = 0.0
    data_seconds: float = 0.0
    resumed_from: int = 0


def fit(
    objective: Objective,
    data: Source,
    recipe: Recipe,
    *,
    out: str | Path | None = None,
    after_step: Callable[[int], None] | None = None,
    after_epoch: Callable[[int, Any], None] | None = None,
    until: int | None = None,
    start: State | None = None,
    keep: Sequence[int] = (),
    accelerator: Any = None,
) -> Training:
    """Train the objective's model in place, with a fresh optimizer; it is left in evaluation mode.

    Args:
        objective: a model and its loss.
        data: the rows.
        recipe: how.
        out: the folder to resume from and to leave checkpoint and metrics in.
        after_step: is told the number of steps done.
        after_epoch: is handed the number of epochs done and the model; it may evaluate it, and must not change it.
        until: stop after so many steps of the recipe's, with a checkpoint. Called again, with the model as it was at the
            beginning or as it is now, the run goes on.
        start: weights and moments to begin from instead of the model's own and a fresh optimizer; steps, schedule and
            generators begin at 0, rate, decay, betas and eps are the recipe's.
        keep: steps whose checkpoints stay in the folder (`State.load(out, step)`).
        accelerator: an `accelerate.Accelerator` to run on; see also `Recipe.accelerate`.

    Raises:
        AntivenomError: for a recipe without a step, a batch that is larger than the data, or a folder of another training.
        Diverged: when the loss is no number.
    """
    place = processes(recipe, accelerator)
    per_epoch = recipe.steps_per_epoch(len(data), place.world)
    total = per_epoch * recipe.epochs
    stop = _stop(total, until, keep, out)
    model = objective.model.to(place.device)
    place.lead(model)
    given = model_hash(model) if start is None else start.hash
    more = [place.world] if place.world > 1 else []

    def key(first: str) -> str:
        return fingerprint(["fit", recipe.determines(), objective.describe(), data.fingerprint, first, *more])

    optimizer = adamw(
        model, lr=recipe.lr, weight_decay=recipe.weight_decay, betas=recipe.betas, eps=recipe.eps,
        no_decay=recipe.no_decay, fused=recipe.fused,
    )  # fmt: skip
    began, waited = time.monotonic(), 0.0
    names = ["train"] if place.main else ["train", place.rank]
    with (
        seeded(derive_seed(recipe.seed, *names), recipe.threads),
        Record(Path(out) if out else None, key, given, place) as record,
    ):
        if start is not None:
            start.put(model, optimizer)
        step = begun = record.resume(model, optimizer)
        _same_hyper_parameters(optimizer, recipe)
        model.train()
        order = np.empty(0, np.int64)
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        draws = getattr(data, "draws", True)
        draw = generator(recipe.seed, "batch", 0)
        figures = _Figures(record, READ_EVERY.get(place.device.type, SELDOM))
        while step < stop:
            epoch, at = divmod(step, per_epoch)
            if at == 0 or step == begun:
                order = generator(recipe.seed, "order", epoch).permutation(len(data))
            before = time.monotonic()
            rows = order[at * recipe.batch : (at + 1) * recipe.batch]
            if draws:  # one per step costs as much as a small batch
                draw = generator(recipe.seed, "batch", step)
            batch = place.share(data.batch(rows, draw))
            waited += time.monotonic() - before
            rate = recipe.rate(step, total, per_epoch)
            found = _step(objective, optimizer, trained, batch, rate, recipe, place)
            step += 1
            figures.add({"step": step, "epoch": epoch, **found})
            if after_step:
                after_step(step)
            if after_epoch and step % per_epoch == 0:
                after_epoch(step // per_epoch, model)
                model.train()
            if step == stop or step in keep or (recipe.checkpoint_every and step % recipe.checkpoint_every == 0):
                figures.read()
                record.save(model, optimizer, step, keep=step in keep)
        if step != record.saved:
            record.save(model, optimizer, step)  # asked to stop before the first step
        last = figures.last or record.last()
    model.eval()
    return Training(step, last, time.monotonic() - began, waited, begun)


def _stop(total: int, until: int | None, keep: Sequence[int], out: Any) -> int:
    for step in (until, *keep):
        if step is not None and not 0 <= step <= total:
            raise AntivenomError(f"step {step} of a training of {total}", f"give a step from 0 to {total}")
    if keep and not out:
        raise AntivenomError("a checkpoint to be kept, and no folder to keep it in", "give `out`")
    return total if until is None else until


def _step(
    objective: Objective,
    optimizer: Any,
    trained: list[Tensor],
    batch: dict[str, Tensor],
    rate: float,
    recipe: Recipe,
    place: OneProcess,
) -> dict[str, Any]:
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss, figures = backward(objective, batch, trained, recipe.accumulate, place)
    found = {"loss": loss, "lr": rate, **figures}
    if place.device.type == "cpu" and not math.isfinite(float(loss)):
        return found  # nothing is trained on it
    if recipe.clip_norm is not None:
        found["grad_norm"] = torch.nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
    optimizer.step()
    objective.after_step()
    place.follow(objective.model)
    return found


class _Figures:
    """The figures of the steps on their way from the device to the record, `every` steps at a time."""

    def __init__(self, record: Record, every: int):
        self.record, self.every = record, every
        self.waiting: list[dict[str, Any]] = []
        self.last: dict[str, Any] = {}

    def add(self, figures: dict[str, Any]) -> None:
        self.waiting.append(figures)
        if len(self.waiting) >= self.every:
            self.read()

    def read(self) -> None:
        """Write what waits.

        Raises:
            Diverged: at the first step whose loss is no number.
        """
        for one in self.waiting:
            line = {k: v if k in ("step", "epoch") else float(v) for k, v in one.items()}
            if not math.isfinite(line["loss"]):
                raise Diverged(
                    f"the loss is {line['loss']} at step {line['step']}",
                    "lower the learning rate, or clip the gradient",
                )
            self.record.add(line)
            self.last = {k: v for k, v in line.items() if k not in ("step", "epoch")}
        self.waiting = []


def _same_hyper_parameters(optimizer: Any, recipe: Recipe) -> None:
    # a checkpoint's optimizer state brings its own hyper-parameters with it (spec 01, T5; spec 04, U1)
    wanted = {0.0, float(recipe.weight_decay)}
    for group in optimizer.param_groups:
        if group["weight_decay"] not in wanted or tuple(group["betas"]) != recipe.betas or group["eps"] != recipe.eps:
            raise AntivenomError(
                "the checkpoint's optimizer has other settings than the recipe", "choose another folder"
            )
