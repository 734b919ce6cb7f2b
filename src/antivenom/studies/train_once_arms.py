"""What the measures of the study `train-once` may look at, and what they share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from antivenom.measure.rates import Rate
from antivenom.randomness import generator
from antivenom.studies.frame import Response
from antivenom.studies.train_once_material import Corpus, Materials

__all__ = ["TWIN", "Arms", "contrast", "rate_response"]

TWIN = "the twin without the experiments"


@dataclass(frozen=True, eq=False)
class Arms:
    """What a measure may look at.

    Args:
        given: settings.
        seed: of the cell.
        corpus, materials: see `train_once_material`.
        run, twin: the trained models.
        reference: a third model that never saw any experiment: the twin half-way.
        losses: arm -> number of steps done -> mean loss of every row of `fc`, shown ones first.
        placed: experiment -> condition -> (placements, tokens, first step, last step).
        ramp: of `ka`, one line per segment.
        seconds: arm -> of its training, on the clock.
    """

    given: dict[str, Any]
    seed: int
    corpus: Corpus
    materials: Materials
    run: Any
    twin: Any
    reference: Any
    losses: dict[str, dict[int, np.ndarray]]
    placed: dict[str, dict[str, tuple[int, int, int, int]]]
    ramp: list[dict[str, Any]]
    seconds: dict[str, float]

    @property
    def run_tokens(self) -> int:
        """The denominator of every share."""
        return self.corpus.rows.size

    def amount(self, name: str, wanted: Callable[[str], bool] = lambda condition: True) -> tuple[int, int]:
        """Placements and tokens, end tokens included, of an experiment's conditions."""
        mine = [numbers for condition, numbers in self.placed[name].items() if wanted(condition)]
        return sum(n for n, *_ in mine), sum(tokens for _, tokens, *_ in mine)

    def share(self, name: str, wanted: Callable[[str], bool] = lambda condition: True) -> float:
        """Tokens of an experiment's conditions / tokens of the run."""
        return self.amount(name, wanted)[1] / self.run_tokens

    def both(self, measure: Callable[[Any], Any]) -> tuple[Any, Any]:
        """The measure of the run and of the twin."""
        return measure(self.run), measure(self.twin)


def rate_response(
    metric: str, ours: Rate, control: float | None, name: str, dose: int, share: float, unit: str
) -> Response:
    """A rate with its Wilson interval as a response."""
    return Response(metric, ours.value, ours.n, ours.low, ours.high, control, name, dose, share, unit)


def contrast(mine: np.ndarray, others: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Mean of the one minus mean of the other, with its bootstrap interval; both are resampled, each by itself."""
    draw = generator(seed, "contrast", len(mine), len(others))
    found = [
        mine[draw.integers(0, len(mine), len(mine))].mean() - others[draw.integers(0, len(others), len(others))].mean()
        for _ in range(1_000)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(mine.mean() - others.mean()), float(low), float(high)
