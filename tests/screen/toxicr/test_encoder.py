import numpy as np
import pytest
import torch

from antivenom.errors import AntivenomError
from antivenom.screen.toxicr.encoder import EncoderToxiCR
from antivenom.screen.toxicr.schedules import linear_schedule, published_ramp

torch.set_num_threads(1)

DATA = [
    (f"this patch is {'awful garbage' if i % 3 == 0 else 'quite fine'} number{i % 40}", int(i % 3 == 0))
    for i in range(240)
]
TEXTS, Y, C = [t for t, _ in DATA], [y for _, y in DATA], np.zeros((240, 3))


def test_schedules():
    rates = [linear_schedule(s, 100, 3e-5) for s in range(1, 101)]
    assert max(rates) == rates[9] == pytest.approx(3e-5)
    assert rates[-1] == 0
    n = 17_686
    steps = round(0.88885 * n / 16)
    assert published_ramp(steps, n, 20, 3e-5) == pytest.approx(8.33e-7, rel=2e-3)
    assert published_ramp(20 * steps, n, 20, 3e-5) == pytest.approx(1.67e-5, rel=2e-3)


def tiny(folder, kind):
    from tokenizers import BertWordPieceTokenizer
    from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel, BertTokenizerFast

    wp = BertWordPieceTokenizer()
    wp.train_from_iterator([*TEXTS, "includes profanity anger word emoticon."], vocab_size=300, show_progress=False)
    torch.manual_seed(0)
    shape = {
        "vocab_size": wp.get_vocab_size(),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
    }
    model = BertModel(BertConfig(**shape)) if kind == "bert" else AlbertModel(AlbertConfig(embedding_size=32, **shape))
    model.save_pretrained(folder)
    BertTokenizerFast(tokenizer_object=wp._tokenizer).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(("name", "kind"), [("bert", "bert"), ("albert", "albert"), ("sbert", "bert")])
def test_encoder(name, kind, tmp_path):
    folder = tiny(tmp_path / "m", kind)
    m = EncoderToxiCR(name, name, model=folder, epochs=3, rate=2e-3).fit(TEXTS, Y, C, seed=0)
    assert type(m._network.encoder).__name__.lower() == f"{kind}model"
    assert m.history[-1]["loss"] < m.history[0]["loss"]
    p = m.predict_proba(TEXTS[:30], C[:30])
    assert np.abs(np.concatenate([m.predict_proba([t], C[:1]) for t in TEXTS[:10]]) - p[:10]).max() <= 2e-5
    (tmp_path / "out").mkdir()
    record = m.save(tmp_path / "out")
    assert np.array_equal(EncoderToxiCR.load(tmp_path / "out", record).predict_proba(TEXTS[:30], C[:30]), p)
    counted = np.ones((1, 3))
    assert m.inputs(["x " * 300], counted, training=True) == m.inputs(["x " * 300], counted, training=False)
    assert m.inputs(["x"], counted, training=False) != m.inputs(["x"], 0 * counted, training=False)
    if name == "bert":
        with pytest.raises(AntivenomError):
            EncoderToxiCR("albert", model=folder).fit(TEXTS, Y, C, seed=0)


def test_counts_in_strict_mode_are_left_out_at_predict(tmp_path):
    m = EncoderToxiCR("bert", model=tiny(tmp_path / "m", "bert"), epochs=1, strict_paper=True).fit(TEXTS, Y, C, seed=0)
    ones = np.ones((1, 3))
    assert m.inputs(["x"], ones, training=True) != m.inputs(["x"], ones, training=False)


def test_missing_folder_names_the_mend(tmp_path):
    with pytest.raises(AntivenomError, match="local folder"):
        EncoderToxiCR("bert", model=str(tmp_path / "absent")).fit(TEXTS, Y, C, seed=0)
