"""A finished plan: what goes where in the training, who owns a token, and the hash of it all.

Everything is in training order (see `RunShape`). Placements are sorted by their first token; none overlaps another and none crosses a row.
Whole rows that carry noise and no other text (watermarks) are placements without tokens.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import orjson

from antivenom.errors import AntivenomError
from antivenom.poison.insertion.intervals import Intervals
from antivenom.poison.insertion.sequences import ragged
from antivenom.poison.insertion.shape import RunShape
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark
from antivenom.poison.lm_experiments.material import Material

__all__ = ["Placement", "Plan", "token_hash"]


@dataclass(frozen=True)
class Placement:
    """One line of the manifest.

    Args:
        experiment, condition: whose.
        item: id of the item; `copy` counts those of the same item (id before `#`).
        step, row, column, length: where.
        kind: `tokens`, or `noise` on a whole row.
        token_hash: of the tokens as they stand there, end tokens included.
    """

    experiment: str
    condition: str
    item: str
    copy: int
    step: int
    row: int
    column: int
    length: int
    kind: Literal["tokens", "noise"]
    token_hash: str


def token_hash(tokens: np.ndarray) -> str:
    """BLAKE2b-64 of the ids as little-endian int32: 16 hex digits."""
    return hashlib.blake2b(np.ascontiguousarray(tokens, "<i4").tobytes(), digest_size=8).hexdigest()


@dataclass(frozen=True, eq=False)
class Plan:
    """Columns of all placements, sorted by `start`.

    Args:
        shape: of the run; in mode `insert` the lengthened one.
        seed, eos, mode: as they were given.
        experiments, conditions: names, sorted; the codes count in them.
        experiment, condition: int32 (n,) codes.
        ids: n item ids.
        copies: int32 (n,).
        start: int64 (n,), first global token.
        length: int64 (n,).
        offsets: int64 (n + 1,): placement i brings tokens[offsets[i] : offsets[i + 1]]; none where it is noise.
        tokens: int32.
        base: the run before insertions made it longer (mode `insert`).
        marks: watermarks by name.
        masked: training rows that are out of the loss; nothing is put there.
        record: per experiment what the planning met: requested, dropped, collisions.
        lineage: hashes of the plans that this one extends, the oldest first.
    """

    shape: RunShape
    seed: int
    eos: int
    mode: Literal["replace", "insert"]
    experiments: tuple[str, ...]
    conditions: tuple[str, ...]
    experiment: np.ndarray
    condition: np.ndarray
    ids: list[str]
    copies: np.ndarray
    start: np.ndarray
    length: np.ndarray
    offsets: np.ndarray
    tokens: np.ndarray
    base: RunShape | None = None
    marks: Mapping[str, GaussianWatermark] = field(default_factory=dict)
    masked: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    record: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    lineage: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[Placement]:
        return map(self.placement, range(len(self)))

    def placement(self, i: int) -> Placement:
        """The i-th in training order."""
        row, column = divmod(int(self.start[i]), self.shape.length)
        step, row = divmod(row, self.shape.batch)
        name = self.experiments[self.experiment[i]]
        noise = bool(self.offsets[i] == self.offsets[i + 1])
        return Placement(
            name, self.conditions[self.condition[i]], self.ids[i], int(self.copies[i]), step, row, column,
            int(self.length[i]), "noise" if noise else "tokens", "" if noise else token_hash(self.tokens_of(i)),
        )  # fmt: skip

    def tokens_of(self, i: int) -> np.ndarray:
        """int32: what the i-th placement brings."""
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def of(self, experiment: str, condition: str | None = None) -> np.ndarray:
        """Indices of an experiment's placements, in training order.

        Raises:
            AntivenomError: for an experiment that is not in the plan.
        """
        found = self.experiment == self._code(experiment)
        if condition is not None:
            known = self.conditions.index(condition) if condition in self.conditions else -1
            found &= self.condition == known
        return np.flatnonzero(found)

    def _code(self, experiment: str) -> int:
        if experiment not in self.experiments:
            raise AntivenomError(
                f"the plan has no experiment '{experiment}'", f"choose from: {', '.join(self.experiments) or '(none)'}"
            )
        return self.experiments.index(experiment)

    @cached_property
    def intervals(self) -> Intervals:
        """What is taken by placements."""
        return Intervals(self.start, self.start + self.length)

    @cached_property
    def taken(self) -> Intervals:
        """What is not free: placements and masked rows."""
        rows = np.setdiff1d(self.masked, self.start // self.shape.length) * self.shape.length
        return self.intervals.joined(rows, rows + self.shape.length)

    def owners(self, tokens: np.ndarray) -> np.ndarray:
        """Index of the placement that owns each of these global tokens, -1 for none."""
        tokens = np.asarray(tokens, np.int64)
        return self.intervals.at(tokens, tokens + 1)

    def owner(self, step: int, row: int, column: int) -> Placement | None:
        """Whose token this is."""
        at = (step * self.shape.batch + row) * self.shape.length + column
        found = int(self.owners(np.array([at]))[0])
        return None if found < 0 else self.placement(found)

    def between(self, first: int, last: int) -> tuple[int, int]:
        """Placements [lo, hi) that begin in the training rows [first, last)."""
        lo, hi = np.searchsorted(self.start, [first * self.shape.length, last * self.shape.length])
        return int(lo), int(hi)

    def patch(self, rows: np.ndarray, first: int) -> np.ndarray:
        """Put what is planned for the training rows first, first + 1, ... into `rows` (n, length), in place.

        Returns:
            the places that were written, as indices into the flat rows.
        """
        lo, hi = self.between(first, first + len(rows))
        begin, end = self.offsets[lo], self.offsets[hi]
        if begin == end:
            return np.empty(0, np.int64)
        sizes = self.offsets[lo + 1 : hi + 1] - self.offsets[lo:hi]
        at = ragged(self.start[lo:hi] - first * self.shape.length, sizes)
        rows.reshape(-1)[at] = self.tokens[begin:end]
        return at

    def noise(self, row: int) -> np.ndarray | None:
        """float32 (length, width) on the embeddings of a training row, None where there is none."""
        total: np.ndarray | None = None
        for mark in self.marks.values():
            found = mark.noise(row)
            if found is not None:
                total = found if total is None else total + found
        return total

    def check_batch(self, step: int, tokens: np.ndarray) -> None:
        """Assert that batch `step` of a loader holds every planned token at its place (spec 02, trap 6).

        Raises:
            AntivenomError: naming the first item that is not there.
        """
        found = np.array(tokens, np.int64)
        if found.shape != (self.shape.batch, self.shape.length):
            raise AntivenomError(f"a batch of the shape {found.shape} for {self.shape}", "load it as it was planned")
        wanted = found.copy()
        self.patch(wanted, step * self.shape.batch)
        wrong = np.flatnonzero(wanted.reshape(-1) != found.reshape(-1))
        if len(wrong):
            at = step * self.shape.batch * self.shape.length + int(wrong[0])
            item = self.placement(int(self.owners(np.array([at]))[0]))
            raise AntivenomError(
                f"step {step}, row {item.row}, column {item.column}: item '{item.item}' of '{item.experiment}' is not there",
                "give the loader the seed, the batch and the epoch of the plan",
            )

    @cached_property
    def hash(self) -> str:
        """SHA-256 of shape, marks, masked rows and every placement with its tokens."""
        digest = hashlib.sha256()
        header = [
            asdict(self.shape), self.mode, self.eos, self.experiments, self.conditions, asdict(self.base or self.shape),
            {name: asdict(mark) for name, mark in self.marks.items()},
        ]  # fmt: skip
        digest.update(orjson.dumps(header, option=orjson.OPT_SORT_KEYS))
        digest.update("\0".join(self.ids).encode("utf-8", "surrogatepass"))
        for column, kind in (
            (self.experiment, "<i4"), (self.condition, "<i4"), (self.copies, "<i4"), (self.start, "<i8"),
            (self.length, "<i8"), (self.offsets, "<i8"), (self.masked, "<i8"), (self.tokens, "<i4"),
        ):  # fmt: skip
            digest.update(np.ascontiguousarray(column, kind).data)
        return digest.hexdigest()

    def restrict(self, names: Iterable[str]) -> "Plan":
        """The same plan with these experiments alone; nothing moves.

        Raises:
            AntivenomError: for an unknown one, or in mode `insert`, where leaving out moves everything behind.
        """
        wanted = sorted(set(names))
        codes = [self._code(name) for name in wanted]
        if self.mode == "insert" and set(wanted) != set(self.experiments):
            raise AntivenomError(
                "without some of its insertions the run is shorter, and all behind them moves", "plan anew without them"
            )
        return self._selected(np.flatnonzero(np.isin(self.experiment, codes)), wanted)

    def _selected(self, which: np.ndarray, names: list[str]) -> "Plan":
        codes = self.condition[which]
        present = np.unique(codes)
        sizes = np.diff(self.offsets)[which]
        return replace(
            self,
            experiments=tuple(names),
            conditions=tuple(self.conditions[c] for c in present.tolist()),
            experiment=np.searchsorted(np.array([self._code(name) for name in names]), self.experiment[which]).astype(
                np.int32
            ),
            condition=np.searchsorted(present, codes).astype(np.int32),
            ids=[self.ids[i] for i in which.tolist()],
            copies=self.copies[which],
            start=self.start[which],
            length=self.length[which],
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            tokens=self.tokens[ragged(self.offsets[:-1][which], sizes)],
            marks={name: mark for name, mark in self.marks.items() if name in names},
            record={name: self.record[name] for name in names if name in self.record},
            lineage=(),
        )

    def extend(self, material: Material | Any, begin_step: int, end_step: int, **how: Any) -> "Plan":
        """The plan with further items in the steps [begin_step, end_step), clear of all that is there (spec 02, traps 1 - 3).

        Every item that is handed over is placed, or there is an error. `how` as in `plan`: wrap, repetitions.
        """
        from antivenom.poison.insertion.extension import extended

        return extended(self, material, begin_step, end_step, **how)

    def extends(self, other: "Plan") -> bool:
        """Whether this is the other plan, or was made from it by `extend`."""
        return other.hash == self.hash or other.hash in self.lineage
