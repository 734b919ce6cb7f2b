"""The matrix of a dependence test as a picture: what each experiment's data did to each experiment's metric."""

from collections.abc import Mapping
from typing import Any

from antivenom.report import charts
from antivenom.report.charts import _done
from antivenom.report.wording import line

__all__ = ["dependence_heat_map"]

ALL = "ALL"


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
    for train in [*names, ALL]:
        for test in names:
            entry = entries.get((train, test))
            scaled = None if entry is None else entry["value"] / tops[test]
            label = "" if entry is None else f"{entry['value']:.3g}" + ("*" if entry["verdict"] == "not safe" else "")
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
        "test:N", sort=order, title="measured", axis=alt.Axis(orient="top", labelAngle=-40, ticks=False, domain=False)
    )
    y = alt.Y("train:N", sort=[*order, ALL], title="data", axis=alt.Axis(ticks=False, domain=False))
    base = alt.Chart(alt.Data(values=cells)).encode(x=x, y=y)
    # a colour and its strength: both survive the dark theme, where ink and colours are swapped
    sign = alt.Color("lower:N", legend=None, scale=alt.Scale(domain=[False, True], range=[charts.ACCENT, charts.ALARM]))
    strength = alt.Opacity("strength:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0, 0.6]))
    squares = base.mark_rect(stroke=charts.GRID).encode(color=sign, opacity=strength)
    labels = base.mark_text(fontSize=11, color=charts.INK).encode(text="label:N")
    return _done((squares + labels).properties(width=charts.WIDTH - 90, height=30 * (len(names) + 1)))
