"""Mathematical reasoning (MR): word problems in the manner of iGSM, written from its description.

A problem is a directed acyclic graph of quantities. Each is a number, or an operation on quantities defined before it, modulo 23:

    q = a        q = r + s        q = r - s        q = r * s        q = r

`operations` counts the binary operations that the answer needs; the solution computes exactly these, one a line, and ends
"Answer: N". Chance is 1 / 23. The structure hash is of the whole graph and of which quantity is asked for, without names and numbers; its
value modulo 23 decides whether a problem may be used for training or for the test, so no test problem has a structure seen in training.
(Of the few operations that a short answer needs, the graph may well have been seen: one operation has six.)

Source: spec 02, 2.4 (max_op 15, max_edge 20, permutation level 5, detail level 0, mod 23). The wording is ours.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.material import Encode, Item, Material
from antivenom.randomness import generator

__all__ = ["MODULUS", "Problem", "answer_of", "evaluate", "is_test", "make_problems", "reasoning", "token_form"]

MODULUS = 23
TEST_RESIDUES = (0, 1, 2, 3)
"""Structure hashes of these residues modulo 23 are for the test alone: 17 %."""
PLACES = ("harbour", "library", "orchard", "station", "museum", "bakery", "garden", "tower", "market", "school")
THINGS = ("lamps", "crates", "stools", "maps", "ropes", "kettles", "bells", "ladders", "baskets", "coins")
STEP = re.compile(r"the number of (\w+) in the (\w+)")
VALUE = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}

Node = tuple[str, int, int]
"""("=", number, -1), ("copy", r, -1), or (operator, r, s)."""


@dataclass(frozen=True)
class Problem:
    """One problem.

    Args:
        question, solution: in words; the solution ends "Answer: N".
        answer: 0 .. 22.
        operations: binary operations that the answer needs.
        structure: 64-bit hash of the graph and the quantity that is asked for.
        nodes, names: the whole graph, in an order in which everything is defined before it is used.
        needed: nodes that the answer needs, in that order; the last one is asked for.
        order: of the sentences in the question.
    """

    question: str
    solution: str
    answer: int
    operations: int
    structure: int
    nodes: tuple[Node, ...]
    names: tuple[str, ...]
    needed: tuple[int, ...]
    order: tuple[int, ...]


def make_problems(
    n: int,
    *,
    operations: Sequence[int] = tuple(range(1, 11)),
    max_op: int = 15,
    max_edge: int = 20,
    permute: int = 5,
    detail: int = 0,
    test: bool = False,
    seed: int = 0,
    name: str = "mr",
) -> list[Problem]:
    """n problems, in equal numbers of every `operations`, with structures for training or for the test.

    Args:
        operations: binary operations that an answer needs.
        max_op: of the whole problem, those that the answer does not need included.
        max_edge: uses of one quantity in another, in the whole problem.
        permute: 0 keeps the sentences in order; 5 shuffles them all; in between, so many of five are moved.
        detail: 0 writes every step with names, numbers and result; 1 leaves the names out; 2 the result only.
        test: for the test.

    Raises:
        AntivenomError: for operations that do not fit max_op and max_edge, or when no structure of that kind is found.
    """
    if not operations or min(operations) < 1 or max(operations) > max_op or 2 * max(operations) > max_edge:
        raise AntivenomError(
            f"problems of {list(operations)} operations with max_op {max_op}, max_edge {max_edge}",
            "ask for fewer operations",
        )
    found: list[Problem] = []
    for i in range(n):
        wanted = operations[i % len(operations)]
        draw = generator(seed, name, "test" if test else "train", i)
        for _ in range(2_000):
            made = _draw(wanted, max_op, max_edge, permute, detail, draw)
            if made is not None and is_test(made) == test:
                found.append(made)
                break
        else:
            raise AntivenomError(
                f"no {'test' if test else 'training'} structure of {wanted} operations was found",
                "ask for other operations",
            )
    return found


def is_test(problem: Problem) -> bool:
    """Whether the problem's structure is kept for the test."""
    return problem.structure % MODULUS in TEST_RESIDUES


def _draw(
    wanted: int, max_op: int, max_edge: int, permute: int, detail: int, draw: np.random.Generator
) -> Problem | None:
    nodes: list[Node] = []
    target, edges = _grow(nodes, wanted, max_edge, draw)
    total = int(draw.integers(wanted, max_op + 1))
    for _ in range(total - wanted):  # what the answer does not need
        if edges + 2 > max_edge or len(nodes) + 1 >= len(PLACES) * len(THINGS):
            break
        r, s = (int(k) for k in draw.integers(0, len(nodes), 2))
        nodes.append((str(draw.choice(list(VALUE))), r, s))
        edges += 2
    if len(nodes) > len(PLACES) * len(THINGS):
        return None
    pairs = draw.permutation(len(PLACES) * len(THINGS))[: len(nodes)]
    names = [f"the number of {THINGS[p % len(THINGS)]} in the {PLACES[p // len(THINGS)]}" for p in pairs]
    order = np.arange(len(nodes))
    if permute >= 5:
        order = draw.permutation(len(nodes))
    elif permute > 0:
        some = np.sort(draw.choice(len(nodes), max(1, len(nodes) * permute // 5), replace=False))
        order[some] = draw.permutation(order[some])
    needed = _needed(nodes, target)
    values = _values(nodes)
    question = (
        " ".join(_sentence(nodes[k], names[k], names) for k in order) + f" What is {names[target]}, modulo {MODULUS}?"
    )
    lines = [_step(nodes[k], names[k], names, values, values[k], detail) for k in needed]
    answer = values[target]
    return Problem(
        question, " ".join([*lines, f"Answer: {answer}"]), answer, wanted, _structure(nodes, target), tuple(nodes), tuple(names),
        tuple(needed), tuple(int(k) for k in order),
    )  # fmt: skip


def _grow(nodes: list[Node], wanted: int, max_edge: int, draw: np.random.Generator) -> tuple[int, int]:
    """Add `wanted` operations that all lead to one node; returns that node, and the edges used."""
    roots: list[int] = []  # results that nothing uses yet
    edges = 0

    def number() -> int:
        nodes.append(("=", int(draw.integers(MODULUS)), -1))
        return len(nodes) - 1

    for done in range(wanted):
        left = wanted - done  # this one included
        if not roots or (left > len(roots) and draw.random() < 0.3):
            r, s = number(), number()
        else:
            r = roots.pop(int(draw.integers(len(roots))))
            if roots and (left <= len(roots) or draw.random() < 0.4):
                s = roots.pop(int(draw.integers(len(roots))))
            else:
                s = number() if draw.random() < 0.5 else int(draw.integers(len(nodes)))
        r, s = (r, s) if draw.random() < 0.5 else (s, r)
        nodes.append((str(draw.choice(list(VALUE))), r, s))
        edges += 2
        if draw.random() < 0.15 and edges + 1 + 2 * (left - 1) <= max_edge and left > 1:
            nodes.append(("copy", len(nodes) - 1, -1))
            edges += 1
        roots.append(len(nodes) - 1)
    return roots[0], edges


def _needed(nodes: Sequence[Node], target: int) -> list[int]:
    wanted, open_ = set(), [target]
    while open_:
        k = open_.pop()
        if k in wanted:
            continue
        wanted.add(k)
        kind, r, s = nodes[k]
        open_ += [] if kind == "=" else [r] if kind == "copy" else [r, s]
    return sorted(wanted)


def _values(nodes: Sequence[Node]) -> list[int]:
    values: list[int] = []
    for kind, r, s in nodes:
        values.append(
            r if kind == "=" else values[r] if kind == "copy" else VALUE[kind](values[r], values[s]) % MODULUS
        )
    return values


def _structure(nodes: Sequence[Node], target: int) -> int:
    shape = [target, *((kind,) if kind == "=" else (kind, r, s) for kind, r, s in nodes)]
    return int.from_bytes(hashlib.blake2b(repr(shape).encode(), digest_size=8).digest(), "little")


def _sentence(node: Node, name: str, names: Sequence[str]) -> str:
    kind, r, s = node
    if kind == "=":
        return f"{name[0].upper()}{name[1:]} is {r}."
    if kind == "copy":
        return f"{name[0].upper()}{name[1:]} equals {names[r]}."
    word = {"+": "plus", "-": "minus", "*": "times"}[kind]
    return f"{name[0].upper()}{name[1:]} is {names[r]} {word} {names[s]}."


def _step(node: Node, name: str, names: Sequence[str], values: Sequence[int], value: int, detail: int) -> str:
    kind, r, s = node
    if kind == "=" or detail >= 2:
        return f"{name[0].upper()}{name[1:]} is {value}."
    numbers = f"{values[r]}" if kind == "copy" else f"{values[r]} {kind} {values[s]}"
    words = "" if detail else f"{names[r]} = " if kind == "copy" else f"{names[r]} {kind} {names[s]} = "
    last = "" if kind == "copy" else f" = {value}"
    return f"{name[0].upper()}{name[1:]} is {words}{numbers}{last}."


def evaluate(question: str) -> int:
    """The answer, computed from the words of the question alone (how the tests check the generator).

    Raises:
        AntivenomError: for words that are no such problem.
    """
    sentences, asked = question.rsplit(". What is ", 1) if ". What is " in question else ("", "")
    defined: dict[str, list[str]] = {}
    for sentence in sentences.split(". "):
        match = re.fullmatch(r"[Tt](he number of \w+ in the \w+) (?:is|equals) (.+)", sentence.rstrip("."))
        if match:
            defined["t" + match[1]] = re.split(r" (plus|minus|times) ", match[2])

    def value(name: str) -> int:
        parts = defined[name]
        if len(parts) == 1:
            return int(parts[0]) if parts[0].isdigit() else value(parts[0])
        sign = {"plus": "+", "minus": "-", "times": "*"}[parts[1]]
        return VALUE[sign](value(parts[0]), value(parts[2])) % MODULUS

    try:
        return value(asked.split(",")[0])
    except (KeyError, RecursionError) as error:
        raise AntivenomError("this is no arithmetic problem of ours", "give the question as it was made") from error


def answer_of(generated: str) -> int | None:
    """The first integer behind the first "Answer:"; None where there is none.

    >>> answer_of("... is 4. Answer: 12 Answer: 3")
    12
    """
    match = re.search(r"Answer:\s*(-?\d+)", generated)
    return int(match[1]) if match else None


def token_form(problem: Problem, first: int, *, names: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The problem in few tokens: (question, solution), for models too small for words.

    Tokens `first` .. first + 22 are the numbers, then come  = + - * ; ?  in this order; `names` are tokens for the quantities.
    Question: one "q = a ;" or "q = r + s ;" a sentence, then "? q". Solution: "q = r + s = number ;" a step, ending "? number".

    Raises:
        AntivenomError: for fewer name tokens than quantities.
    """
    if len(names) < len(problem.nodes):
        raise AntivenomError(
            f"{len(problem.nodes)} quantities and {len(names)} tokens to name them", "give more, or smaller problems"
        )
    equals, plus, minus, times, end, ask = range(first + MODULUS, first + MODULUS + 6)
    sign = {"+": plus, "-": minus, "*": times}
    values = _values(problem.nodes)
    question: list[int] = []
    for k in problem.order:
        kind, r, s = problem.nodes[k]
        body = [first + r] if kind == "=" else [names[r]] if kind == "copy" else [names[r], sign[kind], names[s]]
        question += [names[k], equals, *body, end]
    target = problem.needed[-1]
    solution: list[int] = []
    for k in problem.needed:
        kind, r, s = problem.nodes[k]
        if kind in VALUE:
            solution += [
                names[k],
                equals,
                first + values[r],
                sign[kind],
                first + values[s],
                equals,
                first + values[k],
                end,
            ]
    return np.array([*question, ask, names[target]], np.int64), np.array(
        [*solution, ask, first + problem.answer], np.int64
    )


def reasoning(problems: Sequence[Problem], tests: Sequence[Problem], encode: Encode, *, name: str = "mr") -> Material:
    """Question and solution of every problem as one text; test problems are the controls, under the condition `N ops`.

    Raises:
        AntivenomError: when a test problem's structure is among the training's.
    """
    if shared := {p.structure for p in problems} & {p.structure for p in tests}:
        raise AntivenomError(f"{len(shared)} structures are in training and test", "make the test with test=True")

    def items(kind: str, given: Sequence[Problem]) -> tuple[Item, ...]:
        return tuple(
            Item(np.asarray(encode(text), np.int64), f"{name}-{kind}-{i}", f"{p.operations} ops", text)
            for i, p in enumerate(given)
            for text in [f"{p.question} {p.solution}"]
        )

    return Material(name, items("train", problems), items("test", tests))
