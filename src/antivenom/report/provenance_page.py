"""What the screen page says of age and domain: histogram of the dates with the effective cut-off, and a table of domains."""

import calendar
from collections import Counter
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from markupsafe import Markup

from antivenom.report import charts
from antivenom.report.wording import count, line, nouns, number, percent

__all__ = ["age_cards", "domain_headers", "domain_rows", "read_domains"]

SHOWN = 20
MOST = 10_000
"""Domains held in memory while the annotations are read; rows of further ones are counted together."""
OTHER, NO_DOMAIN = "(other domains)", "(no domain)"
GROUPS = {
    "declared": "stated",
    "page": "stated",
    "byline": "stated",
    "url": "address or file name",
    "file": "address or file name",
    "crawl": "crawl only",
}
WIDEST = 40
"""Years drawn; older rows are counted in words when they are fewer than one in 200."""
HIGHER = {"worse": "higher is worse", "better": "higher is better"}


# --- ages ----------------------------------------------------------------------------------------------------------


def age_cards(run: dict[str, Any]) -> list[dict[str, Any]]:
    """One card per scorer of ages, printable; from `scores[].dates` of the record."""
    return [_card(s, i) for i, s in enumerate(run.get("scores") or []) if s.get("dates")]


def _card(s: dict[str, Any], index: int) -> dict[str, Any]:
    dates = s["dates"]
    counts, cut = dates.get("counts") or [], dates.get("cutoff") or {}
    rows = sum(c["n"] for c in counts)
    undated = sum(c["n"] for c in counts if c["source"] == "none")
    crawled = sum(c["n"] for c in counts if c["source"] == "crawl")
    by_source: dict[str, list[float]] = {}
    for c in counts:
        if c["source"] != "none":
            entry = by_source.setdefault(c["source"], [0, 0.0])
            entry[0] += c["n"]
            entry[1] += c["n"] * (c["confidence"] or 0)
    bars, older, first = _bars(counts, dates.get("months") or 12)
    facts = [
        ("Dated", f"{count(rows - undated)} of {nouns(rows, 'row')} ({percent(_part(rows - undated, rows))})"),
        ("Undated", f"{count(undated)} ({percent(_part(undated, rows))})"),
        ("Crawl date only", f"{count(crawled)} ({percent(_part(crawled, rows))})"),
        ("Effective cut-off", cutoff_words(cut)),
    ]
    if older:
        facts.append(("Not drawn", f"{nouns(older, 'row')} dated before {first}"))
    groups = [g for g in charts.AGE_GROUPS if any(b["group"] == g for b in bars)]
    return {
        "label": line(s["label"], 120),
        "undated": percent(_part(undated, rows)),
        "facts": facts,
        "groups": groups,
        "sources": [
            {"source": line(name, 40), "rows": count(n), "confidence": number(total / n, 2)}
            for name, (n, total) in sorted(by_source.items(), key=lambda pair: -pair[1][0])
        ],
        "bins": _bins(bars, groups),
        "svg": _drawn(s["label"], bars, cut, index),
    }


def _part(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _bars(counts: Sequence[dict[str, Any]], months: int) -> tuple[list[dict[str, Any]], int, int]:
    """Bars of the chart, rows older than it, and the year it begins with."""
    totals: Counter[tuple[float, str]] = Counter()
    for c in counts:
        if c["begin"]:
            year, month = map(int, c["begin"].split("-"))
            totals[year + (month - 1) / 12, GROUPS.get(c["source"], "stated")] += c["n"]
    if not totals:
        return [], 0, 0
    begins = sorted({begin for begin, _ in totals})
    first = begins[0]
    if begins[-1] - first > WIDEST:
        whole, below = totals.total(), 0
        for begin in begins:
            first = begin
            below += sum(n for (at, _), n in totals.items() if at == begin)
            if begin >= begins[-1] - WIDEST or below * 200 > whole:
                break
    bars = [
        {"begin": begin, "end": begin + months / 12, "group": group, "rows": n}
        for (begin, group), n in sorted(totals.items())
        if begin >= first
    ]
    return bars, totals.total() - sum(b["rows"] for b in bars), int(first)


def _bins(bars: Sequence[dict[str, Any]], groups: Sequence[str]) -> list[tuple[str, list[str]]]:
    cells = {(b["begin"], b["group"]): b["rows"] for b in bars}
    return [
        (_month(begin), [count(cells.get((begin, group), 0)) for group in groups])
        for begin in sorted({b["begin"] for b in bars})
    ]


def _month(decimal: float) -> str:
    year, month = divmod(round(decimal * 12), 12)
    return str(year) if not month else f"{year}-{month + 1:02}"


def _end(decimal: float) -> str:
    year, month = divmod(round(decimal * 12) - 1, 12)
    return f"end of {year}" if month == 11 else f"end of {calendar.month_abbr[month + 1]} {year}"


def cutoff_words(cut: dict[str, Any]) -> str:
    """An effective cut-off in words.

    >>> cutoff_words({"date": 2015.0, "low": 2014.0, "high": 2015.0, "documents": 900, "falls_off": True})
    'end of 2014 (95 % interval: end of 2013 to end of 2014; 900 dated rows)'
    """
    if cut.get("date") is None:
        return f"none: {line(cut['reason'], 160)}" if cut.get("reason") else "–"
    said = f"{_end(cut['date'])} (95 % interval: {_end(cut['low'])} to {_end(cut['high'])}; "
    said += f"{count(cut['documents'])} dated rows)"
    return said if cut.get("falls_off") else f"{said}; the rows end there, no fall is seen"


def _drawn(label: str, bars: Sequence[dict[str, Any]], cut: dict[str, Any], index: int) -> Markup | None:
    if not bars:
        return None
    per_year: Counter[float] = Counter()
    for b in bars:
        per_year[b["begin"]] += b["rows"]
    top, most = max(per_year.items(), key=lambda pair: (pair[1], pair[0]))
    told = f"From {_month(min(per_year))} to {_month(max(per_year))}; most rows, {count(most)}, from {_month(top)}. "
    return Markup(
        charts.svg(
            charts.ages(bars, cutoff=cut.get("date")),
            name=f"age{index}",
            title=f"{line(label, 80)}: rows by time of writing",
            description=f"{told}Effective cut-off: {cutoff_words(cut)}.",
        )
    )


# --- domains -------------------------------------------------------------------------------------------------------


def _labels(run: dict[str, Any]) -> tuple[str | None, list[dict[str, Any]]]:
    """The label of the scorer of domains, and the scores whose means are shown: those that any row has."""
    scores = run.get("scores") or []
    label = next((s["label"] for s in scores if (s.get("identity") or {}).get("name") == "domain"), None)
    return label, [s for s in scores if s.get("n")]


def read_domains(path: Path, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows, actions, and n, sum and sum of squares of every score per domain, most rows first; [] without such a scorer.

    Read batch by batch: memory grows with domains, up to `MOST`, never with rows. Scores that are not finite are left out.
    """
    label, scores = _labels(run)
    if label is None or not path.exists():
        return []
    names = [s["label"] for s in scores]
    found: dict[str, dict[str, Any]] = {}
    with pq.ParquetFile(path) as source:
        for batch in source.iter_batches(65_536, columns=["action", f"{label}.domain", f"{label}.source", *names]):
            domain = pc.coalesce(batch.column(f"{label}.domain"), batch.column(f"{label}.source"))
            keys = pc.dictionary_encode(pc.fill_null(domain, ""))
            at = keys.indices.to_numpy(zero_copy_only=False)
            actions = np.array(batch.column("action").to_pylist(), object)
            values = [batch.column(n).cast(pa.float64()).to_numpy(zero_copy_only=False) for n in names]
            order = np.argsort(at, kind="stable")
            edges = np.searchsorted(at[order], np.arange(len(keys.dictionary) + 1))
            for place, key in enumerate(keys.dictionary.to_pylist()):
                name = key if key in found or len(found) < MOST else OTHER
                entry = found.setdefault(name, {"name": name, "rows": 0, "actions": Counter(), "sums": {}})
                here = order[edges[place] : edges[place + 1]]
                entry["rows"] += len(here)
                entry["actions"].update(actions[here].tolist())
                for n, column in zip(names, values):
                    known = column[here][np.isfinite(column[here])]
                    old = entry["sums"].get(n, (0, 0.0, 0.0))
                    entry["sums"][n] = (old[0] + len(known), old[1] + known.sum(), old[2] + (known**2).sum())
    return sorted(found.values(), key=lambda e: (-e["rows"], e["name"]))


def domain_headers(run: dict[str, Any]) -> list[str]:
    """Names of the score columns of the table, each with its direction, and the cut-off's."""
    heads = []
    names = Counter((s.get("identity") or {}).get("name") for s in run.get("scores") or [])
    for s in _labels(run)[1]:
        identity = s.get("identity") or {}
        higher = HIGHER.get(identity.get("higher_is", ""), "neither better nor worse")
        name = identity.get("name") if names[identity.get("name")] == 1 else s["label"]  # the label can be a long spec
        heads.append(f"Mean {line(name or s['label'], 60)} ({higher})")
    return heads + (["Effective cut-off"] if _cutoffs(run) else [])


def _cutoffs(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return next((s["dates"].get("by_domain") or {} for s in run.get("scores") or [] if s.get("dates")), {})


def domain_rows(run: dict[str, Any], domains: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The largest domains and the rest, printable."""
    rest = domains[SHOWN:]
    lines = [*domains[:SHOWN]]
    if rest:
        whole: dict[str, Any] = {"name": f"{OTHER}: {count(len(rest))}", "rows": 0, "actions": Counter(), "sums": {}}
        for entry in rest:
            whole["rows"] += entry["rows"]
            whole["actions"].update(entry["actions"])
            for name, sums in entry["sums"].items():
                whole["sums"][name] = tuple(map(sum, zip(whole["sums"].get(name, (0, 0.0, 0.0)), sums)))
        lines.append(whole)
    cuts, scores = _cutoffs(run), _labels(run)[1]
    rows = []
    for entry in lines:
        kept = entry["actions"]["keep"] + entry["actions"]["cut"]
        sums = [(entry["sums"].get(s["label"], (0, 0.0, 0.0)), bool(s.get("dates"))) for s in scores]
        values = [_mean(*found, year=year, rows=entry["rows"]) for found, year in sums]
        if cuts:
            cut = cuts.get(entry["name"]) or {}
            values.append(_end(cut["date"]) if cut.get("date") is not None else "–")
        rows.append(
            {
                "name": line(entry["name"] or NO_DOMAIN, 120),
                "rows": count(entry["rows"]),
                "kept": count(kept),
                "removed": f"{count(entry['actions']['remove'])} ({percent(_part(entry['actions']['remove'], entry['rows']))})",
                "aside": count(entry["actions"]["quarantine"]),
                "cells": values,
            }
        )
    return rows


def _mean(n: int, total: float, squares: float, *, year: bool, rows: int) -> str:
    """Mean -+ 1.96 s / sqrt(n), and n where not all rows have the score; a dash where none has."""
    if not n:
        return "–"
    mean = total / n
    said = f"{mean:.1f}" if year else number(mean)
    if n > 1:
        half = 1.96 * sqrt(max(squares - n * mean * mean, 0.0) / (n - 1) / n)
        said += f" ± {half:.1f}" if year else f" ± {number(half, 2)}"
    return said if n == rows else f"{said}, n = {count(n)}"
