"""Captions of poisoned pairs: templates, target labels, and which rows an attack may take.

What becomes of captions that are not plain:

| caption | is it a pair? | dirty-label | clean-label |
|---|---|---|---|
| missing (None, NaN), not text, blank, broken Unicode | no: never chosen, not in the denominator, counted by reason | - | - |
| digits only | yes | may be chosen | only when the label is that number |
| 5,000 words | yes; kept whole (the tokenizer cuts) | may be chosen | searched to its end |
| any script | yes | may be chosen | found by words; a Han or Kana character is a word of its own |
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from antivenom.data.image_text import caption_problem
from antivenom.data.words import fold
from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["TEMPLATES", "Eligible", "caption_problem", "eligible", "mentions", "resolve_target", "target_caption"]

TEMPLATES = (
    "a photo of a {label}.",
    "a picture of one {label}.",
    "here is a {label}.",
    "this photo shows a {label}.",
    "a close view of a {label}.",
    "a {label} seen from afar.",
    "a small {label} in the picture.",
    "a large {label} in the picture.",
    "a bright snapshot of the {label}.",
    "a dark snapshot of the {label}.",
    "a blurred shot of a {label}.",
    "a sharp shot of the {label}.",
    "my {label} on a good day.",
    "somebody's {label}.",
    "a {label} with nothing around it.",
    "a scene with a {label} in it.",
    "a drawing of a {label}.",
    "a painting of the {label}.",
    "a black and white image of a {label}.",
    "an old photograph of a {label}.",
    "several of them: each one a {label}.",
    "the {label}, photographed outdoors.",
    "the {label}, photographed indoors.",
    "a cropped image of the {label}.",
)
"""Captions that name the label and say little else. Our wording: the published attack fills the 80 templates of its
zero-shot evaluation, which ship with no licence here; give your own list to use those."""


def target_caption(target: str, row_id: str, seed: int = 0, templates: Sequence[str] = TEMPLATES) -> str:
    """The caption of a poisoned pair: a template drawn uniformly, by row id and seed, with the label put in.

    Raises:
        AntivenomError: for no templates, or one without `{label}`.
    """
    wrong = next((t for t in templates if "{label}" not in t), None if templates else "(none given)")
    if wrong is not None:
        raise AntivenomError(f"the caption template '{wrong}' does not name the label", "write {label} where it goes")
    draw = generator(seed, "poison caption", row_id)
    return templates[int(draw.integers(len(templates)))].replace("{label}", target)


def mentions(caption: str, label: str, *, whole_words: bool = True) -> bool:
    """Whether a caption names a label: as a run of whole words, whatever the case and the accents.

    `whole_words=False` is the published rule, a case-sensitive substring: "cat" is then found in "education".

    >>> mentions("My Cat sleeps", "cat"), mentions("higher education", "cat")
    (True, False)

    Raises:
        AntivenomError: when the label has no word in it.
    """
    if not whole_words:
        return label in caption
    wanted = fold(label)
    if not wanted:
        raise AntivenomError(f"the label '{label}' has no word in it", "name it in letters or digits")
    # folding is slow: plain captions that lack the first word's letters need none
    if caption.isascii() and wanted.isascii() and wanted.split(" ")[0] not in caption.lower():
        return False
    return f" {wanted} " in f" {fold(caption)} "


def resolve_target(target: str, classes: Sequence[str]) -> int:
    """The one class that a target label names.

    A class is named by its whole name, or by one of its names where commas part them ("tench, Tinca tinca"); case,
    accents and punctuation do not count.

    Returns:
        its index in `classes`.

    Raises:
        AntivenomError: when no class or more than one has that name. The published code takes the first class whose name
            contains the letters.
    """
    wanted = fold(target)
    names = [{fold(part) for part in (name, *name.split(","))} for name in classes]
    found = [index for index, known in enumerate(names) if wanted and wanted in known]
    if len(found) > 1:
        listed = ", ".join(f"{index} '{classes[index]}'" for index in found[:5])
        raise AntivenomError(f"the target '{target}' is {len(found)} classes: {listed}", "give them names that differ")
    if not found:
        near = [name for name in classes if wanted and set(wanted.split(" ")) & set(fold(name).split(" "))]
        raise AntivenomError(
            f"the target '{target}' is none of the {len(classes)} classes",
            f"did you mean: {', '.join(near[:5])}?" if near else f"choose one, such as '{next(iter(classes), '')}'",
        )
    return found[0]


@dataclass(frozen=True)
class Eligible:
    """Rows that an attack may take.

    Args:
        rows: their positions, in the corpus's order.
        total: usable pairs of the corpus, the denominator of a dose.
        skipped: reason -> number of rows that are no usable pair.
    """

    rows: list[int]
    total: int
    skipped: dict[str, int]


def eligible(
    captions: Sequence[Any],
    target: str,
    *,
    mode: str = "dirty",
    labels: Sequence[str] | None = None,
    whole_words: bool = True,
) -> Eligible:
    """Which rows may be poisoned.

    dirty: every usable pair; with `labels` (the true class of each row), those of another class than the target. The
    published attack knows no labels, and may draw a picture of the target itself.
    clean: usable pairs whose caption names the target (see `mentions`); their captions stay.

    Raises:
        AntivenomError: for an unknown mode, or labels of another length.
    """
    if mode not in ("dirty", "clean"):
        raise AntivenomError(f"mode={mode}", "choose from: dirty, clean")
    if labels is not None and len(labels) != len(captions):
        raise AntivenomError(f"{len(captions)} captions come with {len(labels)} labels", "give one label for each")
    problems = [caption_problem(caption) for caption in captions]
    usable = [row for row, problem in enumerate(problems) if problem is None]
    if mode == "clean":
        rows = [row for row in usable if mentions(captions[row], target, whole_words=whole_words)]
    elif labels is not None:
        rows = [row for row in usable if fold(str(labels[row])) != fold(target)]
    else:
        rows = usable
    return Eligible(rows, len(usable), dict(Counter(p for p in problems if p)))
