"""How well a score per row finds the poisons a manifest lists: ranking, recall at a removed share, what removal costs.

Every figure stands beside removing as many rows at random. Rows without a score (NaN) are never removed; they are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import hypergeom

from antivenom.errors import AntivenomError
from antivenom.measure.calibration import Measured, auprc_measured, auroc_measured
from antivenom.measure.rates import Rate
from antivenom.poison.manifest import Dose, Manifest
from antivenom.randomness import generator

__all__ = [
    "SHARES",
    "Detection",
    "RemovalPoint",
    "detection",
    "detections",
    "poisoned_rows",
    "random_removal",
    "removal",
    "removal_curve",
]

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class RemovalPoint:
    """What is left after removing the most suspicious rows.

    Args:
        share: of all rows asked to be removed.
        removed: rows removed: floor(share n), or all that have a score when these are fewer.
        poisons_left: poisons still in the set.
        recall: removed poisons, of the poisons.
        clean_lost: removed clean rows, of the clean rows.
        random_left: poisons left, on average, by removing as many rows at random: P (1 - removed / n).
        random_low, random_high: the middle 95 % of that number (hypergeometric, exact).
    """

    share: float
    removed: int
    poisons_left: int
    recall: Rate
    clean_lost: Rate
    random_left: float
    random_low: int
    random_high: int


@dataclass(frozen=True)
class Detection:
    """One detector against the truth.

    Args:
        name: of the detector, as typed.
        dose: poisons in the set.
        auroc: P(poison above clean); missing without a poison or without a clean row.
        auprc: average precision; a score that knows nothing has the dose's share.
        at_dose: recall when as many rows are removed as there are poisons (then recall is precision).
        curve: of `removal_curve`.
    """

    name: str
    dose: Dose
    auroc: Measured
    auprc: Measured
    at_dose: Rate
    curve: tuple[RemovalPoint, ...]

    def record(self) -> dict[str, Any]:
        """As plain data."""
        plain = asdict(self)
        plain["dose"]["share"] = self.dose.share
        return plain


def poisoned_rows(manifest: Manifest, ids: Sequence[str]) -> np.ndarray:
    """Which of the rows with these ids the manifest lists, (n,) bool: by id, never by place in the file or by path.

    Raises:
        AntivenomError: for ids that repeat, and for touched rows that are not among them.
    """
    places = {row_id: place for place, row_id in enumerate(ids)}
    if len(places) < len(ids):
        raise AntivenomError(f"{len(ids) - len(places)} row ids repeat", "give each row an id of its own")
    lost = [row.row_id for row in manifest.rows if row.row_id not in places]
    if lost:
        mend = "give the embeddings of the corpus that the manifest was written with"
        raise AntivenomError(f"{len(lost)} rows of the manifest have no embedding (first: {lost[0]})", mend)
    mask = np.zeros(len(ids), bool)
    mask[[places[row.row_id] for row in manifest.rows]] = True
    return mask


def removal(scores: ArrayLike, share: float, *, seed: int = 0) -> np.ndarray:
    """Mask of the floor(share n) highest scores, (n,) bool; NaN is never removed.

    Equal scores are removed in an order drawn from the seed, not in the order of the file: poisons are often its first rows, and a
    detector that says nothing would seem to find them.

    Raises:
        AntivenomError: for a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise AntivenomError(f"a removed share of {share}", "give a number from 0 to 1")
    s = np.asarray(scores, float)
    return _top(s, int(share * len(s) + 1e-9), seed)


def _top(scores: np.ndarray, count: int, seed: int) -> np.ndarray:
    tie = generator(seed, "ties of a removal", len(scores)).random(len(scores))
    order = np.lexsort((tie, -scores))  # NaN sorts last
    mask = np.zeros(len(scores), bool)
    mask[order[: min(count, int((~np.isnan(scores)).sum()))]] = True
    return mask


def random_removal(n: int, removed: int, *, seed: int = 0) -> np.ndarray:
    """The control: a mask of `removed` of n rows, drawn without looking.

    Raises:
        AntivenomError: for more rows than there are.
    """
    if not 0 <= removed <= n:
        raise AntivenomError(f"{removed} of {n} rows", "remove from 0 to n rows")
    mask = np.zeros(n, bool)
    mask[generator(seed, "random removal", n).permutation(n)[:removed]] = True
    return mask


def removal_curve(
    truth: ArrayLike, scores: ArrayLike, *, shares: Sequence[float] = SHARES, seed: int = 0
) -> tuple[RemovalPoint, ...]:
    """One point per share (see `RemovalPoint`).

    Args:
        truth: poisoned or not, per row.
        scores: higher is more suspicious; NaN is missing.
        shares: to remove, of all rows.
        seed: of the order among equal scores.

    Raises:
        AntivenomError: for other numbers of rows, and a share outside [0, 1].
    """
    y, s = _fitting(truth, scores)
    n, poisons = len(y), int(y.sum())
    points = []
    for share in shares:
        gone = removal(s, share, seed=seed)
        removed, hits = int(gone.sum()), int((gone & y).sum())
        drawn = hypergeom(n, poisons, removed)
        points.append(
            RemovalPoint(
                share,
                removed,
                poisons - hits,
                Rate(hits, poisons, "poisons"),
                Rate(removed - hits, n - poisons, "clean rows"),
                poisons * (1 - removed / n),
                poisons - int(drawn.ppf(0.975)),
                poisons - int(drawn.ppf(0.025)),
            )
        )
    return tuple(points)


def detection(
    name: str,
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    resamples: int = 1_000,
    of: str = "pairs",
) -> Detection:
    """All figures of one detector; without a poison the ranking figures are missing, not 0 and not 1/2.

    Args:
        name: of the detector, as typed.
        truth, scores, shares, seed: as for `removal_curve`.
        resamples: of the bootstrap over rows.
        of: what a row is, in words.

    Raises:
        AntivenomError: for other numbers of rows, and a share outside [0, 1].
    """
    y, s = _fitting(truth, scores)
    poisons = int(y.sum())
    return Detection(
        name,
        Dose(poisons, len(y), of),
        auroc_measured(y, s, seed=seed, resamples=resamples),
        auprc_measured(y, s, seed=seed, resamples=resamples),
        Rate(int((_top(s, poisons, seed) & y).sum()), poisons, "poisons"),
        removal_curve(y, s, shares=shares, seed=seed),
    )


def detections(truth: ArrayLike, scores: Mapping[str, ArrayLike], **options: Any) -> list[Detection]:
    """`detection` of several detectors on the same rows."""
    return [detection(name, truth, values, **options) for name, values in scores.items()]


def _fitting(truth: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y, s = np.asarray(truth, bool), np.asarray(scores, float)
    if y.shape != s.shape or y.ndim != 1 or not len(y):
        raise AntivenomError(
            f"{y.shape} rows of truth and {s.shape} scores", "give one score per row, at least one row"
        )
    return y, s
