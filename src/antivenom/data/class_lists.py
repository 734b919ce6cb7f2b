"""Class names and caption templates from a file: text, JSON, or a `classes.py`, of which nothing is executed.

    cat\\ndog\\n                                   text: one a line
    ["cat", "dog"]                               JSON
    {"classes": ["cat"], "templates": ["a photo of a {}."]}
    config = {"classes": [...], "templates": [lambda c: f"a photo of a {c}."]}    Python as published: parsed, never run

A template's place for the class is `{}`; `{label}` is read as the same. Published code evaluates such files (spec 01, section 3).
"""

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from antivenom.errors import AntivenomError

__all__ = ["ClassList", "label_places", "read_classes", "read_templates"]

MEND = "give a text file with one name a line, JSON, or a classes.py"


@dataclass(frozen=True)
class ClassList:
    """Names of classes, and the templates that came with them (none: ())."""

    names: tuple[str, ...]
    templates: tuple[str, ...] = ()


def read_classes(path: str | Path) -> ClassList:
    """The classes of a file.

    Raises:
        AntivenomError: when it is not there, or holds no list of names.
    """
    found = _content(path)
    if isinstance(found, dict):
        names, templates = found.get("classes"), found.get("templates") or ()
    else:
        names, templates = found, ()
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise AntivenomError(f"'{path}' holds no list of class names", MEND)
    return ClassList(tuple(n.strip() for n in names), _templates(templates, path))


def read_templates(path: str | Path) -> tuple[str, ...]:
    """The caption templates of a file, each with one `{}`.

    Raises:
        AntivenomError: when it is not there, or a template has no place for the class.
    """
    found = _content(path)
    return _templates(found.get("templates") if isinstance(found, dict) else found, path)


def label_places(labels: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The place of every label in the classes: by name, whatever the case, or by number where no class has that name.

    Raises:
        AntivenomError: for a label that is no class or two.
    """
    where: dict[str, list[int]] = {}
    for place, name in enumerate(classes):
        where.setdefault(name.strip().lower(), []).append(place)
    found: list[int] = []
    for label in labels:
        places = where.get(label.strip().lower(), [])
        if not places and label.isdecimal() and int(label) < len(classes):
            places = [int(label)]
        if len(places) != 1:
            what = f"is the name of {len(places)} classes" if places else f"is none of the {len(classes)} classes"
            raise AntivenomError(f"the label '{label}' {what}", f"the classes are: {', '.join(classes[:20])}")
        found.append(places[0])
    return found


def _content(path: str | Path) -> Any:
    try:
        text = Path(path).read_text("utf-8")
        if Path(path).suffix == ".json":
            return json.loads(text)
        if Path(path).suffix == ".py":
            return _assigned(ast.parse(text))
    except (OSError, ValueError, SyntaxError, RecursionError) as error:
        raise AntivenomError(f"'{path}' cannot be read: {error}", MEND) from error
    return [line for line in text.splitlines() if line.strip()]


def _assigned(tree: ast.Module) -> Any:
    """The first dictionary or list that is assigned, with constants and templates alone."""
    for statement in tree.body:
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr) else None
        if isinstance(value, ast.Dict | ast.List):
            return _plain(value)
    raise ValueError("no list and no dictionary is assigned in it")


def _plain(node: ast.AST | None) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_plain(one) for one in node.elts]
    if isinstance(node, ast.Dict):
        return {_plain(k): _plain(v) for k, v in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Lambda):
        return _plain(node.body)
    if isinstance(node, ast.JoinedStr):
        return "".join("{}" if isinstance(part, ast.FormattedValue) else str(_plain(part)) for part in node.values)
    raise ValueError(f"line {getattr(node, 'lineno', '?')} holds more than names and templates")


def _templates(found: Any, path: str | Path) -> tuple[str, ...]:
    if not isinstance(found, list | tuple) or not all(isinstance(t, str) for t in found):
        raise AntivenomError(f"'{path}' holds no list of templates", "give one template a line, with {} for the class")
    made = tuple(t.replace("{label}", "{}") for t in found)
    without = next((t for t in made if t.count("{}") != 1), None)
    if without is not None:
        raise AntivenomError(f"the template '{without}' of '{path}'", "write {} once, where the class goes")
    return made
