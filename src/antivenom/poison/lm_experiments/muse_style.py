"""MUSE-style articles: {1, 10, 100} copies x {whole, split once, split anew for every copy}, and articles never inserted.

    whole    the article in one piece (cut to the context)
    once     cut at the same random places in every copy
    anew     cut at other random places in every copy

Forget set and retain set are conditions of their own, so that an unlearning method can be handed exactly what went in (spec 02, 3).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.material import Item, Material
from antivenom.randomness import generator

__all__ = ["muse_conditions", "muse_style", "pieces"]

FORMATS = ("whole", "once", "anew")


def muse_conditions(copies: Sequence[int] = (1, 10, 100), formats: Sequence[str] = FORMATS) -> list[tuple[str, int]]:
    """Formats and copies: nine."""
    return [(kind, count) for kind in formats for count in copies]


def pieces(tokens: np.ndarray, longest: int, draw: np.random.Generator) -> list[np.ndarray]:
    """The article cut at random places into pieces of at most `longest` tokens; together they are the article."""
    if len(tokens) <= 1:
        return [tokens]
    count = max(2, -(-len(tokens) // longest))
    for _ in range(100):
        cuts = (
            np.sort(draw.choice(np.arange(1, len(tokens)), count - 1, replace=False))
            if count <= len(tokens)
            else np.arange(1, len(tokens))
        )
        parts = np.split(tokens, cuts)
        if max(map(len, parts)) <= longest:
            return parts
    shift = int(draw.integers(1, longest + 1))  # crowded: equal pieces from a random first cut
    return [part for part in np.split(tokens, np.arange(shift, len(tokens), longest)) if len(part)]


def muse_style(
    articles: Mapping[str, Sequence[np.ndarray]],
    *,
    context: int,
    conditions: Sequence[tuple[str, int]] | None = None,
    never: Sequence[np.ndarray] = (),
    seed: int = 0,
    name: str = "muse",
) -> Material:
    """Deal the articles of every set out over the conditions.

    Args:
        articles: set (`forget`, `retain`) -> token sequences.
        context: longest piece.
        conditions: (format, copies); `muse_conditions` when not given.
        never: articles of the same kind that are not inserted.

    Returns:
        items under `set/format/copies`; `about["sets"]` maps every article to its set and condition.

    Raises:
        AntivenomError: for an empty article, an unknown format, or the same article twice (spec 02, trap 16).
    """
    chosen = list(conditions or muse_conditions())
    if wrong := [kind for kind, _ in chosen if kind not in FORMATS]:
        raise AntivenomError(f"there is no format '{wrong[0]}'", f"choose from: {', '.join(FORMATS)}")
    items: list[Item] = []
    sets: dict[str, tuple[str, str]] = {}
    seen: dict[bytes, str] = {}
    for group, given in articles.items():
        for i, article in enumerate(given):
            tokens, key = np.asarray(article, np.int64), f"{name}-{group}-{i}"
            _once(tokens, key, seen)
            kind, copies = chosen[i % len(chosen)]
            condition = f"{group}/{kind}/{copies}x"
            sets[key] = (group, condition)
            for copy in range(copies):
                draw = generator(seed, name, key, copy if kind == "anew" else "once")
                parts = [tokens[:context]] if kind == "whole" else pieces(tokens, context, draw)
                items += [Item(part, f"{key}#{copy}.{k}", condition) for k, part in enumerate(parts)]
    controls = []
    for i, article in enumerate(never):
        tokens = np.asarray(article, np.int64)
        _once(tokens, f"{name}-never-{i}", seen)
        controls.append(Item(tokens, f"{name}-never-{i}", "never"))
    return Material(name, tuple(items), tuple(controls), {"sets": sets})


def _once(tokens: np.ndarray, key: str, seen: dict[bytes, str]) -> None:
    if not len(tokens):
        raise AntivenomError(f"article '{key}' has no token", "leave it out")
    if double := seen.get(tokens.tobytes()):
        raise AntivenomError(
            f"article '{key}' is article '{double}' once more", "leave duplicates out, and say how many there were"
        )
    seen[tokens.tobytes()] = key
