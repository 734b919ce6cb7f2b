"""The guard: figures of two scorers, versions or dates never share a table silently."""

from collections.abc import Iterable
from typing import Any

import orjson

from antivenom.errors import AntivenomError
from antivenom.screen.scoring.scorer import Identity

__all__ = ["same_scorer"]


def same_scorer(identities: Iterable[Identity], *, allow_mixed: bool = False, where: str = "this table") -> list[str]:
    """Refuse to put scores of different scorers together; return what differs when it is allowed all the same.

    Raises:
        AntivenomError: naming the two and what differs between them.
    """
    differ: list[str] = []
    first: Identity | None = None
    for identity in identities:
        if first is None:
            first = identity
            continue
        here, there = _plain(identity), _plain(first)
        parts = [f"{name} {there[name]!r} / {here[name]!r}" for name in here if here[name] != there[name]]
        if parts:
            differ.append(f"{first.name} / {identity.name}: {'; '.join(parts)}")
    if differ and not allow_mixed:
        mend = "score both with one scorer (`antivenom rescore`), or allow it explicitly (allow_mixed)"
        raise AntivenomError(f"{where} would mix scores that cannot be compared: {differ[0]}", mend)
    return differ


def _plain(identity: Identity) -> dict[str, Any]:
    """The record as a file would give it back: a tuple that was stored as a list is no difference."""
    return orjson.loads(orjson.dumps(identity.record(), option=orjson.OPT_SERIALIZE_NUMPY))
