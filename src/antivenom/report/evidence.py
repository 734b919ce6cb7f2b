"""The flagged pairs, made ready for the page: grouped, ordered, cut to a cap, and embedded as data.

`pairs.parquet` has a line per (row, item, detector); a reader looks at (row, item) once, with all detectors beside it.
Text travels as JSON inside a script element that is no script; the page builds its elements with `textContent` only.
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from antivenom.report.wording import line, number, visible

__all__ = ["CLASSES", "KEYS", "LIGHT", "TEXTS", "Chosen", "cards", "choose", "embed", "segments"]

CLASSES = ("verbatim", "rephrased", "generic", "undecided", "candidate")
"""What a pair is, strongest first. A pair takes the strongest class of its lines."""

KEYS = ("file", "position", "benchmark", "item_id")
LIGHT = ("id", *KEYS, "detector", "score", "rank", "verdict", "probability", "flagged", "kind")
TEXTS = ("row_excerpt", "item_text", "row_spans", "item_spans")

EXCERPT = 2000  # characters of a row or an item that are shown


@dataclass
class Chosen:
    """Which lines of the evidence are shown, and how many pairs there are of every class.

    Args:
        groups: for each pair shown, in the order of the page: its class and the indices of its lines.
        totals: class -> number of pairs, shown or not.
    """

    groups: list[tuple[str, list[int]]]
    totals: dict[str, int]


def _line_class(lines: pa.Table) -> np.ndarray:
    """The class of every line, as an index into `CLASSES`."""
    kind = lines.column("kind").to_pylist()
    flagged = lines.column("flagged").to_pylist()
    verdict = lines.column("verdict").to_pylist()
    number_of = {name: i for i, name in enumerate(CLASSES)}
    found = np.full(len(kind), number_of["candidate"], np.int8)
    for i, (k, f, v) in enumerate(zip(kind, flagged, verdict, strict=True)):
        if k == "generic" or (f and k in ("verbatim", "rephrased")):
            found[i] = number_of[k]
        elif f:  # flagged without a kind of its own: it is no word-for-word finding
            found[i] = number_of["rephrased"]
        elif v == "undecided":
            found[i] = number_of["undecided"]
    return found


def choose(lines: pa.Table, cap: int) -> Chosen:
    """Group lines by (row, item) and take the first `cap` pairs.

    Order: class as in `CLASSES` (so flagged pairs come first), then the judge's probability from high to low, then the
    best rank, then benchmark, item, file and position. The order is total: the same evidence gives the same page.
    """
    if not len(lines):
        return Chosen([], {})
    table = lines.select([*KEYS, "probability", "rank"])
    table = table.append_column("class", pa.array(_line_class(lines)))
    table = table.append_column("line", pa.array(np.arange(len(lines), dtype=np.int64)))
    grouped = table.group_by(list(KEYS), use_threads=False).aggregate(
        [("class", "min"), ("probability", "max"), ("rank", "min"), ("line", "list")]
    )
    counted = pc.value_counts(grouped.column("class_min")).to_pylist()
    totals = {CLASSES[entry["values"]]: entry["counts"] for entry in counted}
    keys = [("class_min", "ascending"), ("probability_max", "descending"), ("rank_min", "ascending")]
    keys += [(name, "ascending") for name in ("benchmark", "item_id", "file", "position")]
    first = grouped.take(pc.sort_indices(grouped, sort_keys=keys)[:cap])
    names = [CLASSES[i] for i in first.column("class_min").to_pylist()]
    return Chosen(list(zip(names, first.column("line_list").to_pylist(), strict=True)), totals)


def segments(text: Any, spans: Iterable[dict[str, int]] | None, limit: int = EXCERPT) -> list[str]:
    """The text cut at its spans: plain, marked, plain, marked, ... (every odd one is marked).

    Cutting happens here, where a character is a code point as it was for whoever counted; the browser counts UTF-16
    units. Spans may overlap, lie outside the text, or be in any order.

    >>> segments("shared words here", [{"start": 7, "stop": 12}, {"start": 0, "stop": 6}])
    ['', 'shared', ' ', 'words', ' here']
    """
    text = "" if text is None else str(text)
    shown = text[:limit]
    bounds = sorted((max(0, s["start"]), min(len(shown), s["stop"])) for s in spans or () if s)
    merged: list[list[int]] = []
    for start, stop in bounds:
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    parts, at = [], 0
    for start, stop in merged:
        parts += [visible(shown[at:start]), visible(shown[start:stop])]
        at = stop
    parts.append(visible(shown[at:]) + ("…" if len(text) > limit else ""))
    return parts


def _best_text(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The line whose marked stretches cover most of its excerpt: each detector cuts its own window."""

    def covered(one: dict[str, Any]) -> int:
        return sum(max(0, s["stop"] - s["start"]) for s in one.get("row_spans") or () if s)

    return max(lines, key=lambda one: (bool(one["flagged"]), covered(one), bool(one["row_excerpt"])))


_DONE = {"keep": "kept", "remove": "removed", "cut": "kept, with the matching span cut out"}


def _verdict(lines: Sequence[dict[str, Any]]) -> str:
    said = [one for one in lines if one["verdict"]]
    if not said:
        return ""
    strongest = {"same": 0, "undecided": 1}
    best = min(said, key=lambda one: strongest.get(one["verdict"], 2))
    chance = best["probability"]
    return line(best["verdict"], 40) + (f" (probability {number(chance, 2)})" if chance is not None else "")


def cards(
    pairs: pa.Table,
    chosen: Chosen,
    *,
    folder: str,
    rows: dict[tuple[str, int], tuple[str, str]] | None = None,
    max_bytes: int = 8_000_000,
) -> list[dict[str, Any]]:
    """What the page shows of every pair, as plain printable data.

    Args:
        pairs: the lines, with texts and spans.
        chosen: from `choose` on the same table.
        folder: the run directory, for the command to copy.
        rows: (file, position) -> (action, reason) from the annotations.
        max_bytes: stop here, so that a page stays one a mail program takes.
    """
    made, used, at = [], 0, 0
    every = pairs.take(pa.array([i for _, group in chosen.groups for i in group], pa.int64())).to_pylist()
    for kind, group in chosen.groups:
        lines = every[at : at + len(group)]
        at += len(group)
        text = _best_text(lines)
        row_id = "" if text["id"] is None else str(text["id"])
        dashes = ["--"] if row_id.startswith("-") else []
        action, reason = (rows or {}).get((text["file"], text["position"]), ("", ""))
        card = {
            "kind": kind,
            "benchmark": line(text["benchmark"], 120),
            "item": line(text["item_id"], 120),
            "file": line(text["file"]),
            "position": str(text["position"]),
            "row": line(row_id, 120),
            "command": line(shlex.join(["antivenom", "explain", folder, *dashes, row_id]), 600),
            "detectors": [
                [
                    line(one["detector"], 80),
                    number(one["score"]),
                    f"rank {one['rank']}" if one["rank"] is not None else "",
                ]
                for one in lines
            ],
            "verdict": _verdict(lines),
            "action": _DONE.get(action) or line(action, 40),
            "reason": line(reason, 500),
            "left": segments(text["row_excerpt"], text["row_spans"]),
            "right": segments(text["item_text"], text["item_spans"]),
        }
        used += len(embed(card).encode())
        if used > max_bytes:
            break
        made.append(card)
    return made


_SCRIPT_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def embed(data: Any) -> str:
    """JSON that can stand inside a script element: no character that could end it or open a comment.

    >>> embed(["</script><!--"])
    '["\\\\u003c/script\\\\u003e\\\\u003c!--"]'
    """
    return orjson.dumps(data).decode().translate(_SCRIPT_SAFE)
