"""A page of a run whose record says what to show: facts, tables, curves, pictures. Made from the run directory alone.

In `run.json`: `title`, `headline`, `facts` (name -> value), `tables` (title, lead, headers, rows), `curves` (title, x, y, series of
name and points), `pictures` (file, title), `warnings`, `quarantine` (reason -> rows).
"""

import base64
from pathlib import Path
from typing import Any

from markupsafe import Markup

from antivenom.report import charts
from antivenom.report.page import _read_run, _render, _write
from antivenom.report.record import machine_words, printed
from antivenom.report.wording import count, duration, line, number

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
        "tables": [
            {
                "title": line(t["title"], 120),
                "lead": line(t.get("lead"), 600),
                "headers": [line(h, 80) for h in t["headers"]],
                "rows": [[line(cell, 400) for cell in row] for row in t["rows"]],
            }
            for t in run.get("tables") or []
        ],
        "curves": [
            {"title": line(c["title"], 120), "svg": _curve(c, f"curve{i}"), "words": _words(c)}
            for i, c in enumerate(run.get("curves") or [])
        ],
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


def _words(c: dict[str, Any]) -> list[str]:
    return [
        f"{line(s['name'], 40)}: " + ", ".join(f"{number(x)}: {number(y)}" for x, y in s["points"]) for s in c["series"]
    ]
