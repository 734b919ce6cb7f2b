"""A fastText model from a file: the probability of one of its labels.

Three ways in which such models are commonly misread, and are not here: a line end stops fastText's input, so line ends
become spaces (dropping them would glue words together); `__label__` inside a text would be taken for a label, so it is
removed; `predict` returns the top label alone, so all labels are asked for and the probability is that of the label wanted.
Joulin et al. 2016 (Bag of Tricks for Efficient Text Classification) is the model.

fastText's file format is read by the package's own C++ code: load files of people you trust.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError, MissingExtra
from antivenom.screen.scoring.scorer import Evidence, Identity, Orientation, Scores
from antivenom.screen.scoring.windows import Windows

__all__ = ["FastText"]

PREFIX = "__label__"
SOFTMAX = 0.01  # how far from 1 the sum of a softmax may be: fastText adds 1e-5 to each probability
MAGIC = (793712314).to_bytes(4, "little")


@dataclass(frozen=True)
class FastText:
    """P(label) under a fastText classifier.

    Args:
        model: `.bin` or `.ftz` file.
        label: whose probability is the score, with or without `__label__`.
        orientation: what a high probability of it means: `better`, `worse` or `neutral`.
        window: space-separated tokens per window; 0: the whole text.
        overlap: tokens shared by neighbouring windows.
        aggregate: of the windows of a text: `mean`, `max` or `share`.
    """

    model: str = ""
    label: str = ""
    orientation: str = "neutral"
    window: int = 0
    overlap: int = 0
    aggregate: str = "mean"

    name: ClassVar[str] = "fasttext"

    def __post_init__(self) -> None:
        if self.orientation not in ("better", "worse", "neutral"):
            mend = "choose from: better, worse, neutral"
            raise AntivenomError(f"there is no orientation '{self.orientation}'", mend)
        _ = self._windows

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "learned"}  # C++ does not travel

    @property
    def _windows(self) -> Windows:
        return Windows(self.window, self.overlap, self.aggregate)

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The most probable label of the whole text, or of its first window, and its probability."""
        return {"label": pa.string(), "confidence": pa.float32()}

    @cached_property
    def learned(self) -> Any:
        """The model, loaded once per process.

        Raises:
            AntivenomError: when it is missing or no fastText file, or has no such label.
        """
        mend = "give a fastText classifier with fasttext:model=FILE,label=NAME"
        path = Path(self.model)
        if not self.model or not path.is_file():
            raise AntivenomError(f"there is no fastText model '{self.model}'", mend)
        with path.open("rb") as file:
            if file.read(4) != MAGIC:  # a broken file can end the process inside the package's C++ code
                raise AntivenomError(f"'{self.model}' is no fastText file", mend)
        try:
            import fasttext
        except ImportError:
            raise MissingExtra("fasttext-predict", "embed", "a fastText model") from None
        try:
            model = fasttext.load_model(str(path))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise AntivenomError(f"'{self.model}' is no fastText file ({error})", mend) from None
        labels = sorted(predict(model, "a")[0])
        if self._label not in labels:
            what = f"'{self.model}' has no label '{self.label}'" if self.label else "fasttext needs a label"
            some = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
            raise AntivenomError(what, f"choose with fasttext:label=NAME from: {some}")
        return model

    @cached_property
    def weights(self) -> str:
        """Hash (32 hex digits) of the file."""
        with Path(self.model).open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

    @property
    def _label(self) -> str:
        return self.label.removeprefix(PREFIX)

    def identity(self) -> Identity:
        """The file's hash, the label and what it means."""
        _ = self.learned
        higher: Orientation = self.orientation  # pyright: ignore[reportAssignmentType]
        params = {"label": self._label, "orientation": self.orientation} | self._windows.record()
        return Identity(self.name, "1", self.weights, higher, params)

    def score(self, batch: Batch) -> Scores:
        """P(label); NaN for a text without anything but white space, or without one word the model knows how to read."""
        model = self.learned
        found, owner, tops = [], [], []
        for row, text in enumerate(batch.texts.to_pylist()):
            first: tuple[str | None, float | None] = (None, None)
            for at, (start, stop) in enumerate(self._windows.cut(text)):
                owner.append(row)
                clean = cleaned(text[start:stop])
                if not clean:
                    found.append(np.nan)
                    continue
                probabilities, _ = predict(model, clean)
                found.append(probabilities.get(self._label, np.nan))
                if at == 0 and probabilities:
                    first = max(probabilities.items(), key=lambda pair: pair[1])
            tops.append(first)
        values = self._windows.join(np.array(found, np.float64), np.array(owner, np.int64), len(batch))
        reasons = ["cannot score: nothing but white space" if np.isnan(value) else "" for value in values]
        columns = {
            name: pa.array([top[at] for top in tops], kind) for at, (name, kind) in enumerate(self.columns.items())
        }
        return Scores(values, reasons, columns)

    def explain(self, text: str) -> list[Evidence]:
        """The ten words whose absence changes the probability of the label most (at most 200 words are tried)."""
        words = Windows(1).cut(text)[:200]
        whole, _ = predict(self.learned, cleaned(text)) if cleaned(text) else ({}, 1.0)
        found = []
        for start, stop in words if whole and len(words) > 1 else ():
            rest = cleaned(text[:start] + " " + text[stop:])
            without = predict(self.learned, rest)[0] if rest else {}
            change = whole[self._label] - without.get(self._label, 0.0)
            found.append(Evidence(start, stop, float(change), text[start:stop]))
        return sorted((e for e in found if e.weight), key=lambda e: (-abs(e.weight), e.start))[:10]


def cleaned(text: str) -> str:
    """A text as fastText may read it: line ends and other white space are single spaces, no `__label__`, valid UTF-8.

    >>> cleaned("a\\n__label__b")
    'a b'
    """
    while PREFIX in text:  # removing one may make another
        text = text.replace(PREFIX, "")
    return " ".join(text.replace("\0", " ").split()).encode("utf-8", "replace").decode()


def predict(model: Any, text: str) -> tuple[dict[str, float], float]:
    """Probabilities of all labels, without their prefix, and their sum before it was made 1.

    They are made to sum to 1 unless the model's labels are independent of each other (one-vs-all: the sum is no 1).
    """
    labels, values = model.predict(text, k=-1, threshold=-1.0)  # one text a call: a list of texts ends the process
    total = float(sum(values))
    scale = total if abs(total - 1) < SOFTMAX else 1.0
    return {label.removeprefix(PREFIX): float(value) / scale for label, value in zip(labels, values)}, total
