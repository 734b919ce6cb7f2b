"""The algorithms of ToxiCR by name, and what each of them must be able to do.

The paper compares five classical learners over TF-IDF, four recurrent and convolutional networks over word embeddings, and
fine-tuned transformers (arXiv 2202.13056, sections 3.4-3.6). All of them stand behind one protocol, `TextClassifier`: they
get *preprocessed* texts and the three counts (profanity, anger, emoticons), so that one transform serves fit and predict.

Names are read without regard to case, and a name builds the class that it names: the official command line upper-cases the
algorithm, so that its own `biLSTM` is unknown to it, and trains BERT when asked for ALBERT or SBERT.
"""

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from antivenom.errors import AntivenomError

__all__ = ["ALGORITHMS", "Algorithm", "TextClassifier", "algorithm", "build"]


@runtime_checkable
class TextClassifier(Protocol):
    """Learns the probability that a preprocessed text is toxic.

    An implementation is built as `Class(algorithm, vectorizer, **options)` with plain-data options, all with defaults.
    """

    def fit(self, texts: Sequence[str], labels: Sequence[int], counts: np.ndarray, *, seed: int) -> Self:
        """Learn; whatever it needs of vocabulary, scaling or validation rows comes from these rows alone.

        Args:
            texts: n preprocessed texts.
            labels: n labels, 1 = toxic.
            counts: float64 (n, 3): profanity, anger, emoticons; a count that is switched off is 0.
            seed: for everything drawn at random.
        """
        ...

    def predict_proba(self, texts: Sequence[str], counts: np.ndarray) -> np.ndarray:
        """Probability of toxic, float64 (n,), in [0, 1]."""
        ...

    def save(self, folder: Path) -> dict[str, Any]:
        """Write what was learned into a folder that exists (skops, safetensors, JSON; never a pickle).

        Returns:
            what `load` must be told again, as plain data; it is kept in the model directory's `model.json`.
        """
        ...

    @classmethod
    def load(cls, folder: Path, record: dict[str, Any]) -> Self:
        """Read it back; `record` is what `save` returned. Equal inputs then give equal scores."""
        ...


@dataclass(frozen=True)
class Algorithm:
    """An algorithm that can be named.

    Args:
        name: as users type it, lower case.
        module: imported when the algorithm is used.
        cls: the class that implements `TextClassifier`.
        family: `baseline`, `classical`, `network` or `transformer`.
        vectorizers: the vectorizers it can stand on, the default first.
        what: one line for help texts.
        paper: what the paper's tables call it; "" for ours.
        published: the paper's best options for it: (count_profanity, remove_keywords, split_identifier, vectorizer).
    """

    name: str
    module: str
    cls: str
    family: str
    vectorizers: tuple[str, ...]
    what: str
    paper: str = ""
    published: tuple[bool, bool, bool, str] | None = None


_LEARNERS, _NEURAL = "antivenom.screen.toxicr.learners", "antivenom.screen.toxicr.neural"
_ENCODER = "antivenom.screen.toxicr.encoder"
_PLUS = "antivenom.screen.toxicr.linear_plus"
_POLITE = "antivenom.screen.toxicr.polite_score"
_TFIDF = ("tfidf", "ngrams")
_STATIC = ("corpus", "fasttext", "glove", "word2vec")
"""`corpus`: trained on the training rows by gensim; the others read vector files that the user has."""

ALGORITHMS: dict[str, Algorithm] = {
    a.name: a
    for a in (
        Algorithm("majority", _LEARNERS, "Majority", "baseline", ("none",), "the share of toxic rows, for every text"),
        Algorithm("lexicon", _LEARNERS, "ProfanityLexicon", "baseline", ("none",), "toxic if a profane word is in it"),
        Algorithm(
            "dt", _LEARNERS, "Classical", "classical", _TFIDF, "decision tree", "DT", (True, True, False, "tfidf")
        ),
        Algorithm(
            "rf", _LEARNERS, "Classical", "classical", _TFIDF, "random forest", "RF", (True, False, False, "tfidf")
        ),
        Algorithm(
            "gbt",
            _LEARNERS,
            "Classical",
            "classical",
            _TFIDF,
            "gradient-boosted trees",
            "GBT",
            (True, True, False, "tfidf"),
        ),
        Algorithm(
            "svm",
            _LEARNERS,
            "Classical",
            "classical",
            _TFIDF,
            "linear SVM, calibrated",
            "SVM",
            (True, False, True, "tfidf"),
        ),
        Algorithm(
            "lr", _LEARNERS, "Classical", "classical", _TFIDF, "logistic regression", "LR", (True, True, False, "tfidf")
        ),
        Algorithm(
            "linear+", _PLUS, "LinearPlus", "classical", ("ngrams",), "words and characters, balanced linear models"
        ),
        Algorithm(
            "polite-score",
            _POLITE,
            "PoliteScore",
            "classical",
            ("none",),
            "another scorer's score and politeness markers",
        ),
        Algorithm("stack", _PLUS, "Stack", "classical", ("ngrams",), "linear+ and a random forest, put together"),
        Algorithm(
            "cnn",
            _NEURAL,
            "NeuralToxiCR",
            "network",
            _STATIC,
            "deep pyramid CNN",
            "DPCNN",
            (True, False, False, "fasttext"),
        ),
        Algorithm("lstm", _NEURAL, "NeuralToxiCR", "network", _STATIC, "LSTM", "LSTM", (True, True, True, "glove")),
        Algorithm(
            "bilstm",
            _NEURAL,
            "NeuralToxiCR",
            "network",
            _STATIC,
            "bidirectional LSTM",
            "BiLSTM",
            (True, False, True, "fasttext"),
        ),
        Algorithm(
            "gru", _NEURAL, "NeuralToxiCR", "network", _STATIC, "bidirectional GRU", "GRU", (True, False, True, "glove")
        ),
        Algorithm("attn", _NEURAL, "NeuralToxiCR", "network", _STATIC, "bidirectional LSTM with additive attention"),
        Algorithm(
            "bert",
            _ENCODER,
            "EncoderToxiCR",
            "transformer",
            ("bert",),
            "fine-tuned BERT",
            "BERT",
            (False, True, False, "bert"),
        ),
        Algorithm("albert", _ENCODER, "EncoderToxiCR", "transformer", ("albert",), "fine-tuned ALBERT"),
        Algorithm("sbert", _ENCODER, "EncoderToxiCR", "transformer", ("sbert",), "fine-tuned sentence-BERT"),
    )
}
"""name -> algorithm."""

ALIASES = {"dpcnn": "cnn", "gbc": "gbt", "linear": "linear+"}


def algorithm(name: str) -> Algorithm:
    """The algorithm of that name, in any case.

    Raises:
        AntivenomError: for an unknown name; the message lists the known ones.

    >>> algorithm("biLSTM").name, algorithm("DPCNN").name
    ('bilstm', 'cnn')
    """
    key = name.strip().lower()
    key = ALIASES.get(key, key)
    if key not in ALGORITHMS:
        raise AntivenomError(f"there is no algorithm '{name}'", f"choose from: {', '.join(ALGORITHMS)}")
    return ALGORITHMS[key]


def build(name: str, vectorizer: str | None = None, **options: Any) -> TextClassifier:
    """A new, unfitted classifier.

    Args:
        name: of the algorithm, in any case.
        vectorizer: one of the algorithm's vectorizers; None: its default.
        options: of the class behind the algorithm.

    Raises:
        AntivenomError: for an unknown name or option, or a vectorizer the algorithm cannot stand on.
    """
    found = algorithm(name)
    chosen = (vectorizer or found.vectorizers[0]).strip().lower()
    if chosen not in found.vectorizers:
        raise AntivenomError(
            f"algorithm '{found.name}' has no vectorizer '{vectorizer}'", f"choose from: {', '.join(found.vectorizers)}"
        )
    cls = getattr(importlib.import_module(found.module), found.cls)
    known = [key for key in inspect.signature(cls).parameters if key not in ("algorithm", "vectorizer")]
    if unknown := [key for key in options if key not in known]:
        mend = f"it has: {', '.join(known)}" if known else "it has none"
        raise AntivenomError(f"algorithm '{found.name}' has no option '{unknown[0]}'", mend)
    return cls(found.name, chosen, **options)
