"""What a text is about: a multinomial logistic model on hashed words, trained on your own topics.

    P(k | x) = exp(z_k) / sum_j exp(z_j),      z_k = b_k + sum_{f in x} w_kf / sqrt(|x|)

f: the distinct hashed words and word pairs of x (the features of `HashedLinear`). With r_f = ln(n / df_f) + 1 for a feature that
df_f of the n training texts have, w = r v, and v and b minimise the mean cross-entropy + l2/2 |v|^2: a rare word may weigh
more than a frequent one, as under TF-IDF. Weights are kept as 32-bit floats.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.data.words import CharSpans, hash_words
from antivenom.errors import AntivenomError
from antivenom.screen.scoring import hashed_features
from antivenom.screen.scoring.hashed_linear import TextUnits
from antivenom.screen.scoring.labelled import distinct_labelled, require_model
from antivenom.screen.scoring.model_file import content_hash, read_model, write_model
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["Topic", "TopicModel", "softmax_loss"]

KIND = "topic model"
POWER = 0.5
STEPS = 200


@dataclass(frozen=True)
class TopicModel:
    """The weights.

    Args:
        names: of the topics, sorted.
        weights: float32 (2^bits, topics).
        bias: float64 (topics,).
        word_ngrams: longest run of words.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    bias: np.ndarray
    word_ngrams: int

    @property
    def bits(self) -> int:
        """log2 of the number of buckets."""
        return len(self.weights).bit_length() - 1

    @cached_property
    def hash(self) -> str:
        """Of everything that determines a score."""
        return content_hash(self.header, {"weights": self.weights, "bias": self.bias})

    @property
    def header(self) -> dict[str, Any]:
        """What the file says beside the weights."""
        return {"names": list(self.names), "word_ngrams": self.word_ngrams}

    def probabilities(self, texts: pa.LargeStringArray) -> np.ndarray:
        """P(k | x), float64 (n, topics)."""
        x = hashed_features.matrix(texts, self.bits, self.word_ngrams, (0, 0), POWER)
        z = np.asarray(x @ self.weights, np.float64) + self.bias
        z = np.exp(z - z.max(axis=1, keepdims=True))
        return z / z.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Topic:
    """The topic of a text and how sure the model is, or the probability of one topic.

    Args:
        model: file written by `save`.
        topic: the score is its probability; "": that of the most probable one.
        bits, word_ngrams, l2: for `fit`.
    """

    model: str = ""
    topic: str = ""
    bits: int = 18
    word_ngrams: int = 2
    l2: float = 1e-4

    name: ClassVar[str] = "topic"

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The most probable topic and its probability."""
        return {"topic": pa.string(), "confidence": pa.float32()}

    @cached_property
    def learned(self) -> TopicModel:
        """The model: of `fit`, else from the file.

        Raises:
            AntivenomError: when there is none, or the topic asked for is not in it.
        """
        learn = "train one: scripts/train_scorer.py topic"
        path = require_model(self.model, self.name, learn)
        header, arrays = read_model(path, KIND, ("weights", "bias"))
        weights, bias = arrays["weights"], arrays["bias"]
        try:
            names, runs = tuple(str(name) for name in header["names"]), int(header["word_ngrams"])
            if weights.dtype != np.float32 or bias.dtype != np.float64 or weights.ndim != 2 or len(weights) < 2:
                raise ValueError("its weights are no matrix")
            if len(weights) & (len(weights) - 1) or weights.shape[1:] != bias.shape or len(names) != len(bias):
                raise ValueError("names, weights and bias do not fit")
            if not (np.isfinite(weights).all() and np.isfinite(bias).all() and 1 <= runs <= hashed_features.LONGEST):
                raise ValueError("a number is out of range")
        except (KeyError, TypeError, ValueError) as error:
            raise AntivenomError(f"'{path}' is no {KIND} ({error})", learn) from None
        return self._checked(TopicModel(names, weights, bias, runs))

    def _checked(self, model: TopicModel) -> TopicModel:
        if self.topic and self.topic not in model.names:
            raise AntivenomError(f"the model has no topic '{self.topic}'", f"choose from: {', '.join(model.names)}")
        return model

    def fit(
        self, texts: Sequence[str], labels: Sequence[Any], *, seed: int = 0, evaluation: Sequence[str] | None = None
    ) -> "Topic":
        """Learn from texts and the names of their topics.

        Args:
            texts, labels: copies count once; a text with two topics is left out.
            seed: not used: the minimum is one, and the search begins at zero.
            evaluation: texts a score will be taken on; refused when one of them is in `texts`.

        Raises:
            AntivenomError: for fewer than two topics, or evaluation texts among the training texts.
        """
        from scipy.optimize import minimize

        kept, y, _ = distinct_labelled(texts, [str(label) for label in labels], evaluation)
        names = tuple(sorted(set(y.tolist())))
        if len(names) < 2:
            raise AntivenomError(f"cannot learn topics from {len(names)} of them", "give texts of two or more topics")
        x: Any = hashed_features.matrix(
            pa.array(kept, pa.large_string()), self.bits, self.word_ngrams, (0, 0), POWER
        ).astype(np.float64)
        used, rows_with = np.unique(x.indices, return_counts=True)
        rarity = np.log(len(kept) / rows_with) + 1.0
        truth = np.searchsorted(np.array(names), y)
        start = np.zeros((len(used) + 1) * len(names))
        options = {"maxiter": STEPS, "maxcor": 10, "ftol": 1e-9, "gtol": 1e-6}
        found = minimize(
            softmax_loss,
            start,
            (x[:, used].multiply(rarity).tocsr(), truth, len(names), self.l2),
            "L-BFGS-B",
            jac=True,
            options=options,
        ).x
        found = found.reshape(len(used) + 1, len(names))
        weights = np.zeros((1 << self.bits, len(names)), np.float32)
        weights[used] = found[:-1] * rarity[:, None]
        fitted = replace(self, model="")
        vars(fitted)["learned"] = self._checked(TopicModel(names, weights, found[-1].copy(), self.word_ngrams))
        return fitted

    def save(self, path: str | Path) -> None:
        """Write the model file."""
        write_model(path, KIND, self.learned.header, {"weights": self.learned.weights, "bias": self.learned.bias})

    def identity(self) -> Identity:
        """No topic is better than another."""
        return Identity(self.name, "1", self.learned.hash, "neutral", {"topic": self.topic})

    def score(self, batch: Batch) -> Scores:
        """P(topic); NaN for a text without a word."""
        names = self.learned.names
        p = self.learned.probabilities(batch.texts)
        best = p.argmax(axis=1)
        top = p[np.arange(len(p)), best]
        values = (p[:, names.index(self.topic)] if self.topic else top).astype(np.float32)
        empty = np.diff(batch.words.row_offsets) == 0
        values[empty] = np.nan
        columns = {
            "topic": pa.array([None if e else names[k] for k, e in zip(best.tolist(), empty.tolist())], pa.string()),
            "confidence": pa.array(np.where(empty, np.nan, top), pa.float32(), from_pandas=True),
        }
        return Scores(values, ["cannot score: no letters or digits" if e else "" for e in empty], columns)

    def explain(self, text: str) -> list[Evidence]:
        """The ten words that speak most for (or against) the topic, against the mean of all topics (logit)."""
        model = self.learned
        texts = pa.array([text], pa.large_string())
        units = TextUnits.whole(texts)
        if units.first[0] == units.last[0]:
            return []
        at = model.names.index(self.topic) if self.topic else int(model.probabilities(texts)[0].argmax())
        weights = model.weights[:, at] - model.weights.mean(axis=1)
        added = hashed_features.word_shares(units, 0, weights, model.bits, model.word_ngrams, (0, 0), POWER)
        spans = CharSpans(texts, hash_words(texts))
        found = []
        for i in np.argsort(-np.abs(added), kind="stable")[:10].tolist():
            start, stop = spans(0, i, i)
            found.append(Evidence(start, stop, float(added[i]), model.names[at]))
        return found


def softmax_loss(parameters: np.ndarray, x: Any, y: np.ndarray, topics: int, l2: float) -> tuple[float, np.ndarray]:
    """L(w, b) = - mean_i log P(y_i | x_i) + l2/2 |w|^2, and its gradient.

    Args:
        parameters: w (d, topics), then b (topics,), flat.
        x: sparse (n, d).
        y: topic numbers, (n,).
        topics: how many.
        l2: of the penalty; b is not penalised.
    """
    table = parameters.reshape(-1, topics)
    w, b = table[:-1], table[-1]
    z = x @ w + b
    z -= z.max(axis=1, keepdims=True)
    logs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    rows = np.arange(len(y))
    loss = -float(logs[rows, y].mean()) + 0.5 * l2 * float((w * w).sum())
    pull = np.exp(logs)
    pull[rows, y] -= 1
    pull /= len(y)
    return loss, np.vstack([x.T @ pull + l2 * w, pull.sum(axis=0)]).ravel()
