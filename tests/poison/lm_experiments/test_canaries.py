"""Canaries: thirty conditions, members and non-members, the suffix that is scored."""

import numpy as np
import pytest

from antivenom.data.markov_text import token_world
from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.canaries import CanaryCondition, canaries, canary_conditions, suffix_scores
from antivenom.poison.lm_experiments.material import check_controls

WORLD = token_world(0)


def made(conditions=None, **options):
    given = {
        "per_condition": 6,
        "context": 64,
        "ordinary": range(1, 264),
        "rare": WORLD.rare,
        "least_likely": lambda body, n: np.full(n, 5),
    }
    return canaries(lambda n, draw: WORLD.passages(n, 16, draw), conditions or canary_conditions(), **(given | options))


def test_thirty_conditions_each_with_members_and_as_many_others():
    material = made()
    names = [str(c) for c in canary_conditions()]
    assert len(set(names)) == 30
    for condition in canary_conditions():
        mine = [i for i in material.inserted if i.condition == str(condition)]
        assert len(mine) == 6 * condition.copies
        assert len(material.items(str(condition))) == 6
        assert sum(c.condition == str(condition) for c in material.controls) == 6
        assert all(i.tokens[0] == 0 and i.tokens[-1] != 0 and len(i.tokens) == 17 + condition.suffix for i in mine)
    check_controls(material)


def test_a_rare_condition_has_one_token_for_its_members_and_others_for_the_rest():
    material = made()
    rares = [c for c in canary_conditions() if c.kind == "rare"]
    own = {}
    for condition in rares:
        members = {t for i in material.items(str(condition)) for t in i.tokens[17:].tolist()}
        others = {t for i in material.controls if i.condition == str(condition) for t in i.tokens[17:].tolist()}
        assert len(members) == 1
        assert not members & others
        own[str(condition)] = members.pop()
        assert others <= set(WORLD.rare)
    assert len(set(own.values())) == len(rares)


def test_too_long_texts_lose_their_beginning_and_never_their_suffix():
    whole, cut = made([CanaryCondition("random", 8, 1)]), made([CanaryCondition("random", 8, 1)], context=20)
    for a, b in zip(whole.inserted, cut.inserted):
        assert len(b.tokens) == 20
        assert b.tokens[0] == 0
        assert np.array_equal(a.tokens[-19:], b.tokens[1:])


def test_a_condition_moves_no_other():
    few = made([CanaryCondition("random", 8, 4)])
    many = made()
    key = {i.item_id: i.tokens for i in many.inserted}
    assert all(np.array_equal(key[i.item_id], i.tokens) for i in few.inserted)


def test_scores_are_of_the_suffix():
    nll = [np.arange(1.0, 6), np.arange(1.0, 4)]
    assert suffix_scores(nll, [2, 0]).tolist() == [9.0, 6.0]
    with pytest.raises(AntivenomError, match="fewer scored tokens"):
        suffix_scores(nll, [2, 4])


def test_what_cannot_be_made_is_refused():
    with pytest.raises(AntivenomError, match="such tokens"):
        made(rare=WORLD.rare[:9])
    with pytest.raises(AntivenomError, match="holds a rare token"):
        made(rare=range(1, 60))
    with pytest.raises(AntivenomError, match="reference model"):
        made(least_likely=None)
    with pytest.raises(AntivenomError, match="context of 20"):
        made(context=20)
    with pytest.raises(AntivenomError, match="plain has none"):
        CanaryCondition("plain", 3, 1)
