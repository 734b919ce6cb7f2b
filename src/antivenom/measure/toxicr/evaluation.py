"""ToxiCR's learners (and scorers that learn nothing) on labelled comments, cross-validated.

    found = evaluate(Labelled(texts, labels), [Setup("lr"), Setup("svm")], "eval/", protocols=("grouped", "random"), folds=5, tell=print)

The protocol is that of ToxiCR (arXiv 2202.13056; section 2.3 of our notes on its code), with three mends: folds keep copies
together unless `random` is asked for, intervals are corrected for training rows that folds share, and the data checks
are told before the first fold is fitted. Everything that is learned is learned from the training rows of a fold.
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.data.duplicates import duplicate_groups
from antivenom.errors import AntivenomError
from antivenom.measure.calibration import calibration
from antivenom.measure.classification import paper_csv_name
from antivenom.measure.cross_validation import CrossValidation, cross_validate
from antivenom.measure.data_checks import check_data, near_groups
from antivenom.measure.folds import Fold, make_folds, paper_seeds, twin_share
from antivenom.measure.toxicr.setups import Known, Setup
from antivenom.randomness import derive_seed
from antivenom.report.run_directory import RunDirectory, atomic_file, atomic_json, fingerprint
from antivenom.report.wording import count, percent
from antivenom.screen.toxicr.algorithms import algorithm

__all__ = [
    "FIGURES",
    "NEAR",
    "RECORD",
    "SCORES",
    "Labelled",
    "calibrated",
    "cut_share",
    "evaluate",
    "file_name",
    "read_evaluation",
    "told_checks",
    "write_scores",
]

FIGURES = (
    "accuracy", "precision_1", "recall_1", "f1_1", "auroc", "auprc", "mcc", "precision_0", "recall_0", "f1_0", "seconds",
)  # fmt: skip
TUNED = ("f1_1_tuned", "precision_1_tuned", "recall_1_tuned", "accuracy_tuned", "threshold_tuned")
NEAR = 0.8
"""Least Jaccard similarity of 5-word shingles of near-duplicates."""
RECORD = "evaluation.json"
SCORES = "scores.parquet"


@dataclass(frozen=True)
class Labelled:
    """Comments with labels 1 (toxic) and 0, and where each stands in its file."""

    texts: list[str]
    labels: np.ndarray
    positions: Sequence[int] = ()

    @property
    def hash(self) -> str:
        """Of texts and labels, in order."""
        digest = hashlib.blake2b(np.asarray(self.labels, np.int64).tobytes(), digest_size=16)
        for text in self.texts:
            raw = text.encode("utf-8", "surrogatepass")
            digest.update(f"{len(raw)}\0".encode() + raw)
        return digest.hexdigest()


def told_checks(
    data: Labelled, protocols: Mapping[str, Sequence[Fold]], near: Sequence[int] | np.ndarray
) -> tuple[list[str], dict[str, Any]]:
    """The data checks as lines to print, and as plain data: copies, near-copies, conflicts, and what the folds do with them.

    Args:
        data: the comments.
        protocols: name -> folds.
        near: the group of near-duplicates of each row (`near_groups`).
    """
    whole = check_data(data.texts, data.labels)
    exact = duplicate_groups(data.texts)
    nearly = int((np.bincount(near)[near] > np.bincount(exact)[exact]).sum())
    said = f"near-duplicates (5-word shingles, Jaccard >= {NEAR}): {count(nearly)} rows are nearly another text"
    lines, record = [*whole.lines(), said], whole.record() | {"near_rows": nearly, "protocols": {}}
    for name, folds in protocols.items():
        checks = check_data(data.texts, data.labels, folds=folds)
        close = twin_share(folds, near)
        share = f"{percent(checks.twin_share)} of the test rows have a copy in training, {percent(close)} a copy or near-copy"
        lines.append(f"{name} folds ({len(folds)}): {share}")
        lines += [f"{name} folds - {checks.banner}"] if checks.banner else []
        record["protocols"][name] = {"folds": len(folds), "twin_share": checks.twin_share, "near_twin_share": close}
    return lines, record


def evaluate(
    data: Labelled,
    setups: Sequence[Setup],
    out: str | Path,
    *,
    protocols: Sequence[str] = ("grouped",),
    folds: int = 10,
    repeats: int = 1,
    near: float | None = None,
    threshold: str | None = None,
    inner: int = 3,
    errors: bool = False,
    seed: int = 999,
    overwrite: bool = False,
    command: Sequence[str] = (),
    verb: str = "toxicr evaluate",
    tell: Callable[[str], None] | None = None,
    done: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Cross-validate every setup on the same folds; what `antivenom toxicr evaluate` runs.

    Args:
        data: the comments.
        setups: what is evaluated.
        out: a run directory: `evaluation.json` (figures and fold records), `scores.parquet` (out-of-fold scores), `folds/` (one file
            per fold: a run that was stopped goes on), `PROTOCOL/cross-validation-*.csv` in the paper's columns, `run.json`.
        protocols: `grouped`, `random`, `deduplicated`.
        folds, repeats: of each; the seeds of the repeats are the paper's (`paper_seeds(repeats, seed)`).
        near: also keep near-duplicates from this similarity on together; None: copies only.
        threshold: also score at a threshold found on inner folds of the training rows: `f1`, `recall=R`, `precision=P`.
        inner: folds for that.
        errors: write `errors-NAME-PROTOCOL.jsonl`: the rows of the first repeat that were judged wrongly, with their texts.
        seed: of folds and learners.
        overwrite: replace another run in `out`.
        command, verb: for the record.
        tell: is given each line of the data checks before the first fold is fitted.
        done: is given a line when a setup's folds are finished.

    Returns:
        What is in `evaluation.json`: `lines`, `checks`, `folds` per protocol (`k`, `seeds`, `hash`, `ratio`), and `entries`: `name`,
        `protocol`, `setup`, `figures` (metric -> mean, sd, low, high, n, missing; corrected t intervals), `calibration`,
        `records` (one per fold).

    Raises:
        AntivenomError: for setups that cannot be built, too few rows for the folds, or `out` in use by another run.
    """
    if not setups:
        raise AntivenomError("there is nothing to evaluate", "name an algorithm")
    if repeats < 1:
        raise AntivenomError(f"{repeats} repeats", "ask for one at least")
    if twice := sorted({s.name for s in setups if [t.name for t in setups].count(s.name) > 1}):
        raise AntivenomError(f"'{twice[0]}' is named twice", "name every algorithm once")
    for setup in setups:
        setup.make(0)  # refuses what cannot be built before anything is fitted
    exact = duplicate_groups(data.texts)
    close = near_groups(data.texts, near or NEAR)
    seeds = paper_seeds(repeats, seed)
    groups = exact if near is None else close
    made = {name: make_folds(name, data.labels, groups, k=folds, seeds=seeds) for name in protocols}
    lines, checks = told_checks(data, made, close)
    for line in lines if tell else ():
        tell(line)  # pyright: ignore[reportOptionalCall]
    config = {
        "data": data.hash, "setups": [s.record() for s in setups], "protocols": list(protocols), "folds": folds,
        "repeats": repeats, "near": near, "threshold": threshold, "inner": inner, "errors": errors, "seed": seed,
    }  # fmt: skip
    with RunDirectory.open(out, {"verb": verb} | config, overwrite=overwrite) as run:
        if run.complete:
            return read_evaluation(run.path)
        known: Known = {}
        entries, columns = [], {}
        for name, parts in made.items():
            for setup in setups:
                begun = time.perf_counter()
                with run.step(f"{setup.name}, {name}") as step:
                    found = _validated(setup, data, parts, run.path, known, seed, exact, threshold, inner, name)
                    step.rows = sum(len(fold.test) for fold in parts)
                entries.append(_entry(setup, name, found))
                columns |= {f"{setup.name}|{name}|{r}": scores for r, scores in enumerate(found.scores)}
                _paper_csv(run.path / name, setup, found)
                if errors:
                    _write_errors(run.path / f"errors-{file_name(setup.name)}-{name}.jsonl", data, found.scores[0])
                if done:
                    done(f"{setup.name}, {name} folds: {len(parts)} done, {time.perf_counter() - begun:.1f} s")
        ratios = {name: float(np.mean([len(f.test) / len(f.train) for f in parts])) for name, parts in made.items()}
        of_folds = {
            name: {"k": folds, "seeds": seeds, "near": near, "ratio": ratios[name], "hash": _hash_of(data, parts)}
            for name, parts in made.items()
        }
        record = {"data": data.hash, "lines": lines, "checks": checks, "folds": of_folds, "entries": entries}
        atomic_json(run.path / RECORD, record)
        write_scores(run.path / SCORES, data, exact, columns)
        figures = [{k: e[k] for k in ("name", "protocol", "figures", "calibration")} for e in entries]
        run.finish({"verb": verb, "command": list(command), "checks": checks, "figures": figures})
    return read_evaluation(out)


def read_evaluation(path: str | Path) -> dict[str, Any]:
    """`evaluation.json`, from its path or its folder.

    Raises:
        AntivenomError: when there is none, or it cannot be read.
    """
    file = Path(path) / RECORD if Path(path).is_dir() else Path(path)
    mend = "give the folder (or its evaluation.json) of a finished 'antivenom toxicr evaluate' or 'ablate'"
    try:
        found = orjson.loads(file.read_bytes())
        if not {"folds", "entries", "data"} <= set(found):
            raise ValueError("it holds no evaluation")
    except OSError as error:
        raise AntivenomError(f"cannot read {file}: {error.strerror}", mend) from None
    except (ValueError, TypeError) as error:
        raise AntivenomError(f"{file} cannot be read: {error}", mend) from None
    return found


def _validated(
    setup: Setup, data: Labelled, folds: list[Fold], out: Path, known: Known, seed: int, groups: np.ndarray,
    threshold: str | None, inner: int, protocol: str,
) -> CrossValidation:  # fmt: skip
    about = setup.record() | {"seed": seed}
    where = out / "folds" / f"{file_name(setup.name)}-{protocol}"
    return cross_validate(
        lambda fold: setup.make(derive_seed(seed, "toxicr", fold.repeat, fold.number), known),
        data.texts, data.labels, folds, groups=groups, threshold=threshold, inner=inner, out=where, about=about, tell=None,
    )  # fmt: skip


def _entry(setup: Setup, protocol: str, found: CrossValidation) -> dict[str, Any]:
    names = [m for m in (*FIGURES, *TUNED) if any(m in record for record in found.records)]
    figures = {name: cut_share(asdict(found.over_folds(name)), name) for name in names}
    said = calibrated(found.labels, found.scores[0])
    head = {"name": setup.name, "protocol": protocol, "setup": setup.record()}
    return head | {"figures": figures, "calibration": said, "records": found.records}


def cut_share(figure: dict[str, Any], name: str) -> dict[str, Any]:
    """A share's interval, cut at 0 and 1 (mcc and seconds are no shares)."""
    if name in ("seconds", "mcc"):
        return figure
    ends = {end: None if figure[end] is None else min(max(figure[end], 0.0), 1.0) for end in ("low", "high")}
    return figure | ends


def _hash_of(data: Labelled, folds: Sequence[Fold]) -> str:
    return fingerprint([data.hash, [[f.repeat, f.number, f.train.tolist(), f.test.tolist()] for f in folds]])


def file_name(name: str) -> str:
    """A name as part of a file's name; what is lost of it is kept as a hash."""
    plain = re.sub(r"[^A-Za-z0-9+-]+", "_", name.replace("/", "")).strip("_")[:60]
    return plain if plain.replace("_", " ") == name.replace("/", "") else f"{plain}-{fingerprint(name)[:8]}"


def _paper_csv(folder: Path, setup: Setup, found: CrossValidation) -> None:
    if setup.scorer:
        return
    known = algorithm(setup.algorithm)
    columns = {"algo": known.paper or known.name, "embedding": setup.vectorizer or known.vectorizers[0]}
    steps = {"profane": setup.profanity, "keyword": setup.keyword, "split": setup.split}
    name = paper_csv_name(columns["algo"], columns["embedding"], **steps)
    folder.mkdir(parents=True, exist_ok=True)
    found.write_csv(folder / name, **columns, **steps)


def write_scores(path: Path, data: Labelled, groups: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    """One line per row: `position`, `label`, `group` of copies, and a column `NAME|PROTOCOL|REPEAT` per entry (null: no score)."""
    positions = list(data.positions) or list(range(1, len(data.texts) + 1))
    table: dict[str, pa.Array] = {
        "position": pa.array(positions, pa.int64()),
        "label": pa.array(data.labels, pa.int8()),
        "group": pa.array(groups, pa.int64()),
    }
    table |= {name: pa.array(v, pa.float64(), mask=np.isnan(v)) for name, v in columns.items()}
    with atomic_file(path) as temporary:
        pq.write_table(pa.table(table), temporary)


def _write_errors(path: Path, data: Labelled, scores: np.ndarray, threshold: float = 0.5) -> None:
    """The error report of the paper's `--retro`: the worst misses first; rows without a score are no errors."""
    wrong = np.flatnonzero(~np.isnan(scores) & ((scores >= threshold) != (data.labels == 1)))
    order = wrong[np.argsort(-np.abs(scores[wrong] - data.labels[wrong]), kind="stable")]
    with atomic_file(path) as temporary, Path(temporary).open("wb") as target:
        for i in order.tolist():
            position = data.positions[i] if len(data.positions) else i + 1
            kind = "missed" if data.labels[i] else "false alarm"
            row = {
                "position": position,
                "error": kind,
                "score": round(float(scores[i]), 5),
                "label": int(data.labels[i]),
            }
            target.write(orjson.dumps(row | {"text": data.texts[i].encode("utf-8", "replace").decode()}) + b"\n")


def calibrated(labels: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """ECE and Brier score of probabilities, rows without one left out."""
    there = ~np.isnan(scores)
    told = calibration(labels[there], np.clip(scores[there], 0, 1))
    return {"error": told.error, "brier": told.brier, "binning": told.binning, "n": told.n}
