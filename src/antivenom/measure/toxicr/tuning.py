"""Which threshold, and which options: chosen on inner folds of each fold's training rows, measured on its test rows.

A threshold (or an option) chosen on the rows it is measured on flatters. Here every choice is made from out-of-fold scores of
training rows alone (copies kept together), and the test rows of a fold see it afterwards: nested cross-validation (Varma and Simon 2006).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from antivenom.data.duplicates import duplicate_groups
from antivenom.errors import AntivenomError
from antivenom.measure.classification import classify, over_folds
from antivenom.measure.cross_validation import cross_validate
from antivenom.measure.data_checks import near_groups
from antivenom.measure.folds import Fold, make_folds, paper_seeds
from antivenom.measure.thresholds import choose_threshold, inner_scores
from antivenom.measure.toxicr.comparison import paired
from antivenom.measure.toxicr.evaluation import NEAR, Labelled, cut_share, told_checks
from antivenom.measure.toxicr.setups import Known, Setup
from antivenom.randomness import derive_seed
from antivenom.report.run_directory import RunDirectory, atomic_json, fingerprint

__all__ = ["CURVE", "combinations", "tune"]

CURVE = tuple(round(0.05 * i, 2) for i in range(1, 20))
SHOWN = ("precision_1", "recall_1", "f1_1", "accuracy")
BESIDE = {"f1": "f1_1", "recall": "precision_1", "precision": "recall_1"}
"""Goal -> the figure by which combinations of options are told apart, each at its own threshold."""


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations of the values of a grid; one empty one for an empty grid.

    >>> combinations({"c": [0.1, 1], "min_df": [5]})
    [{'c': 0.1, 'min_df': 5}, {'c': 1, 'min_df': 5}]
    """
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def tune(
    data: Labelled,
    setup: Setup,
    out: str | Path,
    *,
    goal: str = "f1",
    grid: Mapping[str, Sequence[Any]] | None = None,
    protocol: str = "grouped",
    folds: int = 5,
    inner: int = 3,
    seed: int = 999,
    overwrite: bool = False,
    command: Sequence[str] = (),
    tell: Callable[[str], None] | None = None,
    done: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Choose threshold and options fold by fold; what `antivenom toxicr tune` runs.

    Per outer fold: every combination of the grid gets out-of-fold scores of the training rows by `inner` folds; the threshold
    of the goal is read off each, and the combination is kept whose F1 (goal `f1`), precision (`recall=R`) or recall (`precision=P`) is highest
    there. It is then fitted on all training rows and measured on the test rows, at that threshold and at .5; so are the
    setup's own options, at .5.

    Returns:
        `lines` of the data checks; `curve`: per threshold the mean over folds of precision, recall, F1 and accuracy of the *inner* scores of
        what was chosen; `choices` per fold (`options`, `threshold`, `reached`: the inner figure of the goal); `figures`: arm -> metric -> mean
        and corrected interval on test rows, arms `as given, 0.5`, `chosen, 0.5`, `chosen, tuned`; `gain`: the paired test of the last arm
        against the first, F1; `threshold`: the median of the folds' thresholds, for `train --threshold`.

    Raises:
        AntivenomError: for an unknown goal or option, too few rows, or `out` in use by another run.
    """
    if setup.scorer and grid:
        raise AntivenomError(f"'{setup.algorithm}' has no options to choose", "leave --grid out")
    choose_threshold([0, 1], [0.0, 1.0], goal)  # refuses an unknown goal now
    arms = [replace(setup, options={**setup.options, **options}) for options in combinations(grid or {})]
    for arm in (setup, *arms):
        arm.make(0)
    seeds = paper_seeds(1, seed)
    groups = duplicate_groups(data.texts)
    parts = make_folds(protocol, data.labels, groups, k=folds, seeds=seeds)
    lines, checks = told_checks(data, {protocol: parts}, near_groups(data.texts, NEAR))
    for line in lines if tell else ():
        tell(line)  # pyright: ignore[reportOptionalCall]
    verb = "toxicr tune"
    config = {
        "verb": verb, "data": data.hash, "setup": setup.record(), "goal": goal, "grid": dict(grid or {}), "protocol": protocol,
        "folds": folds, "inner": inner, "seed": seed,
    }  # fmt: skip
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if run.complete:
            return run.read()
        known: Known = {}
        choices = []
        for fold in parts:
            with run.step(f"inner folds of {fold.number}") as step:
                choices.append(_chosen(run.path / "inner", fold, data, arms, goal, inner, seed, known, config))
                step.rows = len(fold.train)
            if done:
                said = "-" if choices[-1]["threshold"] is None else f"{choices[-1]['threshold']:.3f}"
                done(f"fold {fold.number}: threshold {said}, {choices[-1]['options'] or 'options as given'}")
        record = _measured(run.path, data, setup, arms, parts, choices, known, seed, groups)
        record |= {"lines": lines, "checks": checks, "goal": goal, "choices": choices, "curve": _curve(choices)}
        atomic_json(run.path / "tuning.json", record)
        run.finish({"verb": verb, "command": list(command)} | record)
    return run.read()


def _chosen(
    folder: Path, fold: Fold, data: Labelled, arms: Sequence[Setup], goal: str, inner: int, seed: int, known: Known,
    config: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The choice of one fold, from its training rows alone; kept on disk."""
    path = folder / f"inner-{fold.number:02}.json"
    key = fingerprint([config, fold.train.tolist()])
    try:
        kept = orjson.loads(path.read_bytes())
        if kept["key"] == key:
            return kept["choice"]
    except (OSError, KeyError, TypeError, orjson.JSONDecodeError):
        pass
    texts, y = [data.texts[i] for i in fold.train], np.asarray(data.labels)[fold.train]
    best: tuple[float, dict[str, Any]] | None = None
    for arm in arms:
        drawn = derive_seed(seed, "inner folds", fold.repeat, fold.number)
        scores = inner_scores(lambda arm=arm, drawn=drawn: arm.make(drawn, known), texts, y, k=inner, seed=drawn)
        found = choose_threshold(y, scores, goal)
        at = np.inf if found.value is None else found.value
        beside = classify(y, scores, threshold=at).record()[BESIDE[goal.partition("=")[0]]]
        rank = -1.0 if found.value is None or beside is None else float(beside)
        if best is None or rank > best[0]:
            changed = {k: v for k, v in arm.options.items() if len(arms) > 1}
            curve = [{"threshold": t} | _short(classify(y, scores, threshold=t).record()) for t in CURVE]
            choice = {"fold": fold.number, "options": changed, "arm": arms.index(arm), "threshold": found.value}
            best = rank, choice | {"reached": found.reached, "inner_rows": found.n, "curve": curve}
    assert best is not None
    atomic_json(path, {"key": key, "choice": best[1]})
    return best[1]


def _short(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in SHOWN}


def _measured(
    out: Path, data: Labelled, setup: Setup, arms: Sequence[Setup], folds: Sequence[Fold], choices: Sequence[dict],
    known: Known, seed: int, groups: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """The test rows: as given at .5; as chosen, at .5 and at the fold's threshold."""

    def seeded(fold: Fold) -> int:
        return derive_seed(seed, "toxicr", fold.repeat, fold.number)

    of = {fold.number: arms[choice["arm"]] for fold, choice in zip(folds, choices, strict=True)}
    both = {}
    for name, chosen in (("given", dict.fromkeys(of, setup)), ("chosen", of)):
        about = {"arms": {str(n): s.record() for n, s in chosen.items()}, "seed": seed}
        both[name] = cross_validate(
            lambda fold, chosen=chosen: chosen[fold.number].make(seeded(fold), known),
            data.texts, data.labels, folds, groups=groups, out=out / "folds" / name, about=about, tell=None,
        )  # fmt: skip
    y, scores = np.asarray(data.labels), both["chosen"].scores[0]
    tuned = []
    for fold, choice in zip(folds, choices, strict=True):
        at = np.inf if choice["threshold"] is None else choice["threshold"]
        tuned.append(classify(y[fold.test], scores[fold.test], threshold=at).record())
    records = {"as given, 0.5": both["given"].records, "chosen, 0.5": both["chosen"].records, "chosen, tuned": tuned}
    ratio = both["given"].ratio
    figures = {
        arm: {m: cut_share(vars(over_folds([r[m] for r in found], ratio=ratio)), m) for m in SHOWN}
        for arm, found in records.items()
    }
    reached = [c["threshold"] for c in choices if c["threshold"] is not None]
    gain = paired(records["as given, 0.5"], records["chosen, tuned"], "f1_1", ratio)
    return {"figures": figures, "gain": gain, "threshold": float(np.median(reached)) if reached else None}


def _curve(choices: Sequence[dict]) -> list[dict[str, Any]]:
    """Mean over folds of the inner figures at each threshold; `folds`: how many have a precision there."""
    found = []
    for at, threshold in enumerate(CURVE):
        rows = [choice["curve"][at] for choice in choices]
        means = {m: over_folds([row[m] for row in rows]).mean for m in SHOWN}
        found.append({"threshold": threshold} | means | {"folds": sum(r["precision_1"] is not None for r in rows)})
    return found
