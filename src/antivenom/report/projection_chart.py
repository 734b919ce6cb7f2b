"""Groups of embeddings in one plane, as a chart and as a page of its own: works offline, every name is escaped."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from antivenom.report import charts
from antivenom.report.charts import _done
from antivenom.report.run_directory import atomic_file
from antivenom.report.wording import line, nouns

__all__ = ["plane_chart", "plane_page"]

MOST = 400
"""Points of a group that are drawn: more of them are a blot."""


def plane_chart(groups: Mapping[str, Sequence[tuple[float, float]]], shares: tuple[float, float]) -> dict[str, Any]:
    """The chart.

    Args:
        groups: name -> coordinates; at most `MOST` of each are drawn, evenly spaced over the rows.
        shares: of the variance, per axis.
    """
    import altair as alt

    names = [line(name, 28) for name in groups]
    rows = []
    for name, points in zip(names, groups.values(), strict=True):
        step = max(1, -(-len(points) // MOST))
        rows += [{"x": float(x), "y": float(y), "group": name} for x, y in points[::step]]
    colours = [charts.SERIES[i % len(charts.SERIES)] for i in range(len(names))]
    shapes = [charts.SHAPES[i % len(charts.SHAPES)] for i in range(len(names))]
    titles = [f"component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares)]
    legend = alt.Legend(title=None, columns=1, labelLimit=300)
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_point(filled=True, opacity=0.6, size=22)
        .encode(
            x=alt.X("x:Q", title=titles[0]),
            y=alt.Y("y:Q", title=titles[1]),
            color=alt.Color("group:N", title=None, scale=alt.Scale(domain=names, range=colours), legend=legend),
            shape=alt.Shape("group:N", title=None, scale=alt.Scale(domain=names, range=shapes), legend=legend),
        )
        .properties(width=charts.WIDTH - 55, height=300)
    )
    return _done(chart)


def plane_page(
    out: str | Path,
    groups: Mapping[str, Sequence[tuple[float, float]]],
    shares: tuple[float, float],
    *,
    title: str,
    figures: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write the page.

    Args:
        out: the file.
        groups, shares: see `plane_chart`.
        title: of the page.
        figures: lines of a table beside the chart: (what, figure).
    """
    counts = "; ".join(f"{line(name, 60)}: {nouns(len(points), 'row')}" for name, points in groups.items())
    words = f"The two directions of most variance ({sum(shares):.0%} of it together). {counts}."
    drawn = charts.svg(plane_chart(groups, shares), name="plane", title=line(title, 120), description=words)
    cells = "".join(f"<tr><th>{html.escape(what)}</th><td>{html.escape(figure)}</td></tr>" for what, figure in figures)
    table = f"<table>{cells}</table>" if cells else ""
    style = (
        "body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:46rem;padding:1rem;color:#1d232b;background:#fff}"
        "svg{width:100%;height:auto}table{border-collapse:collapse}th,td{text-align:left;padding:.2rem .8rem .2rem 0;font-weight:400}"
        "@media(prefers-color-scheme:dark){body{color:#e6e9ed;background:#14181d}" + charts.dark_css() + "}"
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head><body><main><h1>{html.escape(title)}</h1>"
        f"<p>{html.escape(words)}</p>{drawn}{table}</main></body></html>\n"
    )
    with atomic_file(Path(out)) as temporary:
        Path(temporary).write_text(page, encoding="utf-8")
    return Path(out)
