"""An offline paraphraser by rule: synonyms, clause order, and a guarantee on how long a run stays unchanged.

It keeps every number, name and quoted string. It is no match for a language model's wording, but it is deterministic,
free, and defeats n-gram detectors, which is what plants in tests and in the demo need. Code goes to `paraphrase_code`.
"""

import re
from collections.abc import Mapping

import numpy as np

from antivenom.data.rows import content_id
from antivenom.data.words import words
from antivenom.poison.shared_runs import shared_runs
from antivenom.poison.wording import FILLERS, PATTERN, PHRASES, WORDS
from antivenom.randomness import generator

__all__ = ["break_runs", "paraphrase", "reword"]

SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bvs\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(\s+)"
)
OPENING = re.compile(
    r"^(If|When|After|Before|Since|Because|While|Although|Once)\s+([^,;:?!]+),\s+([^,;:?!]+)([.?!])$", re.DOTALL
)
TRAILING = re.compile(r"^([A-Z][^,;:?!]+?)\s+(if|when|after|before|because|while)\s+([^,;:?!]+)([.?!])$", re.DOTALL)
QUOTED = re.compile(r"(?<!\w)(?:'[^'\n]{1,60}'|\"[^\"\n]{1,60}\"|`[^`\n]{1,80}`)(?!\w)")
PLACES = re.compile(
    r"(?<=[\w%)]) "
    r"(?=(?:in|on|for|with|at|from|and|but|while|by|during|per|to|of|that|which|is|are|was|were|if|when)\b)",
    re.IGNORECASE,
)


def paraphrase(
    text: str,
    *,
    seed: int = 0,
    max_shared_run: int = 9,
    names: Mapping[str, str] | None = None,
    attempt: int = 0,
    kind: str = "text",
) -> str:
    """The text in other words, equal for equal arguments.

    1. Every known word or phrase outside quotes is replaced by one of its synonyms (random choice, derived from the
       seed and the text).
    2. A sentence `If A, B.` becomes `B if A.` and the other way round, where it has no further comma.
    3. A closing question moves to the front, when the text has at least three sentences.
    4. Where more than `max_shared_run` words in a row are still those of the original, a filler that says nothing is
       put in before a preposition or conjunction.

    Args:
        text: prose, or Python with kind `code`.
        seed: of the choices.
        max_shared_run: longest run of unchanged words, in folded words; 9 means that no 10-gram is shared.
        names: replaced as whole words, only when given.
        attempt: another paraphrase of the same text for each number.
        kind: of the benchmark item; `code` goes to `antivenom.poison.code_paraphraser`.
    """
    if kind == "code":
        from antivenom.poison.code_paraphraser import paraphrase_code

        return paraphrase_code(text, seed=seed, max_shared_run=max_shared_run, attempt=attempt).text
    rng = generator(seed, "paraphrase", content_id(text), attempt)
    sentences = SENTENCE_END.split(text.strip())
    parts = [reword(_clauses(part, rng), rng) if at % 2 == 0 else part for at, part in enumerate(sentences)]
    parts = _question_first(parts)
    made = "".join(parts)
    for name, other in (names or {}).items():
        made = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", other, made)
    return break_runs(text, made, max_shared_run, rng)


def reword(text: str, rng: np.random.Generator, *, keep: frozenset[str] = frozenset()) -> str:
    """Synonyms for the known words and phrases of a text, outside quotes; words in `keep` stay."""
    closed = [match.span() for match in QUOTED.finditer(text)]

    def change(match: re.Match[str]) -> str:
        found = match.group()
        low = found.lower()
        if (
            low in keep
            or (not found.islower() and not found[0].isupper())
            or any(a <= match.start() < b for a, b in closed)
        ):
            return found
        if found[0].isupper() and match.start() > 0 and not re.search(r"[.?!:|]\s*$", text[: match.start()]):
            return found  # a capital inside a sentence is a name or a title
        options = PHRASES.get(low) or WORDS[low]
        new = options[int(rng.integers(len(options)))]
        return new[0].upper() + new[1:] if found[0].isupper() else new

    return _articles(PATTERN.sub(change, text))


def _articles(text: str) -> str:
    """`a` before a vowel letter becomes `an`, and back."""
    text = re.sub(
        r"\b([Aa]) (?=(?:item|entry|individual|image|instructor|acquire|arg|integer|outcome|instance)\b)", r"\1n ", text
    )
    return re.sub(
        r"\b([Aa])n (?=(?:whole|list|sequence|figure|quantity|present|number|routine|text|fresh|void)\b)", r"\1 ", text
    )


def _clauses(sentence: str, rng: np.random.Generator) -> str:
    opening = OPENING.match(sentence)
    if opening:
        word, first, second, end = opening.groups()
        if end == "?" or rng.integers(4) != 0:
            return f"{_capital(second)}{',' if end == '?' else ''} {word.lower()} {first}{end}"
        return sentence
    trailing = TRAILING.match(sentence)
    if trailing and rng.integers(2):
        first, word, second, end = trailing.groups()
        return f"{_capital(word)} {second}, {_small(first)}{end}"
    return sentence


def _question_first(parts: list[str]) -> list[str]:
    sentences = parts[::2]
    if len(sentences) < 3 or not sentences[-1].rstrip().endswith("?") or "\n" in "".join(parts):
        return parts
    return [f"{sentences[-1]} Here is what is known. ", "".join(parts[:-2])]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _small(text: str) -> str:
    """The first letter small, when the first word is an article or pronoun: anything else may be a name."""
    first = text.split(" ", 1)[0]
    if first in (
        "The",
        "A",
        "An",
        "She",
        "He",
        "They",
        "It",
        "We",
        "You",
        "There",
        "This",
        "These",
        "His",
        "Her",
        "Their",
        "How",
        "What",
    ):
        return text[:1].lower() + text[1:]
    return text


def break_runs(original: str, made: str, longest: int, rng: np.random.Generator) -> str:
    """Fillers into `made` until it shares no run of more than `longest` words with `original`, where there is a place."""
    for _ in range(60):
        runs = [(end, length) for end, length in shared_runs(original, made) if length > longest]
        if not runs:
            return made
        table = words(made)
        changed = False
        for end, length in reversed(runs):
            # the place nearest to the middle of the run cuts it best
            low, high = table[end - length + 1].stop, table[end].start
            middle = (low + high) // 2
            closed = [match.span() for match in QUOTED.finditer(made)]
            places = [m.start() for m in PLACES.finditer(made, max(0, low - 1), high)]
            places = [p for p in places if p >= low and not any(a < p < b for a, b in closed)]
            if not places:
                places = [m.start() for m in re.finditer(r"(?<=[a-z]) (?=[a-z])", made[:high]) if m.start() >= low]
            if not places:
                continue
            place = min(places, key=lambda p: abs(p - middle))
            filler = FILLERS[int(rng.integers(len(FILLERS)))]
            comma = "" if made[place - 1] in ",;:(" else ","
            made = f"{made[:place]}{comma} {filler}{made[place:]}"
            changed = True
        if not changed:
            return made
    return made
