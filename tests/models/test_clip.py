"""Small CLIPs and folders of transformers behind one protocol."""

import json

import numpy as np
import pytest

from antivenom.data.image_world import CLASS_TEMPLATES, draw_pairs
from antivenom.errors import AntivenomError
from antivenom.models.word_tokenizer import END, WordTokenizer

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.models.clip import embed_images, embed_texts  # noqa: E402
from antivenom.models.clip_small import SmallConfig, load_small_clip, save_small_clip, small_clip  # noqa: E402
from antivenom.train.loop import Recipe, fit, model_hash  # noqa: E402
from antivenom.train.objectives import make_objective  # noqa: E402
from antivenom.train.optimizer import parameter_groups  # noqa: E402
from antivenom.train.pairs import PairSource, augment_images  # noqa: E402

PAIRS = draw_pairs(64, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny CLIP as transformers saves it."""
    transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    path = tmp_path_factory.mktemp("clip")
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    (path / "vocab.json").write_text(json.dumps(vocabulary))
    (path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=[])
    tokenizer.save_pretrained(path)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(path)
    layer = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = layer | {
        "vocab_size": len(tokens), "max_position_embeddings": 20, "bos_token_id": len(tokens) - 2,
        "eos_token_id": len(tokens) - 1, "pad_token_id": len(tokens) - 1,
    }  # fmt: skip
    config = transformers.CLIPConfig(
        text_config=text, vision_config=layer | {"image_size": 32, "patch_size": 8}, projection_dim=12
    )
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(path)
    return path


def load(kind, folder=None):
    if kind == "transformers":
        from antivenom.models.clip_transformers import load_transformers_clip

        return load_transformers_clip(folder)
    return small_clip([*PAIRS.captions, *CLASS_TEMPLATES], config=SmallConfig(tower=kind), seed=2)


@pytest.mark.parametrize("kind", ["conv", "vit", "transformers"])
def test_every_clip_keeps_the_protocol(kind, folder):
    model = load(kind, folder)
    images, texts = embed_images(model, PAIRS.images), embed_texts(model, PAIRS.captions)
    assert images.shape == texts.shape == (64, images.shape[1])
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    assert images.dtype == np.float32
    # no row depends on its batch: neither by batch statistics nor by the length of its neighbours
    assert np.allclose(embed_images(model, PAIRS.images, batch=7), images, atol=2e-6)
    assert np.allclose(embed_texts(model, PAIRS.captions[:3]), texts[:3], atol=2e-6)
    assert float(model.logit_scale.detach()) == pytest.approx(2.6593, abs=1e-3)
    assert model.logit_scale.requires_grad
    with pytest.raises(AntivenomError, match="uint8"):
        embed_images(model, PAIRS.images.astype(float))


@pytest.mark.parametrize("kind", ["conv", "vit", "transformers"])
def test_every_clip_trains_and_resumes_on_the_same_loop(kind, folder, tmp_path):
    recipe = Recipe(epochs=2, batch=16, lr=1e-3, seed=1, checkpoint_every=3)

    def run(out, after_step=None):
        objective = make_objective("mmcl+ssl", load(kind, folder))
        source = PairSource(objective.model, PAIRS.images, PAIRS.captions, views=objective.views, ids=PAIRS.ids)
        return objective.model, fit(objective, source, recipe, out=out, after_step=after_step)

    def kill(step):
        if step == 5:
            raise KeyboardInterrupt

    whole, done = run(tmp_path / "a")
    assert np.isfinite(done.last["loss"])
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", kill)
    resumed, again = run(tmp_path / "b")
    assert again.resumed_from == 3
    assert model_hash(whole) == model_hash(resumed)


@pytest.mark.parametrize("kind", ["conv", "vit"])
def test_a_small_clip_is_saved_and_loaded_whole(kind, tmp_path):
    model = load(kind)
    save_small_clip(model, tmp_path)
    again = load_small_clip(tmp_path)
    assert np.array_equal(embed_images(again, PAIRS.images), embed_images(model, PAIRS.images))
    assert np.array_equal(embed_texts(again, PAIRS.captions), embed_texts(model, PAIRS.captions))
    about = json.loads((tmp_path / "clip_small.json").read_text())
    about["config"]["tower"] = "vit" if kind == "conv" else "conv"
    (tmp_path / "clip_small.json").write_text(json.dumps(about))
    with pytest.raises(AntivenomError, match="no small CLIP"):  # weights of another architecture
        load_small_clip(tmp_path)
    with pytest.raises(AntivenomError, match="no small CLIP"):
        load_small_clip(tmp_path / "nowhere")


def test_norms_and_biases_of_small_clips_do_not_decay():
    for kind in ("conv", "vit"):
        names = dict(load(kind).named_parameters())
        free, rest = parameter_groups(names.items(), 0.1)
        by_id = {id(parameter): name for name, parameter in names.items()}
        kept = {by_id[id(p)] for p in rest["params"]}
        assert all(names[name].ndim >= 2 or name.endswith("class_embedding") for name in kept)
        assert all(names[by_id[id(p)]].ndim < 2 for p in free["params"])


def test_a_long_caption_keeps_its_end_token_where_it_is_read(folder):  # T7
    for pool in ("mean", "end"):
        config = SmallConfig(pool=pool)
        model = small_clip(PAIRS.captions, config=config, context=10, seed=1)
        tokens = model.tokenize(["star " * 200, "a star", ""])
        assert tokens.shape == (3, 10)
        assert (tokens == END).sum(1).tolist() == [1, 1, 1]
        assert int(tokens[0, -1]) == END
        assert np.isfinite(embed_texts(model, ["star " * 200, "", "犬 🙂"])).all()
    model = small_clip(PAIRS.captions, config=SmallConfig(pool="end"), seed=1).eval()
    seen = []
    model.text.ln_final.register_forward_hook(lambda module, given, made: seen.append(made))
    tokens = model.tokenize(["a red star", "star " * 200])
    wanted = model.encode_text(tokens)
    ends = (tokens == END).nonzero()[:, 1]
    assert ends.tolist() == [3, 15]
    assert torch.allclose(model.text.proj(seen[0][torch.arange(2), ends]), wanted)
    theirs = load("transformers", folder)
    tokens = theirs.tokenize(["star " * 200, "a"])
    end = theirs.tokenizer.eos_token_id
    assert int(tokens[0, -1]) == end
    assert int((tokens[0] == end).sum()) == 1
    assert tokens.shape == (2, 20)


def test_the_folder_gives_what_transformers_gives(folder):
    from transformers import CLIPModel

    ours, theirs = load("transformers", folder), CLIPModel.from_pretrained(folder).eval()
    words = ours.tokenizer(["a star", "a red ring"], padding=True, return_tensors="pt")
    with torch.no_grad():
        out = theirs(**words, pixel_values=ours.pixels(PAIRS.images[:5]))
    assert np.allclose(out.image_embeds.numpy(), embed_images(ours, PAIRS.images[:5]), atol=1e-6)
    assert np.allclose(out.text_embeds.numpy(), embed_texts(ours, ["a star", "a red ring"]), atol=1e-6)


def test_folders_without_a_clip(tmp_path, folder):
    from antivenom.models.clip_transformers import load_transformers_clip

    with pytest.raises(AntivenomError, match="no folder"):
        load_transformers_clip(tmp_path / "nowhere")
    with pytest.raises(AntivenomError, match="cannot be loaded"):
        load_transformers_clip(tmp_path)


def test_towers_refuse_what_they_cannot_read():
    with pytest.raises(AntivenomError, match="tower 'rnn'"):
        SmallConfig(tower="rnn")
    with pytest.raises(AntivenomError, match="30 pixels"):
        SmallConfig(tower="vit", size=30)
    with pytest.raises(AntivenomError, match="for a model of 32"):
        embed_images(load("vit"), draw_pairs(2, size=40).images)
    assert embed_images(load("conv"), draw_pairs(2, size=40).images).shape == (2, 64)


def test_words_by_count_then_spelling():
    tokenizer = WordTokenizer.fit(["b a", "c a", "c"], most=2)
    assert tokenizer.words == ("a", "c")
    assert len(tokenizer) == 5


def test_augmented_views_are_drawn_per_step_and_leave_the_originals_alone():
    before = PAIRS.images.copy()
    first, again, other = (augment_images(PAIRS.images, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(before, PAIRS.images)
    assert first.dtype == np.uint8
    assert first.shape == before.shape
    like = np.corrcoef(first.ravel(), before.ravel())[0, 1]
    assert 0.3 < like < 0.98


def test_pairs_that_are_none():
    model = load("conv")
    for captions, match in ((["a"] * 3, "64 images and 3"), ([*["a"] * 63, None], "row 63"), ([" "] * 64, "row 0")):
        with pytest.raises(AntivenomError, match=match):
            PairSource(model, PAIRS.images, captions)
    with pytest.raises(AntivenomError, match="view 'sound'"):
        PairSource(model, PAIRS.images, PAIRS.captions, views=("sound",))
    plain = PairSource(model, PAIRS.images, PAIRS.captions)
    assert set(plain.batch(np.arange(4), np.random.default_rng(0))) == {"images", "texts"}
    views = PairSource(model, PAIRS.images, PAIRS.captions, views=("image", "text"))
    assert views.fingerprint != plain.fingerprint
    batches = [views.batch(np.arange(8), np.random.default_rng(s)) for s in (0, 1)]
    assert torch.equal(batches[0]["texts_augmented"], batches[1]["texts_augmented"])  # EDA: once for all epochs
    assert not torch.equal(batches[0]["images_augmented"], batches[1]["images_augmented"])
