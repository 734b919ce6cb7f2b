"""What the screen page says of scores and filters: cards, histograms, controls, and the rows at both ends."""

from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from antivenom.report import charts
from antivenom.report.wording import POLICY, count, joined, line, nouns, number, percent, size, visible, year

__all__ = ["filter_rows", "score_cards", "score_headline"]

HIGHER = {"worse": "a higher score is worse", "better": "a higher score is better"}
QUANTILES = {
    "0": "lowest",
    "0.05": "5 %",
    "0.25": "25 %",
    "0.5": "median",
    "0.75": "75 %",
    "0.95": "95 %",
    "1": "highest",
}


def score_headline(run: dict[str, Any]) -> str:
    """The result of scoring, in one sentence; empty for a run without scores."""
    scores = run.get("scores") or []
    if not scores:
        return ""
    by = joined([line(s["label"], 60) for s in scores])
    told = f"{nouns(scores[0]['rows'], 'row')} scored by {by}"
    filters = run.get("filters") or []
    if filters:
        told += f", and {nouns(len(filters), 'filter')} applied"
    return told + "."


def score_cards(run: dict[str, Any], extremes: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """One card per scorer, printable.

    Args:
        run: the record.
        extremes: lines of `scores/extremes.jsonl`.
    """
    cards = []
    for number_, s in enumerate(run.get("scores") or []):
        label, identity = s["label"], s.get("identity") or {}
        rules = [f for f in run.get("filters") or [] if f["column"] == label]
        lines = [at for f in rules for at in f.get("lines") or []]
        quantiles = s.get("quantiles") or {}
        told = _teller(s)
        facts = [
            ("Scorer", f"{line(identity.get('name'), 60)}, version {line(identity.get('version'), 60)}"),
            (
                "Direction",
                HIGHER.get(identity.get("higher_is", ""), "a higher score is neither better nor worse by itself"),
            ),
            (
                "Scored",
                f"{count(s.get('n'))} of {nouns(s.get('rows'), 'row')}, {count(s.get('missing'))} without a score",
            ),
        ]
        if identity.get("date"):
            facts.append(("Asked on", line(identity["date"], 40)))
        if identity.get("weights"):
            facts.append(("Weights", line(identity["weights"], 40)))
        cards.append(
            {
                "label": line(label, 120),
                "facts": facts,
                "params": [(line(k, 60), line(v, 200)) for k, v in (identity.get("params") or {}).items()],
                "missing": [(line(why, 160), count(n)) for why, n in (s.get("missing_reasons") or [])[:8]],
                "quantiles": [(words, told(quantiles.get(q))) for q, words in QUANTILES.items()] if quantiles else [],
                "bins": _bins(s.get("histogram"), told),
                "lines": [told(at) for at in lines],
                "svg": _drawn(s, lines, number_),
                "ends": [
                    (end, rows)
                    for end in ("highest", "lowest")
                    if (rows := [_row(e, told) for e in extremes if e.get("label") == label and e.get("end") == end])
                ],
            }
        )
    return cards


def _teller(s: dict[str, Any]) -> Callable[[Any], str]:
    """How a score is printed: a year has no thousands."""
    return year if (s.get("identity") or {}).get("name") == "age" else number


def _bins(drawn: dict[str, Any] | None, told: Callable[[Any], str]) -> list[tuple[str, str]]:
    if not drawn:
        return []
    edges = drawn["edges"]
    return [
        (f"{told(low)} to {told(high)}", count(n))
        for low, high, n in zip(edges[:-1], edges[1:], drawn["counts"], strict=True)
    ]


def _drawn(s: dict[str, Any], lines: Sequence[float], index: int) -> Markup | None:
    drawn = s.get("histogram")
    if not drawn:
        return None
    shown = _teller(s)
    told = [f"{words} {shown(s['quantiles'].get(q))}" for q, words in QUANTILES.items()]
    at = f"; filter line at {joined([shown(value) for value in lines])}" if lines else ""
    return Markup(
        charts.svg(
            charts.histogram(drawn["edges"], drawn["counts"], lines=lines, years=shown is year),
            name=f"score{index}",
            title=f"{line(s['label'], 80)}: rows at each score",
            description="; ".join(told) + at + ".",
        )
    )


def _row(entry: dict[str, Any], told: Callable[[Any], str]) -> dict[str, str]:
    return {
        "score": told(entry.get("score")),
        "where": f"{line(entry.get('file'), 200)}, position {line(entry.get('position'), 20)}",
        "reason": line(entry.get("reason"), 300),
        "text": visible(entry.get("excerpt"), 400),
    }


def filter_rows(run: dict[str, Any]) -> list[dict[str, str]]:
    """Every filter beside its random control, printable."""
    rows = []
    for f in run.get("filters") or []:
        control, whole = f.get("control") or {}, f.get("bytes")
        rows.append(
            {
                "spec": line(f.get("spec"), 160),
                "rule": line(f.get("rule"), 300),
                "scored": count(f.get("scored")),
                "dropped": count(f.get("dropped")) + (f" (and {count(f['cut'])} cut)" if f.get("cut") else ""),
                "share": percent(f.get("share_of_scored")),
                "missing": f"{count(f.get('missing'))}, {POLICY.get(f.get('policy', ''), '')}"
                if f.get("missing")
                else "0",
                "text": _text(f.get("dropped_bytes"), whole),
                "control": f"{count(control.get('rows'))} ({line(control.get('column'), 40)})",
                "control_text": _text(control.get("bytes"), whole),
            }
        )
    return rows


def _text(part: Any, whole: Any) -> str:
    return f"{size(part)} ({percent(part / whole)})" if part is not None and whole else size(part)
