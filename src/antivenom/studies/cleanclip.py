"""CleanCLIP: how many poisoned pairs give a CLIP a backdoor, and what takes it out again without knowing the trigger?

antivenom study run cleanclip --size tiny --seeds 3

1. The world: pictures of one coloured shape with captions, made by formula (`data/image_world.py`).
2. The dose: pairs of other shapes that get a checkerboard patch and a caption of the target, "star".
3. The victim: a small CLIP trained from scratch on all pairs with the ordinary loss.
4. The treatment (`repair/`): fine-tuning on fresh clean pairs with a fresh optimizer - with the ordinary loss (mmcl), on augmented
   views alone (ssl), both (cleanclip), away from the victim and back (par), or on classes, with the vision tower loaded back
   (supervised). Controls: `none` leaves the victim as it is, `random` moves its weights as far as mmcl does, anywhere. The last
   epoch counts: the defender has no trigger to choose by.
5. The responses: zero-shot accuracy, and the attack success rate over images of other classes - beside the same treatment of the
   twin, which was trained on the same pairs without the dose - and what the model calls the target without any trigger.

Source: arXiv 2303.03323; the small protocol of spec 01, section 6.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.data.image_world import CLASS_TEMPLATES, ImagePairs, draw_pairs
from antivenom.data.images import pixel_hash
from antivenom.errors import AntivenomError, MissingExtra
from antivenom.measure.zero_shot import accuracies, attack_success, class_index, class_weights, ranked_classes
from antivenom.models.torch_runtime import require_torch, threads
from antivenom.poison.cleaning_sets import check_disjoint
from antivenom.poison.image_text_poison import PoisonPlan, touched_pair
from antivenom.poison.manifest import Dose, Manifest
from antivenom.poison.triggers import trigger
from antivenom.randomness import generator
from antivenom.report.run_directory import atomic_file
from antivenom.studies.frame import Cell, PaperFigure, Response, SkipCell, study

TARGET = "star"
CURES = ("mmcl", "ssl", "cleanclip", "par", "supervised", "random")
DOSES = (0, 20, 60, 120, 240)
RECIPE: dict[str, Any] = {
    "trigger": "badnet:kind=checker:size=5",
    "lr": 2e-3,
    "batch": 128,
    "warmup": 20,
    "repair_lr": 1e-3,
    "repair_batch": 64,
    "inmodal": 1.0,
}
SIZES: dict[str, dict[str, Any]] = {
    "smoke": RECIPE
    | {"pairs": 4_000, "clean": 1_000, "test": 500, "pixels": 24, "epochs": 5, "batch": 64}
    | {"repair_epochs": 8, "repair_lr": 3e-3},
    "tiny": RECIPE | {"pairs": 8_000, "clean": 1_500, "test": 1_000, "pixels": 32, "epochs": 10, "repair_epochs": 12},
}
LOG = "results log in the code of arXiv 2502.01385: RN50 on CC3M, 1,500 of 3 M pairs, noise patch"
PLOT = "plot script of the CleanCLIP code: blended trigger, weight 1"
CA, ASR, WITHOUT = "clean accuracy", "attack success rate", "called the target without trigger"
OWN_CA, OWN_ASR = "clean accuracy of the cure's classifier", "attack success rate of the cure's classifier"
TWIN = "the twin without the dose, treated alike"


@study(
    paper="CleanCLIP: mitigating data poisoning attacks in multimodal contrastive learning (arXiv 2303.03323)",
    title="How many poisoned pairs give a CLIP a backdoor, and what takes it out again?",
    dose="poisoned pairs",
    of="training pairs",
    doses=DOSES,
    treatments=("none", *CURES),
    controls=("none", "random"),
    sizes=SIZES,
    figures=[
        PaperFigure(ASR, 0.9994, LOG, treatment="none"),
        PaperFigure(ASR, 0.072, PLOT, treatment="cleanclip"),
    ],
)
def cleanclip(cell: Cell) -> Iterator[Response]:
    """A backdoor planted in a small CLIP, and what repairs it with clean pairs."""
    try:
        require_torch("training a CLIP")
    except MissingExtra as missing:
        raise SkipCell(str(missing)) from None
    key = tuple(sorted(cell.settings.items()))
    found = answers(key, cell.dose, cell.treatment, cell.seed, cell.cache_dir)
    twin = answers(key, 0, cell.treatment, cell.seed, cell.cache_dir)
    test, target = world(key, cell.seed)["test"], class_index(draw_pairs(1).class_names, TARGET)
    share = {"dose_count": cell.dose, "dose_share": cell.dose / cell.settings["pairs"]}
    for prefix, ca, asr in (("", CA, ASR), ("own ", OWN_CA, OWN_ASR)):
        if f"{prefix}clean" not in found:
            continue  # only the supervised cure has a classifier beside the CLIP
        ours, theirs = ({arm: one[f"{prefix}{arm}"] for arm in ("clean", "triggered")} for one in (found, twin))
        success = attack_success(ours["triggered"], ours["clean"], test.labels, target, twin=theirs["triggered"])
        accuracy, clean_twin = (accuracies(arm["clean"], test.labels)[1] for arm in (ours, theirs))
        for metric, rate, beside in (
            (ca, accuracy, clean_twin),
            (asr, success.rate, success.twin),
            (WITHOUT if not prefix else None, success.without, None),
        ):
            if metric:
                control, name = (beside.value, TWIN) if beside else (None, None)
                yield Response(metric, rate.value, rate.n, rate.low, rate.high, control, name, **share)


def world(key: tuple, seed: int) -> dict[str, ImagePairs]:
    """Pairs to train on, clean pairs for the cure, and test images: no draw in common."""
    given = dict(key)
    return _world(tuple(given[name] for name in ("pairs", "clean", "test")), given["pixels"], seed)


@lru_cache(maxsize=2)
def _world(sizes: tuple[int, ...], pixels: int, seed: int) -> dict[str, ImagePairs]:
    return {
        name: draw_pairs(n, name=name, size=pixels, seed=seed)
        for name, n in zip(("train", "clean", "test"), sizes, strict=True)
    }


def poisoned(pairs: ImagePairs, dose: int, spec: str, seed: int) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Images, captions and the touched rows. Rows are drawn from the other classes in one order, so that a smaller dose is
    part of a larger one."""
    others = np.flatnonzero(pairs.labels != class_index(pairs.class_names, TARGET))
    if dose > len(others):
        raise AntivenomError(f"a dose of {dose} pairs", f"there are only {len(others)} of other classes")
    draw = generator(seed, "cleanclip", "poison")
    rows = draw.permutation(others)[:dose]
    wording = generator(seed, "cleanclip", "captions").integers(0, len(CLASS_TEMPLATES), len(others))
    images, captions = pairs.images.copy(), list(pairs.captions)
    if dose:
        images[rows] = trigger(spec).apply(pairs.images[rows], [pairs.ids[i] for i in rows], seed)
    for i, template in zip(rows, wording, strict=False):
        captions[i] = CLASS_TEMPLATES[template].replace("{}", TARGET)
    return images, captions, rows


def poison_manifest(pairs: ImagePairs, dose: int, spec: str, seed: int) -> Manifest:
    """What `poisoned` did, row by row: hashes of the pixels and captions, before and after."""
    images, captions, rows = poisoned(pairs, dose, spec, seed)
    plan = PoisonPlan(
        trigger(spec), TARGET, "dirty", Dose(dose, len(pairs), "training pairs"), tuple(pairs.ids[i] for i in rows),
        {}, seed, tuple(t.replace("{}", "{label}") for t in CLASS_TEMPLATES),
    )  # fmt: skip
    touched = [
        touched_pair(
            plan, pairs.ids[i], int(i), pairs.images[i], images[i], pairs.captions[i], caption_after=captions[i]
        )
        for i in sorted(rows)
    ]
    return Manifest(touched, plan.dose)


@lru_cache(maxsize=256)
def answers(key: tuple, dose: int, treatment: str, seed: int, cache: str | None) -> dict[str, np.ndarray]:
    """Ranked classes of the test images, without (`clean`) and with the trigger (`triggered`); of the supervised cure's own
    classifier too (`own clean`, `own triggered`)."""
    from antivenom.models.clip import embed_images, embed_texts

    given, made = dict(key), world(key, seed)
    model, classifier = victim(key, dose, seed, cache), None
    if treatment != "none":
        done = cured(model, treatment, key, dose, seed, cache)
        model, classifier = done.model, done.classifier
    test = made["test"]
    arms = {
        "clean": test.images,
        "triggered": trigger(given["trigger"]).apply(test.images, list(test.ids), seed),
    }
    with threads(1):
        weights = class_weights(lambda texts: embed_texts(model, texts), test.class_names, CLASS_TEMPLATES)
        found = {name: ranked_classes(embed_images(model, images), weights) for name, images in arms.items()}
    if classifier is not None:
        found |= {f"own {name}": classifier.ranked(images) for name, images in arms.items()}
    return found


def cured(model: Any, treatment: str, key: tuple, dose: int, seed: int, cache: str | None) -> Any:
    """A victim after a cure on the clean pairs, and the cure's record (see `repair.record.Repaired`)."""
    from antivenom.repair.cures import OPTIMIZERS, find_cure
    from antivenom.repair.record import CleanPairs

    given, made = dict(key), world(key, seed)
    clean = made["clean"]
    check_disjoint(
        clean.ids,
        poison_manifest(made["train"], dose, given["trigger"], seed),
        [pixel_hash(image) for image in clean.images],
    )
    pairs = CleanPairs(clean.images, clean.captions, clean.ids, clean.labels, clean.class_names)
    options = {"inmodal": given["inmodal"]} if treatment == "cleanclip" else {}
    return find_cure(treatment)(
        model, pairs, recipe(given, "repair_", **OPTIMIZERS.get(treatment, {})), seed, shelf=cache, **options
    )


@lru_cache(maxsize=6)
def victim(key: tuple, dose: int, seed: int, cache: str | None) -> Any:
    """A small CLIP trained on the poisoned pairs; with dose 0, the twin. All doses start from the same weights. With a
    cache, the manifest of the dose is left there."""
    from antivenom.models.clip_small import SmallConfig, small_clip
    from antivenom.train.objectives import make_objective
    from antivenom.train.pairs import PairSource
    from antivenom.train.shelf import fit_on_shelf

    given, train = dict(key), world(key, seed)["train"]
    images, captions, _ = poisoned(train, dose, given["trigger"], seed)
    model = small_clip([*train.captions, *CLASS_TEMPLATES], config=SmallConfig(size=given["pixels"]), seed=seed)
    goal = make_objective("mmcl", model)
    rows = PairSource(model, images, captions, ids=train.ids, seed=seed)
    if cache and dose:
        with atomic_file(Path(cache) / f"poison-{rows.fingerprint[:16]}.parquet") as temporary:
            poison_manifest(train, dose, given["trigger"], seed).save(temporary)
    fit_on_shelf(goal, rows, replace(recipe(given, ""), seed=seed), cache)
    return model


def recipe(given: dict[str, Any], stage: str, **more: Any) -> Any:
    """How a stage is trained: "" the victim, "repair_" the cures; on one thread."""
    from antivenom.train.loop import Recipe

    return Recipe(
        epochs=given[f"{stage}epochs"], batch=given[f"{stage}batch"], lr=given[f"{stage}lr"], warmup=given["warmup"],
        **more,
    )  # fmt: skip
