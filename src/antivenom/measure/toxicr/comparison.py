"""Is one better than the other? Paired tests of two evaluations on the same folds, and of every combination of the optional steps.

The tests are the corrected resampled t of Nadeau and Bengio (2003) over folds, and McNemar's over rows with copies counted once;
the paper's plain paired t stands beside them (too sure of itself: folds share training rows).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from antivenom.errors import AntivenomError
from antivenom.measure.paired_tests import corrected_t, mcnemar_rows, paired_t, wilcoxon_folds
from antivenom.measure.toxicr.evaluation import SCORES, Labelled, evaluate, read_evaluation
from antivenom.measure.toxicr.setups import STEPS, Setup

__all__ = ["ablate", "compare_evaluations", "holm", "paired"]

TESTED = ("f1_1", "accuracy", "auroc")


def ablate(data: Labelled, setup: Setup, out: str | Path, **options: Any) -> dict[str, Any]:
    """All eight combinations of the optional steps on the same folds, each tested against the base (all off).

    Args:
        data: the comments.
        setup: the learner; its own optional steps are not used.
        out: a run directory as of `evaluate`.
        options: further arguments of `evaluate`; one protocol.

    Returns:
        The evaluation with `effects`: per combination and metric the paired difference to the base, its interval, the p of
        the corrected resampled t, the same p by Holm's step-down over the seven combinations, and the p of the plain paired t.

    Raises:
        AntivenomError: for a scorer, which has no steps, or more than one protocol.
    """
    if setup.scorer:
        raise AntivenomError(f"'{setup.algorithm}' has no preprocessing steps", "name an algorithm that learns")
    if len(options.get("protocols", ("grouped",))) != 1:
        raise AntivenomError("an ablation over several protocols", "choose one: grouped, random or deduplicated")
    found = evaluate(data, [setup.with_steps(steps) for steps in STEPS], out, verb="toxicr ablate", **options)
    ratio = next(iter(found["folds"].values()))["ratio"]
    base = found["entries"][0]
    effects = []
    for metric in TESTED:
        rows = [paired(base["records"], entry["records"], metric, ratio) for entry in found["entries"][1:]]
        adjusted = holm([row["p"] for row in rows])
        for entry, row, p in zip(found["entries"][1:], rows, adjusted, strict=True):
            effects.append(
                {"name": entry["name"], "steps": entry["name"].split()[-1], "metric": metric} | row | {"p_holm": p}
            )
    return found | {"effects": effects}


def compare_evaluations(
    a: str | Path, b: str | Path, *, first: str | None = None, second: str | None = None
) -> list[dict[str, Any]]:
    """Paired tests of two evaluations on the same folds, b - a.

    Args:
        a, b: `evaluation.json` files, or their folders; the same one twice to compare two learners of one evaluation.
        first, second: names of entries of a and of b; None: those that both have, or the only one of each.

    Returns:
        Per protocol, pair and metric: `protocol`, `a`, `b`, `metric`, `a_mean`, `b_mean`, and what `paired` gives; on the rows of F1 also
        `mcnemar`: rows of the first repeat that only one has right at .5 (`only_a`, `only_b`, `p`, `n`), copies counted once.

    Raises:
        AntivenomError: when the folds differ, or there is nothing to pair.
    """
    one, two = read_evaluation(a), read_evaluation(b)
    shared = [name for name in one["folds"] if name in two["folds"]]
    if not shared:
        raise AntivenomError(
            f"{a} has {', '.join(one['folds'])} folds, {b} has {', '.join(two['folds'])}",
            "evaluate both by one protocol",
        )
    for name in shared:
        x, y = one["folds"][name], two["folds"][name]
        if x["hash"] != y["hash"]:
            differ = ["the comments"] if one["data"] != two["data"] else []
            differ += [key for key in ("k", "seeds", "near") if x[key] != y[key]]
            what = f"the {name} folds differ ({', '.join(differ) or 'the rows in them'})"
            raise AntivenomError(
                f"{what}: scores of different folds cannot be paired", "run both on the same file and folds"
            )
    rows = []
    for name in shared:
        if name == "test":
            raise AntivenomError("a test file has no folds to pair", "compare cross-validated evaluations")
        for left, right in _pairs(one, two, name, first, second, same=_same_file(a, b)):
            for metric in TESTED:
                said = paired(left["records"], right["records"], metric, one["folds"][name]["ratio"])
                means = {
                    side: e["figures"].get(metric, {}).get("mean") for side, e in (("a_mean", left), ("b_mean", right))
                }
                row = {"protocol": name, "a": left["name"], "b": right["name"], "metric": metric} | means | said
                if metric == "f1_1":
                    row["mcnemar"] = _mcnemar(a, b, f"{left['name']}|{name}|0", f"{right['name']}|{name}|0")
                rows.append(row)
    return rows


def paired(a: Sequence[Mapping], b: Sequence[Mapping], metric: str, ratio: float) -> dict[str, Any]:
    """Fold by fold, b - a: `difference`, `low`, `high`, `p` (corrected resampled t), `p_plain`, `p_wilcoxon`, `n`; None without a score."""
    left, right = ([np.nan if r.get(metric) is None else r[metric] for r in side] for side in (a, b))
    if np.isnan([*left, *right]).any() or len(left) < 2:
        return dict.fromkeys(("difference", "low", "high", "p", "p_plain", "p_wilcoxon")) | {"n": 0}
    one = corrected_t(left, right, ratio=ratio)
    said = {"difference": one.difference, "low": one.low, "high": one.high, "p": one.p, "n": one.n}
    return said | {"p_plain": paired_t(left, right).p, "p_wilcoxon": wilcoxon_folds(left, right).p}


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down: with m tests, the i-th smallest p times (m - i + 1), never falling, at most 1; missing stays missing.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    there = sorted((value, i) for i, value in enumerate(p) if value is not None)
    found: list[float | None] = [None] * len(p)
    highest = 0.0
    for at, (value, i) in enumerate(there):
        highest = max(highest, min(1.0, value * (len(there) - at)))
        found[i] = highest
    return found


def _pairs(
    one: dict, two: dict, protocol: str, first: str | None, second: str | None, *, same: bool
) -> list[tuple[dict, dict]]:
    left, right = ({e["name"]: e for e in side["entries"] if e["protocol"] == protocol} for side in (one, two))
    for name, known in ((first, left), (second, right)):
        if name is not None and _named(name, known) is None:
            raise AntivenomError(f"there is no '{name}' among the {protocol} folds", f"choose from: {', '.join(known)}")
    if first is not None or second is not None:
        a, b = _named(first or second or "", left), _named(second or first or "", right)
        if a is None or b is None:
            raise AntivenomError(f"'{first or second}' is in one evaluation only", "name both: --a NAME --b NAME")
        return [(left[a], right[b])]
    if same:
        names = list(left)
        return [(left[names[0]], left[name]) for name in names[1:]] or _nothing()
    common = [(left[name], right[name]) for name in left if name in right]
    if common:
        return common
    if len(left) == len(right) == 1:
        return [(next(iter(left.values())), next(iter(right.values())))]
    return _nothing()


def _named(name: str, known: Mapping[str, Any]) -> str | None:
    """The entry of that name, or the only one of that algorithm."""
    if name in known:
        return name
    starts = [entry for entry in known if entry.split()[0] == name]
    return starts[0] if len(starts) == 1 else None


def _nothing() -> list:
    raise AntivenomError("the two evaluations share no learner", "say which to compare: --a NAME --b NAME")


def _same_file(a: str | Path, b: str | Path) -> bool:
    return Path(a).resolve() == Path(b).resolve()


def _mcnemar(a: str | Path, b: str | Path, left: str, right: str) -> dict[str, Any] | None:
    files = [(Path(p) if Path(p).is_dir() else Path(p).parent) / SCORES for p in (a, b)]
    if not all(file.exists() for file in files):
        return None
    one = pq.read_table(files[0], columns=["label", "group", left])
    p, q = one.column(left).to_numpy(), pq.read_table(files[1], columns=[right]).column(right).to_numpy()
    there = ~(np.isnan(p) | np.isnan(q))
    truth, groups = (one.column(name).to_numpy()[there] for name in ("label", "group"))
    return asdict(mcnemar_rows(truth, p[there] >= 0.5, q[there] >= 0.5, groups=groups))
