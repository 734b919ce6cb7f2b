"""What a CLIP is tested on: labelled pictures, an attack, captions, pictures to make classifiers of - and how a model sees them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.data.class_lists import label_places, read_classes, read_templates
from antivenom.data.image_rows import column_names
from antivenom.data.image_text import ImageTextPairs, open_pairs
from antivenom.data.image_world import CLASS_TEMPLATES
from antivenom.errors import AntivenomError
from antivenom.measure.zero_shot import class_weights, ranked_classes
from antivenom.poison.captions import resolve_target
from antivenom.poison.manifest import Manifest
from antivenom.poison.pair_checks import check_trigger, manifest_trigger
from antivenom.poison.triggers import Trigger
from antivenom.poison.triggers import trigger as parse
from antivenom.randomness import generator

__all__ = ["NO_CAPTIONS", "Captioned", "Seen", "TestSet", "attack_facts", "open_test"]

NO_CAPTIONS = ("the pictures have no captions", "name their column with --caption, or give pairs with --captions")


@dataclass(frozen=True)
class Captioned:
    """Pictures with captions, for retrieval; a picture may have several.

    Args:
        pairs: one row per caption.
        rows: the first row of each picture.
        image_of: the picture of each row, a place in `rows`.
        own: they are the pictures of the test set, in its order.
    """

    pairs: ImageTextPairs
    rows: np.ndarray
    image_of: np.ndarray
    own: bool


@dataclass(frozen=True)
class Seen:
    """What a model makes of a test set: unit rows, and theta.

    Args:
        clean: (n, d), the pictures.
        triggered: the same with the trigger; None without an attack.
        weights: (classes, d), of the zero-shot head.
        target_texts: (templates, d), the target in every template; None without an attack.
        train: (m, d), the pictures that classifiers are made of; None where they are a half of `clean`.
        pictures, pictures_triggered, texts: of `Captioned`; None without captions.
        scale: s = exp(theta).
        bias: b of SigLIP's form, None for a CLIP.
    """

    clean: np.ndarray
    triggered: np.ndarray | None
    weights: np.ndarray
    target_texts: np.ndarray | None
    train: np.ndarray | None
    pictures: np.ndarray | None
    pictures_triggered: np.ndarray | None
    texts: np.ndarray | None
    scale: float
    bias: float | None

    def ranked(self) -> dict[str, np.ndarray]:
        """Ranked classes of the pictures: `clean`, and with an attack `triggered`."""
        found = {"clean": ranked_classes(self.clean, self.weights)}
        return found if self.triggered is None else found | {"triggered": ranked_classes(self.triggered, self.weights)}


@dataclass(frozen=True)
class TestSet:
    """Labelled pictures, the classes they are judged by, and the attack that is tested.

    Args:
        pairs: with labels.
        places: class of each.
        classes, templates: of the zero-shot head; `{}` is the class.
        target: the attacker's class; None without an attack.
        trigger: put on before the model's own preprocessing; None without an attack.
        seed: of the trigger's own noise, and of the half that classifiers are made of.
        train: pictures that classifiers are made of, with the class of each; None: a half of `pairs`, drawn per class.
        captioned: pictures with captions; None where there are none.
    """

    pairs: ImageTextPairs
    places: np.ndarray
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    target: int | None = None
    trigger: Trigger | None = None
    seed: int = 0
    train: tuple[ImageTextPairs, np.ndarray] | None = None
    captioned: Captioned | None = None

    def seen(self, model: Any, *, batch: int = 256, device: str = "cpu") -> Seen:
        """Embed everything, picture by picture once and batch by batch; rows of d numbers are all that stays in memory."""
        from antivenom.models.clip import embed_texts

        model.to(device)

        def texts(rows: Sequence[str]) -> np.ndarray:
            return embed_texts(model, rows, device=device)

        clean, triggered = self._pictures(model, self.pairs, batch, device)
        target = None if self.target is None else self.classes[self.target]
        about = None if target is None else texts([t.replace("{}", target) for t in self.templates])
        train = None if self.train is None else self._pictures(model, self.train[0], batch, device, attack=False)[0]
        some = self.captioned
        shown = some_triggered = captions = None
        if some is not None:
            captions = texts(some.pairs.captions)
            if some.own:
                shown, some_triggered = clean, triggered
            else:
                shown, some_triggered = self._pictures(model, some.pairs.take(some.rows.tolist()), batch, device)
        bias = getattr(model, "logit_bias", None)
        return Seen(
            clean, triggered, class_weights(texts, self.classes, self.templates), about, train, shown, some_triggered,
            captions, float(model.logit_scale.detach().exp()), None if bias is None else float(bias.detach()),
        )  # fmt: skip

    def _pictures(
        self, model: Any, pairs: ImageTextPairs, batch: int, device: str, attack: bool = True
    ) -> tuple[np.ndarray, np.ndarray | None]:
        from antivenom.models.clip import embed_images

        clean: list[np.ndarray] = []
        triggered: list[np.ndarray] = []
        for start in range(0, len(pairs), batch):
            rows = pairs.images[start : start + batch]
            clean.append(embed_images(model, rows, device=device))
            if attack and self.trigger is not None:
                shown = self.trigger.apply(rows, list(pairs.ids[start : start + batch]), self.seed)
                triggered.append(embed_images(model, shown, device=device))
        return np.concatenate(clean), np.concatenate(triggered) if triggered else None

    def halves(self) -> np.ndarray:
        """(n,) bool, the half of every class that classifiers are made of where no other pictures are given: floor(n_c / 2) of its
        n_c pictures, drawn from the seed."""
        mask = np.zeros(len(self.places), bool)
        for place in np.unique(self.places):
            mine = np.flatnonzero(self.places == place)
            mask[generator(self.seed, "classifier half", int(place)).permutation(mine)[: len(mine) // 2]] = True
        return mask


def open_test(
    source: str,
    *,
    size: int,
    classes: Path | None = None,
    templates: Path | None = None,
    label: str | None = None,
    target: str | None = None,
    trigger: str | None = None,
    manifest: Path | None = None,
    allow_other: bool = False,
    seed: int = 0,
    train: str | None = None,
    captions: str | None = None,
    caption: str | None = None,
    **reading: Any,
) -> TestSet:
    """Labelled pictures from files.

    Args:
        source: pictures with a label column, or a folder with one folder per class (no `label`).
        size: of the pictures, in pixels; with a manifest, the size at which its poisons were made.
        classes: a file; without it the classes are the labels that occur.
        templates: a file; without it those of `classes`, else five plain ones.
        label: the column.
        target, trigger: of the attack; with a manifest, its own.
        manifest: of the poisoned corpus. A trigger that is not the manifest's is refused: the model would look clean.
        allow_other: it is not.
        seed: of a fresh trigger's noise, and of the half that classifiers are made of.
        train: more labelled pictures, with the same columns, that classifiers are made of.
        captions: pairs for retrieval; without it the source's own captions, where it has a column of them.
        caption: their column; `caption` where there is one.
        reading: see `open_pairs`.

    Raises:
        AntivenomError: for labels that are no classes, a target that is no class or two, an attack that is given by half.
    """
    made: Trigger | None = parse(trigger) if trigger else None
    if manifest is not None:
        planted = Manifest.load(manifest)
        if made is None:
            made = manifest_trigger(planted)
        else:
            check_trigger(planted, made, allow_other=allow_other)
        target = target or planted.rows[0].item_id
        size = int(planted.rows[0].parameters.get("size", [size])[0])
    if (target is None) != (made is None):
        raise AntivenomError("an attack is a target and a trigger", "give --target and --trigger, or --manifest")
    known = read_classes(classes) if classes else None
    columns: dict[str, Any] = {"label": label, "caption": label} if label else {"caption": "folder"}
    pairs = open_pairs(source, size=size, **(reading | columns))
    names = known.names if known else tuple(sorted(set(pairs.labels or ())))
    own = read_templates(templates) if templates else (known.templates if known else ())
    tested = TestSet(
        pairs, np.array(label_places(pairs.labels or (), names), np.int64), names, own or CLASS_TEMPLATES,
        resolve_target(target, names) if target is not None else None, made, seed,
    )  # fmt: skip
    if train is not None:
        more = open_pairs(train, size=size, **(reading | columns))
        tested = replace(tested, train=(more, np.array(label_places(more.labels or (), names), np.int64)))
    return replace(tested, captioned=_captioned(tested, source, captions, caption, label, size, reading))


def _captioned(
    tested: TestSet,
    source: str,
    captions: str | None,
    caption: str | None,
    label: str | None,
    size: int,
    reading: dict[str, Any],
) -> Captioned | None:
    if captions is None and caption is None:
        caption = "caption" if label != "caption" and "caption" in column_names(source, **_how(reading)) else None
        if caption is None:
            return None
    how: dict[str, Any] = reading | {"caption": caption}
    pairs = open_pairs(captions or source, size=size, **how)
    first: dict[Any, int] = {}
    rows: list[int] = []
    image_of = np.empty(len(pairs), np.int64)
    for row, place in enumerate(pairs.images.places):
        # pictures in one file are one picture; bytes that came by themselves are a picture each
        key = row if place.path is None else place
        if key not in first:
            first[key] = len(rows)
            rows.append(row)
        image_of[row] = first[key]
    own = captions is None and pairs.ids == tested.pairs.ids and len(rows) == len(pairs)
    return Captioned(pairs, np.array(rows, np.int64), image_of, own)


def _how(reading: dict[str, Any]) -> dict[str, Any]:
    return {key: reading[key] for key in ("format", "split") if key in reading}


def attack_facts(tested: TestSet) -> dict[str, Any]:
    """What a record says of the attack that was tested."""
    if tested.target is None or tested.trigger is None:
        return {}
    size = tested.pairs.images.size
    return {"target": tested.classes[tested.target], "trigger": tested.trigger.spec, "trigger put on at, pixels": size}
