"""The map file that an outside loader reads: row -> [(column, tokens), ...], as rows of rows in flat arrays (npz).

    keys           int64 (k,)     rows with insertions, ascending: storage rows, or training rows
    tuple_offsets  int64 (k+1,)   row i has the insertions tuple_offsets[i] .. tuple_offsets[i + 1]
    positions      int32 (m,)     column of every insertion
    token_offsets  int64 (m+1,)   insertion j brings tokens[token_offsets[j] : token_offsets[j + 1]]
    tokens         int32

Source: spec 02, 2.2 (5 - 7).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.insertion.plan import Plan
from antivenom.poison.insertion.sequences import ragged
from antivenom.report.run_directory import atomic_file

__all__ = ["TokenMap", "token_map"]


@dataclass(frozen=True, eq=False)
class TokenMap:
    """See the module."""

    keys: np.ndarray
    tuple_offsets: np.ndarray
    positions: np.ndarray
    token_offsets: np.ndarray
    tokens: np.ndarray

    def get(self, row: int) -> list[tuple[int, np.ndarray]]:
        """The insertions of a row."""
        i = int(np.searchsorted(self.keys, row))
        if i == len(self.keys) or self.keys[i] != row:
            return []
        return [
            (int(self.positions[j]), self.tokens[self.token_offsets[j] : self.token_offsets[j + 1]])
            for j in range(self.tuple_offsets[i], self.tuple_offsets[i + 1])
        ]

    def patch(self, row: int, ids: np.ndarray) -> np.ndarray:
        """A row's ids with its insertions in them; a copy where there are any."""
        found = self.get(row)
        if not found:
            return ids
        ids = np.array(ids)
        for column, tokens in found:
            ids[column : column + len(tokens)] = tokens
        return ids

    def save(self, path: str | Path) -> None:
        """As npz, whole or not at all."""
        with atomic_file(path) as temporary, Path(temporary).open("wb") as file:
            np.savez(file, **vars(self))

    @classmethod
    def load(cls, path: str | Path) -> "TokenMap":
        """What `save` wrote.

        Raises:
            AntivenomError: when it is no map.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                found = cls(**{name: file[name] for name in cls.__dataclass_fields__})
            sizes = len(found.keys) + 1, len(found.positions) + 1
            ends = int(found.tuple_offsets[-1]), int(found.token_offsets[-1])
        except Exception as error:  # numpy raises what its archive or its header reader raises
            raise AntivenomError(f"'{path}' is no token map: {error}", "give the file that the export wrote") from error
        if sizes != (len(found.tuple_offsets), len(found.token_offsets)) or ends != (
            len(found.positions),
            len(found.tokens),
        ):
            raise AntivenomError(f"the arrays of '{path}' do not fit together", "export it anew")
        return found


def token_map(plan: Plan, order: np.ndarray | None = None) -> TokenMap:
    """The map of a plan, by training rows; with `order` (`order.storage_order` of one epoch) by storage rows.

    Raises:
        AntivenomError: in mode `insert`, where every row moves; for an order that shows a row twice.
    """
    if plan.mode == "insert":
        raise AntivenomError("a plan that inserts moves every row: there is no map", "export the tokens themselves")
    which = np.flatnonzero(plan.offsets[1:] > plan.offsets[:-1])
    row, column = np.divmod(plan.start[which], plan.shape.length)
    if order is not None:
        if len(order) < plan.shape.rows or len(np.unique(order)) < len(order):
            raise AntivenomError(
                f"an order of {len(order):,} rows, some of them twice, for a plan of {plan.shape.rows:,}",
                "give the order of one epoch",
            )
        row = order[row]
    sorted_by = np.lexsort((column, row))
    which, row, column = which[sorted_by], row[sorted_by], column[sorted_by]
    keys, counts = np.unique(row, return_counts=True)
    sizes = np.diff(plan.offsets)[which]
    return TokenMap(
        keys=keys.astype(np.int64),
        tuple_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        positions=column.astype(np.int32),
        token_offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        tokens=plan.tokens[ragged(plan.offsets[:-1][which], sizes)],
    )
