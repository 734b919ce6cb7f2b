"""Static word vectors: read from word2vec, GloVe and fastText files, or trained on the corpus (spec 11, 2.2 and 3).

Files of several gigabytes are read as a stream; only the vectors of the wanted words are kept. A word without a vector gets
zeros, as in the official code.
"""

import gzip
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from antivenom.errors import AntivenomError, MissingExtra
from antivenom.randomness import derive_seed
from antivenom.screen.toxicr.sequences import words_of

__all__ = ["read_vectors", "train_vectors"]

LINE_LIMIT = 1 << 20
"""Bytes of one line or word; longer is not a vector file."""
MAX_WIDTH = 10_000


def read_vectors(path: str | Path, words: Sequence[str]) -> np.ndarray:
    """float32 (len(words), d): row i is the vector of `words[i]`, zeros where the file has none.

    Formats: word2vec binary (`.bin`: a line "n d", then per word its name, a space, d little-endian float32); text
    (`.txt`, `.vec`): a word and d numbers a line, with (word2vec, fastText) or without (GloVe) the line "n d" before them. A
    word of GloVe may hold spaces, so a line is cut from the right, d numbers (trap T11). All may be gzipped (`.gz`).

    Memory: the wanted vectors and one line.

    Raises:
        AntivenomError: for a missing file, or one that is in none of these formats.
    """
    file = Path(path)
    if not file.is_file():
        raise AntivenomError(
            f"there is no file of word vectors '{path}'",
            "give a local .bin, .vec or .txt file (word2vec, fastText, GloVe), or train them: vectorizer 'corpus'",
        )
    wanted: dict[bytes, list[int]] = {}
    for row, word in enumerate(words):
        wanted.setdefault(word.encode("utf-8", "surrogatepass"), []).append(row)
    name = file.name.lower().removesuffix(".gz")
    with _opened(file) as stream:
        try:
            pairs = _binary(stream, file, wanted) if name.endswith(".bin") else _text(stream, file, wanted)
            return _collect(pairs, wanted, len(words), file)
        except (EOFError, gzip.BadGzipFile) as error:
            raise AntivenomError(f"{file}: the archive is damaged ({error})", "get the file again") from error


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    with file.open("rb") as raw:
        if raw.peek(2)[:2] == b"\x1f\x8b":
            with gzip.open(raw) as stream:
                yield io.BufferedReader(stream, 1 << 20)  # pyright: ignore[reportArgumentType]
        else:
            yield raw


def _collect(
    pairs: Iterator[tuple[bytes, np.ndarray]], wanted: dict[bytes, list[int]], n: int, file: Path
) -> np.ndarray:
    out: np.ndarray | None = None
    found: set[bytes] = set()
    for word, vector in pairs:
        if out is None:
            out = np.zeros((n, len(vector)), np.float32)
        if word in wanted and word not in found:  # the first of two equal words is the more frequent one
            found.add(word)
            if np.isfinite(vector).all():
                out[wanted[word]] = vector
            if len(found) == len(wanted):
                break
    if out is None:
        raise AntivenomError(f"{file} holds no word vectors", "give a word2vec, fastText or GloVe file")
    return out


def _header(line: bytes) -> tuple[int, int] | None:
    parts = line.split()
    if len(parts) == 2 and all(part.isdigit() and len(part) < 12 for part in parts):
        return int(parts[0]), int(parts[1])
    return None


def _text(stream: BinaryIO, file: Path, wanted: dict[bytes, list[int]]) -> Iterator[tuple[bytes, np.ndarray]]:
    first = stream.readline(LINE_LIMIT)
    header = _header(first)
    line, number = (stream.readline(LINE_LIMIT), 2) if header else (first, 1)
    width = header[1] if header else _width(line, file)
    if not 0 < width <= MAX_WIDTH:
        raise _refuse(file, 1, f"{width} dimensions")
    yielded = False
    while line:
        parts = line.rstrip(b" \r\n").rsplit(b" ", width)  # from the right: a word may hold spaces
        if len(parts) == width + 1:
            if parts[0] in wanted or not yielded:  # the first one tells the width even if its word is not wanted
                try:
                    vector = np.array(parts[1:], np.float32)
                except ValueError:
                    raise _refuse(file, number, f"not {width} numbers behind a word") from None
                yielded = True
                yield parts[0], vector
        elif line.strip():
            raise _refuse(file, number, f"fewer than {width} numbers behind a word")
        line, number = stream.readline(LINE_LIMIT), number + 1


def _width(line: bytes, file: Path) -> int:
    """Numbers at the right end of the first line; its first field is a word even if it looks like a number."""
    width = 0
    for part in reversed(line.split()[1:]):
        try:
            float(part)
        except ValueError:
            break
        width += 1
    if width < 2:
        raise _refuse(file, 1, "no vector behind a word")
    return width


def _binary(stream: BinaryIO, file: Path, wanted: dict[bytes, list[int]]) -> Iterator[tuple[bytes, np.ndarray]]:
    header = _header(stream.readline(64))
    if header is None or not 0 < header[1] <= MAX_WIDTH:
        raise _refuse(file, 1, "no line 'number of words, dimensions'")
    n, width = header
    size, buffer, at = 4 * width, b"", 0
    for number in range(n):
        while True:
            end = buffer.find(b" ", at)
            if end >= 0 and len(buffer) >= end + 1 + size:
                break
            more = stream.read(1 << 20)
            if not more or len(buffer) - at > LINE_LIMIT + size:
                raise AntivenomError(f"{file} ends in vector {number + 1} of {n}", "the file is cut off: get it again")
            buffer, at = buffer[at:] + more, 0
        word, start, at_next = buffer[at:end].lstrip(b"\n"), end + 1, end + 1 + size
        if number == 0 or word in wanted:
            yield word, np.frombuffer(buffer[start:at_next], "<f4")
        at = at_next


def _refuse(file: Path, line: int, what: str) -> AntivenomError:
    return AntivenomError(f"{file}, line {line}: {what}", "give a word2vec, fastText or GloVe file of word vectors")


def train_vectors(
    texts: Sequence[str],
    words: Sequence[str],
    *,
    width: int = 100,
    kind: str = "word2vec",
    epochs: int = 10,
    seed: int = 0,
) -> np.ndarray:
    """float32 (len(words), width): vectors trained on the texts alone, by gensim; the same for the same seed.

    The vectors are centred and scaled to a standard deviation of .3 per dimension, about that of published 300-d vectors.
    Skip-gram with 5 negative samples, window 5, every word that occurs twice; one worker, because several race. gensim seeds
    a word's start with a hash function: ours is BLAKE2b, since Python's own differs from process to process.

    Args:
        kind: `word2vec`, or `fasttext` (which also has vectors for words it never saw, from their character 3-6-grams).

    Raises:
        AntivenomError: for another kind, or when no word occurs twice.
    """
    if kind not in ("word2vec", "fasttext"):
        raise AntivenomError(f"there is no embedding '{kind}' to train", "choose word2vec or fasttext")
    try:
        from gensim.models import FastText, Word2Vec
    except ImportError:
        raise MissingExtra("gensim", "models", "training word vectors on the corpus") from None
    sentences = [words_of(text) for text in texts]
    cls, extra = (Word2Vec, {}) if kind == "word2vec" else (FastText, {"bucket": 20_000})
    start = derive_seed(seed, "toxicr", "vectors") % (1 << 31)
    model = cls(
        vector_size=width,
        min_count=2,
        sg=1,
        negative=5,
        window=5,
        workers=1,
        seed=start,
        hashfxn=_hash,
        **extra,  # pyright: ignore[reportArgumentType]
    )
    model.build_vocab(sentences)
    if not len(model.wv):
        raise AntivenomError("no word occurs twice in the training texts", "give more texts, or a file of word vectors")
    model.train(sentences, total_examples=len(sentences), epochs=epochs)
    rows = [
        i for i, word in enumerate(words) if word in model.wv.key_to_index or (kind == "fasttext" and len(word) > 1)
    ]
    out = np.zeros((len(words), width), np.float32)
    if rows:
        found = np.stack([model.wv[words[i]] for i in rows])
        # vectors of a small corpus lie close together around a common mean, on a small scale: a network then learns slowly
        out[rows] = 0.3 * (found - found.mean(axis=0)) / np.maximum(found.std(axis=0), 1e-6)
    return out


def _hash(word: str) -> int:
    return derive_seed(0, word) % (1 << 31)
