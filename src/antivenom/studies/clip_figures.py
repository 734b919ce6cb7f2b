"""Every figure that `clip measure` and the record of `clip repair` print, from what a model sees of a test set (issue 4, point 6).

| measure | figures | needs |
|---|---|---|
| `zero-shot` | accuracy top 1, 3, 5, 10 and mean over classes; attack success with its controls | always made |
| `knn`, `prototypes`, `probe` | accuracy and attack success of a classifier on image features | labelled pictures to make it of |
| `retrieval` | recall at 1, 5, 10 in both directions and their mean; retrieval attack success | captions |
| `z-score` | backdoor z-score with its jackknife interval | an attack |
| `gap` | modality gap | captions, else the classes' texts |
| `loss` | contrastive loss over held-out pairs in batches | captions |
| `projection` | first two principal components; mean cosines to the target | captions, else the classes' texts |

Formulas are those of `antivenom.measure`; here they are put together. What cannot be measured is left out with its reason.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.measure.calibration import Measured
from antivenom.measure.embedding_space import backdoor_z_score, knn_classes, modality_gap, pca_plane, prototype_classes
from antivenom.measure.image_text_retrieval import (
    KS,
    recall_at,
    retrieval_attack_success,
    retrieval_ranks,
    target_captions,
)
from antivenom.measure.linear_probe import linear_probe, per_class_accuracy
from antivenom.measure.projection import CAPTIONS, CLEAN, embedding_projection
from antivenom.measure.rates import Mean, Rate, mean_of
from antivenom.measure.zero_shot import accuracies, attack_success
from antivenom.randomness import generator
from antivenom.report.projection_chart import MOST
from antivenom.studies.clip_testing import NO_CAPTIONS, Captioned, Seen, TestSet

__all__ = ["DEFAULT", "MEASURES", "Figure", "Figures", "Section", "clip_figures", "measures_of"]

MEASURES = ("zero-shot", "knn", "prototypes", "probe", "retrieval", "z-score", "gap", "loss", "projection")
DEFAULT = tuple(name for name in MEASURES if name != "probe")
"""The probe is fitted anew for every strength: minutes on a thousand classes."""
NEIGHBOURS = 50
LOSS_BATCH = 128
PLANE_ROWS = 5_000
ASR, WITHOUT = "attack success rate", "called the target without the trigger"


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval, what n counts, and whether it is a share (printed in per cent).

    >>> Figure(0.5, 0.25, 0.75, 8, "images", share=True).plain()["successes"] is None
    True
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    of: str
    share: bool = False
    successes: int | None = None

    def plain(self) -> dict[str, Any]:
        """As it stands in the record."""
        return {
            "value": self.value, "low": self.low, "high": self.high, "successes": self.successes, "n": self.n,
            "of": self.of,
        }  # fmt: skip


@dataclass
class Section:
    """Figures that are printed as one table."""

    title: str
    lead: str
    figures: dict[str, Figure] = field(default_factory=dict)


@dataclass
class Figures:
    """All of them.

    Args:
        sections: tables.
        ranked: ranked classes of the pictures, `clean` and `triggered`, of the zero-shot head.
        plane: for `report.record_page`; None where it was not asked for.
        left_out: measure -> why it is missing.
    """

    sections: list[Section]
    ranked: dict[str, np.ndarray]
    plane: dict[str, Any] | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    def all(self) -> dict[str, Figure]:
        """By name; names of different sections differ."""
        return {name: figure for section in self.sections for name, figure in section.figures.items()}

    def rates(self) -> dict[str, dict[str, Any]]:
        """The shares, as plain data."""
        return {name: figure.plain() for name, figure in self.all().items() if figure.share}

    def numbers(self) -> dict[str, dict[str, Any]]:
        """The other figures, as plain data."""
        return {name: figure.plain() for name, figure in self.all().items() if not figure.share}

    def values(self) -> dict[str, float]:
        """Name -> value; what is missing is left out."""
        return {name: figure.value for name, figure in self.all().items() if figure.value is not None}


def measures_of(names: Sequence[str] | None) -> tuple[str, ...]:
    """The measures by name, in their order; `all` is all of them, None the default. The zero-shot ones are always there.

    Raises:
        AntivenomError: for an unknown one.

    >>> measures_of(["gap"])
    ('zero-shot', 'gap')
    """
    asked = set(DEFAULT if names is None else names)
    if unknown := sorted(asked - {*MEASURES, "all"}):
        raise AntivenomError(f"there is no measure '{unknown[0]}'", f"choose from: {', '.join(MEASURES)}, all")
    return tuple(name for name in MEASURES if "all" in asked or name in asked or name == "zero-shot")


def clip_figures(
    tested: TestSet, seen: Seen, measures: Sequence[str] = DEFAULT, *, neighbours: int | None = None
) -> Figures:
    """The figures of one model.

    Args:
        tested, seen: the test set, and what the model makes of it.
        measures: names (see `measures_of`).
        neighbours: of the kNN classifier; 50, or as many as the smallest class has pictures where these are fewer.

    Raises:
        AntivenomError: for embeddings that are no numbers.
    """
    ranked = seen.ranked()
    found = Figures([_zero_shot(tested, ranked)], ranked)
    classifiers = [name for name in ("knn", "prototypes", "probe") if name in measures]
    space = Section("Embedding space", "")
    steps: list[tuple[str, Callable[[], Any]]] = [
        *((name, lambda name=name: _classifier(name, tested, seen, neighbours)) for name in classifiers),
        ("retrieval", lambda: _retrieval(tested, seen)),
        ("z-score", lambda: _z_score(tested, seen)),
        ("gap", lambda: _gap(tested, seen)),
        ("loss", lambda: _loss(tested, seen)),
        ("projection", lambda: _projection(tested, seen)),
    ]
    by_name: dict[str, Section] = {}
    for name, make in steps:
        if name not in measures:
            continue
        try:
            made = make()
        except AntivenomError as error:  # one figure that cannot be had takes no other with it
            found.left_out[name] = f"{error.what}; {error.mend}" if error.mend else error.what
            continue
        if name == "projection":
            found.plane, more = made
            space.figures |= more
        elif name in ("z-score", "gap", "loss"):
            space.figures |= made
        else:
            section = by_name.setdefault(made.title, Section(made.title, made.lead))
            section.figures |= made.figures
    if space.figures:
        space.lead = _space_lead(space)
    found.sections += [*by_name.values(), *([space] if space.figures else [])]
    return found


def _rate(rate: Rate) -> Figure:
    return Figure(rate.value, rate.low, rate.high, rate.n, rate.of, True, rate.successes)


def _number(found: Measured | Mean, of: str, share: bool = False) -> Figure:
    return Figure(found.value, found.low, found.high, found.n, of, share)


def _zero_shot(tested: TestSet, ranked: dict[str, np.ndarray]) -> Section:
    made = {f"clean accuracy, top {k}": _rate(r) for k, r in accuracies(ranked["clean"], tested.places).items()}
    made["clean accuracy, mean over the classes"] = _per_class(ranked["clean"][:, 0], tested.places)
    if tested.target is not None:
        success = attack_success(ranked["triggered"], ranked["clean"], tested.places, tested.target)
        made[ASR], made[WITHOUT] = _rate(success.rate), _rate(success.without)
        made["accuracy with the trigger"] = _rate(success.accuracy)
    return Section(
        "Zero-shot", f"By the names of {len(tested.classes):,} classes in {len(tested.templates)} templates.", made
    )


def _per_class(predicted: np.ndarray, places: np.ndarray) -> Figure:
    """The mean over the classes, with the normal interval of var = sum_c p_c (1 - p_c) / n_c / C^2."""
    mean, rates = per_class_accuracy(predicted, places)
    shares = [(rate.successes / rate.n, rate.n) for rate in rates.values()]
    half = NormalDist().inv_cdf(0.975) * sqrt(sum(p * (1 - p) / n for p, n in shares)) / len(shares)
    return Figure(mean, max(0.0, mean - half), min(1.0, mean + half), len(shares), "classes", True)


def _classifier(kind: str, tested: TestSet, seen: Seen, neighbours: int | None) -> Section:
    if tested.train is not None and seen.train is not None:
        train, known, test = seen.train, tested.train[1], np.ones(len(tested.places), bool)
        made_of = f"Made of {len(known):,} other pictures."
    else:
        half = tested.halves()
        train, known, test = seen.clean[half], tested.places[half], ~half
        made_of = f"Made of {len(known):,} of the pictures, half of every class, and tested on the others."
    if not len(known) or not test.any():
        raise AntivenomError("no pictures to make a classifier of", "give more labelled pictures, or others (--train)")
    if kind == "knn":
        k = neighbours or max(1, min(NEIGHBOURS, int(np.unique(known, return_counts=True)[1].min())))
        name = f"{k} nearest"

        def classes(features: Any) -> np.ndarray:
            return knn_classes(train, known, features, k=k)
    elif kind == "prototypes":
        name = "prototypes"

        def classes(features: Any) -> np.ndarray:
            return prototype_classes(train, known, features)
    else:
        probe, name = linear_probe(train, known, seed=tested.seed), "linear probe"
        classes = probe.predict
    places, plain = tested.places[test], classes(seen.clean[test])
    made = {f"{name}: accuracy": _rate(Rate(int((plain == places).sum()), len(places), "images"))}
    if kind == "probe":
        made[f"{name}: accuracy, mean over the classes"] = _per_class(plain, places)
    if tested.target is not None and seen.triggered is not None:
        evil = classes(seen.triggered[test])
        success = attack_success(evil[:, None], plain[:, None], places, tested.target)
        made[f"{name}: {ASR}"], made[f"{name}: the same without the trigger"] = (
            _rate(success.rate),
            _rate(success.without),
        )
    lead = f"{made_of} They look at image features alone: a backdoor that lives between image and text is not in them."
    return Section("Classifiers on image features", lead, made)


def _captions(tested: TestSet, seen: Seen) -> tuple[Captioned, np.ndarray, np.ndarray]:
    if tested.captioned is None or seen.pictures is None or seen.texts is None:
        raise AntivenomError(*NO_CAPTIONS)
    return tested.captioned, seen.pictures, seen.texts


def _retrieval(tested: TestSet, seen: Seen) -> Section:
    some, pictures, texts = _captions(tested, seen)
    ranks = retrieval_ranks(pictures, texts, image_of=some.image_of)
    made: dict[str, Figure] = {}
    for direction, (ranked, of) in ranks.items():
        for k, rate in recall_at(ranked, KS, of).items():
            made[f"{direction}, recall at {k}"] = _rate(rate)
        made[f"{direction}, mean of the three"] = _number(
            mean_of(np.mean([ranked < k for k in KS], axis=0), seed=tested.seed), of, share=True
        )
    lead = f"{len(texts):,} captions of {len(pictures):,} pictures; equally near rows stand before the right one."
    if tested.target is not None and seen.pictures_triggered is not None:
        word = tested.classes[tested.target]
        aim = target_captions(some.pairs.captions, word)
        shows = np.zeros(len(pictures), bool)
        np.logical_or.at(shows, some.image_of, aim)
        ks = [k for k in KS if k <= len(texts)]
        for name, rows in (
            ("retrieval {} at {k}", seen.pictures_triggered),
            ("the same without the trigger at {k}", pictures),
        ):
            for k, rate in retrieval_attack_success(rows, texts, aim, own_target=shows, ks=ks).items():
                rate = Rate(rate.successes, rate.n, "images whose captions do not name the target")
                made[name.format(ASR, k=k)] = _rate(rate)
        lead += (
            f" Attack: at least max(1, k / 2) of the k nearest captions name '{word}' ({int(aim.sum()):,} of them do)."
        )
    return Section("Retrieval", lead, made)


def _z_score(tested: TestSet, seen: Seen) -> dict[str, Figure]:
    if tested.target is None or seen.triggered is None:
        raise AntivenomError("there is no attack", "give --target and --trigger, or --manifest")
    others = tested.places != tested.target
    found = backdoor_z_score(seen.triggered[others], seen.clean[others])
    return {"backdoor z-score": Figure(found.z, found.low, found.high, found.triggered, "images of other classes")}


def _beside(tested: TestSet, seen: Seen) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, str]:
    """A text for every picture (and the picture with the trigger): its first caption, else the text of its class."""
    if tested.captioned is None or seen.pictures is None or seen.texts is None:
        return seen.clean, seen.weights[tested.places], seen.triggered, "images and the texts of their classes"
    return seen.pictures, seen.texts[tested.captioned.rows], seen.pictures_triggered, "images and a caption of each"


def _gap(tested: TestSet, seen: Seen) -> dict[str, Figure]:
    images, texts, _, of = _beside(tested, seen)
    return {"modality gap": _number(modality_gap(images, texts, seed=tested.seed), of)}


def _loss(tested: TestSet, seen: Seen) -> dict[str, Figure]:
    import torch

    from antivenom.train.objectives import mmcl_loss, siglip_loss

    some, pictures, texts = _captions(tested, seen)
    size = min(LOSS_BATCH, len(pictures))
    order = generator(tested.seed, "validation loss", len(pictures)).permutation(len(pictures))
    losses = []
    for start in range(0, len(order) - size + 1, size):
        rows = order[start : start + size]
        images, captions = torch.from_numpy(pictures[rows]), torch.from_numpy(texts[some.rows[rows]])
        losses.append(
            float(
                mmcl_loss(images, captions, seen.scale)
                if seen.bias is None
                else siglip_loss(images, captions, seen.scale, seen.bias, mean="rows")
            )
        )
    found = mean_of(losses, seed=tested.seed)
    name = "contrastive loss" if seen.bias is None else "sigmoid loss"
    low, high = (found.low, found.high) if len(losses) > 1 else (None, None)
    return {name: Figure(found.value, low, high, len(losses), f"batches of {size} held-out pairs")}


def _projection(tested: TestSet, seen: Seen) -> tuple[dict[str, Any], dict[str, Figure]]:
    images, texts, triggered, of = _beside(tested, seen)
    step = max(1, -(-len(images) // PLANE_ROWS))
    images, texts = images[::step], texts[::step]
    more: dict[str, Figure] = {}
    if triggered is not None and seen.target_texts is not None:
        made = embedding_projection(images, triggered[::step], texts, seen.target_texts)
        plane, groups = made.plane, dict(made.groups)
        more = _cosines(images, triggered[::step], seen.target_texts, tested.seed)
    else:
        plane = pca_plane(np.concatenate([images, texts]).astype(np.float64))
        groups = {CLEAN: plane.project(images), CAPTIONS: plane.project(texts)}
    if "classes" in of:
        groups = {("the texts of their classes" if name == CAPTIONS else name): rows for name, rows in groups.items()}
    drawn = {}
    for name, rows in groups.items():
        few = rows[:: max(1, -(-len(rows) // MOST))]
        drawn[name] = [[round(float(x), 4), round(float(y), 4)] for x, y in few]
    return {"groups": drawn, "shares": [round(float(s), 4) for s in plane.share], "rows": len(images)}, more


def _cosines(clean: Any, triggered: Any, target: np.ndarray, seed: int) -> dict[str, Figure]:
    """Mean cosines with bootstrap intervals over images; the target is the mean direction of its texts (spec 01, M6)."""
    aim = target.mean(axis=0)
    aim = aim / np.linalg.norm(aim)
    rows = {
        "cosine of image and triggered image": (clean * triggered).sum(1), "cosine of image and target": clean @ aim,
        "cosine of triggered image and target": triggered @ aim,
    }  # fmt: skip
    return {name: _number(mean_of(values, seed=seed), "images") for name, values in rows.items()}


def _space_lead(space: Section) -> str:
    told = []
    if "backdoor z-score" in space.figures:
        told.append(
            "z-score: mean cosine of pairs of triggered images minus that of clean ones, over its standard deviation."
        )
    for name in space.figures:
        if name.endswith(" loss"):
            size = int(space.figures[name].of.split()[2])
            nothing = f"; a model that knows nothing has {log(size):.3f}" if name == "contrastive loss" else ""
            told.append(f"Loss over batches of {size} pairs{nothing}.")
    return " ".join(told)
