"""What a person sees in the terminal. Text that came from data is never read as markup."""

import sys
import webbrowser
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from antivenom.errors import AntivenomError
from antivenom.report.wording import POLICY

__all__ = [
    "confirm",
    "open_page",
    "print_comparison",
    "print_error",
    "print_explanation",
    "print_overlap",
    "print_prompts",
    "print_rescored",
    "print_scorers",
    "print_scores",
    "print_screen",
    "print_split",
    "print_studies",
    "print_study",
]

console = Console(highlight=False)
MOST_METRICS = 4
MOST_REASONS = 3
QUARANTINE_READ = 10_000
error_console = Console(stderr=True, highlight=False)


def print_error(error: AntivenomError) -> None:
    """What is wrong, and the mend."""
    error_console.print(Text("error: ", style="bold red") + Text(_plain(error.what)))
    if error.mend:
        error_console.print(Text("  -> " + _plain(error.mend), style="dim"))


def confirm(question: str) -> bool:
    """Ask before money is spent; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        error_console.print(Text(f"{question} Not asked, as there is no terminal: give --yes to go on."))
        return False
    return console.input(escape(f"{question} [y/N] ")).strip().lower() in ("y", "yes")


def print_screen(run: dict[str, Any], out: Path) -> None:
    """The outcome of a screen run."""
    _print_benchmarks(run)
    _print_scores(run)
    c = run["counts"]
    cut = f", {c['cut']:,} of them cut" if c.get("cut") else ""
    console.print(
        f"{c['rows_in']:,} rows in = {c['kept']:,} kept{cut} + {c['removed']:,} removed + {c['quarantined']:,} quarantined"
    )
    if c["quarantined"]:
        _print_quarantine(out / "quarantine.jsonl")
    for warning in run["warnings"]:
        console.print(Text("warning: ", style="yellow") + Text(_plain(warning)))
    judge = run.get("judge")
    if judge and judge.get("undecided"):
        text = f"{judge['undecided']} pairs are undecided: neither clean nor contaminated; they stand in pairs.parquet"
        console.print(Text("undecided: ", style="yellow") + Text(text))
    console.print(f"{run['wall_s']:.1f} s, {run['cpu_s']:.1f} CPU-s, peak {run['peak_rss_mb']:.0f} MB")
    console.print(Text(f"report: {out / 'report.html'}   (antivenom open {out})"))


def _print_quarantine(path: Path) -> None:
    """Why rows were set aside, by the first of them: a file that breaks off is one line among millions."""
    import orjson

    with path.open("rb") as source:
        reasons = Counter(str(orjson.loads(line).get("reason", "")) for line in islice(source, QUARANTINE_READ))
    for reason, n in reasons.most_common(MOST_REASONS):
        console.print(Text("quarantined: ", style="yellow") + Text(f"{n:,} {_plain(reason)}"))
    if len(reasons) > MOST_REASONS or reasons.total() == QUARANTINE_READ:
        console.print(Text(f"quarantined: all of them, with reasons, in {path}"))


def _print_benchmarks(run: dict[str, Any]) -> None:
    if not run["per_benchmark"]:
        return
    table = _table("benchmark", "items", "in corpus", "95 % interval", "verbatim", "rephrased", "generic", "undecided")
    for b in run["per_benchmark"]:
        interval = f"{b['low']:.1%} - {b['high']:.1%}" if b["low"] is not None else "-"
        counts = [b["contaminated"], interval, b["verbatim"], b["rephrased"], b["generic"], b["undecided"]]
        table.add_row(_plain(b["name"]), *map(str, [b["items"], *counts]))
    console.print(table)
    if run.get("planted"):
        planted = _table("planted as", "rows", "found", "share", "95 % interval")
        for p in run["planted"]:
            planted.add_row(
                p["transform"], str(p["n"]), str(p["found"]), f"{p['share']:.0%}", f"{p['low']:.0%} - {p['high']:.0%}"
            )
        console.print(planted)


def _print_scores(run: dict[str, Any]) -> None:
    """One line per score, one per filter with its rule in words."""
    if run.get("scores"):
        table = _table("score", "a higher one is", "scored", "without", "5 %", "median", "95 %")
        for s in run["scores"]:
            at = [_measured(s["quantiles"][q]) if s["quantiles"] else "-" for q in ("0.05", "0.5", "0.95")]
            counts = [f"{s['n']:,}", f"{s['missing']:,}"]
            table.add_row(escape(_plain(s["label"])), s["identity"]["higher_is"], *counts, *at)
        console.print(table)
    for f in run.get("filters") or []:
        of = f" of {f['scored']:,} scored rows"
        share = f" ({f['share_of_scored']:.1%})" if f["share_of_scored"] is not None else ""
        said = f"{f['dropped']:,}{of} dropped{share}"
        if f.get("cut"):
            said += f", {f['cut']:,} cut"
        if f["missing"]:
            said += f"; {f['missing']:,} without a score, {POLICY[f['policy']]}"
        said += f"; control: {f['control']['rows']:,} random rows in column {f['control']['column']}"
        console.print(Text("filter ", style="bold") + Text(f"{_plain(f['rule'])}: {said}"))


def print_scorers(found: Sequence[dict[str, str]]) -> None:
    """The scorers by name."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("scorer", "what it is", "parameters"):
        table.add_column(name, overflow="fold")
    for one in found:
        table.add_row(*(escape(one[key]) for key in ("name", "what", "parameters")))
    console.print(table)


def print_scores(found: Iterable[tuple[float, str, str]]) -> None:
    """Scores of lines, for people and for `cut`: score, reason and line with tabs between; control characters are dots."""
    for score, reason, text in found:
        shown = "-" if score != score else f"{score:.6g}"
        sys.stdout.write(f"{shown}\t{_plain(reason)}\t{_plain(text)}\n")


def print_explanation(explanation: Any) -> None:
    """One row's account, as `antivenom explain` tells it."""
    row = explanation.annotation
    console.print(Text(f"row {row['id']}  ({_plain(row['file'])}:{row['position']})", style="bold"))
    console.print(Text(f"  {row['action']}: {_plain(row['reason']) or 'nothing flagged it'}"))
    for pair in explanation.pairs:
        mark = "flagged" if pair["flagged"] else "looked at"
        rank = f", rank {pair['rank']}" if pair["rank"] is not None else ""
        judged = f", judge: {pair['verdict']}" if pair["verdict"] else ""
        if pair["probability"] is not None:
            judged += f" (p = {pair['probability']:.2f})"
        line = f"  {mark}: {pair['detector']} x {_plain(pair['item_id'])}, score {pair['score']:.3f}{rank}{judged}"
        console.print(Text(line, style="" if pair["flagged"] else "dim"))
        if pair["flagged"] and pair["row_excerpt"]:
            console.print(_marked("    row:  ", pair["row_excerpt"], pair["row_spans"]))
            console.print(_marked("    item: ", pair["item_text"], pair["item_spans"]))
    for account in explanation.scores:
        score = "-" if account.score is None else f"{account.score:.4g}"
        acted = f", {_plain(account.filter)}: {_plain(account.why)}" if account.filter else ""
        said = f" ({_plain(account.reason)})" if account.reason else ""
        console.print(Text(f"  score: {_plain(account.label)} {score}{said}{acted}"))
        for span in account.spans:
            what = f"  {_plain(span['what'])}" if span["what"] else ""
            console.print(Text(f"    {span['weight']:+.3g}  {_plain(span['text'])}{what}", style="dim"))
        if account.note:
            console.print(Text(f"    no stretches: {_plain(account.note)}", style="dim"))
    if explanation.to_be_kept:
        console.print(Text("  to be kept:", style="bold"))
        for condition in explanation.to_be_kept:
            console.print(Text(f"    - {_plain(condition)}"))


def print_rescored(found: Any, out: Path) -> None:
    """Two scorers on the same rows: distance, labels that change, order, and what either could not score."""
    names = (_plain(found.before), _plain(found.after))
    console.print(Text(f"before: {names[0]}   after: {names[1]}", style="bold"))
    if found.same_scorer:
        console.print(Text("both are the same scorer: every difference is an error", style="yellow"))
    sign = ">=" if found.inclusive else ">"
    table = _table(f"before / after (above: score {sign} {found.threshold:g})", "below", "above", "missing")
    for state, row in found.transitions.items():
        table.add_row(state, *(f"{row[name]:,}" for name in ("below", "above", "missing")))
    console.print(table)
    figures = _table("compared", "value", "95 % interval", "rows")
    share = _percent(found.changed_share)
    interval = "-" if found.changed_low is None else f"{found.changed_low:.2%} - {found.changed_high:.2%}"
    figures.add_row("share whose label changed", share, interval, f"{found.paired:,}")
    for attribute, distance in found.wasserstein.items():
        name = escape(f"Wasserstein distance of {_plain(attribute)}")
        figures.add_row(name, _digits(distance), "", f"{found.paired:,}" if attribute == "score" else "")
    figures.add_row("mean shift (after - before)", _digits(found.mean_shift), "", f"{found.paired:,}")
    figures.add_row("rank correlation, Spearman", _digits(found.spearman), "", f"{found.ranked:,}")
    figures.add_row("rank correlation, Kendall's tau-b", _digits(found.kendall), "", f"{found.ranked:,}")
    console.print(figures)
    missing = f"{found.missing_before:,} before, {found.missing_after:,} after, {found.missing_both:,} in both"
    console.print(Text(f"{found.rows:,} rows; without a score: {missing}"))
    console.print(Text(f"written to {out} (scores/, rescore.json, run.json)"))


def print_split(record: dict[str, Any], out: Path) -> None:
    """The parts of a percentile split, and where every other row is."""
    score = record["score"]
    column = "" if score["column"] == "score" else f".{score['column']}"
    table = _table("part", "percentiles", "rows", "lowest", "highest", "bytes of text")
    for one in record["parts"]:
        ends = [_digits(one[end]) for end in ("lowest", "highest")]
        tiles = f"{one['tiles'][0]}-{one['tiles'][1]}"
        table.add_row(one["name"], tiles, f"{one['rows']:,}", *ends, f"{one['bytes']:,}")
    console.print(Text(f"by {_plain(score['label'] + column)} (a higher score is {score['higher_is']})", style="bold"))
    console.print(table)
    c = record["counts"]
    parts = " + ".join(f"{c[one['name']]:,} {one['name']}" for one in record["parts"])
    rest = f"{c['between']:,} between + {c['unscored']:,} without a score + {c['excluded']:,} excluded"
    console.print(f"{c['rows']:,} rows = {parts} + {rest}")
    if record["exclude"]["ids"]:
        found, ids = record["exclude"]["found"], record["exclude"]["ids"]
        console.print(f"excluded: {found:,} of {ids:,} ids are in the corpus; no part holds any of them")
    for warning in record["warnings"]:
        console.print(Text("warning: ", style="yellow") + Text(warning))
    console.print(Text(f"written to {out}"))


def print_overlap(record: dict[str, Any], out: Path | None = None) -> None:
    """Which share of the smaller corpus is, nearly, in the other."""
    console.print(Text(f"smaller: {_plain(record['smaller'])}\nother:   {_plain(record['other'])}"), soft_wrap=True)
    table = _table("rows", "of the other", "with a near-duplicate", "share", "95 % interval")
    interval = "-" if record["low"] is None else f"{record['low']:.1%} - {record['high']:.1%}"
    cells = [f"{record[key]:,}" for key in ("rows", "other_rows", "matched")]
    table.add_row(*cells, _percent(record["share"]), interval)
    console.print(table)
    p = record["params"]
    console.print(
        f"Jaccard similarity >= {p['threshold']:g} of {p['unit']} {p['shingle']}-shingles, {p['permutations']} permutations"
    )
    if record["empty"]:
        console.print(f"{record['empty']:,} texts of the smaller corpus are empty: in the denominator, like nothing")
    if record["unread"]:
        console.print(Text(f"{record['unread']:,} rows could not be read: in no figure", style="yellow"))
    if out is not None:
        console.print(Text(f"written to {out} (pairs.jsonl, run.json)"))


def print_prompts(record: dict[str, Any], per_range: int, out: Path) -> None:
    """How many prompts of each range, and what the filters took out."""
    table = _table(f"{_plain(record['scorer'])} of the whole", *(one["range"] for one in record["ranges"]))
    table.add_row("prompts", *(f"{one['prompts']:,}" for one in record["ranges"]))
    console.print(table)
    for reason, n in record["dropped"].items():
        console.print(Text(f"left out: {n:,} spans, {_plain(reason)}"))
    if record["unread"]:
        console.print(Text(f"{record['unread']:,} rows could not be read", style="yellow"))
    short = [one["range"] for one in record["ranges"] if one["prompts"] < per_range]
    if short:
        said = f"fewer than {per_range:,} prompts in {', '.join(short)}"
        console.print(Text("warning: ", style="yellow") + Text(said))
    console.print(
        Text(f"{record['prompts']:,} prompts from {record['sources']:,} rows, which must be kept out of training")
    )
    console.print(Text(f"written to {out} (prompts.jsonl, run.json); antivenom split --exclude {out} leaves them out"))


def _measured(value: float) -> str:
    """Three digits, and never fewer than stand before the point: a year is no 2e+03."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def open_page(directory: Path) -> None:
    """Open report.html of a run directory in the browser, and print its path."""
    page = directory / "report.html"
    if not page.exists():
        raise AntivenomError(f"{directory} has no report.html", "name the folder given to --out of a finished run")
    console.print(Text(str(page.resolve())))
    webbrowser.open(page.resolve().as_uri())


def print_studies(studies: Sequence[Any]) -> None:
    """The list of studies."""
    table = _table("study", "paper", "dose", "treatments", "sizes", words=True)
    for s in studies:
        table.add_row(
            s.name, s.paper, f"{s.dose}: {', '.join(map(str, s.doses))}", ", ".join(s.treatments), ", ".join(s.sizes)
        )
    console.print(table)


def print_study(result: Any, out: Path) -> None:
    """The headline responses of a study run: treatments by doses, mean over seeds [interval], the control at the last dose."""
    metrics = list(dict.fromkeys(r["metric"] for r in result.summary))
    shown = [metric for metric in metrics if metric in result.headline] or metrics[:MOST_METRICS]
    for metric in shown:
        rows = [r for r in result.summary if r["metric"] == metric]
        doses = sorted({r["dose"] for r in rows}, key=lambda d: (d is None, d))
        control = next((r["control_name"] for r in rows if r["control_name"]), None)
        table = _table("dose", *(f"{d:,g}" if d is not None else "-" for d in doses), *(["beside"] if control else []))
        table.title, table.title_justify, table.padding = _plain(metric), "left", (0, 0, 0, 1)
        for column in table.columns:
            column.no_wrap = True
        names = dict.fromkeys(r["treatment"] for r in rows)
        # a table that does not fit is cut in the middle of a figure: then the figures alone
        widest = max(len(name) for name in names) + sum(len(" .00 [.00 .00]") for _ in doses) + len(" beside")
        whole = widest <= console.width or all(r["low"] is None for r in rows)
        for treatment in names:
            found = {r["dose"]: r for r in rows if r["treatment"] == treatment}
            beside = found.get(doses[-1], {}).get("control")
            cells = [_cell(found.get(dose), interval=whole) for dose in doses]
            table.add_row(treatment, *cells, *([_short(beside)] if control else []))
        console.print(table)
        notes = [f"beside: {_plain(control)}, at dose {doses[-1]:,g}"] if control else []
        notes += [] if whole else ["intervals: in the report"]
        console.print(Text("; ".join(notes) + "\n" if notes else "", style="dim"))
    for failed in result.failed:
        error_console.print(Text(f"failed cell: {_plain(str(failed))}", style="red"))
    for skipped in result.skipped:
        error_console.print(Text(f"cell not run: {_plain(str(skipped))}", style="yellow"))
    if len(metrics) > len(shown):
        console.print(Text(f"{len(metrics) - len(shown)} more responses in {out / 'rows.parquet'} and in the report"))
    console.print(Text(f"report: {out / 'report.html'}"))


def _cell(row: dict[str, Any] | None, *, interval: bool = True) -> str:
    if row is None or row["value"] is None:
        return "-"
    ends = f" [{_short(row['low'])} {_short(row['high'])}]" if interval and row["low"] is not None else ""
    return escape(f"{_short(row['value'])}{ends}")


def _short(value: float | None) -> str:
    """Two decimals in at most three characters where the value is a rate: the tables of a terminal are narrow."""
    if value is None:
        return "-"
    if 0 <= value < 0.995:
        return f"{value:.2f}".removeprefix("0")
    return "1.0" if value < 1.005 else f"{value:.3g}"


def print_comparison(comparison: Any) -> None:
    """Two runs side by side."""
    for difference in comparison.differences:
        console.print(Text(f"differs: {_plain(str(difference))}", style="yellow"))
    if not comparison.rows:
        console.print(Text("no figure to compare: no benchmark, response or filter is in both runs"))
        return
    table = _table("metric", "dose", "treatment", "A", "B", "B - A", "interval", "n")
    for r in comparison.rows:
        interval = f"{r['low']:.3f} - {r['high']:.3f}" if r["low"] is not None else "-"
        values = [f"{r[k]:.3f}" if r[k] is not None else "-" for k in ("a", "b", "difference")]
        table.add_row(
            r["metric"], "-" if r["dose"] is None else str(r["dose"]), r["treatment"], *values, interval, str(r["n"])
        )
    console.print(table)


def _table(*columns: str, words: bool = False) -> Table:
    """A table of figures, to the right of their names; of words, all to the left and set apart."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 1, 0) if words else (0, 1))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 or words else "right", overflow="fold")
    return table


def _marked(label: str, text: str, spans: Sequence[dict[str, int]] | None, width: int = 400) -> Text:
    """Text with its shared spans in bold; control characters cannot reach the terminal."""
    shown = Text(label, style="dim")
    body = Text(_plain(text[:width]))
    for span in spans or ():
        if span["start"] < width:
            body.stylize("bold green", span["start"], min(span["stop"], width))
    return shown + body


def _plain(text: str) -> str:
    """The text on one line, control and bidirectional characters made visible as a dot; same length."""
    return "".join(c if c.isprintable() else ("\u00b7" if c not in "\n\t\r" else " ") for c in text)
