"""ToxiCR whole, shaped like a scikit-learn classifier: preprocessing, counts, vectorizer and learner behind `fit` and `predict`.

One transform serves fit and predict (trap T5). `score(texts)` gives probabilities, NaN for a text that cannot be scored.
"""

import hashlib
import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
from sklearn.base import BaseEstimator, ClassifierMixin

from antivenom.data.duplicates import duplicate_groups
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import atomic_json
from antivenom.screen.scoring.scorer import Evidence
from antivenom.screen.toxicr.algorithms import TextClassifier, algorithm, build
from antivenom.screen.toxicr.explanation import explain_by_absence
from antivenom.screen.toxicr.preprocessing import Preprocessing

__all__ = ["ToxiCR", "cannot_score"]

FORMAT = 1
RECORD = "model.json"
LATIN_ENDS = 0x250
LEAST_LATIN = 0.2
LONGEST_WORD = 200
DATA = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
"""Longer runs without white space are data, not words: they are cut out before the steps, whose time would grow with them."""


class ToxiCR(ClassifierMixin, BaseEstimator):
    """A trainable detector of toxic comments.

    Args:
        algorithm: a name of `algorithms.ALGORITHMS`, in any case: dt, rf, gbt, svm, lr, linear+, stack, cnn, lstm, bilstm, gru,
            bert, ...
        vectorizer: one that the algorithm can stand on; None: its default.
        split_identifier, remove_keywords: preprocessing steps 6 and 7.
        count_profanity, count_anger, count_emoticon: the counts beside the text.
        mode: `fixed`, or `strict_paper`: preprocessing with the official code's defects.
        threshold: toxic from this probability on; "f1": of the highest F1 on out-of-fold training rows (svm, linear+, stack).
        lexicons: folder with word lists of your own.
        options: further options of the learner (`min_df`, `class_weight`, `resample`, `trees`, `epochs`, `model`, ...).
        seed: of everything drawn at random.
    """

    def __init__(
        self,
        algorithm: str = "linear+",
        vectorizer: str | None = None,
        *,
        split_identifier: bool = False,
        remove_keywords: bool = False,
        count_profanity: bool = True,
        count_anger: bool = False,
        count_emoticon: bool = False,
        mode: str = "fixed",
        threshold: float | str = 0.5,
        lexicons: str = "",
        options: dict[str, Any] | None = None,
        seed: int = 0,
    ):
        self.algorithm = algorithm
        self.vectorizer = vectorizer
        self.split_identifier = split_identifier
        self.remove_keywords = remove_keywords
        self.count_profanity = count_profanity
        self.count_anger = count_anger
        self.count_emoticon = count_emoticon
        self.mode = mode
        self.threshold = threshold
        self.lexicons = lexicons
        self.options = options
        self.seed = seed

    @classmethod
    def published(cls, name: str, **further: Any) -> Self:
        """The configuration that the paper found best for an algorithm."""
        best = algorithm(name).published
        if best is None:
            raise AntivenomError(f"the paper has no configuration of '{name}'", "give the options yourself")
        profanity, keywords, split, vectorizer = best
        chosen: dict[str, Any] = {
            "vectorizer": vectorizer,
            "count_profanity": profanity,
            "remove_keywords": keywords,
            "split_identifier": split,
        }
        return cls(name, **(chosen | further))

    @property
    def preprocessing(self) -> Preprocessing:
        """The steps that the options ask for."""
        return Preprocessing(
            self.mode,
            split_identifier=self.split_identifier,
            remove_keywords=self.remove_keywords,
            count_profanity=self.count_profanity,
            count_anger=self.count_anger,
            count_emoticon=self.count_emoticon,
            lexicons=self.lexicons,
        )

    def transform(self, texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """What the learner is given, at fit and at predict alike: processed texts, and counts (n, 3)."""
        return self._steps(getattr(self, "preprocessing_", None) or self.preprocessing, texts)

    @staticmethod
    def _steps(steps: Preprocessing, texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
        return steps([_without_data(text) for text in _checked(texts)])

    def fit(self, X: Sequence[str], y: Sequence[int]) -> Self:
        """Learn from raw texts and labels (1 = toxic); copies stay in, as in the paper: `n_copies_` says how many rows they are.

        Raises:
            AntivenomError: for labels other than 0 and 1, too few rows, or options without meaning.
        """
        texts = _checked(X)
        if isinstance(self.threshold, str):
            if self.threshold != "f1":
                raise AntivenomError(f"the threshold '{self.threshold}'", "give a number from 0 to 1, or f1")
        elif not 0 <= self.threshold <= 1:
            raise AntivenomError(f"a threshold of {self.threshold}", "give a number from 0 to 1, or f1")
        steps = self.preprocessing
        processed, counts = self._steps(steps, texts)
        model = build(self.algorithm, self.vectorizer, **(self.options or {}))
        model.fit(processed, np.asarray(y).tolist(), counts, seed=self.seed)
        self.preprocessing_, self.model_ = steps, model
        self.threshold_ = self._threshold(model)
        self.classes_ = np.array([0, 1])
        self.n_rows_, self.n_copies_ = len(texts), len(texts) - int(duplicate_groups(texts).max() + 1)
        return self

    def _threshold(self, model: TextClassifier) -> float:
        if not isinstance(self.threshold, str):
            return float(self.threshold)
        tuned = getattr(model, "tuned_threshold", None)
        if tuned is None:
            raise AntivenomError(
                f"'{self.algorithm}' has no out-of-fold rows to find a threshold on",
                "give a number, or take the algorithm svm, linear+ or stack",
            )
        return float(tuned)

    def _probabilities(self, texts: Sequence[str]) -> np.ndarray:
        if not hasattr(self, "model_"):
            raise AntivenomError("this ToxiCR has learned nothing yet", "fit it, or ToxiCR.load(FOLDER)")
        return self.model_.predict_proba(*self.transform(texts))

    def predict_proba(self, X: Sequence[str]) -> np.ndarray:
        """Probabilities of not toxic and toxic, float64 (n, 2). A text without words gets what the learner says of none."""
        p = self._probabilities(X)
        return np.column_stack([1 - p, p])

    def predict(self, X: Sequence[str]) -> np.ndarray:
        """1 for every text whose probability is at least the threshold, else 0; int64 (n,)."""
        return (self._probabilities(X) >= self.threshold_).astype(np.int64)

    def score(self, X: Sequence[str], y: Sequence[int] | None = None, sample_weight: Any = None) -> Any:
        """P(toxic) of each text, NaN where it cannot be scored; float64 (n,). With labels: the accuracy, as scikit-learn has it."""
        if y is not None:
            return float(np.average(self.predict(X) == np.asarray(y), weights=sample_weight))
        p = self._probabilities(X)
        p[[bool(cannot_score(text)) for text in X]] = np.nan
        return p

    def explain(self, text: str) -> list[Evidence]:
        """Stretches of the raw text whose absence lowers (weight > 0) or raises the log odds of toxic, strongest first."""
        if cannot_score(text):
            return []
        steps = getattr(self, "preprocessing_", None) or self.preprocessing
        return explain_by_absence(text, self._probabilities, steps)

    @property
    def weights_hash(self) -> str:
        """Of everything that was saved in the model's folder, or would be: 32 hex digits."""
        if not hasattr(self, "hash_"):
            import tempfile

            with tempfile.TemporaryDirectory() as folder:
                self.save(folder)
        return self.hash_

    def save(self, folder: str | Path) -> None:
        """Write the model directory: `model.json`, and the learner's files beside it (skops, safetensors, JSON)."""
        if not hasattr(self, "model_"):
            raise AntivenomError("this ToxiCR has learned nothing yet", "fit it first")
        root = Path(folder)
        if (root / RECORD).exists():
            raise AntivenomError(f"{root} already holds a model", "give a new folder")
        (root / "learner").mkdir(parents=True, exist_ok=True)
        learner = self.model_.save(root / "learner")
        self.hash_ = _hash(root / "learner", learner)
        record = {
            "format": FORMAT,
            "params": self.get_params(),
            "preprocessing": self.preprocessing_.record(),
            "learner": learner,
            "threshold": self.threshold_,
            "rows": self.n_rows_,
            "copies": self.n_copies_,
            "hash": self.hash_,
        }
        atomic_json(root / RECORD, record)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model directory; nothing in it can run.

        Raises:
            AntivenomError: when it is absent, damaged, or its word lists are no longer those it was trained with.
        """
        root, mend = Path(folder), "give a folder that 'antivenom toxicr train' wrote"
        try:
            record = orjson.loads((root / RECORD).read_bytes())
            if record["format"] != FORMAT:
                raise AntivenomError(f"{root} holds a model of format {record['format']}", "train it again")
            new = cls(**record["params"])
            if record["hash"] != _hash(root / "learner", record["learner"]):
                raise AntivenomError(f"the files of {root} are not those its model.json was written for", mend)
            known = algorithm(new.algorithm)
            kind = getattr(importlib.import_module(known.module), known.cls)
            new.model_ = kind.load(root / "learner", record["learner"])
            new.preprocessing_ = new.preprocessing
            new.threshold_, new.hash_ = float(record["threshold"]), str(record["hash"])
            new.n_rows_, new.n_copies_ = int(record["rows"]), int(record["copies"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise AntivenomError(f"{root} holds no ToxiCR model that can be read: {error}", mend) from error
        if new.preprocessing_.record()["lists"] != record["preprocessing"]["lists"]:
            raise AntivenomError(
                f"{root} was trained with other word lists than those in use", "train it again, or give back its lists"
            )
        new.classes_ = np.array([0, 1])
        return new


def _hash(folder: Path, learner: dict[str, Any]) -> str:
    """BLAKE2b over names and bytes of the learner's files and its record, a skops file by what it holds."""
    digest = hashlib.blake2b(
        orjson.dumps(learner, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY), digest_size=16
    )
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"\0{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(_skops_content(path) if path.suffix == ".skops" else path.read_bytes())
    return digest.hexdigest()


def _skops_content(path: Path) -> bytes:
    """A skops file without what differs from one writing to the next: dates, and memory addresses as ids and names."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            sums = {member.filename: f"{member.CRC:08x}-{member.file_size}" for member in archive.infolist()}
            schema = orjson.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return path.read_bytes()

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: plain(v, k) for k, v in value.items() if k != "__id__"}
        if isinstance(value, list):
            return [plain(v) for v in value]
        return sums.get(value, value) if key == "file" else value

    return orjson.dumps(plain(schema), option=orjson.OPT_SORT_KEYS)


def _checked(texts: Any) -> list[str]:
    if isinstance(texts, str):
        raise AntivenomError("one text was given where a list is expected", "give a list of texts: [text]")
    found = list(texts)
    bad = next((i for i, text in enumerate(found) if not isinstance(text, str)), None)
    if bad is not None:
        kind = type(found[bad]).__name__
        raise AntivenomError(
            f"text {bad} is no text but of type {kind}", 'leave missing texts out, or read with "null" kept as a text'
        )
    return found


def _without_data(text: str) -> str:
    return DATA.sub(" ", text) if len(text) > LONGEST_WORD else text


def cannot_score(text: str) -> str:
    """Why a text cannot be scored, "" where it can: no letters, one letter, one endless word, or a script no learner has seen.

    >>> cannot_score("12 :-)"), cannot_score("fine")
    ('no words', '')
    """
    letters = latin = long = 0
    for word in text.split():
        here = sum(map(str.isalpha, word))
        letters += here
        if len(word) > LONGEST_WORD:
            long += here
        else:
            latin += here if word.isascii() else sum(c.isalpha() and ord(c) < LATIN_ENDS for c in word)
    if not letters:
        return "no words"
    if letters == 1:
        return "a single letter"
    if long >= 0.9 * letters:
        return f"no words, only runs of more than {LONGEST_WORD} characters"
    if latin < LEAST_LATIN * (letters - long) and _undisguised(text):
        return f"{latin / max(letters - long, 1):.0%} of its letters are Latin, the script the model has seen"
    return ""


def _undisguised(text: str) -> bool:
    """Whether no word is left when look-alike letters are put into Latin ones: a disguise in Cyrillic letters is scored."""
    return not any(ord(c) < LATIN_ENDS and c.isalpha() for c in Preprocessing(patterns=False).text(text[:10_000]))
