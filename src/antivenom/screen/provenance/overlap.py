"""How much of one corpus is, nearly, in another: MinHash LSH with an exact check of every candidate.

Source: Gehman et al. 2020 (RealToxicityPrompts), section on web text: character 5-shingles, 128 permutations, Jaccard .9.
Character and word shingles give different overlaps, so the unit is part of the result.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow as pa

from antivenom.data.corpus import Corpus
from antivenom.data.words import hash_words
from antivenom.errors import AntivenomError
from antivenom.intervals import wilson
from antivenom.randomness import generator
from antivenom.report.run_directory import RunDirectory, atomic_file
from antivenom.screen.near_duplicate import minhash, shingles

__all__ = ["Overlap", "OverlapResult", "overlap_of", "signature_similarity"]

MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class OverlapResult:
    """Near-duplicates between two corpora, seen from the smaller one.

    Args:
        matched: per text of `b` the index of its most similar text in `a` at or over the threshold, else -1.
        similarity: its exact Jaccard similarity, 0 where there is none.
        share, low, high: share of the texts of `b` with a match, and its Wilson interval.
        empty: texts of `b` without a shingle: they count in the denominator and match nothing.
        params: unit, shingle, permutations, bands, threshold.
    """

    matched: np.ndarray
    similarity: np.ndarray
    share: float | None
    low: float | None
    high: float | None
    params: dict[str, Any] = field(default_factory=dict)
    empty: int = 0


@dataclass(frozen=True)
class Overlap:
    """Finds texts of `b` with a near-duplicate in `a`.

    J(A, B) = |A & B| / |A | B| over sets of shingles. A pair at similarity s becomes a candidate with probability
    1 - (1 - s^r)^bands, r = permutations / bands; candidates are measured exactly, so no false pair is returned.

    Args:
        threshold: least Jaccard similarity.
        unit: `character` shingles (as RealToxicityPrompts) or `word` shingles.
        shingle: characters or words in a run; texts are white-space-collapsed and lower-cased first.
        permutations: minima in a signature.
        bands: parts of a signature.
        seed: for the permutations.
    """

    threshold: float = 0.9
    unit: Literal["character", "word"] = "character"
    shingle: int = 5
    permutations: int = 128
    bands: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            not 0 < self.threshold <= 1
            or self.permutations % self.bands
            or self.unit not in ("character", "word")
            or self.shingle < 1
        ):
            mend = "threshold lies in (0, 1], a shingle has one symbol or more, bands divide permutations, unit is character or word"
            raise AntivenomError(f"overlap with {asdict(self)}", mend)

    def sets(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The distinct hashed shingles of every text, sorted."""
        if self.unit == "word":
            table = hash_words(pa.array(list(texts), pa.large_string()))
            bounds = table.row_offsets
            return [shingles(table.hashes[bounds[i] : bounds[i + 1]], self.shingle) for i in range(len(texts))]
        points = [np.frombuffer(" ".join(t.split()).lower().encode("utf-32-le"), np.uint32) for t in texts]
        return [shingles((p.astype(np.uint64) + np.uint64(1)) * MIX, self.shingle) for p in points]

    def signatures(self, sets: Sequence[np.ndarray]) -> np.ndarray:
        """uint64 (n, permutations): the least a_i h + b_i mod 2^64 over the shingles h of each set."""
        draw = generator(self.seed, "overlap")
        multipliers = draw.integers(1, 2**63, self.permutations, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        offsets = draw.integers(0, 2**63, self.permutations, dtype=np.uint64)
        made = [minhash(members, multipliers, offsets) for members in sets]
        return np.array(made, np.uint64).reshape(len(made), self.permutations)

    def find(self, a: Sequence[str], b: Sequence[str]) -> OverlapResult:
        """Match the texts of `b` (the smaller corpus: it is the denominator) against those of `a`."""
        left, right = self.sets(a), self.sets(b)
        buckets: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(self.bands)]
        for index, keys in enumerate(self._keys(self.signatures(left))):
            if len(left[index]):
                for band, key in enumerate(keys):
                    buckets[band][key].append(index)
        matched = np.full(len(b), -1, np.int64)
        similarity = np.zeros(len(b))
        for index, keys in enumerate(self._keys(self.signatures(right))):
            if not len(right[index]):
                continue
            candidates = {i for band, key in enumerate(keys) for i in buckets[band].get(key, ())}
            for i in sorted(candidates):
                shared = len(np.intersect1d(left[i], right[index], assume_unique=True))
                value = shared / (len(left[i]) + len(right[index]) - shared)
                if value >= self.threshold and value > similarity[index]:
                    matched[index], similarity[index] = i, value
        hits = int((matched >= 0).sum())
        low, high = wilson(hits, len(b)) if len(b) else (None, None)
        share = hits / len(b) if len(b) else None
        return OverlapResult(matched, similarity, share, low, high, asdict(self), sum(not len(s) for s in right))

    def _keys(self, signatures: np.ndarray) -> list[list[bytes]]:
        parts = signatures.reshape(len(signatures), self.bands, self.permutations // self.bands)
        return [[band.tobytes() for band in row] for row in parts]


def overlap_of(
    a: Corpus,
    b: Corpus,
    method: Overlap,
    *,
    names: tuple[str, str],
    out: str | Path | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> dict[str, Any]:
    """The overlap of two corpora, seen from the one with fewer rows (the second where they are equal).

    Args:
        a, b: read whole, with memory for all their texts.
        method: how texts are compared.
        names: of both, for the record.
        out: run directory for `run.json` and `pairs.jsonl`: `smaller` and `other`, each with id, file and position, and
            `similarity`; None: nothing is written.
        overwrite: replace another run in `out`.
        command: the command line, for the record.

    Returns:
        `smaller`, `rows`, `matched`, `share` with its Wilson interval `low`, `high`; `other`, `other_rows`; `empty` texts, rows
        `unread`, and the method's `params`.
    """
    if out is None:
        return _overlap_of(a, b, method, names, None)
    config = {"verb": "overlap", "corpora": [a.describe(), b.describe()], "method": asdict(method)}
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if not run.complete:
            with run.step("match") as step:
                record = _overlap_of(a, b, method, names, run.path / "pairs.jsonl")
                step.rows = record["rows"] + record["other_rows"]
            run.finish({"verb": "overlap", "command": list(command), "overlap": record})
        return run.read()["overlap"]


def _overlap_of(a: Corpus, b: Corpus, method: Overlap, names: tuple[str, str], out: Path | None) -> dict[str, Any]:
    read = [_Texts.of(a, names[0]), _Texts.of(b, names[1])]
    other, smaller = read if len(read[1].texts) <= len(read[0].texts) else reversed(read)
    found = method.find(other.texts, smaller.texts)
    if out is not None:
        with atomic_file(out) as temporary, Path(temporary).open("wb") as target:
            for i in np.flatnonzero(found.matched >= 0).tolist():
                line = {"smaller": smaller.place(i), "other": other.place(int(found.matched[i]))}
                target.write(orjson.dumps(line | {"similarity": float(found.similarity[i])}) + b"\n")
    return {
        "smaller": smaller.name,
        "rows": len(smaller.texts),
        "matched": int((found.matched >= 0).sum()),
        "share": found.share,
        "low": found.low,
        "high": found.high,
        "other": other.name,
        "other_rows": len(other.texts),
        "empty": found.empty,
        "unread": sum(one.unread for one in read),
        "params": found.params,
    }


@dataclass
class _Texts:
    """A corpus in memory."""

    name: str
    texts: list[str]
    rows: list[pa.Table]
    unread: int

    @classmethod
    def of(cls, corpus: Corpus, name: str) -> "_Texts":
        found = cls(name, [], [], 0)
        for batch in corpus.batches():
            found.texts += batch.texts.to_pylist()
            found.rows.append(batch.rows.select(["id", "file", "position"]))
            found.unread += len(batch.quarantined)
        return found

    @cached_property
    def _table(self) -> pa.Table:
        return pa.concat_tables(self.rows).combine_chunks()

    def place(self, row: int) -> dict[str, Any]:
        return self._table.slice(row, 1).to_pylist()[0]


def signature_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """The MinHash estimate of Jaccard similarity: the share of equal minima. Unbiased over the draw of permutations."""
    return float((a == b).mean())
