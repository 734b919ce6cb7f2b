"""What a scorer is: it says of every row how toxic, how good or how old it is, and why - or that it cannot say.

A scorer is prepared once (constructed, perhaps `fit`) and then maps a batch of rows to one score each. It keeps no other
state, so the native runner, a Ray cluster and a plain loop give equal scores. Every score travels with its scorer's
`identity`: a figure of one scorer or version never stands silently beside a figure of another.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch, batch_of

__all__ = ["Evidence", "Identity", "Orientation", "Scorer", "Scores", "Trainable", "score_texts"]

CHARACTERS = 4_000_000
LEAST_CHARACTERS = 250_000
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
Orientation = Literal["worse", "better", "neutral"]
"""What a HIGHER score means for a row. A filter refuses to cut by a score whose orientation it was not told."""


@dataclass(frozen=True)
class Identity:
    """Everything that makes two scores comparable.

    Args:
        name: of the scorer, as users type it.
        version: of its code or model.
        weights: hash of its weights, word list or rule table (32 hex digits; "" for a scorer without any).
        higher_is: what a higher score means.
        params: input window, aggregation policy, thresholds: all that determines a score, as plain data.
        date: for a service whose answers drift, the ISO date of scoring; else "".
    """

    name: str
    version: str
    weights: str
    higher_is: Orientation
    params: Mapping[str, Any] = field(default_factory=dict)
    date: str = ""

    def record(self) -> dict[str, Any]:
        """As plain data, for `run.json`."""
        return vars(self) | {"params": dict(self.params)}

    @property
    def key(self) -> str:
        """Short hash: equal keys may share a table."""
        import hashlib

        import orjson

        data = orjson.dumps(self.record(), option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(data, digest_size=8).hexdigest()


@dataclass
class Scores:
    """Scores of one batch.

    Args:
        values: float32, one per row; NaN where the row cannot be scored - never 0 by default.
        reasons: per row why it has this score or cannot have one ("cannot score: no letters"), "" where nothing is to say.
        columns: further columns this scorer adds (per-rule verdicts, counts, dates), one value per row, named without
            the scorer's name in front.
    """

    values: np.ndarray
    reasons: list[str]
    columns: dict[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def scored(self) -> np.ndarray:
        """Mask of the rows that have a score."""
        return ~np.isnan(self.values)


@dataclass(frozen=True)
class Evidence:
    """A stretch [start, stop) of the text and what it adds to the score (`weight`, in the scorer's own unit)."""

    start: int
    stop: int
    weight: float
    what: str = ""


@runtime_checkable
class Scorer(Protocol):
    """Scores rows. The dataclass fields of an implementation are its parameters on the command line (`name:key=value`).

    `name` is the word users type after `--score`; `columns` names (and types) what it adds beside its score. One that spends its time
    in compiled kernels may say so by an attribute `frees_python = True`: `score_texts` then uses all cores.
    """

    name: str

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The further columns `score` returns, the same for every batch."""
        ...

    def identity(self) -> Identity:
        """Who scores: stored with every score."""
        ...

    def score(self, batch: Batch) -> Scores:
        """One score per row of the batch; pure."""
        ...

    def explain(self, text: str) -> list[Evidence]:
        """The stretches that make the score, strongest first; empty where nothing stands out."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """A scorer that learns from labelled texts. `fit` returns a new scorer and leaves this one as it is."""

    def fit(self, texts: Sequence[str], labels: Sequence[int], *, seed: int = 0) -> Scorer:
        """Learn from texts with labels 0 / 1 (1 = what a high score shall mean)."""
        ...


def score_texts(scorer: Scorer, texts: Sequence[str], *, threads: int | None = None) -> Scores:
    """Scores of texts that are already here; a row's id is its place. Memory is that of a batch of some `CHARACTERS` per thread.

    A lone surrogate, which no encoding can write, is read as the replacement character U+FFFD. (Readers of files quarantine such
    rows.)

    Args:
        scorer: any.
        texts: the rows.
        threads: of them; None: the cores for a scorer that leaves Python alone while it works (`frees_python`), else one.
    """
    cores = os.cpu_count() or 1
    threads = threads or (cores if getattr(scorer, "frees_python", False) else 1)
    spans = list(_spans(texts, threads))

    def part(span: tuple[int, int]) -> Scores:
        begin, end = span
        return scorer.score(batch_of(texts[begin:end], ids=pa.array(np.arange(begin, end)).cast(pa.string())))

    try:
        if threads > 1 and len(spans) > 1:
            with ThreadPoolExecutor(threads) as pool:
                parts = list(pool.map(part, spans))
        else:
            parts = [part(span) for span in spans]
    except UnicodeEncodeError:
        return score_texts(scorer, [LONE_SURROGATE.sub("\ufffd", text) for text in texts], threads=threads)
    if len(parts) == 1:
        return parts[0]
    columns = {name: pa.concat_arrays([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Scores(
        np.concatenate([part.values for part in parts]), [why for part in parts for why in part.reasons], columns
    )


def _spans(texts: Sequence[str], threads: int) -> Iterator[tuple[int, int]]:
    """Rows [begin, end) of each batch, one batch at least; with threads they are smaller, so that all have work to the end."""
    most = CHARACTERS
    if threads > 1:
        most = min(most, max(LEAST_CHARACTERS, sum(map(len, texts)) // (2 * threads)))
    begin = size = 0
    for at, text in enumerate(texts):
        if size >= most:
            yield begin, at
            begin, size = at, 0
        size += len(text)
    yield begin, len(texts)
