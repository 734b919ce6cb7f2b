"""Triggers: what is put on a picture so that a backdoored model answers with the attacker's label."""

from antivenom.poison.triggers.blended import SIG, Blended
from antivenom.poison.triggers.optimised import (
    OptimisedPatch,
    clip_patch,
    clip_patch_loss,
    optimise_patch,
    torch_gradient,
)
from antivenom.poison.triggers.patch import Patch
from antivenom.poison.triggers.specs import TRIGGERS, from_record, trigger
from antivenom.poison.triggers.trigger import Nothing, Trigger
from antivenom.poison.triggers.wanet import WaNet

__all__ = [
    "SIG",
    "TRIGGERS",
    "Blended",
    "Nothing",
    "OptimisedPatch",
    "Patch",
    "Trigger",
    "WaNet",
    "clip_patch",
    "clip_patch_loss",
    "from_record",
    "optimise_patch",
    "torch_gradient",
    "trigger",
]
