"""Our own best classical configurations: `linear+`, and `stack`, its mean with a random forest.

`linear+`: 1-2 words and 2-5 characters of words by TF-IDF, the counts by their logarithm, a linear SVM with balanced labels, and
Platt's sigmoid on grouped out-of-fold values. Characters read misspelled insults that no table lists; what they miss, the
paper's forest over words and counts often sees.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.screen.toxicr.calibration import Sigmoid, best_f1_threshold, out_of_fold
from antivenom.screen.toxicr.learners import Classical
from antivenom.screen.toxicr.neural import check_training_rows

__all__ = ["LinearPlus", "Stack"]


@dataclass
class LinearPlus(Classical):
    """A calibrated, balanced linear SVM on words and characters; see `Classical` for its options."""

    vectorizer: str = "ngrams"
    class_weight: str = "balanced"
    c: float = 0.2

    def __post_init__(self) -> None:
        """Whatever name it goes by, the learner behind it is the SVM."""
        self.algorithm = "svm"
        super().__post_init__()


@dataclass
class Stack:
    """Platt's sigmoid over the mean of `linear+`'s and a forest's log odds, fitted on grouped out-of-fold values.

    Args:
        algorithm, vectorizer: kept for the protocol.
        folds: of the out-of-fold values.
        trees: of the forest.
        min_df: of the forest's words.
        min_df_plus: of `linear+`'s terms.
        threads: of the forest.
    """

    algorithm: str = "stack"
    vectorizer: str = "ngrams"
    folds: int = 3
    trees: int = 100
    min_df: int = 20
    min_df_plus: int = 2
    threads: int = 1

    def __post_init__(self) -> None:
        self._parts: list[Classical] = []
        self._sigmoid = Sigmoid()
        self.tuned_threshold: float | None = None

    def _new(self) -> list[Classical]:
        forest = Classical("rf", min_df=self.min_df, trees=self.trees, threads=self.threads)
        return [LinearPlus("linear+", min_df=self.min_df_plus), forest]

    def _values(self, parts: list[Classical], texts: Sequence[str], counts: np.ndarray) -> np.ndarray:
        p = np.clip([part.predict_proba(texts, counts) for part in parts], 0.005, 0.995)
        return np.log(p / (1 - p)).mean(axis=0)

    def fit(self, texts: Sequence[str], labels: Sequence[int], counts: np.ndarray, *, seed: int) -> Self:
        """Both learners on all rows; the sigmoid on rows they had not seen."""
        y, counts = check_training_rows(texts, labels), np.asarray(counts)

        def decide(train: np.ndarray, held: np.ndarray) -> np.ndarray:
            given = [str(texts[i]) for i in train]
            parts = [part.fit(given, y[train].tolist(), counts[train], seed=seed) for part in self._new()]
            return self._values(parts, [str(texts[i]) for i in held], counts[held])

        values = out_of_fold(decide, texts, y, folds=self.folds, seed=seed)
        self._sigmoid = Sigmoid.fit(values, y)
        self.tuned_threshold = None if np.isnan(values).all() else best_f1_threshold(y, self._sigmoid(values))
        self._parts = [part.fit(texts, y.tolist(), counts, seed=seed) for part in self._new()]
        return self

    def predict_proba(self, texts: Sequence[str], counts: np.ndarray) -> np.ndarray:
        """Probability of toxic, float64 (n,)."""
        if not self._parts:
            raise AntivenomError("'stack' has learned nothing yet", "fit it, or load a trained model")
        return self._sigmoid(self._values(self._parts, texts, counts)) if len(texts) else np.zeros(0)

    def save(self, folder: Path) -> dict[str, Any]:
        """One folder per learner."""
        if not self._parts:
            raise AntivenomError("'stack' has learned nothing yet", "fit it first")
        records = []
        for number, part in enumerate(self._parts):
            (Path(folder) / str(number)).mkdir(exist_ok=True)
            records.append(part.save(Path(folder) / str(number)))
        own = {"options": asdict(self), "sigmoid": asdict(self._sigmoid), "tuned_threshold": self.tuned_threshold}
        return own | {"parts": records}

    @classmethod
    def load(cls, folder: Path, record: dict[str, Any]) -> Self:
        """Read it back."""
        try:
            new = cls(**record["options"])
            new._sigmoid, new.tuned_threshold = Sigmoid(**record["sigmoid"]), record.get("tuned_threshold")
            kinds = zip((LinearPlus, Classical), record["parts"], strict=True)
            new._parts = [kind.load(Path(folder) / str(at), part) for at, (kind, part) in enumerate(kinds)]
        except (KeyError, TypeError, ValueError) as error:
            raise AntivenomError(f"the model in {folder} cannot be read: {error}", "train it again") from error
        return new
