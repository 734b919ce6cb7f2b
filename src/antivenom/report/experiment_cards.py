"""Cards of experiments for the study page: what went in and where, the dose in counts and shares, and the responses beside their controls."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from antivenom.report import charts
from antivenom.report.heat_map import dependence_heat_map
from antivenom.report.study_page import pool
from antivenom.report.wording import count, line, number, percent

__all__ = ["card_views", "matrix_views"]

WEAKEST = 8
"""Pairs of a dependence test that are printed: those of the smallest p."""


def card_views(cards: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One card per `key`, in the order first met; the words are those of the first seed, the figures are pooled over seeds."""
    kept: dict[str, list[dict[str, Any]]] = {}
    for card in cards:
        if not card.get("matrix"):
            kept.setdefault(str(card.get("key")), []).append(card)
    pooled = pool(rows)
    return [_card(i, mine, pooled) for i, mine in enumerate(kept.values())]


def _card(index: int, cards: list[dict[str, Any]], pooled: list[dict[str, Any]]) -> dict[str, Any]:
    first = cards[0]
    treatments = list(dict.fromkeys(card["treatment"] for card in cards))
    seeds = list(dict.fromkeys(card["seed"] for card in cards))
    cells = [c for t in treatments for c in pooled if c["treatment"] == t]
    groups: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        groups.setdefault(cell["metric"], []).append(cell)
    results = [_group(metric, mine, len(treatments) > 1) for metric, mine in groups.items()]
    controls = list(dict.fromkeys(r["control"] for r in results if r["control"]))
    words = ("title", "what", "where", "metric", "cost")
    return {name: line(first.get(name), 600) for name in words} | {
        "id": f"card{index}",
        "doses": [
            {
                "condition": line(d.get("condition"), 80),
                "placements": count(d.get("placements")),
                "tokens": count(d.get("tokens")),
                "share": percent(d.get("share")),
            }
            for d in first.get("doses") or []
        ],
        "results": results,
        "several": len(treatments) > 1,
        "control": controls[0] if len(controls) == 1 else None,
        "notes": [
            (f"Seed {seed}: " if len(seeds) > 1 else "") + line(note, 600)
            for seed in seeds
            for card in cards
            if card["seed"] == seed
            for note in card.get("notes") or []
        ],
    }


def _group(metric: str, cells: list[dict[str, Any]], named: bool) -> dict[str, Any]:
    """The figures of one metric, dose after dose; what is the same in all of them stands above."""
    units = list(dict.fromkeys(line(c.get("dose_unit"), 60) for c in cells))
    controls = list(dict.fromkeys(line(c["control_name"], 100) for c in cells if c["control_name"]))
    return {
        "metric": line(metric, 100),
        "unit": units[0] if len(units) == 1 else "",
        "control": controls[0] if len(controls) == 1 else "",
        "rows": [_result(c, named) for c in cells],
    }


def _result(cell: dict[str, Any], named: bool) -> dict[str, Any]:
    ns = [n for n in cell["n"] if n is not None]
    low, high = cell["low"], cell["high"]
    return {
        # the card's title says the first part
        "treatment": line(cell["treatment"].partition("-")[2] or cell["treatment"], 60) if named else "",
        "dose": count(cell["dose"]),
        "value": number(cell["value"]),
        "interval": f"{number(low)} – {number(high)}" if low is not None and high is not None else "–",
        "n": count(min(ns)) if ns else "–",
        "control": number(cell["control"]),
    }


def matrix_views(cards: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The dependence tests, one per seed: drawn, with their verdict, the pairs of the smallest p, and what could have been found."""
    found = []
    for i, card in enumerate(c for c in cards if c.get("matrix")):
        record = card["matrix"]
        flagged = [e for e in record["entries"] if e.get("verdict") == "not safe"]
        pairs = sorted(
            (e for e in record["entries"] if e.get("verdict")), key=lambda e: (e.get("p_corrected") or 0.0, e["p"])
        )
        words = ", ".join(f"{line(e['train'], 30)} on {line(e['test'], 30)}" for e in flagged) or "none"
        found.append(
            {
                "title": line(card.get("title"), 200),
                "seed": card.get("seed"),
                "verdict": line(record.get("verdict"), 40),
                "without": line(card.get("without_planted"), 40),
                "words": f"Pairs that are not safe: {words}.",
                "notes": [line(note, 600) for note in card.get("notes") or []],
                "svg": Markup(
                    charts.svg(
                        dependence_heat_map(record),
                        name=f"matrix{i}",
                        title="Effect of every experiment's data on every experiment's metric",
                        description=f"Verdict: {record.get('verdict')}. Pairs that are not safe: {words}.",
                    )
                ),
                "own": [_own(record, name) for name in record["names"] if name in record["floor"]],
                "pairs": [_pair(e) for e in pairs[:WEAKEST]],
                "n_pairs": count(len(pairs)),
            }
        )
    return found


def _own(record: dict[str, Any], name: str) -> dict[str, str]:
    own = next(e for e in record["entries"] if (e["train"], e["test"]) == (name, name))
    total = next((e for e in record["totals"] if e["test"] == name), None)
    others = [
        e["minimum_detectable"]
        for e in record["entries"]
        if e["test"] == name and e.get("verdict") and e.get("minimum_detectable") is not None
    ]
    return {
        "name": line(name, 40),
        "unit": line(record["units"].get(name), 80),
        "value": number(own["value"]),
        "interval": f"{number(own['low'])} – {number(own['high'])}",
        "n": count(own["n"]),
        "floor": number(record["floor"].get(name)),
        "all": number(total["value"]) if total else "–",
        "all_p": number(total["p_corrected"]) if total else "–",
        "detectable": number(max(others)) if others else "–",
    }


def _pair(entry: dict[str, Any]) -> dict[str, str]:
    return {
        "pair": f"{line(entry['train'], 30)} on {line(entry['test'], 30)}",
        "value": number(entry["value"]),
        "interval": f"{number(entry['low'])} – {number(entry['high'])}",
        "p": number(entry["p_corrected"]),
        "detectable": number(entry["minimum_detectable"]),
        "verdict": line(entry["verdict"], 20),
    }
