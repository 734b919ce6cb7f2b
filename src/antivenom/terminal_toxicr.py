"""What a person sees of ToxiCR's evaluations in the terminal: 80 columns are enough for every table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from antivenom.report.wording import line as plain
from antivenom.terminal import console, error_console

__all__ = ["print_ablation", "print_check", "print_comparison", "print_done", "print_evaluation", "print_tuning"]

SHOWN = {"accuracy": "accuracy", "precision_1": "precision", "recall_1": "recall", "f1_1": "F1 toxic", "auroc": "AUROC"}
CALLED = {
    "f1_1": "F1 toxic",
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "precision_1": "precision",
    "recall_1": "recall",
}


def print_check(line: str) -> None:
    """A line of the data checks; a leak is red."""
    console.print(Text(plain(line, 500), style="bold red" if "LEAK: " in line else ""))


def print_done(line: str) -> None:
    """Progress, beside the results."""
    error_console.print(Text(plain(line, 200), style="dim"))


def print_evaluation(found: dict[str, Any], out: Path) -> None:
    """A line per learner and protocol; precision, recall and F1 are of the toxic class."""
    table = _table("learner", "folds", *SHOWN.values())
    across = any(entry["protocol"] == "test" for entry in found["entries"])
    for entry in found["entries"]:
        n = next((f["n"] for f in entry["figures"].values() if f["n"]), 0)
        folds = entry["protocol"] if across else f"{entry['protocol']}\n{n}"
        name = escape(plain(entry["name"], 40))
        table.add_row(name, folds, *(_ranged(entry["figures"].get(m)) for m in SHOWN))
        if "f1_1_tuned" in entry["figures"]:
            tuned = [
                _ranged(entry["figures"].get(f"{m}_tuned")) for m in ("accuracy", "precision_1", "recall_1", "f1_1")
            ]
            at = entry["figures"]["threshold_tuned"]["mean"]
            table.add_row(f"  at {_short(at)}, tuned inside", "", *tuned, "")
    console.print()
    console.print(table)
    kind = (
        "below: 95 % bootstrap interval over test rows"
        if across
        else "mean over folds; below: 95 % interval, corrected for training rows folds share"
    )
    console.print(Text(f"precision, recall, F1: of the toxic class. {kind}", style="dim"))
    missing = {e["name"]: max((r["missing"] for r in e["records"]), default=0) for e in found["entries"]}
    for name, most in missing.items():
        if most:
            console.print(
                Text(f"{plain(name)}: up to {most:,} rows of a fold have no score: in no figure", style="yellow")
            )
    console.print(Text(f"written to {out} (evaluation.json, scores.parquet, run.json)"))


def print_ablation(found: dict[str, Any], out: Path) -> None:
    """All combinations of the optional steps, and what each changes against the base."""
    table = _table("profanity", "keyword", "split", "F1 toxic", "accuracy", "AUROC", "F1 - base", "p", "Holm")
    effects = {e["name"]: e for e in found["effects"] if e["metric"] == "f1_1"}
    for entry in found["entries"]:
        marks = ["count", "drop", "split"]
        on = [
            mark if letter == "T" else "-"
            for mark, letter in zip(marks, entry["name"].split()[-1].split("/"), strict=True)
        ]
        effect = effects.get(entry["name"])
        cells = [_ranged(entry["figures"][m]) for m in ("f1_1", "accuracy", "auroc")]
        if effect is None:
            table.add_row(*on, *cells, "base", "", "")
        else:
            change = _change(effect["difference"], effect["low"], effect["high"])
            table.add_row(*on, *cells, change, _p(effect["p"]), _p(effect["p_holm"]))
    protocol, folds = next(iter(found["folds"].items()))
    console.print()
    console.print(table)
    learner = plain(found["entries"][0]["name"].split()[0])
    n = next(iter(effects.values()))["n"]
    console.print(
        Text(
            f"{learner}, {n} {protocol} folds of {folds['k']} a repeat; p: corrected resampled t against the base,",
            style="dim",
        )
    )
    console.print(Text("Holm: the same over the 7 combinations; intervals: 95 %, corrected too", style="dim"))
    console.print(Text(f"written to {out} (evaluation.json, scores.parquet, run.json)"))


def print_comparison(rows: Sequence[dict[str, Any]]) -> None:
    """Pair by pair: means, difference, and the tests."""
    for protocol, a, b in dict.fromkeys((r["protocol"], r["a"], r["b"]) for r in rows):
        mine = [r for r in rows if (r["protocol"], r["a"], r["b"]) == (protocol, a, b)]
        console.print(Text(f"A: {plain(a)}   B: {plain(b)}   ({mine[0]['n']} {protocol} folds)", style="bold"))
        table = _table("figure", "A", "B", "B - A", "p corrected", "p plain t", "p Wilcoxon")
        for r in mine:
            change = _change(r["difference"], r["low"], r["high"])
            tests = (_p(r[key]) for key in ("p", "p_plain", "p_wilcoxon"))
            table.add_row(CALLED[r["metric"]], _short(r["a_mean"]), _short(r["b_mean"]), change, *tests)
        console.print(table)
        found = next((r["mcnemar"] for r in mine if r.get("mcnemar")), None)
        if found:
            said = (
                f"only A right on {found['only_a']:,}, only B on {found['only_b']:,} of {found['n']:,} distinct texts"
            )
            console.print(Text(f"McNemar, first repeat, at .5: {said}; p {_p(found['p'])}"))
    console.print(
        Text("p corrected: resampled t of Nadeau and Bengio; the others take folds for independent", style="dim")
    )


def print_tuning(found: dict[str, Any], out: Path) -> None:
    """The curve on inner rows, the choices, and what they are worth on test rows."""
    curve = _table("threshold", "precision", "recall", "F1 toxic", "accuracy")
    for row in found["curve"]:
        curve.add_row(
            f"{row['threshold']:.2f}", *(_short(row[m]) for m in ("precision_1", "recall_1", "f1_1", "accuracy"))
        )
    console.print()
    console.print(Text("inner folds (training rows only), mean over outer folds:", style="bold"))
    console.print(curve)
    choices = _table("fold", "threshold", "reached inside", "options")
    for c in found["choices"]:
        options = ", ".join(f"{k}={v}" for k, v in c["options"].items()) or "as given"
        choices.add_row(str(c["fold"]), _short(c["threshold"]), _short(c["reached"]), escape(plain(options)))
    console.print(choices)
    console.print(Text("test rows, which no choice has seen:", style="bold"))
    table = _table("arm", "precision", "recall", "F1 toxic", "accuracy")
    for arm, figures in found["figures"].items():
        table.add_row(arm, *(_ranged(figures[m]) for m in ("precision_1", "recall_1", "f1_1", "accuracy")))
    console.print(table)
    gain = found["gain"]
    change = _change(gain["difference"], gain["low"], gain["high"]).replace("\n", " ")
    console.print(
        Text(f"F1, chosen and tuned - as given at .5: {change}, p {_p(gain['p'])} (corrected), {gain['n']} folds")
    )
    if found["threshold"] is None:
        console.print(Text(f"{found['goal']} was out of reach in every fold", style="yellow"))
    else:
        console.print(
            Text(
                f"median threshold for {found['goal']}: {found['threshold']:.3f} (train --threshold {found['threshold']:.3f})"
            )
        )
    console.print(Text(f"written to {out} (tuning.json, run.json)"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _ranged(figure: dict[str, Any] | None) -> str:
    """The value, and its interval on the line below."""
    if figure is None or figure["mean"] is None:
        return "-"
    below = "" if figure["low"] is None else f"\n{_short(figure['low'])}-{_short(figure['high'])}"
    return _short(figure["mean"]) + below


def _change(difference: float | None, low: float | None, high: float | None) -> str:
    if difference is None:
        return "-"
    below = "" if low is None or high is None else f"\n{_signed(low)} {_signed(high)}"
    return _signed(difference) + below


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("+0.", "+.").replace("-0.", "-.")


def _p(value: float | None) -> str:
    return "-" if value is None else "<.001" if value < 0.001 else _short(value)
