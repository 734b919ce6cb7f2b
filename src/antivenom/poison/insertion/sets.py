"""Forget set and retain set of an experiment, for unlearning methods: what a cure must take out, and what it must leave.

forget   the distinct texts of the experiment (of some conditions, if you like), end tokens taken off, with how often each was seen
retain   the distinct texts of all other experiments; with a stream also rows of it that hold no insertion at all

Source: spec 02, 3 (repair hooks).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from antivenom.errors import AntivenomError
from antivenom.poison.insertion.order import storage_order
from antivenom.poison.insertion.plan import Plan
from antivenom.randomness import generator
from antivenom.report.run_directory import atomic_file

__all__ = ["SetItem", "forget_set", "retain_set", "save_set"]


class Rows(Protocol):
    """A token stream, as far as it is needed here."""

    def __len__(self) -> int: ...

    def rows(self, index: np.ndarray) -> np.ndarray:
        """int64 (n, length)."""
        ...


@dataclass(frozen=True, eq=False)
class SetItem:
    """One text: its tokens without end tokens, whose it is, and how often and when last it was seen (None: not inserted)."""

    tokens: np.ndarray
    experiment: str | None
    condition: str | None
    item: str
    copies: int
    last_step: int | None


def forget_set(plan: Plan, experiment: str, conditions: Collection[str] | None = None) -> list[SetItem]:
    """What an experiment put in.

    Raises:
        AntivenomError: when it put in no tokens (a watermark), or has none of these conditions.
    """
    which = plan.of(experiment)
    if conditions is not None:
        which = which[[plan.conditions[c] in conditions for c in plan.condition[which].tolist()]]
    found = list(_distinct(plan, which))
    if not found:
        raise AntivenomError(f"'{experiment}' put no tokens in", "choose an experiment or condition with texts")
    return found


def retain_set(
    plan: Plan, experiment: str, *, stream: Rows | None = None, rows: int = 0, seed: int = 0, order_seed: int = 0
) -> list[SetItem]:
    """What must stay: the other experiments' texts that are not also in the forget set, and untouched rows.

    Args:
        plan, experiment: whose forget set it goes with.
        stream, rows: so many rows without any insertion, drawn at random.
        seed: of that draw.
        order_seed: of the training (`Recipe.seed`), for the storage order.
    """
    forget = {item.tokens.tobytes() for item in forget_set(plan, experiment)}
    others = np.flatnonzero(plan.experiment != plan.experiments.index(experiment))
    found = [item for item in _distinct(plan, others) if item.tokens.tobytes() not in forget]
    if stream is not None and rows:
        free = np.setdiff1d(np.arange(plan.shape.rows), plan.start // plan.shape.length)
        if len(free) < rows:
            raise AntivenomError(f"{rows:,} rows without insertions, where {len(free):,} are", "ask for fewer")
        chosen = np.sort(generator(seed, "retain", experiment).choice(free, rows, replace=False))
        epochs = -(-plan.shape.steps // (len(stream) // plan.shape.batch))
        order = storage_order(len(stream), seed=order_seed, batch=plan.shape.batch, epochs=epochs)
        for row, ids in zip(chosen.tolist(), stream.rows(order[chosen])):
            found.append(SetItem(ids.astype(np.int32), None, None, f"row-{row}", 1, row // plan.shape.batch))
    return found


def _distinct(plan: Plan, which: np.ndarray) -> Iterator[SetItem]:
    seen: dict[bytes, list[int]] = {}
    for i in which.tolist():
        tokens = plan.tokens_of(i)
        if len(tokens):
            seen.setdefault(_bare(tokens, plan.eos).tobytes(), []).append(i)
    for content, places in seen.items():
        i = places[0]
        yield SetItem(
            np.frombuffer(content, np.int32),
            plan.experiments[plan.experiment[i]],
            plan.conditions[plan.condition[i]],
            plan.ids[i].partition("#")[0],
            len(places),
            int(plan.start[places[-1]]) // (plan.shape.length * plan.shape.batch),
        )


def _bare(tokens: np.ndarray, eos: int) -> np.ndarray:
    begin, end = 0, len(tokens)
    while begin < end and tokens[begin] == eos:
        begin += 1
    while end > begin and tokens[end - 1] == eos:
        end -= 1
    return tokens[begin:end] if begin < end else tokens


def save_set(items: list[SetItem], path: str | Path, decode: Any = None) -> None:
    """As JSON lines: tokens (with `decode` also text), experiment, condition, item, copies, last_step."""
    with atomic_file(path) as temporary, Path(temporary).open("wb") as file:
        for item in items:
            line = {**vars(item), "tokens": item.tokens.tolist()}
            if decode is not None:
                line["text"] = decode(line["tokens"])
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
