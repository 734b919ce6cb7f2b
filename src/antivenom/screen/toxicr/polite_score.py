"""A learner of the shape of STRUDEL: how toxic another scorer calls a comment, and how politely it is put; nothing else.

    x = [logit of the score, whether there is one, ln(1 + uses) of each politeness marker, ln(1 + words)]
    P(toxic) = sigmoid(w . (x - mean) / deviation + b),  classes weighted evenly

The markers are those of Danescu-Niculescu-Mizil et al. (2013) in short lists of our own. STRUDEL itself (Raman et al. 2020) asks
Perspective and the Stanford politeness classifier; here any scorer of the house can be asked, the packaged one by default.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.linear_model import LogisticRegression

from antivenom.errors import AntivenomError
from antivenom.screen.scoring.scorer import score_texts
from antivenom.screen.scoring.scorers import parse
from antivenom.screen.toxicr.neural import check_training_rows

__all__ = ["MARKERS", "PoliteScore", "politeness"]

MARKERS = {
    name: re.compile(form)
    for name, form in {
        "gratitude": r"\b(?:thanks?|thank you|thx|appreciate[ds]?|grateful)\b",
        "deference": r"\b(?:nice|good|great|excellent|interesting|awesome|impressive) (?:work|job|catch|point|idea|find|one|question|fix)\b",
        "greeting": r"^(?:hi|hello|hey)\b",
        "apology": r"\b(?:sorry|apolog\w+|my bad|excuse me|forgive me|oops)\b",
        "please": r"\S\s+(?:please|pls)\b",
        "please first": r"^(?:please|pls)\b",
        "by the way": r"\b(?:btw|by the way|fyi)\b",
        "question first": r"^(?:what|why|who|how|where|when|which)\b",
        "start that presses": r"^(?:so|then|and|but|or|well|again)\b",
        "could you": r"\b(?:could|would|might) (?:you|we|it|this)\b",
        "can you": r"\b(?:can|will) (?:you|we|it|this)\b",
        "i first": r"^i\b",
        "we": r"\b(?:we|our|us|ours)\b",
        "i": r"\S\s+(?:i|my|mine|me)\b",
        "you first": r"^(?:you|your|yours)\b",
        "you": r"\S\s+(?:you|your|yours|yourself)\b",
        "hedge": r"\b(?:maybe|perhaps|probably|possibly|think|thought|guess|suggest|seems?|seemed|likely|somewhat|wonder\w*|might|imo|imho)\b",
        "fact": r"\b(?:really|actually|honestly|surely|in fact|obviously|clearly|of course)\b",
        "agreement": r"\b(?:agree[ds]?|right|sure|ok|okay|done|fixed|lgtm|sounds good|makes sense)\b",
        "negation": r"\b(?:not|no|never|none|nothing|nobody)\b",
    }.items()
}
"""Marker -> what it looks like in a preprocessed (lower-case, plain) comment."""


def politeness(text: str) -> np.ndarray:
    """How often each of `MARKERS` is used, float64 (markers,).

    >>> dict(zip(MARKERS, politeness("thanks could you please rename this")))["gratitude"]
    1.0
    """
    return np.array([len(pattern.findall(text)) for pattern in MARKERS.values()], np.float64)


@dataclass
class PoliteScore:
    """See the module.

    Args:
        algorithm, vectorizer: kept for the protocol.
        scorer: asked for the toxicity of a comment, as after `--score`.
        c: inverse strength of the penalty.
    """

    algorithm: str = "polite-score"
    vectorizer: str = "none"
    scorer: str = "toxicity"
    c: float = 1.0

    def __post_init__(self) -> None:
        self._scorer = parse(self.scorer)
        if self._scorer.identity().higher_is != "worse":
            raise AntivenomError(
                f"the scorer '{self.scorer}' does not say how toxic a text is", "give a toxicity scorer"
            )
        self._weights = self._mean = self._deviation = np.zeros(0)
        self._bias = 0.0

    def features(self, texts: Sequence[str]) -> np.ndarray:
        """float64 (n, markers + 3)."""
        p = np.asarray(score_texts(self._scorer, texts).values, np.float64)
        there = ~np.isnan(p)
        clipped = np.clip(np.where(there, p, 0.5), 0.001, 0.999)
        polite = np.array([politeness(text) for text in texts]).reshape(len(texts), len(MARKERS))
        words = np.array([[len(text.split())] for text in texts], np.float64).reshape(len(texts), 1)
        return np.hstack(
            [np.log(clipped / (1 - clipped))[:, None], there[:, None], np.log1p(np.hstack([polite, words]))]
        )

    def fit(self, texts: Sequence[str], labels: Sequence[int], counts: np.ndarray, *, seed: int) -> Self:
        """Learn the weights from these rows; the scorer learns nothing."""
        y, x = check_training_rows(texts, labels), self.features(texts)
        self._mean, spread = x.mean(axis=0), x.std(axis=0)
        self._deviation = np.where(spread > 0, spread, 1.0)
        model = LogisticRegression(C=self.c, class_weight="balanced", max_iter=1_000)
        model.fit((x - self._mean) / self._deviation, y)
        self._weights, self._bias = np.asarray(model.coef_)[0], float(np.asarray(model.intercept_)[0])
        return self

    def predict_proba(self, texts: Sequence[str], counts: np.ndarray) -> np.ndarray:
        """Probability of toxic at equal classes, float64 (n,)."""
        if not len(self._weights):
            raise AntivenomError(f"'{self.algorithm}' has learned nothing yet", "fit it, or load a trained model")
        if not len(texts):
            return np.zeros(0)
        z = (self.features(texts) - self._mean) / self._deviation @ self._weights + self._bias
        return 1 / (1 + np.exp(-z))

    def save(self, folder: Path) -> dict[str, Any]:
        """Nothing but the record: weights, and who was asked."""
        learned = {"weights": self._weights.tolist(), "bias": self._bias}
        learned |= {"mean": self._mean.tolist(), "deviation": self._deviation.tolist()}
        return {"options": asdict(self), "scorer": self._scorer.identity().record(), **learned}

    @classmethod
    def load(cls, folder: Path, record: dict[str, Any]) -> Self:
        """Read it back; refused when the scorer is another one by now."""
        try:
            new = cls(**record["options"])
            size = len(MARKERS) + 3
            arrays = [np.array(record[name], np.float64).reshape(size) for name in ("weights", "mean", "deviation")]
            asked, bias = record["scorer"], float(record["bias"])
        except (KeyError, TypeError, ValueError) as error:
            raise AntivenomError(f"the model in {folder} cannot be read: {error}", "train it again") from error
        now = new._scorer.identity().record()
        if (asked.get("weights"), asked.get("version")) != (now["weights"], now["version"]):
            raise AntivenomError(
                f"the scorer '{new.scorer}' is not the one the model in {folder} asked", "train it again"
            )
        new._weights, new._mean, new._deviation, new._bias = *arrays, bias
        return new
