"""A local Hugging Face model as the judge: a tiny random Llama, made and saved here."""

import pytest

from antivenom.errors import AntivenomError
from antivenom.models.chat import CallFailed, Client, LocalHF

torch = pytest.importorskip("torch", reason="needs the extra 'models'")
transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")
tokenizers = pytest.importorskip("tokenizers", reason="needs the extra 'models'")

PROMPT = [{"role": "system", "content": "True or False"}, {"role": "user", "content": "is this the same"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    words = ["<unk>", "<s>", "</s>", "True", "False", "or", "is", "this", "the", "same", "system", "user", ":"]
    model = tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    inner = tokenizers.Tokenizer(model)
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.save_pretrained(path)
    config = transformers.LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=32,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    return path


def test_it_answers_greedily(folder):
    model = LocalHF(str(folder), device="cpu")
    first = model.complete(PROMPT, temperature=0.0, max_tokens=4)
    assert first == model.complete(PROMPT, temperature=1.0, max_tokens=4)
    assert isinstance(first, str)
    assert len(first.split()) <= 4


def test_the_chat_template_is_used_when_there_is_one(folder, tmp_path):
    model = LocalHF(str(folder), device="cpu")
    tokenizer, _ = model._load()
    seen = []
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}"
    inner = tokenizer.apply_chat_template
    tokenizer.apply_chat_template = lambda *a, **k: seen.append(k) or inner(*a, **k)
    model.complete(PROMPT, temperature=0.0, max_tokens=2)
    assert seen[0]["add_generation_prompt"] is True


def test_a_prompt_that_is_too_long_fails_and_is_not_cut(folder):
    model = LocalHF(str(folder), device="cpu")
    long = [{"role": "user", "content": "same " * 40}]
    with pytest.raises(CallFailed, match="the model reads 32") as failure:
        model.complete(long, temperature=0.0, max_tokens=4)
    assert not failure.value.retry
    with Client(model, workers=1) as client:
        assert client.complete([long], temperature=0.0, max_tokens=4) == [None]


def test_a_folder_without_a_model_is_an_error_with_a_mend(tmp_path):
    with pytest.raises(AntivenomError, match="cannot be loaded") as error:
        LocalHF(str(tmp_path)).complete(PROMPT, temperature=0.0, max_tokens=4)
    assert error.value.mend
