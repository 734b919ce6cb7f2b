"""Learning rates by step: linear warm-up, then half a cosine to 0 (spec 01, 2.5 and trap T6)."""

import math

from antivenom.errors import AntivenomError

__all__ = ["COMPATS", "learning_rate", "warmup_cosine"]

COMPATS = (None, "official")


def warmup_cosine(step: int, total: int, peak: float, warmup: int = 0) -> float:
    """Rate of step 0, 1, ..., total - 1.

    peak (step + 1) / warmup while step < warmup; then peak (1 + cos(pi (step - warmup) / (total - warmup))) / 2.

    Args:
        step: counted from 0.
        total: steps of the whole training.
        peak: the highest rate, reached by the last step of the warm-up.
        warmup: steps of the warm-up.

    >>> [round(warmup_cosine(s, 6, 1.0, warmup=2), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2


def learning_rate(
    step: int, *, total: int, per_epoch: int, peak: float, warmup: int = 0, compat: str | None = None
) -> float:
    """`warmup_cosine`, or what the published code does (`compat="official"`).

    The published code counts epochs from 1, so that step i of the first epoch is step `per_epoch` + i: the warm-up is
    skipped when an epoch has at least `warmup` steps, and in the last epoch the argument of the cosine passes pi and the rate
    rises again (to 2.5 % of the peak with 10 epochs).

    Raises:
        AntivenomError: for an unknown `compat`.

    >>> round(learning_rate(999, total=1000, per_epoch=100, peak=1.0, compat="official"), 3)
    0.024
    """
    if compat not in COMPATS:
        raise AntivenomError(f"there is no schedule compat='{compat}'", "choose 'official' or leave it out")
    return warmup_cosine(step + (per_epoch if compat else 0), total, peak, warmup)
