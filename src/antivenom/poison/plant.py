"""Planting: a known dose of benchmark items put into a corpus, and remembered."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from antivenom.data.benchmarks import Item
from antivenom.data.rows import content_id
from antivenom.errors import AntivenomError
from antivenom.poison.cipher import encipher
from antivenom.poison.code_paraphraser import paraphrase_code
from antivenom.poison.manifest import Dose, Manifest, Touched
from antivenom.poison.paraphraser import paraphrase
from antivenom.randomness import generator

__all__ = ["TRANSFORMS", "planted"]

Transform = Callable[[Item, int, Sequence[str]], str]
Row = Any
"""A text, or a pair (id, text)."""


def verbatim(item: Item, seed: int, corpus: Sequence[str]) -> str:
    """The question as it is."""
    return item.question


def rephrased(item: Item, seed: int, corpus: Sequence[str]) -> str:
    """The question in other words, by the rule-based paraphraser."""
    if item.kind == "code":
        return paraphrase_code(item.question, seed=seed).text
    return paraphrase(item.question, seed=seed)


def translated(item: Item, seed: int, corpus: Sequence[str]) -> str:
    """The question in a made-up language: word for word, consistently, so that no word is shared."""
    return encipher(item.question)


def embedded(item: Item, seed: int, corpus: Sequence[str]) -> str:
    """The question in the middle of a longer text of the corpus."""
    draw = generator(seed, "embed", item.id)
    long = [text for text in corpus if 1_000 <= len(text) <= 20_000] or [text for text in corpus if text] or [""]
    host = long[int(draw.integers(len(long)))]
    lines = host.splitlines(keepends=True) or [""]
    at = len(lines) // 2
    return "".join(lines[:at]).rstrip("\n") + "\n" + item.question.strip("\n") + "\n" + "".join(lines[at:])


TRANSFORMS: dict[str, Transform] = {
    "verbatim": verbatim,
    "embedded": embedded,
    "rephrased": rephrased,
    "translated": translated,
}
"""What can be done to an item before it is planted."""


def planted(
    corpus: Iterable[Row],
    items: Sequence[Item],
    *,
    counts: Mapping[str, int] | None = None,
    count: int | None = None,
    rate: float | None = None,
    transform: str | Transform = "verbatim",
    seed: int = 0,
    benchmark: str = "",
    attack: str = "contamination",
    texts: Mapping[str, str] | None = None,
) -> tuple[list[Row], Manifest]:
    """Insert items into a corpus at random places.

    Items are drawn without repetition, one generator per transform, and each place has its own draw: adding a
    transform, or more of one, moves no other item's choice.

    Args:
        corpus: the clean texts, or (id, text) pairs; what comes back has the same shape.
        items: of the benchmark.
        counts: transform -> how many items; or
        count: how many items, all by one `transform`; or
        rate: the planted share of the FINAL corpus, all by one `transform`.
        transform: with `count` or `rate`: a name of `TRANSFORMS`, or a function (item, seed, clean texts) -> text.
        seed: of everything.
        benchmark: its name, for the manifest.
        attack: its name, for the manifest.
        texts: item id -> text to plant in place of the transform's own (ready-made rephrases).

    Returns:
        the corpus with the dose, and the manifest of touched rows.

    Raises:
        AntivenomError: for an unknown transform, more items than there are, or a dose that is not given exactly once.
    """
    rows = list(corpus)
    pairs = bool(rows) and not isinstance(rows[0], str)
    clean = [row if isinstance(row, str) else row[1] for row in rows]
    known = dict(TRANSFORMS)
    if callable(transform):
        known[transform.__name__] = transform
        transform = transform.__name__
    if sum(dose is not None for dose in (counts, count, rate)) != 1:
        raise AntivenomError("the dose is not given exactly once", "give one of counts, count and rate")
    if rate is not None:
        if not 0 <= rate < 1:
            raise AntivenomError(f"a rate of {rate}", "the planted share lies in [0, 1)")
        count = round(len(clean) * rate / (1 - rate))
    if counts is None:
        counts = {transform: count or 0}
    chosen: list[tuple[str, Item, str]] = []
    for name, wanted in counts.items():
        if name not in known:
            raise AntivenomError(f"there is no transform '{name}'", f"choose from: {', '.join(known)}")
        pool = [item for item in items if texts is None or texts.get(item.id)]
        if not 0 <= wanted <= len(pool):
            raise AntivenomError(f"{wanted} items are to be planted and there are {len(pool)}", "change the dose")
        for index in generator(seed, "plant", name).permutation(len(pool))[:wanted].tolist():
            item = pool[index]
            chosen.append((name, item, texts[item.id] if texts else known[name](item, seed, clean)))
    places = [
        (float(generator(seed, "place", name, item.id).random()), number)
        for number, (name, item, _) in enumerate(chosen)
    ]
    out: list[Row] = []
    touched: list[Touched] = []
    taken = 0
    for fraction, number in sorted(places):
        upto = min(len(rows), int(fraction * (len(rows) + 1)))
        out += rows[taken:upto]
        taken = max(taken, upto)
        name, item, text = chosen[number]
        key = content_id(text)
        parameters = {"text": "ready-made"} if texts else {}
        touched.append(Touched(key, len(out), attack, name, item.id, benchmark, parameters, seed, "", key))
        out.append((key, text) if pairs else text)
    out += rows[taken:]
    return out, Manifest(touched, Dose(len(chosen), len(out), "rows"))
