"""What must be known of labelled texts before any score on them is printed: copies, conflicts, empty rows, overlap.

    checks = check_data(texts, labels, folds=folds)
    print(*checks.lines(), sep="\\n")

Run by `cross_validate` and by every evaluation of a labelled file: a score without these lines is not printed. (Traps T1, T15,
T16 and T18 of the ToxiCR data: 12,783 distinct texts in 19,651 rows; a test file of which 97 % is in training.)
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from antivenom.data.benchmarks import Benchmark, Item
from antivenom.data.duplicates import duplicate_groups, overlap
from antivenom.data.rows import batch_of
from antivenom.measure.folds import Fold, twin_share
from antivenom.report.wording import count, percent

__all__ = ["BANNER_ABOVE", "DataChecks", "check_data", "label_ceiling", "near_groups", "near_overlap"]

BANNER_ABOVE = 0.01
"""Share of test rows with a copy in training above which a score is announced as flattered."""


@dataclass(frozen=True)
class DataChecks:
    """What was found, as plain data.

    Args:
        rows: of the data.
        distinct: texts after white space is collapsed and letters are lower-cased.
        duplicated_rows: rows in groups of two and more.
        duplicate_groups: of two and more rows.
        empty_rows: without any text but white space.
        positives: rows with label 1.
        conflict_groups, conflict_rows: groups that carry both labels, and the rows in them.
        ceiling: the best accuracy any function of the text can have on these rows.
        folds: how many were checked, 0 for none.
        twin_share: share of test rows with a copy in training: over the folds, or of the test file.
        test_rows, exact_overlap, near_overlap: of a test file: its rows, and how many of them have a copy, or a copy or
            near-duplicate, in training.
    """

    rows: int
    distinct: int
    duplicated_rows: int
    duplicate_groups: int
    empty_rows: int
    positives: int
    conflict_groups: int
    conflict_rows: int
    ceiling: float | None
    folds: int = 0
    twin_share: float | None = None
    test_rows: int | None = None
    exact_overlap: int | None = None
    near_overlap: int | None = None

    def record(self) -> dict[str, Any]:
        """As plain data, for `run.json`."""
        return asdict(self)

    @property
    def leaks(self) -> bool:
        """True where a score is flattered: more than 1 % of the test rows have a copy (or near-copy) in training."""
        near = (self.near_overlap or 0) / self.test_rows if self.test_rows else 0.0
        return max(self.twin_share or 0.0, near) > BANNER_ABOVE

    @property
    def banner(self) -> str:
        """The warning to print in red above the scores; "" when there is nothing to warn of."""
        if not self.leaks:
            return ""
        if self.test_rows:
            seen = max(self.exact_overlap or 0, self.near_overlap or 0)
            what = f"{count(seen)} of {count(self.test_rows)} test rows ({percent(seen / self.test_rows)}) are also in training"
            return f"LEAK: {what}. They are no held-out rows; figures leave them out."
        what = f"{percent(self.twin_share)} of the test rows have a copy in training"
        return f"LEAK: {what}. Scores below are flattered; grouped folds are not."

    def lines(self) -> list[str]:
        """What to print before a score: one fact a line, the banner last."""
        found = [
            f"{count(self.rows)} rows, {count(self.distinct)} distinct texts; {count(self.duplicated_rows)} rows in "
            f"{count(self.duplicate_groups)} groups of copies; {count(self.positives)} positive",
            f"empty rows: {count(self.empty_rows)}",
            f"label conflicts: {count(self.conflict_groups)} texts carry both labels ({count(self.conflict_rows)} rows); "
            f"no function of the text has an accuracy above {'-' if self.ceiling is None else f'{self.ceiling:.4f}'}",
        ]
        if self.folds:
            found.append(f"test rows with a copy in training, over {self.folds} folds: {percent(self.twin_share)}")
        if self.test_rows is not None:
            near = "" if self.near_overlap is None else f", {count(self.near_overlap)} with near-duplicates"
            found.append(f"test file: {count(self.exact_overlap)} of {count(self.test_rows)} rows in training{near}")
        return [*found, self.banner] if self.banner else found


def check_data(
    texts: Sequence[str],
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    folds: Sequence[Fold] = (),
    test_texts: Sequence[str] | None = None,
    near: float | None = 0.8,
) -> DataChecks:
    """Check labelled texts, and the split they are scored by.

    Args:
        texts, labels: the rows (with `test_texts`: the training rows).
        groups: copies, as numbers; None: equal texts after white space and case are folded.
        folds: of cross-validation.
        test_texts: of a test file.
        near: least Jaccard similarity of 5-word shingles of a near-duplicate; None: exact copies only.

    Raises:
        ValueError: when there are not as many labels as texts.
    """
    y = np.asarray(labels)
    if len(y) != len(texts):
        raise ValueError(f"{len(texts)} texts and {len(y)} labels")
    empty = np.array([not text.strip() for text in texts], bool)
    found = duplicate_groups(texts) if groups is None else np.asarray(groups)
    numbers = np.unique(found, return_inverse=True)[1] if len(found) else np.zeros(0, np.int64)
    sizes = np.bincount(numbers)
    several = sizes > 1
    copies = numbers.copy()
    if groups is None and empty.any():
        several[numbers[empty]] = False  # empty texts say nothing, so they are no copies of one another
        copies[empty] = len(sizes) + np.arange(int(empty.sum()))
    ceiling, conflicting = label_ceiling(numbers, y)
    split: dict[str, Any] = {"folds": len(folds), "twin_share": twin_share(folds, copies) if folds else None}
    if test_texts is not None:
        exact = overlap(texts, test_texts)
        close = exact | near_overlap(texts, test_texts, near) if near is not None else None
        split |= {
            "twin_share": float(exact.mean()) if len(exact) else None,
            "test_rows": len(test_texts),
            "exact_overlap": int(exact.sum()),
            "near_overlap": None if close is None else int(close.sum()),
        }
    return DataChecks(
        rows=len(texts),
        distinct=len(sizes),
        duplicated_rows=int(sizes[several].sum()),
        duplicate_groups=int(several.sum()),
        empty_rows=int(empty.sum()),
        positives=int((y == 1).sum()),
        conflict_groups=int(conflicting.sum()),
        conflict_rows=int(sizes[conflicting].sum()),
        ceiling=ceiling,
        **split,
    )


def label_ceiling(groups: ArrayLike, labels: ArrayLike) -> tuple[float | None, np.ndarray]:
    """The best accuracy of any function that is constant on groups, and which groups carry more than one label.

    ceiling = sum over groups of the count of their most frequent label / rows: equal texts get equal verdicts, so of a group
    with 3 toxic and 1 clean copies one is always wrong. None without rows.
    """
    g, y = np.asarray(groups), np.asarray(labels)
    if not len(g):
        return None, np.zeros(0, bool)
    _, group = np.unique(g, return_inverse=True)
    values, label = np.unique(y, return_inverse=True)
    counts = np.zeros((group.max() + 1, len(values)), np.int64)
    np.add.at(counts, (group, label), 1)
    return float(counts.max(1).sum() / len(y)), (counts > 0).sum(1) > 1


def near_overlap(train: Sequence[str], test: Sequence[str], threshold: float = 0.8) -> np.ndarray:
    """Which test texts have a near-duplicate in training: Jaccard similarity of 5-word shingles >= threshold; bool (n_test,).

    Found by MinHash and then measured exactly (`antivenom.screen.near_duplicate`), so that no false pair counts.
    """
    from antivenom.screen.near_duplicate import NearDuplicate

    marks = np.zeros(len(test), bool)
    if len(train) and len(test):
        detector = NearDuplicate(threshold=threshold)
        # the test rows are the items and training is the corpus: the index is then as small as the test file
        bench = Benchmark("test rows", [Item(str(i), text) for i, text in enumerate(test)])
        marks[np.unique(detector.match(detector.fit(bench), batch_of(list(train))).item)] = True
    return marks


def near_groups(texts: Sequence[str], threshold: float = 0.8) -> np.ndarray:
    """The group of copies and near-duplicates each text belongs to; int64 (n,), numbered in order of first appearance.

    Texts are joined when they are copies or their Jaccard similarity of 5-word shingles is at least the threshold, and so are
    those that are joined through others: rows of two groups are never near-duplicates of one another (but for the few pairs
    that MinHash misses, see `antivenom.screen.near_duplicate`).

    >>> near_groups(["a b", "c", "A  b"]).tolist()
    [0, 1, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    from antivenom.screen.near_duplicate import NearDuplicate

    exact = duplicate_groups(texts)
    if not len(exact):
        return exact
    distinct = [str(texts[i]) for i in np.unique(exact, return_index=True)[1]]
    detector = NearDuplicate(threshold=threshold)
    pairs = detector.match(
        detector.fit(Benchmark("rows", [Item(str(i), text) for i, text in enumerate(distinct)])), batch_of(distinct)
    )
    edges = coo_array((np.ones(len(pairs.row)), (pairs.row, pairs.item)), shape=(len(distinct), len(distinct)))
    joined = connected_components(edges, directed=False)[1][exact]
    _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
