"""Across two files: learn from all of one, test on the other, without the rows that both have.

Intervals are percentile bootstraps over test rows; there are no folds to take a mean over.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from antivenom.data.duplicates import duplicate_groups, overlap
from antivenom.errors import AntivenomError
from antivenom.measure.classification import classify
from antivenom.measure.data_checks import check_data, near_overlap
from antivenom.measure.rates import bootstrap_interval
from antivenom.measure.toxicr.evaluation import (
    FIGURES,
    NEAR,
    RECORD,
    SCORES,
    Labelled,
    calibrated,
    file_name,
    read_evaluation,
    write_scores,
)  # fmt: skip
from antivenom.measure.toxicr.setups import Setup
from antivenom.randomness import derive_seed
from antivenom.report.run_directory import RunDirectory, atomic_json, fingerprint
from antivenom.report.wording import count

__all__ = ["evaluate_across"]

RESAMPLES = 500


def evaluate_across(
    data: Labelled,
    held: Labelled,
    setups: Sequence[Setup],
    out: str | Path,
    *,
    seed: int = 999,
    overwrite: bool = False,
    command: Sequence[str] = (),
    tell: Callable[[str], None] | None = None,
    done: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train on one file, test on another: rows of the second that are (nearly) in the first are left out, its copies count once.

    Intervals are percentile bootstraps over test rows. Arguments and result as of `evaluate`; the protocol is called `test`.

    Raises:
        AntivenomError: when no test row is left, or `out` is in use by another run.
    """
    for setup in setups:
        setup.make(0)
    whole = check_data(data.texts, data.labels, test_texts=held.texts, near=NEAR)
    seen = overlap(data.texts, held.texts) | near_overlap(data.texts, held.texts, NEAR)
    first = np.zeros(len(held.texts), bool)
    first[np.unique(duplicate_groups(held.texts), return_index=True)[1]] = True
    rows = np.flatnonzero(first & ~seen).tolist()
    left = f"tested on {count(len(rows))} of {count(len(held.texts))} rows: {count(int(seen.sum()))} are (nearly) in training, "
    lines = [*whole.lines(), f"{left}{count(int((~first & ~seen).sum()))} are copies of another test row"]
    for line in lines if tell else ():
        tell(line)  # pyright: ignore[reportOptionalCall]
    if not len(rows):
        raise AntivenomError("every test row is also in training", "give a file of other comments after --test")
    y, texts = np.asarray(held.labels)[rows], [held.texts[i] for i in rows]
    verb = "toxicr evaluate"
    config = {"verb": verb, "data": data.hash, "test": held.hash, "setups": [s.record() for s in setups], "seed": seed}
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if run.complete:
            return read_evaluation(run.path)
        entries, columns = [], {}
        for setup in setups:
            begun = time.perf_counter()
            with run.step(setup.name) as step:
                p = _kept_scores(run.path / "folds" / f"{file_name(setup.name)}-test.json", setup, data, texts, seed)
                step.rows = len(rows)
            entries.append(_across_entry(setup, y, p))
            columns[f"{setup.name}|test|0"] = p
            if done:
                done(f"{setup.name}: tested, {time.perf_counter() - begun:.1f} s")
        tested = Labelled(texts, y, [held.positions[i] if len(held.positions) else i + 1 for i in rows])
        of_folds = {
            "test": {
                "k": 1,
                "seeds": [seed],
                "near": NEAR,
                "ratio": None,
                "hash": fingerprint([data.hash, tested.hash]),
            }
        }
        record = {"data": data.hash, "lines": lines, "checks": whole.record(), "folds": of_folds, "entries": entries}
        atomic_json(run.path / RECORD, record)
        write_scores(run.path / SCORES, tested, np.arange(len(rows)), columns)
        run.finish({"verb": verb, "command": list(command), "checks": whole.record(), "figures": entries})
    return read_evaluation(out)


def _kept_scores(path: Path, setup: Setup, data: Labelled, texts: list[str], seed: int) -> np.ndarray:
    key = fingerprint([setup.record(), data.hash, seed, Labelled(texts, np.zeros(len(texts))).hash])
    try:
        kept = orjson.loads(path.read_bytes())
        if kept["key"] == key:
            return np.array([np.nan if v is None else v for v in kept["scores"]])
    except (OSError, KeyError, TypeError, orjson.JSONDecodeError):
        pass
    model = setup.make(derive_seed(seed, "toxicr", "across"))
    model.fit(data.texts, data.labels)
    p = model.predict_proba(texts)
    atomic_json(path, {"key": key, "scores": [None if np.isnan(v) else v for v in p.tolist()]})
    return p


def _across_entry(setup: Setup, y: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    whole = classify(y, p).record()
    figures = {}
    for name in (m for m in FIGURES if m in whole):

        def of(rows: np.ndarray, name: str = name) -> float:
            value = classify(rows[:, 0] > 0, rows[:, 1]).record()[name]
            return np.nan if value is None else value

        low, high = bootstrap_interval(np.stack([y, p], 1), of, resamples=RESAMPLES)
        figures[name] = {
            "mean": whole[name],
            "sd": None,
            "low": low,
            "high": high,
            "n": whole["n"],
            "missing": whole["missing"],
        }
    said = calibrated(y, p)
    head = {"name": setup.name, "protocol": "test", "setup": setup.record()}
    return head | {"figures": figures, "calibration": said, "records": []}
