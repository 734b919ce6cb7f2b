"""Writing packed token rows: one pass, bounded memory, whole or not at all, one process at a time."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError

__all__ = ["TEMPORARY", "alone", "in_vocabulary", "token_type", "whole", "write_documents"]

TEMPORARY = ".antivenom-tmp-"
BUFFER = 1 << 20
"""Tokens held before they are written."""


def token_type(vocab_size: int) -> np.dtype:
    """The smallest of uint16 and uint32 that holds every id.

    >>> token_type(65_536), token_type(65_537)
    (dtype('uint16'), dtype('uint32'))
    """
    if not 1 <= vocab_size <= 1 << 32:
        raise AntivenomError(f"a vocabulary of {vocab_size} tokens", "give 1 to 2^32")
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
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
def whole(path: Path) -> Iterator[Any]:
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


def write_documents(
    file: Any, documents: Iterable, length: int, kind: np.dtype, vocab_size: int, eos: int, encode: Callable | None
) -> dict[str, Any]:
    """Write documents to an open file as rows of `length` ids of type `kind`; the counts, and the hash of what was written.

    Raises:
        AntivenomError: naming the document; when there is none, or they fill no row.
    """
    digest = hashlib.blake2b(digest_size=16)
    waiting: list[np.ndarray] = []
    held = written = total = number = empty = 0

    def flush() -> None:
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
        in_vocabulary(ids, vocab_size, f"document {number}, token ")
        waiting.append(ids.astype(kind))
        if ids[-1] != eos:
            waiting.append(np.array([eos], kind))
        added = len(ids) + int(ids[-1] != eos)
        held, total = held + added, total + added
        if held >= BUFFER:
            flush()
    if not total:
        raise AntivenomError("there is no document with a token in it", "give documents; the file may be empty")
    if total < length:
        raise AntivenomError(f"{total} tokens fill no row of {length}", "give more documents or a smaller length")
    flush()
    counts = {"rows": written // length, "documents": number - empty, "empty_documents": empty}
    return counts | {"left_out": total - written, "hash": digest.hexdigest()}


def in_vocabulary(ids: np.ndarray, vocab_size: int, place: str) -> None:
    """Refuse an id that is not in the vocabulary, with its place."""
    if len(ids) and (ids.min() < 0 or ids.max() >= vocab_size):
        at = int(np.flatnonzero((ids < 0) | (ids >= vocab_size))[0])
        raise AntivenomError(
            f"{place}{at:,}: the id {int(ids[at]):,} is not in a vocabulary of {vocab_size:,}",
            "use the tokenizer of this vocabulary, or give its true size",
        )
