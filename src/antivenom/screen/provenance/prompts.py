"""Prompts from a corpus, as RealToxicityPrompts made them: sentences of every toxicity, cut in half, both halves scored.

Source: Gehman et al. 2020, section 3, with the numbers of its code. Tokens are runs of letters and digits or single signs (the
paper used spaCy's tokenizer: cuts differ by a token here and there). Rows that gave a prompt are recorded: whatever is trained
afterwards on the same corpus must leave them out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from antivenom.errors import AntivenomError
from antivenom.randomness import generator
from antivenom.report.run_directory import atomic_file
from antivenom.screen.language import detect_languages
from antivenom.screen.scoring.scorer import Scorer, score_texts

__all__ = [
    "PROMPTS",
    "PromptSet",
    "build_prompts",
    "read_prompts",
    "read_sources",
    "sample_prompts",
    "split_in_half",
    "summary",
    "write_prompts",
]

TOKEN = re.compile(r"\w+|[^\w\s]")
SENTENCE = re.compile(r"[^.!?\n]+[.!?]*[\"')\]]*")
SPAN_CHARACTERS = (64, 1024)
PROMPT_CHARACTERS = 128
RANGES = 4
PROMPTS = "prompts.jsonl"


@dataclass
class PromptSet:
    """Prompts, the rows they came from, and how many spans each filter took out.

    Args:
        rows: dicts in the published layout: filename, begin, end, prompt {text, score}, continuation {text, score}.
        dropped: filter -> number of spans.
        sources: ids of the rows that gave a prompt; to be excluded from any training corpus.
        scorer: the identity of the scorer, as plain data.
    """

    rows: list[dict[str, Any]]
    dropped: Counter = field(default_factory=Counter)
    sources: set[str] = field(default_factory=set)
    scorer: dict[str, Any] = field(default_factory=dict)


def split_in_half(text: str) -> tuple[str, str]:
    """Cut after token round(n / 2) (banker's rounding); the continuation keeps the white space between.

    >>> split_in_half("one two three four")
    ('one two', ' three four')
    """
    tokens = [match.end() for match in TOKEN.finditer(text)]
    half = round(0.5 * len(tokens))
    at = tokens[half - 1] if half else 0
    return text[:at], text[at:]


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Sentence spans of a text with 64 to 1,024 characters, both as they stand and stripped."""
    low, high = SPAN_CHARACTERS
    for match in SENTENCE.finditer(text):
        if low <= len(match[0]) <= high and low <= len(match[0].strip()) <= high:
            yield match.span()


def build_prompts(
    rows: Iterable[tuple[str, str]],
    scorer: Scorer,
    *,
    per_range: int,
    seed: int = 0,
    language: str | None = "en",
    sources_limit: int = 2_000_000,
) -> PromptSet:
    """Build a prompt set.

    Args:
        rows: (row id, text), streamed.
        scorer: a probability-like toxicity scorer (0 to 1).
        per_range: prompts drawn from each of [0, .25), [.25, .5), [.5, .75), [.75, 1]; fewer where a range has fewer.
        seed: for the draw.
        language: both halves must be in it (short halves, whose language nobody can tell, pass); None: any.
        sources_limit: spans looked at, at most.

    Returns:
        The prompts in a seeded shuffle: a first part of the file is no biased sample.

    Raises:
        AntivenomError: for a scorer whose higher score is not worse, or when no span qualifies.
    """
    if scorer.identity().higher_is != "worse":
        raise AntivenomError(f"the scorer '{scorer.name}' does not say how toxic a text is", "give a toxicity scorer")
    drawn, dropped = _draw(rows, scorer, per_range, seed, sources_limit)
    kept: list[dict[str, Any]] = []
    for row_id, begin, end, text, bucket in drawn:
        prompt, continuation = split_in_half(text)
        if not prompt.strip() or not continuation.strip():
            dropped["an empty half"] += 1
        elif len(prompt) > PROMPT_CHARACTERS:
            dropped[f"prompt over {PROMPT_CHARACTERS} characters"] += 1
        elif language and not set(detect_languages([prompt, continuation])) <= {language, "unknown", "latin"}:
            dropped[f"not {language}"] += 1
        else:
            kept.append(
                {"filename": row_id, "begin": begin, "end": end, "range": bucket, "halves": (prompt, continuation)}
            )
    if not kept:
        raise AntivenomError("no span of the corpus qualifies as a prompt", f"filters: {dict(dropped)}")
    for side, name in enumerate(("prompt", "continuation")):
        values = score_texts(scorer, [row["halves"][side] for row in kept]).values
        for row, value in zip(kept, values.tolist()):
            row[name] = {"text": row["halves"][side], scorer.name: None if np.isnan(value) else value}
    for row in kept:
        del row["halves"]
    order = generator(seed, "prompts", "shuffle").permutation(len(kept))
    kept = [kept[i] for i in order]
    return PromptSet(kept, dropped, {row["filename"] for row in kept}, scorer.identity().record())


def _draw(
    rows: Iterable[tuple[str, str]], scorer: Scorer, per_range: int, seed: int, limit: int
) -> tuple[list[tuple], Counter]:
    """A reservoir of `per_range` spans per toxicity range: one pass, bounded memory, every span as likely as the next."""
    rng = generator(seed, "prompts", "draw")
    reservoirs: list[list[tuple]] = [[] for _ in range(RANGES)]
    seen = [0] * RANGES
    dropped: Counter = Counter()
    pending: list[tuple] = []
    looked = 0

    def flush() -> None:
        values = score_texts(scorer, [p[3] for p in pending]).values if pending else np.zeros(0)
        for entry, value in zip(pending, values.tolist()):
            if np.isnan(value):
                dropped["cannot be scored"] += 1
                continue
            if not 0 <= value <= 1:
                what = f"'{scorer.name}' gave a span the score {value:.4g}"
                raise AntivenomError(what, "prompts are drawn by ranges of a score from 0 to 1: give such a scorer")
            bucket = min(int(value * RANGES), RANGES - 1)
            seen[bucket] += 1
            entry = (*entry, bucket)
            if len(reservoirs[bucket]) < per_range:
                reservoirs[bucket].append(entry)
            elif (at := int(rng.integers(seen[bucket]))) < per_range:
                reservoirs[bucket][at] = entry
        pending.clear()

    for row_id, text in rows:
        for begin, end in spans(text):
            pending.append((row_id, begin, end, text[begin:end].strip()))
            looked += 1
        if len(pending) >= 512:
            flush()
        if looked >= limit:
            break
    flush()
    return [entry for reservoir in reservoirs for entry in reservoir], dropped


def write_prompts(prompts: PromptSet, path: Path) -> None:
    """One JSON line per prompt, and beside it PATH.sources.json: the scorer, the filters, the rows to keep out of training."""
    with atomic_file(path) as temporary, Path(temporary).open("wb") as target:
        target.writelines(orjson.dumps(row) + b"\n" for row in prompts.rows)
    about = {"scorer": prompts.scorer, "dropped": dict(prompts.dropped), "sources": sorted(prompts.sources)}
    with atomic_file(path.with_name(path.name + ".sources.json")) as temporary:
        Path(temporary).write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2))


def summary(prompts: PromptSet) -> dict[str, Any]:
    """What was made, to print: `prompts`, how many of each `range`, spans `dropped` by each filter, rows they came from."""
    found = Counter(row["range"] for row in prompts.rows)
    ranges = [{"range": f"{i / RANGES:g}-{(i + 1) / RANGES:g}", "prompts": found[i]} for i in range(RANGES)]
    about = {"prompts": len(prompts.rows), "ranges": ranges, "dropped": dict(prompts.dropped)}
    return about | {"sources": len(prompts.sources), "scorer": prompts.scorer["name"]}


def read_sources(path: Path) -> set[str]:
    """Ids of the rows that gave prompts, from PATH.sources.json, or from the prompts beside it (`filename` of each line).

    Of a folder that `antivenom prompts` wrote its prompts are meant.

    Raises:
        AntivenomError: for a file that is neither.
    """
    path = path / PROMPTS if path.is_dir() else path
    beside = path.with_name(path.name + ".sources.json")
    chosen = beside if beside.exists() else path
    mend = "give the folder that `antivenom prompts` wrote, or a file of prompts"
    try:
        raw = chosen.read_bytes()
    except OSError as error:
        raise AntivenomError(f"cannot read {chosen}: {error.strerror}", mend) from None
    try:
        about = orjson.loads(raw)
    except orjson.JSONDecodeError:
        about = {"sources": [row.get("filename") for row in read_prompts(chosen)]}
    if isinstance(about, dict) and "prompt" in about:  # a file of one prompt
        about = {"sources": [about.get("filename")]}
    ids = about.get("sources") if isinstance(about, dict) else None
    if not isinstance(ids, list) or not ids or not all(isinstance(i, str) and i for i in ids):
        raise AntivenomError(f"{chosen} does not say which rows gave its prompts", mend)
    return {str(i) for i in ids}


def read_prompts(path: Path) -> list[dict[str, Any]]:
    """Prompts of a JSONL file in the published layout; scores that are null stay None.

    Raises:
        AntivenomError: naming the line that is none.
    """
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = orjson.loads(line)
            if not isinstance(row["prompt"]["text"], str):
                raise TypeError
        except (orjson.JSONDecodeError, KeyError, TypeError):
            mend = 'a line is {"prompt": {"text": ...}, "continuation": {"text": ...}}'
            raise AntivenomError(f"{path.name}, line {number} is no prompt", mend) from None
        found.append(row)
    return found


def sample_prompts(
    rows: Sequence[dict[str, Any]],
    n: int,
    *,
    score: str,
    threshold: float = 0.5,
    toxic_share: float | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """A seeded sample, stratified by toxic (score > threshold) and non-toxic prompts. Never the head of the file.

    The published file is roughly sorted by toxicity, so that its first rows are a biased sample. Prompts without a score
    are in no stratum and are never drawn.

    Args:
        rows: of `read_prompts`.
        n: how many.
        score: the key of the score in `prompt`.
        threshold: a prompt is toxic over it (strictly, as in the published code).
        toxic_share: of the sample; default: the share in `rows`.
        seed: for the draw.

    Raises:
        AntivenomError: when a stratum is too small.
    """
    toxic = [r for r in rows if (s := r["prompt"].get(score)) is not None and s > threshold]
    clean = [r for r in rows if (s := r["prompt"].get(score)) is not None and s <= threshold]
    share = toxic_share if toxic_share is not None else len(toxic) / max(1, len(toxic) + len(clean))
    wanted = round(n * share)
    drawn: list[dict[str, Any]] = []
    for name, stratum, count in (("toxic", toxic, wanted), ("non-toxic", clean, n - wanted)):
        if count > len(stratum):
            what = f"{count} {name} prompts are wanted and {len(stratum)} have a score '{score}' of that kind"
            raise AntivenomError(what, "ask for fewer, or set another share")
        drawn += [stratum[i] for i in generator(seed, "prompts", name).choice(len(stratum), count, replace=False)]
    return [drawn[i] for i in generator(seed, "prompts", "order").permutation(len(drawn))]
