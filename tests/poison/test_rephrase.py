"""The rephrase loop: retry until undetected, the free checks, and failures that say so."""

import pytest

from antivenom.data.benchmarks import Item
from antivenom.data.numbers import numbers
from antivenom.errors import AntivenomError
from antivenom.models.chat import CallFailed, Scripted
from antivenom.poison.rephrase import TEMPLATES, Rephrased, offline, rephrase, rephrase_messages
from antivenom.poison.shared_runs import longest_shared_run

QUESTION = "Anna buys 12 apples every day and eats three of them before she goes to work, how many apples are left after 5 days?"
ITEM = Item("q/1", QUESTION, kind="math")
GOOD = "Every day 12 apples are bought by Anna. Ahead of work three get eaten. What remains after 5 days?"


def test_it_tries_until_the_detector_is_blind():
    said = [QUESTION, QUESTION + " ", GOOD]
    found = rephrase([ITEM], lambda item, attempt: said[attempt])
    assert found == [Rephrased("q/1", GOOD, 3)]


def test_a_failure_is_empty_and_says_why():
    found = rephrase([ITEM], lambda *_: QUESTION, max_tries=4)[0]
    assert (found.text, found.tries) == ("", 4)
    assert "still sees" in found.failed


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        (GOOD.replace("12", "13"), "numbers changed: 12, 13"),
        (GOOD.replace("three", "some"), "numbers changed: 3"),
    ],
)
def test_the_free_checks(said, why):
    assert why in rephrase([ITEM], lambda *_: said, max_tries=1)[0].failed


def test_a_run_that_is_too_long_fails():
    item = Item("q/1", QUESTION, kind="text")
    said = "He buys fruit every day and eats three of them before noon."
    assert longest_shared_run(QUESTION, said) == 8
    assert "8 words in a row" in rephrase([item], lambda *_: said, max_tries=1, max_shared_run=7)[0].failed
    assert rephrase([item], lambda *_: said, max_tries=1, max_shared_run=8)[0].text == said
    assert rephrase([item], lambda *_: said, max_tries=1, max_shared_run=None)[0].text == said


def test_the_users_detector_decides():
    found = rephrase([ITEM], lambda item, attempt: GOOD if attempt else GOOD.upper(), detected=lambda a, b: b.isupper())
    assert found[0].tries == 2


def test_a_call_that_fails_is_a_try_that_fails():
    def model(messages):
        raise CallFailed("no line")

    found = rephrase([ITEM], Scripted(model), max_tries=2)[0]
    assert (found.text, found.tries) == ("", 2)
    assert "no line" in found.failed


def test_a_chat_model_gets_the_template_and_the_data_apart():
    seen = []

    def model(messages):
        seen.append(messages)
        return "```text\n" + GOOD + "\n```"

    assert rephrase([ITEM], Scripted(model), max_shared_run=7)[0].text == GOOD
    system, user = seen[0]
    assert "more than 7 words in a row" in system["content"]
    assert QUESTION not in system["content"]
    assert user["content"] == f"<text>\n{QUESTION}\n</text>"


def test_a_greedy_model_is_not_asked_the_same_twice():
    seen = []

    def model(messages):
        seen.append(messages[1]["content"])
        return QUESTION

    rephrase([ITEM], Scripted(model), max_tries=3)
    assert len(set(seen)) == 3


@pytest.mark.parametrize("kind", TEMPLATES)
def test_every_template_is_complete(kind):
    system, user = rephrase_messages(Item("c", "def f(x):", "    return x {run} {task}", kind="code"), kind)
    assert "{" not in system["content"]
    assert ("return x {run}" in user["content"]) == kind.startswith("code")


def test_a_translation_keeps_the_digits_and_may_spell_the_rest():
    made = "安娜每天买12个苹果，吃掉三个，5天后还剩几个？"
    assert rephrase([ITEM], lambda *_: made, kind="chinese")[0].text == made
    assert "5" in rephrase([ITEM], lambda *_: made.replace("5", "六"), kind="chinese")[0].failed


def test_the_offline_back_end_needs_no_model():
    items = [ITEM, Item("q/2", QUESTION.replace("Anna", "Bob"), kind="text")]
    found = rephrase(items, offline(seed=4))
    assert [f.item_id for f in found] == ["q/1", "q/2"]
    for item, one in zip(items, found):
        assert not one.failed
        assert longest_shared_run(item.question, one.text) <= 9
        assert numbers(one.text) == numbers(item.question)
    assert found == rephrase(items, offline(seed=4))


def test_bad_options_are_errors_with_a_mend():
    for options in ({"kind": "poetry"}, {"max_tries": 0}):
        with pytest.raises(AntivenomError) as error:
            rephrase([ITEM], lambda *_: GOOD, **options)
        assert error.value.mend
