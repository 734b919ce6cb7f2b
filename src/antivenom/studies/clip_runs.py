"""Train a CLIP on pairs of files, take a backdoor out of one.

Each takes a run directory, leaves `run.json` and `report.html` there; models are saved in the format they came in (`model/`).
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.data.class_lists import label_places, read_classes
from antivenom.data.image_store import decode
from antivenom.data.image_text import ImageTextPairs, open_pairs
from antivenom.data.images import pixel_hash
from antivenom.errors import AntivenomError
from antivenom.poison.cleaning_sets import check_disjoint
from antivenom.poison.manifest import Manifest
from antivenom.report.record_page import write_record_report
from antivenom.report.run_directory import RunDirectory, apart
from antivenom.studies.clip_figures import Figures, clip_figures, measures_of
from antivenom.studies.clip_measuring import check_measures, figure_tables, test_settings, write_predictions
from antivenom.studies.clip_testing import attack_facts, open_test
from antivenom.studies.pair_runs import reading_facts

__all__ = ["Tuning", "repair_run", "train_run"]

NORMS = ("norm", "layrnorm")  # how a folder of transformers calls what the published rule of no decay calls bn and ln
LAST = "The last epoch counts (blind): a defender has no trigger to choose a better one by."


@dataclass(frozen=True)
class Tuning:
    """How to train (see `train.recipe`)."""

    epochs: int
    batch: int
    lr: float
    warmup: int = 0
    weight_decay: float | None = None
    seed: int = 0
    threads: int | None = 1
    device: str = "cpu"

    def recipe(self, **of_the_method: Any) -> Any:
        """The recipe; what the method's source sets holds where nothing else is asked for."""
        from antivenom.train.loop import Recipe
        from antivenom.train.optimizer import NO_DECAY

        given = {key: value for key, value in asdict(self).items() if value is not None or key == "threads"}
        all_of_it: dict[str, Any] = {"no_decay": (*NO_DECAY, *NORMS)} | of_the_method | given
        return Recipe(**all_of_it)


def train_run(
    source: str,
    out: Path,
    *,
    model: str,
    tuning: Tuning,
    objective: str = "mmcl",
    size: int | None = None,
    checkpoint_every: int | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
    **reading: Any,
) -> dict[str, Any]:
    """Train a CLIP on the pairs of a source; `model/` is the result. A run that was stopped goes on from its checkpoint.

    Args:
        source: the pairs.
        out: the run directory.
        model: a new small CLIP, or any other to go on with (see `models.clip_load.load_clip`).
        tuning: how.
        objective: see `train.objectives`.
        size: of the pictures; the model's own, 32 for a new small one.
        checkpoint_every: steps.
        overwrite, command, reading: as in `studies.pair_runs.poison_run`.

    Raises:
        AntivenomError: for a source, model or objective that does not fit.
    """
    from dataclasses import replace

    from antivenom.models.clip_load import image_size, load_clip, save_clip
    from antivenom.train.loop import fit
    from antivenom.train.objectives import make_objective
    from antivenom.train.pairs import PairSource

    apart(out, source, model)
    config = {
        "verb": "clip train", "source": str(source), "model": model, "objective": objective, "tuning": asdict(tuning),
        "size": size, "reading": reading,
    }  # fmt: skip
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if run.complete:
            return run.read()
        new = model.startswith("small:")
        clip = None if new else load_clip(model, seed=tuning.seed)
        with run.step("read") as step:
            pairs = open_pairs(source, size=size or (32 if clip is None else image_size(clip)), **reading)
            step.rows = len(pairs)
        if clip is None:
            clip = load_clip(model, captions=pairs.captions, size=pairs.images.size, seed=tuning.seed)
        goal = make_objective(objective, clip)
        pictures: Any = pairs.images
        rows = PairSource(clip, pictures, list(pairs.captions), views=goal.views, ids=pairs.ids, seed=tuning.seed)
        recipe = replace(tuning.recipe(), checkpoint_every=checkpoint_every)
        with run.step("train") as step:
            done = fit(goal, rows, recipe, out=run.work)
            step.rows = done.steps * tuning.batch
        form = save_clip(clip.cpu(), out / "model")
        shutil.copy(run.work / "metrics.jsonl", out / "metrics.jsonl")
        record = {
            "verb": "clip train", "title": f"{model}, {objective}", "command": list(command), "seed": tuning.seed,
            "headline": f"{done.steps:,} steps on {len(pairs):,} pairs; last loss {done.last['loss']:.3f}.",
            "facts": {"model": "model", "format": form, "objective": objective, "steps": done.steps}
            | _waiting(done) | {k: v for k, v in done.last.items() if isinstance(v, int | float)},
            "waiting": done.data_seconds / done.seconds if done.seconds else None, "warnings": [],
        }  # fmt: skip
        facts = reading_facts(pairs)
        record["facts"] |= facts.pop("facts")
        found = run.finish(record | facts)
        run.clean()
    write_record_report(out)
    return found


def repair_run(
    model: str,
    clean: str,
    out: Path,
    *,
    cure: str,
    tuning: Tuning,
    options: Mapping[str, Any] | None = None,
    manifest: Path | None = None,
    allow_overlap: bool = False,
    label: str | None = None,
    classes: Path | None = None,
    test: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
    **reading: Any,
) -> dict[str, Any]:
    """Take a backdoor out: a cure by name on clean pairs; `model/` is the repaired model, beside its record before and after.

    Args:
        model: the victim.
        clean: clean pairs.
        out: the run directory.
        cure: see `repair.cures`.
        tuning: how long and how fast; what the cure's source sets of the optimizer holds.
        options: of the cure.
        manifest: of the poisoned corpus: clean pairs that are in it, by id or by picture, are refused.
        allow_overlap: they are wanted.
        label, classes: column and file, for the supervised cure.
        test: `data`, arguments of `open_test`, and `measures`, `neighbours`, `twin` as in `clip_measuring.measure_run`: every figure
            before and after, beside the clean twin's.
        overwrite, command, reading: as in `studies.pair_runs.poison_run`.

    Raises:
        AntivenomError: for an unknown cure or option, and a cleaning set with poisons in it.
    """
    from antivenom.models.clip_load import image_size, load_clip, save_clip
    from antivenom.repair.cures import OPTIMIZERS, find_cure
    from antivenom.repair.record import CleanPairs

    apart(out, clean, model)
    method = find_cure(cure)
    asked: dict[str, Any] = {key: value for key, value in (test or {}).items() if value is not None}
    measures = asked.pop("measures", None)
    chosen = measures_of(measures)
    neighbours, twin = asked.pop("neighbours", None), asked.pop("twin", None)
    config = {
        "verb": "clip repair", "model": model, "clean": clean, "cure": cure, "tuning": asdict(tuning), "options": options,
        "manifest": manifest, "allow_overlap": allow_overlap, "test": test, "reading": reading, "label": label,
        "classes": classes,
    }  # fmt: skip
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if run.complete:
            return run.read()
        victim = load_clip(model)
        with run.step("read") as step:
            pairs = open_pairs(clean, size=image_size(victim), label=label, **reading)
            step.rows = len(pairs)
        overlap = _overlap(pairs, manifest, allow_overlap)
        names = read_classes(classes).names if classes else tuple(sorted(set(pairs.labels or ())))
        pictures: Any = pairs.images
        given = CleanPairs(
            pictures, pairs.captions, pairs.ids,
            np.array(label_places(pairs.labels, names), np.int64) if pairs.labels else None, names,
        )  # fmt: skip
        tested = None
        if test:
            source = asked.pop("data")
            asked = {"size": image_size(victim)} | asked
            tested = open_test(source, manifest=manifest if "trigger" not in asked else None, **asked)
            check_measures(tested, measures)
        taken: list[Figures] = []

        def figures(working: Any) -> dict[str, float]:
            if tested is None:
                return {}
            seen = tested.seen(working, device=tuning.device)
            taken.append(clip_figures(tested, seen, chosen, neighbours=neighbours))
            return taken[-1].values()

        with run.step("repair") as step:
            done = _cured(
                method, cure, victim, given, tuning, OPTIMIZERS.get(cure, {}), run.work, figures, options or {}
            )
            step.rows = done.record.steps * tuning.batch
        form = save_clip(done.model.cpu(), out / "model")
        before, after = done.record.before, done.record.after
        warnings = [LAST]
        if overlap:
            warnings.append(f"{overlap} of {len(pairs)} rows of the cleaning set are poisoned, on purpose.")
        if manifest is None:
            warnings.append("No manifest was given: whether the cleaning set holds poisons is not known.")
        if tested is None or tested.target is None:
            warnings.append("No attack was tested: what the cure did to a backdoor is not known.")
        record = {
            "verb": "clip repair", "title": f"{cure} on {'/'.join(Path(model).parts[-2:])}", "command": list(command), "seed": tuning.seed,
            "headline": _before_after(before, after) or f"{done.record.steps:,} steps; moved {done.record.moved:.3g}.",
            "record": asdict(done.record), "warnings": warnings,
            "facts": {
                "cure": cure, "model": "model", "format": form, "steps": done.record.steps,
                "weights moved, |after - before| / |before|": done.record.moved, "seconds of the cure": done.record.seconds,
                "hash before": done.record.hash_before, "hash after": done.record.hash_after,
            } | (attack_facts(tested) if tested else {}),
            "tables": [
                {
                    "title": "Before and after",
                    "lead": "Clean loss and cosine, over the cleaning set, are what a defender sees without a trigger.",
                    "headers": ["figure", "before", "after"],
                    "rows": [[name, f"{before[name]:.4g}", f"{after[name]:.4g}"] for name in ("clean loss", "clean cosine")],
                }
            ],
        }  # fmt: skip
        if tested is not None:
            columns: dict[str, Figures] = dict(zip(("before", "after"), taken, strict=True))
            if twin:
                seen = tested.seen(load_clip(twin), device=tuning.device)
                columns["clean twin"] = clip_figures(tested, seen, chosen, neighbours=neighbours)
            record["tables"] += figure_tables(columns)
            record |= {side: {"rates": f.rates(), "figures": f.numbers()} for side, f in columns.items()}
            record |= test_settings(tested, asked) | {"printed": len(record["tables"]), "left_out": taken[0].left_out}
            record["settings"] |= {"victim": done.record.hash_before}
            record["facts"] |= {f"not measured: {name}": why for name, why in taken[0].left_out.items()}
            record["planes"] = [f.plane | {"title": side.capitalize()} for side, f in columns.items() if f.plane]
            write_predictions(
                out / "predictions.parquet", tested, {f"{side} ": made.ranked for side, made in columns.items()}
            )
        facts = reading_facts(pairs)
        record["facts"] |= facts.pop("facts")
        found = run.finish(record | facts)
        run.clean()
    write_record_report(out)
    return found


def _cured(
    method: Any, cure: str, victim: Any, given: Any, tuning: Tuning, own: Mapping[str, Any], shelf: Path, figures: Any,
    options: Mapping[str, Any],
) -> Any:  # fmt: skip
    from inspect import signature

    known = set(signature(method).parameters) - {"model", "clean", "recipe", "seed", "shelf", "measure"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise AntivenomError(
            f"the cure '{cure}' has no option '{unknown[0]}'", f"it has: {', '.join(sorted(known)) or '-'}"
        )
    return method(victim, given, tuning.recipe(**own), tuning.seed, shelf=shelf, measure=figures, **options)


def _overlap(pairs: ImageTextPairs, manifest: Path | None, allow: bool) -> int:
    if manifest is None:
        return 0
    # of the pictures as their files have them: squashed to another size, a copy would not be known again
    hashes = [pixel_hash(decode(pairs.images.content(row), None)) for row in range(len(pairs))]
    try:
        return len(check_disjoint(pairs.ids, Manifest.load(manifest), hashes, allow_overlap=allow))
    except AntivenomError as error:
        raise AntivenomError(error.what, "leave these rows out, or allow it on purpose (--allow-overlap)") from None


def _before_after(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    told = [
        f"{name} {before[name]:.1%} before, {after[name]:.1%} after".replace("%", " %")
        for name in ("attack success rate", "clean accuracy, top 1")
        if name in before
    ]
    return "; ".join(told) + "." if told else ""


def _waiting(done: Any) -> dict[str, Any]:
    if not done.seconds:
        return {}
    return {"share of the time spent waiting for data": f"{done.data_seconds / done.seconds:.1%}".replace("%", " %")}
