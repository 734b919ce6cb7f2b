"""What is in a text, in figures: the feature profile of Longpre et al. 2023 (section 3 of the spec of A Pretrainer's Guide).

Length, readability, variety of words, non-ASCII share, personal data by kind. No figure is good or bad in itself, so the
scorer is neutral; `slices` puts many rows' profiles together by domain, year or filter bucket. Not built, and so no column:
sentiment (an honest one needs a model), names and postal addresses among the personal data. Toxicity, profanity and
sexual content have scorers of their own (`lexicon`, `toxicity`).
"""

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from antivenom.data.rows import Batch
from antivenom.data.words import text_buffers
from antivenom.errors import AntivenomError
from antivenom.screen.provenance.personal_data import KINDS, personal_data
from antivenom.screen.quality.characters import ALPHA, table
from antivenom.screen.quality.english import lookup
from antivenom.screen.quality.tokens import UNITS, decode, sentences, tokenize
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["MEASURES", "Profile"]

MEASURES: dict[str, pa.DataType] = {
    "characters": pa.int64(),
    "words": pa.int64(),
    "sentences": pa.int64(),
    "mean_word_length": pa.float64(),
    "reading_ease": pa.float64(),
    "type_token_ratio": pa.float64(),
    "non_ascii_share": pa.float64(),
    **{kind: pa.int64() for kind in KINDS},
}
"""The columns of a profile."""

LATIN_SHARE = 0.9


@dataclass(frozen=True)
class Profile:
    """Figures of a text; the score is its number of words.

    * `characters`, `words` (folded words, `antivenom.data.words`), `sentences` (a new one begins after . ? ! and their
      like in other scripts; a text with words and no such mark is one).
    * `mean_word_length` in folded letters.
    * `reading_ease`: Flesch 1948, 206.835 - 1.015 words / sentences - 84.6 syllables / words; higher is easier. Syllables of
      English are estimated: groups of vowels, without a silent final e. Missing where under 90 % of the letters are a-z.
    * `type_token_ratio`: different words among the FIRST `ttr_words` words, over `ttr_words`, because the ratio falls with
      length; missing for shorter texts.
    * `non_ascii_share` of the characters.
    * counts of personal data by form (see `personal_data`; names are not counted).

    Args:
        ttr_words: words the type/token ratio looks at.
    """

    ttr_words: int = 200
    name = "profile"

    def __post_init__(self) -> None:
        if self.ttr_words < 1:
            raise AntivenomError(f"profile with ttr_words={self.ttr_words}", "give 1 or more words")

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """See the class."""
        return dict(MEASURES)

    def identity(self) -> Identity:
        """Window: the whole text; for the type/token ratio its start."""
        return Identity(self.name, "1", "", "neutral", asdict(self) | {"window": 0})

    def score(self, batch: Batch) -> Scores:
        """The number of words; NaN for a text without any character."""
        words = batch.words
        n = len(batch)
        data, offsets = text_buffers(batch.texts)
        counts = np.zeros((n, 6), np.int64)
        _count(data, offsets, table(), *lookup(), UNITS, counts)
        characters, beyond, ends, syllables, latin, letters = counts.T
        totals = np.diff(words.row_offsets)
        length = np.concatenate([[0], np.cumsum(words.lengths, dtype=np.int64)])
        folded = length[words.row_offsets[1:]] - length[words.row_offsets[:-1]]
        ends = np.where((ends == 0) & (totals > 0), 1, np.where(totals > 0, ends, 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            ease = 206.835 - 1.015 * totals / ends - 84.6 * syllables / totals
            ease[(totals == 0) | (latin < LATIN_SHARE * letters) | (letters == 0)] = np.nan
            mean = folded / totals
            share = beyond / characters
        variety = np.full(n, np.nan)
        for row in np.flatnonzero(totals >= self.ttr_words).tolist():
            start = words.row_offsets[row]
            variety[row] = len(np.unique(words.hashes[start : start + self.ttr_words])) / self.ttr_words
        personal = {kind: np.zeros(n, np.int64) for kind in KINDS}
        for row, text in enumerate(batch.texts):
            for find in personal_data(text.as_py() or ""):
                personal[find.kind][row] += 1
        figures = {
            "characters": characters,
            "words": totals,
            "sentences": ends,
            "mean_word_length": mean,
            "reading_ease": ease,
            "type_token_ratio": variety,
            "non_ascii_share": share,
        } | personal
        values = np.where(characters > 0, totals, np.nan).astype(np.float32)
        reasons = [
            "" if words else "no letters or digits: 0 words" if size else "cannot score: empty text"
            for size, words in zip(characters.tolist(), totals.tolist())
        ]
        columns = {name: pa.array(figures[name], kind, from_pandas=True) for name, kind in MEASURES.items()}
        return Scores(values, reasons, columns)

    def explain(self, text: str) -> list[Evidence]:
        """The personal data, in order."""
        return [Evidence(start, stop, 1.0, kind) for start, stop, kind in personal_data(text)]


@njit(cache=True, nogil=True, inline="always")
def _low(point):
    return point + 32 if 0x41 <= point <= 0x5A else point


@njit(cache=True, nogil=True, inline="always")
def _vowel(point):
    return point == 0x61 or point == 0x65 or point == 0x69 or point == 0x6F or point == 0x75 or point == 0x79


@njit(cache=True, nogil=True)
def _syllables(points, a, b):
    """Syllables of one run of a-z: groups of vowels, without a silent final e; one at least."""
    found = 0
    inside = False
    for i in range(a, b):
        vowel = _vowel(_low(points[i]))
        if vowel and not inside:
            found += 1
        inside = vowel
    if b - a > 2 and _low(points[b - 1]) == 0x65 and not _vowel(_low(points[b - 2])):
        table_like = _low(points[b - 2]) == 0x6C and not _vowel(_low(points[b - 3]))  # "ta-ble"
        if not table_like:
            found -= 1
    return max(found, 1)


@njit(cache=True, nogil=True)
def _count(data, offsets, kinds, keys, parts, units, out):
    room = 0
    for r in range(len(offsets) - 1):
        room = max(room, offsets[r + 1] - offsets[r])
    points = np.empty(room + 1, np.uint32)
    flags = np.empty(room + 1, np.uint32)
    starts = np.empty(room + 2, np.int32)
    stops = np.empty(room + 2, np.int32)
    for r in range(len(offsets) - 1):
        n = decode(data, offsets[r], offsets[r + 1], kinds, points, flags)
        count = tokenize(points, flags, 0, n, starts, stops, keys, parts, units)
        beyond = syllables = latin = letters = 0
        begin = -1
        for i in range(n + 1):
            plain = i < n and 0x61 <= _low(points[i]) <= 0x7A
            if i < n:
                if points[i] > 127:
                    beyond += 1
                if flags[i] & ALPHA:
                    letters += 1
            if plain:
                latin += 1
                if begin < 0:
                    begin = i
            elif begin >= 0:
                syllables += _syllables(points, begin, i)
                begin = -1
        out[r, 0] = n
        out[r, 1] = beyond
        out[r, 2] = sentences(points, flags, starts, stops, 0, count)
        out[r, 3] = syllables
        out[r, 4] = latin
        out[r, 5] = letters
