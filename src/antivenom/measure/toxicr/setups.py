"""What is evaluated: one of ToxiCR's learners behind its preprocessing, or a scorer that learns nothing.

setup = Setup("svm", profanity=True, split=True)
model = setup.make(seed=0)
model.fit(texts, labels); model.predict_proba(more)"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.report.run_directory import fingerprint
from antivenom.screen.scoring.scorer import score_texts
from antivenom.screen.scoring.scorers import parse
from antivenom.screen.toxicr.algorithms import algorithm, build
from antivenom.screen.toxicr.estimator import ToxiCR

__all__ = ["STEPS", "Known", "Learner", "Setup", "Untrained"]

STEPS = tuple("/".join(letters) for letters in product("FT", repeat=3))
"""Profanity count / keyword removal / identifier splitting, off or on; the first is the base."""
SCORER = "scorer:"
Known = dict[str, dict[str, tuple[str, np.ndarray]]]
"""Steps -> raw text -> processed text and counts."""


@dataclass(frozen=True)
class Setup:
    """What is evaluated.

    Args:
        algorithm: one of `antivenom.screen.toxicr.algorithms.ALGORITHMS`, or `scorer:SPEC`: a scorer as after `--score`, which
            learns nothing from the folds (the packaged `toxicity`, a Hugging Face classifier, Perspective, ...).
        vectorizer: None: the algorithm's default.
        profanity, keyword, split: the optional steps; `anger`, `emoticon`: further counts.
        mode: `fixed` or `strict_paper`.
        lexicons: folder with word lists of your own.
        options: of the learner.
    """

    algorithm: str = "lr"
    vectorizer: str | None = None
    profanity: bool = True
    keyword: bool = False
    split: bool = False
    anger: bool = False
    emoticon: bool = False
    mode: str = "fixed"
    lexicons: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scorer(self) -> str:
        """The scorer's spec; "" for a learner."""
        return self.algorithm.removeprefix(SCORER) if self.algorithm.startswith(SCORER) else ""

    @property
    def steps(self) -> str:
        """The optional steps, as in the paper's tables."""
        return "/".join("FT"[on] for on in (self.profanity, self.keyword, self.split))

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.algorithm if self.scorer else f"{algorithm(self.algorithm).name} {self.steps}"

    def with_steps(self, steps: str) -> "Setup":
        """The same with other optional steps."""
        profanity, keyword, split = (letter == "T" for letter in steps.split("/"))
        return replace(self, profanity=profanity, keyword=keyword, split=split)

    def published(self) -> "Setup":
        """With the optional steps that the paper found best for the algorithm, where it has it."""
        best = None if self.scorer else algorithm(self.algorithm).published
        return self if best is None else replace(self, profanity=best[0], keyword=best[1], split=best[2])

    def record(self) -> dict[str, Any]:
        """As plain data."""
        said: dict[str, Any] = asdict(self) | {"options": dict(self.options)}
        return said | {"scorer": parse(self.scorer).identity().record()} if self.scorer else said

    def make(self, seed: int, known: Known | None = None) -> "Learner | Untrained":
        """A new, unfitted estimator; `known` keeps what preprocessing made of each text.

        Raises:
            AntivenomError: for an unknown algorithm, scorer or option, or a scorer whose higher score is not worse.
        """
        return Untrained(self.scorer) if self.scorer else Learner(self, seed, known)


class Untrained:
    """A scorer as an estimator: nothing is learned from the rows of a fold."""

    def __init__(self, spec: str):
        self.scorer = parse(spec)
        if self.scorer.identity().higher_is != "worse":
            raise AntivenomError(f"the scorer '{spec}' does not say how toxic a text is", "give a toxicity scorer")

    def fit(self, texts: Sequence[str], labels: Any) -> None:
        """Nothing."""

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """The scores, float64 (n,); NaN where a text cannot be scored."""
        return np.asarray(score_texts(self.scorer, texts).values, float)


class Learner:
    """A learner behind its preprocessing, fitted on the rows it is handed and nothing else.

    Preprocessing is a function of one text (it learns nothing from other rows), so what it made of a text is kept in `known`
    from fold to fold; terms, weights and calibration are learned afresh.
    """

    def __init__(self, setup: Setup, seed: int, known: Known | None = None):
        self.tool = ToxiCR(
            setup.algorithm,
            split_identifier=setup.split,
            remove_keywords=setup.keyword,
            count_profanity=setup.profanity,
            count_anger=setup.anger,
            count_emoticon=setup.emoticon,
            mode=setup.mode,
            lexicons=setup.lexicons,
        )
        kept = {} if known is None else known
        self.known = kept.setdefault(fingerprint(self.tool.preprocessing.record()), {})
        self.seed = seed
        self.model = build(setup.algorithm, setup.vectorizer, **setup.options)

    def fit(self, texts: Sequence[str], labels: Any) -> None:
        """Learn from raw texts and labels."""
        processed, counts = self.transform(texts)
        self.model.fit(processed, np.asarray(labels).tolist(), counts, seed=self.seed)

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """P(toxic), float64 (n,)."""
        return self.model.predict_proba(*self.transform(texts))

    def transform(self, texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """Processed texts, and counts (n, 3)."""
        new = list(dict.fromkeys(text for text in texts if text not in self.known))
        if new:
            made = zip(new, *self.tool.transform(new), strict=True)
            self.known.update((raw, (text, counts)) for raw, text, counts in made)
        rows = [self.known[text] for text in texts]
        return [text for text, _ in rows], np.array([counts for _, counts in rows]).reshape(len(rows), 3)
