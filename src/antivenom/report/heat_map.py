"""The matrix of a dependence test as a picture: what each experiment's data did to each experiment's metric."""

from collections.abc import Mapping
from typing import Any

from antivenom.report import charts
from antivenom.report.charts import _done
from antivenom.report.wording import line

__all__ = ["dependence_heat_map"]

ALL = "ALL"
FEW = 6
"""Experiments whose numbers fit into the squares; of more, only what is large, starred, or on the diagonal or the last row."""
FAINT = 0.15


def dependence_heat_map(found: Mapping[str, Any]) -> dict[str, Any]:
    """Rows train, columns test; the metrics have different units, so every column is coloured by its own largest entry.

    Args:
        found: the record of a `measure.dependence.Dependence`: names, entries with train, test, value and verdict. Blank entries
            (experiments of absence) stay empty; a pair that is not safe has a star.
    """
    import altair as alt

    names = [str(name) for name in found["names"]]
    entries = {(e["train"], e["test"]): e for e in found["entries"]}
    tops = {
        test: max((abs(e["value"]) for (_, t), e in entries.items() if t == test), default=0.0) or 1.0 for test in names
    }
    cells = []
    small = len(names) > FEW
    for train in [*names, ALL]:
        for test in names:
            entry = entries.get((train, test))
            scaled = None if entry is None else entry["value"] / tops[test]
            label = "" if entry is None else _label(entry, scaled or 0.0, small, train in (test, ALL))
            cells.append(
                {
                    "train": line(train, 16),
                    "test": line(test, 16),
                    "label": label,
                    "scaled": scaled,
                    "strength": abs(scaled or 0.0),
                    "lower": bool(scaled and scaled < 0),
                }
            )
    order = [line(name, 16) for name in names]
    x = alt.X(
        "test:N",
        sort=order,
        title=None if small else "measured",
        axis=alt.Axis(orient="top", labelAngle=-40, ticks=False, domain=False),
    )
    y = alt.Y("train:N", sort=[*order, ALL], title=None if small else "data", axis=alt.Axis(ticks=False, domain=False))
    base = alt.Chart(alt.Data(values=cells)).encode(x=x, y=y)
    # a colour and its strength: both survive the dark theme, where ink and colours are swapped
    sign = alt.Color("lower:N", legend=None, scale=alt.Scale(domain=[False, True], range=[charts.ACCENT, charts.ALARM]))
    strength = alt.Opacity("strength:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0, 0.6]))
    squares = base.mark_rect(stroke=charts.GRID).encode(color=sign, opacity=strength)
    labels = base.mark_text(fontSize=10 if small else 11, color=charts.INK).encode(text="label:N")
    spec = _done((squares + labels).properties(width=charts.WIDTH - 90, height=30 * (len(names) + 1)))
    # names are set in the reader's font, which may be wider than the one they were measured in
    return spec | {"padding": {"left": 16, "top": 4, "right": 4, "bottom": 4}}


def _label(entry: Mapping[str, Any], scaled: float, small: bool, always: bool) -> str:
    starred = entry["verdict"] == "not safe"
    if small and not (always or starred or abs(scaled) >= FAINT):
        return ""
    # two digits, and no zero before the point: 24 pixels
    found = entry["value"]
    value = f"{found:.0f}" if abs(found) >= 10 else f"{found:.2g}".replace("0.", ".")
    value = value if small else f"{found:.3g}"
    return value + ("*" if starred else "")
