"""Packed token rows on disk: documents one after the other, an end token between them, cut into rows of equal length.

    folder/tokens.bin     token ids, little-endian, row after row: uint16 while the vocabulary has at most 65,536 tokens, else uint32
    folder/stream.json    length, vocabulary, end token, tokenizer, counts, hash of the ids

The type follows from the vocabulary and not from the ids that happen to come first, so that no id ever wraps (spec 10, trap 18). A stream
is written in one pass with bounded memory and appears whole or not at all; a finished one of the same source is taken as it is.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from antivenom.data.token_repetition import repeated_rows
from antivenom.errors import AntivenomError

__all__ = ["TokenStream", "token_type"]

TOKENS, ABOUT, TEMPORARY = "tokens.bin", "stream.json", ".antivenom-tmp-"
BUFFER = 1 << 20
"""Tokens held before they are written."""
BLOCK = 1 << 22
"""Tokens read at a time."""


def token_type(vocab_size: int) -> np.dtype:
    """The smallest of uint16 and uint32 that holds every id.

    >>> token_type(65_536), token_type(65_537)
    (dtype('uint16'), dtype('uint32'))
    """
    if not 1 <= vocab_size <= 1 << 32:
        raise AntivenomError(f"a vocabulary of {vocab_size} tokens", "give 1 to 2^32")
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


class TokenStream:
    """Rows of `length` tokens, read from a memory map.

    Args:
        ids: (n, length) of an unsigned type: a memory map or an array.
        about: what `stream.json` says.
    """

    def __init__(self, ids: np.ndarray, about: dict[str, Any]):
        self._ids = ids.view(np.ndarray)  # a memory map's own indexing is slower
        self._map = ids if isinstance(ids, np.memmap) else None
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

    def private(self) -> np.ndarray:
        """(n, length), to be written to without changing the stream: of a file on disk a private map, of which only the pages
        that are written to take memory.
        """
        if self._map is None or not self._map.filename:
            return self._ids.copy()
        own = np.memmap(self._map.filename, self._map.dtype, "c", self._map.offset, shape=self._ids.shape)
        return own.view(np.ndarray)

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
        return cls(np.memmap(path / TOKENS, kind, "r", shape=shape), about)

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
            _in_vocabulary(part, vocab_size, f"token {start:,} + ")
            digest.update(part.astype(kind).tobytes())
        about = {"length": length, "vocab_size": vocab_size, "eos": eos, "tokenizer": tokenizer, "rows": n}
        about |= {"left_out": len(flat) - n * length, "hash": digest.hexdigest(), "dtype": kind.str}
        return cls(flat[: n * length].reshape(n, length), about)  # from the file's beginning: `private` relies on it

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
        with _alone(path):
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
        with _whole(path / TOKENS) as file:
            counts = _write(file, documents, length, token_type(vocab_size), vocab_size, eos, encode)
        with _whole(path / ABOUT) as file:
            about = key | counts | {"dtype": token_type(vocab_size).str}
            file.write(orjson.dumps(about, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        return cls.open(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The folder, with no other process building in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise AntivenomError(f"cannot write {folder}: {error.strerror or error}", "choose another folder") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise AntivenomError(f"another process works in {folder}", "wait for it, or choose another folder") from None
    finally:
        os.close(lock)


@contextmanager
def _whole(path: Path) -> Iterator[Any]:
    """A file that takes its name only when all of it is written."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=TEMPORARY, delete=False) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(0o644)
                Path(file.name).replace(path)
            finally:
                Path(file.name).unlink(missing_ok=True)
    except OSError as error:
        raise AntivenomError(
            f"cannot write {path}: {error.strerror or error}", "free space, or choose another folder"
        ) from error


def _write(
    file: Any, documents: Iterable, length: int, kind: np.dtype, vocab_size: int, eos: int, encode: Callable | None
) -> dict[str, Any]:
    digest = hashlib.blake2b(digest_size=16)
    waiting: list[np.ndarray] = []
    held = written = total = number = empty = 0

    def flush(last: bool) -> None:
        nonlocal held, written, waiting
        joined = np.concatenate(waiting) if waiting else np.empty(0, kind)
        whole = len(joined) // length * length
        content = joined[:whole].tobytes()
        file.write(content)
        digest.update(content)
        written += whole
        waiting, held = [joined[whole:]], len(joined) - whole

    for number, document in enumerate(documents, 1):
        if isinstance(document, str):
            if encode is None:
                raise AntivenomError(f"document {number} is a text", "give `encode`, or token ids")
            document = encode(document)
        ids = np.asarray(document)
        if not len(ids):
            empty += 1
            continue
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise AntivenomError(f"document {number} is no list of token ids", "give integers, one list per document")
        _in_vocabulary(ids, vocab_size, f"document {number}, token ")
        waiting.append(ids.astype(kind))
        if ids[-1] != eos:
            waiting.append(np.array([eos], kind))
        added = len(ids) + int(ids[-1] != eos)
        held, total = held + added, total + added
        if held >= BUFFER:
            flush(False)
    if not total:
        raise AntivenomError("there is no document with a token in it", "give documents; the file may be empty")
    if total < length:
        raise AntivenomError(f"{total} tokens fill no row of {length}", "give more documents or a smaller length")
    flush(True)
    counts = {"rows": written // length, "documents": number - empty, "empty_documents": empty}
    return counts | {"left_out": total - written, "hash": digest.hexdigest()}


def _in_vocabulary(ids: np.ndarray, vocab_size: int, place: str) -> None:
    if len(ids) and (ids.min() < 0 or ids.max() >= vocab_size):
        at = int(np.flatnonzero((ids < 0) | (ids >= vocab_size))[0])
        raise AntivenomError(
            f"{place}{at:,}: the id {int(ids[at]):,} is not in a vocabulary of {vocab_size:,}",
            "use the tokenizer of this vocabulary, or give its true size",
        )


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
