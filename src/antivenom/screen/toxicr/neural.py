"""ToxiCR's recurrent and convolutional learners: trained, stored, and asked for probabilities (spec 11, 2.2).

Binary cross-entropy (+ L2 terms), Adam 1e-3, batches of 128, at most 40 epochs, stopped when the validation loss has not
fallen for 3 epochs. `strict_paper` keeps what the official code does: a random 11.115 % for validation, the *last* weights
and not the best ones (trap T11), and counts that are looked up as words (T5). By default validation is a stratified ninth
in which no text of the remaining rows occurs, the best weights come back, and the counts are a dense input.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.models.torch_runtime import require_torch, seeded, threads
from antivenom.randomness import derive_seed, generator
from antivenom.screen.toxicr.embeddings import read_vectors, train_vectors
from antivenom.screen.toxicr.sequences import PAPER_LENGTH, PAPER_WORDS, WordIndex, append_counts

if TYPE_CHECKING:
    import torch

__all__ = ["PURPOSE", "NeuralToxiCR", "check_training_rows", "validation_rows"]

VALIDATION = 0.11115
"""Share of the training rows: training / validation / test = 80 / 10 / 10."""
FILE_VECTORS = ("fasttext", "glove", "word2vec")
WEIGHTS = "network.safetensors"
PURPOSE = "ToxiCR's neural learners"
"""For the message where torch is missing."""


@dataclass
class NeuralToxiCR:
    """One of DPCNN (`cnn`), `lstm`, `bilstm`, `gru`, `attn` over word vectors.

    Args:
        algorithm: a name of `networks.NETWORKS`.
        vectorizer: `corpus`: vectors trained on the training texts; `fasttext`, `glove`, `word2vec`: the file `vectors`.
        vectors: a file of word vectors (see `embeddings.read_vectors`).
        corpus_vectors: what `corpus` trains: `word2vec` or `fasttext`.
        width: dimensions of vectors trained on the corpus.
        words: Keras' `num_words`.
        length: words of a text that are read, the last ones; None: 500 in `strict_paper`, else 128 (99.4 % of the code-review
            comments are no longer, and a step costs a quarter).
        batch, epochs, patience, rate: of the training.
        strict_paper: with the official code's faults.
        threads: of torch on the CPU; with another number, sums are rounded differently.
        device: `cpu`, or a device of torch.
    """

    algorithm: str
    vectorizer: str = "corpus"
    vectors: str | None = None
    corpus_vectors: str = "word2vec"
    width: int = 100
    words: int = PAPER_WORDS
    length: int | None = None
    batch: int = 128
    epochs: int = 40
    patience: int = 3
    rate: float = 1e-3
    strict_paper: bool = False
    threads: int = 1
    device: str = "cpu"
    history: list[dict[str, float]] = field(default_factory=list, init=False, repr=False, compare=False)
    """Per epoch: `loss` (mean over training rows), `validation`."""

    def __post_init__(self) -> None:
        """Refuse parameters that have no meaning."""
        if self.vectorizer in FILE_VECTORS and not self.vectors:
            raise AntivenomError(
                f"the vectorizer '{self.vectorizer}' needs a file of word vectors",
                "give it: vectors=FILE (.vec, .txt or .bin), or take the vectorizer 'corpus'",
            )
        positive = ("width", "words", "batch", "epochs", "patience", "threads")
        bad = next((n for n in positive if getattr(self, n) < 1), None) or ("length" if self.columns < 1 else None)
        if bad:
            raise AntivenomError(f"{bad} = {getattr(self, bad)}", "it must be at least 1")
        self._index: WordIndex | None = None
        self._network: Any = None

    @property
    def columns(self) -> int:
        """Word numbers per text."""
        return self.length if self.length is not None else PAPER_LENGTH if self.strict_paper else 128

    def inputs(self, texts: Sequence[str], counts: np.ndarray) -> tuple["torch.Tensor", "torch.Tensor"]:
        """What the network sees, at fit and at predict alike (trap T5): word numbers (n, L), counts (n, 3)."""
        import torch

        assert self._index is not None
        ids = self._index.matrix(texts, self.columns)
        counts = np.asarray(counts, np.float32).reshape(len(texts), -1)
        if self.strict_paper:
            ids = append_counts(ids, counts, self._index.size)
        return torch.from_numpy(ids).long(), torch.from_numpy(np.maximum(counts, 0))

    def fit(self, texts: Sequence[str], labels: Sequence[int], counts: np.ndarray, *, seed: int) -> "NeuralToxiCR":
        """Learn vocabulary, word vectors and network from these rows alone."""
        require_torch(PURPOSE, "safetensors")
        import torch

        y = check_training_rows(texts, labels)
        train, held = validation_rows(texts, y, seed, strict=self.strict_paper)
        # the vocabulary comes from the whole training fold, as in the official code
        self._index = WordIndex.fit(texts, self.words)
        with seeded(derive_seed(seed, "toxicr", self.algorithm), self.threads):
            self._network = self._build(self._embedding([str(texts[i]) for i in train], seed)).to(self.device)
            ids, dense = self.inputs(texts, counts)
            truth = torch.from_numpy(y.astype(np.float32)).to(self.device)
            self._train(ids.to(self.device), dense.to(self.device), truth, train, held, seed)
        return self

    def _embedding(self, texts: Sequence[str], seed: int) -> np.ndarray:
        assert self._index is not None
        words = self._index.words
        if self.vectorizer in FILE_VECTORS:
            known = read_vectors(self.vectors or "", words)
        else:
            known = train_vectors(texts, words, width=self.width, kind=self.corpus_vectors, seed=seed)
        table = np.zeros((self._index.size, known.shape[1]), np.float32)
        table[1 : len(known) + 1] = known
        return table

    def _build(self, table: np.ndarray) -> Any:
        import torch

        from antivenom.screen.toxicr.networks import NETWORKS

        if self.algorithm not in NETWORKS:
            raise AntivenomError(f"there is no network '{self.algorithm}'", f"choose from: {', '.join(NETWORKS)}")
        strict = self.strict_paper
        return NETWORKS[self.algorithm](
            torch.from_numpy(table),
            self.columns + (3 if strict else 0),
            n_counts=0 if strict else 3,
            momentum=0.01 if strict else 0.1,
        )

    def _train(self, ids: Any, counts: Any, labels: Any, train: np.ndarray, held: np.ndarray, seed: int) -> None:
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

        network = self._network
        trained = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, self.rate, eps=1e-7)
        order = generator(seed, "toxicr", "order")
        best, best_weights, waited = np.inf, None, 0
        self.history = []
        for epoch in range(1, self.epochs + 1):
            network.train()
            total, shuffled = 0.0, order.permutation(train)
            for rows in _batches(shuffled, self.batch):
                optimizer.zero_grad(set_to_none=True)
                loss = cross_entropy(network(ids[rows], counts[rows]), labels[rows]) + network.penalty()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
            logits = self._logits(ids[held], counts[held]).to(labels.device)
            with torch.no_grad():
                validation = cross_entropy(logits, labels[held]).item() + float(network.penalty())
            self.history.append({"epoch": epoch, "loss": total / len(train), "validation": validation})
            if not np.isfinite(total) or not np.isfinite(validation):
                raise AntivenomError(
                    f"training '{self.algorithm}' diverged in epoch {epoch}: the loss is not a number",
                    "lower the rate, or look at the word vectors",
                )
            if validation < best:
                best, waited = validation, 0
                if not self.strict_paper:
                    best_weights = {k: v.detach().clone() for k, v in network.state_dict().items()}
            else:
                waited += 1
                if waited >= self.patience:
                    break
        if best_weights is not None:
            network.load_state_dict(best_weights)
        network.eval()

    def _logits(self, ids: Any, counts: Any) -> Any:
        import torch

        self._network.eval()
        with torch.no_grad():
            parts = [
                self._network(ids[rows].to(self.device), counts[rows].to(self.device)).cpu()
                for rows in _batches(np.arange(len(ids)), self.batch)
            ]
        return torch.cat(parts) if parts else torch.zeros(0)

    def predict_proba(self, texts: Sequence[str], counts: np.ndarray) -> np.ndarray:
        """Probability of toxic, float64 (n,), rounded to 1e-5 so that batches and BLAS libraries agree."""
        import torch

        if self._network is None:
            raise AntivenomError(f"'{self.algorithm}' has learned nothing yet", "fit it, or load a trained model")
        with threads(self.threads):
            parts = []
            for start in range(0, len(texts), 4_096):  # the word numbers of a corpus do not fit in memory at once
                rows = slice(start, start + 4_096)
                parts.append(torch.sigmoid(self._logits(*self.inputs(texts[rows], np.asarray(counts)[rows])).double()))
        return np.round(torch.cat(parts).numpy(), 5) if parts else np.zeros(0)

    def save(self, folder: Path) -> dict[str, Any]:
        """`network.safetensors`; options and words go into the returned record."""
        from safetensors.torch import save_file

        if self._network is None or self._index is None:
            raise AntivenomError(f"'{self.algorithm}' has learned nothing yet", "fit it first")
        save_file({k: v.contiguous().cpu() for k, v in self._network.state_dict().items()}, Path(folder) / WEIGHTS)
        options = {k: v for k, v in asdict(self).items() if k not in ("history", "vectors", "device")}
        return {"options": options, "words": list(self._index.words), "size": self._index.size, "history": self.history}

    @classmethod
    def load(cls, folder: Path, record: dict[str, Any]) -> "NeuralToxiCR":
        """Read it back; the file of word vectors is no longer needed."""
        require_torch(PURPOSE, "safetensors")
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        mend = "give a model directory that 'antivenom toxicr train' wrote whole"
        try:
            options: dict[str, Any] = dict(record["options"])
            inside: dict[str, Any] = {"vectors": "(inside the model)"} if options["vectorizer"] in FILE_VECTORS else {}
            new = cls(**(options | inside))
            new._index = WordIndex(tuple(map(str, record["words"])), int(record["size"]))
            weights = load_file(Path(folder) / WEIGHTS)
            with seeded(0, new.threads):
                new._network = new._build(np.zeros(tuple(weights["embedding.weight"].shape), np.float32))
            new._network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
            raise AntivenomError(f"the model in {folder} cannot be read: {str(error).splitlines()[0]}", mend) from error
        new._network.eval()
        new.history = list(record.get("history", []))
        return new


def check_training_rows(texts: Sequence[str], labels: Sequence[int]) -> np.ndarray:
    """int64 labels.

    Raises:
        AntivenomError: unless there are as many labels as texts, all 0 or 1, and at least two of each.
    """
    y = np.asarray(labels)
    if len(texts) != len(y):
        raise AntivenomError(f"{len(texts)} texts and {len(y)} labels", "give one label per text")
    if not np.isin(y, (0, 1)).all():
        raise AntivenomError("a label is neither 0 nor 1", "1 = toxic, 0 = not; drop rows without a label")
    y = y.astype(np.int64)
    if min(y.sum(), len(y) - y.sum()) < 2:
        raise AntivenomError(f"{y.sum()} of {len(y)} training rows are toxic", "give at least two rows of each label")
    return y


def validation_rows(
    texts: Sequence[str], labels: np.ndarray, seed: int, *, strict: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on, and to stop by.

    `strict`: a random 11.115 %. Else a ninth, with the labels' shares, and equal texts (lower case, white space collapsed)
    on one side: a copy in the validation rows would reward memory. Where the texts are too few or too alike for that,
    a ninth of each label, at least one row.
    """
    n = len(labels)
    if strict:
        order = generator(seed, "toxicr", "validation").permutation(n)
        cut = max(1, round(VALIDATION * n))
        return np.sort(order[cut:]), np.sort(order[:cut])
    from sklearn.model_selection import StratifiedGroupKFold

    groups = np.unique([" ".join(text.lower().split()) for text in texts], return_inverse=True)[1]
    distinct = [len(np.unique(groups[labels == label])) for label in (0, 1)]
    if min(distinct) >= 9:
        folds = StratifiedGroupKFold(
            9, shuffle=True, random_state=derive_seed(seed, "toxicr", "validation") % (1 << 32)
        )
        train, held = next(folds.split(np.zeros(n), labels, groups))
        if min(np.bincount(labels[train], minlength=2)) and min(np.bincount(labels[held], minlength=2)):
            return train, held
    draw = generator(seed, "toxicr", "validation")
    held = np.concatenate(
        [draw.permutation(np.flatnonzero(labels == label))[: max(1, (labels == label).sum() // 9)] for label in (0, 1)]
    )
    return np.setdiff1d(np.arange(n), held), np.sort(held)


def _batches(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Batches of at most `size`; a last batch of one row joins the one before: batch normalisation needs two."""
    starts = list(range(0, len(rows), size))
    if len(starts) > 1 and len(rows) - starts[-1] == 1:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield rows[start:stop]
