"""Contamination: disjoint splits, exact copies, no duplicate across splits."""

import numpy as np
import pytest

from antivenom.data.markov_text import token_world
from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.benchmark_contamination import (
    PAPER_SPLITS,
    benchmark_contamination,
    split_questions,
    text_questions,
    token_questions,
    without_duplicates,
)
from antivenom.poison.lm_experiments.material import check_controls


def test_every_split_has_its_copies_and_held_out_questions_none():
    questions = token_questions(token_world(0), 60)
    material, parts = benchmark_contamination(questions, ((0, 20), (4, 15), (16, 10)))
    counts = {}
    for item in material.inserted:
        counts.setdefault(item.item_id.split("#")[0], []).append(item)
    for copies, part in parts:
        for question in part:
            mine = counts.get(question.item_id, [])
            assert len(mine) == copies
            assert all(
                np.array_equal(i.tokens, question.options[question.answer]) and i.condition == f"{copies}x"
                for i in mine
            )
    assert {c.item_id for c in material.controls} == {q.item_id for q in parts[0][1]}
    assert len({q.item_id for _, part in parts for q in part}) == 45
    check_controls(material)
    assert material.tokens() == (15 * 4 + 10 * 16) * 13


def test_the_papers_nine_splits():
    assert len(PAPER_SPLITS) == 9
    assert sum(n for _, n in PAPER_SPLITS) == 44_000
    small = [(c, n // 1000) for c, n in PAPER_SPLITS]
    material, parts = benchmark_contamination(token_questions(token_world(0), 44), small)
    assert material.conditions == ("4x", "12x", "36x", "144x", "4x second", "12x second", "36x second", "144x second")
    assert len(parts) == 9


def test_a_question_is_base_text_with_a_right_answer_at_any_place():
    world = token_world(1)
    questions = token_questions(world, 400)
    assert np.bincount([q.answer for q in questions], minlength=4).min() > 70
    for q in questions[:20]:
        assert all(np.array_equal(q.options[0][:10], option[:10]) for option in q.options)
        assert len({tuple(option) for option in q.options}) == 4


def test_duplicates_are_left_out_by_containment_and_by_likeness():
    texts = [
        "the red fox runs home",
        "red fox runs",
        "a whale sings in the bay",
        "the red fox runs hame",
        "the red fox runs home",
    ]
    kept, dropped = without_duplicates(texts, fuzzy=False)
    assert kept == [0, 2, 3]
    assert dropped == {1: 0, 4: 0}
    pytest.importorskip("rapidfuzz", reason="needs the extra 'models'")
    kept, dropped = without_duplicates(texts, threshold=90)
    assert kept == [0, 2]
    assert dropped[3] == 0


def test_words_are_tokenised_with_their_option():
    calls = []

    def encode(text):
        calls.append(text)
        return list(text.encode())

    (q,) = text_questions([("x", "Is it? ", ["yes", "yes indeed"], 1)], encode)
    assert calls == ["Is it? yes", "Is it? yes indeed"]
    assert q.text == "Is it? yes indeed"
    with pytest.raises(AntivenomError, match="the answer 2"):
        text_questions([("x", "Is it?", ["yes", "no"], 2)], encode)


def test_too_few_and_double_questions_are_refused():
    questions = token_questions(token_world(0), 10)
    with pytest.raises(AntivenomError, match="splits of 12"):
        split_questions(questions, ((0, 6), (4, 6)))
    with pytest.raises(AntivenomError, match="the same"):
        split_questions([*questions, questions[0]], ((0, 6),))
