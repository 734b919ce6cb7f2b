"""Arithmetic problems: every answer is that of the question's own words, and no test structure is seen in training."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.arithmetic import (
    MODULUS,
    answer_of,
    evaluate,
    is_test,
    make_problems,
    reasoning,
    token_form,
)


def encode(text):
    return list(text.encode())


@pytest.fixture(scope="module")
def problems():
    return make_problems(200), make_problems(60, test=True)


def test_answers_are_those_of_the_questions_words(problems):
    for problem in (*problems[0], *problems[1]):
        assert evaluate(problem.question) == problem.answer == answer_of(problem.solution)
        assert problem.solution.endswith(f"Answer: {problem.answer}")


def test_solutions_have_as_many_operations_as_they_say(problems):
    assert [p.operations for p in problems[0][:10]] == list(range(1, 11))
    for problem in problems[0]:
        signs = [w for w in problem.solution.split() if w in "+-*"]
        assert len(signs) == 2 * problem.operations  # in names, and in numbers
        assert sum(kind in "+-*" for kind, _, _ in problem.nodes) <= 15
        assert sum({"=": 0, "copy": 1}.get(kind, 2) for kind, _, _ in problem.nodes) <= 20
        # nothing is used before it is computed
        done = set()
        for k in problem.needed:
            kind, r, s = problem.nodes[k]
            assert kind == "=" or {r, *([] if kind == "copy" else [s])} <= done
            done.add(k)


def test_training_and_test_share_no_structure(problems):
    train, test = problems
    assert not any(is_test(p) for p in train)
    assert all(is_test(p) for p in test)
    assert not {p.structure for p in train} & {p.structure for p in test}
    material = reasoning(train, test, encode)
    assert len(material.inserted) == 200
    assert material.controls[0].condition == "1 ops"
    with pytest.raises(AntivenomError, match="in training and test"):
        reasoning(train, train, encode)


def test_answers_are_spread_and_a_seed_is_a_set(problems):
    many = make_problems(600, operations=(2,), seed=3)
    share = np.bincount([p.answer for p in many], minlength=MODULUS) / 600
    assert share.max() < 0.15  # products are often 0; guessing gains little
    assert make_problems(5, seed=3)[4].question == make_problems(9, seed=3)[4].question
    assert make_problems(5, seed=3)[4].question != make_problems(5, seed=4)[4].question


def test_permutation_and_detail_change_the_words_only():
    plain, mixed = make_problems(20, permute=0), make_problems(20, permute=5)
    assert all(p.order == tuple(range(len(p.nodes))) for p in plain)
    assert any(p.order != tuple(range(len(p.nodes))) for p in mixed)
    lengths = [sum(len(p.solution) for p in make_problems(20, detail=d)) for d in (0, 1, 2)]
    assert lengths == sorted(lengths, reverse=True)
    assert all(evaluate(p.question) == p.answer for p in (*plain, *make_problems(20, permute=2)))


def test_the_token_form_holds_the_same_problem():
    for problem in make_problems(30, operations=(1, 2, 3), max_op=4):
        question, solution = token_form(problem, 100, names=range(1, 60))
        assert question[-2:].tolist() == [100 + MODULUS + 5, range(1, 60)[problem.needed[-1]]]
        assert solution[-1] - 100 == problem.answer
        for at in np.flatnonzero(solution == 100 + MODULUS + 4):  # every step's arithmetic
            a, sign, b, _, c = solution[at - 5 : at] - 100
            op = {MODULUS + 1: a + b, MODULUS + 2: a - b, MODULUS + 3: a * b}[sign]
            assert op % MODULUS == c
    with pytest.raises(AntivenomError, match="tokens to name them"):
        token_form(problem, 100, names=range(2))


def test_bad_requests_are_named():
    with pytest.raises(AntivenomError, match="max_op 5"):
        make_problems(1, operations=(9,), max_op=5)
    with pytest.raises(AntivenomError, match="no arithmetic problem"):
        evaluate("What is this?")
    assert answer_of("nothing") is None
