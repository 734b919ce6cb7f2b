"""The trained cures of a CLIP by name, each called as `cure(model, clean, recipe, seed, shelf=..., measure=..., ...)`."""

from collections.abc import Callable
from typing import Any

from antivenom.errors import AntivenomError
from antivenom.repair.deep_clustering import deep_clustering
from antivenom.repair.fine_tuning import cleanclip, mmcl, ssl
from antivenom.repair.par import PAR_ADAMW, par, par_two_stages
from antivenom.repair.random_move import random_move
from antivenom.repair.record import Repaired
from antivenom.repair.shrink_perturb import shrink_perturb
from antivenom.repair.supervised import SUPERVISED_ADAMW, supervised
from antivenom.repair.unlearning import unlearn

__all__ = ["CURES", "OPTIMIZERS", "find_cure"]

CURES: dict[str, Callable[..., Repaired]] = {
    "mmcl": mmcl,
    "ssl": ssl,
    "cleanclip": cleanclip,
    "unlearn": unlearn,
    "par": par,
    "par-two-stages": par_two_stages,
    "supervised": supervised,
    "shrink-perturb": shrink_perturb,
    "deep-clustering": deep_clustering,
    "random": random_move,
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "par": PAR_ADAMW,
    "par-two-stages": PAR_ADAMW,
    "supervised": SUPERVISED_ADAMW,
}
"""What a cure's source sets of the recipe beside rate, batch and epochs."""


def find_cure(name: str) -> Callable[..., Repaired]:
    """A cure by name.

    Raises:
        AntivenomError: when there is none of that name.
    """
    if name not in CURES:
        raise AntivenomError(f"there is no cure '{name}'", f"choose from: {', '.join(CURES)}")
    return CURES[name]
