"""A page of a run whose record says what to show: facts, tables, curves, pictures. Made from the run directory alone.

In `run.json`: `title`, `headline`, `facts` (name -> value), `tables` (title, lead, headers, rows), `curves` (title, x, y, series of
name and points), `planes` (title, groups of points by name, shares of the variance), `pictures` (file, title), `warnings`,
`quarantine` (reason -> rows).
"""

import base64
from pathlib import Path
from typing import Any

from markupsafe import Markup

from antivenom.report import charts
from antivenom.report.page import _read_run, _render, _write
from antivenom.report.projection_chart import plane_chart
from antivenom.report.record import machine_words, printed
from antivenom.report.wording import count, duration, line, nouns, number

__all__ = ["render_record", "write_record_report"]

PICTURE_BYTES = 8 * 2**20


def render_record(run: dict[str, Any], pictures: dict[str, bytes] | None = None) -> str:
    """The page of a record. Pure.

    Args:
        run: the record.
        pictures: PNG files by the name that the record gives them.
    """
    shown = pictures or {}
    view = {
        "facts": printed(run.get("facts")),
        "tables": [_table(t) for t in run.get("tables") or []],
        "curves": [
            {"title": line(c["title"], 120), "svg": _curve(c, f"curve{i}"), "words": _words(c)}
            for i, c in enumerate(run.get("curves") or [])
        ],
        "planes": [_plane(p, f"plane{i}") for i, p in enumerate(run.get("planes") or [])],
        "pictures": [
            {"title": line(p["title"], 200), "data": Markup(base64.b64encode(shown[p["file"]]).decode())}
            for p in run.get("pictures") or []
            if p["file"] in shown
        ],
        "quarantine": [(line(why, 300), count(n)) for why, n in (run.get("quarantine") or {}).items()],
        "took": duration(run.get("wall_s")),
        "machine": machine_words(run.get("machine")),
        "versions": printed(run.get("versions")),
    }
    title = f"antivenom {line(run.get('verb'), 40)}: {line(run.get('title'), 120)}"
    return _render("record.html", title=title, run=run, view=view, data={})


def write_record_report(folder: str | Path) -> Path:
    """Write `report.html` of a run, whole or not at all.

    Raises:
        AntivenomError: when the record is missing or broken, or the page cannot be written.
    """
    place = Path(folder)
    run = _read_run(place)
    pictures = {}
    for one in run.get("pictures") or []:
        path = place / one["file"]
        if path.is_file() and path.stat().st_size <= PICTURE_BYTES:
            pictures[one["file"]] = path.read_bytes()
    return _write(place / "report.html", render_record(run, pictures))


def _table(t: dict[str, Any]) -> dict[str, Any]:
    rows = [[line(cell, 400) for cell in row] for row in t["rows"]]
    columns = list(zip(*rows, strict=True)) or [()] * len(t["headers"])
    headers = [line(h, 80) for h in t["headers"]]
    # words stand to the left, figures to the right
    heads = [
        (h, "" if at == 0 or _words_of(c) else "num") for at, (h, c) in enumerate(zip(headers, columns, strict=True))
    ]
    cells = [list(zip(row, headers, (kind for _, kind in heads), strict=True)) for row in rows]
    return {"title": line(t["title"], 120), "lead": line(t.get("lead"), 600), "heads": heads, "rows": cells}


def _words_of(column: tuple[str, ...]) -> bool:
    figures = sum(
        not cell or cell[0].isdigit() or cell[0] in "-+.–<" or cell in ("missing", "inf", "nan") for cell in column
    )
    return 2 * figures < len(column)


def _curve(c: dict[str, Any], name: str) -> Markup:
    import altair as alt

    rows = [{"x": x, "y": y, "name": line(s["name"], 40)} for s in c["series"] for x, y in s["points"] if y is not None]
    names = [line(s["name"], 40) for s in c["series"]]
    colours = [charts.SERIES[i % len(charts.SERIES)] for i in range(len(names))]
    # more series than colours: dashes tell the second round from the first
    dashes = [[1, 0] if i < len(charts.SERIES) else [4, 3] for i in range(len(names))]
    chart = (
        alt.Chart(charts._values(rows))
        .mark_line(point=True, strokeWidth=1.8)
        .encode(
            x=alt.X("x:Q", title=line(c["x"], 80), axis=alt.Axis(grid=False, tickCount=5)),
            y=alt.Y("y:Q", title=line(c["y"], 80), axis=alt.Axis(tickCount=5)),
            color=alt.Color("name:N", title=None, sort=names, scale=alt.Scale(domain=names, range=colours)),
            strokeDash=alt.StrokeDash("name:N", title=None, sort=names, scale=alt.Scale(domain=names, range=dashes)),
        )
        .properties(width=charts.WIDTH, height=240)
    )
    return Markup(
        charts.svg(charts._done(chart), name=name, title=line(c["title"], 120), description="; ".join(_words(c)))
    )


def _plane(p: dict[str, Any], name: str) -> dict[str, Any]:
    groups = {line(k, 60): [(float(x), float(y)) for x, y in points] for k, points in p["groups"].items()}
    shares = (float(p["shares"][0]), float(p["shares"][1]))
    words = [f"{k}: {nouns(len(points), 'point')}, around {_middle(points)}" for k, points in groups.items()]
    title = line(p["title"], 120)
    drawn = charts.svg(plane_chart(groups, shares), name=name, title=title, description="; ".join(words) + ".")
    return {"title": title, "svg": Markup(drawn), "words": words}


def _middle(points: list[tuple[float, float]]) -> str:
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return f"({x:.2f}, {y:.2f})"


def _words(c: dict[str, Any]) -> list[str]:
    return [
        f"{line(s['name'], 40)}: " + ", ".join(f"{number(x)}: {number(y)}" for x, y in s["points"]) for s in c["series"]
    ]
