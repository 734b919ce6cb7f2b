"""How to train, as plain data."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from antivenom.errors import AntivenomError
from antivenom.train.optimizer import NO_DECAY
from antivenom.train.schedules import check_schedule, learning_rate

__all__ = ["Recipe"]

HOW = ("checkpoint_every", "accelerate")
"""Settings that the weights do not depend on."""
LATER = ("schedule", "decay", "floor", "precision", "accumulate", "fused")
"""Settings that count only where they are not as they were before there was a choice: keys of older trainings stay valid."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        epochs, batch: passes, and rows per step; the rows that fill no batch are left out of an epoch.
        lr: the highest learning rate.
        warmup: steps of linear warm-up.
        weight_decay, betas, eps: of AdamW.
        no_decay: parts of parameter names without decay.
        clip_norm: largest norm of the whole gradient.
        seed: of order, augmentation and dropout.
        compat: `official` for the schedule of the published code.
        checkpoint_every: steps between checkpoints; one is left at the end in any case.
        threads: of torch; the last bits depend on it. None: as torch has it.
        device: of torch.
        schedule, decay, floor: of the learning rate after the warm-up (see `train.schedules`).
        precision: `fp32`, or `bf16`: the loss under autocast, weights and optimizer in float32.
        accumulate: parts that a batch is cut into, one after the other, for one step of the optimizer. A loss that is a mean over
            rows or tokens stays what it is; a contrastive one has the negatives of its own part alone.
        fused: torch's fused AdamW: faster, and other last bits.
        accelerate: device, precision and processes through Hugging Face Accelerate; on one process the weights are the same.
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
    schedule: str = "cosine"
    decay: float = 0.1
    floor: float = 0.0
    precision: str = "fp32"
    accumulate: int = 1
    fused: bool = False
    accelerate: bool = False

    def determines(self) -> dict[str, Any]:
        """What the weights depend on."""
        usual = {field.name: field.default for field in fields(self)}
        return {
            key: value
            for key, value in asdict(self).items()
            if key not in HOW and not (key in LATER and value == usual[key])
        }

    def rate(self, step: int, total: int, per_epoch: int) -> float:
        """The learning rate of a step."""
        return learning_rate(
            step, total=total, per_epoch=per_epoch, peak=self.lr, warmup=self.warmup, compat=self.compat,
            schedule=self.schedule, decay=self.decay, floor=self.floor,
        )  # fmt: skip

    def steps_per_epoch(self, rows: int, processes: int = 1) -> int:
        """Steps of an epoch over so many rows.

        Raises:
            AntivenomError: for a recipe without a step or with settings that do not go together.
        """
        if self.epochs < 1 or self.batch < 2 or self.lr <= 0:
            raise AntivenomError(
                f"a training of {self.epochs} epochs with {self.batch} rows a step at rate {self.lr}",
                "give at least one epoch, two rows and a rate above 0",
            )
        check_schedule(self.schedule, self.compat, self.warmup, self.decay, self.floor)
        if self.precision not in ("fp32", "bf16"):
            raise AntivenomError(f"there is no precision '{self.precision}'", "choose from: fp32, bf16")
        if self.accumulate < 1 or self.batch % (self.accumulate * processes):
            raise AntivenomError(
                f"{self.batch} rows a step do not fall into {self.accumulate} parts on {processes} processes",
                "give a batch that is a multiple of parts x processes",
            )
        per_epoch = rows // self.batch
        if per_epoch == 0:
            raise AntivenomError(
                f"{rows} rows do not fill a batch of {self.batch}", "give more rows or a smaller batch"
            )
        if self.warmup >= per_epoch * self.epochs:
            raise AntivenomError(
                f"a warm-up of {self.warmup} steps in a training of {per_epoch * self.epochs}",
                "give a shorter warm-up or more epochs",
            )
        return per_epoch
