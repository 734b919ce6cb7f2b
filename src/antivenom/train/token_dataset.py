"""A plan on somebody else's packed dataset, for torch loaders and trainers: map-style or iterable, workers, ranks, resume.

    PatchedDataset(inner, plan, ...)     map-style, by training row (read it in order) or by storage row (any sampler of the planned order)
    TrainingStream(inner, plan, ...)     iterable, in training order, of one rank: DataLoader(stream, batch_size=B / ranks, num_workers=any)

`inner` gives rows of token ids: arrays, tensors, lists, or dicts with `input_ids` (and `labels`), as Hugging Face datasets do. A row is a
function of its number alone, so that workers, ranks and resumption cannot change it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from antivenom.errors import AntivenomError
from antivenom.poison.insertion.plan import Plan
from antivenom.poison.insertion.token_map import TokenMap, token_map

__all__ = ["PatchedDataset", "TrainingStream"]

KEYS = ("input_ids", "labels")


class PatchedDataset(Dataset):
    """Rows with their insertions.

    Args:
        inner: has `len` and rows by number.
        plan: of mode `replace`.
        order: storage row of every training row (`order.storage_order`, or the outside loader's own permutation); without
            it `inner` lies in training order.
        by: what the index counts: `training` rows, 0 first, for a sequential sampler; or `storage` rows of `inner`, for a
            sampler that goes by `order`.
        keys: of dict rows, which of them hold the ids.
        without_noise: take a plan with watermarks, whose noise the training then has to add itself (`Plan.noise`).

    Raises:
        AntivenomError: when `inner` has fewer rows than the plan, or the plan brings what rows cannot carry.
    """

    def __init__(
        self, inner: Any, plan: Plan, *, order: np.ndarray | None = None, by: Literal["training", "storage"] = "training",
        keys: Sequence[str] = KEYS, without_noise: bool = False,
    ):  # fmt: skip
        _check(plan, without_noise)
        rows = len(inner) if order is None else len(order)
        if rows < plan.shape.rows:
            raise AntivenomError(
                f"{rows:,} rows for a plan of {plan.shape.rows:,}", "give one epoch of the planned run"
            )
        self.inner, self.plan, self.order, self.by, self.keys = inner, plan, order, by, tuple(keys)
        self._map = token_map(plan, order if by == "storage" else None)

    def __len__(self) -> int:
        return len(self.inner) if self.by == "storage" or self.order is None else self.plan.shape.rows

    def __getitem__(self, index: int) -> Any:
        """The row."""
        index = int(index)
        if not 0 <= index < len(self):
            raise IndexError(index)  # ends a for-loop over the dataset
        stored = index if self.by == "storage" or self.order is None else int(self.order[index])
        return _patched(self.inner[stored], self._map, index, self.keys)


class TrainingStream(IterableDataset):
    """The rows of one rank in training order. In a step of B rows rank r of R has rows r B / R .. (r + 1) B / R - 1.

    Workers of a `DataLoader` take whole steps in turn, so that with `batch_size=stream.batch` every batch is one step's.

    Args:
        inner: rows by number (with `order`, or in training order), or an iterable of all rows in training order that
            does not share itself out among workers.
        plan, order, keys, without_noise: as in `PatchedDataset`.
        start_step: go on from there.
        rank, ranks: of the run.
    """

    def __init__(
        self, inner: Any, plan: Plan, *, order: np.ndarray | None = None, start_step: int = 0, rank: int = 0, ranks: int = 1,
        keys: Sequence[str] = KEYS, without_noise: bool = False,
    ):  # fmt: skip
        _check(plan, without_noise)
        if plan.shape.batch % ranks or not 0 <= rank < ranks:
            raise AntivenomError(
                f"rank {rank} of {ranks} with {plan.shape.batch} rows a step", "give ranks that share the rows evenly"
            )
        if not 0 <= start_step <= plan.shape.steps:
            raise AntivenomError(f"step {start_step} of {plan.shape.steps}", "start inside of the run")
        self.plan, self.start_step, self.rank, self.batch = plan, start_step, rank, plan.shape.batch // ranks
        self.keys = tuple(keys)
        self._rows: Any = None
        self._lines: Iterable[Any] = ()
        if hasattr(inner, "__getitem__") and hasattr(inner, "__len__"):
            self._rows = PatchedDataset(inner, plan, order=order, keys=keys, without_noise=without_noise)
        elif order is not None:
            raise AntivenomError("an order for rows that come one after the other", "give rows by number, or no order")
        else:
            self._lines, self._map = inner, token_map(plan)

    def __iter__(self) -> Iterator[Any]:
        """The rows of this rank, and in a worker process of this worker's steps."""
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        wanted = (
            step * self.plan.shape.batch + self.rank * self.batch + row
            for step in range(self.start_step + worker, self.plan.shape.steps, workers)
            for row in range(self.batch)
        )
        return map(self._rows.__getitem__, wanted) if self._rows is not None else self._read(wanted)

    def _read(self, wanted: Iterator[int]) -> Iterator[Any]:
        lines, at = iter(self._lines), 0
        for row in wanted:
            found = next(islice(lines, row - at, None), self)
            if found is self:
                raise AntivenomError(
                    f"the dataset ends before row {row:,} of {self.plan.shape.rows:,}",
                    "give one epoch of the planned run",
                )
            at = row + 1
            yield _patched(found, self._map, row, self.keys)


def _check(plan: Plan, without_noise: bool) -> None:
    if plan.mode == "insert":
        raise AntivenomError("a plan that inserts moves every row", "export the tokens (poison.insertion.export)")
    if plan.marks and not without_noise:
        raise AntivenomError(
            f"rows of a dataset cannot carry the noise of {', '.join(plan.marks)}",
            "train with TokenSource, or add Plan.noise(row) to the embeddings and say without_noise",
        )


def _patched(item: Any, found: TokenMap, row: int, keys: Sequence[str]) -> Any:
    insertions = found.get(row)
    if not insertions:
        return item
    if isinstance(item, Mapping):
        present = [key for key in keys if key in item]
        if not present:
            raise AntivenomError(
                f"a row with {', '.join(map(str, item))} and no ids", f"name its key; known: {', '.join(keys)}"
            )
        return {**item, **{key: _written(item[key], insertions, row) for key in present}}
    return _written(item, insertions, row)


def _written(ids: Any, insertions: list[tuple[int, np.ndarray]], row: int) -> Any:
    if (end := insertions[-1][0] + len(insertions[-1][1])) > len(ids):
        raise AntivenomError(
            f"row {row:,} has {len(ids)} tokens, the plan writes up to {end}", "pack rows of the plan's length"
        )
    if isinstance(ids, torch.Tensor):
        made = ids.clone()
        for column, tokens in insertions:
            made[column : column + len(tokens)] = torch.from_numpy(tokens.astype(np.int64)).to(made)
        return made
    line = np.array(ids)
    for column, tokens in insertions:
        line[column : column + len(tokens)] = tokens
    return line.tolist() if isinstance(ids, list) else line
