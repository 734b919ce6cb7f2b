"""Folds of cross-validation: stratified, and by groups so that no copy of a test row is in training.

A plain random k-fold puts the twin of a duplicated row into training with probability about 1 - 1/k, so a learner that
remembers is rewarded for it. Groups (`antivenom.data.duplicates.duplicate_groups`) keep all copies of a text on one side;
between the two lies `straddling_folds`, in which a chosen share of the duplicate groups may be torn apart.

Protocol of ToxiCR (arXiv 2202.13056; section 2.3 of our notes on its code): every repeat is a stratified 10-fold with a seed
of its own, drawn by `random.seed(999)` and `randint(1, 10000)`.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = [
    "Fold",
    "assert_apart",
    "deduplicated",
    "grouped_folds",
    "make_folds",
    "paper_seeds",
    "straddling_folds",
    "stratified_folds",
    "twin_share",
    "twins_in_training",
]

KINDS = ("random", "grouped", "deduplicated")


@dataclass(frozen=True)
class Fold:
    """One split: row numbers of training and test; `repeat` counts from 0 and `number` from 1, as in the paper's files."""

    repeat: int
    number: int
    train: np.ndarray
    test: np.ndarray


def paper_seeds(repeats: int = 5, start: int = 999) -> list[int]:
    """The seeds of the paper's repeats: `random.seed(start)`, then `randint(1, 10000)` per repeat.

    >>> paper_seeds()
    [1312, 9303, 9401, 8745, 8038]
    """
    draw = random.Random(start)
    return [draw.randint(1, 10_000) for _ in range(repeats)]


def stratified_folds(labels: ArrayLike, *, k: int = 10, seed: int, repeat: int = 0) -> list[Fold]:
    """Shuffled stratified k-fold as published (scikit-learn's `StratifiedKFold`): copies may lie on both sides.

    Raises:
        AntivenomError: when a class has fewer than k rows.
    """
    from sklearn.model_selection import StratifiedKFold

    y = _checked(labels, k)
    splits = StratifiedKFold(k, shuffle=True, random_state=seed).split(np.zeros(len(y)), y)
    return [Fold(repeat, number, train, test) for number, (train, test) in enumerate(splits, 1)]


def grouped_folds(labels: ArrayLike, groups: ArrayLike, *, k: int = 10, seed: int, repeat: int = 0) -> list[Fold]:
    """Stratified k-fold of whole groups: every group lies in the test rows of exactly one fold.

    Groups are shuffled, taken in order of falling spread of their class counts (then of size), and each is given to the fold
    in which the classes stay most even: the least sum over classes of the standard deviation over folds of the share of the
    class's rows (as scikit-learn's `StratifiedGroupKFold` does); a tie goes to the fold with the fewest rows.

    Raises:
        AntivenomError: when a class has fewer than k rows, or lies in fewer than two groups.
    """
    y, g = _checked(labels, k), np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(g) != len(y):
        raise ValueError(f"{len(y)} labels and {len(g)} groups")
    for value in np.unique(y):
        if len(np.unique(g[y == value])) < 2:
            raise AntivenomError(
                f"all rows with label {value} are copies of one another", "no test can be apart from training: add rows"
            )
    fold_of = _deal(y, g, k, seed)[g]
    rows = np.arange(len(y))
    folds = [Fold(repeat, n + 1, rows[fold_of != n], rows[fold_of == n]) for n in range(k)]
    if empty := [f.number for f in folds if not len(f.test)]:
        raise AntivenomError(
            f"{len(np.unique(g))} groups do not fill {k} folds (fold {empty[0]} is empty)", "ask for fewer folds"
        )
    assert_apart(folds, g)
    return folds


def _deal(y: np.ndarray, g: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The fold of each group: group by group to where the classes stay most even."""
    classes, index = np.unique(y, return_inverse=True)
    counts = np.zeros((g.max() + 1, len(classes)), np.int64)
    np.add.at(counts, (g, index), 1)
    order = generator(seed, "grouped folds").permutation(len(counts))
    shuffled = counts[order]
    order = order[np.lexsort((-shuffled.sum(1), -shuffled.std(1)))]
    total = counts.sum(0)
    held = np.zeros((k, len(classes)))
    rows_held = np.zeros(k)
    fold_of = np.zeros(len(counts), np.int64)
    for group in order:
        # after adding to fold f only row f changes: the spread of each class follows from sums and sums of squares
        share, add = held / total, counts[group] / total
        first = share.sum(0) + add
        second = (share**2).sum(0) - share**2 + (share + add) ** 2
        spread = np.sqrt(np.maximum(second / k - (first / k) ** 2, 0.0)).mean(1)
        best = np.flatnonzero(spread <= spread.min() + 1e-12)
        fold = best[np.argmin(rows_held[best])]
        held[fold] += counts[group]
        rows_held[fold] += counts[group].sum()
        fold_of[group] = fold
    return fold_of


def straddling_folds(
    labels: ArrayLike, groups: ArrayLike, *, share: float, k: int = 10, seed: int, repeat: int = 0
) -> tuple[list[Fold], int]:
    """Folds in which `share` of the duplicate groups may be torn apart, and the number of rows in those groups.

    The groups are nested: those that may straddle at a small share may at a larger one. share = 0 is `grouped_folds`;
    share = 1 is a stratified k-fold in which every row goes its own way.

    Raises:
        AntivenomError: when the share is outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise AntivenomError(f"a share of {share} duplicate groups", "give a share from 0 to 1")
    g = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
    sizes = np.bincount(g)
    several = generator(seed, "straddling groups").permutation(np.flatnonzero(sizes > 1))
    torn = several[: round(share * len(several))]
    loose = np.isin(g, torn)
    own = g.copy()
    own[loose] = len(sizes) + np.arange(int(loose.sum()))
    return grouped_folds(labels, own, k=k, seed=seed, repeat=repeat), int(loose.sum())


def deduplicated(groups: ArrayLike) -> np.ndarray:
    """Row numbers of the first row of every group, in order."""
    return np.sort(np.unique(np.asarray(groups), return_index=True)[1])


def make_folds(
    kind: str, labels: ArrayLike, groups: ArrayLike, *, k: int = 10, seeds: Sequence[int] = (1312,)
) -> list[Fold]:
    """All folds of all repeats: `random` as published, `grouped`, or `deduplicated` (one row of each group, the rest unused).

    Args:
        kind: one of the three.
        labels: 0 / 1 per row.
        groups: per row; equal numbers are copies.
        k: folds in a repeat.
        seeds: one per repeat (`paper_seeds`).

    Raises:
        AntivenomError: for an unknown kind, or too few rows.
    """
    if kind not in KINDS:
        raise AntivenomError(f"there are no '{kind}' folds", f"choose from: {', '.join(KINDS)}")
    y = np.asarray(labels)
    return [fold for repeat, seed in enumerate(seeds) for fold in _one_repeat(kind, y, groups, k, seed, repeat)]


def _one_repeat(kind: str, y: np.ndarray, groups: ArrayLike, k: int, seed: int, repeat: int) -> Iterator[Fold]:
    if kind == "random":
        yield from stratified_folds(y, k=k, seed=seed, repeat=repeat)
    elif kind == "grouped":
        yield from grouped_folds(y, groups, k=k, seed=seed, repeat=repeat)
    else:
        kept = deduplicated(groups)
        for fold in stratified_folds(y[kept], k=k, seed=seed, repeat=repeat):
            yield Fold(repeat, fold.number, kept[fold.train], kept[fold.test])


def assert_apart(folds: Sequence[Fold], groups: ArrayLike) -> None:
    """Assert that no group is on both sides of a fold.

    Raises:
        AssertionError: naming the fold.
    """
    g = np.asarray(groups)
    for fold in folds:
        shared = np.intersect1d(g[fold.train], g[fold.test])
        if len(shared):
            raise AssertionError(f"fold {fold.number} has {len(shared)} groups in both training and test")


def twins_in_training(fold: Fold, groups: ArrayLike) -> np.ndarray:
    """Which test rows of a fold have a copy in its training rows; bool (n_test,)."""
    g = np.asarray(groups)
    return np.isin(g[fold.test], g[fold.train])


def twin_share(folds: Sequence[Fold], groups: ArrayLike) -> float | None:
    """Share of all test rows that have a copy in their own fold's training rows; None without test rows."""
    marks = [twins_in_training(fold, groups) for fold in folds]
    return float(np.concatenate(marks).mean()) if marks and sum(map(len, marks)) else None


def _checked(labels: ArrayLike, k: int) -> np.ndarray:
    y = np.asarray(labels)
    values, counts = np.unique(y, return_counts=True)
    if k < 2:
        raise AntivenomError(f"{k} folds", "ask for at least 2")
    if len(values) < 2:
        raise AntivenomError(f"all {len(y)} rows have one label", "give rows of both classes")
    if counts.min() < k:
        rare = values[counts.argmin()]
        raise AntivenomError(f"only {counts.min()} rows have label {rare}, for {k} folds", "ask for fewer folds")
    return y
