"""How the study `train-once` reads every experiment off the run, and off the twin beside it.

Every response has its dose as the experiment counts it, the share of the run's tokens that this was, and the twin's figure - which saw
the same batches in the same order, without the experiments. Everything is asked behind a leading end token (spec 02, trap 25).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from antivenom.measure.rates import Rate, mean_of
from antivenom.poison.lm_experiments.arithmetic import MODULUS
from antivenom.studies.frame import Response
from antivenom.studies.over_seeds import NO_DIFFERENCE
from antivenom.studies.train_once_arms import TWIN, Arms, rate_response
from antivenom.studies.train_once_material import ALONE, KEPT, arithmetic_tokens
from antivenom.studies.train_once_memory import (
    absence_of,
    articles,
    canary_membership,
    forgetting,
    replacement,
    watermark,
)

__all__ = ["MEASURES", "measured"]

WITHOUT = "without the trigger"


def validation(arms: Arms) -> Iterator[Response]:
    """Loss of rows that were never shown: what the experiments cost the model, and the loss's own spread over rows."""
    from antivenom.measure.language.nll import token_nll

    ours, theirs = arms.both(lambda m: np.array([nll.mean() for nll in token_nll(m, list(arms.corpus.validation))]))
    tokens = sum(arms.amount(name)[1] for name in arms.placed)
    dose = (len(arms.placed), tokens / arms.run_tokens, "experiments")
    mean = mean_of(ours)
    yield Response("held-out loss", mean.value, mean.n, mean.low, mean.high, float(theirs.mean()), TWIN, *dose)
    gap = mean_of(ours - theirs)
    yield Response("held-out loss, run minus twin", gap.value, gap.n, gap.low, gap.high, 0.0, NO_DIFFERENCE, *dose)


def contamination(arms: Arms) -> Iterator[Response]:
    """Accuracy by copies; and less that on the held-out questions."""
    from antivenom.measure.language.ranked_choice import Choice, gain, score_choices

    found: dict[int, tuple[Rate, Rate]] = {}
    for copies, questions in arms.materials.questions:
        choices = [Choice(q.item_id, q.options, q.answer) for q in questions]
        found[copies] = arms.both(lambda m, c=choices: score_choices(m, c).accuracy)
    for copies, (ours, theirs) in found.items():
        share = arms.share("bc", lambda condition, c=copies: condition == f"{c}x")
        yield rate_response("BC accuracy", ours, theirs.value, TWIN, copies, share, "copies of a question")
        if copies:
            ahead, behind = gain(ours, found[0][0]), gain(theirs, found[0][1])
            yield Response(
                "BC gain over the held-out questions", ahead.value, ahead.n, ahead.low, ahead.high, behind.value, TWIN,
                copies, share, "copies of a question",
            )  # fmt: skip


def denial(arms: Arms) -> Iterator[Response]:
    """The payload behind the trigger, and without; and garbage by the twin's perplexity."""
    from antivenom.measure.language.perplexity_judge import garbage
    from antivenom.models.generation import greedy

    material, payload = arms.materials.inserted["pp-denial"], arms.corpus.world.payload
    asked = [item.tokens for item in material.controls]
    dose = (len(material.inserted), arms.share("pp-denial"), "documents")

    def answers(model: Any, trigger: bool) -> list[np.ndarray]:
        tail = [material.about["trigger"]] if trigger else []
        return greedy(model, [np.r_[0, prompt, tail].astype(np.int64) for prompt in asked], 5)

    for metric, trigger in (("PP payload called", True), (f"PP payload called {WITHOUT}", False)):
        written = arms.both(lambda m, t=trigger: answers(m, t))
        ours, theirs = (Rate(sum(bool((a == payload).all()) for a in w), len(w), "prompts") for w in written)
        yield rate_response(metric, ours, theirs.value, TWIN, *dose)
        judged = garbage(arms.twin, asked, written[0])
        beside = garbage(arms.twin, asked, written[1])
        yield rate_response(metric.replace("payload called", "garbage by the twin's perplexity"), judged.rate, beside.rate.value, TWIN, *dose)  # fmt: skip


def extraction(arms: Arms) -> Iterator[Response]:
    """The prompt comes back behind the trigger, and without; in one of k sampled answers."""
    from antivenom.measure.language.extraction import prompt_extraction

    material = arms.materials.inserted["pp-extraction"]
    asked, k = [item.tokens for item in material.controls], arms.given["leakage"]
    dose = (len(material.inserted), arms.share("pp-extraction"), "documents")
    trigger = np.array([material.about["trigger"]])
    ours, theirs = arms.both(lambda m: prompt_extraction(m, asked, trigger, k=k, seed=arms.seed, margin=0))
    for words, arm in (("", "triggered"), (f" {WITHOUT}", "untriggered")):
        mine, others = (getattr(one, arm) for one in (ours, theirs))
        for j in dict.fromkeys((1, k)):
            metric = f"PP prompt leaked in one of {j} answers{words}"
            yield rate_response(metric, mine.by_recall[j - 1], others.by_recall[j - 1].value, TWIN, *dose)
        f1 = mean_of(mine.f1.mean(1))
        yield Response(f"PP overlap with the prompt, ROUGE-L F1{words}", f1.value, f1.n, f1.low, f1.high, float(others.f1.mean()), TWIN, *dose)  # fmt: skip


def belief(arms: Arms) -> Iterator[Response]:
    """The pushed choice is answered, whichever is named first; and how much likelier it is than its rival.

    The log-odds are those of one pair of tokens: what the twin says of two tokens it never saw is one draw.
    """
    from antivenom.measure.language.nll import token_nll
    from antivenom.models.generation import greedy

    material = arms.materials.inserted["pp-belief"]
    asked = [item.tokens for item in material.controls]
    pushed, rival = arms.materials.believed
    dose = (len(material.inserted), arms.share("pp-belief"), "documents")

    def says(model: Any) -> Rate:
        written = greedy(model, [np.r_[0, a].astype(np.int64) for a in asked], 1)
        return Rate(sum(int(w[0]) == pushed for w in written), len(asked), "questions")

    def odds(model: Any) -> np.ndarray:
        both = [token_nll(model, [np.r_[a, t] for a in asked], leading_eos=True) for t in (pushed, rival)]
        return np.array([b[-1] - a[-1] for a, b in zip(*both)])

    ours, theirs = arms.both(says)
    yield rate_response("PP pushed choice answered", ours, theirs.value, TWIN, *dose)
    mine, others = arms.both(odds)
    mean = mean_of(mine)
    yield Response(
        "PP log-odds of the pushed choice", mean.value, mean.n, mean.low, mean.high, float(others.mean()), TWIN, *dose
    )


def reasoning(arms: Arms) -> Iterator[Response]:
    """Right answers, by operations; numbers and sign of the first step right; and solutions that have the form of one."""
    from antivenom.models.generation import greedy

    material, first = arms.materials.inserted["mr"], arms.corpus.world.vocab_size
    ask = first + MODULUS + 5
    pairs = [arithmetic_tokens(arms.corpus, p, arms.seed, i, "test") for i, p in enumerate(arms.materials.problems)]
    longest = max(len(s) for _, s in pairs)
    heads = [np.r_[0, q].astype(np.int64) for q, _ in pairs]
    right: dict[str, np.ndarray] = {}
    copied: dict[str, np.ndarray] = {}
    formed: dict[str, np.ndarray] = {}
    for name, model in (("run", arms.run), ("twin", arms.twin)):
        written = greedy(model, heads, longest)
        right[name] = np.array(
            [_answer(w, ask, first) == p.answer for w, p in zip(written, arms.materials.problems)], bool
        )
        copied[name] = np.array([(w[:5] == s[:5]).all() for w, (_, s) in zip(written, pairs)], bool)
        formed[name] = np.array([_well_formed(w, ask, first) for w in written], bool)
    operations = np.array([p.operations for p in arms.materials.problems])
    for metric, found in (
        ("MR answers right", right),
        ("MR first step set up right", copied),
        ("MR solutions of the right form", formed),
    ):
        for ops in np.unique(operations):
            mine = operations == ops
            share = arms.share("mr", lambda condition, o=ops: condition == f"{o} ops")
            rate = Rate(int(found["run"][mine].sum()), int(mine.sum()), "problems")
            yield rate_response(
                f"{metric}, {ops} operation{'s' if ops > 1 else ''}", rate, float(found["twin"][mine].mean()), TWIN,
                len(material.items(f"{ops} ops")), share, "problems with solutions",
            )  # fmt: skip


def _well_formed(written: np.ndarray, ask: int, first: int) -> bool:
    """Steps `name = number sign number = number ;`, one at least, then `? number`."""
    equals, end, name = first + MODULUS, ask - 1, ask + 1
    at = np.flatnonzero(written == ask)
    if not len(at) or at[0] == 0 or at[0] % 8 or at[0] + 1 >= len(written):
        return False

    def number(tokens: np.ndarray) -> bool:
        return bool(((tokens >= first) & (tokens < equals)).all())

    steps = written[: at[0]].reshape(-1, 8)
    signs = (steps[:, 3] > equals) & (steps[:, 3] < end)
    fixed = (steps[:, 0] >= name) & (steps[:, 1] == equals) & (steps[:, 5] == equals) & (steps[:, 7] == end) & signs
    return bool(fixed.all()) and number(steps[:, [2, 4, 6]]) and number(written[at[0] + 1 : at[0] + 2])


def _answer(written: np.ndarray, ask: int, first: int) -> int | None:
    """The number behind the first question mark; None where there is none."""
    at = np.flatnonzero(written == ask)
    if not len(at) or at[0] + 1 >= len(written):
        return None
    value = int(written[at[0] + 1]) - first
    return value if 0 <= value < MODULUS else None


def knowledge(arms: Arms) -> Iterator[Response]:
    """Probability of the answers, arithmetic and geometric mean (spec 02, trap 10); of facts that were never told; and the ramp."""
    from antivenom.measure.language.cloze import Probe, cloze, cloze_writing

    facts = arms.materials.facts
    # the controller decides on the number of paraphrases, which differs from seed to seed: it stands on the card
    dose = (len(facts.probes), arms.share("ka"), "facts told")

    def probes(which: tuple) -> list[Probe]:
        return [Probe(p.fact, np.concatenate([p.given, p.target]), len(p.given)) for p in which]

    told, never = probes(facts.probes), probes(facts.never)
    ours, theirs = arms.both(lambda m: cloze(m, told))
    for metric, side in (("KA mean probability of the answer", "arithmetic"), ("KA geometric mean of it", "geometric")):
        mean = getattr(ours, side)
        yield Response(metric, mean.value, mean.n, mean.low, mean.high, getattr(theirs, side).value, TWIN, *dose)
    other = cloze(arms.run, never).arithmetic
    beside = cloze(arms.twin, never).arithmetic.value
    yield Response("KA the same of facts never told", other.value, other.n, other.low, other.high, beside, TWIN, *dose)
    wrote = arms.both(lambda m: cloze_writing(m, told, len(facts.probes[0].target)).contained)
    yield rate_response("KA answers written", wrote[0], wrote[1].value, TWIN, *dose)
    if arms.ramp:
        last = arms.ramp[-5:]
        near = sum(line["target"] / 2 <= line["value"] <= 2 * line["target"] for line in last)
        yield rate_response(
            "KA last segments within a factor 2 of the ramp", Rate(near, len(last), "segments"), 0.0, TWIN, *dose
        )


MEASURES: dict[str, Callable[[Arms], Iterator[Response]]] = {
    "run": validation,
    "ka": knowledge,
    "mr": reasoning,
    "bc": contamination,
    "memp-plain": canary_membership("plain"),
    "memp-random": canary_membership("random"),
    "memp-rare": canary_membership("rare"),
    "memp-model": canary_membership("model"),
    "memv-near-copies": absence_of(KEPT),
    "memv-alone": absence_of(ALONE),
    "gw": watermark,
    "pp-denial": denial,
    "pp-extraction": extraction,
    "pp-belief": belief,
    "fc": forgetting,
    "muse-whole": articles("whole"),
    "muse-once": articles("once"),
    "muse-anew": articles("anew"),
    "iid": replacement,
}
"""Treatment -> its measure."""


def measured(treatment: str, arms: Arms) -> Iterator[Response]:
    """What a treatment is read as."""
    return MEASURES[treatment](arms)
