"""The report page: one HTML file that works offline, in print, by keyboard and on a phone.

Made from the run directory and from nothing else. Templates, style and script are files of this package and are put
into the page when it is written; a Content-Security-Policy allows exactly that script and no request at all.
"""

import base64
import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from antivenom.errors import AntivenomError
from antivenom.report import charts, evidence, wording
from antivenom.report.experiment_cards import card_views, matrix_views
from antivenom.report.provenance_page import age_cards, domain_headers, domain_rows, read_domains
from antivenom.report.run_directory import atomic_file
from antivenom.report.screen_page import WHAT, chips, screen_view
from antivenom.report.selection_chart import scatter_views
from antivenom.report.study_page import study_view

__all__ = ["Totals", "render_screen", "render_study", "write_screen_report", "write_study_report"]

PAIRS_SHOWN = 2000
QUARANTINE_SHOWN = 1000


@dataclass
class Totals:
    """What the run holds, where the page is handed only a part of it.

    Args:
        pairs: class -> number of (row, item) pairs.
        quarantined: reason -> number of rows.
    """

    pairs: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)


def render_screen(
    run: dict[str, Any],
    pairs: pa.Table,
    quarantine: list[dict[str, Any]],
    *,
    rows: dict[tuple[str, int], tuple[str, str]] | None = None,
    folder: str = "DIR",
    totals: Totals | None = None,
    cap: int = PAIRS_SHOWN,
    extremes: Sequence[dict[str, Any]] = (),
    domains: Sequence[dict[str, Any]] = (),
) -> str:
    """The page of a `screen` run. Pure: equal input gives equal bytes.

    Args:
        run: the record `run.json`.
        pairs: lines of `pairs.parquet`; the `cap` strongest (row, item) pairs are put into the page.
        quarantine: entries of `quarantine.jsonl`; the first thousand are put into the page.
        rows: (file, position) -> (action, reason), from `annotations.parquet`.
        folder: the run directory as a user would type it, for the commands to copy.
        totals: counts over everything, when `pairs` and `quarantine` are only a part.
        cap: most pairs in the page.
        extremes: lines of `scores/extremes.jsonl`: the rows at both ends of each score.
        domains: rows, outcomes and mean scores per domain, see `read_domains`.
    """
    chosen = evidence.choose(pairs, cap)
    shown = evidence.cards(pairs, chosen, folder=folder, rows=rows)
    in_all = totals.pairs if totals else chosen.totals
    reasons = totals.quarantined if totals else dict(Counter(str(entry.get("reason", "")) for entry in quarantine))
    held = [
        {
            "file": wording.line(entry.get("file")),
            "position": wording.line(entry.get("position"), 20),
            "reason": wording.line(entry.get("reason"), 500),
            "excerpt": wording.visible(entry.get("excerpt"), 300),
        }
        for entry in quarantine[:QUARANTINE_SHOWN]
    ]
    return _render(
        "screen.html",
        title=f"antivenom: {wording.line((run.get('corpus') or {}).get('root'), 120)}",
        run=run,
        view=screen_view(run, extremes)
        | {"ages": age_cards(run), "domains": domain_rows(run, domains), "domain_headers": domain_headers(run)},
        folder=folder,
        chips=chips(in_all, shown),
        kinds=WHAT,
        n_shown=len(shown),
        n_pairs=sum(in_all.values()),
        flagged_hidden=sum(n for kind, n in in_all.items() if kind in ("verbatim", "rephrased"))
        - sum(card["kind"] in ("verbatim", "rephrased") for card in shown),
        benchmarks=sorted({card["benchmark"] for card in shown}),
        detectors=sorted({one[0] for card in shown for one in card["detectors"]}),
        reasons=sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])),
        n_quarantined=sum(reasons.values()),
        n_held=len(held),
        data={"pairs": shown, "quarantine": held},
    )


def render_study(
    run: dict[str, Any], rows: pa.Table, points: pa.Table | None = None, cards: Sequence[dict[str, Any]] = ()
) -> str:
    """The page of a study run: cards of experiments and dependence tests where there are any, curves with intervals, controls,
    the paper's points, every epoch where there are any, and the table. Pure."""
    return _render(
        "study.html",
        title=f"antivenom study: {wording.line(run.get('study'), 80)}",
        run=run,
        view=study_view(run, rows.to_pylist())
        | {"scatters": scatter_views(points.to_pylist() if points is not None else [])}
        | {"cards": card_views(cards, rows.to_pylist()), "matrices": matrix_views(cards)},
        data={},
    )


def write_screen_report(run_dir: Path | str, *, cap: int = PAIRS_SHOWN) -> Path:
    """Write `report.html` of a screen run, whole or not at all.

    Args:
        run_dir: the run directory, as a user would type it (it stands in the commands to copy).
        cap: most (row, item) pairs in the page; flagged ones come first.

    Raises:
        AntivenomError: when a file of the run is missing or broken, or the page cannot be written.
    """
    folder = Path(run_dir)
    run = _read_run(folder)
    looked = bool(run.get("benchmarks")) or not run.get("scores")
    pairs, in_all = _read_pairs(folder / "pairs.parquet", cap) if looked else (pa.table({}), {})
    quarantine, reasons = _read_quarantine(folder / "quarantine.jsonl")
    rows = _read_rows(folder / "annotations.parquet", pairs)
    totals = Totals(in_all, reasons)
    return _write(
        folder / "report.html",
        render_screen(
            run,
            pairs,
            quarantine,
            rows=rows,
            folder=str(run_dir),
            totals=totals,
            cap=cap,
            extremes=_read_extremes(folder / "scores" / "extremes.jsonl"),
            domains=_read_domains(folder / "annotations.parquet", run),
        ),
    )


def write_study_report(run_dir: Path | str) -> Path:
    """Write `report.html` of a study run, whole or not at all.

    Raises:
        AntivenomError: when a file of the run is missing or broken, or the page cannot be written.
    """
    folder = Path(run_dir)
    run = _read_run(folder)
    path = folder / "rows.parquet"
    try:
        rows = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
    epochs = folder / "points.parquet"
    try:
        points = pq.read_table(epochs) if epochs.exists() else None
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(epochs, error) from None
    return _write(folder / "report.html", render_study(run, rows, points, _read_cards(folder / "cards.json")))


# --- reading the run directory -------------------------------------------------------------------------------------


def _unreadable(path: Path, error: Exception) -> AntivenomError:
    why = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read ({wording.line(error, 200)})"
    return AntivenomError(f"{path} {why}", "give the directory of a finished run, or run the same command again")


def _read_run(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        run = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(run, dict):
        raise AntivenomError(f"{path} is not a run record", "give the directory of a run")
    return run


def _read_pairs(path: Path, cap: int) -> tuple[pa.Table, dict[str, int]]:
    """The lines of the pairs to show, and the totals: texts are read only for those, batch by batch."""
    try:
        with pq.ParquetFile(path) as source:
            missing = {*evidence.LIGHT, *evidence.TEXTS} - set(source.schema_arrow.names)
            if missing:
                raise AntivenomError(
                    f"{path} has no column '{min(missing)}'",
                    "write it with this version of antivenom: run screen again",
                )
            light = source.read(columns=list(evidence.LIGHT))
            chosen = evidence.choose(light, cap)
            wanted = sorted(index for _, lines in chosen.groups for index in lines)
            parts, at, next_one = [], 0, 0
            for batch in source.iter_batches(batch_size=2048, columns=[*evidence.LIGHT, *evidence.TEXTS]):
                end = at + len(batch)
                here = []
                while next_one < len(wanted) and wanted[next_one] < end:
                    here.append(wanted[next_one] - at)
                    next_one += 1
                if here:
                    parts.append(batch.take(pa.array(here, pa.int64())))
                at = end
            schema = pa.schema([source.schema_arrow.field(name) for name in (*evidence.LIGHT, *evidence.TEXTS)])
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
    return pa.Table.from_batches(parts, schema=parts[0].schema if parts else schema), chosen.totals


def _read_rows(path: Path, pairs: pa.Table) -> dict[tuple[str, int], tuple[str, str]]:
    """What was done to the rows shown, and why. Only those rows are brought into memory."""
    import pyarrow.dataset as ds

    if not path.exists() or not len(pairs):
        return {}
    try:
        table = ds.dataset(path, format="parquet").to_table(
            columns=["file", "position", "action", "reason"],
            filter=ds.field("id").isin(pairs.column("id").unique().to_pylist()),
        )
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
    return {(r["file"], r["position"]): (r["action"] or "", r["reason"] or "") for r in table.to_pylist()}


def _read_quarantine(path: Path) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The first entries, and how many there are of each reason (reasons beyond 5,000 different ones are one)."""
    entries: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    if not path.exists():
        return entries, reasons
    try:
        with path.open("rb") as stream:
            for raw in stream:
                try:
                    entry = orjson.loads(raw)
                except orjson.JSONDecodeError:
                    entry = {"file": path.name, "reason": "this line of the quarantine file is not JSON"}
                if not isinstance(entry, dict):
                    continue
                reason = str(entry.get("reason", ""))
                reasons[reason if reason in reasons or len(reasons) < 5000 else "other reasons"] += 1
                if len(entries) < QUARANTINE_SHOWN:
                    entries.append(entry)
    except OSError as error:
        raise _unreadable(path, error) from None
    return entries, reasons


def _read_extremes(path: Path) -> list[dict[str, Any]]:
    """The rows at both ends of each score, where the run has scores."""
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [entry for line in lines if isinstance(entry := orjson.loads(line), dict)]
    except (OSError, orjson.JSONDecodeError) as error:
        raise _unreadable(path, error) from None


def _read_cards(path: Path) -> list[dict[str, Any]]:
    """The cards of a study's experiments, where it has any."""
    try:
        return orjson.loads(path.read_bytes()) if path.exists() else []
    except (OSError, orjson.JSONDecodeError) as error:
        raise _unreadable(path, error) from None


def _read_domains(path: Path, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows, outcomes and sums of the scores per domain, where the run has a scorer of domains."""
    try:
        return read_domains(path, run)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _unreadable(path, error) from None


# --- writing the page ----------------------------------------------------------------------------------------------


def _render(template: str, *, data: Any, **context: Any) -> str:
    script, style = _asset("report.js"), _asset("report.css")
    page = _environment().get_template(template)
    return page.render(
        **context,
        data=Markup(evidence.embed(data)),
        script=Markup(script),
        style=Markup(style.replace("/* dark charts */", charts.dark_css())),
        policy=content_policy(script),
    )


def content_policy(script: str) -> str:
    """The Content-Security-Policy: nothing is loaded, nothing is sent, and only this very script runs."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return files("antivenom.report").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # a record of a run that was cut short lacks fields: they print as a dash
        undefined=jinja2.ChainableUndefined,
    )
    for name in ("count", "number", "percent", "interval", "duration", "size", "line", "visible", "nouns"):
        environment.filters[name] = getattr(wording, name)
    environment.filters["command"] = _command
    environment.filters["json"] = _json
    return environment


def _command(arguments: Any) -> str:
    """Arguments as a line for the shell."""
    if isinstance(arguments, str):
        return wording.line(arguments, 4000)
    return wording.line(shlex.join(str(a) for a in arguments), 4000) if isinstance(arguments, Sequence) else ""


def _json(value: Any) -> str:
    """Plain data as readable text."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return wording.visible(text, 20_000)


def _write(path: Path, page: str) -> Path:
    """A reader sees the old page or the new one, never a part."""
    with atomic_file(path) as temporary:
        Path(temporary).write_bytes(page.encode())
    return path
