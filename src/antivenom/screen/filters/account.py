"""Why a filter dropped a row: at what score, what it would take to keep it, and the stretches that make the score."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from antivenom.data.corpus import open_corpus, read_block
from antivenom.data.rows import batch_of
from antivenom.errors import AntivenomError
from antivenom.screen.filters.pieces import cut_pieces
from antivenom.screen.filters.rules import Filter, Quantile, Spans
from antivenom.screen.filters.stage import source_of
from antivenom.screen.measuring import filter_columns, parse_filters
from antivenom.screen.scoring.scorer import Scorer
from antivenom.screen.scoring.scorers import parse
from antivenom.screen.scoring.stage import values_of
from antivenom.screen.scoring.store import scorer_folder

__all__ = ["Account", "accounts"]

STRONGEST = 3
SHOWN = 200


@dataclass(frozen=True)
class Account:
    """What one score says of a row, and what a filter made of it.

    Args:
        label: the scorer.
        score: of the row; None when it has none, and `reason` says why.
        filter: the rule that dropped or cut the row, as typed; "" for a score that no filter acted on.
        why: the rule's words; `to_be_kept` what it would take.
        spans: the stretches that make the score, strongest first: {text, weight, what}.
        note: why there are no spans, when there are none.
    """

    label: str
    score: float | None
    reason: str = ""
    filter: str = ""
    why: str = ""
    to_be_kept: str = ""
    spans: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""


def accounts(out: Path, run: dict[str, Any], row: dict[str, Any]) -> list[Account]:
    """One account per filter that acted on the row, then one per score that no filter acted on.

    A scorer's stretches stand in its first account.

    The stretches come from the scorer itself, so it must be there as it was in the run; a service is not asked again.

    Args:
        out: the run directory.
        run: its run.json.
        row: the row's line of annotations.parquet.
    """
    scored = {record["label"]: record for record in run.get("scores") or []}
    if not scored:
        return []
    schema = pq.read_schema(out / "annotations.parquet")
    labels = {label: record["identity"]["higher_is"] for label, record in scored.items()}
    prefix = {label: f"{label}." for label in labels}
    columns = {
        label: {f.name.removeprefix(prefix[label]): f.type for f in schema if f.name.startswith(prefix[label])}
        for label in labels
    }
    lines = {record["spec"]: record.get("line") for record in run.get("filters") or []}
    rules = parse_filters(list(lines), filter_columns(labels, columns), list(labels), seed=run.get("seed") or 0)
    acted = row.get("filters") or []
    text = _text(out, run, row, next(iter(labels)))
    scorers: dict[str, Scorer | str] = {}
    found = []
    for rule in rules:
        if rule.spec in acted:
            label, name = source_of(rule.column, dict.fromkeys(labels))  # type: ignore[arg-type]
            scorer = scorers.setdefault(label, _scorer(label, scored[label]))
            settled = rule.settled(None, lines[rule.spec]) if isinstance(rule, Quantile) else rule
            first = label not in {account.label for account in found}
            found.append(_account(settled, label, name, scorer, row, text, first))
    for label in labels:
        if label not in {account.label for account in found}:
            spans, note = _spans(_scorer(label, scored[label]), text)
            found.append(Account(label, row[label], row.get(f"{label}.reason") or "", spans=spans, note=note))
    return found


def _account(
    rule: Filter, label: str, name: str, scorer: Scorer | str, row: dict[str, Any], text: str | None, first: bool
) -> Account:
    value = row[rule.column]
    value = None if value is None else float(value)
    reason = row.get(f"{label}.reason") or ""
    spans, note = _spans(scorer, text) if first else ([], "")
    if value is None:
        why = f"{rule.column} has no score, and missing={rule.missing}"
        kept = f"the row would need a score, or the filter missing=keep ({reason or 'no value'})"
    else:
        if isinstance(rule, Spans) and text is not None and not isinstance(scorer, str):
            value = _worst(rule, name, scorer, text, value)
        why, kept = rule.why(value), rule.to_be_kept(value)
    return Account(label, row[label], reason, rule.spec, why, kept, spans, note)


def _worst(rule: Spans, name: str, scorer: Scorer, text: str, value: float) -> float:
    pieces = [text[start:stop] for start, stop in cut_pieces(text, rule.unit)]
    scores = scorer.score(batch_of(pieces))
    values = scores.values if name == "score" else values_of(pa.table({name: scores.columns[name]}), name)
    if np.isnan(values).all():
        return value
    return float(np.nanmin(values) if (rule.higher_is == "better") != rule.inverse else np.nanmax(values))


def _scorer(label: str, record: dict[str, Any]) -> Scorer | str:
    """The scorer of a label, or why its stretches cannot be shown."""
    if record["identity"].get("date"):
        return "the scorer is a service, which is not asked again"
    try:
        scorer = parse(label)
        same = scorer.identity().key == record["key"]
    except AntivenomError as error:
        return error.what
    return scorer if same else "the scorer is another one now than in this run"


def _spans(scorer: Scorer | str, text: str | None) -> tuple[list[dict[str, Any]], str]:
    if isinstance(scorer, str):
        return [], scorer
    if text is None:
        return [], "the row's text is in neither removed/ nor kept/"
    shown = scorer.explain(text)[:STRONGEST]
    return [{"text": text[e.start : e.stop][:SHOWN], "weight": e.weight, "what": e.what} for e in shown], ""


def _text(out: Path, run: dict[str, Any], row: dict[str, Any], label: str) -> str | None:
    """The row's text, from what the run wrote: its block's part of removed/ (a cut row's original) or kept/."""
    here = (pc.field("file") == row["file"]) & (pc.field("position") == row["position"])
    corpus = (run.get("config") or {}).get("corpus") or {}
    options = {k: v for k, v in (corpus.get("options") or {}).items() if k in ("text_field", "id_field", "per_line")}
    for part in sorted(scorer_folder(out / "scores", label).glob("part-*.parquet")):
        if not pq.read_table(part, columns=["id"], filters=here).num_rows:
            continue
        for path in [p for folder in ("removed", "kept") for p in sorted((out / folder).glob(f"{part.stem}.*"))]:
            try:
                for block in open_corpus(path, format=corpus.get("format"), **options).blocks():
                    for batch in read_block(block):
                        at = pc.index(batch.rows.column("id"), row["id"]).as_py()
                        if at >= 0:
                            return batch.texts[at].as_py()
            except AntivenomError:
                continue
        return None
    return None
