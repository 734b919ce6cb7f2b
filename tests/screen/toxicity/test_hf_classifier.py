"""A Hugging Face classifier from a folder: a tiny BERT whose head is planted, so that scores have closed forms."""

import builtins
import json
import pickle
from itertools import pairwise

import numpy as np
import pytest

from antivenom.errors import AntivenomError, MissingExtra
from antivenom.screen.scoring.scorer import Scorer, score_texts
from antivenom.screen.scoring.scorers import parse
from antivenom.screen.toxicity.hf_classifier import HFClassifier, toxic_label, weights_hash

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WORDS = ["calm", "kind", "words", "awful", "day", "the", "a"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


def save(folder, *, labels=("neutral", "toxic"), positions=40, seed=0, **config):
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    made = transformers.BertConfig(
        vocab_size=len(VOCABULARY), max_position_embeddings=positions, initializer_range=0.5, **size, **named, **config
    )
    model = transformers.BertForSequenceClassification(made).eval()
    model.save_pretrained(folder)
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    inner = Tokenizer(models.WordPiece({w: i for i, w in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special).save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "m"
    save(path)
    return path


def plain(model, ids):
    with torch.no_grad():
        return torch.softmax(model(torch.tensor([ids])).logits, -1)[0].numpy()


def test_a_score_is_the_models_probability_of_the_toxic_label(folder):
    model = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    ids = [2, *(VOCABULARY.index(w) for w in ("the", "awful", "day")), 3]
    scores = score_texts(HFClassifier(model=str(folder)), ["the awful day"])
    np.testing.assert_allclose(scores.values[0], plain(model, ids)[1], atol=1e-6)
    np.testing.assert_allclose(scores.columns["p_neutral"].to_pylist()[0], plain(model, ids)[0], atol=1e-6)
    assert scores.columns["windows"].to_pylist() == [1]
    assert {name: a.type for name, a in scores.columns.items()} == HFClassifier(model=str(folder)).columns


def test_scores_do_not_depend_on_the_batch(folder):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, n)) for n in [1, 90, 3, 35, 17, 200, 2, 37, 38, 39, 5]]
    want = [score_texts(HFClassifier(model=str(folder), batch_size=1), [text]).values[0] for text in texts]
    assert np.std(want) > 0.01
    for size in (1, 4, 64):
        got = score_texts(HFClassifier(model=str(folder), batch_size=size), texts).values
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_windows_cover_all_tokens(folder):
    scorer = HFClassifier(model=str(folder), window=12, overlap=4)
    assert scorer._frame[2] == 10
    for n in range(1, 60):
        cut = scorer._cut(n)
        assert cut[0][0] == 0
        assert cut[-1][1] == n
        assert all(0 < b - a <= 10 for a, b in cut)
        assert all(second[0] == first[0] + 6 for first, second in pairwise(cut))
        assert all(second[1] > first[1] for first, second in pairwise(cut))


def test_a_toxic_tail_behind_the_first_window_is_found(folder):
    scorer = HFClassifier(model=str(folder), overlap=0, window=12)
    one = {word: score_texts(scorer, [f"{word} " * 10]).values[0] for word in WORDS}
    low, high = min(one, key=one.get), max(one, key=one.get)
    text = f"{low} " * 200 + f"{high} " * 10
    assert score_texts(scorer, [text]).values[0] == pytest.approx(one[high], abs=1e-5)
    mean = score_texts(HFClassifier(model=str(folder), overlap=0, window=12, aggregate="mean"), [text])
    assert mean.values[0] == pytest.approx((20 * one[low] + one[high]) / 21, abs=1e-5)
    assert mean.reasons == ["mean of 21 windows"]


def test_what_cannot_be_scored_has_a_reason_and_no_number(folder):
    scores = score_texts(HFClassifier(model=str(folder)), ["", " \n", "\u200b", "🙂🙂", "ξένος", "calm"])
    assert np.isnan(scores.values).tolist() == [True] * 5 + [False]
    assert scores.reasons[0] == "cannot score: empty"
    assert all(reason.startswith("cannot score: ") for reason in scores.reasons[:5])
    assert scores.columns["p_neutral"].to_pylist()[:5] == [None] * 5
    empty = score_texts(HFClassifier(model=str(folder)), [])
    assert len(empty) == 0


def test_outputs_that_are_not_finite_are_no_score(tmp_path):
    model = save(tmp_path / "m")
    with torch.no_grad():
        model.classifier.bias[1] = float("nan")
    model.save_pretrained(tmp_path / "m")
    scores = score_texts(HFClassifier(model=str(tmp_path / "m")), ["calm"])
    assert np.isnan(scores.values[0])
    assert scores.reasons == ["cannot score: the model's output is not finite"]


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        (["neutral", "toxic"], 1),
        (["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"], 0),
        (["toxicity", "severe_toxicity", "insult"], 0),
        (["nothate", "hate"], 1),
        (["not offensive", "Offensive"], 1),
        (["hate", "toxic"], 1),
        (["LABEL_0"], 0),
    ],
)
def test_the_toxic_label_is_found_by_its_name(labels, want):
    assert toxic_label(labels) == want


@pytest.mark.parametrize("labels", [["LABEL_0", "LABEL_1"], ["hate", "offensive", "neither"], ["positive", "negative"]])
def test_an_unclear_label_is_asked_for(labels):
    with pytest.raises(AntivenomError, match="unclear") as error:
        toxic_label(labels)
    assert all(label in error.value.what for label in labels)
    assert toxic_label(labels, "1") == 1
    assert toxic_label(labels, labels[0]) == 0
    with pytest.raises(AntivenomError, match="no label '9'"):
        toxic_label(labels, "9")


def test_labels_that_do_not_exclude_each_other_are_sigmoids(tmp_path):
    labels = ("toxic", "insult", "threat")
    model = save(tmp_path / "m", labels=labels, problem_type="multi_label_classification")
    scores = score_texts(HFClassifier(model=str(tmp_path / "m")), ["the awful day"])
    with torch.no_grad():
        logits = model(torch.tensor([[2, 10, 8, 9, 3]])).logits[0]
    np.testing.assert_allclose(scores.values[0], torch.sigmoid(logits)[0], atol=1e-6)
    np.testing.assert_allclose(scores.columns["p_threat"].to_pylist()[0], torch.sigmoid(logits)[2], atol=1e-6)


def test_what_outputs_mean_is_asked_for_when_it_is_unclear(tmp_path):
    save(tmp_path / "m", labels=("toxic", "insult", "threat"))
    with pytest.raises(AntivenomError, match="exclude each other"):
        score_texts(HFClassifier(model=str(tmp_path / "m")), ["calm"])
    assert score_texts(HFClassifier(model=str(tmp_path / "m"), activation="softmax"), ["calm"]).scored.all()
    save(tmp_path / "r", labels=("toxic",), problem_type="regression")
    with pytest.raises(AntivenomError, match="regression"):
        score_texts(HFClassifier(model=str(tmp_path / "r")), ["calm"])


def test_the_identity_follows_the_weights_not_the_name(folder, tmp_path):
    one = HFClassifier(model=str(folder)).identity()
    assert one.weights == weights_hash(folder)
    assert one.params["label"] == "toxic"
    save(tmp_path / "same" / "m")
    assert HFClassifier(model=str(tmp_path / "same" / "m")).identity().key == one.key
    save(tmp_path / "other" / "m", seed=1)
    assert HFClassifier(model=str(tmp_path / "other" / "m")).identity().key != one.key
    for change in ({"window": 200}, {"overlap": 3}, {"aggregate": "mean"}, {"label": "neutral"}):
        assert HFClassifier(model=str(folder), **change).identity().key != one.key
    assert HFClassifier(model=str(folder), batch_size=3, device="cpu").identity().key == one.key


def test_a_pickle_is_not_opened(tmp_path):
    save(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"\x80\x04 anything")
    with pytest.raises(AntivenomError, match=r"only pytorch_model\.bin, a pickle") as error:
        score_texts(HFClassifier(model=str(tmp_path / "m")), ["calm"])
    assert "safe_serialization" in error.value.mend


def test_a_model_without_a_trained_head_is_refused(tmp_path):
    model = save(tmp_path / "m")
    config = (tmp_path / "m" / "config.json").read_text()
    model.bert.save_pretrained(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(config)
    with pytest.raises(AntivenomError, match="no trained weights for classifier"):
        score_texts(HFClassifier(model=str(tmp_path / "m")), ["calm"])


def test_damaged_folders_are_named(tmp_path):
    save(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(AntivenomError, match="cannot be loaded"):
        score_texts(HFClassifier(model=str(tmp_path / "m")), ["calm"])
    (tmp_path / "m" / "config.json").write_text("{")
    with pytest.raises(AntivenomError, match=r"no readable config\.json"):
        HFClassifier(model=str(tmp_path / "m")).identity()


def test_code_in_a_model_folder_does_not_run(tmp_path):
    save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config |= {"auto_map": {"AutoModelForSequenceClassification": "evil.Evil"}, "model_type": "evil"}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    (tmp_path / "m" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(AntivenomError):
        score_texts(HFClassifier(model=str(tmp_path / "m")), ["calm"])
    assert not (tmp_path / "ran").exists()


def test_without_a_network_a_folder_is_asked_for(monkeypatch):
    import huggingface_hub

    def unreachable(name, **_):
        assert name == "unitary/toxic-bert"
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(AntivenomError, match="cannot be fetched: no route to host") as error:
        HFClassifier(model="original").identity()
    assert "model=FOLDER" in error.value.mend


def test_without_torch_the_extra_is_named(folder, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "torch":
            raise ImportError("No module named 'torch'", name="torch")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtra, match=r"antivenom\[models\]"):
        score_texts(HFClassifier(model=str(folder)), ["calm"])


def test_evidence_is_the_fall_of_the_score_without_a_word(folder):
    scorer = HFClassifier(model=str(folder))
    text = "the awful kind day"
    whole = score_texts(scorer, [text]).values[0]
    found = scorer.explain(text)
    assert found
    for evidence in found:
        without = text[: evidence.start] + text[evidence.stop :]
        assert evidence.weight == pytest.approx(whole - score_texts(scorer, [without]).values[0], abs=1e-5)
    assert [e.weight for e in found] == sorted((e.weight for e in found), reverse=True)
    assert scorer.explain("") == []
    long = scorer.explain("calm awful " * 300)
    assert all(0 <= e.start < e.stop <= 3300 for e in long)


def test_it_is_a_scorer_that_travels(folder):
    scorer = parse(f"toxicity-hf:model={folder},batch_size=2")
    assert isinstance(scorer, Scorer)
    want = score_texts(scorer, ["the awful day"]).values
    again = pickle.loads(pickle.dumps(scorer))
    assert again == scorer
    np.testing.assert_array_equal(score_texts(again, ["the awful day"]).values, want)
    assert len(pickle.dumps(scorer)) < 1000


@pytest.mark.parametrize(
    "wrong",
    [{"window": 4}, {"overlap": 512}, {"batch_size": 0}, {"activation": "tanh"}, {"aggregate": "median"}],
)
def test_wrong_parameters_are_refused_at_once(wrong):
    with pytest.raises(AntivenomError):
        HFClassifier(**wrong)
