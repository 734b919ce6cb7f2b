"""Every epoch of every cure in the plane of attack success and accuracy, one chart per victim; destroyed models are grey."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from antivenom.report import charts
from antivenom.report.charts import _done
from antivenom.report.wording import line, nouns, number

__all__ = ["scatter", "scatter_views"]

LOST = "under half the accuracy"
VICTIM = "victim"


def scatter(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The chart of one victim.

    Args:
        points: {"method", "asr", "ca", "destroyed", "victim_asr", "victim_ca"}; points with a missing figure are left out.
    """
    import altair as alt

    there = [p for p in points if p["ca"] is not None and p["asr"] is not None]
    methods = list(dict.fromkeys(line(p["method"], 28) for p in points))
    names = [*methods, LOST, VICTIM]
    colours = [charts.SERIES[i % (len(charts.SERIES) - 1)] for i in range(len(methods))] + [charts.MUTED, charts.INK]
    shapes = [charts.SHAPES[i % 3] for i in range(len(methods))] + ["cross", "diamond"]
    rows = [{"asr": p["asr"], "ca": p["ca"], "cure": LOST if p["destroyed"] else line(p["method"], 28)} for p in there]
    victims = {(p["victim_asr"], p["victim_ca"]) for p in points if p["victim_asr"] is not None}
    rows += [{"asr": asr, "ca": ca, "cure": VICTIM} for asr, ca in sorted(victims)]
    share = alt.Scale(domain=[0, 1], nice=False, padding=6)
    colour = alt.Color("cure:N", title=None, scale=alt.Scale(domain=names, range=colours))
    shape = alt.Shape("cure:N", title=None, scale=alt.Scale(domain=names, range=shapes))
    size = alt.condition(alt.datum.cure == VICTIM, alt.value(110), alt.value(24))
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_point(filled=True, opacity=0.65)
        .encode(
            x=alt.X("asr:Q", title="attack success rate", scale=share, axis=alt.Axis(tickCount=5)),
            y=alt.Y("ca:Q", title=None, scale=share, axis=alt.Axis(tickCount=5)),
            color=colour,
            shape=shape,
            size=size,
        )
        .properties(width=charts.WIDTH - 55, height=260)
    )
    return _done(chart)


def scatter_views(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the page prints of the points: one figure per panel (victim), with what it shows in words."""
    views = []
    for index, panel in enumerate(dict.fromkeys(p["panel"] for p in points)):
        mine = [p for p in points if p["panel"] == panel]
        words = []
        for method in dict.fromkeys(p["method"] for p in mine):
            of = [p for p in mine if p["method"] == method]
            lost = sum(bool(p["destroyed"]) for p in of)
            there = [p["asr"] for p in of if p["asr"] is not None]
            least = f"lowest ASR {number(min(there))}, " if there else ""
            words.append(f"{line(method, 60)}: {nouns(len(of), 'point')}, {least}{lost} {LOST}")
        seeds = len({p["seed"] for p in mine})
        title = f"{line(panel, 60)} victim: accuracy against attack success, every epoch"
        drawn = charts.svg(scatter(mine), name=f"scatter{index}", title=title, description="; ".join(words) + ".")
        views.append({"title": title, "seeds": nouns(seeds, "seed"), "words": words, "svg": Markup(drawn)})
    return views
