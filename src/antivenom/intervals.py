"""Intervals for rates: pure arithmetic, below every floor that prints a figure."""

from math import sqrt
from statistics import NormalDist

__all__ = ["wilson"]


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
    """The Wilson score interval of a proportion.

    With p = k / n and z the normal quantile of (1 + level) / 2:
    centre = (p + z^2 / 2n) / (1 + z^2 / n), half = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n).

    Returns:
        (low, high), or (None, None) for n = 0: a missing rate is missing, never 0.

    Raises:
        ValueError: when `successes` is not in [0, n].

    >>> low, high = wilson(8, 10)
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)
    """
    if n == 0:
        return None, None
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} trials")
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)
