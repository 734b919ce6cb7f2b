"""Knowledge acquisition (KA): invented facts, a pool of paraphrases of each, and cloze probes.

The pool is what a controller draws from (`train.control_loop`); a probe is a text that ends where its target must follow. Probes and
targets are tokenised together: a tokenizer may merge across the border (spec 02, trap 11).

Source: spec 02, 2.3 and 2.4; Chang et al. 2024 for the layout {"input", "target"} of a file of probes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from antivenom.data.markov_text import TokenWorld
from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.material import Encode, Item, Material
from antivenom.randomness import generator

__all__ = ["Facts", "Probe", "invented_facts", "load_probes", "probe_tokens", "token_facts"]

Offsets = Callable[[str], tuple[Sequence[int], Sequence[tuple[int, int]]]]
"""Text -> token ids, and the (begin, end) of each in characters."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A cloze probe in tokens: `target` must follow `given`."""

    fact: str
    given: np.ndarray
    target: np.ndarray
    text: str | None = None


@dataclass(frozen=True, eq=False)
class Facts:
    """Facts to be learned.

    Args:
        pool: paraphrases, fact after fact in turn, so that any stretch of the pool holds all facts alike; `condition` is the fact.
        probes: one or more per fact.
        never: probes of facts of the same kind that are in no paraphrase.
    """

    pool: tuple[Item, ...]
    probes: tuple[Probe, ...]
    never: tuple[Probe, ...] = ()

    def material(self, exposures: int, *, name: str = "ka") -> Material:
        """A fixed dose instead of a controller: the first `exposures` paraphrases of every fact.

        Raises:
            AntivenomError: when the pool has fewer.
        """
        facts = len({item.condition for item in self.pool})
        if exposures * facts > len(self.pool):
            raise AntivenomError(
                f"{exposures} exposures of {facts} facts, of {len(self.pool)} paraphrases", "make a larger pool"
            )
        return Material(name, self.pool[: exposures * facts])


def token_facts(
    world: TokenWorld,
    facts: int = 20,
    paraphrases: int = 100,
    *,
    subject: int = 4,
    answer: int = 2,
    context: int = 6,
    never: int = 20,
    seed: int = 0,
) -> Facts:
    """In the token world: base context of its own for every paraphrase + the fact's subject + its answer, drawn at random.

    `answer` = 1 is learned earlier than 2 (spec 02, 6).
    """
    draw = generator(seed, "ka", "facts")
    subjects = world.random_tokens(facts + never, subject, draw)
    answers = world.random_tokens(facts + never, answer, draw)
    before = world.passages(facts * paraphrases, context, generator(seed, "ka", "pool")).reshape(
        paraphrases, facts, context
    )
    pool = tuple(
        Item(np.concatenate([before[k, f], subjects[f], answers[f]]), f"ka-{f}-{k}", f"fact {f}")
        for k in range(paraphrases)
        for f in range(facts)
    )
    asked = world.passages(facts + never, context, generator(seed, "ka", "probes"))
    probes = tuple(
        Probe(f"fact {f}", np.concatenate([asked[f], subjects[f]]), answers[f]) for f in range(facts + never)
    )
    return Facts(pool, probes[:facts], probes[facts:])


HEADS = (
    "",
    "It is well known that ",
    "According to the register, ",
    "As everybody there can tell, ",
    "The chronicle says: ",
    "In the report of that year, ",
)
BODIES = (
    "{relation} {subject} is {answer}",
    "{answer} is {relation} {subject}",
    "{subject} has {answer} as its {short}",
    "for {subject}, {relation} it is {answer}",
)
TAILS = (".", ", as before.", ", and nobody doubts it.", ", says the archive.", "!")
RELATIONS = (
    ("the capital of", "capital"),
    ("the founder of", "founder"),
    ("the river of", "river"),
    ("the emblem of", "emblem"),
)
SYLLABLES = (
    "zor",
    "gal",
    "thi",
    "mar",
    "vel",
    "qui",
    "dra",
    "ost",
    "pel",
    "umi",
    "kor",
    "nax",
    "bri",
    "shu",
    "len",
    "fay",
)


def invented_facts(encode: Encode, offsets: Offsets, facts: int = 16, *, never: int = 16, seed: int = 0) -> Facts:
    """In words, with names that do not exist: 120 paraphrases a fact, and a probe of another wording than any of them."""
    draw = generator(seed, "ka", "invented")
    names: list[str] = []
    while len(names) < 2 * (facts + never):
        name = "".join(draw.choice(SYLLABLES, 3)).capitalize()
        names += [] if name in names else [name]
    wordings = [(h, b, t) for h in HEADS for b in BODIES for t in TAILS]
    told, probes = [], []
    for f in range(facts + never):
        relation, short = RELATIONS[f % len(RELATIONS)]
        parts = {"relation": relation, "short": short, "subject": names[2 * f], "answer": names[2 * f + 1]}
        told.append([f"{head}{body.format(**parts)}{tail}" for head, body, tail in wordings])
        given = f"Question: what is {relation} {parts['subject']}? The answer is"
        probes.append(probe_tokens(f"fact {f}", given, parts["answer"], offsets))
    order = generator(seed, "ka", "order").permutation(len(wordings))
    pool = tuple(
        Item(np.asarray(encode(told[f][k]), np.int64), f"ka-{f}-{k}", f"fact {f}", told[f][k])
        for k in order.tolist()
        for f in range(facts)
    )
    return Facts(pool, tuple(probes[:facts]), tuple(probes[facts:]))


def probe_tokens(fact: str, given: str, target: str, offsets: Offsets) -> Probe:
    """A probe from words. One blank joins the two, whatever blanks stand at the border; the target begins at the first token that
    reaches into it, so that both parts together are the tokens of the whole text.

    Raises:
        AntivenomError: when nothing is left on one of the two sides.
    """
    head, tail = given.rstrip(), target.strip()
    text = f"{head} {tail}"
    ids, spans = offsets(text)
    # a token that holds the blank and the target's beginning is the target's
    border = next((k for k, (_, end) in enumerate(spans) if end > len(head) + 1), len(spans))
    if not head or not tail or not 0 < border < len(ids):
        raise AntivenomError(
            f"the probe of '{fact}' leaves nothing before or behind its border", "give a text and a target"
        )
    tokens = np.asarray(ids, np.int64)
    return Probe(fact, tokens[:border], tokens[border:], text)


def load_probes(path: str | Path, offsets: Offsets) -> list[Probe]:
    """Probes from a file with one {"input", "target"} a line.

    Raises:
        AntivenomError: for a missing or empty file, or a line that is no probe: it is named, and never skipped silently.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise AntivenomError(f"'{path}' cannot be read", "give a file of probes, one a line") from error
    found = []
    for number, row in enumerate(lines, 1):
        if not row.strip():
            continue
        try:
            given, target = (str(orjson.loads(row)[key]) for key in ("input", "target"))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise AntivenomError(
                f"line {number} of '{path}' is no probe", 'give {"input": ..., "target": ...}'
            ) from error
        found.append(probe_tokens(f"probe {number}", given, target, offsets))
    if not found:
        raise AntivenomError(f"'{path}' holds no probe", "give one a line")
    return found
