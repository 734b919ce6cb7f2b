"""Names with parameters, as users type them: `ngram`, `ngram:n=8`, `toxicity:aggregate=max,window=200`.

A name maps to a class whose dataclass fields ARE its parameters: they are set after a colon on the command line, and
recorded in the run directory.
"""

import importlib
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from typing import Any

from antivenom.errors import AntivenomError

__all__ = ["Registry"]


@dataclass(frozen=True)
class Registry:
    """The things of one kind that can be named.

    Args:
        kind: the word for one of them in messages ("detector", "scorer").
        option: the command line's option for them, for messages ("--detectors").
        known: name -> (module, class, what it does); the module is imported when the name is used.
    """

    kind: str
    option: str
    known: dict[str, tuple[str, str, str]]

    def get(self, name: str, **params: Any) -> Any:
        """The thing of that name with these parameters.

        Raises:
            AntivenomError: for an unknown name or parameter; the message lists the known ones.
        """
        if name not in self.known:
            near = get_close_matches(name, self.known, n=1)
            mend = f"did you mean '{near[0]}'? " if near else ""
            raise AntivenomError(f"there is no {self.kind} '{name}'", f"{mend}choose from: {', '.join(self.known)}")
        module, cls, _ = self.known[name]
        kind = getattr(importlib.import_module(module), cls)
        parameters = {field.name for field in fields(kind) if field.init}
        for key in params:
            if key not in parameters:
                mend = f"it has: {', '.join(sorted(parameters))}"
                raise AntivenomError(f"{self.kind} '{name}' has no parameter '{key}'", mend)
        return kind(**params)

    def parse(self, spec: str) -> Any:
        """Read `name` or `name:key=value,key=value`; values take the type of the parameter's default."""
        name, _, rest = spec.partition(":")
        if not rest:
            return self.get(name)
        if name not in self.known:
            return self.get(name)  # raises
        module, cls, _ = self.known[name]
        kind = getattr(importlib.import_module(module), cls)
        defaults = {f.name: (f.default if f.default is not MISSING else None) for f in fields(kind)}
        params: dict[str, Any] = {}
        for part in rest.split(","):
            key, equals, value = part.partition("=")
            if not equals:
                raise AntivenomError(f"'{part}' in {self.option} {spec}", "write name:key=value,key=value")
            params[key] = _typed(value, defaults.get(key), f"{name}:{key}")
        return self.get(name, **params)

    def parse_all(self, specs: Iterable[str]) -> dict[str, Any]:
        """Things under unique labels: the spec as typed."""
        found: dict[str, Any] = {}
        for spec in specs:
            if spec in found:
                raise AntivenomError(f"{self.kind} '{spec}' is asked for twice", "name each once")
            found[spec] = self.parse(spec)
        return found


def _typed(value: str, default: Any, where: str) -> Any:
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False, "1": True, "0": False}[value.lower()]
        if isinstance(default, int):
            return int(value)
        if isinstance(default, float):
            return float(value)
        if default is None:
            for kind in (int, float):
                try:
                    return kind(value)
                except ValueError:
                    continue
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number"}.get(type(default), "a number")
        raise AntivenomError(f"{where}={value} is not {kind}", f"the default is {default}") from None
    return value
