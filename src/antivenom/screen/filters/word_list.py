"""Word list: which listed words and phrases stand in a row, how often, and what share of its words they are.

Words are cut and folded as everywhere in the house, so a listed word matches whole words only ("assassin" holds none), and a
phrase matches across line breaks, punctuation and case. Every occurrence counts, two in a row as two (a pattern that eats the
separator misses the second). Any match: the C4 word filter (Raffel et al. 2020, section 2.2); ratio: Data-Juicer's.

    score = words covered by a listed word or phrase / words of the row
    hits  = occurrences
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numba import njit

from antivenom.data.rows import Batch, batch_of
from antivenom.data.words import CharSpans, WordTable, fold, hash_token
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import fingerprint
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["WordList"]

VERSION = "1"


@dataclass(frozen=True)
class WordList:
    """Scores rows by the words of a list.

    Args:
        file: one word or phrase a line; empty lines and lines that begin with `#` are passed over.
    """

    file: str = ""

    name = "words"

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Occurrences of listed words."""
        return {"hits": pa.int32()}

    @cached_property
    def phrases(self) -> list[tuple[str, ...]]:
        """The entries, folded, each once, sorted.

        Raises:
            AntivenomError: when the file is not there, is no UTF-8, or lists nothing.
        """
        if not self.file:
            raise AntivenomError("a word list needs its file", "--filter words:file=LIST.txt")
        try:
            lines = Path(self.file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise AntivenomError(
                f"the word list '{self.file}' cannot be read: {why}", "give a UTF-8 text file"
            ) from None
        found = {tuple(fold(line).split()) for line in lines if not line.lstrip().startswith("#")} - {()}
        if not found:
            raise AntivenomError(f"the word list '{self.file}' lists no word", "write one word or phrase a line")
        return sorted(found)

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Phrases as hashes, in the order of their first word's hash: (first words, where each begins, all words)."""
        hashed = sorted([hash_token(word) for word in phrase] for phrase in self.phrases)
        firsts = np.array([phrase[0] for phrase in hashed], np.uint64)
        starts = np.cumsum([0, *map(len, hashed)]).astype(np.int64)
        return firsts, starts, np.array([word for phrase in hashed for word in phrase], np.uint64)

    def identity(self) -> Identity:
        """The list's content makes the score, wherever the file lies."""
        return Identity(self.name, VERSION, fingerprint(self.phrases), "worse", {"entries": len(self.phrases)})

    def score(self, batch: Batch) -> Scores:
        """Share of covered words; a row without words cannot be scored."""
        words = batch.words
        n_words = np.diff(words.row_offsets)
        rows, _, lengths, covered = self._find(words)
        hits = np.bincount(rows, minlength=len(batch)).astype(np.int32)
        del lengths
        with np.errstate(invalid="ignore", divide="ignore"):
            values = (covered / n_words).astype(np.float32)
        reasons = [
            "" if k else f"none of its {w} words is listed" if w else "cannot score: no words"
            for k, w in zip(hits.tolist(), n_words.tolist())
        ]
        return Scores(values, reasons, {"hits": pa.array(hits)})

    def explain(self, text: str) -> list[Evidence]:
        """Every occurrence, each adding its share of the row's words."""
        batch = batch_of([text])
        words = batch.words
        total = max(1, int(words.row_offsets[-1]))
        spans = CharSpans(batch.texts, words)
        rows, firsts, lengths, _ = self._find(words)
        found = []
        for row, first, length in zip(rows.tolist(), firsts.tolist(), lengths.tolist()):
            start, stop = spans(row, first, first + length - 1)
            found.append(Evidence(start, stop, length / total, fold(text[start:stop])))
        return sorted(found, key=lambda e: (-e.weight, e.start))

    def _find(self, words: WordTable) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(row, first word in the row, words) of every occurrence, and the number of covered words per row."""
        covered = np.zeros(len(words.row_offsets) - 1, np.int64)
        size = 1024
        while True:
            out = np.empty((3, size), np.int64)
            n = _match(words.hashes, words.row_offsets, *self._table, out, covered)
            if n <= size:
                return out[0, :n], out[1, :n], out[2, :n], covered
            size = n


@njit(cache=True)
def _match(hashes, row_offsets, firsts, starts, phrases, out, covered):  # pragma: no cover - compiled
    """Write occurrences into `out` as far as it has room; returns how many there are."""
    n = 0
    for row in range(len(row_offsets) - 1):
        end = row_offsets[row + 1]
        reach = row_offsets[row]  # words before here are covered already
        covered[row] = 0
        for at in range(row_offsets[row], end):
            p = np.searchsorted(firsts, hashes[at])
            while p < len(firsts) and firsts[p] == hashes[at]:
                length = starts[p + 1] - starts[p]
                same = at + length <= end
                for k in range(1, length):
                    if not same:
                        break
                    same = hashes[at + k] == phrases[starts[p] + k]
                if same:
                    if n < out.shape[1]:
                        out[0, n] = row
                        out[1, n] = at - row_offsets[row]
                        out[2, n] = length
                    n += 1
                    stop = at + length
                    if stop > reach:
                        covered[row] += stop - max(reach, at)
                        reach = stop
                p += 1
    return n
