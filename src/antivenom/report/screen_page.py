"""What the screen page says: the sentences and tables made from `run.json`, before any markup."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from antivenom.report import charts
from antivenom.report.record import machine_words, printed
from antivenom.report.score_page import filter_rows, score_cards, score_headline
from antivenom.report.wording import count, duration, interval, joined, line, nouns, number, percent

__all__ = ["benchmark_rows", "figures", "headline", "identity", "notices", "screen_view"]

WHAT = {
    "verbatim": ("Word for word", "found by a rule: a long run of the item's words stands in the row"),
    "rephrased": ("In other words", "retrieved as similar, and judged to be the same item"),
    "generic": ("Generic", "the item is a task so common that finding it says little; never removed for that alone"),
    "undecided": ("Undecided", "the judge gave no usable answer; counted apart, never as clean"),
    "candidate": ("Not flagged", "looked at because it was among the most similar rows, and judged different"),
}


def _int(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def headline(run: dict[str, Any]) -> str:
    """The result in one or two sentences, in words."""
    benches = run.get("per_benchmark") or []
    items = sum(_int(b["items"]) for b in benches)
    kinds = ("contaminated", "verbatim", "rephrased", "generic")
    found, verbatim, rephrased, generic = (sum(_int(b.get(k)) for b in benches) for k in kinds)
    name = f"{line(benches[0]['name'], 60)} items" if len(benches) == 1 else "benchmark items"
    scored = score_headline(run)
    if not benches and scored:
        first = scored
    elif not benches:
        first = "No benchmark was compared with this corpus."
    elif found:
        named = ((verbatim, "word for word"), (rephrased, "in other words"), (generic, "only as a generic task"))
        how = [f"{count(n)} {words}" for n, words in named if n]
        is_are = "is" if found == 1 else "are"
        first = f"{count(found)} of {count(items)} {name} {is_are} in this corpus"
        if len(how) > 1:
            first += f": {', '.join(how)}."
        else:
            first += f", {how[0].split(' ', 1)[1]}." if how else "."
    else:
        first = f"None of the {count(items)} {name} was found in this corpus."
    counts = run.get("counts") or {}
    removed, kept, lost = (_int(counts.get(k)) for k in ("removed", "kept", "quarantined"))
    were = "was" if removed == 1 else "were"
    second = (
        f"{nouns(removed, 'row') if removed else 'No row'} {were if removed else 'was'} removed, {count(kept)} kept"
    )
    second += f", {count(lost)} could not be read." if lost else "."
    return f"{first} {scored} {second}" if benches and scored else f"{first} {second}"


def identity(run: dict[str, Any]) -> dict[str, Any]:
    """rows in = kept + removed + quarantined, and whether it holds."""
    counts = run.get("counts") or {}
    rows_in, kept, removed, quarantined = (counts.get(k) for k in ("rows_in", "kept", "removed", "quarantined"))
    out = _int(kept) + _int(removed) + _int(quarantined)
    rest = []
    if counts.get("cut"):
        rest.append(f"Of the kept rows, {nouns(counts['cut'], 'row')} had the matching span cut out.")
    if counts.get("duplicate_ids"):
        rest.append(f"{nouns(counts['duplicate_ids'], 'row')} share their id (the same text) with another row.")
    return {
        "rows_in": rows_in,
        "kept": kept,
        "removed": removed,
        "quarantined": quarantined,
        "holds": _int(rows_in) == out,
        "difference": _int(rows_in) - out,
        "removed_share": removed / rows_in if _int(rows_in) and removed is not None else None,
        "notes": rest,
    }


def notices(run: dict[str, Any]) -> list[tuple[str, str]]:
    """What a reader must know before believing the figures: (tone, sentence)."""
    found: list[tuple[str, str]] = []
    if run.get("status") != "complete":
        found.append(("alarm", "This run has not finished: every figure on this page is partial."))
    if run.get("counts") and not identity(run)["holds"]:
        found.append(
            (
                "alarm",
                f"The rows do not add up: {count(identity(run)['difference'])} of the rows in are unaccounted for.",
            )
        )
    undecided = sum(_int(b.get("undecided")) for b in run.get("per_benchmark") or [])
    if undecided:
        found.append(
            (
                "note",
                f"{nouns(undecided, 'item')} undecided: the judge gave no usable answer. They are counted neither as "
                "contaminated nor as clean.",
            )
        )
    for bench in run.get("benchmarks") or []:
        dropped = bench.get("dropped") or []
        if dropped:
            reasons = Counter(line(entry[1], 80) for entry in dropped if len(entry) > 1)
            why = joined([f"{count(n)} {reason}" for reason, n in reasons.most_common(3)])
            found.append(
                (
                    "note",
                    f"{line(bench['name'], 60)}: {nouns(len(dropped), 'item')} of the file could not be used ({why}).",
                )
            )
    found += [("note", line(warning, 600)) for warning in run.get("warnings") or []]
    return found


def benchmark_rows(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The per-benchmark table, printable, with the bar's geometry in percent."""
    return [
        {
            "name": line(b["name"], 80),
            "items": count(b["items"]),
            "verbatim": count(b["verbatim"]),
            "rephrased": count(b["rephrased"]),
            "contaminated": count(b["contaminated"]),
            "share": percent(b.get("share")),
            "interval": interval(b.get("low"), b.get("high")),
            "undecided": count(b.get("undecided")),
            "generic": count(b.get("generic")),
            "bar": _bar(b),
        }
        for b in run.get("per_benchmark") or []
    ]


def _bar(rate: dict[str, Any]) -> dict[str, float] | None:
    low, share, high = (rate.get(k) for k in ("low", "share", "high"))
    if low is None or share is None or high is None:
        return None
    return {"low": 100 * low, "share": 100 * share, "high": 100 * high, "width": max(100 * (high - low), 0.5)}


def planted_rows(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Share found of the rows that were planted on purpose, per transform."""
    return [
        {
            "transform": line(p["transform"], 80),
            "n": count(p["n"]),
            "found": count(p["found"]),
            "share": percent(p.get("share")),
            "interval": interval(p.get("low"), p.get("high")),
            "bar": _bar(p),
        }
        for p in run.get("planted") or []
    ]


def detector_rows(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Every detector with what determines its result and what it found."""
    kinds = {
        "rule": "rule: each match is a finding",
        "ranked": "ranked: retrieves candidates",
        "judge": "judge: decides",
    }
    return [
        {
            "name": line(d["name"], 80),
            "kind": kinds.get(d.get("kind", ""), line(d.get("kind"), 40)),
            "params": ", ".join(f"{line(k, 40)} = {line(v, 120)}" for k, v in (d.get("params") or {}).items()),
            "rows": count(d.get("rows")),
            "items": count(d.get("items")),
            "pairs": count(d.get("pairs")),
        }
        for d in run.get("detectors") or []
    ]


def figures(run: dict[str, Any]) -> dict[str, Any]:
    """The charts as SVG, each with its text alternative."""
    drawn: dict[str, Any] = {"agreement": None, "throughput": None, "thresholds": []}
    sets = [s for s in run.get("agreement") or [] if s["detectors"] and s["rows"]]
    if sets:
        words = [f"{nouns(s['rows'], 'row')} by {joined([line(d, 40) for d in s['detectors']])}" for s in sets[:12]]
        drawn["agreement"] = Markup(
            charts.svg(
                charts.agreement(sets),
                name="agreement",
                title="Which detectors found the flagged rows",
                description="Flagged rows by the exact set of detectors that found them: " + "; ".join(words) + ".",
            )
        )
    steps = [s for s in run.get("steps") or [] if s.get("rows_per_s")]
    if steps:
        words = [f"{line(s['name'], 40)} {count(s['rows_per_s'])}" for s in steps]
        drawn["throughput"] = Markup(
            charts.svg(
                charts.throughput(steps),
                name="throughput",
                title="Rows per second of every step",
                description="Rows per second: " + ", ".join(words) + ".",
            )
        )
    used = {d["name"]: (d.get("params") or {}).get("threshold") for d in run.get("detectors") or []}
    points = run.get("thresholds") or []
    for i, name in enumerate(dict.fromkeys(p["detector"] for p in points)):
        mine = sorted((p for p in points if p["detector"] == name), key=lambda p: p["threshold"])
        at = used.get(name)
        at = at if isinstance(at, int | float) and mine[0]["threshold"] <= at <= mine[-1]["threshold"] else None
        ends = [
            f"at {number(p['threshold'])}: {nouns(p['rows'], 'row')}, {nouns(p['items'], 'item')}"
            for p in (mine[0], mine[-1])
        ]
        drawn["thresholds"].append(
            {
                "name": line(name, 80),
                "used": number(at) if at is not None else "",
                "points": [(number(p["threshold"]), count(p["rows"]), count(p["items"])) for p in mine],
                "svg": Markup(
                    charts.svg(
                        charts.threshold_curve(mine, used=at),
                        name=f"threshold{i}",
                        title=f"{line(name, 80)}: rows and items flagged at each threshold",
                        description="; ".join(ends) + ".",
                    )
                ),
            }
        )
    return drawn


def agreement_rows(run: dict[str, Any]) -> list[tuple[str, str]]:
    """The text beside the agreement chart: every set of detectors and its rows, largest first."""
    sets = sorted(run.get("agreement") or [], key=lambda s: -s["rows"])
    return [
        (
            ("only " if len(s["detectors"]) == 1 else "") + joined([line(d, 80) for d in s["detectors"]]),
            count(s["rows"]),
        )
        for s in sets
    ]


def chips(totals: dict[str, int], shown: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The filter buttons of the evidence: every class of the run, with how many of it are on the page."""
    here = Counter(card["kind"] for card in shown)
    found = [{"key": "", "label": "All", "n": count(len(shown)), "what": "every pair on this page"}]
    for kind, (label, what) in WHAT.items():
        if totals.get(kind) or kind in ("verbatim", "rephrased"):
            found.append({"key": kind, "label": label, "n": count(here.get(kind, 0)), "what": what})
    return found


def screen_view(run: dict[str, Any], extremes: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Everything of the page that comes from `run.json` (and `scores/extremes.jsonl`), printable."""
    judge = run.get("judge")
    return {
        "headline": headline(run),
        "identity": identity(run),
        "notices": notices(run),
        "looked": bool(run.get("benchmarks") or run.get("per_benchmark")) or not run.get("scores"),
        "benchmarks": benchmark_rows(run),
        "scores": score_cards(run, extremes),
        "filters": filter_rows(run),
        "planted": planted_rows(run),
        "planted_words": _planted_words(run),
        "detectors": detector_rows(run),
        "agreement": agreement_rows(run),
        "figures": figures(run),
        "judge": judge,
        "judge_cost": printed((judge or {}).get("cost_estimate") or {}),
        "took": duration(run.get("wall_s")),
        "machine": machine_words(run.get("machine")),
        "versions": printed(run.get("versions") or {}),
    }


def _planted_words(run: dict[str, Any]) -> str:
    rows = run.get("planted") or []
    parts = [f"{count(p['found'])} of {count(p['n'])} {line(p['transform'], 60)}" for p in rows]
    return f"Found {joined(parts)}." if parts else ""
