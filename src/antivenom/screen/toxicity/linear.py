"""Toxicity by a hashed linear model: windows of a text, disguised words undone, and why.

A row is scored as it stands and, where it holds disguised words, once more with these written plainly; the greater score counts, and the
reason says so. Long rows are scored in windows, put together by a stated policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch, batch_of
from antivenom.data.words import text_buffers
from antivenom.screen.scoring.byte_bits import byte_bits
from antivenom.screen.scoring.fit_distinct import fit_distinct
from antivenom.screen.scoring.hashed_features import LONGEST_WORD
from antivenom.screen.scoring.hashed_linear import HashedLinear
from antivenom.screen.scoring.labelled import require_model
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores
from antivenom.screen.scoring.window_units import CutWindows, cut_windows
from antivenom.screen.scoring.windows import Windows
from antivenom.screen.scoring.word_sums import ScannedWords, scan_words, window_sums
from antivenom.screen.toxicity.lexicon import WordList, learn_words
from antivenom.screen.toxicity.obfuscation import disguise_table, find_disguised, undo
from antivenom.screen.toxicity.second_reading import second_reading

__all__ = ["ToxicityLinear", "explain_windows", "score_windows"]

LEAST_KNOWN = 0.2
MOSTLY_KNOWN = 0.8
STRONGEST = 10
COLUMNS = {"windows": pa.int32(), "disguised": pa.int32()}


@dataclass(frozen=True)
class ToxicityLinear:
    """P(toxic) under your own model: `toxicity-linear:model=FILE`.

    Args:
        model: file written by `save` (scripts/train_toxicity.py writes one).
        words: word list whose disguised spellings are undone (`WordList`); "": nothing is undone.
        window: space-separated tokens per window; 0: the whole text.
        overlap: tokens shared by neighbouring windows.
        aggregate: of the windows of a text: `max`, `mean` or `share` (of windows at `share_threshold` or more).
        share_threshold: for `share`.
        bits, word_ngrams, char_low, char_high, l2: for `fit`; see `HashedLinear`.
    """

    model: str = ""
    words: str = ""
    window: int = 200
    overlap: int = 20
    aggregate: str = "max"
    share_threshold: float = 0.5
    bits: int = 18
    word_ngrams: int = 2
    char_low: int = 4
    char_high: int = 5
    l2: float = 3e-6

    name = "toxicity-linear"
    frees_python = True

    def __post_init__(self) -> None:
        _ = self.windows

    @property
    def windows(self) -> Windows:
        """How long rows are cut."""
        return Windows(self.window, self.overlap if self.window else 0, self.aggregate, self.share_threshold)

    @cached_property
    def learned(self) -> HashedLinear:
        """The classifier: of `fit`, else from the model file."""
        return HashedLinear.load(require_model(self.model, self.name, "train one: scripts/train_toxicity.py"))

    @cached_property
    def disguises(self) -> WordList | None:
        """The words whose disguises are undone."""
        return WordList.read(self.words) if self.words else None

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """`windows`: how many; `disguised`: disguised words that were undone."""
        return COLUMNS

    def fit(
        self, texts: Sequence[str], labels: Sequence[int], *, seed: int = 0, evaluation: Sequence[str] | None = None
    ) -> "ToxicityLinear":
        """Learn from texts with label 1 for toxic, copies counted once, and list the words that mark them.

        Args:
            texts, labels: rows.
            seed: of the calibration folds.
            evaluation: texts a score will be taken on; refused when one of them is in `texts`.

        Raises:
            AntivenomError: when a class is missing or evaluation texts are among the training texts.
        """
        learned, kept, y = fit_distinct(self, texts, labels, evaluation, seed)
        fitted = replace(self, model="", words="")
        vars(fitted)["learned"] = learned
        vars(fitted)["disguises"] = learn_words(kept, y.tolist())
        return fitted

    def save(self, path: str | Path, words: str | Path | None = None) -> None:
        """Write the model file, and the word list to a second one."""
        self.learned.save(path)
        if words is not None and self.disguises is not None:
            self.disguises.save(words)

    def identity(self) -> Identity:
        """Model, word list and windows."""
        listed = self.disguises.content_hash if self.disguises else ""
        params = self.windows.record() | {"words": listed}
        return Identity(self.name, "1", self.learned.weights_hash, "worse", params)

    def score(self, batch: Batch) -> Scores:
        """P(toxic) of every row; see `score_windows`."""
        return score_windows(self.learned, self.disguises, self.windows, batch)

    def explain(self, text: str) -> list[Evidence]:
        """The words that raise the score of the most toxic window; see `explain_windows`."""
        return explain_windows(self.learned, self.disguises, self.windows, text)


def score_windows(model: HashedLinear, listed: WordList | None, windows: Windows, batch: Batch) -> Scores:
    """P(toxic) of rows; NaN, with the reason, where the model cannot say anything.

    Cannot be scored: rows without letters or with a single one, rows that are runs of more than 48 letters (base64), and rows
    fewer than a fifth of whose letters are Latin, the only script such a model was trained on.
    """
    texts, n = batch.texts, len(batch)
    data, offsets = text_buffers(texts)
    lanes = byte_bits(data, offsets, disguise_table())
    words, cut, p = _window_scores(model, windows, texts, lanes)
    values = windows.join(p, cut.owner, n)
    total, run, size = words.letters, words.run, words.size
    known = words.latin / np.maximum(total, 1)
    n_windows = np.bincount(cut.owner, minlength=n)

    undone = np.zeros(n, np.int64)
    if listed is not None and len(found := find_disguised(texts, listed.words, lanes)):
        undone = np.bincount(found.row, minlength=n)
        rows, plain = second_reading(texts, found, cut, lanes, windows.aggregate == "max")
        again = byte_bits(*text_buffers(plain), disguise_table())
        _, second, p = _window_scores(model, windows, plain, again)
        np.fmax.at(values, rows, windows.join(p, second.owner, len(rows)))

    reasons = [""] * n
    for row in np.flatnonzero(
        (total < 2) | (known < MOSTLY_KNOWN) | (run > 0) | (undone > 0) | (n_windows > 1)
    ).tolist():
        cannot = ""
        if total[row] < 2:
            cannot = ("no letters", "a single letter")[int(total[row])]
        elif run[row] >= 0.9 * size[row]:
            cannot = f"no words, only runs of more than {LONGEST_WORD} letters"
        elif known[row] < LEAST_KNOWN and not undone[row]:
            cannot = f"{known[row]:.0%} of its letters are Latin, the script the model has seen"
        if cannot:
            values[row] = np.nan
            reasons[row] = f"cannot score: {cannot}"
            continue
        parts = []
        if n_windows[row] > 1:
            parts.append(f"{windows.aggregate} of {n_windows[row]} windows")
        if undone[row]:
            parts.append(f"greater of two readings, with {undone[row]} disguised words undone")
        if known[row] < MOSTLY_KNOWN:
            parts.append(f"judged on the {known[row]:.0%} of its letters that are Latin")
        reasons[row] = "; ".join(parts)
    columns = {"windows": pa.array(n_windows.astype(np.int32)), "disguised": pa.array(undone.astype(np.int32))}
    return Scores(values, reasons, columns)


def explain_windows(model: HashedLinear, listed: WordList | None, windows: Windows, text: str) -> list[Evidence]:
    """The words that raise the score of the most toxic window, the strongest first; weights are in logits.

    Disguised words come first of all, with what they stand for and what the plain word alone would add.
    """
    if np.isnan(score_windows(model, listed, windows, batch_of([text])).values[0]):
        return []
    spans = windows.cut(text)
    pieces = pa.array([text[a:b] for a, b in spans], pa.large_string())
    start, stop = spans[int(np.argmax(model.score(pieces)))]
    shares = [Evidence(start + a, start + b, w) for a, b, w in model.contributions(text[start:stop]) if w > 0]
    shares = sorted(shares, key=lambda e: (-e.weight, e.start))[:STRONGEST]
    hidden = []
    for place in undo(text, listed.words)[1] if listed is not None and len(listed.words) else ():
        weight = sum(w for *_, w in model.contributions(place.word))
        hidden.append(Evidence(place.start, place.stop, weight, f"disguised: {place.word}"))
    return hidden[:STRONGEST] + shares


def _window_scores(
    model: HashedLinear, windows: Windows, texts: pa.LargeStringArray, lanes: np.ndarray
) -> tuple[ScannedWords, CutWindows, np.ndarray]:
    """The words of a column, its windows, and P(toxic) of every window (NaN for one without words)."""
    words = scan_words(texts, model.weights, model.char_ngrams, lanes)
    cut = cut_windows(texts, words.table, windows, lanes)
    p = model.probability(model.logits_of(*window_sums(words, cut.first, cut.last, model.weights, model.word_ngrams)))
    p[cut.first == cut.last] = np.nan
    return words, cut, p
