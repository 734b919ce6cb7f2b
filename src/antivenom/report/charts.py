"""Charts: Vega-Lite specifications (data, so that tests can assert on them) rendered to inline SVG.

Sizes are for a phone: about 400 units wide with 13-unit type, so that a chart that fills a 390-pixel screen can be
read, and one that is scaled up a little on a desk looks right too. Colours are those of the light theme; the page
swaps them for the dark theme with `dark_css`, because an SVG's colour attributes yield to a style sheet.
"""

import html
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from antivenom.report.wording import count, line, nouns

__all__ = [
    "AGE_GROUPS",
    "ages",
    "agreement",
    "dark_css",
    "dose_response",
    "histogram",
    "svg",
    "threshold_curve",
    "throughput",
]

INK, MUTED, GRID, ACCENT, ALARM = "#1d232b", "#5a6472", "#dde1e6", "#0b6e7a", "#b5472a"
SERIES = (ACCENT, ALARM, "#5b4ea3", "#8a6a00", "#2a6db5", "#a03a76", "#3f7d3a", "#6b6f76")
_DARK = {
    INK: "#e6e9ed",
    MUTED: "#a9b3be",
    GRID: "#39424d",
    **dict(
        zip(
            SERIES,
            ("#5cc4d0", "#f0906f", "#b9adf5", "#dcb64a", "#8fb7f3", "#ec9bc9", "#8fcf88", "#b3b9c1"),
            strict=True,
        )
    ),
}
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")
WIDTH = 350
BESIDE = 3
"""Pixels between treatments of one dose."""
TITLE = 44
"""Characters of an axis title that fit under a chart."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_AXIS = {
    "labelFont": _FONT,
    "titleFont": _FONT,
    "labelFontSize": 13,
    "titleFontSize": 13,
    "titleFontWeight": "normal",
    "labelColor": MUTED,
    "titleColor": MUTED,
    "gridColor": GRID,
    "domainColor": GRID,
    "tickColor": GRID,
    "labelLimit": 150,
}
_CONFIG = {
    "aria": False,
    "background": None,
    "font": _FONT,
    "padding": 4,
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": {
        "labelFont": _FONT,
        "labelFontSize": 13,
        "labelColor": INK,
        "titleColor": MUTED,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
        "labelLimit": 170,
        "orient": "bottom",
        "columns": 2,
        "columnPadding": 18,
        "symbolStrokeWidth": 2,
        "symbolOpacity": 1,
    },
    "text": {"font": _FONT, "fontSize": 13, "color": INK},
}


def dark_css() -> str:
    """Style rules that swap each light colour of a chart for its dark one."""
    return "\n".join(
        f'.chart [fill="{light}"]{{fill:{dark}}} .chart [stroke="{light}"]{{stroke:{dark}}}'
        for light, dark in _DARK.items()
    )


def svg(spec: dict[str, Any], *, name: str, title: str, description: str) -> str:
    """Render a specification to an SVG element that scales with its container.

    Args:
        spec: a Vega-Lite specification with its data inline.
        name: a page-wide unique id, for the title and the description.
        title, description: the text alternative, read out by screen readers.

    Nothing is fetched: vl-convert carries Vega itself, and addresses in a specification are refused.
    """
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    head = re.match(r"<svg[^>]*?viewBox=\"([^\"]*)\"[^>]*>", drawn)
    if head is None:  # pragma: no cover - vl-convert always writes one
        raise ValueError("vl-convert returned no svg element")
    body = re.sub(r'(\bid="|url\(#)', rf"\g<1>{name}-", drawn[head.end() :])
    return (
        f'<svg class="chart" role="img" viewBox="{head[1]}" preserveAspectRatio="xMinYMin meet" '
        f'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-desc">{html.escape(description)}</desc>{body}'
    )


def _done(chart: Any) -> dict[str, Any]:
    spec = chart.to_dict()
    spec["config"] = _CONFIG
    spec.pop("$schema", None)
    return spec


def _values(rows: Sequence[dict[str, Any]]) -> Any:
    import altair as alt

    return alt.Data(values=list(rows))  # inline, and in the order given


def throughput(steps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows per second of every step, one bar each, in the order of the run."""
    import altair as alt

    rows = [
        {"step": line(s["name"], 24), "rate": s["rows_per_s"], "label": f"{count(s['rows_per_s'])} rows/s"}
        for s in steps
        if s.get("rows_per_s")
    ]
    top = max((r["rate"] for r in rows), default=1)
    base = alt.Chart(_values(rows)).encode(
        y=alt.Y("step:N", sort=None, title=None, axis=alt.Axis(domain=False, ticks=False, labelColor=INK)),
        # room for the label to the right of the longest bar
        x=alt.X("rate:Q", axis=None, scale=alt.Scale(domain=[0, top * 1.75])),
    )
    bars = base.mark_bar(color=ACCENT, size=14)
    labels = base.mark_text(align="left", dx=6, color=INK).encode(text="label:N")
    return _done((bars + labels).properties(width=WIDTH - 110, height=alt.Step(28)))


def agreement(sets: Sequence[dict[str, Any]], *, most: int = 12) -> dict[str, Any]:
    """An UpSet chart lying on its side: one line per set of detectors, dots say which, the bar how many rows.

    Every flagged row is in exactly one set: the detectors that found it, and no other. Sets beyond the `most` largest
    are left out here and stand in the table beside the chart.
    """
    import altair as alt

    order = detector_order(sets)
    shown = sorted(sets, key=lambda s: (-s["rows"], s["detectors"]))[:most]
    members, ties, bars = [], [], []
    for rank, entry in enumerate(shown):
        mine = [d for d in order if d in entry["detectors"]]
        members += [{"set": rank, "detector": line(d, 24), "member": d in mine} for d in order]
        if len(mine) > 1:
            ties.append({"set": rank, "first": line(mine[0], 24), "last": line(mine[-1], 24)})
        bars.append({"set": rank, "rows": entry["rows"], "label": nouns(entry["rows"], "row")})
    names = [line(d, 24) for d in order]
    column = alt.X(
        "detector:N",
        sort=names,
        scale=alt.Scale(domain=names),
        axis=alt.Axis(
            orient="top",
            labelAngle=-40,
            labelAlign="left",
            title=None,
            domain=False,
            ticks=False,
            grid=False,
            labelColor=INK,
        ),
    )
    y = alt.Y("set:O", axis=None)
    dots = alt.Chart(_values(members)).mark_point(filled=True, size=110, opacity=1).encode(x=column, y=y)
    dots = dots.encode(
        color=alt.Color("member:N", legend=None, scale=alt.Scale(domain=[True, False], range=[ACCENT, GRID]))
    )
    tie = alt.Chart(_values(ties)).mark_rule(color=ACCENT, strokeWidth=3)
    tie = tie.encode(x=alt.X("first:N", sort=names), x2="last:N", y=y)
    step = min(40, max(24, 200 // max(1, len(names))))
    matrix = (dots + tie).properties(width=alt.Step(step), height=alt.Step(26))
    top = max((b["rows"] for b in bars), default=1)
    length = alt.X("rows:Q", axis=None, scale=alt.Scale(domain=[0, top * 1.7]))
    right = alt.Chart(_values(bars)).encode(x=length, y=y)
    right = right.mark_bar(color=ACCENT, size=14) + right.mark_text(align="left", dx=6).encode(text="label:N")
    right = right.properties(width=max(140, WIDTH - 60 - step * len(names)), height=alt.Step(26))
    return _done(alt.hconcat(matrix, right, spacing=10))


def detector_order(sets: Sequence[dict[str, Any]]) -> list[str]:
    """All detectors of the sets, in the order they are first met."""
    return list(dict.fromkeys(name for entry in sets for name in entry["detectors"]))


def threshold_curve(points: Sequence[dict[str, Any]], *, used: float | None = None) -> dict[str, Any]:
    """How many rows and items ONE detector would flag at each threshold (scores of two detectors share no axis).

    Args:
        points: {"threshold", "rows", "items"} of one detector.
        used: the threshold of this run, drawn as a dashed line.
    """
    import altair as alt

    rows = [
        {"threshold": p["threshold"], "flagged": p[what], "what": f"{what} flagged"}
        for what in ("rows", "items")
        for p in sorted(points, key=lambda p: p["threshold"])
    ]
    top = max((r["flagged"] for r in rows), default=1)
    ticks = [0, *(10**e for e in range(12) if 10**e <= max(top, 1))]
    down = alt.Axis(grid=False, tickCount=5)
    # a symlog axis ignores `format`; an expression is not ignored
    side = alt.Axis(values=ticks, labelExpr="format(datum.value, ',')")
    names = ["rows flagged", "items flagged"]
    scale = alt.Scale(domain=names, range=[ACCENT, ALARM])
    dash = alt.Scale(domain=names, range=[[1, 0], [5, 3]])
    legend = alt.Legend(symbolType="stroke", symbolSize=300)
    lines = (
        alt.Chart(_values(rows))
        .mark_line(strokeWidth=2.2)
        .encode(
            x=alt.X("threshold:Q", title="threshold (score)", scale=alt.Scale(zero=False, nice=False), axis=down),
            y=alt.Y("flagged:Q", title=None, scale=alt.Scale(type="symlog", domainMin=0), axis=side),
            color=alt.Color("what:N", title=None, scale=scale, legend=legend),
            strokeDash=alt.StrokeDash("what:N", title=None, scale=dash, legend=legend),
        )
    )
    chart = lines
    if used is not None:
        here = _values([{"threshold": used}])
        chart = lines + alt.Chart(here).mark_rule(color=INK, strokeDash=[2, 3]).encode(x="threshold:Q")
    return _done(chart.properties(width=WIDTH - 60, height=190))


def histogram(
    edges: Sequence[float], counts: Sequence[int], *, lines: Sequence[float] = (), years: bool = False
) -> dict[str, Any]:
    """Rows per bin of a score, with the filters' lines.

    Args:
        edges: of the bins, one more than there are counts.
        counts: rows per bin.
        lines: thresholds, drawn dashed where they lie within the bins.
        years: the scores are years: no thousands on the axis.
    """
    import altair as alt

    bins = zip(edges[:-1], edges[1:], counts, strict=True)
    rows = [{"low": low, "high": high, "rows": n, "none": 0} for low, high, n in bins]
    within = [{"at": at} for at in sorted(set(lines)) if edges[0] <= at <= edges[-1]]
    x = alt.X(
        "low:Q",
        title="score",
        scale=alt.Scale(domain=[edges[0], edges[-1]], nice=False),
        axis=alt.Axis(grid=False, tickCount=5, **({"format": "d", "tickMinStep": 1} if years else {})),
    )
    bars = alt.Chart(_values(rows)).mark_rect(
        color=ACCENT, stroke=GRID, strokeWidth=0.5
    )  # a bar with x2 floats: no base
    y = alt.Y("rows:Q", title=None, axis=alt.Axis(tickCount=4, format=",d"))
    chart = bars.encode(x=x, x2="high:Q", y=y, y2="none:Q")
    if within:
        chart += alt.Chart(_values(within)).mark_rule(color=ALARM, strokeDash=[5, 3], strokeWidth=2).encode(x="at:Q")
    return _done(chart.properties(width=WIDTH - 60, height=150))


AGE_GROUPS = {"stated": ACCENT, "address or file name": SERIES[3], "crawl only": SERIES[7]}
"""What a date rests on, surest first, and its colour."""


def ages(bars: Sequence[dict[str, Any]], *, cutoff: float | None = None) -> dict[str, Any]:
    """Rows by time of writing, stacked by what the date rests on.

    Args:
        bars: {"begin", "end" (decimal years), "group" (of `AGE_GROUPS`), "rows"}, one per bucket and group.
        cutoff: decimal year of the effective cut-off, drawn dashed.
    """
    import altair as alt

    order = list(AGE_GROUPS)
    stacked, tops = [], {}
    for bar in sorted(bars, key=lambda b: (b["begin"], order.index(b["group"]))):
        below = tops.get(bar["begin"], 0)
        tops[bar["begin"]] = below + bar["rows"]
        stacked.append({**bar, "from": below, "to": below + bar["rows"]})
    present = [name for name in order if any(bar["group"] == name for bar in bars)]
    first, last = min(b["begin"] for b in bars), max(b["end"] for b in bars)
    x = alt.X(
        "begin:Q",
        title="written in",
        scale=alt.Scale(domain=[first, last], nice=False),
        axis=alt.Axis(grid=False, tickCount=5, format="d", tickMinStep=1),
    )
    colour = alt.Color("group:N", title=None, scale=alt.Scale(domain=present, range=[AGE_GROUPS[g] for g in present]))
    chart = (
        alt.Chart(_values(stacked))
        .mark_rect(stroke=GRID, strokeWidth=0.5)
        .encode(
            x=x,
            x2="end:Q",
            y=alt.Y("from:Q", title=None, axis=alt.Axis(tickCount=4, format=",d")),
            y2="to:Q",
            color=colour,
        )
    )
    if cutoff is not None and first <= cutoff <= last:
        chart += (
            alt.Chart(_values([{"at": cutoff}]))
            .mark_rule(color=ALARM, strokeDash=[5, 3], strokeWidth=2)
            .encode(x="at:Q")
        )
    return _done(chart.properties(width=WIDTH - 60, height=170))


def dose_response(
    cells: Sequence[dict[str, Any]],
    *,
    treatments: Sequence[str],
    dose_title: str,
    paper: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """One metric against the dose: treatments with intervals, seeds, controls and the paper's points.

    Treatments of one dose stand side by side, `BESIDE` pixels apart, where there are intervals to be told from each other.
    A control that all treatments share is one grey line; where each has its own, it has the treatment's colour.

    Args:
        cells: {"dose", "treatment", "value", "low", "high", "seeds": [value, ...], "control", "control_name"}, one per
            dose and treatment; missing values are None and leave a gap.
        treatments: order and colour of the lines.
        dose_title: the title of the dose axis, with the denominator of the share.
        paper: {"dose", "treatment", "value"}: points read in the paper, drawn as hollow diamonds.
    """
    import altair as alt

    names = [line(t, 28) for t in treatments]
    colours = [SERIES[i % len(SERIES)] for i in range(len(names))]
    label = dict(zip(treatments, names, strict=True))
    doses = sorted({c["dose"] for c in cells})
    spread = BESIDE if any(c["low"] != c["high"] for c in cells) else 0
    if len(doses) == 1:  # nothing else needs the width
        spread = (WIDTH - 100) / len(names)
    shift = {name: spread * (i - (len(names) - 1) / 2) for i, name in enumerate(names)}
    means = [
        {**_plain(c), "treatment": label[c["treatment"]], "shift": shift[label[c["treatment"]]]}
        for c in cells
        if c["value"] is not None
    ]
    seeds = [
        {"dose": c["dose"], "treatment": label[c["treatment"]], "value": v, "shift": shift[label[c["treatment"]]]}
        for c in cells
        for v in c["seeds"]
        if len(c["seeds"]) > 1 and v is not None
    ]
    told = [c for c in cells if c["control"] is not None]
    own = len({(c["dose"], c["control_name"], c["control"]) for c in told}) > len(
        {(c["dose"], c["control_name"]) for c in told}
    )
    controls = list(
        {
            (c["dose"], c["control_name"], c["treatment"] if own else ""): {
                "dose": c["dose"],
                "value": c["control"],
                "name": c["control_name"],
            }
            | ({"treatment": label[c["treatment"]]} if own else {})
            for c in told
        }.values()
    )
    wide = len(doses) > 1 and max(doses) > 20 * max(1, min((d for d in doses if d > 0), default=1))
    kind = "linear" if not wide else "log" if min(doses) > 0 else "symlog"
    scale = alt.Scale(type=kind, nice=False, padding=12)
    if len(doses) == 1:
        scale = alt.Scale(domain=[doses[0] - 1, doses[0] + 1], nice=False)
    dose_title += " (log scale)" if wide else ""
    # a title that is wider than the chart would be cut
    titles = [dose_title] if len(dose_title) <= TITLE else textwrap.wrap(dose_title, TITLE)
    x = alt.X(
        "dose:Q",
        title=titles[0] if len(titles) == 1 else titles,
        scale=scale,
        axis=alt.Axis(
            values=doses, grid=False, labelOverlap="parity", labelSeparation=8, labelExpr="format(datum.value, ',')"
        ),
    )
    y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=5))
    colour = alt.Color("treatment:N", title=None, scale=alt.Scale(domain=names, range=colours))
    shape = alt.Shape(
        "treatment:N",
        title=None,
        scale=alt.Scale(domain=names, range=[SHAPES[i % len(SHAPES)] for i in range(len(names))]),
    )
    aside = alt.ExprRef("datum.shift")
    base = alt.Chart(_values(means)).encode(x=x, color=colour)
    layers = [
        base.mark_rule(strokeWidth=1.5, opacity=0.6, xOffset=aside).encode(y=alt.Y("low:Q", title=None), y2="high:Q"),
        base.mark_line(strokeWidth=2, xOffset=aside).encode(y=y),
        base.mark_point(filled=True, size=70 if len(names) < 6 else 45, opacity=1, xOffset=aside).encode(
            y=y, shape=shape
        ),
    ]
    if seeds:
        layers.append(
            alt.Chart(_values(seeds))
            .mark_point(size=14, filled=True, opacity=0.55, xOffset=aside)
            .encode(x=x, y=y, color=colour)
        )
    if controls:
        dashed = alt.Chart(_values(controls)).encode(x=x, y=y, detail="name:N")
        layers.append(
            dashed.mark_line(strokeDash=[3, 4], strokeWidth=1.5, opacity=0.7).encode(color=colour)
            if own
            else dashed.mark_line(color=MUTED, strokeDash=[5, 4], strokeWidth=1.5)
        )
    points = [
        {"dose": p["dose"], "treatment": label[p["treatment"]], "value": p["value"]}
        for p in paper
        if p["treatment"] in label
    ]
    if points:
        layers.append(
            alt.Chart(_values(points))
            .mark_point(shape="diamond", size=150, filled=False, strokeWidth=2)
            .encode(x=x, y=y, color=colour)
        )
    # the metric's name stands in the figure's caption, in full: an axis title would be cut at phone width
    layered = alt.layer(*layers).properties(width=WIDTH - 55, height=230)
    return _done(layered)


def _plain(cell: dict[str, Any]) -> dict[str, Any]:
    value = cell["value"]
    low, high = cell["low"], cell["high"]
    return {
        "dose": cell["dose"],
        "value": value,
        "low": value if low is None else low,
        "high": value if high is None else high,
    }
