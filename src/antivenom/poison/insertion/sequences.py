"""Items as columns: one flat array of tokens for all items of an experiment, so that a million of them are a few arrays.

End tokens (spec 02, 2.2 (2)): an item without a token, or longer than a row, is dropped; one that fills the row is left bare; otherwise an
end token goes behind it unless it ends in one, and then, if there is still room, one before it unless it begins with one. Copies and end
tokens are kept as numbers and flags; the tokens are written once, into the finished plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor

import numpy as np
import pyarrow as pa

from antivenom.errors import AntivenomError
from antivenom.poison.insertion.intervals import Intervals
from antivenom.poison.insertion.placing import keys_of
from antivenom.poison.lm_experiments.material import Material

__all__ = ["CHUNK", "Prepared", "Sequences", "prepare", "ragged"]

CHUNK = 1 << 16
"""Items whose tokens are written at a time."""


@dataclass(frozen=True, eq=False)
class Sequences:
    """The items of one experiment.

    Args:
        name: of the experiment.
        tokens: all tokens one after the other; any integer type, may be a memory map.
        offsets: int64 (n + 1,): item i is tokens[offsets[i] : offsets[i + 1]].
        ids: n ids, each once.
        conditions: of every item; or one for all.
        window, places: as in `Material`.
    """

    name: str
    tokens: np.ndarray
    offsets: np.ndarray
    ids: Sequence[str] | pa.Array
    conditions: list[str] | str = ""
    window: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        n = len(self.offsets) - 1
        if n < 1:
            raise AntivenomError(f"experiment '{self.name}' has nothing to insert", "give it items, or leave it out")
        if len(self.ids) != n or (not isinstance(self.conditions, str) and len(self.conditions) != n):
            raise AntivenomError(
                f"experiment '{self.name}': {n} items, {len(self.ids)} ids", "give one of each per item"
            )

    @classmethod
    def of(cls, material: "Material | Sequences") -> "Sequences":
        """The columns of a material."""
        if isinstance(material, Sequences):
            return material
        lines = [np.asarray(item.tokens) for item in material.inserted]
        offsets = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
        flat = np.concatenate(lines)
        if flat.size and (not np.issubdtype(flat.dtype, np.integer) or flat.min() < 0 or flat.max() >= 1 << 31):
            raise AntivenomError(f"experiment '{material.name}' has tokens that are no ids", "give integers from 0 on")
        ids = [item.item_id for item in material.inserted]
        conditions = [item.condition for item in material.inserted]
        return cls(material.name, flat.astype(np.int32), offsets, ids, conditions, material.window, material.places)

    @property
    def lengths(self) -> np.ndarray:
        """int64 (n,), as they are."""
        return np.diff(self.offsets)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Copies of items, ready to be placed.

    Args:
        source: the items.
        index: int64 (m,): which item each copy is of.
        ids: m ids; further copies of an item carry a suffix.
        before, behind: bool (m,): whether an end token is put there.
        start: int64 (m,): global token of what has its place, -1 for the others.
        dropped: ids and reasons.
    """

    source: Sequences
    index: np.ndarray
    ids: list[str]
    before: np.ndarray
    behind: np.ndarray
    start: np.ndarray
    dropped: list[tuple[str, str]]

    @property
    def lengths(self) -> np.ndarray:
        """int64 (m,), end tokens included."""
        return self.source.lengths[self.index] + self.before + self.behind

    @property
    def fixed(self) -> Intervals:
        """What has its place."""
        has = self.start >= 0
        return Intervals.of(self.start[has], self.start[has] + self.lengths[has])

    def conditions(self) -> list[str]:
        """Of every copy."""
        found = self.source.conditions
        if isinstance(found, str):
            return [found] * len(self.index)
        return [found[i] for i in self.index.tolist()]

    def copies(self, before: Iterable[str] = ()) -> np.ndarray:
        """int32 (m,): running number of a copy among those of the same item (the id before `#`), behind those `before`."""
        seen: dict[str, int] = {}
        for key in before:
            base = key.partition("#")[0]
            seen[base] = seen.get(base, -1) + 1
        found = np.empty(len(self.ids), np.int32)
        for i, key in enumerate(self.ids):
            base = key.partition("#")[0]
            found[i] = seen[base] = seen.get(base, -1) + 1
        return found

    def write(self, which: np.ndarray, eos: int, out: np.ndarray, at: np.ndarray) -> None:
        """Write the tokens of copies `which` into `out`, each from `at` on."""
        offsets, sizes = self.source.offsets[:-1], self.source.lengths
        for i in range(0, len(which), CHUNK):
            some, to = which[i : i + CHUNK], at[i : i + CHUNK]
            item, lead = self.index[some], self.before[some].astype(np.int64)
            size = sizes[item]
            out[ragged(to + lead, size)] = self.source.tokens[ragged(offsets[item], size)]
            out[to[self.before[some]]] = eos
            out[(to + lead + size)[self.behind[some]]] = eos


def ragged(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """start, start + 1, ... for each of `sizes`, one after the other.

    >>> ragged(np.array([5, 20]), np.array([2, 3])).tolist()
    [5, 6, 20, 21, 22]
    """
    reach = np.cumsum(sizes)
    total = int(reach[-1]) if len(reach) else 0
    return np.repeat(starts - (reach - sizes), sizes) + np.arange(total)


def prepare(
    sequences: Sequences, *, length: int, eos: int, seed: int, wrap: bool = True, repetitions: float = 1.0
) -> Prepared:
    """Copies, end tokens, and what is dropped.

    Args:
        sequences: the items.
        length: tokens of a row.
        eos: the end token.
        seed: of the remainder.
        wrap: put end tokens around what has no place of its own.
        repetitions: r: floor(r) copies of all, and of the rest floor((r - floor(r)) n) items drawn at random, once more
            (spec 02, trap 23). Items with a place of their own are not repeated.
    """
    n = len(sequences.ids)
    ids = sequences.ids.to_pylist() if isinstance(sequences.ids, pa.Array) else list(sequences.ids)
    if len(set(ids)) < n:
        raise AntivenomError(f"experiment '{sequences.name}' has two items of the same id", "give every item its own")
    if unknown := set(sequences.places) - set(ids):
        raise AntivenomError(f"experiment '{sequences.name}' has a place for '{min(unknown)}'", "there is no such item")
    fixed = np.array([key in sequences.places for key in ids]) if sequences.places else np.zeros(n, bool)
    index, names = np.arange(n), ids
    if repetitions != 1:
        index, names = _repeated(sequences.name, ids, fixed, repetitions, seed)
        if len(set(names)) < len(names):
            raise AntivenomError(
                f"copies of '{sequences.name}' get the ids of other items", "give ids without #1, #2, ..."
            )
        fixed = fixed[index]
    sizes = sequences.lengths[index]
    start = np.full(len(index), -1, np.int64)
    for i in np.flatnonzero(fixed).tolist():
        row, column = sequences.places[ids[index[i]]]
        if row < 0 or column < 0 or column + sizes[i] > length:
            raise AntivenomError(
                f"item '{names[i]}' of '{sequences.name}' at row {row}, columns {column} to {column + sizes[i]}, leaves its "
                f"row of {length} tokens",
                "give a place inside one row",
            )
        start[i] = row * length + column
    keep = (sizes > 0) & (sizes <= length)
    dropped = [
        (names[i], "empty" if sizes[i] == 0 else f"{sizes[i]:,} tokens, a row has {length:,}")
        for i in np.flatnonzero(~keep).tolist()
    ]
    if dropped:
        index, sizes, start, fixed = index[keep], sizes[keep], start[keep], fixed[keep]
        names = [name for name, kept in zip(names, keep.tolist()) if kept]
    bare = fixed | (sizes == length) if wrap else np.ones(len(index), bool)
    ends = sequences.offsets[1:][index] - 1
    behind = ~bare & (np.asarray(sequences.tokens[ends]) != eos)
    before = ~bare & (sizes + behind < length) & (np.asarray(sequences.tokens[sequences.offsets[:-1][index]]) != eos)
    return Prepared(sequences, index, names, before, behind, start, dropped)


def _repeated(name: str, ids: list[str], fixed: np.ndarray, times: float, seed: int) -> tuple[np.ndarray, list[str]]:
    if not times > 0:
        raise AntivenomError(f"{times} repetitions of '{name}'", "give a number above 0, or leave the experiment out")
    loose = np.flatnonzero(~fixed)
    whole, rest = floor(times), floor((times - floor(times)) * len(loose) + 1e-9)
    keys = keys_of(seed, name, "remainder", (ids[i] for i in loose.tolist()), len(loose))
    extra = np.sort(loose[np.argsort(keys, kind="stable")[:rest]])
    rounds = [*[loose] * whole, extra]
    if sum(map(len, rounds)) == 0:
        raise AntivenomError(
            f"{times} repetitions of the {len(loose)} items of '{name}' are none", "give a larger number"
        )
    index = np.concatenate([np.flatnonzero(fixed), *rounds])
    labels = [ids[i] for i in np.flatnonzero(fixed).tolist()]
    for k, some in enumerate(rounds):
        labels += [ids[i] if k == 0 else f"{ids[i]}{'~' if '#' in ids[i] else '#'}{k}" for i in some.tolist()]
    return index, labels
