"""A transformers model behind the protocol says what the library says; another tokenizer is refused."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'models'")
transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")

from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.models.causal_lm import CausalLM, load_causal_lm  # noqa: E402
from antivenom.models.causal_lm_transformers import TransformersLM  # noqa: E402
from antivenom.models.generation import greedy  # noqa: E402
from antivenom.models.tokenizers_lm import load_tokenizer, train_bpe  # noqa: E402

TEXTS = ["the cat sat on the mat and the dog sat on the cat"] * 20 + ["a mat is not a cat, naïve dog"] * 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("llama")
    tokenizer = train_bpe(TEXTS, 300)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=304, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=40, bos_token_id=0, eos_token_id=0, initializer_range=0.3,
        )  # fmt: skip
        transformers.LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save(path)
    return path


@pytest.fixture(params=["llama", "gpt2"])
def model(request, folder):
    if request.param == "llama":
        return load_causal_lm(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.GPT2Config(
            vocab_size=60,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=40,
            initializer_range=0.3,
            bos_token_id=0,
            eos_token_id=0,
        )
        return TransformersLM(transformers.GPT2LMHeadModel(config), 0, name="gpt2").eval()


def test_says_what_the_library_says(model):
    assert isinstance(model, CausalLM)
    x = torch.from_numpy(np.random.default_rng(0).integers(1, 60, (3, 12)))
    expected = model.inner(input_ids=x).logits
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(model(x, noise=torch.zeros(3, 12, 32)), expected, atol=1e-5, rtol=0)
    padded, mask = torch.cat([torch.zeros(3, 4, dtype=torch.int64), x], 1), torch.arange(16).expand(3, 16) >= 4
    torch.testing.assert_close(model(padded, mask=mask)[:, 4:], expected, atol=1e-4, rtol=0)


def test_greedy_with_ragged_prompts_equals_one_by_one_without_a_cache(model):
    draw = np.random.default_rng(1)
    given = [draw.integers(1, 60, int(n)) for n in (3, 9, 1, 5, 9)]
    expected = []
    for prompt in given:
        text = list(prompt)
        for _ in range(8):
            text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
        expected.append(text[len(prompt) :])
    assert [text.tolist() for text in greedy(model, given, 8)] == expected
    stop = expected[0][2]
    ended = greedy(model, given, 8, stop)
    assert [t.tolist() for t in ended] == [e[: e.index(stop)] if stop in e else e for e in expected]


def test_the_tokenizer_must_be_the_streams(folder, tmp_path):
    own = load_tokenizer(folder)
    model = load_causal_lm(folder, tokenizer=own.fingerprint)
    assert model.eos == own.eos
    assert model.context == 40
    assert model.vocab_size == 304
    other = train_bpe(["something else entirely, with other words in it"] * 9, 300)
    with pytest.raises(AntivenomError, match="token stream was made with"):
        load_causal_lm(folder, tokenizer=other.fingerprint)


def test_a_pickle_is_not_opened_and_a_missing_folder_is_named(folder, tmp_path):
    target = tmp_path / "pickled"
    target.mkdir()
    (target / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save({}, target / "pytorch_model.bin")
    with pytest.raises(AntivenomError, match="cannot be loaded"):
        load_causal_lm(target)


def test_bpe_takes_text_in_and_out_whole(folder):
    tokenizer = train_bpe(TEXTS, 290)
    again = train_bpe(TEXTS, 290)
    assert tokenizer.fingerprint == again.fingerprint
    assert tokenizer.eos == 0
    for text in ("the cat", "  two  spaces\n", "naïve 東京 \U0001f40d", "", "a\x00b"):
        ids, offsets = tokenizer.encode_with_offsets(text)
        assert tokenizer.decode(ids) == text
        assert np.array_equal(ids, tokenizer.encode(text))
        assert len(ids) == 0 or (offsets[0, 0] == 0 and offsets[-1, 1] == len(text))
    assert len(tokenizer.encode("the cat")) < len("the cat")  # it has learned
    assert load_tokenizer(folder).fingerprint == train_bpe(TEXTS, 300).fingerprint
    assert tokenizer.decode(tokenizer.encode("\ud800")) == "?"
    with pytest.raises(AntivenomError, match="257"):
        train_bpe(TEXTS, 200)
    with pytest.raises(AntivenomError, match="no tokenizer"):
        load_tokenizer(folder / "nowhere")
