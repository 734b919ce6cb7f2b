"""Triggers by name: `badnet:kind=noise:size=16:place=random`, as typed on a command line or kept in a manifest.

`name:key=value:key=value`; the keys are the fields of the trigger's class, values take the type of their default. A value may
hold commas and colons (`place=12,30`): a new key begins only at `:word=`.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from antivenom.errors import AntivenomError
from antivenom.poison.triggers.blended import SIG, Blended
from antivenom.poison.triggers.optimised import OptimisedPatch
from antivenom.poison.triggers.patch import Patch
from antivenom.poison.triggers.trigger import Nothing, Trigger
from antivenom.poison.triggers.wanet import WaNet

__all__ = ["TRIGGERS", "from_record", "trigger"]

TRIGGERS: dict[str, tuple[type[Trigger], dict[str, Any], str]] = {
    "badnet": (Patch, {}, "a patch: noise, checker, stripes, triangles, one colour, letters or a file"),
    "yellow": (Patch, {"kind": "solid", "colour": "yellow"}, "a yellow patch at a random place"),
    "colour": (Patch, {"kind": "solid"}, "a patch of one colour"),
    "four_corners": (Patch, {"place": "four_corners"}, "the same patch in all four corners"),
    "label_consistent": (
        Patch,
        {"kind": "checker", "size": 3, "place": "four_corners"},
        "3 x 3 checkers in all four corners, for clean-label poisoning",
    ),
    "blended": (Blended, {}, "a pattern mixed over the whole picture"),
    "wanet": (WaNet, {}, "one smooth warp (k=4:s=0.5), or a jitter per pixel (k=224:s=1)"),
    "sig": (SIG, {}, "a sinus over the columns"),
    "optimised": (OptimisedPatch, {}, "a patch from a file, as BadCLIP makes them"),
    "none": (Nothing, {}, "no trigger: the control"),
}
"""name -> (class, what the name sets, what it does)."""


def trigger(spec: str | Trigger) -> Trigger:
    """Read a spec.

    >>> trigger("badnet:kind=checker:size=5").spec
    'badnet:kind=checker:size=5'
    >>> trigger("yellow").spec
    'badnet:kind=solid:colour=yellow'

    Raises:
        AntivenomError: for an unknown name or key, or a value that does not fit; the message lists what there is.
    """
    if isinstance(spec, Trigger):
        return spec
    name, *parts = re.split(r":(?=[a-z_]+=)", spec)
    cls, preset, _ = _known(name)
    defaults = {field.name: field.default for field in fields(cls)}
    params: dict[str, Any] = {}
    for part in parts:
        key, _, value = part.partition("=")
        if key not in defaults:
            raise AntivenomError(f"trigger '{name}' has no parameter '{key}'", f"it has: {', '.join(sorted(defaults))}")
        if key in params:
            raise AntivenomError(f"'{spec}' sets {key} twice", "set it once")
        params[key] = _typed(value, defaults[key], f"{name}:{key}")
    return cls(**(preset | params))


def from_record(record: Mapping[str, Any]) -> Trigger:
    """The trigger that a manifest or a checkpoint remembers.

    Raises:
        AntivenomError: when the record is none, its file is missing, or the fingerprint differs: a model tested with
            another trigger looks clean.
    """
    try:
        name, params, told = record["name"], dict(record["parameters"]), record["fingerprint"]
        cls = next(cls for cls, _, _ in TRIGGERS.values() if cls.name == name)
        found = cls(**params)
    except (KeyError, TypeError, StopIteration) as error:
        raise AntivenomError(
            f"this is no record of a trigger: {dict(record)}", "give what Trigger.record() made"
        ) from error
    if found.fingerprint != told:
        raise AntivenomError(
            f"the trigger {found.spec} is not the one recorded (fingerprint {found.fingerprint[:12]}, not {told[:12]})",
            "use the file and the version of antivenom that the data were poisoned with",
        )
    return found


def _known(name: str) -> tuple[type[Trigger], dict[str, Any], str]:
    if name not in TRIGGERS:
        raise AntivenomError(f"there is no trigger '{name}'", f"choose from: {', '.join(TRIGGERS)}")
    return TRIGGERS[name]


def _typed(value: str, default: Any, where: str) -> Any:
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[value.lower()]
        if isinstance(default, int | float):
            return type(default)(value)
    except (KeyError, ValueError):
        raise AntivenomError(f"{where}={value}", f"write {kinds[type(default)]}") from None
    return value
