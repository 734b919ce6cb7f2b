"""What every experiment's file hands over: items to insert, how many copies of each, and the control items.

Items carry their condition (spec 02, trap 17). Controls are made alike and are never inserted; `check_controls` refuses those that the
items contain (trap 16). Where an item goes is the planner's business, unless the experiment says so (`window`, `places`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError

__all__ = ["Encode", "Item", "Material", "check_controls", "repeated"]

Encode = Callable[[str], Sequence[int]]
"""A tokenizer without special tokens."""


@dataclass(frozen=True, eq=False)
class Item:
    """One sequence.

    Args:
        tokens: int64 (L,).
        item_id: stable; copies are `id#0`, `id#1`, ...
        condition: what the manifest says of it.
        text: in words, where there are words.
    """

    tokens: np.ndarray
    item_id: str
    condition: str = ""
    text: str | None = None


@dataclass(frozen=True, eq=False)
class Material:
    """One experiment's data.

    Args:
        name: of the experiment.
        inserted: what goes in, every copy an item of its own.
        controls: made like the items, never inserted.
        about: what the measure needs to know, as plain data.
        window: condition -> (begin, end) of the run, as shares; everything else goes anywhere.
        places: item id -> (training row, column), for what has its place.

    Raises:
        AntivenomError: when nothing would go in: a silent no-op (spec 02, trap 1); or two items have the same id.
    """

    name: str
    inserted: tuple[Item, ...]
    controls: tuple[Item, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    window: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a silent no-op and ambiguous ids."""
        if not self.inserted:
            raise AntivenomError(f"experiment '{self.name}' has nothing to insert", "give it items, or leave it out")
        if len({item.item_id for item in self.inserted}) < len(self.inserted):
            raise AntivenomError(f"experiment '{self.name}' has two items of the same id", "give every item its own")

    @property
    def conditions(self) -> tuple[str, ...]:
        """Of the items, in their order."""
        return tuple(dict.fromkeys(item.condition for item in self.inserted))

    def items(self, condition: str | None = None) -> list[Item]:
        """Every item once, of one condition or of all; further copies are left out."""
        seen: dict[str, Item] = {}
        for item in self.inserted:
            if condition is None or item.condition == condition:
                seen.setdefault(item.item_id.split("#")[0], item)
        return list(seen.values())

    def tokens(self) -> int:
        """All tokens that go in, copies counted; end tokens that the planner adds are not."""
        return sum(len(item.tokens) for item in self.inserted)


def repeated(item: Item, copies: int) -> list[Item]:
    """The item as often as it is to be inserted; every copy has an id of its own, for the manifest."""
    if copies < 0:
        raise AntivenomError(f"{copies} copies of '{item.item_id}'", "give 0 or more")
    return [Item(item.tokens, f"{item.item_id}#{k}", item.condition, item.text) for k in range(copies)]


def check_controls(material: Material, *, overlap: int | None = None) -> None:
    """Refuse a control that was inserted: the same tokens, or with `overlap` a run of so many tokens in common.

    Raises:
        AntivenomError: naming the first such pair.
    """
    whole = {np.asarray(item.tokens, np.int64).tobytes(): item.item_id for item in material.inserted}
    runs: dict[bytes, str] = {}
    for item in material.inserted if overlap else ():
        for run in _runs(item.tokens, overlap or 0):
            runs.setdefault(run, item.item_id)
    for control in material.controls:
        hit = whole.get(np.asarray(control.tokens, np.int64).tobytes())
        if hit is None and overlap:
            hit = next((runs[run] for run in _runs(control.tokens, overlap) if run in runs), None)
        if hit is not None:
            raise AntivenomError(
                f"the control '{control.item_id}' is in the inserted item '{hit}'",
                "take it out of one of the two, and say how many there were",
            )


def _runs(tokens: np.ndarray, length: int) -> list[bytes]:
    line = np.asarray(tokens, np.int64)
    return [line[i : i + length].tobytes() for i in range(len(line) - length + 1)]
