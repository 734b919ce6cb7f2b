"""The F1 protocol for pair judges (the published scripts of arXiv 2311.04850), with its traps mended.

Positives are aligned pairs (original_i, rephrase_i); EMPTY rephrases are dropped and counted, never scored as hits.
Negatives are pairs (original_i, rephrase_j) of the same subject, drawn with a seed from ALL pairs, without items that share
their passage or their text. The published scripts draw 100 negatives from 15 originals without a seed: `paper=True` does
that, seeded, on the first 100 pairs.
This measures a judge with a perfect retriever; what retrieval loses is measured by `detection.recall_at_k`, and both
together by `detection.end_to_end_recall`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from antivenom.measure.detection import best_f1, confusion, f1_floor, f1_interval
from antivenom.randomness import generator

__all__ = ["PairScore", "PairSet", "judge_f1", "negative_pairs", "pair_set", "score_f1"]

MIN_LETTERS = 2
PAPER_PAIRS = 100
PAPER_ORIGINALS = 15
ENUMERATED = 200_000
"""Up to so many ordered pairs are listed and drawn from exactly; beyond, pairs are drawn until there are enough."""


@dataclass(frozen=True)
class PairSet:
    """What is put to a judge: texts a and b side by side, whether they are the same, and how many pairs were dropped."""

    a: list[str]
    b: list[str]
    truth: np.ndarray
    dropped: int


@dataclass(frozen=True)
class PairScore:
    """F1 of a judge on pairs, with what stands behind it.

    `floor` is the F1 of calling every pair the same. `threshold` is None for verdicts; where it was `chosen` on these very
    pairs, the F1 is optimistic.
    """

    f1: float | None
    low: float | None
    high: float | None
    floor: float | None
    positives: int
    negatives: int
    dropped: int
    undecided: int
    true_positive: int
    false_positive: int
    threshold: float | None = None
    chosen: bool = False


def usable(text: str) -> bool:
    """Whether a rephrase is more than white space and marks."""
    return sum(c.isalnum() for c in text) >= MIN_LETTERS


def negative_pairs(
    n: int,
    count: int,
    *,
    seed: int,
    passages: Sequence[str] | None = None,
    texts: Sequence[str] | None = None,
    paper: bool = False,
) -> list[tuple[int, int]]:
    """Index pairs (i, j), i != j, to serve as negatives.

    Args:
        n: items.
        count: pairs wanted (fewer when there are not as many).
        seed: of the draw.
        passages: items with equal, non-empty passages are not paired: their questions overlap for an honest reason.
        texts: items with equal texts are not paired: they are no negatives.
        paper: draw from the pairs i < j among 15 random items, as the published scripts do.
    """
    draw = generator(seed, "negative pairs", n, count, paper)

    def honest(i: int, j: int) -> bool:
        return not (passages and passages[i] and passages[i] == passages[j]) and not (texts and texts[i] == texts[j])

    if paper or n * (n - 1) <= ENUMERATED:
        chosen = sorted(draw.choice(n, min(PAPER_ORIGINALS, n), replace=False).tolist()) if paper else range(n)
        pool = [pair for pair in (combinations if paper else permutations)(chosen, 2) if honest(*pair)]
        picks = draw.choice(len(pool), min(count, len(pool)), replace=False).tolist() if pool else []
        return [pool[i] for i in picks]
    found: dict[tuple[int, int], None] = {}
    for _ in range(50 * count):
        if len(found) >= count:
            break
        i, j = (int(x) for x in draw.integers(0, n, 2))
        if i != j and honest(i, j):
            found[i, j] = None
    return list(found)


def pair_set(
    originals: Sequence[str],
    rephrases: Sequence[str],
    *,
    seed: int = 0,
    passages: Sequence[str] | None = None,
    limit: int | None = None,
    paper: bool = False,
) -> PairSet:
    """The pairs of the protocol: as many negatives as positives (100 in the paper's variant).

    Args:
        originals: the benchmark items of one subject.
        rephrases: aligned with them; empty ones are dropped and counted.
        seed: of the negatives.
        passages: see `negative_pairs`.
        limit: only the first items, empties counted among them (the paper's variant: 100).
        paper: the published way to draw negatives.

    Raises:
        ValueError: when the two are not aligned.
    """
    if len(originals) != len(rephrases):
        raise ValueError(f"{len(originals)} originals and {len(rephrases)} rephrases are not aligned")
    if paper and limit is None:
        limit = PAPER_PAIRS
    considered = range(len(originals) if limit is None else min(limit, len(originals)))
    kept = [i for i in considered if usable(rephrases[i])]
    a, b = [originals[i] for i in kept], [rephrases[i] for i in kept]
    about = [passages[i] for i in kept] if passages else None
    wanted = PAPER_PAIRS if paper else len(a)
    negatives = negative_pairs(len(a), wanted, seed=seed, passages=about, texts=a, paper=paper)
    return PairSet(
        a=a + [a[i] for i, _ in negatives],
        b=b + [b[j] for _, j in negatives],
        truth=np.r_[np.ones(len(a), bool), np.zeros(len(negatives), bool)],
        dropped=len(considered) - len(kept),
    )


def judge_f1(
    originals: Sequence[str],
    rephrases: Sequence[str],
    judge: Callable[[list[tuple[str, str]]], Sequence[bool | None]],
    *,
    seed: int = 0,
    passages: Sequence[str] | None = None,
    limit: int | None = None,
    paper: bool = False,
) -> PairScore:
    """F1 of a judge's verdicts on aligned pairs against drawn negatives.

    Args:
        originals, rephrases, passages, limit, paper: see `pair_set`.
        judge: (original, rephrase) pairs -> True, False or None (undecided: counts as not flagged, and is reported).
        seed: of the negatives and the interval.
    """
    pairs = pair_set(originals, rephrases, seed=seed, passages=passages, limit=limit, paper=paper)
    verdicts = list(judge(list(zip(pairs.a, pairs.b))))
    flagged = np.array([v is not None and bool(v) for v in verdicts], bool)
    return _score(pairs, flagged, seed, undecided=sum(v is None for v in verdicts))


def score_f1(
    originals: Sequence[str],
    rephrases: Sequence[str],
    scorer: Callable[[list[str], list[str]], Sequence[float]],
    *,
    threshold: float | None = None,
    seed: int = 0,
    passages: Sequence[str] | None = None,
    limit: int | None = None,
    paper: bool = False,
) -> PairScore:
    """F1 of a similarity on aligned pairs against drawn negatives: the same where the score is >= `threshold`.

    Args:
        originals, rephrases, passages, limit, paper: see `pair_set`.
        scorer: (texts a, texts b) -> one score per pair, higher = more alike.
        threshold: without one, the best for these very pairs is taken, which is optimistic (`chosen` says so).
        seed: of the negatives and the interval.
    """
    pairs = pair_set(originals, rephrases, seed=seed, passages=passages, limit=limit, paper=paper)
    scores = np.asarray(scorer(pairs.a, pairs.b), float)
    chosen = threshold is None
    if threshold is None:
        best = best_f1(pairs.truth, scores)
        threshold = best.threshold if best else 0.0
    return _score(pairs, scores >= threshold, seed, threshold=threshold, chosen=chosen)


def _score(
    pairs: PairSet,
    flagged: np.ndarray,
    seed: int,
    *,
    undecided: int = 0,
    threshold: float | None = None,
    chosen: bool = False,
) -> PairScore:
    counts = confusion(pairs.truth, flagged)
    positives, negatives = int(pairs.truth.sum()), int((~pairs.truth).sum())
    low, high = f1_interval(pairs.truth, flagged, seed=seed)
    return PairScore(
        f1=counts.f1,
        low=low,
        high=high,
        floor=f1_floor(positives, negatives),
        positives=positives,
        negatives=negatives,
        dropped=pairs.dropped,
        undecided=undecided,
        true_positive=counts.true_positive,
        false_positive=counts.false_positive,
        threshold=threshold,
        chosen=chosen,
    )
