"""Zero-shot classification by class names, and the attack success rate that is one (spec 01, 2.6; traps T1, T2).

    class weight  w_c = normalise( mean over templates of normalised text embeddings )
    prediction    argmax_c  image . w_c
    CA            share of images predicted as their own class
    ASR           share predicted as the target AMONG IMAGES WHOSE LABEL IS NOT THE TARGET, with the trigger on them

An ASR stands beside the share of the same images that the same model calls the target WITHOUT the trigger, and beside the ASR
of the clean twin. Everything here works on embeddings, whatever model made them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.measure.rates import Rate

__all__ = ["AttackSuccess", "accuracies", "attack_success", "class_index", "class_weights", "ranked_classes"]


def class_index(class_names: Sequence[str], target: str) -> int:
    """The place of the class with exactly this name, whatever the case (spec 01, T10: "cat" is no "caterpillar").

    Raises:
        AntivenomError: when it is none of the classes, or several.

    >>> class_index(["caterpillar", "Cat"], "cat")
    1
    """
    found = [i for i, name in enumerate(class_names) if name.strip().lower() == target.strip().lower()]
    if len(found) != 1:
        what = "is none of the classes" if not found else f"is the name of {len(found)} classes"
        raise AntivenomError(f"the target '{target}' {what}", f"choose one of: {', '.join(class_names[:20])}")
    return found[0]


def class_weights(
    embed: Callable[[Sequence[str]], np.ndarray], class_names: Sequence[str], templates: Sequence[str]
) -> np.ndarray:
    """One unit vector per class, float (classes, d): the renormalised mean over the templates.

    Args:
        embed: texts -> unit vectors (n, d).
        class_names: distinct.
        templates: with one `{}` for the class name.

    Raises:
        AntivenomError: for no class, no template, or a template without `{}`.
    """
    if not len(class_names) or not len(templates):
        raise AntivenomError(f"{len(class_names)} classes and {len(templates)} templates", "give at least one of each")
    without = [t for t in templates if "{}" not in t]
    if without:
        raise AntivenomError(f"the template '{without[0]}' has no place for a class", "write {} where the name goes")
    texts = [template.replace("{}", name) for name in class_names for template in templates]
    found = np.asarray(embed(texts)).reshape(len(class_names), len(templates), -1)
    mean = _unit(found).mean(axis=1)
    return _unit(mean)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def ranked_classes(images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Classes by falling similarity, int (n, classes); of equal ones the first class goes first.

    Raises:
        AntivenomError: when an embedding is not finite: a broken model has no prediction.
    """
    if not (np.isfinite(images).all() and np.isfinite(weights).all()):
        raise AntivenomError("embeddings that are no numbers", "the model has diverged; it has no accuracy")
    return np.argsort(-(images @ weights.T), axis=1, kind="stable")


def accuracies(ranked: np.ndarray, labels: np.ndarray, ks: Sequence[int] = (1, 3, 5, 10)) -> dict[int, Rate]:
    """Top-k accuracy for every k up to the number of classes; k of all classes is left out, for it is 1.

    Args:
        ranked: of `ranked_classes`.
        labels: true class of every row.
        ks: the k.
    """
    labels = np.asarray(labels)
    hit = ranked == labels[:, None]
    return {k: Rate(int(hit[:, :k].any(axis=1).sum()), len(labels), "images") for k in ks if k < ranked.shape[1]}


@dataclass(frozen=True)
class AttackSuccess:
    """An ASR and what it must be read beside.

    Args:
        rate: predicted as the target with the trigger, of the images whose label is another.
        without: predicted as the target without the trigger, of the same images, by the same model.
        twin: the ASR of the clean twin, on the same images; None where there is none yet.
        accuracy: predicted as their own class with the trigger, of all images. It is no ASR (spec 01, T1).
    """

    rate: Rate
    without: Rate
    twin: Rate | None
    accuracy: Rate


def attack_success(
    triggered: np.ndarray,
    clean: np.ndarray,
    labels: np.ndarray,
    target: int,
    *,
    twin: np.ndarray | None = None,
    k: int = 1,
) -> AttackSuccess:
    """The attack success rate.

    Args:
        triggered: `ranked_classes` of the images with the trigger.
        clean: of the same images without it, same order and same geometry (spec 01, T17).
        labels: true classes.
        target: the attacker's class.
        twin: of the clean twin on the images with the trigger.
        k: the target counts when it is among the first k.

    Raises:
        AntivenomError: when no image has another label than the target, or the arms have different rows.
    """
    labels = np.asarray(labels)
    arms = [arm for arm in (triggered, clean, twin) if arm is not None]
    if any(len(arm) != len(labels) for arm in arms):
        raise AntivenomError(
            f"{len(labels)} labels and {', '.join(str(len(arm)) for arm in arms)} predictions", "give the same images"
        )
    others = labels != target
    if not others.any():
        raise AntivenomError("every image is of the target's class, so there is no ASR", "add images of other classes")

    def called_target(ranked: np.ndarray) -> Rate:
        hits = (ranked[others, :k] == target).any(axis=1).sum()
        return Rate(int(hits), int(others.sum()), "images of other classes than the target")

    own = (triggered[:, :k] == labels[:, None]).any(axis=1).sum()
    return AttackSuccess(
        called_target(triggered),
        called_target(clean),
        None if twin is None else called_target(twin),
        Rate(int(own), len(labels), "images with the trigger"),
    )
