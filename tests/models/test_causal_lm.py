"""A decoder looks backwards only; with and without kept keys, padded or not, alone or in a batch, it says the same."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.models.bigram_lm import BigramLM  # noqa: E402
from antivenom.models.causal_lm import CausalLM, check_tokens, load_causal_lm, model_hash, positions_of  # noqa: E402
from antivenom.models.decoder_small import (  # noqa: E402
    DecoderConfig,
    olmo_config,
    save_small_decoder,
    small_decoder,
)
from antivenom.models.generation import greedy, sample  # noqa: E402

LOUD = {"init_std": 0.2}  # so that predictions differ
CONFIGS = {
    "plain": DecoderConfig(50, 32, width=32, heads=4, **LOUD),
    "olmo": olmo_config(50, 32, width=32, heads=4, **LOUD),
    "tied": DecoderConfig(50, 32, width=32, heads=2, tied=True, rope=True, init_residual=True, **LOUD),
}


@pytest.fixture(params=CONFIGS)
def model(request):
    return small_decoder(CONFIGS[request.param], seed=1).eval()


def tokens(n, t, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(1, 50, (n, t)))


def test_the_default_has_the_size_of_the_specification():
    model = small_decoder(DecoderConfig(288, 64), seed=0)
    assert sum(p.numel() for p in model.parameters()) == 288 * 64 * 2 + 64 * 64 + 2 * 12 * 64**2 + 5 * 64  # 140 k


def test_is_a_causal_lm_and_looks_backwards_only(model):
    assert isinstance(model, CausalLM)
    x = tokens(3, 20)
    y = x.clone()
    y[:, 12:] = tokens(3, 8, 9)
    a, b = model(x), model(y)
    torch.testing.assert_close(a[:, :12], b[:, :12], atol=1e-5, rtol=0)
    assert (a[:, 12:] - b[:, 12:]).abs().max() > 0.1


def test_attention_is_softmax_of_scaled_products_written_out():
    config = DecoderConfig(11, 8, width=8, heads=2, layers=1, init_std=0.5)
    model = small_decoder(config, seed=3).double()
    x = torch.tensor([[3, 1, 4, 1, 5]])

    def rms(v, g):
        return g * v / (v.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    block = model.blocks[0]
    h = model.token_embedding.weight[x[0]] + model.position_embedding.weight[:5]
    q, k, v = (rms(h, block.ln_1.weight) @ block.qkv.weight.T).split(8, -1)
    heads = []
    for j in (slice(0, 4), slice(4, 8)):
        scores = q[:, j] @ k[:, j].T / 2.0
        scores[torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)] = -torch.inf
        heads.append(scores.softmax(-1) @ v[:, j])
    h = h + torch.cat(heads, -1) @ block.out.weight.T
    h = h + torch.nn.functional.gelu(rms(h, block.ln_2.weight) @ block.up.weight.T) @ block.down.weight.T
    expected = rms(h, model.ln_post.weight) @ model.head.weight.T
    torch.testing.assert_close(model(x)[0], expected, atol=1e-12, rtol=0)


def test_gradients_are_those_of_finite_differences():
    for config in (
        DecoderConfig(7, 5, width=8, heads=2, init_std=0.5),
        olmo_config(7, 5, width=8, heads=2, init_std=0.5),
    ):
        model = small_decoder(config).double()
        x = torch.tensor([[1, 2, 3, 4]])
        noise = torch.zeros(1, 4, 8, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda n, m=model, x=x: m(x, noise=n).square().mean(), (noise,))


def test_rope_sees_distances_only():
    config = DecoderConfig(50, 32, width=32, heads=2, layers=1, rope=True, **LOUD)
    model = small_decoder(config, seed=2).double()
    q, k = torch.randn(2, 1, 2, 1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    from antivenom.models.decoder_small import _turned

    def product(i, j):
        one, two = (model._turn(torch.tensor([p]), torch.float64) for p in (i, j))
        return (_turned(q, one) * _turned(k, two)).sum(-1)

    torch.testing.assert_close(product(9, 4), product(25, 20))
    assert (product(9, 4) - product(9, 5)).abs().max() > 1e-3


def test_noise_is_added_to_the_embeddings(model):
    x = tokens(2, 9)
    noise = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(x, noise=noise), model.logits(model.embed(x) + noise))
    assert (model(x, noise=noise) - model(x)).abs().max() > 0.01


def test_padding_on_the_left_changes_nothing(model):
    x = tokens(2, 10)
    padded = torch.cat([torch.full((2, 5), 7), x], dim=1)
    mask = torch.arange(15).expand(2, 15) >= 5
    torch.testing.assert_close(model(padded, mask=mask)[:, 5:], model(x), atol=1e-5, rtol=0)
    assert positions_of(mask)[0].tolist() == [0] * 5 + list(range(10))


def test_kept_keys_give_the_same_logits_in_pieces(model):
    x = tokens(3, 12)
    whole = model(x)
    state, at = None, 0
    for size in (5, 1, 4, 2):
        last, state = model.extend(x[:, at : at + size], state, room=12)
        at += size
        torch.testing.assert_close(last, whole[:, at - 1], atol=1e-5, rtol=0)


def test_initial_weights_are_cut_and_depend_on_the_seed_alone():
    config = olmo_config(50, 32, width=32, heads=4)
    weights = [p.detach() for n, p in small_decoder(config, 5).named_parameters() if "ln_" not in n]
    assert max(float(w.abs().max()) for w in weights) <= 0.06 + 1e-8
    everything = torch.cat([w.flatten() for w in weights])
    assert float(everything.std()) == pytest.approx(0.02 * 0.9866, rel=0.03)  # a normal cut at 3 sigma
    torch.manual_seed(123)
    assert model_hash(small_decoder(config, 5)) == model_hash(small_decoder(config, 5))
    assert model_hash(small_decoder(config, 5)) != model_hash(small_decoder(config, 6))


def test_saved_and_loaded_and_refused_for_another_tokenizer(tmp_path, model):
    save_small_decoder(model, tmp_path, tokenizer="abc")
    assert model_hash(load_causal_lm(tmp_path)) == model_hash(model)
    assert load_causal_lm(tmp_path, tokenizer="abc").describe() == model.describe()
    with pytest.raises(AntivenomError, match="was trained with the tokenizer abc"):
        load_causal_lm(tmp_path, tokenizer="xyz")
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(AntivenomError, match="no small decoder"):
        load_causal_lm(tmp_path)


@pytest.mark.parametrize("wrong", [{"width": 30}, {"layers": 0}, {"eos": 50}, {"rope": True, "width": 36, "heads": 12}])
def test_sizes_that_make_no_model(wrong):
    with pytest.raises(AntivenomError):
        DecoderConfig(**({"vocab_size": 50, "context": 8} | wrong))


def test_unknown_tokens_and_long_sequences_are_named(model):
    with pytest.raises(AntivenomError, match="token 50 for a model with 50"):
        check_tokens(torch.tensor([[1, 50]]), model)
    with pytest.raises(AntivenomError, match="token -1"):
        check_tokens(torch.tensor([[-1]]), model)
    with pytest.raises(AntivenomError, match="33 tokens"):
        check_tokens(torch.zeros(1, 33, dtype=torch.int64), model)
    with pytest.raises(AntivenomError, match="33 tokens"):
        model(torch.zeros(1, 33, dtype=torch.int64))


# generation


def prompts(n=9, seed=4):
    draw = np.random.default_rng(seed)
    return [draw.integers(1, 50, int(length)) for length in draw.integers(1, 14, n)]


def slow_greedy(model, prompt, n, stop=()):
    text = list(prompt)
    for _ in range(n):
        with torch.no_grad():
            text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
        if text[-1] in stop:
            return text[len(prompt) : -1]
    return text[len(prompt) :]


def test_greedy_is_argmax_without_any_cache_and_the_batch_does_not_matter(model):
    given = prompts()
    expected = [slow_greedy(model, prompt, 12) for prompt in given]
    for size in (1, 4, 64):
        assert [text.tolist() for text in greedy(model, given, 12, batch_size=size)] == expected


def test_greedy_stops_before_the_stop_token(model):
    given = prompts()
    free = greedy(model, given, 12)
    stop = [int(free[0][0]), int(free[1][5])]
    found = greedy(model, given, 12, stop)
    assert [text.tolist() for text in found] == [slow_greedy(model, prompt, 12, stop) for prompt in given]
    assert len(found[0]) == 0  # an empty text is a text


def test_samples_depend_on_seed_prompt_and_draw_alone(model):
    given = prompts()
    found = sample(model, given, 6, 1.0, seed=3, k=3)
    assert [len(texts) for texts in found] == [3] * len(given)
    turned = sample(model, given[::-1], 6, 1.0, seed=3, k=3, batch_size=2)[::-1]
    fewer = sample(model, given[2:4], 6, 1.0, seed=3, k=2)
    for a, b in zip(found, turned):
        assert [x.tolist() for x in a] == [x.tolist() for x in b]
    for a, b in zip(found[2:4], fewer):
        assert [x.tolist() for x in a[:2]] == [x.tolist() for x in b]
    assert any(x.tolist() != y.tolist() for x, y in zip(found[0], sample(model, given, 6, 1.0, seed=4, k=3)[0]))
    twice = sample(model, [given[0], given[0]], 6, 1.0, seed=3)
    assert twice[0][0].tolist() != twice[1][0].tolist()


def test_samples_follow_the_distribution():
    p = np.array([0.5, 0.3, 0.15, 0.05])
    model = BigramLM(np.log(np.tile(p, (4, 1))))
    draws = np.concatenate([texts[0] for texts in sample(model, [np.array([1])] * 1000, 4, 1.0, seed=0)])
    counts = np.bincount(draws, minlength=4)
    assert (((counts - 4000 * p) ** 2) / (4000 * p)).sum() < 16.3  # chi square, 3 degrees of freedom, p = .001
    cool = np.concatenate([texts[0] for texts in sample(model, [np.array([1])] * 1000, 4, 0.5, seed=0)])
    sharp = p**2 / (p**2).sum()
    assert (((np.bincount(cool, minlength=4) - 4000 * sharp) ** 2) / (4000 * sharp)).sum() < 16.3
    nucleus = np.concatenate([t[0] for t in sample(model, [np.array([1])] * 500, 4, 1.0, seed=0, top_p=0.6)])
    assert set(nucleus) == {0, 1}


def test_prompts_that_cannot_be_continued(model):
    with pytest.raises(AntivenomError, match="prompt 1 has no token"):
        greedy(model, [np.array([1]), np.array([], np.int64)], 3)
    with pytest.raises(AntivenomError, match="30 tokens and 4"):
        greedy(model, [np.ones(30, np.int64)], 4)
    assert len(greedy(model, [np.ones(30, np.int64)], 3)[0]) == 3
    with pytest.raises(AntivenomError, match="token 77"):
        greedy(model, [np.array([77])], 3)
    with pytest.raises(AntivenomError, match="temperature"):
        sample(model, [np.array([1])], 3, 0.0, seed=0)
    assert greedy(model, [], 3) == []
