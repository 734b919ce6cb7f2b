"""Where a model's knowledge ends: its losses on dated documents, relative to what each document costs anyway.

    r_i = loss_i - baseline_i           (bits per unit; 2^r is the relative perplexity)

    m_b = mean of r_i over bucket b, the outer `trim` of each bucket left out

Two estimates, because two things are called a cut-off:

    minimum   centre of the bucket with the least m_b: the time the model knows BEST. Cheng et al. 2024 (Dated Data) take it on
              versions of the same documents through time; their curves leave the outer 5 % out, too. A model that learnt
              from all years up to Y knows old texts as well as those just before Y: its minimum need not lie near Y.
    rise      the boundary tau at which  m = a + c [t >= tau] + b (t - tau)+,  c, b >= 0, fits best (least squares, weights n_b):
              the time AFTER which the model knows less. Ours. This is the one to read for "trained on everything up to Y".

Intervals: percentile bootstrap over documents; they know nothing of a curve of another form. `p`: share of permutations of the dates with a fit at least as good as a rise.

A model has seen little of the words of its last years, so where language drifts slowly the rise begins one or two buckets
early; where new texts resemble old ones it cannot be seen at all. On texts that the model has learnt it is sharp.

The baseline matters most. Texts of one year are harder than those of another for any model: without a baseline the curve
shows that as well. In order of preference: the same documents at several dates (`documents`), or the losses of a model whose
end is known to lie later or whose years are even (`baseline`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["Bucket", "PerplexityCutoff", "perplexity_cutoff"]

FEWEST_BUCKETS = 4


@dataclass(frozen=True)
class Bucket:
    """One point of the curve.

    Args:
        begin: decimal year; the bucket holds [begin, end).
        end: decimal year.
        n: documents (versions, with `documents`), after trimming.
        relative: mean loss less baseline, bits per unit.
        low: of the bootstrap interval.
        high: of the interval.
    """

    begin: float
    end: float
    n: int
    relative: float
    low: float
    high: float


@dataclass(frozen=True)
class PerplexityCutoff:
    """Both estimates with their intervals, in decimal years, and the curve.

    Args:
        minimum: centre of the lowest bucket, with `minimum_low` and `minimum_high`.
        rise: boundary after which losses rise, None where no rise fits better than a level line; with `rise_low`, `rise_high`.
        step: bits by which the losses rise at once at `rise`.
        slope: bits per year by which they rise after it.
        p: of the rise, by permutation of the dates; over .05 there is no cut-off to speak of.
        n: documents used; `missing` without a loss, a date or a baseline; `sparse` in buckets with too few.
        curve: the buckets, oldest first.
    """

    minimum: float
    minimum_low: float
    minimum_high: float
    rise: float | None
    rise_low: float | None
    rise_high: float | None
    step: float
    slope: float
    p: float
    n: int
    missing: int
    sparse: int
    curve: list[Bucket]


def perplexity_cutoff(
    losses: ArrayLike,
    dates: ArrayLike,
    *,
    baseline: ArrayLike | None = None,
    documents: Sequence[object] | None = None,
    years: float = 1.0,
    trim: float = 0.05,
    min_documents: int = 5,
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> PerplexityCutoff:
    """The effective cut-off of a model from losses and dates; see the module for the formulas.

    Args:
        losses: (n,) bits per unit of each document, e.g. the column `bits_per_unit` of the scorer `perplexity`; NaN: none.
        dates: (n,) decimal years of writing, e.g. the score of `age`; NaN: none.
        baseline: (n,) losses of a reference model on the same documents, in the same unit.
        documents: (n,) names; rows of one name are versions of one document, and a version's loss is taken relative to the
            mean of its document's. Documents with one version say nothing then, and are missing. Resampled whole.
        years: width of a bucket.
        trim: share of each bucket left out, half at either end.
        min_documents: buckets with fewer are left out.
        draws: resamples, and permutations.
        level: of the intervals.
        seed: of the draws.

    Raises:
        AntivenomError: for arrays of unlike length, and when fewer than four buckets have enough documents.
    """
    loss, date = np.asarray(losses, float).ravel(), np.asarray(dates, float).ravel()
    base = np.zeros(len(loss)) if baseline is None else np.asarray(baseline, float).ravel()
    sizes = {len(loss), len(date), len(base)} | ({len(documents)} if documents is not None else set())
    if len(sizes) > 1:
        raise AntivenomError(f"arrays of {sorted(sizes)} entries", "give one loss, date and baseline per document")
    if years <= 0 or not 0 <= trim < 1 or draws < 1 or not 0 < level < 1:
        raise AntivenomError(
            f"years={years}, trim={trim}, draws={draws}, level={level}", "give numbers that make sense"
        )
    known = np.isfinite(loss) & np.isfinite(date) & np.isfinite(base)
    relative, date = (loss - base)[known], date[known]
    group = np.arange(len(relative))
    if documents is not None:
        names = [name for name, here in zip(documents, known) if here]
        group = np.unique([repr(name) for name in names], return_inverse=True)[1].ravel() if names else group
        versions = np.bincount(group)[group] if names else np.zeros(0)
        known_again = versions > 1
        relative, date, group = relative[known_again], date[known_again], group[known_again]
        if len(group):
            relative = relative - (np.bincount(group, relative) / np.maximum(np.bincount(group), 1))[group]
            group = np.unique(group, return_inverse=True)[1].ravel()
    missing = len(loss) - len(relative)
    bucket = np.floor(date / years).astype(np.int64)
    enough = np.isin(bucket, [b for b, n in zip(*np.unique(bucket, return_counts=True)) if n >= min_documents])
    sparse = int((~enough).sum())
    kept = np.flatnonzero(enough)
    kept = kept[_inner(relative[kept], bucket[kept], trim)]
    relative, bucket, group = relative[kept], bucket[kept], group[kept]
    numbers, place = np.unique(bucket, return_inverse=True)
    if len(numbers) < FEWEST_BUCKETS:
        what = f"{len(numbers)} buckets of {years:g} years with {min_documents} dated documents or more"
        raise AntivenomError(what, f"give more documents, or wider buckets: it takes {FEWEST_BUCKETS}")
    begins, centres = numbers * years, (numbers + 0.5) * years
    place, k, groups = place.ravel(), len(numbers), int(group.max()) + 1

    def curve(weights: np.ndarray, at: np.ndarray = place) -> tuple[np.ndarray, np.ndarray]:
        n = np.bincount(at, weights, k)
        with np.errstate(invalid="ignore"):
            return n, np.bincount(at, weights * relative, k) / n

    n, means = curve(np.ones(len(relative)))
    tau, step, slope, gain = _rise(begins, centres, n, means)
    random = generator(seed, "cut-off by perplexity")
    sampled, lows, rises = [], [], []
    for _ in range(draws):
        weights = np.bincount(random.integers(0, groups, groups), minlength=groups)[group].astype(float)
        n_here, here = curve(weights)
        sampled.append(here)
        lows.append(centres[np.nanargmin(here)])
        rises.append(_rise(begins, centres, n_here, here)[0])
    better = 0
    for _ in range(draws):
        order = random.permutation(len(relative))
        order = order[np.argsort(group[order], kind="stable")] if documents is not None else order
        mixed = place[np.argsort(group, kind="stable")] if documents is not None else place
        at = np.empty(len(relative), place.dtype)
        at[order] = mixed  # with versions: dates change places within a document
        better += _rise(begins, centres, *curve(np.ones(len(relative)), at))[3] >= gain
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.nanquantile(np.array(sampled), ends, axis=0)
    points = [
        Bucket(float(a), float(a + years), int(m), float(r), float(b), float(c))
        for a, m, r, b, c in zip(begins, n, means, low, high)
    ]
    found = [value for value in rises if value is not None]
    bounds = np.quantile(found, ends).tolist() if tau is not None and found else [None, None]
    lowest = np.quantile(lows, ends).tolist()
    return PerplexityCutoff(
        minimum=float(centres[np.argmin(means)]),
        minimum_low=lowest[0],
        minimum_high=lowest[1],
        rise=tau,
        rise_low=bounds[0],
        rise_high=bounds[1],
        step=step,
        slope=slope,
        p=(1 + better) / (1 + draws),
        n=len(relative),
        missing=missing,
        sparse=sparse,
        curve=points,
    )


def _inner(values: np.ndarray, bucket: np.ndarray, trim: float) -> np.ndarray:
    """Places of the values that are not among the outer `trim` of their bucket."""
    kept = []
    for number in np.unique(bucket):
        here = np.flatnonzero(bucket == number)
        cut = int(len(here) * trim / 2)
        kept.append(here[np.argsort(values[here], kind="stable")[cut : len(here) - cut]])
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)


def _rise(
    begins: np.ndarray, centres: np.ndarray, n: np.ndarray, means: np.ndarray
) -> tuple[float | None, float, float, float]:
    """The best boundary, its step and slope, and the share of the spread between buckets that it explains."""
    there = n > 0
    t, y, begin = centres[there], means[there], begins[there]
    root = np.sqrt(n[there])
    spread = float((n[there] * (y - np.average(y, weights=n[there])) ** 2).sum())
    best: tuple[float | None, float, float, float] = (None, 0.0, 0.0, 0.0)
    for _, tau in pairwise(begin):
        columns = {"step": (t > tau).astype(float), "slope": np.maximum(t - tau, 0.0)}
        for names in (("step", "slope"), ("step",), ("slope",)):
            x = np.column_stack([np.ones(len(t)), *(columns[name] for name in names)])
            fit = np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0]
            if (fit[1:] < -1e-9 * (1 + np.abs(y).max())).any():
                continue
            left = float((((y - x @ fit) * root) ** 2).sum())
            gain = (spread - left) / spread if spread > 0 else 0.0
            if gain > best[3] + 1e-12:
                found = dict(zip(names, map(float, fit[1:])))
                best = (float(tau), found.get("step", 0.0), found.get("slope", 0.0), gain)
    return best
