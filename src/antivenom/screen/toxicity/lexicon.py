"""Toxicity by a word list: s = 1 - prod over hits of (1 - weight of the listed word), exact.

Words are compared whole and folded (`antivenom.data.words`): `Scunthorpe` and `assassin` hold no listed word, a phrase is found
across line breaks and punctuation, and every hit counts - two in a row as well. A list knows its entries only as hashes, so a
packaged list shows nobody its words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch, batch_of
from antivenom.data.words import PRIME, SEED, CharSpans, WordTable, fold, hash_token, hash_words
from antivenom.errors import AntivenomError
from antivenom.screen.scoring.model_file import content_hash, read_model, write_model
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["Lexicon", "WordList", "learn_words", "packaged_words"]

KIND = "word list"
LONGEST_PHRASE = 10


@dataclass(frozen=True)
class WordList:
    """Words and phrases as hashes, with weights in (0, 1].

    Args:
        hashes: uint64, sorted: of a phrase's folded words together (`phrase_hash`).
        weights: float32, one each.
        lengths: int8, words of each.
        meta: how it was made.
    """

    hashes: np.ndarray
    weights: np.ndarray
    lengths: np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: dict[str, float], meta: dict[str, Any] | None = None) -> "WordList":
        """A list of words and phrases; spellings that fold to the same words keep the greatest weight."""
        best: dict[tuple[int, int], float] = {}
        for entry, weight in entries.items():
            tokens = fold(entry).split()
            if not 1 <= len(tokens) <= LONGEST_PHRASE:
                raise AntivenomError(
                    f"'{entry}' has {len(tokens)} words", f"list 1 to {LONGEST_PHRASE} words on a line"
                )
            if not 0 < weight <= 1:
                raise AntivenomError(f"the weight of '{entry}' is {weight}", "weights lie in (0, 1]")
            key = (_phrase_hash(tokens), len(tokens))
            best[key] = max(weight, best.get(key, 0.0))
        keys = sorted(best)
        hashes = np.array([h for h, _ in keys], np.uint64)
        lengths = np.array([n for _, n in keys], np.int8)
        return cls(hashes, np.array([best[k] for k in keys], np.float32), lengths, meta or {})

    @classmethod
    def read(cls, path: str | Path, weight: float = 0.5) -> "WordList":
        """A user's list: a word or phrase a line, its weight after a comma; `#` begins a comment. Or a saved list (.npz).

        Raises:
            AntivenomError: naming the file and line of what cannot be read.
        """
        if str(path).endswith(".npz"):
            header, arrays = read_model(path, KIND, ("hashes", "weights", "lengths"))
            sizes = {len(a) for a in arrays.values() if a.ndim == 1}
            good = len(sizes) == 1 and arrays["hashes"].dtype == np.uint64 and np.all(np.diff(arrays["hashes"]) > 0)
            if not good or not np.all((arrays["weights"] > 0) & (arrays["weights"] <= 1)):
                raise AntivenomError(f"'{path}' is no {KIND}", "give a file that WordList.save wrote")
            return cls(arrays["hashes"], arrays["weights"], arrays["lengths"], header.get("meta", {}))
        try:
            lines = Path(path).read_text("utf-8").splitlines()
        except FileNotFoundError:
            raise AntivenomError(f"there is no word list '{path}'", "name a file with one word a line") from None
        except (OSError, UnicodeDecodeError) as error:
            raise AntivenomError(f"cannot read the word list '{path}' ({error})", "give UTF-8 text") from None
        entries: dict[str, float] = {}
        for number, line in enumerate(lines, 1):
            entry, comma, rest = line.split("#")[0].partition(",")
            if not entry.strip():
                continue
            try:
                value = float(rest) if comma else weight
                cls.of({entry: value})
            except (ValueError, AntivenomError) as error:
                raise AntivenomError(f"{path}, line {number}: {error}", "write word,weight") from None
            entries[entry] = max(value, entries.get(entry, 0.0))
        if not entries:
            raise AntivenomError(f"the word list '{path}' is empty", "write one word or phrase a line")
        return cls.of(entries)

    def save(self, path: str | Path) -> None:
        """Write the hashes and weights."""
        arrays = {"hashes": self.hashes, "weights": self.weights, "lengths": self.lengths}
        write_model(path, KIND, {"meta": self.meta}, arrays)

    @cached_property
    def content_hash(self) -> str:
        """Hash (32 hex digits) of what determines a score."""
        return content_hash({}, {"hashes": self.hashes, "weights": self.weights, "lengths": self.lengths})

    @cached_property
    def words(self) -> np.ndarray:
        """The `hash_token` values of the entries of one word, sorted."""
        return np.sort(_undo_one(self.hashes[self.lengths == 1]))

    def hits(self, table: WordTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every place where an entry stands: (first word in the table, words, number of the entry), in order of place."""
        places, sizes, entries = [], [], []
        n = len(table.hashes)
        row_end = np.repeat(table.row_offsets[1:], np.diff(table.row_offsets))
        rolled = np.full(n, SEED, np.uint64)
        for length in range(1, int(self.lengths.max(initial=0)) + 1):
            left = n - length + 1
            if left <= 0:
                break
            rolled = (rolled[:left] ^ table.hashes[length - 1 :]) * PRIME
            mine = np.flatnonzero(self.lengths == length)
            if not len(mine):
                continue
            at = np.minimum(np.searchsorted(self.hashes[mine], rolled), len(mine) - 1)
            found = np.flatnonzero((self.hashes[mine][at] == rolled) & (np.arange(left) + length <= row_end[:left]))
            places.append(found)
            sizes.append(np.full(len(found), length))
            entries.append(mine[at[found]])
        if not places:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
        place, size, entry = (np.concatenate(parts) for parts in (places, sizes, entries))
        order = np.lexsort((size, place))
        return place[order], size[order], entry[order]


def _phrase_hash(tokens: Sequence[str]) -> int:
    value = int(SEED)
    for token in tokens:
        value = ((value ^ hash_token(token)) * int(PRIME)) & 0xFFFFFFFFFFFFFFFF
    return value


def _undo_one(hashes: np.ndarray) -> np.ndarray:
    """The word hash inside the phrase hash of one word: PRIME is odd, so multiplying by it can be undone."""
    inverse = np.uint64(pow(int(PRIME), -1, 1 << 64))
    return (hashes * inverse) ^ SEED


def learn_words(
    texts: Sequence[str],
    labels: Sequence[int],
    *,
    least: float = 0.9,
    documents: int = 12,
    letters: int = 3,
    weights: np.ndarray | None = None,
) -> WordList:
    """Words that mark a text as toxic, with P(toxic | word) at equal priors as their weight.

    P = a / (a + b), a and b the shares of the toxic and of the other texts that hold the word, one text added to each count.

    Args:
        texts, labels: 1 = toxic.
        least: P from which a word is listed.
        documents: toxic texts a word must occur in.
        letters: shortest word.
        weights: of the texts.
    """
    y = np.asarray(labels)
    importance = np.ones(len(y)) if weights is None else np.asarray(weights, float)
    table = hash_words(pa.array(list(texts), pa.large_string()))
    owner = np.repeat(np.arange(len(texts)), np.diff(table.row_offsets))
    long = table.lengths >= letters
    pairs = np.unique(np.stack([table.hashes[long], owner[long].astype(np.uint64)]), axis=1)
    words, which = np.unique(pairs[0], return_inverse=True)
    rows = pairs[1].astype(np.int64)
    toxic, other = (np.bincount(which, importance[rows] * (y[rows] == value), len(words)) for value in (1, 0))
    seen = np.bincount(which, y[rows] == 1, len(words))
    a, b = ((n + 1) / (importance[y == value].sum() + 2) for n, value in ((toxic, 1), (other, 0)))
    share = a / (a + b)
    kept = (share >= least) & (seen >= documents)
    hashes = (words[kept] ^ SEED) * PRIME
    order = np.argsort(hashes)
    meta = {"least": least, "documents": documents, "words": int(kept.sum())}
    return WordList(hashes[order], share[kept][order].astype(np.float32), np.ones(len(order), np.int8), meta)


@cache
def packaged_words() -> WordList:
    """The packaged list: `learn_words` on the training texts of the default model (see docs/model-card-toxicity.md)."""
    return WordList.read(str(files("antivenom.screen") / "weights" / "toxicity_words.npz"))


@dataclass(frozen=True)
class Lexicon:
    """s = 1 - prod(1 - weight) over the hits of a word list; a higher score is worse.

    Args:
        words: file with `word[,weight]` lines, or a saved list; "": the packaged list.
        weight: of a word listed without one.
    """

    words: str = ""
    weight: float = 0.5

    name = "lexicon"

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise AntivenomError(f"lexicon with weight={self.weight}", "weights lie in (0, 1]")

    @cached_property
    def listed(self) -> WordList:
        """The list."""
        return WordList.read(self.words, self.weight) if self.words else packaged_words()

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """`hits`: number of hits; `ratio`: share of the words that are in one."""
        return {"hits": pa.int32(), "ratio": pa.float32()}

    def identity(self) -> Identity:
        """By the content of the list."""
        params = {"entries": len(self.listed.hashes), "window": 0, "aggregate": "1 - prod(1 - weight)"}
        return Identity(self.name, "1", self.listed.content_hash, "worse", params)

    def score(self, batch: Batch) -> Scores:
        """The score, hits and ratio; NaN for a text without words."""
        table, n = batch.words, len(batch)
        place, size, entry = self.listed.hits(table)
        row = np.searchsorted(table.row_offsets, place, side="right") - 1
        logs = np.zeros(n)
        with np.errstate(divide="ignore"):
            np.add.at(logs, row, np.log1p(-self.listed.weights[entry].astype(np.float64)))
        n_words = np.diff(table.row_offsets)
        values = np.where(n_words > 0, -np.expm1(logs) + 0.0, np.nan).astype(np.float32)
        hits = np.bincount(row, minlength=n)
        covered = np.zeros(len(table.hashes) + 1, np.int64)
        np.add.at(covered, place, 1)
        np.add.at(covered, place + size, -1)
        inside = np.concatenate([[0], np.cumsum(np.cumsum(covered[:-1]) > 0)])
        ratio = (inside[table.row_offsets[1:]] - inside[table.row_offsets[:-1]]) / np.maximum(n_words, 1)
        reasons = [
            (f"{k} hits in {w} words" if k != 1 else f"1 hit in {w} words") if w else "cannot score: no words"
            for k, w in zip(hits.tolist(), n_words.tolist())
        ]
        missing = n_words == 0
        columns = {
            "hits": pa.array(hits.astype(np.int32), mask=missing),
            "ratio": pa.array(ratio.astype(np.float32), mask=missing),
        }
        return Scores(values, reasons, columns)

    def explain(self, text: str) -> list[Evidence]:
        """Every hit with its weight, the heaviest first."""
        batch = batch_of([text])
        spans = CharSpans(batch.texts, batch.words)
        found = []
        for place, size, entry in zip(*(part.tolist() for part in self.listed.hits(batch.words))):
            start, stop = spans(0, place, place + size - 1)
            found.append(Evidence(start, stop, float(self.listed.weights[entry]), "listed"))
        return sorted(found, key=lambda e: (-e.weight, e.start))
