"""Cross-validation that cannot hide a leak: data checks come first, a fold learns from its training rows alone, and folds resume.

    folds = make_folds("grouped", labels, duplicate_groups(texts), k=10, seeds=paper_seeds())
    found = cross_validate(lambda fold: ToxiCR("rf", seed=fold.repeat), texts, labels, folds, out="cv/", about={"algorithm": "rf"})
    print(*found.lines(), sep="\\n")

Everything that is learned (terms, weights, calibration, threshold) is learned by an estimator that is made afresh for each fold
and is handed the training rows and nothing else (trap T17); raw texts are never changed between folds (trap T10).
"""

import hashlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import ArrayLike

from antivenom.data.duplicates import duplicate_groups
from antivenom.errors import AntivenomError
from antivenom.measure.classification import Classification, OverFolds, classify, over_folds, write_paper_csv
from antivenom.measure.data_checks import DataChecks, check_data
from antivenom.measure.folds import Fold, twins_in_training
from antivenom.measure.paired_tests import PairedTest, corrected_t, paired_t, wilcoxon_folds
from antivenom.measure.thresholds import choose_threshold, inner_scores, probabilities
from antivenom.randomness import derive_seed
from antivenom.report.run_directory import atomic_json, fingerprint

__all__ = ["CrossValidation", "compare", "cross_validate", "to_stderr"]

SHOWN = ("f1_1", "f1_1_tuned", "precision_1", "recall_1", "f1_0", "accuracy", "mcc", "auroc", "auprc", "seconds")


@dataclass
class CrossValidation:
    """What was found.

    Args:
        checks: of the data and the folds, known before any score.
        records: one per fold: `repeat`, `number`, row counts, `twin_share`, the figures of `Classification.record`, the same
            at the tuned threshold (`..._tuned`) if one was asked for, `seconds` of fitting and scoring.
        scores: float64 (repeats, n): out-of-fold scores, NaN for rows that were in no test fold.
        labels: int64 (n,).
        ratio: test rows / training rows of a fold, mean.
        about: what the estimator was said to be.
    """

    checks: DataChecks
    records: list[dict[str, Any]]
    scores: np.ndarray
    labels: np.ndarray
    ratio: float
    about: dict[str, Any]

    def over_folds(self, metric: str) -> OverFolds:
        """Mean of a figure over folds, with the interval that is corrected for shared training rows."""
        return over_folds([record.get(metric) for record in self.records], ratio=self.ratio)

    def pooled(self, repeat: int = 0, threshold: float = 0.5) -> Classification:
        """All test rows of a repeat at once."""
        return classify(self.labels, self.scores[repeat], threshold=threshold)

    def write_csv(self, path: str | Path, **columns: Any) -> None:
        """In the paper's layout."""
        write_paper_csv(path, self.records, **columns)

    def lines(self) -> list[str]:
        """To print: the checks, then the figures over folds."""
        figures = [
            f"{metric}: {self.over_folds(metric)}"
            for metric in SHOWN
            if any(metric in record for record in self.records)
        ]
        return [*self.checks.lines(), f"mean over {len(self.records)} folds [95 % corrected t interval]:", *figures]


def to_stderr(line: str) -> None:
    """A line of its own."""
    sys.stderr.write(f"{line}\n")


def cross_validate(
    make_estimator: Callable[[Fold], Any],
    texts: Sequence[str],
    labels: ArrayLike,
    folds: Sequence[Fold],
    *,
    groups: ArrayLike | None = None,
    threshold: str | None = None,
    inner: int = 3,
    out: str | Path | None = None,
    about: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] | None = to_stderr,
) -> CrossValidation:
    """Fit and score fold by fold.

    Args:
        make_estimator: a new, unfitted estimator for a fold: `fit(texts, labels)`, `predict_proba(texts)` -> (n,) or (n, 2).
        texts, labels: all rows; labels 0 / 1.
        folds: of `make_folds`.
        groups: copies, for the checks; None: equal normalised texts.
        threshold: also score at a threshold found on inner out-of-fold training rows: `f1`, `recall=R`, `precision=P`.
        inner: folds for that.
        out: folder for `checks.json` and one `fold-R-NN.json` per fold; a fold that is there is not run again.
        about: plain data that says what the estimator is; needed with `out`, since a function cannot be told from another.
        tell: is given each line of the data checks before the first fold is fitted; None: they are only recorded.

    Raises:
        AntivenomError: when a fold tests on its training rows, there is no fold, or `out` holds folds of something else.
    """
    y = np.asarray(labels).astype(np.int64)
    if not len(folds):
        raise AntivenomError("there is no fold to validate on", "make some: antivenom.measure.folds.make_folds")
    if out is not None and not about:
        raise ValueError("`out` needs `about`: say what the estimator is, as plain data")
    for fold in folds:
        if shared := len(np.intersect1d(fold.train, fold.test)):
            raise AntivenomError(f"fold {fold.number} tests on {shared} of its own training rows", "give disjoint rows")
    found = duplicate_groups(texts) if groups is None else np.asarray(groups)
    checks = check_data(texts, y, groups=groups, folds=folds)
    for line in checks.lines() if tell else ():
        tell(line)  # pyright: ignore[reportOptionalCall]
    folder = Path(out) if out is not None else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_json(folder / "checks.json", checks.record())
    data = [
        _digest(texts),
        hashlib.blake2b(y.tobytes(), digest_size=16).hexdigest(),
        threshold,
        inner,
        dict(about or {}),
    ]
    records, scores = [], np.full((1 + max(f.repeat for f in folds), len(y)), np.nan)
    for fold in folds:
        path = folder / f"fold-{fold.repeat}-{fold.number:02}.json" if folder else None
        key = fingerprint([*data, fold.train.tolist(), fold.test.tolist()])
        kept = _kept(path, key)
        if kept is None:
            record, p = _one(make_estimator, texts, y, fold, threshold, inner)
            record["twin_share"] = float(twins_in_training(fold, found).mean()) if len(fold.test) else None
            kept = {"key": key, "record": record, "scores": [None if np.isnan(v) else v for v in p.tolist()]}
            if path is not None:
                atomic_json(path, kept)
        records.append(kept["record"])
        scores[fold.repeat, fold.test] = [np.nan if v is None else v for v in kept["scores"]]
    ratio = float(np.mean([len(f.test) / max(len(f.train), 1) for f in folds]))
    return CrossValidation(checks, records, scores, y, ratio, dict(about or {}))


def _one(
    make_estimator: Callable[[Fold], Any], texts: Sequence[str], y: np.ndarray, fold: Fold, goal: str | None, inner: int
) -> tuple[dict[str, Any], np.ndarray]:
    train, test = [str(texts[i]) for i in fold.train], [str(texts[i]) for i in fold.test]
    begun = time.perf_counter()
    estimator = make_estimator(fold)
    estimator.fit(train, y[fold.train])
    p = probabilities(estimator, test)
    seconds = time.perf_counter() - begun
    record: dict[str, Any] = {"repeat": fold.repeat, "number": fold.number, "train": len(train), "test": len(test)}
    record |= classify(y[fold.test], p).record() | {"seconds": round(seconds, 3)}
    if goal is not None:
        seed = derive_seed(0, "inner folds", fold.repeat, fold.number)
        inside = inner_scores(lambda: make_estimator(fold), train, y[fold.train], k=inner, seed=seed)
        chosen = choose_threshold(y[fold.train], inside, goal)
        value = np.inf if chosen.value is None else chosen.value  # out of reach: nothing is flagged
        tuned = classify(y[fold.test], p, threshold=value).record()
        record |= {f"{name}_tuned": v for name, v in tuned.items() if name not in ("n", "missing", "auroc", "auprc")}
        record["threshold_tuned"] = chosen.value
    return record, p


def _kept(path: Path | None, key: str) -> dict[str, Any] | None:
    """What an earlier call left of this fold; None where there is nothing that can be read."""
    if path is None:
        return None
    try:
        kept = orjson.loads(path.read_bytes())
        before = kept["key"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    if before != key:
        raise AntivenomError(f"{path} is a fold of other rows, settings or estimator", "choose another folder")
    return kept


def _digest(texts: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(f"{len(raw)}\0".encode())
        digest.update(raw)
    return digest.hexdigest()


def compare(first: CrossValidation, second: CrossValidation, metric: str = "f1_1") -> list[PairedTest]:
    """Corrected resampled t, paired t and Wilcoxon of `second - first` over the same folds, the honest one first.

    Raises:
        AntivenomError: when the two were not run on the same folds.
    """
    places = [[(r["repeat"], r["number"], r["train"], r["test"]) for r in found.records] for found in (first, second)]
    tested = [~np.isnan(found.scores) for found in (first, second)]
    if places[0] != places[1] or tested[0].shape != tested[1].shape or not np.array_equal(first.labels, second.labels):
        raise AntivenomError("the two cross-validations have different folds", "run both on the same rows and seeds")
    a, b = ([np.nan if r.get(metric) is None else r[metric] for r in f.records] for f in (first, second))
    return [corrected_t(a, b, ratio=first.ratio), paired_t(a, b), wilcoxon_folds(a, b)]
