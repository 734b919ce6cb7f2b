"""Likelihoods do not depend on batch or padding (spec 02, traps 14 and 25), and are those that are written down."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.measure.language.nll import (  # noqa: E402
    insertion_likelihood,
    token_nll,
    token_scores,
    truncate_left,
)
from antivenom.models.bigram_lm import BigramLM  # noqa: E402
from antivenom.models.decoder_small import DecoderConfig, olmo_config, small_decoder  # noqa: E402

DRAW = np.random.default_rng(0)
P = DRAW.dirichlet(np.ones(6), 6)
KNOWN = BigramLM(np.log(P), eos=0)


def ragged(n=13, vocabulary=40, seed=1):
    draw = np.random.default_rng(seed)
    return [draw.integers(1, vocabulary, int(length)) for length in draw.integers(1, 30, n)]


@pytest.mark.parametrize("make", [DecoderConfig, olmo_config])
@pytest.mark.parametrize("eos", [True, False])
def test_batch_and_padding_invariance(make, eos):
    model = small_decoder(make(40, 32, width=32, init_std=0.3), seed=2)
    sequences = ragged()
    one = token_nll(model, sequences, 1, leading_eos=eos)
    for size in (2, 5, 32):
        for a, b in zip(one, token_nll(model, sequences, size, leading_eos=eos), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
    assert [len(a) for a in one] == [len(s) - 1 for s in sequences]
    assert model.training  # left as it was


def test_known_likelihoods():
    x = np.array([3, 1, 4])
    np.testing.assert_allclose(token_nll(KNOWN, [x])[0], -np.log([P[3, 1], P[1, 4]]))
    np.testing.assert_allclose(token_nll(KNOWN, [x], leading_eos=True)[0], -np.log([P[3, 1], P[1, 4]]))
    first = token_nll(KNOWN, [x, np.array([0, 3])], leading_eos=True, first=True)
    np.testing.assert_allclose(first[0], -np.log([P[0, 3], P[3, 1], P[1, 4]]))
    np.testing.assert_allclose(first[1], -np.log([P[0, 3]]))  # it begins with the end token already: no second one
    assert len(token_nll(KNOWN, [np.array([3])])[0]) == 0


def test_the_leading_end_token_is_seen():
    model = small_decoder(DecoderConfig(40, 32, width=32, init_std=0.3), seed=2)
    with_it, without = token_nll(model, ragged(), leading_eos=True), token_nll(model, ragged())
    assert max(np.abs(a - b).max(initial=0) for a, b in zip(with_it, without)) > 0.01


def test_moments_of_the_log_probability():
    found = token_scores(KNOWN, [np.array([3, 1, 4])])[0]
    for place, last in enumerate((3, 1)):
        logs = np.log(P[last])
        mean = (P[last] * logs).sum()
        assert found.mean[place] == pytest.approx(mean)
        assert found.std[place] == pytest.approx(np.sqrt((P[last] * (logs - mean) ** 2).sum()))
    sure = BigramLM(np.where(np.eye(3) > 0, 0.0, -1e9))  # probability 0 is no NaN
    one = token_scores(sure, [np.array([1, 1])])[0]
    assert one.nll[0] == one.mean[0] == one.std[0] == 0


def test_sequences_that_cannot_be_scored_are_named():
    with pytest.raises(AntivenomError, match="sequence 1 has no token"):
        token_nll(KNOWN, [np.array([1]), np.array([], np.int64)])
    with pytest.raises(AntivenomError, match="sequence 0 has 65 tokens"):
        token_nll(KNOWN, [np.ones(64, np.int64)], leading_eos=True)
    with pytest.raises(AntivenomError, match="token 6"):
        token_nll(KNOWN, [np.array([1, 6])])
    with pytest.raises(AntivenomError, match="leading end token"):
        token_nll(KNOWN, [np.array([1])], first=True)
    assert truncate_left([np.arange(9)], 3)[0].tolist() == [6, 7, 8]
    assert token_nll(KNOWN, []) == []


def test_insertion_likelihood_weighs_tokens_not_texts():
    a, b = np.array([0, 3, 1, 4, 5, 0]), np.array([2, 2])
    found = insertion_likelihood(KNOWN, [a, b, a, np.array([0, 0]), np.array([5])])
    logs = -np.log([P[3, 1], P[1, 4], P[4, 5], P[2, 2]])
    assert found.value == pytest.approx(logs.mean())
    assert (found.n, found.missing) == (2, 2)  # copies once; texts without a token to score are counted apart
    assert found.low <= found.value <= found.high
    assert insertion_likelihood(KNOWN, [a, b], max_tokens=2).value == pytest.approx(logs[:3].mean())
    assert insertion_likelihood(KNOWN, []).value is None
