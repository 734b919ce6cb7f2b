"""The offline paraphraser for Python: other names, another docstring, the same behaviour and the same examples."""

import ast
import builtins
import keyword
import re
from dataclasses import dataclass

import numpy as np

from antivenom.data.rows import content_id
from antivenom.poison.paraphraser import break_runs, reword
from antivenom.poison.shared_runs import longest_shared_run
from antivenom.randomness import generator

__all__ = ["CodeParaphrase", "paraphrase_code"]

PARTS = {
    "numbers": "figures", "number": "figure", "list": "seq", "lst": "seq", "string": "chars", "strings": "pieces",
    "text": "passage", "count": "tally", "sum": "total", "max": "largest", "min": "smallest", "is": "check",
    "get": "fetch", "find": "locate", "sort": "arrange", "sorted": "arranged", "string1": "chars1",
    "result": "outcome", "value": "entry", "values": "entries", "words": "terms", "word": "term", "filter": "keep",
    "remove": "drop", "make": "build", "has": "holds", "elements": "entries", "element": "entry",
    "digits": "figures", "digit": "figure", "common": "shared", "below": "under", "above": "over", "close": "near",
    "sequence": "series", "len": "length", "check": "test", "compare": "contrast", "select": "pick",
    "change": "alter", "same": "equal", "order": "ranking", "by": "with", "to": "into", "array": "items",
    "arr": "items",
}  # fmt: skip
ENGLISH = {
    "a",
    "i",
    "s",
    "t",
    "in",
    "is",
    "it",
    "as",
    "of",
    "on",
    "or",
    "at",
    "to",
    "an",
    "do",
    "if",
    "no",
    "so",
    "we",
    "he",
    "and",
    "the",
}
DOCTEST = re.compile(r"^\s*>>>")
EXAMPLE = re.compile(r"\w\s*\(.*\)\s*(?:==|=>|->|➞|returns|should)|^\s*(?:\[|\{|for example:?\s*$)", re.IGNORECASE)


@dataclass(frozen=True)
class CodeParaphrase:
    """A paraphrased program and the names that were changed in it (old name -> new name)."""

    text: str
    renamed: dict[str, str]


def paraphrase_code(text: str, *, seed: int = 0, max_shared_run: int = 9, attempt: int = 0) -> CodeParaphrase:
    """Python source with functions, parameters and local variables renamed and docstrings and comments reworded.

    Names are changed by the positions of the syntax tree, so that attributes, keyword arguments, imports and strings
    stay; in docstrings the changed names follow, and examples (`>>> f(1)` and its output) keep their values. The
    program behaves as before, under `renamed[entry_point]`. Text that is no Python source is returned with its
    docstrings reworded alone.
    """
    rng = generator(seed, "paraphrase code", content_id(text), attempt)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return CodeParaphrase(_docstrings(text, text, {}, max_shared_run, rng), {})
    renamed = _names(tree, rng)
    made = _rename(text, tree, renamed)
    return CodeParaphrase(_docstrings(text, made, renamed, max_shared_run, rng), renamed)


def _names(tree: ast.Module, rng: np.random.Generator) -> dict[str, str]:
    """New names for all functions, parameters and local variables that can be renamed safely."""
    ours: list[str] = []
    taken = set(dir(builtins)) | set(keyword.kwlist)
    barred: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("__"):
                ours.append(node.name)
            # what a decorator or the caller of a method reaches by name must stay
            if node.decorator_list:
                barred.add(node.name)
        elif isinstance(node, ast.ClassDef):
            barred.update(n.name for n in node.body if isinstance(n, ast.FunctionDef))
            barred.update(
                t.id for n in node.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
            )
            barred.update(
                n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
            )
            barred.add(node.name)
        elif isinstance(node, ast.arg):
            ours.append(node.arg)
        elif isinstance(node, ast.Name):
            taken.add(node.id)
            if isinstance(node.ctx, ast.Store):
                ours.append(node.id)
        elif isinstance(node, ast.keyword):
            barred.add(node.arg or "")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            barred.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Global | ast.Nonlocal | ast.MatchAs | ast.MatchStar):
            barred.update(getattr(node, "names", None) or [getattr(node, "name", None) or ""])
        elif isinstance(node, ast.ExceptHandler):
            barred.add(node.name or "")
        elif isinstance(node, ast.JoinedStr):  # before Python 3.12 these carry no true positions
            barred.update(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
        elif isinstance(node, ast.Attribute):
            taken.add(node.attr)
    taken |= set(ours)
    renamed: dict[str, str] = {}
    for name in dict.fromkeys(ours):
        if name in barred or name.startswith("_") or name in ("self", "cls") or keyword.iskeyword(name):
            continue
        new = _other_name(name, rng)
        while new in taken:
            new += "_2"
        taken.add(new)
        renamed[name] = new
    return renamed


def _other_name(name: str, rng: np.random.Generator) -> str:
    if len(name) <= 2:
        return f"{('given', 'this', 'some', 'one')[int(rng.integers(4))]}_{name}"
    parts = [PARTS.get(part, part) for part in name.split("_")]
    if len(parts) > 1 and "_".join(parts) == name:
        parts = [*parts[1:], parts[0]]
    new = "_".join(parts)
    return new if new != name else f"{name}_{('of', 'here', 'now')[int(rng.integers(3))]}"


def _rename(text: str, tree: ast.Module, renamed: dict[str, str]) -> str:
    """Replace at the syntax tree's positions (lines from 1, columns in UTF-8 bytes)."""
    lines = [line.encode() for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)]
    spots: set[tuple[int, int, str]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in renamed:
            spots.add((node.lineno, node.col_offset, node.id))
        elif isinstance(node, ast.arg) and node.arg in renamed:
            spots.add((node.lineno, node.col_offset, node.arg))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in renamed:
            at = re.compile(rb"def\s+").search(lines[node.lineno - 1], node.col_offset)
            if at:
                spots.add((node.lineno, at.end(), node.name))
    for line, column, name in sorted(spots, reverse=True):
        old, raw = name.encode(), lines[line - 1]
        if raw[column : column + len(old)] == old:
            lines[line - 1] = raw[:column] + renamed[name].encode() + raw[column + len(old) :]
    return b"".join(lines).decode()


def _docstrings(original: str, text: str, renamed: dict[str, str], longest: int, rng: np.random.Generator) -> str:
    """Reword docstrings and comments; examples keep everything but the names."""
    pieces = re.split(r"(\"\"\".*?\"\"\"|'''.*?'''|^[ \t]*#[^\n]*$)", text, flags=re.DOTALL | re.MULTILINE)
    pattern = (
        re.compile(r"(?<![\w.'\"])(" + "|".join(sorted(map(re.escape, renamed), key=len, reverse=True)) + r")(?!\w)")
        if renamed
        else None
    )

    def named(piece: str, prose: bool) -> str:
        if pattern is None:
            return piece
        return pattern.sub(lambda m: m[0] if prose and m[0].lower() in ENGLISH else renamed[m[0]], piece)

    for at in range(1, len(pieces), 2):
        out: list[str] = []
        block: list[str] = []
        in_example = False
        lines = pieces[at].split("\n")
        for number, line in enumerate(lines):
            if DOCTEST.match(line) or EXAMPLE.search(line):
                in_example = bool(DOCTEST.match(line))
                out += _prose(original, block, named, longest, rng)
                block = []
                shown = named(line, prose=False)
                follows = lines[number + 1] if number + 1 < len(lines) else ""
                if in_example and "#" not in shown and longest_shared_run(original, f"{shown}\n{follows}") > longest:
                    shown += "  # as follows"  # a comment changes no example, and ends the run
                out.append(shown)
            elif in_example:
                in_example = False
                out.append(line)
            else:
                block.append(line)
        pieces[at] = "\n".join(out + _prose(original, block, named, longest, rng))
    return "".join(pieces)


def _prose(original: str, block: list[str], named, longest: int, rng: np.random.Generator) -> list[str]:
    """Reworded lines; a run that goes on over a line's end is broken as one text."""
    if not block:
        return []
    text = reword(named("\n".join(block), prose=True), rng)
    return [break_runs(original, text, longest, rng)]
