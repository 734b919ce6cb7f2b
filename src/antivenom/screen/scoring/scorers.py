"""The scorers by the names users type after `--score`: `toxicity`, `gopher`, `age`, ..."""

import importlib
from dataclasses import MISSING, fields

from antivenom.screen.specs import Registry

__all__ = ["SCORERS", "describe", "get", "parse", "parse_all"]

SCORERS: dict[str, tuple[str, str, str]] = {
    # toxicity: higher is worse
    "toxicity": ("antivenom.screen.toxicity.default", "DefaultToxicity", "packaged hashed linear model"),
    "lexicon": ("antivenom.screen.toxicity.lexicon", "Lexicon", "1 - prod(1 - weight of each listed word)"),
    "toxicity-linear": (
        "antivenom.screen.toxicity.linear",
        "ToxicityLinear",
        "your own hashed linear model, from a file",
    ),
    "toxicity-hf": (
        "antivenom.screen.toxicity.hf_classifier",
        "HFClassifier",
        "a Hugging Face classifier, by name or folder",
    ),
    "perspective": ("antivenom.screen.toxicity.perspective", "Perspective", "the Perspective API (ends 2026-12-31)"),
    "toxicity-judge": ("antivenom.screen.toxicity.llm_judge", "LLMJudge", "a language model asked for a rating"),
    "toxicity-ensemble": ("antivenom.screen.toxicity.ensemble", "Ensemble", "several toxicity scorers put together"),
    "toxicr": ("antivenom.screen.toxicr.scorer", "ToxiCRScorer", "your own ToxiCR model, for code review and chat"),
    # quality: orientation is each scorer's own and stored with it
    "quality": ("antivenom.screen.quality.linear", "QualityLinear", "hashed linear classifier (GLaM / PaLM style)"),
    "gopher": ("antivenom.screen.quality.gopher", "Gopher", "Gopher document rules: share of rules passed"),
    "gopher-repetition": ("antivenom.screen.quality.repetition", "GopherRepetition", "Gopher repetition rules"),
    "c4": ("antivenom.screen.quality.c4", "C4", "C4 line and document rules"),
    "fineweb": ("antivenom.screen.quality.fineweb", "FineWeb", "FineWeb rules"),
    "perplexity": ("antivenom.screen.quality.ngram_lm", "NGramPerplexity", "perplexity under an n-gram model"),
    "dsir": ("antivenom.screen.quality.dsir", "DSIR", "log importance weight: target against raw texts"),
    "fasttext": ("antivenom.screen.quality.fasttext_file", "FastText", "probability of a label of a fastText file"),
    # words of a list of your own
    "words": ("antivenom.screen.filters.word_list", "WordList", "share of words that stand in your list"),
    # provenance
    "age": ("antivenom.screen.provenance.age", "Age", "year of writing: declared, byline, address, file name, crawl"),
    "domain": ("antivenom.screen.provenance.domain", "Domain", "registered domain, and your table's figure for it"),
    "topic": ("antivenom.screen.provenance.topic", "Topic", "topics of your own: multinomial model on hashed words"),
    "profile": ("antivenom.screen.provenance.profile", "Profile", "length, readability, type/token, personal data"),
}
"""name -> (module, class, what it does)."""

_REGISTRY = Registry("scorer", "--score", SCORERS)
get, parse, parse_all = _REGISTRY.get, _REGISTRY.parse, _REGISTRY.parse_all


def describe() -> list[dict[str, str]]:
    """Every scorer: `name`, `what` it does, and its `parameters` with their defaults."""
    found = []
    for name, (module, cls, what) in SCORERS.items():
        kind = getattr(importlib.import_module(module), cls)
        parameters = [
            f"{f.name}={f.default}" if f.default is not MISSING else f.name
            for f in fields(kind)
            if f.init and not f.name.startswith("_")
        ]
        found.append({"name": name, "what": what, "parameters": ", ".join(parameters)})
    return found
