"""Several toxicity scorers put together; every member's own score stays in view."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import fingerprint
from antivenom.screen.scoring.scorer import Evidence, Identity, Scorer, Scores

__all__ = ["Ensemble"]

AGGREGATES = ("mean", "max", "median", "vote")
MISSING = ("skip", "nan")


@dataclass(frozen=True)
class Ensemble:
    """Mean, maximum, median or vote of its members' scores.

    Args:
        members: names joined by `+`; a member's parameters are separated by `;` (`toxicity+toxicity-hf:model=F;window=128`).
        aggregate: `mean`, `max`, `median`, or `vote`: the share of members with a score of `threshold` or more.
        missing: where a member has no score: `skip` it, or give the row none (`nan`).
        threshold: of a vote.

    Raises:
        AntivenomError: for fewer than two members, one named twice, one that is not a toxicity scorer in [0, 1].
    """

    name: ClassVar[str] = "toxicity-ensemble"

    members: str = "toxicity+lexicon"
    aggregate: str = "mean"
    missing: str = "skip"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.aggregate, AGGREGATES, "aggregate"),
            (self.missing, MISSING, "policy for missing"),
        ):
            if value not in known:
                raise AntivenomError(f"an ensemble has no {what} '{value}'", f"choose from: {', '.join(known)}")
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise AntivenomError(
                f"'{self.members}' are no ensemble", "name two or more scorers, each once, joined by +"
            )
        nested = next((label for label in self.labels if label.partition(":")[0] == self.name), None)
        if nested:
            raise AntivenomError(f"'{nested}' is a member of an ensemble", "name its members instead")

    def __getstate__(self) -> dict[str, Any]:
        return asdict(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    @property
    def labels(self) -> list[str]:
        """The members as typed; a `+` separates only before the name of a scorer, so that folders may have one."""
        from antivenom.screen.scoring.scorers import SCORERS

        names = "|".join(sorted(map(re.escape, SCORERS), key=len, reverse=True))
        return [part for part in re.split(rf"\+(?=(?:{names})(?:[:+]|$))|\+$", self.members) if part]

    @cached_property
    def scorers(self) -> dict[str, Scorer]:
        """The members, made at first use."""
        from antivenom.screen.scoring.scorers import parse

        made = {label: parse(label.replace(";", ",")) for label in self.labels}
        for label, scorer in made.items():
            higher = scorer.identity().higher_is
            if higher != "worse":
                what = f"a higher score of '{label}' is '{higher}', and an ensemble's is worse"
                raise AntivenomError(what, "put scorers of toxicity together")
        return made

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Each member's score under its label, its reason, and its own columns."""
        found: dict[str, pa.DataType] = {}
        for label, scorer in self.scorers.items():
            found |= {label: pa.float32(), f"{label}.reason": pa.string()}
            found |= {f"{label}.{name}": kind for name, kind in scorer.columns.items()}
        return found

    def identity(self) -> Identity:
        """The policy, and the whole identity of every member."""
        members = {label: scorer.identity() for label, scorer in self.scorers.items()}
        params: dict[str, Any] = {"aggregate": self.aggregate, "missing": self.missing}
        params |= {"threshold": self.threshold} if self.aggregate == "vote" else {}
        params["members"] = {label: identity.record() for label, identity in members.items()}
        weights = fingerprint({label: identity.weights for label, identity in members.items()})
        dates = sorted({identity.date for identity in members.values()} - {""})
        return Identity(self.name, "1", weights, "worse", params, " ".join(dates))

    def score(self, batch: Batch) -> Scores:
        """Score with every member and aggregate row by row."""
        parts = {label: scorer.score(batch) for label, scorer in self.scorers.items()}
        table = np.stack([np.asarray(part.values, np.float64) for part in parts.values()])
        known = ~np.isnan(table)
        outside = known & ((table < 0) | (table > 1))
        if outside.any():
            label = list(parts)[int(np.flatnonzero(outside.any(axis=1))[0])]
            raise AntivenomError(f"'{label}' gives scores outside [0, 1]", "only probabilities can be put together")
        usable = np.asarray(known.any(axis=0) if self.missing == "skip" else known.all(axis=0))
        values = np.full(len(batch), np.nan)
        if usable.any():
            values[usable] = self._put_together(table[:, usable])
        reasons = [self._reason(parts, row, usable.item(row)) for row in range(len(batch))]
        columns: dict[str, pa.Array] = {}
        for label, part in parts.items():
            scores = np.asarray(part.values, np.float32)
            columns[label] = pa.array(scores, mask=np.isnan(scores))
            columns[f"{label}.reason"] = pa.array(part.reasons, pa.string())
            columns |= {f"{label}.{name}": array for name, array in part.columns.items()}
        return Scores(values.astype(np.float32), reasons, columns)

    def explain(self, text: str) -> list[Evidence]:
        """The members' evidence, each a share of the members; strongest first."""
        found = list(self._evidence(text))
        return sorted(found, key=lambda evidence: -evidence.weight)

    def _evidence(self, text: str) -> Iterator[Evidence]:
        for label, scorer in self.scorers.items():
            for e in scorer.explain(text):
                yield Evidence(e.start, e.stop, e.weight / len(self.scorers), f"{label}: {e.what}".rstrip(": "))

    def _put_together(self, table: np.ndarray) -> np.ndarray:
        if self.aggregate == "vote":
            return np.nanmean(np.where(np.isnan(table), np.nan, table >= self.threshold), axis=0)
        return {"mean": np.nanmean, "max": np.nanmax, "median": np.nanmedian}[self.aggregate](table, axis=0)

    def _reason(self, parts: dict[str, Scores], row: int, usable: bool) -> str:
        silent = [f"{label}: {part.reasons[row]}" for label, part in parts.items() if np.isnan(part.values[row])]
        if not usable:
            return f"cannot score: {'; '.join(silent)}"
        return f"{len(parts) - len(silent)} of {len(parts)} members; {'; '.join(silent)}" if silent else ""
