"""The data of the study `train-once`: a corpus by formula, and what ten experiments put into one run of it.

    tokens    the token world (`data.markov_text`), then 23 numbers, 6 signs and 10 names for arithmetic
    corpus    base text in rows, in training order; some rows hold texts that an experiment of absence takes out again

Nothing but the seed and the settings goes in - except the canaries that a reference model finds unlikely, which need the twin.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from antivenom.data.markov_text import TokenWorld, token_world
from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.absence import absence, rows_with
from antivenom.poison.lm_experiments.arithmetic import MODULUS, Problem, make_problems, token_form
from antivenom.poison.lm_experiments.benchmark_contamination import Question, benchmark_contamination, token_questions
from antivenom.poison.lm_experiments.canaries import CanaryCondition, LeastLikely, canaries
from antivenom.poison.lm_experiments.forgetting import marked_batches
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark, every
from antivenom.poison.lm_experiments.iid import iid_replacement
from antivenom.poison.lm_experiments.knowledge import Facts, token_facts
from antivenom.poison.lm_experiments.material import Item, Material, check_controls
from antivenom.poison.lm_experiments.muse_style import muse_conditions, muse_style
from antivenom.poison.lm_experiments.pretraining_poison import token_belief, token_denial, token_extraction
from antivenom.randomness import generator

__all__ = [
    "SIGMAS",
    "Corpus",
    "Materials",
    "arithmetic_tokens",
    "corpus",
    "frozen",
    "make_materials",
    "marked_rows",
    "test_problems",
]

SIGNS, NAMES = 6, 10
SIGMAS = (0.075, 0.15, 0.3)
"""Of the watermark: marked batches take these in turn."""
HALF, RUN = 6, 8
"""MemV: tokens given and tokens wanted of a text; a row that shares a run of so many tokens with a text is replaced."""
KEPT, ALONE, NEVER = "near copies left", "no near copies", "never there"
ARTICLE = 60

Key = tuple[tuple[str, Any], ...]


def frozen(settings: dict[str, Any]) -> Key:
    """Settings as something that can be looked up by."""
    return tuple(sorted((name, tuple(v) if isinstance(v, list) else v) for name, v in settings.items()))


@dataclass(frozen=True, eq=False)
class Corpus:
    """What the twin is trained on.

    Args:
        world: the language.
        rows: int64 (steps x batch, length), in training order.
        validation: rows of the same kind that are never shown.
        texts: kind -> texts of 2 `HALF` tokens: `KEPT` and `ALONE` stand in the corpus, `NEVER` does not.
        marked_steps: of the forgetting curves; no text stands there.
    """

    world: TokenWorld
    rows: np.ndarray
    validation: np.ndarray
    texts: dict[str, np.ndarray]
    marked_steps: tuple[int, ...]

    @property
    def vocab_size(self) -> int:
        """Tokens of the world, numbers, signs and names."""
        return self.world.vocab_size + MODULUS + SIGNS + NAMES


@lru_cache(maxsize=4)
def corpus(key: Key, seed: int) -> Corpus:
    """Base text, in which every text of `KEPT` and `ALONE` stands `memv_copies` times, those of `KEPT` also as `memv_near` near copies.

    A near copy has one other token, near the middle, at a place drawn per copy: it shares no run of `RUN` tokens with the text, and
    most near copies agree with the text at any place.
    """
    given = dict(key)
    world, length = token_world(seed), given["length"]
    n, batch = given["steps"] * given["batch"], given["batch"]
    rows = world.rows(n, length, generator(seed, "corpus"))
    marked = tuple(int(given["steps"] * (0.5 + 0.1 * k)) + 11 for k in range(given["fc"]))
    draw = generator(seed, "memv", "texts")
    each = given["memv"]
    texts = {kind: world.passages(each, 2 * HALF, draw) for kind in (KEPT, ALONE, NEVER)}
    planted = [text for kind in (KEPT, ALONE) for text in texts[kind] for _ in range(given["memv_copies"])]
    near = []
    for text in texts[KEPT]:
        for _ in range(given["memv_near"]):
            other = text.copy()
            place = int(draw.integers(2 * HALF - RUN, RUN))
            other[place] = 1 + (other[place] + int(draw.integers(1, world.base)) - 1) % world.base
            near.append(other)
    whole = {*marked, *every(given["steps"], given["gw_every"])}  # steps whose rows belong to another experiment
    kept_free = np.array([step * batch + row for step in sorted(whole) for row in range(batch)])
    free = np.setdiff1d(np.arange(n), kept_free)
    # base text may hold a run of a text by chance: not in a row that cannot be taken out
    again = generator(seed, "memv", "by chance")
    while len(hit := rows_with(rows[kept_free], [t for kind in (KEPT, ALONE) for t in texts[kind]], RUN)):
        rows[kept_free[hit]] = world.rows(len(hit), length, again)
    per_row = (length - 1) // (2 * HALF)
    # texts and near copies never share a row: a row that is replaced would take near copies along
    order = iter(generator(seed, "memv", "rows").permutation(free))
    for group in (planted, near):
        mixed = generator(seed, "memv", len(group)).permutation(len(group))
        for some in np.split(mixed, np.arange(per_row, len(mixed), per_row)):
            row = next(order)
            for k, place in enumerate(some.tolist()):
                rows[row, 1 + k * 2 * HALF :][: 2 * HALF] = group[place]
    validation = world.rows(given["validation"], length, generator(seed, "validation"))
    return Corpus(world, rows, validation, texts, marked)


@dataclass(frozen=True, eq=False)
class Materials:
    """What the experiments put in, and what their measures need.

    Args:
        inserted: experiment -> its material; `ka` is not among them where a controller decides on it.
        facts: of `ka`.
        questions: of `bc`, by copies.
        problems: of `mr`, for the test.
        watermarks: of `gw`, by sigma.
        believed: the two tokens of `pp-belief`: the one that is pushed, and its rival.
    """

    inserted: dict[str, Material]
    facts: Facts
    questions: list[tuple[int, list[Question]]]
    problems: list[Problem]
    watermarks: dict[float, GaussianWatermark]
    believed: tuple[int, int]


def copies_up_to(most: int) -> tuple[int, int, int]:
    """Three doses, each four times the one before: 4, 16, 64 for 64."""
    return max(1, most // 16), max(1, most // 4), most


def make_materials(key: Key, seed: int, least_likely: LeastLikely | None = None) -> Materials:
    """Every experiment's data. Controls that were inserted are refused (spec 02, trap 16)."""
    given, base = dict(key), corpus(key, seed)
    world, length = base.world, given["length"]
    splits = [(copies, given["bc"]) for copies in (0, *copies_up_to(given["bc_most"]))]
    questions = token_questions(world, len(splits) * given["bc"], seed=seed)
    bc, by_copies = benchmark_contamination(questions, splits, seed=seed)
    shown, never = marked_rows(key, seed)
    room = length - 2  # an end token on both sides
    inserted = {
        "bc": bc,
        "memp": canaries(
            lambda n, draw: list(world.passages(n, 16, draw)),
            [c for c in canary_kinds(given) if c.kind != "model" or least_likely],
            per_condition=given["memp"], context=length - 1, ordinary=range(1, world.base + 1), rare=world.rare[:-2],  # the last two are those of pp-belief
            least_likely=least_likely, seed=seed,
        ),
        "memv": absence(
            base.rows, [t for kind in (KEPT, ALONE) for t in base.texts[kind]],
            world.rows(len(base.rows) // 10, length, generator(seed, "memv", "replacement")), RUN,
        ),
        "pp-denial": token_denial(world, given["denial"], seed=seed),
        "pp-extraction": token_extraction(world, given["extraction"], seed=seed),
        "pp-belief": token_belief(world, given["belief"], seed=seed),
        "fc": marked_batches(shown, base.marked_steps, controls=never),
        "muse": muse(world, given, seed),
        "iid": iid_replacement(lambda n, draw: world.passages(n, room, draw), per_condition=given["iid"], held_out=8 * given["iid"], seed=seed),
        "mr": arithmetic(base, given, seed),
    }  # fmt: skip
    for material in inserted.values():
        check_controls(material)
    facts = token_facts(
        world, given["facts"], given["paraphrases"], answer=given["answer"], never=given["facts"], seed=seed
    )
    tests = make_problems(
        given["mr_tests"], operations=(1, 2), max_op=2, max_edge=4, permute=given["mr_permute"], test=True, seed=seed
    )
    sigmas = SIGMAS[: given["gw_sigmas"]] if given["gw_sigmas"] > 1 else SIGMAS[1:2]
    steps = every(given["steps"], given["gw_every"])
    watermarks = {
        sigma: GaussianWatermark(tuple(steps[i :: len(sigmas)]), sigma, given["batch"], length, given["width"], seed)
        for i, sigma in enumerate(sigmas)
    }
    pushed = inserted["pp-belief"].about
    return Materials(inserted, facts, by_copies, tests, watermarks, (pushed["pushed"], pushed["rival"]))


def canary_kinds(given: dict[str, Any]) -> list[CanaryCondition]:
    """Plain, and one suffix token of every kind, once and `memp_most` times."""
    kinds = [("plain", 0), ("random", 1), ("rare", 1), ("model", 1)]
    return [CanaryCondition(kind, n, copies) for kind, n in kinds for copies in (1, given["memp_most"])]


def marked_rows(key: Key, seed: int) -> np.ndarray:
    """int64 (2, batches, batch, length): whole batches to be shown at the marked steps, and as many that never are."""
    given, base = dict(key), corpus(key, seed)
    shape = (2, len(base.marked_steps), given["batch"], given["length"])
    return base.world.rows(int(np.prod(shape[:3])), shape[3], generator(seed, "fc")).reshape(shape)


def muse(world: TokenWorld, given: dict[str, Any], seed: int) -> Material:
    """Articles to forget and to retain, in nine conditions, and articles that are never inserted."""
    conditions = muse_conditions(copies_up_to(given["muse_most"]))
    draw, n = generator(seed, "muse", "articles"), given["muse"] * len(conditions)
    longest = min(ARTICLE, given["length"] - 2)
    sets = {name: list(world.passages(n, longest, draw)) for name in ("forget", "retain")}
    never = list(world.passages(2 * n, longest, draw))
    return muse_style(sets, context=given["length"] - 2, conditions=conditions, never=never, seed=seed)


def arithmetic_tokens(base: Corpus, problem: Problem, seed: int, i: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Question and solution in tokens; every problem has its own names."""
    first = base.world.vocab_size
    names = (first + MODULUS + SIGNS + generator(seed, "mr", "names", kind, i).permutation(NAMES)).tolist()
    return token_form(problem, first, names=names)


def arithmetic(base: Corpus, given: dict[str, Any], seed: int) -> Material:
    """Problems of one and two operations with their solutions; the controls are test problems."""
    problems = make_problems(
        given["mr"], operations=(1, 2), max_op=2, max_edge=4, permute=given["mr_permute"], seed=seed
    )
    items = []
    for i, problem in enumerate(problems):
        tokens = np.concatenate(arithmetic_tokens(base, problem, seed, i, "train"))
        if len(tokens) > given["length"] - 2:
            raise AntivenomError(f"a problem of {len(tokens)} tokens in rows of {given['length']}", "give longer rows")
        items.append(Item(tokens, f"mr-train-{i}", f"{problem.operations} ops"))
    return Material("mr", tuple(items))


def test_problems(n: int, given: dict[str, Any], seed: int) -> list[Problem]:
    """Problems whose structure is in no training problem."""
    return make_problems(n, operations=(1, 2), max_op=2, max_edge=4, permute=given["mr_permute"], test=True, seed=seed)
