"""ToxiCR's transformer learners: BERT, ALBERT, sentence-BERT, or any encoder of Hugging Face, fine-tuned (spec 11, 2.2).

128 tokens -> encoder -> pooled output (sentence-BERT: mean of the tokens) -> Dropout .1 -> Dense 2 -> Dense 1 -> logit, all
weights trained by AdamW at a peak of 3e-5 with linear warm-up over 10 % of the steps and linear decay, batches of 16, at most
20 epochs, stopped after 4 without a lower validation loss, best weights restored. The counts are sentences behind the text
("... includes profanity."), at fit and at predict alike; the official code leaves them out at predict (trap T5), which
`strict_paper` repeats, together with its learning rate (T6).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError, MissingExtra
from antivenom.models.torch_runtime import require_torch, seeded, threads
from antivenom.randomness import derive_seed, generator
from antivenom.screen.toxicr.neural import PURPOSE, check_training_rows, validation_rows
from antivenom.screen.toxicr.schedules import linear_schedule, published_ramp, steps_per_epoch

__all__ = ["MODELS", "EncoderToxiCR", "with_counts"]

MODELS = {
    "bert": ("google-bert/bert-base-uncased", "bert"),
    "albert": ("albert/albert-base-v2", "albert"),
    "sbert": ("sentence-transformers/all-mpnet-base-v2", ""),
}
"""Algorithm -> (model by default, the architecture its name promises; "": any)."""
SENTENCES = ("includes profanity.", "includes anger word.", "includes emoticon.")
HEAD = "head.safetensors"
ENCODER = "encoder"


def with_counts(texts: Sequence[str], counts: np.ndarray) -> list[str]:
    """Each text, and behind it one sentence for each of the three counts that is above 0.

    >>> with_counts(["some text"], np.array([[2, 0, 1]]))
    ['some text includes profanity. includes emoticon.']
    """
    rows = np.asarray(counts).reshape(len(texts), -1)
    return [
        " ".join([text, *(sentence for sentence, count in zip(SENTENCES, row, strict=False) if count > 0)])
        for text, row in zip(texts, rows, strict=True)
    ]


@dataclass
class EncoderToxiCR:
    """A fine-tuned encoder.

    Args:
        algorithm: `bert`, `albert`, `sbert`.
        vectorizer: the same word; kept for the protocol.
        model: a local folder or a name on the hub; None: the one of `MODELS`.
        tokens: of a text that are read, special ones included. The counts' sentences are never what is cut off.
        batch, epochs, patience, rate: of the training; `rate` is the peak.
        pooling: `pooled` (the model's own pooled output, else its first token), `mean`; None: mean for `sbert`, else pooled.
        strict_paper: with the official code's faults.
        threads: of torch on the CPU.
        device: `cpu`, or a device of torch.
    """

    algorithm: str
    vectorizer: str = "bert"
    model: str | None = None
    tokens: int = 128
    batch: int = 16
    epochs: int = 20
    patience: int = 4
    rate: float = 3e-5
    pooling: str | None = None
    strict_paper: bool = False
    threads: int = 1
    device: str = "cpu"
    history: list[dict[str, float]] = field(default_factory=list, init=False, repr=False, compare=False)
    """Per epoch: `loss`, `validation`, and `rate` of its last step."""

    def __post_init__(self) -> None:
        """Refuse parameters that have no meaning."""
        if self.algorithm not in MODELS:
            raise AntivenomError(f"there is no encoder '{self.algorithm}'", f"choose from: {', '.join(MODELS)}")
        if self.pooling not in (None, "pooled", "mean"):
            raise AntivenomError(f"pooling = {self.pooling}", "choose pooled or mean")
        bad = next((n for n in ("batch", "epochs", "patience", "threads") if getattr(self, n) < 1), None)
        if bad or self.tokens < 8:
            name = bad or "tokens"
            raise AntivenomError(f"{name} = {getattr(self, name)}", "it must be at least " + ("1" if bad else "8"))
        self._network: Any = None
        self._tokenizer: Any = None

    @property
    def source(self) -> str:
        """Folder or hub name that is loaded."""
        return self.model or MODELS[self.algorithm][0]

    def _open(self, source: str, weights: bool = True) -> None:
        """Tokenizer and encoder, with the class that the algorithm's name promises (trap T7).

        `weights=False` (at load): the shape alone, since all weights are in our own file.
        """
        require_torch(PURPOSE, "safetensors")
        try:
            from transformers import AutoConfig, AutoModel, AutoTokenizer
        except ImportError as error:
            raise MissingExtra(error.name or "transformers", "models", f"the learner '{self.algorithm}'") from None
        try:
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            self._tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            if weights:
                encoder = AutoModel.from_pretrained(source, trust_remote_code=False, dtype="float32")
            else:
                encoder = AutoModel.from_config(config, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise AntivenomError(
                f"the encoder '{source}' cannot be loaded: {(str(error).splitlines() or [''])[0]}",
                "the hub may be out of reach: give model=FOLDER, a local folder with config.json, the tokenizer and the weights",
            ) from error
        promised = MODELS[self.algorithm][1]
        if promised and encoder.config.model_type != promised:
            raise AntivenomError(
                f"'{source}' is a model of type {encoder.config.model_type}, not {self.algorithm}",
                "give a model of that type, or --algorithm sbert, which takes any encoder",
            )
        self._network = _network(encoder, self.pooling or ("mean" if self.algorithm == "sbert" else "pooled"))

    def inputs(self, texts: Sequence[str], counts: np.ndarray, *, training: bool) -> list[list[int]]:
        """Token numbers of every text. Only `strict_paper` makes a difference between fit and predict."""
        counted = training or not self.strict_paper
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        rows = np.asarray(counts, float).reshape(len(texts), -1)
        positions = getattr(self._network.encoder.config, "max_position_embeddings", None) or self.tokens
        offset = (
            2 if getattr(self._network.encoder.config, "model_type", "") in ("roberta", "camembert", "mpnet") else 0
        )
        limit = min(self.tokens, positions - offset)
        tails = with_counts([""] * len(texts), rows if counted else np.zeros_like(rows))
        plain = {t: self._tokenizer(t, add_special_tokens=False)["input_ids"] if t else [] for t in set(tails)}
        out = []
        for text, tail in zip(clean, tails, strict=True):
            room = max(3, limit - len(plain[tail]))  # the counts must not be what truncation takes away
            encoded = self._tokenizer(text, truncation=True, max_length=room)["input_ids"]
            at = len(encoded) - 1 if encoded and encoded[-1] == self._tokenizer.sep_token_id else len(encoded)
            out.append((encoded[:at] + plain[tail] + encoded[at:])[:limit])
        return out

    def fit(self, texts: Sequence[str], labels: Sequence[int], counts: np.ndarray, *, seed: int) -> "EncoderToxiCR":
        """Fine-tune all weights."""
        require_torch(PURPOSE, "safetensors")
        import torch

        y = check_training_rows(texts, labels)
        train, held = validation_rows(texts, y, seed, strict=self.strict_paper)
        with seeded(derive_seed(seed, "toxicr", self.algorithm), self.threads):
            self._open(self.source)
            self._network.to(self.device)
            tokens = self.inputs(texts, counts, training=True)
            self._train(tokens, torch.from_numpy(y.astype(np.float32)), train, held, len(y), seed)
        return self

    def _rate(self, step: int, per_epoch: int, rows: int) -> float:
        if self.strict_paper:
            return published_ramp(step, rows, self.epochs, self.rate)
        return linear_schedule(step, per_epoch * self.epochs, self.rate)

    def _train(
        self, tokens: list[list[int]], labels: Any, train: np.ndarray, held: np.ndarray, rows: int, seed: int
    ) -> None:
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

        network = self._network
        optimizer = torch.optim.AdamW(_decayed(network), lr=0.0)
        order, per_epoch = generator(seed, "toxicr", "order"), steps_per_epoch(len(train), self.batch)
        best, best_weights, waited, step, rate = np.inf, None, 0, 0, 0.0
        self.history = []
        for epoch in range(1, self.epochs + 1):
            network.train()
            total, shuffled = 0.0, order.permutation(train)
            for start in range(0, len(train), self.batch):
                chosen = shuffled[start : start + self.batch]
                step += 1
                rate = self._rate(step, per_epoch, rows)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.zero_grad(set_to_none=True)
                loss = cross_entropy(self._logits([tokens[i] for i in chosen]), labels[chosen])
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                total += loss.item() * len(chosen)
            validation = cross_entropy(self._score([tokens[i] for i in held]), labels[held]).item()
            self.history.append({"epoch": epoch, "loss": total / len(train), "validation": validation, "rate": rate})
            if not np.isfinite(total) or not np.isfinite(validation):
                raise AntivenomError(f"fine-tuning '{self.source}' diverged in epoch {epoch}", "lower the rate")
            if validation < best:
                best, waited = validation, 0
                best_weights = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
            else:
                waited += 1
                if waited >= self.patience:
                    break
        if best_weights is not None:
            network.load_state_dict(best_weights)
        network.eval()

    def _logits(self, tokens: list[list[int]]) -> Any:
        """Logits of one batch, padded to its longest text; the mask keeps the padding out of every sum."""
        import torch

        pad = self._tokenizer.pad_token_id or 0
        longest = max(1, *map(len, tokens)) if len(tokens) > 1 else max(1, len(tokens[0]))
        ids = torch.full((len(tokens), longest), pad, dtype=torch.long)
        mask = torch.zeros(len(tokens), longest, dtype=torch.long)
        for row, numbers in enumerate(tokens):
            ids[row, : len(numbers)] = torch.tensor(numbers, dtype=torch.long)
            mask[row, : len(numbers)] = 1
        return self._network(ids.to(self.device), mask.to(self.device)).cpu()

    def _score(self, tokens: list[list[int]]) -> Any:
        """Logits without gradients, texts of like length together."""
        import torch

        self._network.eval()
        out = torch.zeros(len(tokens))
        by_length = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        with torch.no_grad():
            for start in range(0, len(tokens), self.batch):
                rows = by_length[start : start + self.batch]
                out[rows] = self._logits([tokens[i] for i in rows])
        return out

    def predict_proba(self, texts: Sequence[str], counts: np.ndarray) -> np.ndarray:
        """Probability of toxic, float64 (n,), rounded to 1e-5 so that batches agree."""
        import torch

        if self._network is None:
            raise AntivenomError(f"'{self.algorithm}' has learned nothing yet", "fit it, or load a trained model")
        parts, counts = [], np.asarray(counts)
        with threads(self.threads):
            for start in range(0, len(texts), 4_096):
                rows = slice(start, start + 4_096)
                logits = self._score(self.inputs(texts[rows], counts[rows], training=False))
                parts.append(torch.sigmoid(logits.double()).numpy())
        return np.round(np.concatenate(parts), 5) if parts else np.zeros(0)

    def save(self, folder: Path) -> dict[str, Any]:
        """`encoder/` (configuration, tokenizer) and `head.safetensors` (all weights, encoder and head)."""
        from safetensors.torch import save_model

        if self._network is None:
            raise AntivenomError(f"'{self.algorithm}' has learned nothing yet", "fit it first")
        target = Path(folder) / ENCODER
        self._network.encoder.config.save_pretrained(target)
        self._tokenizer.save_pretrained(target)
        save_model(self._network, str(Path(folder) / HEAD))
        options = {k: v for k, v in asdict(self).items() if k not in ("history", "device")}
        return {"options": options | {"model": self.source}, "history": self.history}

    @classmethod
    def load(cls, folder: Path, record: dict[str, Any]) -> "EncoderToxiCR":
        """Read it back; neither hub nor the original folder is needed."""
        require_torch(PURPOSE, "safetensors")
        from safetensors import SafetensorError
        from safetensors.torch import load_model

        try:
            new = cls(**record["options"])
            with seeded(0, new.threads):
                new._open(str(Path(folder) / ENCODER), weights=False)
            load_model(new._network, str(Path(folder) / HEAD))
        except (KeyError, TypeError, RuntimeError, OSError, SafetensorError) as error:
            raise AntivenomError(
                f"the model in {folder} cannot be read: {(str(error).splitlines() or [''])[0]}",
                "give a model directory that was written whole",
            ) from error
        new._network.eval()
        new.history = list(record.get("history", []))
        return new


def _decayed(network: Any) -> list[dict[str, Any]]:
    """Weight decay .01 for matrices; none for biases and normalisations (BERT's own recipe)."""
    named = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in named if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _network(encoder: Any, pooling: str) -> Any:
    """Encoder and head as one module: (ids, mask) -> logits (n,)."""
    import torch
    from torch import nn

    class EncoderWithHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.dropout = nn.Dropout(0.1)
            self.two = nn.Linear(encoder.config.hidden_size, 2)
            self.one = nn.Linear(2, 1)
            for layer in (self.two, self.one):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            found = self.encoder(input_ids=ids, attention_mask=mask)
            states = found.last_hidden_state
            if pooling == "mean":
                weight = mask.unsqueeze(2).to(states.dtype)
                pooled = (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
            else:
                pooled = getattr(found, "pooler_output", None)
                pooled = states[:, 0] if pooled is None else pooled
            return self.one(self.two(self.dropout(pooled))).squeeze(1)

    return EncoderWithHead()
