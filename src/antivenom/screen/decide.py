"""From pairs to a decision per row: flagged pairs, the reason in words, and what cutting leaves over."""

from collections import defaultdict
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from antivenom.screen.filters.pieces import drop_pieces

__all__ = ["Decision", "cut_spans", "decide_rows"]

MIN_PIECE = 200
"""Characters a row must keep after a cut; with less left the row is removed (the rule NeMo's cleaner made usual)."""


@dataclass(frozen=True)
class Decision:
    """What happens to a row, why, and on whose word."""

    action: str
    reason: str = ""
    item: str | None = None
    detectors: list[str] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    spans: list[tuple[int, int]] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)
    pieces: list[tuple[int, int]] = field(default_factory=list)

    def left_of(self, text: str) -> str | None:
        """What a cut leaves of the row's text; None when that is too little."""
        if self.spans:
            return cut_spans(text, [*self.spans, *self.pieces])
        return drop_pieces(text, self.pieces)

    def removed(self) -> "Decision":
        """The same decision with the whole row going."""
        return replace(
            self, action="remove", reason=f"{self.reason} (less than {MIN_PIECE} characters left after the cut)"
        )


def decide_rows(judged: pa.Table, labels: list[str], item_ids: list[str], mode: str) -> dict[int, Decision]:
    """The decision for every row that a pair points to.

    Args:
        judged: the pairs of one block with `flagged`, `verdict`, `probability`.
        labels: detector names by index.
        item_ids: benchmark item ids by index.
        mode: `drop` removes a flagged row, `cut` cuts the flagged stretches out of it, `split` keeps every row
            (the benchmark is split into clean and dirty items instead).

    Returns:
        row index -> decision; rows without any pair are not in it (they are kept).
    """
    judged = judged.drop_columns(
        [c for c in ("window", "row_excerpt", "row_spans", "item_spans") if c in judged.column_names]
    )
    by_row: dict[int, list[dict]] = defaultdict(list)
    for pair in judged.to_pylist():
        by_row[pair["row"]].append(pair)
    decisions: dict[int, Decision] = {}
    for row, pairs in by_row.items():
        scores: dict[str, float] = {}
        for pair in pairs:
            label = labels[pair["detector"]]
            scores[label] = max(scores.get(label, float("-inf")), float(pair["score"]))
        flagged = [pair for pair in pairs if pair["flagged"]]
        if not flagged:
            decisions[row] = Decision("keep", scores=scores)
            continue
        best = max(
            flagged,
            key=lambda p: (p["rank"] is None, p["kind"] == "verbatim", p["probability"] or 0.0, p["score"], -p["item"]),
        )
        decisions[row] = Decision(
            action={"drop": "remove", "cut": "cut", "split": "keep"}[mode],
            reason=_reason(best, labels, item_ids),
            item=item_ids[best["item"]],
            detectors=sorted({labels[pair["detector"]] for pair in flagged}),
            scores=scores,
            spans=_spans(flagged),
        )
    return decisions


def _spans(flagged: list[dict]) -> list[tuple[int, int]]:
    """What to cut: the stretches that rules found; a retriever's whole window only for items that no rule found."""
    by_rule = [pair for pair in flagged if pair["rank"] is None]
    items = {pair["item"] for pair in by_rule}
    return sorted({(pair["start"], pair["stop"]) for pair in by_rule + [p for p in flagged if p["item"] not in items]})


def _reason(pair: dict, labels: list[str], item_ids: list[str]) -> str:
    item = item_ids[pair["item"]]
    label = labels[pair["detector"]]
    if pair["kind"] == "verbatim":
        return f"{label}: word for word as in {item} (score {pair['score']:.2f})"
    said = f"judge says same, p = {pair['probability']:.2f}" if pair["probability"] is not None else "judge says same"
    if pair["verdict"] is None:
        said = f"score {pair['score']:.2f} is over its threshold"
    rank = f", rank {pair['rank']}" if pair["rank"] is not None else ""
    generic = " (a generic task)" if pair["kind"] == "generic" else ""
    return f"{label}{rank}: in other words {item}, {said}{generic}"


def cut_spans(text: str, spans: list[tuple[int, int]], min_piece: int = MIN_PIECE) -> str | None:
    """The text without the characters of `spans`; None when fewer than `min_piece` characters would be left.

    Spans may overlap. What stood before and after a cut is joined by one blank line.

    >>> cut_spans("keep this LEAKED and that", [(10, 17)], min_piece=5)
    'keep this\\n\\nand that'
    """
    pieces: list[str] = []
    at = 0
    for start, stop in sorted(spans):
        if start > at:
            pieces.append(text[at:start].strip())
        at = max(at, stop)
    pieces.append(text[at:].strip())
    left = "\n\n".join(piece for piece in pieces if piece)
    return left if len(left) >= min_piece else None


def flagged_items(judged: pa.Table) -> dict[int, str]:
    """Per item the strongest kind of flagged pair: verbatim over rephrased over generic."""
    found: dict[int, str] = {}
    hits = judged.filter(pc.equal(judged.column("flagged"), True)).select(["item", "kind"])
    for item, kind in zip(hits.column("item").to_pylist(), hits.column("kind").to_pylist()):
        order = ("generic", "rephrased", "verbatim")
        if item not in found or order.index(kind) > order.index(found[item]):
            found[item] = kind
    return found
