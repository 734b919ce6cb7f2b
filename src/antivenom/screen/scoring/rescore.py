"""Score the same texts with another scorer, and say how far the two agree: pair by pair, row by row.

Scores of two scorers, or of one service at two dates, are different measures. What can be compared is what they do to the
same rows: how far the distributions lie apart, which rows change their label, and whether the order survives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from antivenom.data.corpus import Corpus, read_block
from antivenom.errors import AntivenomError
from antivenom.intervals import wilson
from antivenom.randomness import generator
from antivenom.report.run_directory import RunDirectory, apart, atomic_json
from antivenom.screen.scoring.scorer import Identity, Scorer
from antivenom.screen.scoring.scorers import parse
from antivenom.screen.scoring.store import PartWriter, ScoreStore, scorer_folder, write_identity

__all__ = ["Rescored", "compare_scores", "rescore"]

STATES = ("below", "above", "missing")
RANKED = 100_000  # pairs for the rank correlations: Kendall's tau of more takes minutes and moves the third digit


@dataclass(frozen=True)
class Rescored:
    """How two scorers' scores of the same rows compare.

    Args:
        before, after: labels; `before_identity`, `after_identity` say who scored.
        same_scorer: whether the identities are equal (then every difference is an error).
        rows: rows in both stores, paired by (`file`, `position`) and id.
        paired: rows that have a score on both sides.
        missing_before, missing_after, missing_both: rows without a score there.
        threshold, inclusive: a row is `above` when score >= threshold (inclusive) or > threshold.
        transitions: counts, transitions[state before][state after], of below / above / missing.
        changed: rows of `paired` whose label changed; `changed_share` with its Wilson interval [low, high].
        wasserstein: per attribute (`score`, and columns both scorers have) the 1-Wasserstein distance of the two
            distributions over paired rows, in the unit of the score; None without a pair.
        mean_shift: mean of after - before over paired rows.
        spearman, kendall: rank correlations (Kendall's tau-b) over `ranked` pairs; None when one side is constant.
    """

    before: str
    after: str
    before_identity: dict[str, Any]
    after_identity: dict[str, Any]
    same_scorer: bool
    rows: int
    paired: int
    missing_before: int
    missing_after: int
    missing_both: int
    threshold: float
    inclusive: bool
    transitions: dict[str, dict[str, int]]
    changed: int
    changed_share: float | None
    changed_low: float | None
    changed_high: float | None
    wasserstein: dict[str, float | None] = field(default_factory=dict)
    mean_shift: float | None = None
    spearman: float | None = None
    kendall: float | None = None
    ranked: int = 0

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def rescore(
    source: str | Path | ScoreStore,
    corpus: str | Path | Corpus,
    scorer: str | Scorer,
    out: str | Path,
    *,
    before: str | None = None,
    label: str | None = None,
    threshold: float = 0.5,
    inclusive: bool = True,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> Rescored:
    """Score a corpus again with another scorer and compare; the one function behind `antivenom rescore`.

    Args:
        source: the run directory (or its folder `scores`, or an open store) with the scores there are.
        corpus: the corpus these were made of (checked by its hash); a path is opened with the options it was scored with.
        scorer: as typed after `--score`, or a scorer object (then `label` names it; default: its name).
        out: run directory for the new scores (`out/scores/<label>/`), `out/rescore.json` and `out/run.json`. A run that was
            cut off goes on where it stopped: parts that are there are not scored again, whatever the threshold.
        before: which label of `source` to compare with; needed when it has several.
        label: of the new scores; default: the spec as typed.
        threshold, inclusive: see `Rescored`.
        overwrite: replace another rescoring in `out`.
        command: the command line, for the record.

    Raises:
        AntivenomError: another corpus, an unknown label, scorers that point in different directions, or `out` holding
            other scores.
    """
    _finite(threshold)
    store = source if isinstance(source, ScoreStore) else ScoreStore.open(source)
    if before is None:
        if len(store.labels) != 1:
            mend = f"name one of them with --before: {', '.join(store.labels)}"
            raise AntivenomError(f"{store.folder} holds several scorers", mend)
        before = store.labels[0]
    old = _identity_of(store, before)
    if Path(out).resolve() in (store.folder.resolve(), store.folder.resolve().parent):
        raise AntivenomError(f"{out} holds the scores to compare with", "choose another --out: that run stays as it is")
    rows = corpus if isinstance(corpus, Corpus) else store.corpus_at(corpus)
    store.check_corpus(rows.describe())
    label = label or (scorer if isinstance(scorer, str) else scorer.name)
    made: Scorer = parse(scorer) if isinstance(scorer, str) else scorer
    new = made.identity()
    _same_direction(before, old, label, new)
    if overwrite:
        apart(out, store.folder, *([] if isinstance(corpus, Corpus) else [corpus]))
    blocks, folder = rows.blocks(), Path(out) / "scores"
    config = {"verb": "rescore", "corpus": rows.describe(), "before": [before, old.record()], "after": label}
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        write_identity(folder, label, new, rows.describe(), parts=len(blocks))
        with run.step("score") as step:
            for block in blocks:
                if (scorer_folder(folder, label) / f"part-{block.index:05d}.parquet").exists():
                    continue
                with PartWriter(folder, label, block.index, made.columns) as part:
                    for batch in read_block(block):
                        part.add(batch, made.score(batch))
                        step.count([{"rows": len(batch.rows)}])
        found = compare_scores(store, before, ScoreStore.open(folder), label, threshold=threshold, inclusive=inclusive)
        atomic_json(Path(out) / "rescore.json", found.record())
        run.finish({"verb": "rescore", "command": list(command), "corpus": rows.describe(), "rescored": found.record()})
    return found


def compare_scores(
    store: ScoreStore,
    before: str,
    other: ScoreStore,
    after: str,
    *,
    threshold: float = 0.5,
    inclusive: bool = True,
    seed: int = 0,
) -> Rescored:
    """Compare two labels over the same rows; takes 8 bytes of memory per row and attribute.

    Raises:
        AntivenomError: when the rows are not the same, or the scorers point in different directions.
    """
    _finite(threshold)
    old, new = _identity_of(store, before), _identity_of(other, after)
    _same_direction(before, old, after, new)
    if store.corpus_hash != other.corpus_hash:
        raise AntivenomError(f"'{before}' and '{after}' scored different corpora", "score one corpus with both")
    shared = _numbers(store, before) & _numbers(other, after)
    pairs = _pairs(store, before, other, after, sorted(shared))
    a, b = pairs["score"]
    states_a, states_b = (_states(x, threshold, inclusive) for x in (a, b))
    counts = np.bincount(states_a * 3 + states_b, minlength=9).reshape(3, 3)
    both = ~np.isnan(a) & ~np.isnan(b)
    paired, changed = int(both.sum()), int(counts[0, 1] + counts[1, 0])
    low, high = wilson(changed, paired) if paired else (None, None)
    spearman, kendall, ranked = _ranks(a[both], b[both], seed)
    return Rescored(
        before=before,
        after=after,
        before_identity=old.record(),
        after_identity=new.record(),
        same_scorer=old.key == new.key,
        rows=len(a),
        paired=paired,
        missing_before=int(counts[2].sum()),
        missing_after=int(counts[:, 2].sum()),
        missing_both=int(counts[2, 2]),
        threshold=threshold,
        inclusive=inclusive,
        transitions={x: {y: int(counts[i, j]) for j, y in enumerate(STATES)} for i, x in enumerate(STATES)},
        changed=changed,
        changed_share=changed / paired if paired else None,
        changed_low=low,
        changed_high=high,
        wasserstein={name: _wasserstein(*sides) for name, sides in pairs.items()},
        mean_shift=float(np.mean(b[both].astype(np.float64) - a[both])) if paired else None,
        spearman=spearman,
        kendall=kendall,
        ranked=ranked,
    )


def _finite(threshold: float) -> None:
    if not np.isfinite(threshold):
        raise AntivenomError(f"the threshold {threshold} is no number", "give a threshold between the scores")


def _identity_of(store: ScoreStore, label: str) -> Identity:
    known: Mapping[str, Identity] = store.identities()
    if label not in known:
        raise AntivenomError(f"there are no scores of '{label}' in {store.folder}", f"there are: {', '.join(known)}")
    return known[label]


def _same_direction(before: str, old: Identity, after: str, new: Identity) -> None:
    if old.higher_is != new.higher_is:
        what = f"a higher score of '{before}' is {old.higher_is}, of '{after}' {new.higher_is}"
        raise AntivenomError(what, "compare scorers of one direction")


def _numbers(store: ScoreStore, label: str) -> set[str]:
    """The columns of a label that hold fractions: attributes, not counts."""
    schema = next(store.batches([label]), pa.RecordBatch.from_pylist([])).schema
    return {f.name.removeprefix(f"{label}.") for f in schema if kinds.is_floating(f.type) and f.name != label}


def _pairs(
    store: ScoreStore, before: str, other: ScoreStore, after: str, names: list[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per attribute the two columns, row by row; both stores are read in step through one joined store."""
    left, right = "before", "after"
    records = {left: store.records[before] | {"label": left}, right: other.records[after] | {"label": right}}
    joined = ScoreStore(store.folder, records)
    chunks: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {name: ([], []) for name in ["score", *names]}
    for batch in joined.batches([left, right], names):
        for name, sides in chunks.items():
            for side, label in zip(sides, (left, right)):
                column = batch.column(label if name == "score" else f"{label}.{name}")
                side.append(column.cast(pa.float32()).to_numpy(zero_copy_only=False).astype(np.float32))
    empty = [np.zeros(0, np.float32)]
    return {name: (np.concatenate(a or empty), np.concatenate(b or empty)) for name, (a, b) in chunks.items()}


def _states(scores: np.ndarray, threshold: float, inclusive: bool) -> np.ndarray:
    """0 below, 1 above, 2 missing; the threshold is rounded as the scores are, so that .3 in both places is equal."""
    cut = np.float32(threshold)
    above = scores >= cut if inclusive else scores > cut
    return np.where(np.isnan(scores), 2, above.astype(np.int64))


def _wasserstein(a: np.ndarray, b: np.ndarray) -> float | None:
    """Of two samples of equal size: the mean distance of their sorted values."""
    both = ~np.isnan(a) & ~np.isnan(b)
    if not both.any():
        return None
    return float(np.abs(np.sort(a[both]).astype(np.float64) - np.sort(b[both])).mean())


def _ranks(a: np.ndarray, b: np.ndarray, seed: int) -> tuple[float | None, float | None, int]:
    from scipy.stats import kendalltau, spearmanr

    if len(a) > RANKED:
        chosen = generator(seed, "rescore", "ranks").choice(len(a), RANKED, replace=False)
        a, b = a[chosen], b[chosen]
    if len(a) < 2 or len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return None, None, len(a)
    return float(spearmanr(a, b).statistic), float(kendalltau(a, b).statistic), len(a)
