"""A Hugging Face classifier as a toxicity scorer: by hub name, by detoxify's names, or from a local folder.

P(toxic) of a text is put together from windows of tokens, so that a toxic tail behind 512 tokens is read. Weights must be
safetensors: no pickle is loaded. The identity holds a hash of the files' bytes, because a name does not say which weights.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import orjson
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError, MissingExtra
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores
from antivenom.screen.scoring.windows import Windows

__all__ = ["HFClassifier", "toxic_label", "weights_hash"]

NAMES = {
    "original": "unitary/toxic-bert",
    "unbiased": "unitary/unbiased-toxic-roberta",
    "multilingual": "unitary/multilingual-toxic-xlm-roberta",
}
"""detoxify's names."""

KNOWN = {
    "unitary/toxic-bert": ("toxic", "sigmoid"),
    "unitary/unbiased-toxic-roberta": ("toxicity", "sigmoid"),
    "unitary/multilingual-toxic-xlm-roberta": ("toxicity", "sigmoid"),
    "s-nlp/roberta_toxicity_classifier": ("toxic", "softmax"),
    "tomh/toxigen_roberta": ("1", "softmax"),
    "facebook/roberta-hate-speech-dynabench-r4-target": ("hate", "softmax"),
}
"""Which output is the toxic one, and how outputs become probabilities, where a model's own configuration does not say."""

FIRST, SECOND = {"toxic", "toxicity"}, {"hate", "hateful", "hatespeech", "offensive", "abusive", "abuse"}
POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "longformer")
FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
FILES += ("vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model")
LOCAL = "download it where there is a network, and give its folder: toxicity-hf:model=FOLDER"
WORD = re.compile(r"\S+")
OCCLUDED = 64  # words whose absence is tried for an explanation


def weights_hash(folder: str | Path) -> str:
    """BLAKE2b over the safetensors, the configuration and the tokenizer of a model folder, 32 hex digits.

    Raises:
        AntivenomError: when there are no safetensors; weights in pickles are not opened.
    """
    root = Path(folder)
    weights = sorted(root.glob("*.safetensors"))
    if not weights:
        pickles = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in root.glob(kind))
        what = f"'{folder}' holds no safetensors" + (
            f", only {pickles[0]}, a pickle that could run code" * bool(pickles)
        )
        mend = "save it once with `model.save_pretrained(FOLDER, safe_serialization=True)` where you trust it"
        raise AntivenomError(what, mend)
    digest = hashlib.blake2b(digest_size=16)
    for path in [*weights, *(root / name for name in FILES)]:
        if path.exists():
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as source:
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
    return digest.hexdigest()


def toxic_label(labels: Sequence[str], wanted: str = "auto") -> int:
    """The index of the toxic output.

    Args:
        labels: the model's `id2label`, by index.
        wanted: a label, its index, or `auto`: the only one called toxic / toxicity, else the only one called hate,
            offensive, abusive.

    Raises:
        AntivenomError: when it is unclear; the message lists the labels.

    >>> toxic_label(["neutral", "toxic"])
    1
    """
    plain = [re.sub(r"[^a-z0-9]", "", label.lower()) for label in labels]
    listed = ", ".join(f"{index}: {label}" for index, label in enumerate(labels))
    if wanted != "auto":
        if wanted in labels:
            return list(labels).index(wanted)
        if wanted.isdecimal() and int(wanted) < len(labels):
            return int(wanted)
        raise AntivenomError(f"the classifier has no label '{wanted}'", f"its labels are {listed}")
    for names in (FIRST, SECOND):
        found = [index for index, label in enumerate(plain) if label in names]
        if len(found) == 1:
            return found[0]
    if len(labels) == 1:
        return 0
    raise AntivenomError(f"it is unclear which label means toxic: {listed}", "name it with label=LABEL or label=INDEX")


@dataclass(frozen=True)
class HFClassifier:
    """P(toxic) by a sequence classifier of `transformers`.

    Args:
        model: a folder, a hub name, or detoxify's `original`, `unbiased`, `multilingual`.
        label: the toxic label's name or index; `auto` finds it by its name.
        activation: `sigmoid` (labels that do not exclude each other), `softmax`, or `auto` by the configuration.
        window: tokens of a window, special tokens included; never more than the model reads.
        overlap: tokens a window shares with the one before it.
        aggregate: of windows: `max`, `mean` or `share` of .5 or more.
        batch_size: windows in one pass; scores do not depend on it (to 1e-5).
        device: `cpu`, `cuda`, ...; empty: what is there.
        revision: branch, tag or commit on the hub.

    Raises:
        AntivenomError: on first use: no network, no safetensors, no trained head, an unclear label.
        MissingExtra: without torch and transformers.
    """

    name: ClassVar[str] = "toxicity-hf"

    model: str = "unitary/toxic-bert"
    label: str = "auto"
    activation: str = "auto"
    window: int = 512
    overlap: int = 64
    aggregate: str = "max"
    batch_size: int = 16
    device: str = ""
    revision: str = ""

    def __post_init__(self) -> None:
        if self.window < 8 or not 0 <= self.overlap < self.window - 4 or self.batch_size < 1:
            what = f"window={self.window}, overlap={self.overlap}, batch_size={self.batch_size}"
            raise AntivenomError(what, "window >= 8, overlap < window - 4, batch_size >= 1")
        if self.activation not in ("auto", "sigmoid", "softmax"):
            raise AntivenomError(f"there is no activation '{self.activation}'", "choose from: auto, sigmoid, softmax")
        _ = self._join

    def __getstate__(self) -> dict[str, Any]:
        return asdict(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    @property
    def _join(self) -> Windows:
        return Windows(aggregate=self.aggregate)

    @cached_property
    def folder(self) -> Path:
        """Where the model's files are; a hub name is downloaded once into the hub's own cache."""
        if Path(self.model).expanduser().is_dir():
            return Path(self.model).expanduser()
        name = NAMES.get(self.model, self.model)
        try:
            from huggingface_hub import snapshot_download
        except ImportError as error:
            raise MissingExtra("transformers", "models", "the scorer 'toxicity-hf'") from error
        try:
            patterns = ["*.safetensors", *FILES, "model.safetensors.index.json"]
            return Path(snapshot_download(name, revision=self.revision or None, allow_patterns=patterns))
        except Exception as error:  # the hub's client raises a dozen kinds: no network, no such name, no permission
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise AntivenomError(
                f"the model '{name}' is not in a folder and cannot be fetched: {first}", LOCAL
            ) from error

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json."""
        try:
            config = orjson.loads((self.folder / "config.json").read_bytes())
        except (OSError, ValueError) as error:
            raise AntivenomError(f"'{self.folder}' holds no readable config.json", "give a saved classifier") from error
        if not isinstance(config, dict):
            raise AntivenomError(f"'{self.folder}/config.json' is no configuration", "give a saved classifier")
        return config

    @property
    def labels(self) -> list[str]:
        """The classifier's labels by index."""
        named = self.config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # what transformers assumes
        return [str(named[key]) for key in sorted(named, key=int)]

    @property
    def _target(self) -> int:
        known = KNOWN.get(NAMES.get(self.model, self.model), ("auto", ""))[0]
        return toxic_label(self.labels, known if self.label == "auto" else self.label)

    @property
    def _sigmoid(self) -> bool:
        if self.activation != "auto":
            return self.activation == "sigmoid"
        kind = self.config.get("problem_type")
        if kind == "regression":
            raise AntivenomError(f"'{self.model}' is a regression, no classifier", "its output is no probability")
        known = KNOWN.get(NAMES.get(self.model, self.model), ("", ""))[1]
        if kind or known or len(self.labels) <= 2:
            return kind == "multi_label_classification" or known == "sigmoid" or len(self.labels) == 1
        what = f"'{self.model}' does not say whether its {len(self.labels)} labels exclude each other"
        raise AntivenomError(what, "give activation=softmax (they do) or activation=sigmoid (they do not)")

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """How many windows were read, and the aggregated probability of every other label."""
        return {"windows": pa.int32()} | {name: pa.float32() for _, name in self._others()}

    def _others(self) -> list[tuple[int, str]]:
        return [
            (index, "p_" + re.sub(r"\W+", "_", label.lower()))
            for index, label in enumerate(self.labels)
            if index != self._target
        ]

    def identity(self) -> Identity:
        """Name, hash of the files, label, activation, window and aggregation."""
        params = {
            "model": Path(self.model).name
            if Path(self.model).expanduser().is_dir()
            else NAMES.get(self.model, self.model),
            "label": self.labels[self._target],
            "activation": "sigmoid" if self._sigmoid else "softmax",
            **self._join.record(),
            "window": self.window,
            "overlap": self.overlap,
        }
        return Identity(self.name, self.revision or "1", self._hash, "worse", params)

    @cached_property
    def _hash(self) -> str:
        return weights_hash(self.folder)

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        _ = self._hash, self._target, self._sigmoid  # what can be refused without loading
        try:
            import torch
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ImportError as error:
            raise MissingExtra(error.name or "transformers", "models", "the scorer 'toxicity-hf'") from error
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, **options)
            model, told = AutoModelForSequenceClassification.from_pretrained(
                self.folder, use_safetensors=True, output_loading_info=True, dtype=torch.float32, **options
            )
        except Exception as error:  # a damaged file fails in the tokenizer, in safetensors or in torch, each in its way
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise AntivenomError(f"the classifier in '{self.folder}' cannot be loaded: {first}", LOCAL) from error
        lost = sorted(map(str, [*told["missing_keys"], *told["mismatched_keys"]]))
        if lost:  # transformers would fill them with random numbers, and every score would be noise
            what = f"'{self.model}' has no trained weights for {lost[0]}"
            raise AntivenomError(what, "give a model that was trained as a classifier")
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        return torch, tokenizer, model.to(device).eval()

    @cached_property
    def _frame(self) -> tuple[list[int], list[int], int]:
        """Special tokens before and after a text, and the tokens of text a window holds."""
        _, tokenizer, _ = self._loaded
        bare, full = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
        at = next((i for i in range(len(full)) if bare and full[i : i + len(bare)] == bare), 0)
        before, after = full[:at], full[at + len(bare) :]
        reads = self.config.get("max_position_embeddings") or self.window
        if self.config.get("model_type") in POSITIONS_AFTER_PADDING:
            reads -= (self.config.get("pad_token_id") or 0) + 1
        size = min(self.window, reads) - len(before) - len(after)
        return before, after, size

    def score(self, batch: Batch) -> Scores:
        """P(toxic) per row; NaN for a text without tokens, or of unknown tokens alone."""
        texts = batch.texts.to_pylist()
        reasons = [""] * len(texts)
        pieces: list[list[int]] = []
        owner: list[int] = []
        counts = np.zeros(len(texts), np.int32)
        for row, text in enumerate(texts):
            ids = self._tokens(text)
            if not text.strip() or not ids:
                reasons[row] = "cannot score: empty" if not text.strip() else "cannot score: no tokens"
            elif set(ids) <= {self._loaded[1].unk_token_id}:
                reasons[row] = "cannot score: the tokenizer knows nothing of it"
            else:
                cut = [ids[a:b] for a, b in self._cut(len(ids))]
                pieces += cut
                owner += [row] * len(cut)
                counts[row] = len(cut)
                reasons[row] = f"{self.aggregate} of {len(cut)} windows" if len(cut) > 1 else ""
        chances = self._chances(pieces)
        joined = [
            self._join.join(chances[:, k], np.array(owner, np.int64), len(texts)) for k in range(len(self.labels))
        ]
        bad = sorted({owner[i] for i in np.flatnonzero(~np.isfinite(chances).all(axis=1))})
        for row in bad:
            reasons[row] = "cannot score: the model's output is not finite"
            for column in joined:
                column[row] = np.nan
        columns: dict[str, pa.Array] = {"windows": pa.array(counts)}
        columns |= {name: pa.array(joined[k], mask=np.isnan(joined[k])) for k, name in self._others()}
        return Scores(joined[self._target], reasons, columns)

    def explain(self, text: str) -> list[Evidence]:
        """Words of the strongest window by how much P(toxic) falls without them."""
        _, tokenizer, _ = self._loaded
        words = [match.span() for match in WORD.finditer(text)]
        ids = self._tokens(text)
        if not words or not ids:
            return []
        cut = self._cut(len(ids))
        best = int(np.nanargmax(self._chances([ids[a:b] for a, b in cut])[:, self._target]))
        if len(cut) > 1 and tokenizer.is_fast:
            offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            a, b = cut[best]
            start, stop = offsets["offset_mapping"][a][0], offsets["offset_mapping"][b - 1][1]
            words = [(x, y) for x, y in words if x < stop and start < y]
        words = words[: self._frame[2]]
        low, high = words[0][0], words[-1][1]
        step = -(-len(words) // OCCLUDED)  # in a long window words are left out a few at a time
        groups = [(words[i][0], words[min(i + step, len(words)) - 1][1]) for i in range(0, len(words), step)]
        variants = [text[low:high], *(text[low:x] + text[y:high] for x, y in groups)]
        room, unknown = self._frame[2], [tokenizer.unk_token_id or 0]
        chances = self._chances([(self._tokens(variant) or unknown)[:room] for variant in variants])[:, self._target]
        found = [
            Evidence(*span, float(chances[0] - c), "word") for span, c in zip(groups, chances[1:]) if c < chances[0]
        ]
        return sorted(found, key=lambda evidence: -evidence.weight)

    def _tokens(self, text: str) -> list[int]:
        plain = text.encode("utf-8", "replace").decode()
        return self._loaded[1](plain, add_special_tokens=False, verbose=False)["input_ids"]

    def _cut(self, n: int) -> list[tuple[int, int]]:
        size = self._frame[2]
        step = max(1, size - self.overlap)
        return [(a, min(a + size, n)) for a in range(0, max(1, n - min(self.overlap, size - 1)), step)]

    def _chances(self, pieces: list[list[int]]) -> np.ndarray:
        """float32 (windows, labels); windows of like length share a pass, padding is masked."""
        torch, tokenizer, model = self._loaded
        before, after, _ = self._frame
        out = np.zeros((len(pieces), len(self.labels)), np.float32)
        padding = tokenizer.pad_token_id
        together = self.batch_size if padding is not None else 1
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
        for first in range(0, len(order), together):
            chosen = order[first : first + together]
            rows = [[*before, *pieces[i], *after] for i in chosen]
            longest = max(map(len, rows))
            ids = [row + [padding or 0] * (longest - len(row)) for row in rows]
            mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
            with torch.no_grad():
                inputs = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
                logits = model(**{key: value.to(model.device) for key, value in inputs.items()}).logits.float()
                chances = torch.sigmoid(logits) if self._sigmoid else torch.softmax(logits, dim=-1)
            out[chosen] = chances.cpu().numpy()
        return out
