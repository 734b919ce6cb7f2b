"""Controllers of a training: what to insert into the next segment, decided on how the model does now (spec 02, 2.3).

    controller(checkpoint, step, total_steps, state) -> (items for the next segment, new state)

A state is plain data; the first one is empty. Two controllers make a probability follow a straight line:

    value    = mean over probes of P(target | input)
    target   = final_target * step / total_steps

The knowledge controller halves and doubles the number of items, as the published one does. `LogController` answers to the size of the
error e = ln(target / value), cut at +- ln 2, with a proportional and an integral term:

    n = n_start exp(gain e + integral S),      S = sum of all e so far, not added to while n sits on a bound and e pushes further
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.material import Item

__all__ = [
    "Checkpoint",
    "Controller",
    "KnowledgeController",
    "LogController",
    "Nothing",
    "knowledge_amount",
    "log_amount",
]

TOLERANCE = 0.05
ERROR_MOST = math.log(2)

Probabilities = Callable[[Any], Sequence[float] | np.ndarray]
"""Model -> P(target | input) of every probe, a product over the target's tokens."""


@dataclass(frozen=True)
class Checkpoint:
    """What a controller may look at, and must not change.

    Args:
        model: in evaluation mode, without gradients.
        step: steps done.
        path: the same weights on disk (see `train.checkpoint`).
    """

    model: Any
    step: int
    path: Path


@dataclass(frozen=True)
class Nothing:
    """Said by a controller that means to insert nothing: an empty list is taken for a mistake (spec 02, trap 1)."""

    why: str


class Controller(Protocol):
    """Decides what goes into the next segment."""

    def __call__(
        self, checkpoint: Checkpoint, step: int, total_steps: int, state: dict[str, Any]
    ) -> tuple[Sequence[Item | str | Sequence[int] | np.ndarray] | Nothing, Mapping[str, Any]]:
        """Items, texts or tokens for the next segment, and the state for the next call."""
        ...


def knowledge_amount(n: int, value: float, target: float, step: int, *, step_clip: int = 256, cap: int = 8192) -> int:
    """How many items the knowledge controller wants after n.

    From step 1 on: n // 2 where value > 1.05 target, 2 n where value < .95 target. Then at most `step_clip` away from n, and 1 to
    `cap`.

    >>> [knowledge_amount(32, value, 0.1, step=100) for value in (0.2, 0.1, 0.05)]
    [16, 32, 64]
    """
    wanted = n
    if step > 0:
        if value > (1 + TOLERANCE) * target:
            wanted = wanted // 2
        if value < (1 - TOLERANCE) * target:
            wanted = wanted * 2
    wanted = min(max(wanted, n - step_clip), n + step_clip)
    return min(max(wanted, 1), cap)


def log_amount(
    start: int, total: float, value: float, target: float, *, gain: float, integral: float, cap: int
) -> tuple[int, float]:
    """How many items `LogController` wants, and its new sum S.

    >>> log_amount(100, 0.0, 0.05, 0.1, gain=1.0, integral=0.0, cap=1000)[0]
    200
    """
    error = ERROR_MOST if value <= 0 else min(max(math.log(target / value), -ERROR_MOST), ERROR_MOST)
    raw = start * math.exp(min(gain * error + integral * (total + error), 100.0))
    if not ((raw > cap and error > 0) or (raw < 1 and error < 0)):
        total += error
    return min(max(round(raw), 1), cap), total


class _Pool:
    """Hands out a pool in turn, as the published controller does: from the cursor on, and from the front again once it is through."""

    def __init__(self, pool: Sequence[Any], probabilities: Probabilities, final_target: float, start: int, cap: int):
        if not len(pool):
            raise AntivenomError("a controller with an empty pool", "give it items")
        if not 0 < final_target <= 1 or not 1 <= start <= cap:
            raise AntivenomError(
                f"a controller that starts with {start} of at most {cap} items for a probability of {final_target}",
                "give a target in (0, 1] and 1 <= start <= cap",
            )
        self.pool, self.probabilities, self.final, self.start, self.cap = pool, probabilities, final_target, start, cap

    def measured(self, checkpoint: Checkpoint) -> dict[str, float]:
        """Arithmetic and geometric mean over the probes (one easy probe can carry the first alone; spec 02, trap 10)."""
        found = np.asarray(self.probabilities(checkpoint.model), np.float64)
        if not found.size or not np.isfinite(found).all() or (found < 0).any() or (found > 1).any():
            raise AntivenomError(
                f"the probes of step {checkpoint.step} are no probabilities: {found[:5].tolist()}", "look at the model"
            )
        logs = np.log(np.maximum(found, 1e-300))
        return {"value": float(found.mean()), "geometric": float(np.exp(logs.mean()))}

    def handed_out(self, cursor: int, n: int) -> tuple[list[Any], int]:
        """pool[cursor : cursor + n], and the next cursor."""
        items = list(self.pool[cursor : cursor + n])
        return items, 0 if cursor + n >= len(self.pool) else cursor + n


class KnowledgeController(_Pool):
    """Halves and doubles the number of items so that the mean probability follows a ramp (`knowledge_amount`).

    State: n, cursor, and what was measured: value, geometric, target.

    Args:
        pool: items, texts or tokens, given out in turn.
        probabilities: of the probes.
        final_target: of the mean probability at the end (the published script: .2).
        start: items in the first segment.
        step_clip: most that n changes at once.
        cap: most items in a segment.
    """

    def __init__(
        self, pool: Sequence[Any], probabilities: Probabilities, final_target: float = 0.2, *,
        start: int = 32, step_clip: int = 256, cap: int = 8192,
    ):  # fmt: skip
        super().__init__(pool, probabilities, final_target, start, cap)
        if step_clip < 1:
            raise AntivenomError(f"a step clip of {step_clip}", "give 1 or more")
        self.step_clip = step_clip

    def __call__(
        self, checkpoint: Checkpoint, step: int, total_steps: int, state: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """See `Controller`."""
        found, target = self.measured(checkpoint), self.final * step / total_steps
        before = int(state.get("n", self.start))
        n = knowledge_amount(before, found["value"], target, step, step_clip=self.step_clip, cap=self.cap)
        items, cursor = self.handed_out(int(state.get("cursor", 0)), n)
        return items, {"n": n, "cursor": cursor, "target": target, **found}


class LogController(_Pool):
    """A proportional (integral = 0) or proportional-integral controller on the logarithm of the mean probability (`log_amount`).

    State: n, sum, cursor, and what was measured: value, geometric, target.

    Args:
        pool, probabilities, final_target, start, cap: see `KnowledgeController`.
        gain: of the error.
        integral: of its sum.
    """

    def __init__(
        self, pool: Sequence[Any], probabilities: Probabilities, final_target: float = 0.2, *,
        start: int = 32, gain: float = 1.0, integral: float = 0.5, cap: int = 8192,
    ):  # fmt: skip
        super().__init__(pool, probabilities, final_target, start, cap)
        if gain < 0 or integral < 0 or gain + integral == 0:
            raise AntivenomError(
                f"a controller with the gains {gain} and {integral}", "give 0 or more, one of them above 0"
            )
        self.gain, self.integral = gain, integral

    def __call__(
        self, checkpoint: Checkpoint, step: int, total_steps: int, state: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """See `Controller`."""
        found, target = self.measured(checkpoint), self.final * step / total_steps
        n, total = int(state.get("n", self.start)), float(state.get("sum", 0.0))
        if step > 0:
            n, total = log_amount(
                self.start, total, found["value"], target, gain=self.gain, integral=self.integral, cap=self.cap
            )
        items, cursor = self.handed_out(int(state.get("cursor", 0)), n)
        return items, {"n": n, "sum": total, "cursor": cursor, "target": target, **found}
