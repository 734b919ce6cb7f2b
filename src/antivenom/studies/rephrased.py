"""Rephrased contamination: which detector still finds a benchmark in a corpus when it is planted in other words?

antivenom study run rephrased --size tiny --seeds 3
antivenom study run rephrased --size small --data FOLDER     # real questions and rephrases, see data/paired_questions.py

1. The haystack: word problems, a tenth of them in the benchmark's own sentences with other numbers (near misses).
2. The dose: benchmark items planted at 0.1, 1, 5 and 20 % of the rows - word for word, in other words, or translated.
3. The treatment: a rule; or retrieval and then the offline judge; or the ensemble "cheap first, judge last". Controls:
   flagging nothing, and flagging as many rows at random.
4. The responses: end-to-end recall of the planted rows beside what is flagged in the twin (the same haystack without the
   dose), precision, F1 beside its floor, recall@5 of retrieval alone, cost.

Source: arXiv 2311.04850. Its F1 tables hand the judge aligned pairs (a perfect retriever) and count empty rephrases as hits;
here the detector has to find the row in the haystack first, and empty rephrases are dropped.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from antivenom.data.benchmarks import Benchmark
from antivenom.data.paired_questions import PairedQuestions, paired_questions
from antivenom.data.rows import Batch, batch_of
from antivenom.data.sample_questions import near_misses, word_problems
from antivenom.errors import AntivenomError, MissingExtra
from antivenom.measure.detection import confusion, end_to_end_recall, f1_floor, f1_interval, recall_at_k
from antivenom.measure.rates import Rate
from antivenom.poison.manifest import Manifest
from antivenom.poison.plant import planted
from antivenom.randomness import generator
from antivenom.screen.detector import Pairs, RankedDetector
from antivenom.screen.detectors import parse
from antivenom.screen.judges import make_judge
from antivenom.studies.frame import Cell, PaperFigure, Response, SkipCell, study

CONTROLS = ("none", "random")
RULES = ("ngram:n=13", "ngram:n=10", "ngram:n=8", "substring", "near-duplicate")
RETRIEVERS = ("bm25", "word-tfidf", "char-tfidf", "embedding")
ENSEMBLE_RULES = ("ngram:n=13", "substring")
ENSEMBLE_RETRIEVERS = ("bm25", "word-tfidf")
SHARES = (0.001, 0.01, 0.05, 0.2)
KINDS = ("verbatim", "rephrased", "translated")
K = 5

TABLE_5 = "paper, table 5 (MMLU algebra): F1 on aligned pairs, no retrieval; empty rephrases counted as hits"
OWN_COUNT = "not in the paper: measured on its published GSM8K rephrases hidden among the 7,473 GSM8K train questions"


@study(
    paper="Rethinking benchmark contamination with rephrased samples (arXiv 2311.04850)",
    dose="planted rows",
    of="rows of the haystack",
    doses=SHARES,
    treatments=(*CONTROLS, *RULES, *RETRIEVERS, "ensemble"),
    controls=CONTROLS,
    sizes={
        "smoke": {"haystack": 400, "items": 120, "near": 0.1},
        "tiny": {"haystack": 3_000, "items": 800, "near": 0.1},
        "small": {"haystack": 7_473, "items": 1_900, "near": 0.1},
        "real": {"haystack": None, "items": None, "near": 0.0, "data": None},
    },
    figures=[
        PaperFigure("F1, verbatim", 0.926, TABLE_5, treatment="ngram:n=10"),
        PaperFigure("F1, rephrased", 0.0, TABLE_5, treatment="ngram:n=10"),
        PaperFigure("F1, translated", 0.0, TABLE_5 + "; Chinese", treatment="ngram:n=10"),
        PaperFigure("F1, verbatim", 1.0, TABLE_5 + "; judge: GPT-4", treatment="ensemble"),
        PaperFigure("F1, rephrased", 0.960, TABLE_5 + "; judge: GPT-4", treatment="ensemble"),
        PaperFigure("F1, translated", 0.990, TABLE_5 + "; Chinese; judge: GPT-4", treatment="ensemble"),
        PaperFigure("recall@5 of retrieval, rephrased", 0.991, OWN_COUNT, treatment="bm25"),
        PaperFigure("recall, rephrased", 0.0, OWN_COUNT, treatment="ngram:n=13"),
    ],
)
def rephrased(cell: Cell) -> Iterator[Response]:
    """How much of a planted dose does each detector find: word for word, in other words, translated?"""
    settings = tuple(sorted(cell.settings.items()))
    if cell.size == "real" and not cell.settings.get("data"):
        raise AntivenomError("the size 'real' needs data", "give --data FOLDER")
    try:
        beside = twin(cell.treatment, cell.seed, settings)  # also compiles and loads whatever must not be timed
        for kind in KINDS:
            yield from responses(cell, plant(kind, cell.dose, cell.seed, settings), kind, beside)
    except MissingExtra as missing:
        raise SkipCell(missing.what) from missing


@dataclass(frozen=True)
class World:
    """A benchmark, and a corpus with the dose in it: planted row -> item."""

    bench: Benchmark
    rows: list[str]
    gold: dict[int, int]
    manifest: Manifest | None = None


def responses(cell: Cell, world: World, kind: str, beside: float) -> Iterator[Response]:
    """What one kind of dose answers."""
    truth = np.zeros(len(world.rows), bool)
    truth[list(world.gold)] = True
    positives, negatives = int(truth.sum()), int((~truth).sum())
    batch = batch_of(world.rows)
    begun = time.process_time()
    found = treat(cell.treatment, world.bench, batch, flags=positives, seed=cell.seed)
    seconds = time.process_time() - begun

    assert world.manifest is not None
    dose: dict[str, Any] = {"dose_count": world.manifest.dose.count, "dose_share": world.manifest.dose.share}
    counts = confusion(truth, found.flagged)
    recall = end_to_end_recall(world.gold, np.flatnonzero(found.flagged).tolist())
    if cell.treatment == "random":
        beside = positives / len(world.rows)
    yield rate(f"recall, {kind}", recall, dose, beside, "share of rows flagged in the twin without the dose")
    share = world.manifest.dose.share
    yield rate(f"precision, {kind}", counts.precision, dose, share, "precision of flagging everything")
    low, high = f1_interval(truth, found.flagged, seed=cell.seed)
    floor = f1_floor(positives, negatives)
    yield Response(f"F1, {kind}", counts.f1, len(truth), low, high, floor, "F1 of flagging everything", **dose)
    if found.ranked is not None:
        queries = [found.ranked.get(item, {}) for item in world.gold.values()]
        places = recall_at_k(queries, list(world.gold), K)
        yield rate(f"recall@{K} of retrieval, {kind}", places, dose, min(1.0, K / len(truth)), "rows at random")
    if kind == "rephrased":
        megabytes = sum(len(row.encode()) for row in world.rows) / 1e6
        yield Response("CPU seconds per MB", seconds / megabytes, 1, **dose)
        yield Response("judge calls per item", found.calls / len(world.bench), len(world.bench), **dose)


def rate(metric: str, value: Rate, dose: dict[str, Any], control: float | None, name: str) -> Response:
    """A rate with its interval as a response."""
    return Response(metric, value.value, value.n, value.low, value.high, control, name, **dose)


@lru_cache(maxsize=2)
def clean_world(seed: int, settings: tuple) -> tuple[World, dict[str, str] | None]:
    """The benchmark and the haystack without a dose; ready-made rephrases where the data has them."""
    given = dict(settings)
    size, items, near = given["haystack"], given["items"], given.get("near", 0.0)
    if given.get("data"):
        real: PairedQuestions = paired_questions(given["data"])
        draw = generator(seed, "haystack order")
        order = draw.permutation(len(real.haystack))[:size].tolist()
        bench = Benchmark(real.benchmark.name, real.benchmark.items[:items])
        return World(bench, [real.haystack[i] for i in order], {}), real.rephrases
    bench = Benchmark("word problems", word_problems(items, seed=seed, name="bench"))
    others = round(size * near)
    rows = [item.question for item in word_problems(size - others, seed=seed, name="hay", other=True)]
    rows += near_misses(bench.items, others, seed=seed)
    order = generator(seed, "haystack order").permutation(len(rows)).tolist()
    return World(bench, [rows[i] for i in order], {}), None


@lru_cache(maxsize=4)
def plant(kind: str, share: float, seed: int, settings: tuple) -> World:
    """The world with `share` of its rows planted as `kind`: at least one row, at most every item once."""
    clean, ready = clean_world(seed, settings)
    count = round(len(clean.rows) * share / (1 - share))
    count = max(1, min(len(clean.bench), count))
    texts = ready if kind == "rephrased" else None
    rows, manifest = planted(
        clean.rows, clean.bench.items, counts={kind: count}, seed=seed, benchmark=clean.bench.name, texts=texts
    )
    number = {item.id: index for index, item in enumerate(clean.bench.items)}
    return World(clean.bench, rows, {row.position: number[row.item_id] for row in manifest.rows}, manifest)


@lru_cache(maxsize=16)
def twin(treatment: str, seed: int, settings: tuple) -> float:
    """The share of rows that a treatment flags in the haystack without a dose."""
    clean, _ = clean_world(seed, settings)
    found = treat(treatment, clean.bench, batch_of(clean.rows), flags=0, seed=seed)
    return float(found.flagged.mean())


@dataclass
class Found:
    """Which rows are flagged; item -> row -> score of the first retrieval, if any; how many pairs were judged."""

    flagged: np.ndarray
    ranked: dict[int, dict[int, float]] | None = None
    calls: int = 0


def treat(treatment: str, bench: Benchmark, batch: Batch, *, flags: int, seed: int) -> Found:
    """Flag rows: by chance, by a rule, by retrieval and the judge, or by all of these, the cheap first."""
    found = Found(np.zeros(len(batch), bool))
    if treatment == "none":
        return found
    if treatment == "random":
        found.flagged[generator(seed, "random rows", flags).choice(len(batch), flags, replace=False)] = True
        return found
    whole = treatment == "ensemble"
    for name in ENSEMBLE_RULES if whole else [treatment] if treatment in RULES else []:
        found.flagged[search(name, bench, batch).row] = True
    seen: set[tuple[int, int]] = set()
    for name in ENSEMBLE_RETRIEVERS if whole else [treatment] if treatment in RETRIEVERS else []:
        pairs = search(name, bench, batch)
        found.ranked = by_item(pairs) if found.ranked is None else found.ranked
        keys = list(zip(pairs.row.tolist(), pairs.item.tolist()))
        # a row that is flagged needs no judge, and no pair is judged twice
        fresh = [i for i, key in enumerate(keys) if key not in seen and not found.flagged[key[0]]]
        seen.update(keys)
        found.calls += judge_rows(bench, batch, pairs, fresh, found.flagged)
    return found


def search(name: str, bench: Benchmark, batch: Batch) -> Pairs:
    """The pairs of one detector on one batch."""
    detector = parse(name)
    state = detector.fit(bench)
    if isinstance(detector, RankedDetector):
        state = detector.finish(state, detector.count(state, batch))
    return detector.match(state, batch)


def by_item(pairs: Pairs) -> dict[int, dict[int, float]]:
    """item -> row -> score."""
    found: dict[int, dict[int, float]] = {}
    for item, row, score in zip(pairs.item.tolist(), pairs.row.tolist(), pairs.score.tolist()):
        found.setdefault(item, {})[row] = score
    return found


def judge_rows(bench: Benchmark, batch: Batch, pairs: Pairs, chosen: list[int], flagged: np.ndarray) -> int:
    """Flag the rows that the offline judge calls the same as an item; returns how many pairs it read."""
    judge = make_judge("offline")
    texts = batch.texts.to_pylist()
    questions = []
    for i in chosen:
        item, row = int(pairs.item[i]), int(pairs.row[i])
        window = texts[row][int(pairs.start[i]) : int(pairs.stop[i])]
        questions.append((bench.text(item), window, bench.items[item].kind))
    for i, verdict in zip(chosen, judge.judge_pairs(questions)):
        flagged[int(pairs.row[i])] |= verdict.label == "same"
    return len(questions)
