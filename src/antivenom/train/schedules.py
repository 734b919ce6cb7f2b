"""Learning rates by step: warm-up, then half a cosine, a straight line, or a plateau with a fall (spec 01, 2.5 and T6; spec 02, 2.6).

With t = step counted from 0, W steps of warm-up, T steps in all, and D = decay * T steps of fall:

    warm-up          peak (t + 1) / W                                    while t < W
    cosine           floor + (peak - floor) (1 + cos(pi (t - W) / (T - W))) / 2
    linear           peak (T - t) / (T - W)
    constant         peak
    constant-linear  peak min(1, (T - t) / D)                            constant, then down to 0 (spec 02, 6: D = T / 10)
"""

import math

from antivenom.errors import AntivenomError

__all__ = ["COMPATS", "SCHEDULES", "check_schedule", "constant_linear", "learning_rate", "two_stages", "warmup_cosine"]

COMPATS = (None, "official", "two-stage")
SCHEDULES = ("cosine", "linear", "constant", "constant-linear")


def warmup_cosine(step: int, total: int, peak: float, warmup: int = 0, floor: float = 0.0) -> float:
    """Rate of step 0, 1, ..., total - 1.

    peak (step + 1) / warmup while step < warmup; then peak (1 + cos(pi (step - warmup) / (total - warmup))) / 2.

    Args:
        step: counted from 0.
        total: steps of the whole training.
        peak: the highest rate, reached by the last step of the warm-up.
        warmup: steps of the warm-up.
        floor: the rate that the cosine falls to; 0 as in CleanCLIP, peak / 10 as in OLMo.

    >>> [round(warmup_cosine(s, 6, 1.0, warmup=2), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    wave = 1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))
    return floor + (peak - floor) * wave / 2 if floor else peak * wave / 2


def constant_linear(step: int, total: int, peak: float, warmup: int = 0, decay: float = 0.1) -> float:
    """Warm-up, the peak, and over the last `decay` of the steps a straight line to 0, which step `total` would reach.

    >>> [round(constant_linear(s, 10, 1.0, warmup=2, decay=0.4), 3) for s in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    fall = round(decay * total)
    return peak * min(1.0, (total - step) / fall) if fall else peak


def two_stages(step: int, total: int, peak: float) -> float:
    """The rate of PAR (arXiv 2412.00727, as spec 01, section 9 gives it): 3e-5 to 3e-6 over the first half, then a cosine to 1e-9.

    With half = total / 2: peak (1 - 0.9 step / half) while step < half; then end + (peak / 10 - end) (1 + cos(pi (step - half) /
    (total - half))) / 2 with end = peak / 30,000. That the first fall is a straight line is our reading.

    >>> [f"{two_stages(s, 4, 3e-5):.2e}" for s in range(4)]
    ['3.00e-05', '1.65e-05', '3.00e-06', '1.50e-06']
    """
    half, low, end = total / 2, peak / 10, peak / 30_000
    if step < half:
        return peak + (low - peak) * step / half
    return end + (low - end) * (1 + math.cos(math.pi * (step - half) / (total - half))) / 2


def check_schedule(schedule: str, compat: str | None, warmup: int, decay: float, floor: float) -> None:
    """Refuse what is no schedule.

    Raises:
        AntivenomError: for an unknown schedule or `compat`, a combination of the two, a warm-up of the rate that has none, or
            a decay or floor outside of its range.
    """
    if compat not in COMPATS:
        raise AntivenomError(
            f"there is no schedule compat='{compat}'", "choose 'official' or 'two-stage', or leave it out"
        )
    if schedule not in SCHEDULES:
        raise AntivenomError(f"there is no schedule '{schedule}'", f"choose from: {', '.join(SCHEDULES)}")
    if compat and (schedule != "cosine" or floor):
        raise AntivenomError(
            f"the schedule '{schedule}' with compat='{compat}' and floor {floor}", "compat is a schedule of its own"
        )
    if compat == "two-stage" and warmup:
        raise AntivenomError(f"a warm-up of {warmup} steps before PAR's two stages", "they have none: give 0")
    if not 0 <= decay <= 1 or not 0 <= floor <= 1:
        raise AntivenomError(f"a decay of {decay} and a floor of {floor}", "give shares from 0 to 1")


def learning_rate(
    step: int,
    *,
    total: int,
    per_epoch: int,
    peak: float,
    warmup: int = 0,
    compat: str | None = None,
    schedule: str = "cosine",
    decay: float = 0.1,
    floor: float = 0.0,
) -> float:
    """One of `SCHEDULES`, or what the published code does (`compat="official"`), or PAR's `two_stages` (`compat="two-stage"`).

    The published code counts epochs from 1, so that step i of the first epoch is step `per_epoch` + i: the warm-up is
    skipped when an epoch has at least `warmup` steps, and in the last epoch the argument of the cosine passes pi and the rate
    rises again (to 2.5 % of the peak with 10 epochs).

    Args:
        step, total, peak, warmup: see `warmup_cosine`.
        per_epoch: steps of an epoch.
        compat, schedule: which rate.
        decay: share of the steps that fall (constant-linear).
        floor: end of the cosine, as a share of the peak.

    Raises:
        AntivenomError: see `check_schedule`.

    >>> round(learning_rate(999, total=1000, per_epoch=100, peak=1.0, compat="official"), 3)
    0.024
    """
    check_schedule(schedule, compat, warmup, decay, floor)
    if compat == "two-stage":
        return two_stages(step, total, peak)
    if schedule == "cosine":
        return warmup_cosine(step + (per_epoch if compat else 0), total, peak, warmup, floor * peak)
    if schedule == "linear" and step >= warmup:
        return peak * (total - step) / (total - warmup)
    return constant_linear(step, total, peak, warmup, decay if schedule == "constant-linear" else 0.0)
