"""Texts as TF-IDF rows with the three counts beside them (Sarker et al., section 3.5).

Weight of term t in text d, with c its count there, n training texts and df of them that hold t:
w = (1 + ln c) * (ln((1 + n) / (1 + df)) + 1), each row then divided by its Euclidean length. Terms, document frequencies and n
come from the rows given to `fit` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from antivenom.errors import AntivenomError
from antivenom.screen.toxicr.counted_terms import count_terms

__all__ = ["KEPT", "STOP_WORDS", "TextFeatures"]

PRONOUNS = """i me my myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it
its itself they them their theirs themselves this that these those which whom"""
AUXILIARIES = """am is are was were be been being have has had having do does did doing will would shall should can could may might
must ought"""
LINKS = """a an the and or if as of at by to from in on into between during through until off out once then than too very here
there all any both each few more other some such s t d m o re ve ll y ma"""
KEPT = frozenset(
    [
        "no",
        "nor",
        "not",
        "why",
        "how",
        "what",
        "who",
        "when",
        "where",
        "with",
        "for",
        "about",
        "against",
        "only",
        "same",
        "so",
        "just",
        "because",
        "while",
        "but",
        "before",
        "after",
        "above",
        "below",
        "up",
        "down",
        "over",
        "under",
        "again",
        "further",
        "own",
        "most",
    ]
)
"""Negations, question words and the like stay features: the paper takes them out of its stop list."""
STOP_WORDS = tuple(sorted(set(f"{PRONOUNS} {AUXILIARIES} {LINKS}".split()) - KEPT))
FILE = "features.json"
WORD = r"\S+"


@dataclass
class TextFeatures:
    """Word and character n-grams, weighted, and the counts.

    Args:
        word_high: longest word n-gram; 0: no words.
        char_low, char_high: character n-grams inside words, their borders included; 0: none.
        min_df: a term must be in that many training texts (copies count, as in the paper).
        max_df: and in at most that share of them.
        stop: leave the stop list out of the words.
        log_counts: ln(1 + count) for the counts; else raw, as in the paper.
    """

    word_high: int = 1
    char_low: int = 0
    char_high: int = 0
    min_df: int = 20
    max_df: float = 0.5
    stop: bool = True
    log_counts: bool = False

    def __post_init__(self) -> None:
        if self.min_df < 1 or not 0 < self.max_df <= 1:
            raise AntivenomError(
                f"min_df={self.min_df}, max_df={self.max_df}", "min_df is at least 1, max_df in (0, 1]"
            )
        if (self.word_high < 1 and self.char_high < 1) or (self.char_high and not 1 <= self.char_low <= self.char_high):
            raise AntivenomError(
                f"n-grams of 1-{self.word_high} words and {self.char_low}-{self.char_high} characters",
                "give word_high >= 1, or 1 <= char_low <= char_high",
            )
        self._parts: list[TfidfVectorizer] = []

    def _new(self) -> list[TfidfVectorizer]:
        same: dict[str, Any] = {"sublinear_tf": True, "min_df": self.min_df, "max_df": self.max_df, "lowercase": False}
        parts = []
        if self.word_high:
            stop = list(STOP_WORDS) if self.stop else None
            high = (1, self.word_high)
            parts.append(TfidfVectorizer(token_pattern=WORD, ngram_range=high, stop_words=stop, **same))
        if self.char_high:
            parts.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(self.char_low, self.char_high), **same))
        return parts

    def fit_transform(self, texts: Sequence[str], counts: np.ndarray) -> sparse.csr_matrix:
        """Learn terms and weights from these rows, and give their features.

        Raises:
            AntivenomError: when no term is left.
        """
        self._parts = self._new()
        try:
            blocks = [part.fit_transform(texts) for part in self._parts]
        except ValueError as error:
            raise AntivenomError(
                f"no term of the {len(texts)} training texts is in at least {self.min_df} of them"
                f" and in at most {self.max_df:.0%}",
                "give more texts, or a lower min_df",
            ) from error
        return self._with_counts(blocks, counts)

    def transform(self, texts: Sequence[str], counts: np.ndarray) -> sparse.csr_matrix:
        """Features of further texts: float64 (n, terms + 3)."""
        if not self._parts:
            raise AntivenomError("the vectorizer has learned no terms yet", "fit it first")
        return self._with_counts([_weighed(part, texts) for part in self._parts], counts)

    def _with_counts(self, blocks: list[Any], counts: np.ndarray) -> sparse.csr_matrix:
        dense = np.asarray(counts, np.float64).reshape(blocks[0].shape[0], 3)
        return sparse.csr_matrix(sparse.hstack([*blocks, np.log1p(dense) if self.log_counts else dense]))

    @property
    def names(self) -> list[str]:
        """What each column is: a term (character n-grams between bars), then the counts in angle brackets."""
        found = []
        for part in self._parts:
            bar = "|" if part.analyzer == "char_wb" else ""
            found += [f"{bar}{term}{bar}" for term in part.get_feature_names_out()]
        return [*found, "<profanity>", "<anger>", "<emoticon>"]

    def save(self, folder: Path) -> None:
        """`features.json`: settings, terms in column order, their idf."""
        parts = [{"terms": p.get_feature_names_out().tolist(), "idf": p.idf_.tolist()} for p in self._parts]
        (Path(folder) / FILE).write_bytes(orjson.dumps({"settings": vars(self) | {"_parts": None}, "parts": parts}))

    @classmethod
    def load(cls, folder: Path) -> "TextFeatures":
        """Read it back.

        Raises:
            AntivenomError: when the file is absent or damaged.
        """
        try:
            data = orjson.loads((Path(folder) / FILE).read_bytes())
            new = cls(**{key: value for key, value in data["settings"].items() if key != "_parts"})
            new._parts = new._new()
            if len(new._parts) != len(data["parts"]):
                raise ValueError("another number of vocabularies than its settings say")
            for part, kept in zip(new._parts, data["parts"]):
                part.set_params(vocabulary={term: at for at, term in enumerate(kept["terms"])})
                part.idf_ = np.array(kept["idf"], np.float64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AntivenomError(
                f"the features in {folder} cannot be read: {error}", "give a folder that 'antivenom toxicr train' wrote"
            ) from error
        return new


def _weighed(part: TfidfVectorizer, texts: Sequence[str]) -> Any:
    """`part.transform(texts)`, faster for characters."""
    if part.analyzer != "char_wb":
        return part.transform(texts)
    part._check_vocabulary()
    return part._tfidf.transform(count_terms(part, texts), copy=False)
