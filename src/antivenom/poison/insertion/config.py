"""Plan files: TOML, YAML or Python, with includes, environment variables and overrides from the command line.

    include = ["base.toml"]        read first, relative to this file; what stands here goes over it, table by table
    "${HOME}/x", "${N:-100}"       a variable of the environment, with a value for when it is not set
    run.steps=100                  an override; its value is read as TOML, and as text when it is none

A Python file says `CONFIG = {...}`; it may hold ready `Material`s. It is run: read it before you use another's.
"""

import os
import re
import runpy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from antivenom.errors import AntivenomError, MissingExtra

__all__ = ["read_config"]

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration of a file, everything filled in.

    Raises:
        AntivenomError: when it cannot be read, includes itself, or names a variable that is not set.
    """
    config = _filled(_read(Path(path), ()), str(path))
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not all(key.split(".")):
            raise AntivenomError(f"'{override}' is no override", "give it as run.steps=100")
        *tables, last = key.split(".")
        at = config
        for name in tables:
            at = at.setdefault(name, {})
            if not isinstance(at, dict):
                raise AntivenomError(f"'{override}': {name} is no table", "name a value in a table")
        at[last] = _value(value)
    return config


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in above:
        raise AntivenomError(f"{path} includes itself", "take it out of its `include`")
    found = _parse(path)
    if not isinstance(found, dict):
        raise AntivenomError(f"{path} holds no table of settings", "write NAME = VALUE lines")
    includes = found.pop("include", [])
    merged: dict[str, Any] = {}
    for other in [includes] if isinstance(includes, str) else includes:
        merged = _over(merged, _read(path.parent / other, (*above, path.resolve())))
    return _over(merged, found)


def _parse(path: Path) -> Any:
    try:
        if path.suffix == ".toml":
            return tomllib.loads(path.read_text("utf-8"))
        if path.suffix in (".yaml", ".yml"):
            return _yaml(path)
        if path.suffix == ".py":
            return dict(runpy.run_path(str(path))["CONFIG"])
    except OSError as error:
        raise AntivenomError(f"'{path}' cannot be read: {error.strerror or error}", "give a plan file") from error
    except KeyError as error:
        raise AntivenomError(f"{path} says no CONFIG", "write CONFIG = {{...}} in it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AntivenomError(f"{path}: {error}", "mend this line") from error
    raise AntivenomError(f"'{path}' is no plan file", "give one that ends in .toml, .yaml or .py")


def _yaml(path: Path) -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingExtra("pyyaml", "models", "a plan file in YAML (TOML needs nothing)") from None
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise AntivenomError(f"{path}: {error}", "mend this place") from error


def _over(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {
        key: _over(below[key], above[key]) if key in below and key in above else {**below, **above}[key]
        for key in {**below, **above}
    }


def _filled(value: Any, where: str) -> Any:
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: _variable(match, where), value)
    if isinstance(value, Mapping):
        return {key: _filled(found, where) for key, found in value.items()}
    if isinstance(value, list):
        return [_filled(found, where) for found in value]
    return value


def _variable(match: re.Match, where: str) -> str:
    found = os.environ.get(match[1], match[2])
    if found is None:
        raise AntivenomError(f"{where}: the variable {match[1]} is not set", f"set it, or write ${{{match[1]}:-VALUE}}")
    return found
