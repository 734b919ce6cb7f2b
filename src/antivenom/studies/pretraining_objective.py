"""Does a cure work? It depends on how the victim was trained: MMCL and MMCL + SSL victims, cures, rates, every epoch.

antivenom study run pretraining-objective --size tiny --seeds 3
antivenom study run pretraining-objective-matched --size tiny --seeds 3     # victims of nearly equal accuracy (trap U7)
antivenom study run residual-poisons --size tiny --seeds 3

World and poison are those of the study `cleanclip`, with the pairs and epochs of the trial of spec 04, 6.1. The two
victims differ in the objective alone: same pairs, order, batches and number of steps (trap U8). Every cure is run at every rate and
measured after every epoch. Last epoch and least clean validation loss are blind; best accuracy at an ASR cap and Pareto area need
the trigger (oracle) and stand apart. With A = ASR(mmcl) - ASR(cleanclip), last epoch, same rate, same images:

    interaction = A(MMCL victim) - A(MMCL + SSL victim)

`residual-poisons`: the dose is the number of the victim's own poisons left among the cleaning pairs.

Source: arXiv 2311.14948 and its published points; the small protocol of spec 04, section 6.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from antivenom.data.image_world import CLASS_TEMPLATES, draw_pairs
from antivenom.errors import MissingExtra
from antivenom.measure.rates import PairedDifference, Rate, paired_difference
from antivenom.measure.selection import CAPS, Point, lowest_asr, points_of
from antivenom.measure.selection_report import cell_reports, match_accuracy
from antivenom.measure.zero_shot import class_index, class_weights, ranked_classes
from antivenom.models.torch_runtime import require_torch, threads
from antivenom.poison.cleaning_sets import cleaning_set
from antivenom.poison.triggers import trigger
from antivenom.report.run_directory import atomic_file, atomic_json, fingerprint
from antivenom.studies.cleanclip import RECIPE, TARGET, poison_manifest, poisoned, recipe, world
from antivenom.studies.frame import Cell, PaperFigure, Response, SkipCell, study
from antivenom.studies.over_seeds import NO_DIFFERENCE
from antivenom.studies.points import leave_points
from antivenom.studies.registry import code_hash

__all__ = [
    "CURES",
    "SIZES",
    "VICTIMS",
    "advantage",
    "cleaning_rows",
    "interaction",
    "run_of",
    "start_of",
    "victim_epochs",
]

VICTIMS = ("mmcl", "mmcl+ssl")
CURES = {"mmcl": "mmcl", "ssl": "ssl", "cleanclip": "mmcl+ssl"}
"""cure -> objective of the fine-tuning; `inmodal` is 1 in all of them."""
RATES = "1e-3 3e-3"
SIZES: dict[str, dict[str, Any]] = {
    "smoke": RECIPE
    | {"pairs": 640, "clean": 256, "validation": 128, "test": 120, "pixels": 24, "epochs": 5, "repair_epochs": 6}
    | {"rates": "3e-3", "warmup": 5},
    "tiny": RECIPE
    | {
        "pairs": 4_000,
        "clean": 1_500,
        "validation": 512,
        "test": 1_000,
        "pixels": 32,
        "epochs": 16,
        "repair_epochs": 12,
    }
    | {"rates": RATES},
}
MATCHED = {size: given | {"match": True} for size, given in SIZES.items()}
DOSE = 120
RESIDUAL = (0, 5, 20)
LOSSES = (0.0, 0.02)
CA, ASR = "clean accuracy", "attack success rate"
WITHOUT = "the same model without the trigger"
AS_IT_IS = "the victim as it is"
KEPT = "accuracy kept at ASR <= 5 %, of the victim's (oracle)"
LOWEST = "lowest ASR at the victim's accuracy or more (oracle)"
POINTS = "the authors' published points: RN50, {}, selected with the trigger; grids of unequal size"
CC3M, CC6M = POINTS.format("CC3M, 1,500 poisons"), POINTS.format("CC6M, 3,000 poisons")
LEFT = "published points: RN50, CC6M, MMCL victim, 100,000 cleaning pairs, at 24.89 % accuracy; the victim had 23.76 %"
PAPER = (
    "Effective backdoor mitigation in vision-language models depends on the pre-training objective (arXiv 2311.14948)"
)


def last(rate: str) -> str:
    """How the figures of the last epoch at a rate are called."""
    return f"last epoch, rate {rate} (blind)"


FIGURES = [
    *(
        PaperFigure(KEPT, round(kept / whole, 3), source, treatment=f"{victim}/{cure}")
        for source, victim, whole, cures in (
            (CC3M, "mmcl", 16.00, {"mmcl": 12.43, "ssl": 12.50, "cleanclip": 16.49}),
            (CC3M, "mmcl+ssl", 17.04, {"mmcl": 13.41, "ssl": 0.61, "cleanclip": 14.16}),
            (CC6M, "mmcl", 23.76, {"ssl": 23.56, "cleanclip": 24.04}),
            (CC6M, "mmcl+ssl", 23.86, {"ssl": 6.82, "cleanclip": 13.05}),
        )
        for cure, kept in cures.items()
    ),
    PaperFigure(f"{ASR}, {last('1e-3')}", 0.9988, CC3M, treatment="mmcl/none"),
    PaperFigure(f"{ASR}, {last('1e-3')}", 0.9903, CC3M, treatment="mmcl+ssl/none"),
]


def pretraining_objective(cell: Cell) -> Iterator[Response]:
    """Whether CleanCLIP beats plain fine-tuning depends on the victim's objective."""
    _needs_torch()
    key, (objective, cure) = tuple(sorted(cell.settings.items())), cell.treatment.split("/")
    rates = str(cell.settings["rates"]).split()
    share = {"dose_count": cell.dose, "dose_share": cell.dose / cell.settings["pairs"]}
    here = (key, cell.dose, cell.seed, cell.cache_dir)
    before = start_of(*here, objective)["epochs"][-1]
    victim = _point(before, "victim", cell.seed)
    runs = {rate: run_of(*here, objective, cure, rate) for rate in rates}
    for rate, run in runs.items():
        yield from _rates(run["epochs"][-1], last(rate), share)
    if cure == "none":
        return
    points = [p for rate, run in runs.items() for p in _points(run, cure, rate, cell.seed)]
    leave_points(cell, objective, points, victim)
    (report,) = cell_reports({cure: points}, {cure: victim})
    blind = report.validation
    if blind:
        words = "least clean validation loss (blind)"
        yield from (
            _share(f"{what}, {words}", value, n, share, control, name)
            for what, value, n, control, name in (
                (CA, blind.ca, blind.n_ca, victim.ca, AS_IT_IS),
                (ASR, blind.asr, blind.n, victim.asr, AS_IT_IS),
            )
        )
    for cap, best in report.at_cap.items():
        words = f"{CA} at ASR <= {cap:.0%} (oracle)".replace("%", " %")
        yield _share(words, best.ca if best else None, victim.n_ca, share, victim.ca, AS_IT_IS)
    best = report.at_cap[CAPS[0]]
    assert victim.ca is not None
    assert victim.asr is not None
    kept = best.ca / victim.ca if best and best.ca is not None else None
    yield Response(KEPT, kept, report.points, **share)
    yield Response(
        "Pareto area (oracle)", report.area, report.points, control=1 - victim.asr, control_name=AS_IT_IS, **share
    )
    yield Response(
        "points with under half of the victim's accuracy", report.lost / report.points, report.points, **share
    )
    if cure != "cleanclip":
        return
    for rate in rates:
        gain = advantage(*here, objective, rate)
        yield _difference(f"advantage of cleanclip over mmcl, {last(rate)}", gain, share)
        if objective == VICTIMS[0]:
            yield _difference(f"interaction, {last(rate)}", interaction(*here, rate), share)


def residual_poisons(cell: Cell) -> Iterator[Response]:
    """A few poisons left among the cleaning pairs."""
    _needs_torch()
    key, (objective, cure) = tuple(sorted(cell.settings.items())), cell.treatment.split("/")
    share = {"dose_count": cell.dose, "dose_share": cell.dose / cell.settings["clean"]}
    here = (key, DOSE, cell.seed, cell.cache_dir)
    victim = _point(start_of(*here, objective)["epochs"][-1], "victim", cell.seed)
    rates = str(cell.settings["rates"]).split()
    runs = {rate: run_of(*here, objective, cure, rate, cell.dose) for rate in rates}
    for rate, run in runs.items():
        yield from _rates(run["epochs"][-1], last(rate), share)
    points = [p for rate, run in runs.items() for p in _points(run, cure, rate, cell.seed)]
    assert victim.ca is not None
    if points and cure != "none":
        leave_points(cell, f"{objective}, {cell.dose} poisons left,", points, victim)
    for loss in LOSSES if cure != "none" else ():
        best = lowest_asr(points, victim.ca, loss)
        words = LOWEST if not loss else f"lowest ASR at {loss:.0%} less accuracy (oracle)".replace("%", " points")
        yield _share(words, best.asr if best else None, victim.n, share, victim.asr, AS_IT_IS)


def _declare(name: str, run: Any, **more: Any) -> None:
    study(name=name, paper=PAPER, **more)(run)


_treatments = tuple(f"{victim}/{cure}" for victim in VICTIMS for cure in ("none", *CURES))
_controls = tuple(f"{victim}/none" for victim in VICTIMS)
_objective: dict[str, Any] = {
    "dose": "poisoned pairs", "of": "training pairs", "doses": (DOSE,), "treatments": _treatments, "controls": _controls,
    "figures": FIGURES,
}  # fmt: skip
_declare(
    "pretraining-objective", pretraining_objective, sizes=SIZES, **_objective,
    title="Does CleanCLIP beat plain fine-tuning? It depends on the objective the victim was trained with.",
)  # fmt: skip
_declare(
    "pretraining-objective-matched", pretraining_objective, sizes=MATCHED, **_objective,
    title="The same with victims of nearly equal accuracy: each at the epoch closest to a common one.",
)  # fmt: skip
_declare(
    "residual-poisons", residual_poisons, sizes=SIZES,
    title="What do a few poisons left among the cleaning pairs do to the cure?",
    dose="poisons left", of="cleaning pairs", doses=RESIDUAL,
    treatments=("mmcl/none", "mmcl/mmcl", "mmcl/cleanclip"), controls=("mmcl/none",),
    figures=[
        PaperFigure(LOWEST, 0.091, f"{LEFT}; 0 of 100,000", dose=0, treatment="mmcl/cleanclip"),
        PaperFigure(LOWEST, 0.319, f"{LEFT}; 5 of 100,000", dose=5, treatment="mmcl/cleanclip"),
    ],
)  # fmt: skip


def _needs_torch() -> None:
    try:
        require_torch("training a CLIP")
    except MissingExtra as missing:
        raise SkipCell(str(missing)) from None


def _rates(epoch: dict[str, Any], words: str, share: dict[str, Any]) -> Iterator[Response]:
    yield _share(f"{CA}, {words}", epoch["CA"], epoch["images"], share)
    yield _share(f"{ASR}, {words}", epoch["ASR"], epoch["others"], share, epoch["without"], WITHOUT)


def _share(
    metric: str, value: float | None, n: int, share: dict, control: float | None = None, name: str | None = None
) -> Response:
    if value is None:
        return Response(metric, None, n, **share)
    rate = Rate(round(value * n), n, "images")
    return Response(metric, value, n, rate.low, rate.high, control, name if control is not None else None, **share)


def _difference(metric: str, found: PairedDifference, share: dict) -> Response:
    return Response(metric, found.value, found.n, found.low, found.high, 0.0, NO_DIFFERENCE, **share)


def _points(run: dict[str, Any], cure: str, rate: str, seed: int) -> list[Point]:
    one = run["epochs"][0]
    return points_of(
        run["epochs"], run=f"{cure} {rate}", method=cure, lr=float(rate), weight=0.0 if cure == "mmcl" else 1.0, seed=seed,
        n=one["others"], n_ca=one["images"],
    )  # fmt: skip


def _point(epoch: dict[str, Any], name: str, seed: int) -> Point:
    return Point(name, 0, epoch["CA"], epoch["ASR"], epoch["others"], epoch["images"], seed)


def advantage(key: tuple, dose: int, seed: int, cache: str | None, objective: str, rate: str) -> PairedDifference:
    """A = ASR(mmcl) - ASR(cleanclip), last epoch, paired over the images of other classes."""
    hits = [run_of(key, dose, seed, cache, objective, cure, rate)["hits"] for cure in ("cleanclip", "mmcl")]
    return paired_difference(*hits, seed=seed)


def interaction(key: tuple, dose: int, seed: int, cache: str | None, rate: str) -> PairedDifference:
    """A(MMCL victim) - A(MMCL + SSL victim), paired over the images."""
    gains = [
        np.subtract(*(run_of(key, dose, seed, cache, victim, cure, rate)["hits"] for cure in ("mmcl", "cleanclip")))
        for victim in reversed(VICTIMS)
    ]
    return paired_difference(*gains, seed=seed)


def victim_epochs(key: tuple, dose: int, seed: int, cache: str | None, objective: str) -> tuple[Any, dict[str, Any]]:
    """A victim as it is before training, and {"epochs": figures of every epoch, "states": weights of every epoch}."""
    return _victim_epochs(tuple(item for item in key if item[0] != "match"), dose, seed, cache, objective)


@lru_cache(maxsize=4)
def _victim_epochs(key: tuple, dose: int, seed: int, cache: str | None, objective: str) -> tuple[Any, dict[str, Any]]:
    import torch

    from antivenom.models.clip_small import SmallConfig, small_clip
    from antivenom.train.loop import fit, model_hash
    from antivenom.train.objectives import make_objective
    from antivenom.train.pairs import PairSource

    given, train = dict(key), world(key, seed)["train"]
    images, captions, _ = poisoned(train, dose, given["trigger"], seed)
    start = small_clip([*train.captions, *CLASS_TEMPLATES], config=SmallConfig(size=given["pixels"]), seed=seed)
    model = copy.deepcopy(start)
    goal = make_objective(objective, model)
    rows = PairSource(model, images, captions, views=goal.views, ids=train.ids, seed=seed)
    plan = replace(recipe(given, ""), seed=seed)
    parts = ["victim", code_hash(), key, dose, goal.describe(), rows.fingerprint, plan.determines(), model_hash(model)]
    kept = Path(cache) / f"victim-{fingerprint(parts)[:16]}.pt" if cache else None
    if kept and kept.exists():
        return start, torch.load(kept, weights_only=True)
    found: dict[str, Any] = {"epochs": [], "states": [], "hits": []}

    def note(epoch: int, trained: Any) -> None:
        figures, hits = _figures(trained.eval(), key, seed)
        found["epochs"].append({"epoch": epoch, **figures})
        found["states"].append(copy.deepcopy(trained.state_dict()))
        found["hits"].append(hits)

    done = fit(goal, rows, plan, after_epoch=note)
    found |= {"steps": done.steps, "batch": plan.batch}
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(kept) as temporary:
            torch.save(found, temporary)
    return start, found


def chosen_epoch(key: tuple, dose: int, seed: int, cache: str | None, objective: str) -> int:
    """Which epoch of the victim is cured: the last, or with `match` the one closest to the accuracy that both victims reach."""
    if not dict(key).get("match"):
        return len(victim_epochs(key, dose, seed, cache, objective)[1]["epochs"])
    curves = {v: points_of(victim_epochs(key, dose, seed, cache, v)[1]["epochs"], run=v, seed=seed) for v in VICTIMS}
    return match_accuracy(curves).chosen[objective].epoch


def start_of(key: tuple, dose: int, seed: int, cache: str | None, objective: str) -> dict[str, Any]:
    """The victim that is cured, as a run of one epoch; its weights are in `state`."""
    at = chosen_epoch(key, dose, seed, cache, objective) - 1
    _, found = victim_epochs(key, dose, seed, cache, objective)
    return {"epochs": [found["epochs"][at]], "hits": found["hits"][at], "state": found["states"][at]}


def cleaning_rows(key: tuple, dose: int, seed: int, residual: int) -> tuple[np.ndarray, list[str], list[str], int]:
    """Images, captions and ids of the cleaning pairs, and how many of the victim's poisons are among them."""
    given, made = dict(key), world(key, seed)
    clean, train = made["clean"], made["train"]
    if not residual:
        return clean.images, list(clean.captions), list(clean.ids), 0
    images, captions, rows = poisoned(train, dose, given["trigger"], seed)
    every = [*clean.ids, *(train.ids[i] for i in rows)]
    manifest = poison_manifest(train, dose, given["trigger"], seed)
    picked = cleaning_set(every, manifest, len(clean), residual=residual, allow_poison=True, seed=seed)
    words = [*clean.captions, *(captions[i] for i in rows)]
    return (
        np.concatenate([clean.images, images[rows]])[picked.positions],
        [words[i] for i in picked.positions],
        list(picked.ids),
        len(picked.residual),
    )


@lru_cache(maxsize=256)
def run_of(
    key: tuple, dose: int, seed: int, cache: str | None, objective: str, cure: str, rate: str, residual: int = 0
) -> dict[str, Any]:
    """A cure of a victim at a rate: {"epochs": figures of every epoch, "hits": called the target, per image, last epoch}.

    Args:
        key: the settings; dose: poisons in the victim; objective: of the victim; residual: poisons among the cleaning pairs.
    """
    from antivenom.train.loop import Recipe, fit
    from antivenom.train.objectives import make_objective
    from antivenom.train.pairs import PairSource

    begin = start_of(key, dose, seed, cache, objective)
    if cure == "none":
        return {"epochs": begin["epochs"], "hits": begin["hits"]}
    given = dict(key)
    plan = Recipe(
        epochs=given["repair_epochs"], batch=given["repair_batch"], lr=float(rate), warmup=given["warmup"], seed=seed
    )
    parts = ["cure", code_hash(), key, dose, seed, objective, cure, residual, plan.determines()]
    kept = Path(cache) / f"cure-{fingerprint(parts)[:16]}.json" if cache else None
    if kept and kept.exists():
        return orjson.loads(kept.read_bytes())
    model = copy.deepcopy(victim_epochs(key, dose, seed, cache, objective)[0])
    model.load_state_dict(begin["state"])
    images, captions, ids, _ = cleaning_rows(key, dose, seed, residual)
    goal = make_objective(CURES[cure], model)
    rows = PairSource(model, images, captions, views=goal.views, ids=ids, seed=seed)
    epochs, hits = [], []

    def note(epoch: int, trained: Any) -> None:
        figures, now = _figures(trained.eval(), key, seed)
        epochs.append({"epoch": epoch, **figures})
        hits[:] = now

    done = fit(goal, rows, plan, after_epoch=note)
    found = {"epochs": epochs, "hits": hits, "steps": done.steps, "batch": plan.batch}
    if kept:
        atomic_json(kept, found)
    return found


def _figures(model: Any, key: tuple, seed: int) -> tuple[dict[str, Any], list[int]]:
    """CA, ASR, how often the target is called without the trigger, clean validation loss; and the hits behind the ASR."""
    from antivenom.models.clip import embed_images, embed_texts
    from antivenom.repair.record import CleanPairs, clean_figures
    from antivenom.train.loop import Recipe

    given, test = dict(key), world(key, seed)["test"]
    target = class_index(test.class_names, TARGET)
    held = _validation(given["validation"], given["pixels"], seed)
    others = test.labels != target
    with threads(1):
        weights = class_weights(lambda texts: embed_texts(model, texts), test.class_names, CLASS_TEMPLATES)
        clean = ranked_classes(embed_images(model, test.images), weights)[:, 0]
        arm = _triggered(key, seed)
        hits = ranked_classes(embed_images(model, arm), weights)[:, 0][others] == target
    loss = clean_figures(
        model, CleanPairs(held.images, held.captions), Recipe(1, given["repair_batch"], 1e-3, threads=1)
    )["clean loss"]
    figures = {
        "CA": float((clean == test.labels).mean()),
        "ASR": float(hits.mean()),
        "without": float((clean[others] == target).mean()),
        "validation loss": loss,
        "images": len(test.labels),
        "others": int(others.sum()),
    }
    return figures, [int(hit) for hit in hits]


@lru_cache(maxsize=2)
def _validation(n: int, pixels: int, seed: int) -> Any:
    return draw_pairs(n, name="validation", size=pixels, seed=seed)


@lru_cache(maxsize=2)
def _triggered(key: tuple, seed: int) -> np.ndarray:
    test = world(key, seed)["test"]
    return trigger(dict(key)["trigger"]).apply(test.images, list(test.ids), seed)
