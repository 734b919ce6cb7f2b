"""Tokenizers of language models: byte-level BPE trained on the spot, or one from a folder.

Text goes in and comes out whole: no token is added, nothing is cut, and the joint string knows where each of its tokens lies
(`encode_with_offsets`), so that a text is never tokenised in two parts (spec 02, trap 11).
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from antivenom.errors import AntivenomError, MissingExtra

__all__ = ["END_OF_TEXT", "TextTokenizer", "load_tokenizer", "train_bpe"]

END_OF_TEXT = "<|endoftext|>"
FILE = "tokenizer.json"
PROBE = 'The 3 men didn\'t say:  "naïve" -- 東京, 12345.67 €\n\tdef f(x):\n    return x**2\r\n\U0001f40d A\u0301'
"""Two tokenizers are the same when they have the same tokens under the same numbers and read this text alike."""


class TextTokenizer:
    """A tokenizer of the library `tokenizers` with an end token.

    Args:
        inner: the `tokenizers.Tokenizer`.
        eos: number of the end token.
    """

    def __init__(self, inner: Any, eos: int):
        self.inner, self.eos = inner, eos
        inner.no_truncation()
        inner.no_padding()
        self.vocab_size: int = inner.get_vocab_size(with_added_tokens=True)
        tokens = sorted(inner.get_vocab(with_added_tokens=True).items(), key=lambda item: (item[1], item[0]))
        content = orjson.dumps([tokens, self.encode(PROBE).tolist(), eos])
        self.fingerprint = hashlib.blake2b(content, digest_size=8).hexdigest()

    def encode(self, text: str) -> np.ndarray:
        """int64 (L,); no special token is added."""
        return np.array(self.inner.encode(_clean(text), add_special_tokens=False).ids, np.int64)

    def encode_with_offsets(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """int64 (L,) and (L, 2): the characters text[start:stop] of every token."""
        found = self.inner.encode(_clean(text), add_special_tokens=False)
        return np.array(found.ids, np.int64), np.array(found.offsets, np.int64).reshape(-1, 2)

    def decode(self, tokens: Iterable[int] | np.ndarray) -> str:
        """The text of these tokens; the end token shows as its own text."""
        return self.inner.decode([int(token) for token in tokens], skip_special_tokens=False)

    def save(self, folder: str | Path) -> None:
        """tokenizer.json and tokenizer_config.json, which `load_tokenizer` and transformers read."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        self.inner.save(str(target / FILE))
        end = self.inner.id_to_token(self.eos)
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, "clean_up_tokenization_spaces": False}
        (target / "tokenizer_config.json").write_bytes(orjson.dumps(config))


def _clean(text: str) -> str:
    # a lone surrogate is no character; the library would raise from inside
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _require() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtra(error.name or "tokenizers", "models", "a tokenizer of a language model") from None
    return tokenizers


def train_bpe(texts: Iterable[str], vocab_size: int, *, end: str = END_OF_TEXT) -> TextTokenizer:
    """Byte-level BPE on these texts: the end token is number 0, the 256 bytes follow, then the merges.

    Args:
        texts: what to learn from.
        vocab_size: tokens in all, 257 at least; fewer come out when the texts have no more pairs.
        end: text of the end token.

    Raises:
        AntivenomError: for a vocabulary that cannot hold every byte.
    """
    tokenizers = _require()
    if vocab_size < 257:
        raise AntivenomError(f"a vocabulary of {vocab_size} tokens", "give 257 at least: every byte and the end token")
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[end], show_progress=False,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    inner.train_from_iterator(map(_clean, texts), trainer)
    return TextTokenizer(inner, inner.token_to_id(end))


def load_tokenizer(folder: str | Path) -> TextTokenizer:
    """The tokenizer.json of a folder, with the end token that tokenizer_config.json or config.json names.

    Raises:
        AntivenomError: when the folder has no such file, or no end token is named.
    """
    tokenizers = _require()
    path = Path(folder)
    try:
        inner = tokenizers.Tokenizer.from_file(str(path / FILE))
    except Exception as error:  # the library raises bare Exception
        raise AntivenomError(
            f"'{folder}' has no tokenizer that can be read: {str(error).splitlines()[0]}",
            f"give a folder with a {FILE}",
        ) from error
    return TextTokenizer(inner, _end_of(path, inner))


def _end_of(path: Path, inner: Any) -> int:
    settings = {}
    for name in ("config.json", "generation_config.json", "special_tokens_map.json", "tokenizer_config.json"):
        if (path / name).exists():
            settings |= orjson.loads((path / name).read_bytes())
    token = settings.get("eos_token")
    token = token.get("content") if isinstance(token, dict) else token
    number = inner.token_to_id(token) if token else settings.get("eos_token_id")
    number = number[0] if isinstance(number, list) else number
    number = inner.token_to_id(END_OF_TEXT) if number is None else number
    if number is None:
        raise AntivenomError(f"no file in '{path}' names an end token", "put eos_token into its tokenizer_config.json")
    return int(number)
