"""What a person sees of insertion plans in the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from antivenom.report.wording import line as plain
from antivenom.terminal import console

__all__ = ["print_difference", "print_owner", "print_plan", "print_stream", "print_written"]


def print_plan(plan: Any, lines: Sequence[dict[str, Any]], *, conditions: bool = False) -> None:
    """A line per experiment: what goes in, how much of the run it is, and what the planning met."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("experiment")
    for name in ("items", "placed", "tokens", "share of run", "steps", "dropped", "collisions", "moved"):
        table.add_column(name, justify="right")
    for found in lines:
        if found["condition"] is not None and not conditions:
            continue
        name = found["experiment"] if found["condition"] is None else f"  {found['condition'] or '(none)'}"
        steps = "-" if found["first_step"] is None else f"{found['first_step']:,} - {found['last_step']:,}"
        met = [f"{found[key]:,}" if found.get(key) is not None else "" for key in ("dropped", "collisions", "moved")]
        table.add_row(
            escape(plain(name, 60)), f"{found['items']:,}", f"{found['placements']:,}", f"{found['tokens']:,}",
            f"{100 * found['share']:.3g} %", steps, *met,
        )  # fmt: skip
    console.print(table)
    total = int(plan.length.sum())
    console.print(
        f"{plan.shape}; {total:,} of them ({100 * total / plan.shape.tokens:.3g} %) in {len(plan):,} places; mode {plan.mode}"
        + (f"; {len(plan.masked):,} rows are out of the loss and left alone" if len(plan.masked) else "")
    )
    for name, record in plan.record.items():
        for key, why in record["dropped"][:3]:
            console.print(
                f"dropped from {escape(plain(name, 60))}: {escape(plain(key, 60))} ({escape(plain(why, 80))})"
            )
    console.print(f"plan {plan.hash[:16]}, seed {plan.seed}")


def print_written(what: str, path: Path) -> None:
    """Where something lies."""
    console.print(f"{what}: {escape(str(path))}")


def print_owner(found: Any, step: int, row: int, column: int) -> None:
    """Whose token it is."""
    where = f"step {step}, row {row}, column {column}"
    if found is None:
        console.print(f"{where}: the stream's own token")
        return
    console.print(
        f"{where}: {escape(plain(found.experiment, 60))}, condition {escape(plain(found.condition, 60)) or '(none)'}, item "
        f"{escape(plain(found.item, 60))}, copy {found.copy}, columns {found.column} - {found.column + found.length - 1} ({found.kind})"
    )


def print_difference(found: Any, most: int = 10) -> None:
    """What is different, the first of each kind."""
    if not found:
        console.print("no difference")
        return
    if found.about:
        console.print(f"of the run itself: {', '.join(found.about)}")
    for kind in ("moved", "changed", "added", "removed"):
        lines = getattr(found, kind)
        if lines:
            console.print(f"{kind}: {len(lines):,}")
        for line in lines[:most]:
            key, rest = (line[0], f": token {line[1]:,} -> {line[2]:,}") if kind == "moved" else (line, "")
            console.print(f"  {escape(plain(key[0], 60))} {escape(plain(key[1], 60))} copy {key[2]}{rest}")


def print_stream(stream: Any, path: Path) -> None:
    """Of a token stream that was made."""
    about = stream.about
    console.print(
        f"{len(stream):,} rows of {stream.length:,} tokens ({stream.dtype.name}), {about.get('documents', 0):,} documents, "
        f"{about['left_out']:,} tokens at the end left out, {about.get('empty_documents', 0):,} empty documents"
    )
    print_written("stream", path)
