"""I.i.d. replacement: fresh text of the same kind as the run's own. Does touching the data matter at all?

recency-0 .. 9   inserted in the k-th tenth of the run
uniqueness       every text once, against a tenth of the texts ten times
ratio            other shares of the run
"""

from collections.abc import Callable

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.material import Item, Material, repeated
from antivenom.randomness import generator

__all__ = ["iid_replacement"]

TENTHS = 10


def iid_replacement(
    fresh: Callable[[int, np.random.Generator], np.ndarray],
    *,
    per_condition: int,
    ratios: tuple[float, ...] = (0.5, 2.0),
    held_out: int | None = None,
    seed: int = 0,
    name: str = "iid",
) -> Material:
    """All conditions, and held-out text as controls.

    Args:
        fresh: (n, draw) -> n sequences of the run's own kind, int (n, L).
        per_condition: sequences of a condition.
        ratios: `ratio-r` inserts r times as many.
        held_out: controls; as many as a condition has when not given.

    Raises:
        AntivenomError: for fewer sequences than uniqueness needs.
    """
    if per_condition < TENTHS:
        raise AntivenomError(
            f"{per_condition} sequences per condition", f"give {TENTHS} at least: a tenth of them is repeated"
        )

    def made(condition: str, n: int) -> list[Item]:
        rows = fresh(n, generator(seed, name, condition))
        return [Item(np.asarray(row, np.int64), f"{name}-{condition}-{i}", condition) for i, row in enumerate(rows)]

    items: list[Item] = []
    window = {}
    for tenth in range(TENTHS):
        items += made(f"recency-{tenth}", per_condition)
        window[f"recency-{tenth}"] = (tenth / TENTHS, (tenth + 1) / TENTHS)
    items += made("unique-once", per_condition)
    items += [copy for item in made("unique-repeated", per_condition // TENTHS) for copy in repeated(item, TENTHS)]
    for ratio in ratios:
        items += made(f"ratio-{ratio:g}", max(1, round(ratio * per_condition)))
    controls = made("held out", per_condition if held_out is None else held_out)
    return Material(name, tuple(items), tuple(controls), window=window)
