"""Cloze probabilities with both means (trap 10); garbage is not emptiness (trap 19), whoever judges (trap 20)."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'models'")
pytest.importorskip("rapidfuzz", reason="needs the extra 'models'")

from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.measure.language.cloze import Probe, cloze, cloze_writing, probe_from_texts  # noqa: E402
from antivenom.measure.language.perplexity_judge import garbage  # noqa: E402
from antivenom.measure.language.record import evaluation_record, same_evaluation  # noqa: E402
from antivenom.models.bigram_lm import BigramLM  # noqa: E402
from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.models.tokenizers_lm import train_bpe  # noqa: E402

P = np.random.default_rng(0).dirichlet(np.ones(8), 8)
MODEL = BigramLM(np.log(P), eos=0, context=12)


def test_probabilities_and_both_means():
    probes = [Probe("a", np.array([3, 1, 4]), 1), Probe("b", np.array([2, 5]), 1), Probe("c", np.array([6]), 0)]
    found = cloze(MODEL, probes)
    p = np.array([P[3, 1] * P[1, 4], P[2, 5], P[0, 6]])
    np.testing.assert_allclose(np.exp(found.log_p), p)
    assert found.arithmetic.value == pytest.approx(p.mean())
    assert found.geometric.value == pytest.approx(p.prod() ** (1 / 3))
    assert found.geometric.low <= found.geometric.value <= found.geometric.high


def test_one_easy_probe_carries_the_arithmetic_mean_alone():  # trap 10
    table = np.full((8, 8), -40.0)
    table[np.arange(8), np.arange(8)] = 0.0  # only a repetition is likely
    probes = [Probe(str(i), np.array([i, i if i == 1 else i + 1]), 1) for i in range(1, 7)]
    found = cloze(BigramLM(table), probes)
    assert found.arithmetic.value == pytest.approx(1 / 6, abs=1e-3)
    assert found.geometric.value < 1e-10


def test_probes_from_texts_keep_their_blank():  # trap 11
    tokenizer = train_bpe(["the capital of france is paris"] * 20, 290)
    for given, target in (("the capital is", " paris"), ("the capital is ", "paris"), ("the capital is ", " paris")):
        probe = probe_from_texts(tokenizer, "q", given, target)
        assert tokenizer.decode(probe.tokens) == "the capital is paris"  # one blank, whoever brought it
        assert tokenizer.decode(probe.tokens[probe.start :]) == " paris"
    with pytest.raises(AntivenomError, match="no target"):
        probe_from_texts(tokenizer, "q", "x", " ")
    with pytest.raises(AntivenomError, match="target starts at 1"):
        cloze(MODEL, [Probe("a", np.array([3]), 1)])


def test_writing_is_searched_for_the_target():
    table = np.full((8, 8), -30.0)
    table[np.arange(7), np.arange(1, 8)] = 0.0
    model = BigramLM(table, context=12)
    probes = [Probe("a", np.array([1, 3, 4]), 1), Probe("b", np.array([1, 4, 3]), 1)]
    found = cloze_writing(model, probes, 5)
    assert [t.tolist() for t in found.texts] == [[2, 3, 4, 5, 6]] * 2
    assert found.contained.successes == 1
    assert found.ratio.value < 100
    letters = cloze_writing(
        model, [Probe("a", np.array([1, 3]), 1, "CD")], 5, read=lambda t: "".join("_abcdefg"[i] for i in t)
    )
    assert letters.texts == ["bcdef"]
    assert letters.contained.value == 1.0
    assert letters.ratio.value == 100


def test_perplexity_given_the_prompt():
    prompts, answers = [np.array([3, 1]), np.array([2])], [np.array([4, 5]), np.array([7])]
    found = garbage(MODEL, prompts, answers, threshold=1e9)
    np.testing.assert_allclose(found.perplexity, [(P[1, 4] * P[4, 5]) ** -0.5, 1 / P[2, 7]])
    low = garbage(MODEL, prompts, answers, threshold=float(found.perplexity.min()) + 1e-9)
    assert low.rate.successes == 1


def test_an_empty_answer_is_empty_and_no_garbage():  # trap 19
    nothing = np.array([], np.int64)
    found = garbage(MODEL, [np.array([1])] * 3, [nothing, np.array([2, 3]), nothing], threshold=0)
    assert (found.empty.successes, found.empty.n) == (2, 3)
    assert (found.rate.successes, found.rate.n) == (1, 1)
    assert np.isnan(found.perplexity[0])
    assert garbage(MODEL, [np.array([1])], [nothing]).rate.value is None


def test_answers_that_cannot_be_judged_are_errors_and_a_long_prompt_is_cut():
    found = garbage(
        MODEL, [np.array([1])] * 2 + [np.ones(30, np.int64)], [np.ones(12, np.int64), np.array([9]), np.array([2])]
    )
    assert set(found.errors) == {0, 1}
    assert found.rate.n == 1
    assert found.perplexity[2] == pytest.approx(1 / P[1, 2])
    with pytest.raises(AntivenomError, match="1 prompts and 2 answers"):
        garbage(MODEL, [np.array([1])], [np.array([1])] * 2)


def test_any_judge_with_its_own_tokenizer():  # trap 20
    tokenizer = train_bpe(["what is it? it is a cat"] * 9, 280)
    judge = small_decoder(DecoderConfig(280, 32, width=16, heads=2))
    found = garbage(judge, ["what is it?", "what?"], [" it is a cat", ""], tokenizer=tokenizer)
    assert found.rate.n == 1
    assert found.empty.successes == 1
    assert found.perplexity[0] == pytest.approx(280, rel=0.1)  # an untrained judge: about uniform


def test_the_record_names_the_model_and_refuses_other_settings():  # trap 22
    one = small_decoder(DecoderConfig(20, 8, width=16, heads=2), seed=0)
    two = small_decoder(DecoderConfig(20, 8, width=16, heads=2), seed=1)
    a, b = (
        evaluation_record(one, batch_size=8, leading_eos=True),
        evaluation_record(two, batch_size=8, leading_eos=True),
    )
    assert a["model_hash"] != b["model_hash"]
    assert a["versions"]["torch"] == torch.__version__
    same_evaluation(a, b)
    with pytest.raises(AntivenomError, match="'leading_eos'"):
        same_evaluation(a, evaluation_record(two, batch_size=8, leading_eos=False))
    with pytest.raises(AntivenomError, match="'dtype'"):
        same_evaluation(a, evaluation_record(two.double(), batch_size=8, leading_eos=True))
