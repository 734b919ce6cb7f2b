"""The detectors by the names users type: `ngram`, `ngram:n=8`, `bm25:k=10`, ..."""

from antivenom.screen.specs import Registry

__all__ = ["DETECTORS", "get", "parse", "parse_all"]

DETECTORS: dict[str, tuple[str, str, str]] = {
    "ngram": ("antivenom.screen.ngram", "NGram", "shares a run of n words with an item (default 13)"),
    "substring": ("antivenom.screen.substring", "Substring", "contains one of 3 random 50-character pieces of an item"),
    "near-duplicate": ("antivenom.screen.near_duplicate", "NearDuplicate", "MinHash: Jaccard of 5-word shingles >= .8"),
    "bm25": ("antivenom.screen.retrieval.bm25", "BM25", "the k best rows of the corpus for every item, by BM25"),
    "word-tfidf": ("antivenom.screen.retrieval.tfidf", "WordTfidf", "the k nearest rows by TF-IDF of words"),
    "char-tfidf": ("antivenom.screen.retrieval.tfidf", "CharTfidf", "the k nearest rows by TF-IDF of 3-5 characters"),
    "embedding": ("antivenom.screen.retrieval.embedding", "Embedding", "the k nearest rows by sentence embedding"),
}
"""name -> (module, class, what it does)."""

_REGISTRY = Registry("detector", "--detectors", DETECTORS)
get, parse, parse_all = _REGISTRY.get, _REGISTRY.parse, _REGISTRY.parse_all
