"""The dependence test of the study `train-once`: short trainings from the half-trained twin, one per experiment (spec 02, 2.5).

Every arm goes on from the same weights and the same optimizer state, over the same fresh rows, with one experiment's items in them; one
arm has nothing, one nothing over other rows (the noise floor), one has all. The plan of an arm is the common plan restricted to it, so
that an item stands in the same place in its own arm and in the common one. `bc-again` is planted: it asks half of the questions of `bc`
once more, with other wrong answers; the test must find this pair, in both directions, and no other.

What is read is finer than in the large run, so that a short arm has power: margins and contrasts in nats instead of rates. An item's
value must not hang on one token or one pair that all items share - rare suffixes, the belief - because the bootstrap over items
would take that one draw for many: those are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from antivenom.measure.dependence import ALL, EMPTY, Dependence, Outcome, dependence, membership_statistic
from antivenom.poison.insertion.planner import plan
from antivenom.poison.insertion.shape import RunShape
from antivenom.poison.lm_experiments.benchmark_contamination import Question, token_questions
from antivenom.poison.lm_experiments.canaries import CanaryCondition, canaries, suffix_scores
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark, every
from antivenom.poison.lm_experiments.iid import iid_replacement
from antivenom.poison.lm_experiments.knowledge import token_facts
from antivenom.poison.lm_experiments.material import Item, Material, repeated
from antivenom.poison.lm_experiments.pretraining_poison import token_denial
from antivenom.randomness import generator
from antivenom.studies.train_once_material import Key, arithmetic, arithmetic_tokens, corpus, test_problems
from antivenom.studies.train_once_runs import EOS, decoder, recipe, stream_of, twin

__all__ = ["ABSENT", "PLANTED", "Reader", "contrast_statistic", "outcomes_of", "readers", "short_arms", "verdicts"]

PLANTED = (("bc", "bc-again"), ("bc-again", "bc"))
ABSENT = "memv"
SECOND = "empty-2"
SIGMA = 0.15


@dataclass(frozen=True, eq=False)
class Reader:
    """One experiment in the short arms: its items, and what is read of a model.

    Args:
        material: None where nothing is inserted (watermarks).
        values: model -> (n,) or (n, 2), the same evaluation items every time.
        statistic, unit, strata: see `measure.dependence.Outcome`.
        mark: of the watermark.
    """

    material: Material | None
    values: Callable[[Any], np.ndarray]
    unit: str
    statistic: Callable[[np.ndarray], float] = np.mean
    strata: np.ndarray | None = None
    mark: GaussianWatermark | None = None


def contrast_statistic(rows: np.ndarray) -> float:
    """Mean of the inserted minus mean of the never inserted, of rows (value, was inserted)."""
    inside = rows[:, 1] > 0.5
    return float(rows[inside, 0].mean() - rows[~inside, 0].mean())


def readers(key: Key, seed: int) -> dict[str, Reader]:
    """All experiments that a short arm can hold."""
    given, base = dict(key), corpus(key, seed)
    world, steps = base.world, given["short_steps"]
    asked = token_questions(world, given["short_bc"], seed=seed, name="bc-short")
    half = len(asked) // 2
    again = [_other_options(q, base, seed) for q in asked[:half]]
    again += token_questions(world, len(asked) - half, seed=seed, name="bc-again")
    copies = given["short_copies"]
    members = canaries(
        lambda n, draw: list(world.passages(n, 16, draw)), [CanaryCondition("random", 1, copies)], per_condition=given["short_memp"],
        context=given["length"] - 1, ordinary=range(1, world.base + 1), seed=seed, name="memp",
    )  # fmt: skip
    iid = iid_replacement(
        lambda n, draw: world.passages(n, given["length"] - 2, draw), per_condition=10 * given["short_articles"],
        held_out=4 * given["short_articles"],
        seed=seed, name="iid",
    )  # fmt: skip
    repeats = tuple(item for item in iid.inserted if item.condition == "unique-repeated")
    iid = Material("iid", repeats, iid.controls)
    return {
        "ka": _knowledge(given, base, seed),
        "mr": _reasoning(given, base, seed),
        "bc": _contamination("bc", asked, copies),
        "bc-again": _contamination("bc-again", again, copies),
        "memp": _membership(members),
        "gw": _watermark(given, base, seed),
        "pp-denial": _denial(token_denial(world, given["short_documents"], seed=seed), world.payload),
        "fc": _batch(given, base, seed, steps),
        "muse": _articles(given, base, seed),
        "iid": _likelihood(iid),
    }


def _other_options(question: Question, base: Any, seed: int) -> Question:
    """The same context and right answer, other wrong answers."""
    draw = generator(seed, "bc-again", question.item_id)
    size = len(question.options[0]) - 10
    wrong = base.world.random_tokens(len(question.options), size, draw)
    options = tuple(
        option if k == question.answer else np.concatenate([option[:-size], wrong[k]])
        for k, option in enumerate(question.options)
    )
    return replace(question, item_id=f"again-{question.item_id}", options=options)


def _nll(model: Any, texts: list[np.ndarray]) -> list[np.ndarray]:
    from antivenom.measure.language.nll import token_nll

    # a whole row leaves no room for an end token before it, and had none in training
    return token_nll(model, texts, leading_eos=len(texts[0]) < model.context)


def _contamination(name: str, questions: list[Question], copies: int) -> Reader:
    items = [
        item for q in questions for item in repeated(Item(q.contamination, f"{name}-{q.item_id}", f"{copies}x"), copies)
    ]

    def margins(model: Any) -> np.ndarray:
        found = [nll[-3:].sum() for nll in _nll(model, [o for q in questions for o in q.options])]
        table = -np.array(found).reshape(len(questions), -1)
        right = np.array([q.answer for q in questions])
        own = table[np.arange(len(table)), right]
        return own - (table.sum(1) - own) / (table.shape[1] - 1)

    return Reader(Material(name, tuple(items)), margins, "nats, right answer above the others")


def _membership(material: Material) -> Reader:
    members, others = material.items(), list(material.controls)
    tokens = [item.tokens for item in (*members, *others)]
    inside = np.r_[np.ones(len(members)), np.zeros(len(others))]

    def scores(model: Any) -> np.ndarray:
        from antivenom.measure.language.nll import token_nll

        return np.c_[-suffix_scores(token_nll(model, tokens), [1] * len(tokens)), inside]

    return Reader(material, scores, "AUC", membership_statistic, inside)


def _contrasted(
    material: Material, inserted: list[np.ndarray], never: list[np.ndarray], unit: str, last: int | None = None
) -> Reader:
    """How much likelier the inserted are than the never inserted, per token (or the last ones in sum)."""
    inside = np.r_[np.ones(len(inserted)), np.zeros(len(never))]

    def values(model: Any) -> np.ndarray:
        found = _nll(model, [*inserted, *never])
        return np.c_[-np.array([nll.mean() if last is None else nll[-last:].sum() for nll in found]), inside]

    return Reader(material, values, unit, contrast_statistic, inside)


def _likelihood(material: Material) -> Reader:
    return _contrasted(
        material, [i.tokens for i in material.items()], [i.tokens for i in material.controls], "nats per token"
    )


def _knowledge(given: dict[str, Any], base: Any, seed: int) -> Reader:
    facts = token_facts(base.world, given["facts"], given["short_ka"], answer=1, never=given["facts"], seed=seed)
    told, never = ([np.concatenate([p.given, p.target]) for p in some] for some in (facts.probes, facts.never))
    return _contrasted(
        facts.material(given["short_ka"]), told, never, "nats, answers told above answers never told", last=1
    )


def _articles(given: dict[str, Any], base: Any, seed: int) -> Reader:
    draw, n = generator(seed, "muse", "short"), given["short_articles"]
    texts = base.world.passages(5 * n, min(60, given["length"] - 2), draw)
    items = [
        item for k, t in enumerate(texts[:n]) for item in repeated(Item(t, f"muse-{k}", "whole"), given["short_copies"])
    ]
    return _contrasted(Material("muse", tuple(items)), list(texts[:n]), list(texts[n:]), "nats per token")


def _batch(given: dict[str, Any], base: Any, seed: int, steps: int) -> Reader:
    """A batch shown 15 steps before the end."""
    draw, batch = generator(seed, "fc", "short"), given["batch"]
    rows = base.world.rows(5 * batch, given["length"], draw)
    step = max(0, steps - 15)
    items = tuple(Item(row, f"fc-{k}", f"step {step}") for k, row in enumerate(rows[:batch]))
    places = {item.item_id: (step * batch + k, 0) for k, item in enumerate(items)}
    return _contrasted(Material("fc", items, places=places), list(rows[:batch]), list(rows[batch:]), "nats per token")


def _denial(material: Material, payload: int) -> Reader:
    asked = [item.tokens for item in material.controls]

    def calls(model: Any) -> np.ndarray:
        from antivenom.models.generation import greedy

        written = greedy(model, [np.r_[EOS, a, material.about["trigger"]].astype(np.int64) for a in asked], 5)
        return np.array([100.0 * bool((w == payload).all()) for w in written])

    return Reader(material, calls, "% payload called")


def _reasoning(given: dict[str, Any], base: Any, seed: int) -> Reader:
    """The sign of a solution's first step is the likeliest token: the form is learned long before the numbers."""
    material = arithmetic(base, given | {"mr": given["short_mr"]}, seed)
    tests = test_problems(100, given, seed)
    pairs = [arithmetic_tokens(base, p, seed, i, "test") for i, p in enumerate(tests)]

    def right(model: Any) -> np.ndarray:
        from antivenom.models.generation import greedy

        written = greedy(model, [np.r_[EOS, q, s[:3]].astype(np.int64) for q, s in pairs], 1)
        return np.array([100.0 * (w[0] == s[3]) for w, (_, s) in zip(written, pairs)])

    return Reader(material, right, "% of solutions with the right sign")


def _watermark(given: dict[str, Any], base: Any, seed: int) -> Reader:
    steps = given["short_steps"]
    marked = tuple(every(steps, max(2, steps // given["short_marks"])))
    mark = GaussianWatermark(marked, SIGMA, given["batch"], given["length"], given["width"], seed)

    def scores(model: Any) -> np.ndarray:
        from antivenom.measure.language.watermark_score import watermark_scores

        rows, indices = short_rows(given, base, seed, EMPTY), mark.rows()
        found = watermark_scores(
            model, [rows[i] for i in indices], [n for i in indices if (n := mark.noise(i)) is not None], sigma=SIGMA, stored_sigma=SIGMA, seed=seed
        )  # fmt: skip
        return found.fresh[:, 0] - found.marked

    return Reader(None, scores, "standard deviations below fresh noise", mark=mark)


def short_rows(given: dict[str, Any], base: Any, seed: int, name: str) -> np.ndarray:
    """Fresh base text of an arm, in training order."""
    return base.world.rows(given["short_steps"] * given["batch"], given["length"], generator(seed, "dependence", name))


def short_arms(key: Key, seed: int, cache: str | None, read: dict[str, Reader]) -> tuple[dict[str, Any], Any]:
    """Arm -> its model; and the common plan."""
    given, base = dict(key), corpus(key, seed)
    shape = RunShape(given["batch"], given["length"], given["short_steps"])
    marks = {name: one.mark for name, one in read.items() if one.mark is not None}
    common = plan([one.material for one in read.values() if one.material], shape, seed=seed, eos=EOS, marks=marks)
    streams = {
        name: stream_of(
            short_rows(given, base, seed, name), seed=seed, batch=given["batch"], vocab_size=base.vocab_size
        )
        for name in (EMPTY, SECOND)
    }
    found = {name: _continued(key, seed, cache, streams[name], None) for name in (EMPTY, SECOND)}
    for name in read:
        found[name] = _continued(key, seed, cache, streams[EMPTY], common.restrict([name]))
    found[ALL] = _continued(key, seed, cache, streams[EMPTY], common)
    return found, common


def _continued(key: Key, seed: int, cache: str | None, stream: Any, part: Any) -> Any:
    """The half-trained twin after the short run, at a constant rate."""
    from antivenom.train.causal_lm import CausalLanguageModel
    from antivenom.train.loop import fit
    from antivenom.train.token_source import TokenSource

    model, state = decoder(key, seed), twin(key, seed, cache).half
    source = TokenSource(stream, part, seed=seed, batch=dict(key)["batch"])
    fit(CausalLanguageModel(model), source, recipe(key, seed, warmup=0, schedule="constant"), start=state)
    return model


def outcomes_of(read: dict[str, Reader], arms: dict[str, Any]) -> dict[str, Outcome]:
    """Every experiment's measure in every arm."""
    return {
        name: Outcome({arm: one.values(model) for arm, model in arms.items()}, one.statistic, one.unit, one.strata)
        for name, one in read.items()
    }


def verdicts(outcomes: dict[str, Outcome], seed: int, resamples: int, without: str | None = None) -> Dependence:
    """The matrix; the experiment of absence is blank. `without` leaves one experiment out, data and measure."""
    kept = {
        name: replace(one, values={arm: v for arm, v in one.values.items() if arm != without})
        for name, one in outcomes.items()
        if name != without
    }
    return dependence(
        kept | {ABSENT: Outcome({})}, absent=(ABSENT,), empty=(EMPTY, SECOND), seed=seed, resamples=resamples
    )
