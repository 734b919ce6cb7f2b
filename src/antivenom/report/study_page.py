"""What the study page says: cells pooled over seeds, curves, controls, and the paper's figures beside ours."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from markupsafe import Markup

from antivenom.report import charts
from antivenom.report.record import machine_words, printed
from antivenom.report.wording import count, duration, joined, line, nouns, number, percent

__all__ = ["pool", "study_view"]


def pool(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cells of one dose, treatment and metric over their seeds, in the order first met.

    value: the mean over seeds. low, high: the interval of the one seed; with several seeds, from the lowest lower end
    to the highest upper end, which covers both the sampling of items and the choice of seed. A missing value (a
    diverged run) is left out of the mean and counted in `missing`; it is never 0.
    """
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["metric"], row["treatment"], row["dose"], row.get("denominator")), []).append(row)
    return [_pooled(mine) for mine in cells.values()]


def _pooled(mine: list[dict[str, Any]]) -> dict[str, Any]:
    first = mine[0]
    there = [r for r in mine if _real(r["value"]) is not None]
    values = [r["value"] for r in there]
    lows = [v if _real(r.get("low")) is None else r["low"] for r, v in zip(there, values, strict=True)]
    highs = [v if _real(r.get("high")) is None else r["high"] for r, v in zip(there, values, strict=True)]
    controls = [r["control"] for r in mine if _real(r.get("control")) is not None]
    return {
        "metric": first["metric"],
        "treatment": first["treatment"],
        "dose": first["dose"],
        "dose_share": first.get("dose_share"),
        "dose_unit": first.get("dose_unit"),
        "denominator": first.get("denominator"),
        "value": fmean(values) if values else None,
        "low": min(lows) if lows else None,
        "high": max(highs) if highs else None,
        "seeds": values,
        "missing": len(mine) - len(there),
        "n": [r.get("n") for r in there],
        "control": fmean(controls) if controls else None,
        "control_name": next((r["control_name"] for r in mine if r.get("control_name")), ""),
    }


def _real(value: Any) -> float | None:
    """The value when it is a finite number, else None."""
    return value if isinstance(value, int | float) and value == value and abs(value) != float("inf") else None


def study_view(run: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Everything the study page prints."""
    cells = pool(rows)
    treatments = list(dict.fromkeys(c["treatment"] for c in cells))
    metrics = list(dict.fromkeys(c["metric"] for c in cells))
    known = run.get("figures") or []
    paper = [f for f in known if f.get("provenance") == "read" and _real(f.get("value")) is not None]
    doses = {c["dose"] for c in cells}
    seeds = {r.get("seed") for r in rows}
    sources = list(dict.fromkeys(line(f.get("source"), 200) for f in paper))
    panels = [(m, *panel) for m in metrics for panel in _panels(m, cells, treatments, run.get("controls") or [])]
    curves = [_curve(i, *panel, paper) for i, panel in enumerate(panels)]
    return {
        "title": line(run.get("title"), 200),
        "words": f"{nouns(len(doses), 'dose')}, {nouns(len(treatments), 'treatment')}, {nouns(len(seeds), 'seed')}.",
        "curves": curves,
        "drawn": sum(c["paper"] for c in curves),
        "tables": [_table([c for c in cells if c["metric"] == m]) for m in metrics],
        "paper": [_beside(f, cells, sources) for f in paper],
        "sources": sources,
        "recalled": sum(f.get("provenance") != "read" for f in known),
        "several": len(seeds) > 1,
        "missing": sum(c["missing"] for c in cells),
        "took": duration(run.get("wall_s")),
        "machine": machine_words(run.get("machine")),
        "versions": printed(run.get("versions")),
    }


def _panels(
    metric: str, cells: list[dict[str, Any]], treatments: list[str], controls: Sequence[str]
) -> list[tuple[str, list[dict[str, Any]], list[str]]]:
    """(what part, cells, treatments) of each chart of a metric: as few charts as there are lines to be told apart.

    A chart has a colour and a shape for each of at most `len(charts.SERIES)` treatments; the controls are in every one.
    """
    here = [c for c in cells if c["metric"] == metric]
    mine = [t for t in treatments if any(c["treatment"] == t for c in here)]
    fixed = [t for t in mine if t in controls]
    others = [t for t in mine if t not in controls]
    room = len(charts.SERIES) - len(fixed)
    if len(others) <= room or room < 1:
        return [("", here, mine)]
    parts = -(-len(others) // room)
    ends = [round(i * len(others) / parts) for i in range(parts + 1)]
    shown = [[*fixed, *others[a:b]] for a, b in pairwise(ends)]
    return [
        (f" ({i} of {parts})", [c for c in here if c["treatment"] in names], names) for i, names in enumerate(shown, 1)
    ]


def _curve(
    index: int, metric: str, part: str, cells: list[dict[str, Any]], mine: list[str], paper: list[dict[str, Any]]
) -> dict[str, Any]:
    points = [
        p for p in paper if p.get("metric") == metric and p.get("dose") is not None and p.get("treatment") in mine
    ]
    unit = next((c.get("dose_unit") or c["denominator"] for c in cells if c.get("dose_unit") or c["denominator"]), "")
    controls = list(dict.fromkeys(line(c["control_name"], 60) for c in cells if c["control"] is not None))
    words = []
    for treatment in mine:
        known = [c for c in cells if c["treatment"] == treatment and c["value"] is not None]
        ends = sorted(known, key=lambda c: c["dose"])
        if ends:
            words.append(
                f"{line(treatment, 60)}: {number(ends[0]['value'])} at dose {count(ends[0]['dose'])}, "
                f"{number(ends[-1]['value'])} at dose {count(ends[-1]['dose'])}"
            )
    title = f"dose, counted in {line(unit, 60)}" if unit else "dose, as a count"
    return {
        "metric": line(metric, 100) + part,
        "doses": len({c["dose"] for c in cells}),
        "controls": joined(controls),
        "paper": len(points),
        "words": words,
        "svg": Markup(
            charts.svg(
                charts.dose_response(cells, treatments=mine, dose_title=title, paper=points),
                name=f"curve{index}",
                title=f"{line(metric, 100)}{part} against the dose",
                description="; ".join(words) + ".",
            )
        ),
    }


def _table(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """All cells of one metric; what is the same in all of them is said once, above."""
    rows = [_printable(c) for c in cells]
    return {
        "metric": rows[0]["metric"],
        "cells": nouns(len(rows), "cell"),
        "of": _only([r["denominator"] for r in rows]),
        "unit": _only([r["unit"] for r in rows]),
        "control": _only([r["control_name"] for r in rows]),
        "rows": rows,
    }


def _only(words: list[str]) -> str | None:
    """The word that is the same everywhere; None where there are several."""
    return words[0] if len(set(words)) == 1 else None


def _beside(figure: dict[str, Any], cells: list[dict[str, Any]], sources: list[str]) -> dict[str, Any]:
    """A figure of the paper and ours: at the same dose, or at the largest dose where the paper's has none of its own."""
    mine = [c for c in cells if (c["metric"], c["treatment"]) == (figure.get("metric"), figure.get("treatment"))]
    dose = max((c["dose"] for c in mine), default=None) if figure.get("dose") is None else figure["dose"]
    ours = next((c for c in mine if c["dose"] == dose and c["value"] is not None), None)
    return {k: line(figure.get(k), 200) for k in ("metric", "treatment")} | {
        "dose": count(figure.get("dose")),
        "value": number(figure.get("value")),
        "ours": number(ours["value"]) if ours else "–",
        "interval": _interval(ours) if ours else "–",
        "at": count(dose) if ours else "–",
        "source": 1 + sources.index(line(figure.get("source"), 200)),
    }


def _interval(cell: dict[str, Any]) -> str:
    low, high = cell["low"], cell["high"]
    return f"{number(low)} – {number(high)}" if low is not None and high is not None else "–"


def _printable(cell: dict[str, Any]) -> dict[str, Any]:
    ns = sorted({n for n in cell["n"] if n is not None})
    return {
        "metric": line(cell["metric"], 80),
        "treatment": line(cell["treatment"], 80),
        "dose": count(cell["dose"]),
        "unit": line(cell.get("dose_unit"), 60),
        "share": percent(cell["dose_share"]),
        "denominator": line(cell["denominator"], 80),
        "value": number(cell["value"]),
        "interval": _interval(cell),
        "n": " to ".join(count(n) for n in {ns[0]: 0, ns[-1]: 0}) if ns else "–",
        "seeds": str(len(cell["seeds"])) + (f", {cell['missing']} missing" if cell["missing"] else ""),
        "control": number(cell["control"]),
        "control_name": line(cell["control_name"], 80),
    }
