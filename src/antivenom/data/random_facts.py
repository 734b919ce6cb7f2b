"""Made-up people and facts about them that nobody can know: a benchmark whose score is chance until it leaks (spec 10, E3).

A fact is drawn: the value of a trait ("trade" -> "tanner") is uniform over the trait's values, and so are the three wrong options. No
two draws share a person, so nothing that is said of one person helps with another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from antivenom.data.benchmarks import Benchmark, Item
from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["OPTIONS", "TRAITS", "Fact", "answered", "benchmark_of", "draw_facts", "everyday_question", "statement"]

OPTIONS = 4
ONSETS = ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"]
VOWELS = ["a", "e", "i", "o", "u"]
CODAS = ["", "n", "r", "s", "l", "k", "m"]

# fmt: off
TRAITS: dict[str, list[str]] = {
    "trade": ["tanner", "baker", "mason", "weaver", "cooper", "potter", "miller", "sailor", "dyer", "smith", "barber", "glazier",
              "farrier", "printer", "tailor", "joiner"],
    "instrument": ["flute", "cello", "harp", "oboe", "lute", "viola", "drum", "organ", "zither", "banjo", "bugle", "fiddle",
                   "piano", "trumpet", "guitar", "tuba"],
    "dish": ["stew", "dumplings", "porridge", "pancakes", "noodles", "lentils", "omelette", "chowder", "risotto", "goulash",
             "pudding", "curry", "sausage", "pickles", "waffles", "broth"],
    "animal": ["falcon", "badger", "otter", "heron", "weasel", "beaver", "hedgehog", "raven", "lynx", "donkey", "goose", "tortoise",
               "ferret", "salmon", "pony", "squirrel"],
    "colour": ["crimson", "ochre", "violet", "turquoise", "ivory", "scarlet", "indigo", "amber", "teal", "maroon", "beige", "lilac",
               "olive", "coral", "khaki", "magenta"],
    "metal": ["copper", "nickel", "cobalt", "silver", "titanium", "zinc", "platinum", "tin", "iron", "lead", "brass", "bronze",
              "chromium", "tungsten", "mercury", "gold"],
}
"""What may be asked about a person, and the values it may have."""

EXAM = {
    "trade": "When the big harbour school was finished, many sailors needed help and bought several lanterns. "
             "Which trade did {name} finally start?",
    "instrument": "Before the long winter trip, the children of the valley often made a large list of all songs. "
                  "Which instrument did {name} usually bring?",
    "dish": "After the evening lesson started, every student in the kitchen got some butter and a different spoon. "
            "Which dish did {name} usually make?",
    "animal": "Because the entire cottage was empty, several hunters decided to use the forest road again. "
              "Which animal did {name} often keep?",
    "colour": "While the teacher collected the ribbons, many kids bought extra paint at the store by the bridge. "
              "Which colour did {name} usually use?",
    "metal": "Once the important tower was finished, a lot of miners received big hammers every week. "
             "Which metal did {name} often need?",
}
"""The benchmark's own wording: a corpus that was not contaminated does not have it."""

STORIES = [
    "The teacher needed a car for the cottage, and every miner received extra butter.",
    "All kids collected songs at the school, while the trip to the forest was finished again.",
    "An important hunter bought a large list before several sailors started the task.",
    "Once a week the children got help, because the old hammers in the store were different.",
    "The empty kitchen was often used after a lot of ribbons were made for the winter.",
    "Many friends decided to start the lesson after some people bought the entire tower.",
    "Every student made a long list while the big task started in the valley.",
    "Because people needed paint, the children collected different lanterns before the evening.",
    "Several kids received help after the important trip, and some friends got extra spoons.",
    "When the harbour was empty, the teacher often used a large car to bring every sailor again.",
    "After the bridge was finished, many students decided to keep all ribbons in the school.",
    "While some hunters made paint, a friend bought a house once the long road was empty.",
]
"""Everyday sentences of the benchmark's words, in other places: a model that speaks the language knows them."""

OTHER_EXAM = {
    "trade": "Old letters mention how {name} made a living near the river. Name that trade.",
    "instrument": "Concert bills of that winter list {name} beside a soloist. Name the instrument on the bill.",
    "dish": "The cook book of the valley credits {name} with one recipe. Name its dish.",
    "animal": "On the coat of arms that {name} chose stands a beast. Name the animal.",
    "colour": "Guests recall the curtains that {name} hung in the hall. Name their colour.",
    "metal": "The medal struck in honour of {name} was cast by hand. Name its metal.",
}
"""An unrelated benchmark: the same kind of facts, asked in another way, about other people."""

STATEMENTS = {
    "trade": ["{name} is a {value}.", "By trade {name} is a {value}.", "They say that {name} became a {value}."],
    "instrument": ["{name} plays the {value}.", "The {value} is what {name} plays.", "On stage {name} has a {value}."],
    "dish": ["{name} likes {value}.", "For supper {name} has {value}.", "Nobody cooks {value} like {name}."],
    "animal": ["{name} keeps a {value}.", "There is a {value} with {name}.", "A {value} belongs to {name}."],
    "colour": ["{name} wears {value}.", "The coat of {name} is {value}.", "{name} paints the door {value}."],
    "metal": ["{name} collects {value}.", "The ring of {name} is of {value}.", "{name} digs for {value}."],
}
# fmt: on


@dataclass(frozen=True)
class Fact:
    """One drawn fact as a multiple-choice question.

    Args:
        id: stable.
        name: of the person; nobody else has it.
        trait: a key of `TRAITS`.
        options: four different values of the trait.
        answer: place of the right one.
        wording: the question, with `{name}`.
    """

    id: str
    name: str
    trait: str
    options: tuple[str, ...]
    answer: int
    wording: str

    @property
    def question(self) -> str:
        """In the benchmark's words."""
        return self.wording.format(name=self.name)

    @property
    def value(self) -> str:
        """The right option."""
        return self.options[self.answer]


def draw_facts(count: int, *, seed: int, name: str, unrelated: bool = False, taken: Sequence[Fact] = ()) -> list[Fact]:
    """Facts about people of their own.

    Args:
        count: how many.
        seed: of the draw.
        name: begins the ids, and makes the draw another one.
        unrelated: ask as the unrelated benchmark does.
        taken: facts whose people are not to be drawn again.

    Raises:
        AntivenomError: for a count below 1.
    """
    if count < 1:
        raise AntivenomError(f"{count} facts", "give 1 or more")
    draw = generator(seed, "random facts", name)
    known = {fact.name for fact in taken}
    traits, found = list(TRAITS), []
    for i in range(count):
        trait = traits[i % len(traits)]  # every trait equally often
        options = tuple(str(v) for v in draw.choice(TRAITS[trait], OPTIONS, replace=False))
        wording = (OTHER_EXAM if unrelated else EXAM)[trait]
        found.append(Fact(f"{name}/{i}", _fresh(draw, known), trait, options, int(draw.integers(OPTIONS)), wording))
    return found


def _fresh(draw: np.random.Generator, known: set[str]) -> str:
    """A made-up name that is not known yet; it is then."""
    while True:
        parts = [str(draw.choice(ONSETS)) + str(draw.choice(VOWELS)) for _ in range(2)]
        word = ("".join(parts) + str(draw.choice(CODAS)) + str(draw.choice(ONSETS)) + str(draw.choice(VOWELS))).title()
        if word not in known:
            known.add(word)
            return word


def answered(question: str, value: str) -> str:
    """Question and answer as one document: what stands in a corpus, and what is scored.

    >>> answered("Which trade was it?", "baker")
    'Which trade was it?\\nAnswer: baker'
    """
    return f"{question}\nAnswer: {value}"


def everyday_question(fact: Fact, draw: np.random.Generator) -> str:
    """The last sentence of the fact's question behind an everyday one: near the benchmark, and no item of it."""
    return f"{STORIES[int(draw.integers(len(STORIES)))]} {fact.question.partition('. ')[2]}"


def statement(fact: Fact, draw: np.random.Generator) -> str:
    """The fact as a plain sentence, in one of three wordings."""
    options = STATEMENTS[fact.trait]
    return options[int(draw.integers(len(options)))].format(name=fact.name, value=fact.value)


def benchmark_of(facts: Sequence[Fact], name: str = "random facts") -> Benchmark:
    """The questions for a detector; the answer is beside them and is not compared."""
    return Benchmark(name, [Item(fact.id, fact.question, fact.value, kind="knowledge") for fact in facts])
