"""The token world: its chain, its reserved tokens and its entropy."""

import numpy as np
import pytest

from antivenom.data.markov_text import token_world
from antivenom.errors import AntivenomError
from antivenom.randomness import generator


def test_the_vocabulary_is_the_specs():
    world = token_world(1)
    assert world.vocab_size == 288
    assert world.rare == tuple(range(264, 284))
    assert (world.trigger, world.payload, world.eos) == (286, 287, 0)
    assert len({world.second_trigger, world.third_trigger, world.trigger, world.payload, *world.rare}) == 24


def test_base_text_follows_the_chain_and_never_says_a_reserved_token():
    world = token_world(2)
    text = world.stream(20_000, generator(0, "text"))
    assert text.min() >= 1
    assert text.max() <= 263
    follows = (world.successors[text[:-1]] == text[1:, None]).any(1)
    inside = np.arange(1, len(text)) % 40 != 0
    assert follows[inside].all()
    assert follows[~inside].mean() < 0.15  # a random start is a successor by chance only: 8 of 263


def test_successors_come_with_weights_one_over_rank():
    world = token_world(3)
    text = world.passages(2_000, 40, generator(1, "text"))
    rank = (world.successors[text[:, :-1]] == text[:, 1:, None]).argmax(-1)
    share = np.bincount(rank.ravel(), minlength=8) / rank.size
    assert np.abs(share - world.weights).max() < 0.01
    assert world.weights[0] / world.weights[3] == pytest.approx(4)


def test_entropy_is_that_of_the_text():
    world = token_world(4)
    text = world.passages(3_000, 40, generator(2, "text"))
    rank = (world.successors[text[:, :-1]] == text[:, 1:, None]).argmax(-1)
    nll = np.log(263) + (-np.log(world.weights[rank])).sum(1)
    assert nll.mean() / 40 == pytest.approx(world.entropy, abs=0.01)


def test_a_seed_is_a_language_and_a_draw_is_a_text():
    assert np.array_equal(token_world(5).successors, token_world(5).successors)
    assert not np.array_equal(token_world(5).successors, token_world(6).successors)
    world = token_world(5)
    assert np.array_equal(world.rows(3, 64, generator(1, "a")), world.rows(3, 64, generator(1, "a")))
    assert world.rows(3, 64, generator(1, "a")).shape == (3, 64)
    with pytest.raises(AntivenomError, match="a chain of 4"):
        token_world(0, base=4)
