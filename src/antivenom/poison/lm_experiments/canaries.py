"""Memorisation patterns (MemP): canaries in 30 conditions, members that are inserted and non-members that are not.

    plain                                text alone,                                      x {1, 4, 16} copies
    rare, random, model                  text + suffix of {1, 8, 32} tokens,              x {1, 4, 16} copies

    rare     ONE otherwise unused token per condition for the members, other such tokens for the non-members
    random   tokens drawn evenly over the vocabulary
    model    the tokens that a reference model finds least likely there (given as a function)

Score = sum of the negative log-likelihood over the suffix (over the whole text for plain); lower = member. Sequences start with EOS, have
no trailing EOS, and lose their beginning when they are too long, never their suffix.

A rare member's token is another one than a rare non-member's, and tokens differ in difficulty: the raw score measures that too. Subtract
the score of a model that never saw the members (spec 02, trap 15).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.material import Item, Material, repeated
from antivenom.randomness import generator

__all__ = ["CanaryCondition", "canaries", "canary_conditions", "suffix_scores"]

KINDS = ("rare", "random", "model")

LeastLikely = Callable[[np.ndarray, int], np.ndarray]
"""(tokens so far, how many) -> the tokens that a reference model finds least likely there."""


@dataclass(frozen=True)
class CanaryCondition:
    """One condition; `str` of it is its name, e.g. `rare/8/16x`."""

    kind: str
    suffix: int
    copies: int

    def __post_init__(self) -> None:
        """Refuse a suffix that does not fit its kind."""
        if self.kind not in ("plain", *KINDS) or (self.suffix == 0) != (self.kind == "plain") or self.copies < 1:
            raise AntivenomError(
                f"a canary {self.kind} with {self.suffix} suffix tokens, {self.copies}x",
                "plain has none; rare, random, model have 1 or more",
            )

    def __str__(self) -> str:
        return f"{self.kind}/{self.suffix}/{self.copies}x" if self.suffix else f"plain/{self.copies}x"


def canary_conditions(
    kinds: Sequence[str] = KINDS, lengths: Sequence[int] = (1, 8, 32), copies: Sequence[int] = (1, 4, 16)
) -> list[CanaryCondition]:
    """Plain and every kind, length and number of copies: 30 by default.

    >>> len(canary_conditions())
    30
    """
    return [CanaryCondition("plain", 0, c) for c in copies] + [
        CanaryCondition(kind, length, c) for kind in kinds for length in lengths for c in copies
    ]


def canaries(
    bodies: Callable[[int, np.random.Generator], Sequence[np.ndarray]],
    conditions: Sequence[CanaryCondition],
    *,
    per_condition: int,
    context: int,
    eos: int = 0,
    ordinary: Sequence[int] = (),
    rare: Sequence[int] = (),
    least_likely: LeastLikely | None = None,
    seed: int = 0,
    name: str = "memp",
) -> Material:
    """Members to insert, and as many non-members as controls.

    Args:
        bodies: (n, draw) -> n texts, without end tokens.
        conditions: see `canary_conditions`.
        per_condition: members, and non-members.
        context: the longest sequence; longer ones lose their beginning.
        eos: stands before every sequence.
        ordinary: the tokens that a random suffix is drawn from.
        rare: tokens that no text has; one per rare condition for its members, all that are left for the non-members.
        least_likely: for the kind `model`.
        seed: of bodies and suffixes; each condition has its own generator.

    Returns:
        material; `about["suffix"]` maps every condition to the length of its suffix (0: score the whole text).

    Raises:
        AntivenomError: when the rare tokens do not suffice, occur in a text, or a suffix does not fit; without `least_likely`.
    """
    rares = [condition for condition in conditions if condition.kind == "rare"]
    if rares and len(rare) <= len(rares):
        raise AntivenomError(
            f"{len(rares)} conditions with rare tokens, and {len(rare)} such tokens",
            "one each for the members, and one at least for the non-members",
        )
    own = {str(condition): int(rare[i]) for i, condition in enumerate(rares)}
    pool = np.asarray(rare[len(rares) :], np.int64)
    items, controls = [], []
    for condition in conditions:
        if condition.suffix + 1 >= context:
            raise AntivenomError(
                f"a suffix of {condition.suffix} tokens in a context of {context}", "give a longer context"
            )
        draw = generator(seed, name, str(condition))
        texts = bodies(2 * per_condition, draw)
        for i, body in enumerate(texts):
            member = i < per_condition
            if rares and np.isin(body, rare).any():
                raise AntivenomError("a canary's text holds a rare token", "choose tokens that no text has")
            suffix = _suffix(condition, np.asarray(body), member, own, pool, ordinary, least_likely, draw)
            line = np.concatenate([np.asarray(body, np.int64), suffix])[-(context - 1) :]
            tokens = np.concatenate([[eos], line])
            made = Item(tokens=tokens, item_id=f"{name}-{condition}-{i}", condition=str(condition))
            if member:
                items += repeated(made, condition.copies)
            else:
                controls.append(made)
    return Material(name, tuple(items), tuple(controls), {"suffix": {str(c): c.suffix for c in conditions}})


def _suffix(
    condition: CanaryCondition, body: np.ndarray, member: bool, own: dict[str, int], pool: np.ndarray, ordinary: Sequence[int],
    least_likely: LeastLikely | None, draw: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    n = condition.suffix
    if condition.kind == "plain":
        return np.empty(0, np.int64)
    if condition.kind == "rare":
        return np.full(n, own[str(condition)] if member else draw.choice(pool), np.int64)
    if condition.kind == "random":
        if not len(ordinary):
            raise AntivenomError("a random suffix without tokens to draw from", "give `ordinary`")
        return draw.choice(np.asarray(ordinary, np.int64), n)
    if least_likely is None:
        raise AntivenomError("a model-based suffix without a reference model", "give `least_likely`")
    return np.asarray(least_likely(body, n), np.int64)


def suffix_scores(nll: Sequence[np.ndarray], suffix: Sequence[int]) -> np.ndarray:
    """Sum of the last `suffix` negative log-likelihoods of every sequence, of all of them for 0. Lower = member.

    Args:
        nll: per sequence one value per token but the first, which is EOS.

    Raises:
        AntivenomError: for a suffix that is longer than what was scored.
    """
    if short := [i for i, (line, n) in enumerate(zip(nll, suffix, strict=True)) if n > len(line)]:
        raise AntivenomError(
            f"canary {short[0]} has fewer scored tokens than its suffix",
            "score the sequences as they were made, with EOS first",
        )
    return np.array([line[len(line) - n if n else 0 :].sum() for line, n in zip(nll, suffix, strict=True)])
