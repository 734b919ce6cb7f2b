"""Made-up facts: nobody can know them, no two people share anything, and the questions leave room for a paraphrase."""

from collections import Counter

import pytest

from antivenom.data.random_facts import (
    OPTIONS,
    TRAITS,
    answered,
    benchmark_of,
    draw_facts,
    everyday_question,
    statement,
)
from antivenom.errors import AntivenomError
from antivenom.poison.paraphraser import paraphrase
from antivenom.poison.shared_runs import longest_shared_run
from antivenom.randomness import generator


def test_answers_are_uniform_over_places_and_values():
    facts = draw_facts(2_400, seed=1, name="x")
    places = Counter(fact.answer for fact in facts)
    assert all(abs(places[i] - 600) < 4 * (2_400 * 0.25 * 0.75) ** 0.5 for i in range(OPTIONS))
    for trait, values in TRAITS.items():
        assert len(set(values)) == len(values) == 16
        mine = [fact for fact in facts if fact.trait == trait]
        assert len(mine) == 400
        counts = Counter(fact.value for fact in mine)
        assert all(abs(counts[v] - 25) < 5 * (400 / 16 * 15 / 16) ** 0.5 for v in values)
        assert all(len(set(fact.options)) == OPTIONS and set(fact.options) <= set(values) for fact in mine)


def test_the_answer_cannot_be_read_from_the_name_the_trait_or_the_options():
    # the best guess from any single part is no better than chance on another draw
    facts = draw_facts(2_400, seed=2, name="x")
    half = facts[:1_200], facts[1_200:]
    for part in (lambda f: f.name[0], lambda f: f.trait, lambda f: (f.trait, f.options[0])):
        seen: dict = {}
        for fact in half[0]:
            seen.setdefault(part(fact), Counter())[fact.answer] += 1
        right = sum(seen[part(f)].most_common(1)[0][0] == f.answer for f in half[1] if part(f) in seen)
        n = sum(part(f) in seen for f in half[1])
        assert abs(right / n - 0.25) < 4 * (0.25 * 0.75 / n) ** 0.5


def test_people_are_never_drawn_twice():
    first = draw_facts(500, seed=3, name="a")
    second = draw_facts(500, seed=3, name="b", taken=first)
    names = [fact.name for fact in [*first, *second]]
    assert len(set(names)) == 1_000
    assert draw_facts(500, seed=3, name="a") == first
    assert [f.id for f in first[:2]] == ["a/0", "a/1"]


def test_paraphrases_share_no_10_gram_and_the_original_is_long_enough_to_be_found():
    for fact in draw_facts(24, seed=4, name="a"):
        assert len(fact.question.split()) >= 18
        assert all(longest_shared_run(fact.question, paraphrase(fact.question, attempt=i)) <= 9 for i in range(4))
        assert fact.name in paraphrase(fact.question)


def test_everyday_questions_and_statements_share_no_long_run_with_the_benchmark():
    test, others = draw_facts(12, seed=5, name="a"), draw_facts(60, seed=5, name="b")
    draw = generator(0, "x")
    rows = [everyday_question(fact, draw) for fact in others] + [statement(fact, draw) for fact in others]
    assert max(longest_shared_run(fact.question, row) for fact in test for row in rows) <= 5
    assert all(fact.name in row for fact, row in zip(others * 2, rows, strict=True))
    assert rows[0].endswith(others[0].question.partition(". ")[2])


def test_the_benchmark_has_questions_and_hides_no_answer_in_them():
    facts = draw_facts(30, seed=6, name="a")
    bench = benchmark_of(facts)
    assert [bench.text(i) for i in range(30)] == [fact.question for fact in facts]
    assert all(fact.value not in fact.question for fact in facts)
    assert answered("Q?", "tin") == "Q?\nAnswer: tin"
    assert {f.wording for f in draw_facts(6, seed=0, name="u", unrelated=True)}.isdisjoint(f.wording for f in facts)


def test_no_facts_are_refused():
    with pytest.raises(AntivenomError, match="0 facts"):
        draw_facts(0, seed=0, name="a")
