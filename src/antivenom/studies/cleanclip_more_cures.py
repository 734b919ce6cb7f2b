"""More cures on the victims of the study `cleanclip`, and pre-training that guards itself: what do they leave of the backdoor?

antivenom study run cleanclip-more-cures --size tiny --seeds 1

World, poison, victim and measures are those of `cleanclip`; one dose. After the victim is trained, each cure has the clean pairs:

    unlearn          plain fine-tuning, and the constraint on training pairs that the victim aligns best (a share of all)
    unlearn-random   the same with as many training pairs drawn without looking: its control
    unlearn-oracle   the same with the poisoned pairs themselves: the most that a detector could give it
    shrink-perturb, deep-clustering, par, par-two-stages     see `repair/`

Before it: `safeclip` and `roclip` train on the poisoned pairs instead of the victim (`train/`), and see no clean pair. Controls: `none`
(the victim), `mmcl` (plain fine-tuning) and `random`. The twin of every arm was trained, or treated, alike without the dose.

Source: spec 01, 2.7 and section 9; spec 04, 2.2 and C3.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from antivenom.data.image_world import CLASS_TEMPLATES, draw_pairs
from antivenom.errors import MissingExtra
from antivenom.measure.zero_shot import accuracies, attack_success, class_index, class_weights, ranked_classes
from antivenom.models.torch_runtime import require_torch, threads
from antivenom.poison.triggers import trigger
from antivenom.randomness import generator
from antivenom.studies.cleanclip import ASR, CA, SIZES, TARGET, TWIN, WITHOUT, cured, poisoned, recipe, victim, world
from antivenom.studies.frame import Cell, Response, SkipCell, study

__all__ = ["TREATMENTS", "cleanclip_more_cures", "model_of", "suspected_rows"]

MORE: dict[str, Any] = {"suspect_share": 0.02, "first_rate": 0.3, "safe_warmup": 5}
"""`first_rate` was set where the published 0.01 told no poison apart: 62 steps are no epoch of CC3M (docs/cures.md)."""
FEW = {"smoke": {"safe_warmup": 2}, "tiny": {}}
GUARDED = ("safeclip", "roclip")
UNLEARN = ("unlearn", "unlearn-random", "unlearn-oracle")
PLAIN = ("mmcl", "random", "shrink-perturb", "deep-clustering", "par", "par-two-stages")
TREATMENTS = ("none", *PLAIN, *UNLEARN, *GUARDED)


@study(
    name="cleanclip-more-cures",
    paper="CleanCLIP (arXiv 2303.03323) and 2311.14948; PAR (2412.00727); SafeCLIP and RoCLIP as spec 01 tells them",
    title="What do unlearning, shrinking, clustering and guarded pre-training leave of a CLIP's backdoor?",
    dose="poisoned pairs",
    of="training pairs",
    doses=(120,),
    treatments=TREATMENTS,
    controls=("none", "mmcl", "random"),
    sizes={size: SIZES[size] | MORE | few for size, few in FEW.items()},
)
def cleanclip_more_cures(cell: Cell) -> Iterator[Response]:
    """A backdoor planted in a small CLIP, and what other cures and guards leave of it."""
    try:
        require_torch("training a CLIP")
    except MissingExtra as missing:
        raise SkipCell(str(missing)) from None
    key = tuple(sorted(cell.settings.items()))
    found, twin = (_answers(key, dose, cell.treatment, cell.seed, cell.cache_dir) for dose in (cell.dose, 0))
    test, target = world(key, cell.seed)["test"], class_index(draw_pairs(1).class_names, TARGET)
    share = {"dose_count": cell.dose, "dose_share": cell.dose / cell.settings["pairs"]}
    success = attack_success(found["triggered"], found["clean"], test.labels, target, twin=twin["triggered"])
    ours, theirs = (accuracies(arm["clean"], test.labels)[1] for arm in (found, twin))
    for metric, rate, beside in (
        (CA, ours, theirs), (ASR, success.rate, success.twin), (WITHOUT, success.without, None)
    ):  # fmt: skip
        control, name = (beside.value, TWIN) if beside else (None, None)
        yield Response(metric, rate.value, rate.n, rate.low, rate.high, control, name, **share)


@lru_cache(maxsize=64)
def _answers(key: tuple, dose: int, treatment: str, seed: int, cache: str | None) -> dict[str, np.ndarray]:
    from antivenom.models.clip import embed_images, embed_texts

    model, test = model_of(key, dose, treatment, seed, cache), world(key, seed)["test"]
    arms = {
        "clean": test.images,
        "triggered": trigger(dict(key)["trigger"]).apply(test.images, list(test.ids), seed),
    }
    with threads(1):
        weights = class_weights(lambda texts: embed_texts(model, texts), test.class_names, CLASS_TEMPLATES)
        return {name: ranked_classes(embed_images(model, images), weights) for name, images in arms.items()}


def model_of(key: tuple, dose: int, treatment: str, seed: int, cache: str | None) -> Any:
    """The model of a cell: the victim, the victim cured, or one that was trained with a guard on the same pairs."""
    if treatment in GUARDED:
        return _guarded(key, dose, treatment, seed, cache)
    if treatment in UNLEARN:
        return _unlearned(key, dose, treatment, seed, cache)
    given = victim(key, dose, seed, cache)
    return given if treatment == "none" else cured(given, treatment, key, dose, seed, cache).model


def suspected_rows(key: tuple, dose: int, treatment: str, seed: int, cache: str | None) -> np.ndarray:
    """Places of the training pairs that an arm of unlearning suspects."""
    from antivenom.repair.record import CleanPairs
    from antivenom.repair.unlearning import most_aligned

    given, train = dict(key), world(key, seed)["train"]
    images, captions, rows = poisoned(train, dose, given["trigger"], seed)
    share = given["suspect_share"]
    if treatment == "unlearn-oracle":
        return np.sort(rows)
    if treatment == "unlearn-random":
        return generator(seed, "suspected at random").permutation(len(train))[: int(share * len(train))]
    with threads(1):
        mask = most_aligned(victim(key, dose, seed, cache), CleanPairs(images, captions), share, seed=seed)
    return np.flatnonzero(mask)


def _unlearned(key: tuple, dose: int, treatment: str, seed: int, cache: str | None) -> Any:
    from antivenom.repair.cures import find_cure
    from antivenom.repair.record import CleanPairs

    given, made = dict(key), world(key, seed)
    train, clean = made["train"], made["clean"]
    images, captions, _ = poisoned(train, dose, given["trigger"], seed)
    model, chosen = victim(key, dose, seed, cache), suspected_rows(key, dose, treatment, seed, cache)
    pairs, plan = CleanPairs(clean.images, clean.captions, clean.ids), recipe(given, "repair_")
    if not len(chosen):  # the twin has no poison to name
        return find_cure("mmcl")(model, pairs, plan, seed, shelf=cache).model
    suspected = CleanPairs(images[chosen], [captions[i] for i in chosen], [train.ids[i] for i in chosen])
    return find_cure("unlearn")(model, pairs, plan, seed, shelf=cache, suspected=suspected).model


def _guarded(key: tuple, dose: int, treatment: str, seed: int, cache: str | None) -> Any:
    from antivenom.models.clip_small import SmallConfig, small_clip
    from antivenom.train.roclip import roclip
    from antivenom.train.safeclip import SafeClip, safeclip

    given, train = dict(key), world(key, seed)["train"]
    images, captions, _ = poisoned(train, dose, given["trigger"], seed)
    model = small_clip([*train.captions, *CLASS_TEMPLATES], config=SmallConfig(size=given["pixels"]), seed=seed)
    plan = replace(recipe(given, ""), seed=seed)
    if treatment == "roclip":
        roclip(model, images, captions, plan, ids=train.ids, shelf=cache)
    else:
        how = SafeClip(warmup=given["safe_warmup"], first_rate=given["first_rate"])
        safeclip(model, images, captions, plan, how=how, ids=train.ids, shelf=cache)
    return model.eval()
