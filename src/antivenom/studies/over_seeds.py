"""From cells to figures: the mean over seeds with its interval; the values of every seed are kept beside it."""

import statistics
from collections.abc import Sequence
from typing import Any

__all__ = ["NO_DIFFERENCE", "summarise"]

NO_DIFFERENCE = "no difference"
"""The control (0) of a response that is itself a difference: it can be negative, whatever this run's seeds say."""


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over seeds per metric, dose and treatment.

    Interval: with three seeds or more mean +- t(.975, k - 1) s / sqrt(k); with one seed that seed's own; with two none (two
    values say too little). Missing values are left out of the mean and counted in `missing`.
    """
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["metric"], row["dose"], row["treatment"]), []).append(row)
    return [_summary(key, members) for key, members in groups.items()]


def _summary(key: tuple, members: list[dict[str, Any]]) -> dict[str, Any]:
    from scipy.stats import t

    there = [m for m in members if m["value"] is not None]
    values = [m["value"] for m in there]
    controls = [m["control"] for m in members if m["control"] is not None]
    mean = statistics.fmean(values) if values else None
    low, high = (members[0]["low"], members[0]["high"]) if len(members) == 1 else (None, None)
    if len(values) >= 3 and mean is not None:
        half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
        low, high = mean - half, mean + half
        rate = all(m["low"] is not None and m["low"] >= 0 and m["high"] <= 1 for m in there)
        if rate and all(m.get("control_name") != NO_DIFFERENCE for m in there):
            low, high = max(0.0, low), min(1.0, high)  # a rate cannot leave [0, 1]
    return {
        "metric": key[0],
        "dose": key[1],
        "treatment": key[2],
        "value": mean,
        "low": low,
        "high": high,
        "seeds": len(values),
        "missing": len(members) - len(there),
        "values": {m.get("seed"): m["value"] for m in members},
        "control": statistics.fmean(controls) if controls else None,
        "control_name": next((m["control_name"] for m in members if m["control_name"]), None),
    }
