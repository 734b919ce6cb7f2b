"""What a person sees of a run on pairs or on a CLIP: the headline, what to know, the first table, or as many as it says."""

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from antivenom.report.wording import line
from antivenom.terminal import console

__all__ = ["print_fetched", "print_record", "print_written"]


def print_record(record: dict[str, Any], out: Path) -> None:
    """The record of a run (see `report.record_page`)."""
    printed = int(record.get("printed", 1))
    for one in (record.get("tables") or [])[:printed]:
        shown = one.get("narrow") or range(len(one["headers"]))
        # one table in a frame; several are set close, or they fill screens
        look: dict[str, Any] = {"box": None, "pad_edge": False} if printed > 1 else {}
        table = Table(title=Text(line(one["title"], 120), style="bold"), title_justify="left", **look)
        for at in shown:
            table.add_column(
                Text(line(one["headers"][at], 60)), no_wrap=at == 0 and printed == 1 and bool(one.get("narrow")),
                justify="right" if at and printed > 1 else "left",
            )  # fmt: skip
        for row in one["rows"][:20]:
            table.add_row(*(Text(line(row[at], 60)) for at in shown))
        console.print(table)
    counts = record.get("counts") or {}
    if counts:
        console.print(
            f"{counts['rows_in']:,} rows in = {counts['pairs']:,} pairs + {counts['quarantined']:,} set aside"
        )
    for why, n in list((record.get("quarantine") or {}).items())[:3]:
        console.print(Text(f"  {n:,} set aside: {line(why, 200)}"))
    if record.get("waiting") is not None:
        console.print(f"{record['waiting']:.1%} of the training's time was spent waiting for data")
    for warning in record.get("warnings") or []:
        console.print(Text("note: ", style="yellow") + Text(line(warning, 400)))
    console.print(Text(line(record.get("headline"), 600), style="bold"))
    console.print(Text(f"report: {out / 'report.html'}   (antivenom open {out})"))


def print_fetched(done: Any) -> None:
    """What a fetch did (see `data.image_download.Fetched`)."""
    console.print(
        f"{done.rows:,} rows = {done.pairs:,} pictures + {done.failed:,} failed + {done.untried:,} not tried"
        f" ({done.resumed:,} of an earlier run); {done.bytes / 1e6:,.1f} MB in {done.seconds:,.1f} s"
    )
    for why, n in list(done.reasons.items())[:6]:
        console.print(Text(f"  {n:,} failed: {line(why, 200)}"))
    console.print(Text(f"pairs: {done.folder / 'pairs.csv'}"))


def print_written(counts: dict[str, int], out: Path) -> None:
    """Which sets were written, and how many pairs each has."""
    for name, n in counts.items():
        console.print(Text(f"{out / name}.csv: {n:,} pairs"))
    console.print(Text(f"{out / 'classes.txt'}: the class names; the column of the class is `label`"))
