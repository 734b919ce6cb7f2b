"""The training loop: every step is a function of the seed, so a run that is killed and resumed ends in the same bytes.

    order of epoch e      generator(seed, "order", e).permutation(n)
    augmentation          generator(seed, "batch", step), handed to the data
    learning rate         a function of the step
    dropout and the like  torch's generator; its state is in the checkpoint

A run with a folder leaves there `checkpoint.pt` (weights, optimizer, generator state, step) and `metrics.jsonl` (one line per
step). Called again with the same arguments, `fit` goes on from the checkpoint; a finished run is read back.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
import torch
from torch import Tensor

from antivenom.errors import AntivenomError
from antivenom.models.torch_runtime import seeded
from antivenom.randomness import derive_seed, generator
from antivenom.report.run_directory import atomic_file, fingerprint
from antivenom.train.objectives import Objective
from antivenom.train.optimizer import NO_DECAY, adamw
from antivenom.train.schedules import learning_rate

__all__ = ["Diverged", "Recipe", "Source", "Training", "fit", "model_hash"]


class Diverged(AntivenomError):
    """The loss is no number any more: the run has no result (and none that could be taken for a repair)."""


class Source(Protocol):
    """The rows of a training."""

    fingerprint: str
    """Hash of everything that the batches depend on."""

    def __len__(self) -> int:
        """Rows."""
        ...

    def batch(self, rows: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """A batch of these rows; everything random in it comes from `draw`."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        epochs, batch: passes, and rows per step; the rows that fill no batch are left out of an epoch.
        lr: the highest learning rate.
        warmup: steps of linear warm-up; then half a cosine to 0.
        weight_decay, betas, eps: of AdamW.
        no_decay: parts of parameter names without decay.
        clip_norm: largest norm of the whole gradient.
        seed: of order, augmentation and dropout.
        compat: `official` for the schedule of the published code.
        checkpoint_every: steps between checkpoints; one is left at the end in any case.
        threads: of torch; the last bits depend on it. None: as torch has it.
        device: of torch.
    """

    epochs: int
    batch: int
    lr: float
    warmup: int = 0
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    no_decay: Sequence[str] = NO_DECAY
    clip_norm: float | None = None
    seed: int = 0
    compat: str | None = None
    checkpoint_every: int | None = None
    threads: int | None = 1
    device: str = "cpu"

    def determines(self) -> dict[str, Any]:
        """What the weights depend on."""
        return {key: value for key, value in asdict(self).items() if key != "checkpoint_every"}


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
) -> Training:
    """Train the objective's model in place, with a fresh optimizer; it is left in evaluation mode.

    Args:
        objective: a model and its loss.
        data: the rows.
        recipe: how.
        out: the folder to resume from and to leave checkpoint and metrics in.
        after_step: is told the number of steps done.
        after_epoch: is handed the number of epochs done and the model; it may evaluate it, and must not change it.

    Raises:
        AntivenomError: for a recipe without a step, a batch that is larger than the data, or a folder of another training.
        Diverged: when the loss is no number.
    """
    per_epoch = _check(len(data), recipe)
    total = per_epoch * recipe.epochs
    model = objective.model.to(recipe.device)
    key = fingerprint(["fit", recipe.determines(), objective.describe(), data.fingerprint, model_hash(model)])
    optimizer = adamw(
        model, lr=recipe.lr, weight_decay=recipe.weight_decay, betas=recipe.betas, eps=recipe.eps,
        no_decay=recipe.no_decay,
    )  # fmt: skip
    start, seconds, waited, last = time.monotonic(), 0.0, 0.0, {}
    with seeded(derive_seed(recipe.seed, "train"), recipe.threads):
        record = _Record(Path(out) if out else None, key)
        step = begun = record.resume(model, optimizer)
        _same_hyper_parameters(optimizer, recipe)
        model.train()
        order = np.empty(0, np.int64)
        while step < total:
            epoch, place = divmod(step, per_epoch)
            if place == 0 or step == begun:
                order = generator(recipe.seed, "order", epoch).permutation(len(data))
            before = time.monotonic()
            batch = data.batch(
                order[place * recipe.batch : (place + 1) * recipe.batch], generator(recipe.seed, "batch", step)
            )
            batch = {name: value.to(recipe.device) for name, value in batch.items()}
            waited += time.monotonic() - before
            last = _step(objective, optimizer, batch, recipe, step, total, per_epoch)
            step += 1
            record.add({"step": step, "epoch": epoch, **last})
            if after_step:
                after_step(step)
            if after_epoch and step % per_epoch == 0:
                after_epoch(step // per_epoch, model)
                model.train()
            if step == total or (recipe.checkpoint_every and step % recipe.checkpoint_every == 0):
                record.save(model, optimizer, step)
        last = last or record.last()
    model.eval()
    seconds = time.monotonic() - start
    return Training(total, last, seconds, waited, begun)


def _check(rows: int, recipe: Recipe) -> int:
    if recipe.epochs < 1 or recipe.batch < 2 or recipe.lr <= 0:
        raise AntivenomError(
            f"a training of {recipe.epochs} epochs with {recipe.batch} rows a step at rate {recipe.lr}",
            "give at least one epoch, two rows and a rate above 0",
        )
    per_epoch = rows // recipe.batch
    if per_epoch == 0:
        raise AntivenomError(f"{rows} rows do not fill a batch of {recipe.batch}", "give more rows or a smaller batch")
    if recipe.warmup >= per_epoch * recipe.epochs:
        raise AntivenomError(
            f"a warm-up of {recipe.warmup} steps in a training of {per_epoch * recipe.epochs}",
            "give a shorter warm-up or more epochs",
        )
    return per_epoch


def _step(
    objective: Objective, optimizer: Any, batch: dict, recipe: Recipe, step: int, total: int, per_epoch: int
) -> dict[str, Any]:
    rate = learning_rate(
        step, total=total, per_epoch=per_epoch, peak=recipe.lr, warmup=recipe.warmup, compat=recipe.compat
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss, figures = objective.loss(batch)
    value = float(loss.detach())
    if not np.isfinite(value):
        raise Diverged(f"the loss is {value} at step {step + 1}", "lower the learning rate, or clip the gradient")
    loss.backward()
    if recipe.clip_norm is not None:
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        figures["grad_norm"] = torch.nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
    optimizer.step()
    objective.after_step()
    return {"loss": value, "lr": rate, **{name: float(figure) for name, figure in figures.items()}}


def _same_hyper_parameters(optimizer: Any, recipe: Recipe) -> None:
    # a checkpoint's optimizer state brings its own hyper-parameters with it (spec 01, T5; spec 04, U1)
    wanted = {0.0, float(recipe.weight_decay)}
    for group in optimizer.param_groups:
        if group["weight_decay"] not in wanted or tuple(group["betas"]) != recipe.betas or group["eps"] != recipe.eps:
            raise AntivenomError(
                "the checkpoint's optimizer has other settings than the recipe", "choose another folder"
            )


def model_hash(model: Any) -> str:
    """Hash of all weights and buffers by name, 16 hex digits."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(model.state_dict().items()):
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name}\0{tuple(value.shape)}\0{value.dtype}\0".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _Record:
    """The folder of a training: its checkpoint and its metrics."""

    def __init__(self, out: Path | None, key: str):
        self.out, self.key = out, key
        self.lines: list[bytes] = []
        if out:
            out.mkdir(parents=True, exist_ok=True)

    def resume(self, model: Any, optimizer: Any) -> int:
        """Load the checkpoint; steps done. Lines of steps after it are taken back: they will be done again."""
        if self.out is None or not (self.out / "checkpoint.pt").exists():
            self._metrics([])
            return 0
        path = self.out / "checkpoint.pt"
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
            if found["key"] != self.key:
                raise AntivenomError(f"{self.out} holds another training", "choose another folder")
            model.load_state_dict(found["model"])
            optimizer.load_state_dict(found["optimizer"])
            torch.random.set_rng_state(found["generator"])
        except AntivenomError:
            raise
        except Exception as error:  # a damaged file shows as an error of the archive, of the reader or of a key
            raise AntivenomError(
                f"{path} cannot be read: {str(error).splitlines()[0]}", "remove it to begin again"
            ) from error
        metrics = self.out / "metrics.jsonl"
        lines = metrics.read_bytes().splitlines() if metrics.exists() else []
        self._metrics(lines[: found["step"]])
        return int(found["step"])

    def _metrics(self, lines: list[bytes]) -> None:
        self.before = lines
        if self.out:
            with atomic_file(self.out / "metrics.jsonl") as temporary:
                Path(temporary).write_bytes(b"".join(line + b"\n" for line in lines))

    def add(self, figures: dict[str, Any]) -> None:
        """A line of metrics, written at once."""
        if self.out:
            with (self.out / "metrics.jsonl").open("ab") as file:
                file.write(orjson.dumps(figures, option=orjson.OPT_APPEND_NEWLINE))

    def last(self) -> dict[str, Any]:
        """The figures of the last recorded step."""
        if not self.before:
            return {}
        return {k: v for k, v in orjson.loads(self.before[-1]).items() if k not in ("step", "epoch")}

    def save(self, model: Any, optimizer: Any, step: int) -> None:
        """The checkpoint, whole or not at all."""
        if self.out:
            with atomic_file(self.out / "checkpoint.pt") as temporary:
                state = {
                    "key": self.key,
                    "step": step,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "generator": torch.random.get_rng_state(),
                }
                torch.save(state, temporary)
