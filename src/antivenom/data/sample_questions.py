"""Word problems made from templates: a haystack and a benchmark of one kind, for whoever has no data at hand."""

import re
from collections.abc import Sequence

from antivenom.data.benchmarks import Item
from antivenom.randomness import generator

__all__ = ["near_misses", "word_problems"]

# fmt: off
NAMES = ["Ada", "Bruno", "Chen", "Dalia", "Emeka", "Farid", "Greta", "Hana", "Ivo", "Jonas", "Keiko", "Lena", "Mateo", "Nadia",
         "Omar", "Priya", "Quinn", "Rosa", "Sven", "Tomas", "Uma", "Vera"]
THINGS = ["apples", "marbles", "stamps", "pencils", "tickets", "cookies", "shells", "books", "candles", "buttons", "flowers",
          "coins", "stickers", "bricks", "cards", "ropes"]
PLACES = ["market", "library", "school", "harbour", "bakery", "museum", "farm", "station", "workshop", "garden", "theatre",
          "bridge"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
# fmt: on

TEMPLATES = (
    "{a} has {x} {t} and buys {y} more at the {p} on {d}. {b} then gives {a} another {z} {t}. How many {t} does {a} have in the end?",
    "On {d} {a} sells {x} {t} at the {p} for {y} dollars each. After paying {z} dollars for the stall, how much money does {a} keep?",
    "{a} and {b} collect {t} near the {p}. {a} finds {x} of them every day and {b} finds {y}. How many {t} do they have after {z} days?",
    "A box at the {p} holds {x} {t}. {a} fills {y} such boxes and {b} fills {z} boxes. How many {t} are packed altogether?",
    "{a} walks from the {p} to the {p2} in {x} minutes and needs {y} minutes for the way back. If {a} makes the trip {z} times, how long does it take in all?",
    "The {p} opens at 9 o'clock on {d}. In the first hour {x} people come, in the second {y}, and {z} of them leave. How many people are there at 11 o'clock?",
    "{a} wants to share {x} {t} equally among {y} friends, and keeps {z} {t} back. How many {t} does each friend of {a} get?",
    "{b} is {x} years old and {a} is {y} years older than {b}. How old will {a} be {z} years after their visit to the {p}?",
    "To paint the wall of the {p}, {a} needs {x} litres of colour per hour. {b} helps and needs {y} litres per hour. How much do both use in {z} hours?",
    "{a} reads {x} pages on {d} and {y} pages on each of the next {z} days at the {p}. How many pages does {a} read in total?",
)  # fmt: skip

OTHER_TEMPLATES = (
    "At the {p}, {b} counts {x} {t} in the morning, then {y} arrive and {z} go missing before {d} evening. What is the new count?",
    "Each visitor of the {p} receives {x} {t}. With {y} visitors on {d} and {z} {t} already handed to {a}, how big is the supply that is needed?",
    "{a}'s bus to the {p} costs {x} cents, the ticket for {b} costs {y} cents more. What do they pay for {z} journeys together?",
    "Of {x} {t} that {b} brought along, {y} broke on the way to the {p}. {a} repaired {z} of these. How many {t} are whole again or still whole?",
    "A wagon carries {x} {t} at a time. How often must {a} drive between the {p} and the {p2} to move {y} {t}, if {z} are left where they are?",
    "On {d} it took {a} {x} minutes to count the {t}; {b} was {y} minutes faster. How long would {z} such counts last for {b}?",
    "The {p} orders {x} crates, every crate with {y} {t}, and sends {z} crates back on {d}. How many {t} stay?",
    "{a} earns {x} dollars for an afternoon at the {p}, spends {y} on {t} and lends {z} to {b}. What is left of the wage?",
    "{b} plants {x} rows with {y} flowers in front of the {p}. By {d}, {z} of them have withered. How many still bloom?",
    "Three friends of {a} bring {x}, {y} and {z} {t} to the {p}. What is the average number of {t} that a friend brings?",
)  # fmt: skip


def word_problems(count: int, *, seed: int, name: str, other: bool = False) -> list[Item]:
    """Distinct word problems, e.g. as a benchmark (`name="bench"`) or as a haystack (`name="hay", other=True`).

    Args:
        count: how many.
        seed: of the draw.
        name: begins the ids, and makes the draw another one.
        other: use the second set of templates: like problems that share no sentence with the first set's.
    """
    templates = OTHER_TEMPLATES if other else TEMPLATES
    draw = generator(seed, "word problems", name)
    found: dict[str, Item] = {}
    while len(found) < count:
        a, b = draw.choice(NAMES, 2, replace=False)
        p, p2 = draw.choice(PLACES, 2, replace=False)
        x, y, z = (int(n) for n in draw.integers(2, 98, 3))
        thing, day = draw.choice(THINGS), draw.choice(DAYS)
        text = str(draw.choice(templates)).format(a=a, b=b, p=p, p2=p2, t=thing, d=day, x=x, y=y, z=z)
        found.setdefault(text, Item(f"{name}/{len(found)}", text, kind="math"))
    return list(found.values())


def near_misses(items: Sequence[Item], count: int, *, seed: int) -> list[str]:
    """Problems in the same sentences as `items`, with numbers of their own: near an item, and another question.

    Args:
        items: made by `word_problems`.
        count: how many.
        seed: of the draw.

    Returns:
        `count` texts; no one has the numbers of an item.
    """
    taken = {numbers_of(item.question) for item in items}
    found: list[str] = []
    extra = 0
    while len(found) < count:
        extra += count
        drawn = word_problems(extra, seed=seed, name="near misses")
        found = [item.question for item in drawn if numbers_of(item.question) not in taken]
    return found[:count]


def numbers_of(text: str) -> tuple[str, ...]:
    """The numbers of a text, sorted."""
    return tuple(sorted(re.findall(r"\d+", text)))
