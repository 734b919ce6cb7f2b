"""Why was this row removed (or kept): by which rule, at what score, and what it would take to change that."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq

from antivenom.errors import AntivenomError
from antivenom.screen.filters.account import Account, accounts

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """One row's account: its annotation, the pairs that point to it, its scores, and the conditions to be kept."""

    annotation: dict[str, Any]
    pairs: list[dict[str, Any]]
    to_be_kept: list[str]
    scores: list[Account] = field(default_factory=list)


def explain(out: str | Path, row_id: str) -> list[Explanation]:
    """Explain every row with this id (rows of equal text share their content id).

    Args:
        out: the run directory of a finished screen.
        row_id: the row's id, a unique beginning of it (8 characters or more), or `FILE:POSITION`.

    Raises:
        AntivenomError: when `out` is no finished run, or the id is not in it.
    """
    path = Path(out)
    if not (path / "run.json").exists() or not (path / "annotations.parquet").exists():
        raise AntivenomError(
            f"{path} holds no finished screen run", "name the folder given to `antivenom screen --out`"
        )
    run = orjson.loads((path / "run.json").read_bytes())
    condition = pc.field("id") == row_id
    if len(row_id) >= 8:
        condition = condition | pc.starts_with(pc.field("id"), row_id)
    file, colon, position = row_id.rpartition(":")
    if colon and position.isdigit():
        condition = condition | ((pc.field("file") == file) & (pc.field("position") == int(position)))
    rows = pq.read_table(path / "annotations.parquet", filters=condition).to_pylist()
    if not rows:
        where = "it may be in quarantine.jsonl" if (path / "quarantine.jsonl").stat().st_size else "check the id"
        raise AntivenomError(f"no row '{row_id}' in {path}", f"ids stand in annotations.parquet; {where}")
    found = []
    for row in rows:
        here = (pc.field("file") == row["file"]) & (pc.field("position") == row["position"])
        evidence = path / "pairs.parquet"
        pairs = pq.read_table(evidence, filters=here).to_pylist() if evidence.exists() else []
        pairs.sort(key=lambda p: (not p["flagged"], p["kind"] != "verbatim", p["detector"], p["item_id"]))
        scores = accounts(path, run, row)
        conditions = [_condition(p, run) for p in pairs if p["flagged"]]
        conditions += [f"{account.filter}: {account.to_be_kept}" for account in scores if account.filter]
        found.append(Explanation(row, pairs, conditions, scores))
    return found


def _condition(pair: dict[str, Any], run: dict[str, Any]) -> str:
    """What would have to be otherwise for this pair not to flag the row."""
    params = next((d["params"] for d in run["detectors"] if d["name"] == pair["detector"]), {})
    about = f"{pair['detector']} against {pair['item_id']}"
    if pair["verdict"] == "same":
        bar = (run.get("judge") or {}).get("threshold")
        said = (
            f"the judge's p = {pair['probability']:.2f} would have to fall below {bar:.2f}"
            if bar
            else "the judge would have to say different"
        )
        return f"{about}: {said}, or the row would have to rank below {params.get('k', 'k')}"
    if "n" in params:
        least = f"min_coverage over {pair['score']:.2f}" if pair["score"] < 1 else "a larger n"
        return f"{about}: the row must not share a run of {params['n']} words with the item, or use {least}"
    if "length" in params:
        return f"{about}: none of the drawn {params['length']}-character pieces of the item may stand in the row"
    if params.get("threshold") is not None:
        return f"{about}: the score {pair['score']:.2f} would have to be below {params['threshold']}"
    return f"{about}: the rule must not fire"
