"""Packed token rows on disk: documents one after the other, an end token between them, cut into rows of equal length.

    folder/tokens.bin     token ids, little-endian, row after row: uint16 while the vocabulary has at most 65,536 tokens, else uint32
    folder/stream.json    length, vocabulary, end token, tokenizer, counts, hash of the ids

The type follows from the vocabulary and not from the ids that happen to come first, so that no id ever wraps (spec 10, trap 18). A stream
is written in one pass with bounded memory and appears whole or not at all; a finished one of the same source is taken as it is.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from antivenom.data.token_repetition import repeated_rows
from antivenom.data.token_writing import TEMPORARY, alone, in_vocabulary, token_type, whole, write_documents
from antivenom.errors import AntivenomError

__all__ = ["TokenStream", "token_type"]

TOKENS, ABOUT = "tokens.bin", "stream.json"
BLOCK = 1 << 22
"""Tokens read at a time."""


class TokenStream:
    """Rows of `length` tokens, read from a memory map.

    Args:
        ids: (n, length) of an unsigned type: a memory map or an array.
        about: what `stream.json` says.
    """

    def __init__(self, ids: np.ndarray, about: dict[str, Any]):
        self._ids = ids.view(np.ndarray)  # a memory map's own indexing is slower
        self._file: tuple[Path, int] | None = None
        self._mapped = isinstance(ids, np.memmap)
        self.about = about
        self.length: int = int(ids.shape[1])
        self.vocab_size: int = int(about["vocab_size"])
        self.tokenizer: str | None = about.get("tokenizer")
        self.eos: int | None = about.get("eos")
        determines = [self.length, self.vocab_size, about["hash"]]
        self.fingerprint: str = hashlib.blake2b(orjson.dumps(determines), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def tokens(self) -> int:
        """All tokens of all rows."""
        return self._ids.size

    @property
    def dtype(self) -> np.dtype:
        """As the ids are stored."""
        return self._ids.dtype

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Rows by their numbers: (n,) -> int64 (n, length).

        Raises:
            AntivenomError: for a row that is not there.
        """
        return self.stored(index).astype(np.int64)

    def stored(self, index: np.ndarray) -> np.ndarray:
        """A copy of these rows in the type that they are stored in: a quarter or half of the memory of `rows`."""
        index = np.asarray(index, np.int64)
        if len(index) and (index.min() < 0 or index.max() >= len(self._ids)):
            raise AntivenomError(f"rows {index.min()} to {index.max()} of a stream of {len(self)}", "give 0 to n - 1")
        return self._ids[index]

    @property
    def writable(self) -> bool:
        """Whether `private` gives something."""
        return self._file is not None or not self._mapped

    def private(self) -> np.ndarray | None:
        """(n, length), to be written to without changing the stream: of a file that the stream opened itself a private map, of
        which only the pages that are written to take memory; of an array a copy. None for somebody else's memory map,
        which may be larger than the memory.
        """
        if self._file is not None:
            path, offset = self._file
            return np.memmap(path, self._ids.dtype, "c", offset, shape=self._ids.shape).view(np.ndarray)
        return None if self._mapped else self._ids.copy()

    def blocks(self, rows: int | None = None) -> Iterator[np.ndarray]:
        """All rows in order, as they are stored, some at a time."""
        step = rows or max(1, BLOCK // self.length)
        for start in range(0, len(self), step):
            yield np.asarray(self._ids[start : start + step])

    def repeated(self) -> np.ndarray:
        """bool (n,): the rows that OLMo's repetition filter takes out of the loss (spec 02, trap 7)."""
        return np.concatenate([repeated_rows(block) for block in self.blocks()])

    @classmethod
    def open(cls, folder: str | Path, *, tokenizer: str | None = None) -> "TokenStream":
        """What `build` wrote.

        Args:
            folder: of the stream.
            tokenizer: fingerprint of the tokenizer in use.

        Raises:
            AntivenomError: when there is no stream, it was cut off, or another tokenizer made it.
        """
        path = Path(folder)
        try:
            about = orjson.loads((path / ABOUT).read_bytes())
            shape, kind = (int(about["rows"]), int(about["length"])), np.dtype(about["dtype"])
            size = (path / TOKENS).stat().st_size
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AntivenomError(
                f"'{folder}' holds no token stream: {error}", "make one with TokenStream.build"
            ) from error
        if size != shape[0] * shape[1] * kind.itemsize:
            raise AntivenomError(
                f"{path / TOKENS} has {size:,} bytes where {shape[0]:,} rows of {shape[1]} tokens need "
                f"{shape[0] * shape[1] * kind.itemsize:,}",
                "make the stream anew",
            )
        if tokenizer is not None and about.get("tokenizer") != tokenizer:
            made = about.get("tokenizer") or "no tokenizer that is known"
            raise AntivenomError(
                f"the stream '{folder}' was made with {made}, not with the tokenizer {tokenizer}",
                "make the stream anew with this tokenizer, or load the one it was made with",
            )
        found = cls(np.memmap(path / TOKENS, kind, "r", shape=shape), about)
        found._file = path / TOKENS, 0
        return found

    @classmethod
    def of(
        cls, ids: np.ndarray | str | Path, *, length: int, vocab_size: int, eos: int | None = None,
        tokenizer: str | None = None, dtype: Any = None,
    ) -> "TokenStream":  # fmt: skip
        """A stream of ids that are there already: an array of any shape, an .npy file, or a raw file of `dtype`.

        Tokens behind the last whole row are left out. All ids are read once, for the hash and the check.

        Raises:
            AntivenomError: when they fill no row, or one is not in the vocabulary.
        """
        flat = _flat(ids, dtype or token_type(vocab_size))
        n = len(flat) // length
        if not n:
            raise AntivenomError(f"{len(flat)} tokens fill no row of {length}", "give more tokens or a smaller length")
        digest = hashlib.blake2b(digest_size=16)
        kind = token_type(vocab_size)
        for start in range(0, n * length, BLOCK):
            part = flat[start : min(start + BLOCK, n * length)]
            in_vocabulary(part, vocab_size, f"token {start:,} + ")
            digest.update(part.astype(kind).tobytes())
        about = {"length": length, "vocab_size": vocab_size, "eos": eos, "tokenizer": tokenizer, "rows": n}
        about |= {"left_out": len(flat) - n * length, "hash": digest.hexdigest(), "dtype": kind.str}
        found = cls(flat[: n * length].reshape(n, length), about)
        if not isinstance(ids, np.ndarray) and isinstance(flat, np.memmap) and flat.filename:  # no copy (Fortran order)
            found._file = Path(ids), int(flat.offset)
        return found

    @classmethod
    def build(
        cls,
        folder: str | Path,
        documents: Iterable[str | Sequence[int] | np.ndarray],
        *,
        length: int,
        vocab_size: int,
        eos: int,
        encode: Callable[[str], Sequence[int] | np.ndarray] | None = None,
        tokenizer: str | None = None,
        source: str | None = None,
    ) -> "TokenStream":
        """Write documents as rows.

        Args:
            folder: where to.
            documents: texts, or token ids; an end token is put behind each that has none.
            length: tokens of a row.
            vocab_size: ids are below it.
            eos: the end token.
            encode: of texts; a tokenizer without special tokens.
            tokenizer: its fingerprint, to be compared by whoever opens the stream.
            source: fingerprint of where the documents come from: a finished stream of the same source and settings is
                opened, and `documents` is not read.

        Raises:
            AntivenomError: when there is no document, the documents fill no row, a token is not in the vocabulary (naming
                document and place), a text comes without `encode`, or the folder holds another stream.
        """
        path = Path(folder)
        if length < 2 or not 0 <= eos < vocab_size:
            raise AntivenomError(
                f"rows of {length} tokens, end token {eos}, vocabulary {vocab_size}",
                "give rows of 2 tokens at least and an end token in the vocabulary",
            )
        key = {"length": length, "vocab_size": vocab_size, "eos": eos, "tokenizer": tokenizer, "source": source}
        if not isinstance(documents, Iterable):
            raise AntivenomError(
                f"documents of the type {type(documents).__name__}", "give texts or lists of token ids"
            )
        with alone(path):
            return cls._built(path, documents, key, length, vocab_size, eos, encode)

    @classmethod
    def _built(
        cls, path: Path, documents: Iterable, key: dict[str, Any], length: int, vocab_size: int, eos: int, encode: Any
    ) -> "TokenStream":
        if (path / ABOUT).exists():
            found = cls.open(path)
            if key["source"] is not None and {name: found.about.get(name) for name in key} == key:
                return found
            raise AntivenomError(f"{path} holds a token stream already", "choose another folder, or remove this one")
        for stale in path.glob(f"{TEMPORARY}*"):  # of a process that was killed
            stale.unlink(missing_ok=True)
        with whole(path / TOKENS) as file:
            counts = write_documents(file, documents, length, token_type(vocab_size), vocab_size, eos, encode)
        with whole(path / ABOUT) as file:
            about = key | counts | {"dtype": token_type(vocab_size).str}
            file.write(orjson.dumps(about, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        return cls.open(path)


def _flat(ids: np.ndarray | str | Path, dtype: Any) -> np.ndarray:
    if not isinstance(ids, np.ndarray):
        path = Path(ids)
        try:
            ids = np.load(path, mmap_mode="r") if _is_npy(path) else np.memmap(path, dtype, "r")
        except (OSError, ValueError) as error:
            raise AntivenomError(f"'{path}' holds no token ids: {error}", "give an .npy file or raw ids") from error
    if not np.issubdtype(ids.dtype, np.integer):
        raise AntivenomError(f"token ids of the type {ids.dtype}", "give integers")
    return ids.reshape(-1)


def _is_npy(path: Path) -> bool:
    # OLMo's files are called .npy and are raw
    with path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"
