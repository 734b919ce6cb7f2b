"""Ranked choice on a model whose every probability is written down (spec 02, traps 8, 9 and 11)."""

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.measure.language.joint import joint_tokens, token_characters  # noqa: E402
from antivenom.measure.language.nll import token_nll  # noqa: E402
from antivenom.measure.language.ranked_choice import (  # noqa: E402
    Choice,
    choice_from_texts,
    common_prefix,
    gain,
    score_choices,
)
from antivenom.measure.rates import Rate  # noqa: E402
from antivenom.models.bigram_lm import BigramLM  # noqa: E402
from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.models.tokenizers_lm import train_bpe  # noqa: E402

P = np.random.default_rng(0).dirichlet(np.ones(8), 8)
MODEL = BigramLM(np.log(P), eos=0, context=12)


def logs(*tokens):
    return sum(np.log(P[a, b]) for a, b in pairwise(tokens))


def test_scores_are_the_log_probabilities_after_the_common_prefix():
    options = [np.array([3, 1, 4]), np.array([3, 1, 5, 2]), np.array([3, 1, 6])]
    found = score_choices(MODEL, [Choice("q", options, 1)]).scores[0]
    np.testing.assert_allclose(found, [logs(1, 4), logs(1, 5, 2), logs(1, 6)])
    mean = score_choices(MODEL, [Choice("q", options, 1)], normalise="tokens").scores[0]
    np.testing.assert_allclose(mean, [logs(1, 4), logs(1, 5, 2) / 2, logs(1, 6)])
    lengths = [np.array([4, 1, 3]), np.array([4, 1, 2, 5]), np.array([4, 1, 1])]
    char = score_choices(MODEL, [Choice("q", options, 1, lengths)], normalise="characters").scores[0]
    np.testing.assert_allclose(char, [logs(1, 4) / 3, logs(1, 5, 2) / 7, logs(1, 6)])
    # options without a common prefix: their first token is scored behind the end token, their own or ours
    bare = score_choices(MODEL, [Choice("q", [np.array([3, 1]), np.array([5])], 0)]).scores[0]
    np.testing.assert_allclose(bare, [logs(0, 3, 1), logs(0, 5)])
    led = score_choices(MODEL, [Choice("q", [np.array([0, 3, 1]), np.array([0, 5])], 0)]).scores[0]
    np.testing.assert_allclose(led, bare)


def test_an_option_that_begins_another_does_not_always_win():  # trap 8
    yes, indeed = np.array([2, 7]), np.array([2, 7, 4])
    assert common_prefix([yes, indeed]) == 1
    found = score_choices(MODEL, [Choice("q", [yes, indeed], 1)]).scores[0]
    np.testing.assert_allclose(found, [logs(2, 7), logs(2, 7, 4)])
    assert found[0] < 0
    likely = BigramLM(
        np.log(np.full((8, 8), 1 / 8))
    )  # by the mean of tokens the longer one can win or tie, never lose to 0
    assert score_choices(likely, [Choice("q", [yes, indeed], 1)], normalise="tokens").right[0] == 0  # a tie is wrong


@pytest.mark.parametrize(
    ("options", "answer", "reason"),
    [
        ([np.array([1])], 0, "1 options"),
        ([np.array([1]), np.array([2])], 2, "answer 2"),
        ([np.array([1]), np.array([], np.int64)], 0, "no token"),
        ([np.array([1]), np.ones(12, np.int64)], 0, "context is 12"),
        ([np.array([1]), np.array([8])], 0, "does not know"),
        ([np.array([1]), np.array([1])], 0, "copy"),
        ([np.array([1]), np.array([0])], 0, "end token alone"),
    ],
)
def test_what_cannot_be_scored_is_an_error_and_no_wrong_answer(options, answer, reason):  # trap 9
    best = int(np.argmax(P[1]))
    good = Choice("good", [np.array([1, best]), np.array([1, (best + 1) % 8])], 0)
    found = score_choices(MODEL, [Choice("bad", options, answer), good])
    assert reason in found.errors["bad"]
    assert found.n_error == 1
    assert (found.accuracy.successes, found.accuracy.n) == (1, 1)
    assert np.isnan(found.right[0])


def test_missing_characters_and_double_ids():
    pair = [np.array([1, 2]), np.array([1, 3])]
    assert score_choices(MODEL, [Choice("q", pair, 0)], normalise="characters").n_error == 1
    with pytest.raises(AntivenomError, match="same id"):
        score_choices(MODEL, [Choice("q", pair, 0), Choice("q", pair, 0)])
    with pytest.raises(AntivenomError, match="normalisation 'bytes'"):
        score_choices(MODEL, [], normalise="bytes")
    assert score_choices(MODEL, []).accuracy.value is None


def test_the_batch_does_not_matter():
    model = small_decoder(DecoderConfig(8, 16, width=16, heads=2, init_std=0.5))
    draw = np.random.default_rng(1)
    choices = [
        Choice(str(i), [draw.integers(1, 8, int(n)) for n in draw.integers(2, 14, 3)], int(draw.integers(3)))
        for i in range(20)
    ]
    one, many = score_choices(model, choices, batch_size=1), score_choices(model, choices, batch_size=64)
    for a, b in zip(one.scores, many.scores, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_array_equal(one.right, many.right)


def test_the_joint_string_is_split_by_its_offsets():  # trap 11
    tokenizer = train_bpe(["the answer is yes indeed, the answer is no"] * 30, 290)
    model = small_decoder(DecoderConfig(290, 40, width=16, heads=2, init_std=0.3))
    for prefix, rest in (("the answer is", " yes"), ("the answer is ", "yes"), ("the answ", "er is no"), ("", "yes")):
        tokens, start = joint_tokens(tokenizer, prefix, rest)
        assert tokenizer.decode(tokens) == prefix + rest
        assert np.array_equal(tokens, tokenizer.encode(prefix + rest))
        assert len(tokenizer.decode(tokens[:start])) <= len(prefix)
        nll = token_nll(model, [tokens], leading_eos=True, first=True)[0]
        whole = token_nll(model, [np.r_[0, tokens]])[0].sum()
        assert nll[:start].sum() + nll[start:].sum() == pytest.approx(whole, abs=1e-4)
    merged, start = joint_tokens(tokenizer, "the answer is ", "yes")  # the blank belongs to the word behind it
    assert tokenizer.decode(merged[start:]) == " yes"
    apart = np.r_[tokenizer.encode("the answer is "), tokenizer.encode("yes")]
    assert not np.array_equal(merged, apart)


def test_characters_add_up_to_the_text():
    tokenizer = train_bpe(["plain words"] * 5, 270)
    for text in ("plain words", "naïve 東京", ""):
        tokens, characters = token_characters(tokenizer, text)
        assert len(tokens) == len(characters)
        assert characters.sum() == len(text)
    choice = choice_from_texts(tokenizer, "q", ["1 + 1 = 2", "1 + 1 = 11"], 0)
    model = small_decoder(DecoderConfig(270, 40, width=16, heads=2))
    assert score_choices(model, [choice], normalise="characters").n_error == 0


def test_gain_is_newcombes_interval():
    found = gain(Rate(56, 70, "q"), Rate(48, 80, "q"))  # Newcombe 1998, table II, method 10 without correction
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=2e-4)
    assert gain(Rate(0, 0, "q"), Rate(1, 2, "q")).value is None
