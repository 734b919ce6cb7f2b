"""ToxiCR: how much of a published score is the memory of copies? And what do training rows and preprocessing steps bring?

antivenom study run toxicr --size tiny --seeds 3                    # made comments, no data needed
antivenom study run toxicr --size small --data FOLDER               # the released comments: message, is_toxic
antivenom study run toxicr-size --size small --data FOLDER

`toxicr`. The dose is the share of the duplicate groups that may be torn apart by the folds of cross-validation: 0 keeps every
copy on one side (grouped folds), 1 is a random stratified k-fold, as published. Treatments are the paper's classical learners
and our linear+; controls are the majority and the profanity lexicon, which remember nothing. Every figure stands beside the
same learner's figure without a torn group; the share of test rows with a twin in training is reported beside them.

`toxicr-size`. The dose is the number of training rows (whole groups, nested); the test folds stay the same and share no text
with training. Treatments are the learners, and logistic regression with each combination of the optional steps, written
profanity count / keyword removal / identifier splitting.

Source: arXiv 2202.13056 and the authors' stored fold results. The released file holds 12,783 distinct texts in 19,651 rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.data.duplicates import duplicate_groups
from antivenom.data.sample_reviews import sample_reviews
from antivenom.errors import AntivenomError
from antivenom.measure.cross_validation import CrossValidation, cross_validate
from antivenom.measure.detection import f1_floor
from antivenom.measure.folds import Fold, grouped_folds, straddling_folds
from antivenom.measure.paired_tests import f1_difference
from antivenom.measure.toxicr.setups import Known, Setup
from antivenom.randomness import derive_seed, generator
from antivenom.report.run_directory import fingerprint
from antivenom.screen.toxicr.dataset import LabelledTexts, read_labelled
from antivenom.studies.frame import Cell, PaperFigure, Response, SkipCell, study

CONTROLS = ("majority", "lexicon")
LEARNERS = ("dt", "rf", "lr", "svm", "linear+")
STEPS = tuple(f"lr {a}/{b}/{c}" for a in "FT" for b in "FT" for c in "FT" if (a, b, c) != ("T", "F", "F"))
"""Logistic regression with other steps than those of plain `lr`, T/F/F: profanity / keyword / split."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
ROWS = (250, 500, 1_000, 2_000, 4_000, 8_000, 15_000)
PAPER = "Automated identification of toxic code reviews using ToxiCR (arXiv 2202.13056)"
STORED = (
    "mean of the authors' 50 stored folds, profanity count on, other options off; random folds: beside the largest dose"
)
METRICS = {"f1_1": "F1, toxic", "accuracy": "accuracy", "auroc": "AUROC"}
TWINS = "test rows with a twin in training"
GAINED = "F1, toxic: gained over grouped folds"
RELEASED = "toxicr_code_review.csv.gz"
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"rows": 1_200, "folds": 3, "trees": 20},
    "tiny": {"rows": 6_000, "folds": 5, "trees": 50},
    "small": {"rows": None, "folds": 5, "trees": 100},
    "real": {"rows": None, "folds": 10, "trees": 100, "data": None},
}
"""Without data, `small` makes 19,651 comments, as many as were released."""


@dataclass(frozen=True)
class World:
    """Labelled comments, their groups of copies, and what preprocessing made of each text: it learns nothing from other rows."""

    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray
    processed: Known = field(default_factory=dict)


@study(
    name="toxicr",
    title="How much of a published score is the memory of copies?",
    paper=PAPER,
    dose="duplicate groups that may straddle the folds",
    of="duplicate groups",
    doses=SHARES,
    treatments=(*CONTROLS, *LEARNERS),
    controls=CONTROLS,
    sizes=SIZES,
    figures=[
        PaperFigure(metric, value, STORED, treatment=learner)
        for learner, f1, accuracy in (
            ("dt", 0.8436, 0.9411),
            ("rf", 0.8797, 0.9557),
            ("lr", 0.7824, 0.9262),
            ("svm", 0.8011, 0.9307),
        )
        for metric, value in (("F1, toxic", f1), ("accuracy", accuracy))
    ],
)
def toxicr(cell: Cell) -> Iterator[Response]:
    """Scores of learners when a share of the duplicate groups may lie on both sides of a fold."""
    world = world_of(cell)
    found, twin = validated(cell, world, cell.dose), validated(cell, world, 0.0)
    duplicates = int((np.bincount(world.groups) > 1).sum())
    dose = {"dose_count": round(cell.dose * duplicates), "dose_share": float(cell.dose)}
    beside = {metric: twin.over_folds(metric).mean for metric in METRICS}
    yield from figures(found, beside, "the same learner, no group torn", dose)
    yield Response(
        TWINS, found.checks.twin_share, len(world.texts), control=0.0, control_name="grouped folds", **dose
    )  # fmt: skip
    gain, low, high = gained(world, twin, found, cell.seed)
    yield Response(GAINED, gain, len(world.texts), low, high, 0.0, "nothing is remembered", **dose)


@study(
    name="toxicr-size",
    title="What do more training rows bring, and what do the preprocessing steps?",
    paper=PAPER,
    dose="training rows",
    of="training rows of a fold",
    doses=ROWS,
    treatments=(*CONTROLS, *LEARNERS, *STEPS),
    controls=CONTROLS,
    sizes=SIZES,
)
def toxicr_size(cell: Cell) -> Iterator[Response]:
    """Scores on rows of which no copy is in training, by the number of training rows."""
    world = world_of(cell)
    folds = grouped_folds(world.labels, world.groups, k=cell.settings["folds"], seed=fold_seed(cell))
    least = min(len(fold.train) for fold in folds)
    if cell.dose > least:
        raise SkipCell(f"{cell.dose:,} training rows: the folds have only {least:,}")
    less = [Fold(f.repeat, f.number, nested(f, world, cell.dose, cell.seed), f.test) for f in folds]
    found = run(cell, world, less, f"rows-{cell.dose}")
    # the correction of the intervals is for training rows that folds share: cut folds share at most what whole ones do
    found = replace(found, ratio=float(np.mean([len(fold.test) / len(fold.train) for fold in folds])))
    toxic = int(world.labels.sum())
    majority = max(toxic, len(world.labels) - toxic) / len(world.labels)
    beside = {"f1_1": f1_floor(toxic, len(world.labels) - toxic), "accuracy": majority, "auroc": 0.5}
    yield from figures(found, beside, "one verdict for all rows", {"dose_share": cell.dose / least})


def gained(
    world: World, twin: CrossValidation, found: CrossValidation, seed: int
) -> tuple[float | None, float | None, float | None]:
    """F1 with torn groups minus F1 without, of all out-of-fold decisions at .5, and its interval over resampled groups.

    The two arms test the same rows, so they are compared row by row; rows without a score in either are in neither.
    """
    before, after = twin.scores[0], found.scores[0]
    there = ~(np.isnan(before) | np.isnan(after))
    return f1_difference(
        world.labels[there], before[there] >= 0.5, after[there] >= 0.5, groups=world.groups[there], seed=seed
    )


def figures(
    found: CrossValidation, beside: dict[str, float | None], name: str, dose: dict[str, Any]
) -> Iterator[Response]:
    """Means over folds with corrected t intervals, cut at 0 and 1: none of these figures leaves them."""
    for metric, called in METRICS.items():
        over = found.over_folds(metric)
        low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in (over.low, over.high))
        yield Response(called, over.mean, found.checks.rows, low, high, beside[metric], name, **dose)


def validated(cell: Cell, world: World, share: float) -> CrossValidation:
    """The treatment, cross-validated with that share of the groups torn."""
    k = cell.settings["folds"]
    folds, _ = straddling_folds(world.labels, world.groups, share=share, k=k, seed=fold_seed(cell))
    return run(cell, world, folds, f"share-{share}")


def run(cell: Cell, world: World, folds: list[Fold], dose: str) -> CrossValidation:
    """Cross-validate; folds are kept among the run's artefacts, where the cells beside this one find them."""
    about = {"determines": cell.determines(), "dose": dose}
    about["determines"][2] = None  # the cell's own dose: `dose` says which one is meant here
    out = None
    if cell.cache_dir:
        where = fingerprint([*about["determines"], len(world.texts), world.texts[:3]])[:12]
        out = Path(cell.cache_dir) / f"{cell.treatment.replace('/', '')}-{where}" / dose
    setup = setup_of(cell.treatment, cell.settings["trees"])
    return cross_validate(
        lambda fold: setup.make(derive_seed(cell.seed, "toxicr", fold.number), world.processed),
        world.texts, world.labels, folds, groups=world.groups, out=out, about=about, tell=None,
    )  # fmt: skip


def setup_of(treatment: str, trees: int) -> Setup:
    """A learner by its name, with other steps than T/F/F behind a space; `trees` are a forest's."""
    name, _, steps = treatment.partition(" ")
    return Setup(name, options={"trees": trees} if name == "rf" else {}).with_steps(steps or "T/F/F")


def nested(fold: Fold, world: World, rows: int, seed: int) -> np.ndarray:
    """About `rows` training rows of a fold: whole groups in a shuffled order, so that fewer rows are part of more.

    The last group is cut, so that there are exactly `rows`; with fewer than two classes among them, none can be learned.
    """
    groups = world.groups[fold.train]
    rank = np.argsort(generator(seed, "nested rows", fold.number).permutation(int(world.groups.max()) + 1))
    chosen = fold.train[np.argsort(rank[groups], kind="stable")][:rows]
    if len(np.unique(world.labels[chosen])) < 2:
        raise SkipCell(f"{rows} training rows are all of one class")
    return np.sort(chosen)


def fold_seed(cell: Cell) -> int:
    """Of the folds: the same for all doses and treatments."""
    return derive_seed(cell.seed, "toxicr folds") % (1 << 32)


def world_of(cell: Cell) -> World:
    """The comments of a cell."""
    if cell.size == "real" and not cell.settings.get("data"):
        raise AntivenomError("the size 'real' needs data", "give --data FOLDER")
    return _world(cell.settings.get("data"), cell.settings["rows"], cell.seed)


@lru_cache(maxsize=2)
def _world(data: str | None, rows: int | None, seed: int) -> World:
    if not data:
        made = sample_reviews(rows or 19_651, seed=seed)
        return World(made.texts, made.labels, made.groups)
    found = read_reviews(data)
    assert found.labels is not None
    texts, labels = found.texts, found.labels
    if rows and rows < len(texts):
        kept = np.sort(generator(seed, "reviews").permutation(len(texts))[:rows])
        texts, labels = [texts[i] for i in kept], labels[kept]
    return World(texts, labels, duplicate_groups(texts))


def read_reviews(data: str | Path) -> LabelledTexts:
    """Labelled comments of a file, or of a folder: its `toxicr_code_review.csv.gz`, or its only CSV.

    Raises:
        AntivenomError: when there is no such file, or several.
    """
    path = Path(data)
    if path.is_dir():
        own = path / RELEASED
        files = [own] if own.is_file() else sorted(p for p in path.iterdir() if p.name.endswith((".csv", ".csv.gz")))
        if len(files) != 1:
            raise AntivenomError(
                f"{path} holds {len(files)} CSV files", f"name one file, or give a folder with {RELEASED}"
            )
        path = files[0]
    return read_labelled(path)
