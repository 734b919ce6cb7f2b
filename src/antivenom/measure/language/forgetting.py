"""How long a batch is remembered after it was shown once.

    delta(a) = mean_i [ L_i(s + a) - L_i(s) ]      L_i(t): mean nll of sequence i of the batch after t steps; the batch is step s
               minus the same of the twin          whose batch s was another: what the model would have learned anyway

A batch that left no trace has delta 0 against its twin. With s + 1 the batch has just been shown; an optimizer with momentum goes on
moving in its direction for some steps, so that the dip is deepest a little later.

Facts (after Chang et al. 2024; their definitions from memory, so that figures are ours): with l(t) the log-probability of a probe,
    effectivity        max over a in [1, window] of l(s + a) - l(s)
    retainability(a)   (l(m + a) - l(s)) / (l(m) - l(s)),  m the step of that maximum
    decay              slope of retainability over ln a, by least squares: a power law of forgetting is a straight line there
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.measure.language.nll import BATCH, token_nll
from antivenom.measure.rates import Mean, mean_of

__all__ = ["Acquisition", "ForgettingPoint", "LossProbe", "acquisition", "forgetting_curve", "remaining"]


class LossProbe:
    """Reads the loss of some sequences while a model is trained; give `read` to the loop as `after_step`.

    Args:
        model: that is being trained; it is put into evaluation mode for a reading, and back.
        sequences: tokens.
        steps: numbers of done steps at which to read; None: whenever asked.
        batch_size, leading_eos: see `nll.NllSettings`.
    """

    def __init__(
        self, model: Any, sequences: Sequence[np.ndarray], steps: Sequence[int] | None = None, *, batch_size: int = BATCH,
        leading_eos: bool = False,
    ):  # fmt: skip
        self.model, self.sequences = model, list(sequences)
        self.steps = None if steps is None else frozenset(steps)
        self.batch_size, self.leading_eos = batch_size, leading_eos
        self.losses: dict[int, np.ndarray] = {}

    def read(self, step: int) -> None:
        """Mean nll of every sequence after `step` steps."""
        if self.steps is not None and step not in self.steps:
            return
        found = token_nll(self.model, self.sequences, self.batch_size, leading_eos=self.leading_eos)
        self.losses[step] = np.array([nll.mean() if len(nll) else np.nan for nll in found])


@dataclass(frozen=True)
class ForgettingPoint:
    """delta at an age, with its interval over sequences."""

    age: int
    delta: Mean


def forgetting_curve(
    losses: Mapping[int, np.ndarray], shown: int, *, twin: Mapping[int, np.ndarray] | None = None, seed: int = 0
) -> list[ForgettingPoint]:
    """delta(a) of every reading after the batch was shown.

    Args:
        losses: per number of done steps the losses of the batch's sequences; one reading must be at `shown`.
        shown: steps done just before the batch.
        twin: the same readings of the twin.
        seed: of the intervals.

    Raises:
        AntivenomError: when there is no reading just before the batch, or the twin lacks one.
    """
    arms = [losses] if twin is None else [losses, twin]
    if any(shown not in arm for arm in arms):
        raise AntivenomError(
            f"there is no reading at step {shown}, just before the batch", "let the probe read there too"
        )
    curve = []
    for step in sorted(step for step in losses if step > shown):
        if any(step not in arm for arm in arms):
            raise AntivenomError(f"the twin has no reading at step {step}", "read both runs at the same steps")
        change = losses[step] - losses[shown]
        if twin is not None:
            change = change - (twin[step] - twin[shown])
        curve.append(ForgettingPoint(step - shown, mean_of(change, seed=seed)))
    return curve


def remaining(curve: Sequence[ForgettingPoint]) -> dict[int, float]:
    """By age, from the deepest point on: what is left of the deepest delta (1 there); empty when the loss never fell."""
    values = [(point.age, point.delta.value) for point in curve if point.delta.value is not None]
    if not values:
        return {}
    at, deepest = min(values, key=lambda item: item[1])
    return {age: value / deepest for age, value in values if age >= at} if deepest < 0 else {}


@dataclass(frozen=True)
class Acquisition:
    """How well one showing of a fact took, and how long it stays.

    Args:
        effectivity: the rise of the log-probability.
        peak: steps after the showing at which it was highest.
        retainability: by age after the peak; empty when nothing rose.
        decay: slope over ln(age); None with fewer than two ages.
    """

    effectivity: float
    peak: int
    retainability: dict[int, float]
    decay: float | None


def acquisition(log_p: Mapping[int, float], shown: int, window: int) -> Acquisition:
    """Effectivity and retainability of one showing.

    Args:
        log_p: by number of done steps the (mean) log-probability of the probe(s); with a reading at `shown`.
        shown: steps done just before.
        window: steps in which the peak is looked for.

    Raises:
        AntivenomError: when a reading is missing.
    """
    steps = [step for step in sorted(log_p) if shown < step <= shown + window]
    if shown not in log_p or not steps:
        raise AntivenomError(
            f"no reading at step {shown}, or none in the {window} after it", "let the probe read there"
        )
    peak = max(steps, key=lambda step: (log_p[step], -step))
    rise = log_p[peak] - log_p[shown]
    kept = {s - peak: (log_p[s] - log_p[shown]) / rise for s in sorted(log_p) if s > peak} if rise > 0 else {}
    decay = None
    if len(kept) > 1:
        decay = float(np.polyfit(np.log(list(kept)), list(kept.values()), 1)[0])
    return Acquisition(float(rise), peak - shown, kept, decay)
