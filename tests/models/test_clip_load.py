"""One door to every CLIP: open_clip and transformers folders, names, checkpoints of another architecture."""

import copy
import json
import shutil

import numpy as np
import pytest

from antivenom.data.image_world import draw_pairs
from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")
open_clip = pytest.importorskip("open_clip", reason="needs the extra 'models'")

from clip_folders import MODEL, PIXELS, RESNET, open_clip_tiny, transformers_tiny  # noqa: E402
from PIL import Image  # noqa: E402

from antivenom.models.clip import embed_images, embed_texts, load_tower, tower_state  # noqa: E402
from antivenom.models.clip_load import load_clip, model_format, save_clip  # noqa: E402
from antivenom.models.clip_open import OpenClip, open_clip_folder, open_clip_named  # noqa: E402
from antivenom.repair.shrink_perturb import untrained  # noqa: E402
from antivenom.train.loop import Recipe, fit, model_hash  # noqa: E402
from antivenom.train.objectives import make_objective  # noqa: E402
from antivenom.train.optimizer import parameter_groups  # noqa: E402
from antivenom.train.pairs import PairSource  # noqa: E402

PAIRS = draw_pairs(40, seed=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("clips")
    return {
        "vit": open_clip_tiny(base / "vit"),
        "resnet": open_clip_tiny(base / "resnet", architecture=RESNET),
        "pixels": open_clip_tiny(base / "pixels", pixels=PIXELS),
        "bin": open_clip_tiny(base / "bin", bin=True),
        "transformers": transformers_tiny(base / "transformers"),
    }


def test_a_folder_gives_what_open_clip_itself_gives(folders):
    theirs, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folders['pixels']}")
    theirs.eval()
    ours = load_clip(folders["pixels"])
    images = np.random.default_rng(0).integers(0, 256, (3, 41, 57, 3), np.uint8)
    pixels = torch.stack([preprocess(Image.fromarray(image)) for image in images])
    assert torch.equal(ours.pixels(images), pixels)
    tokens = open_clip.get_tokenizer(f"local-dir:{folders['pixels']}")(["a red star", "x"])
    assert torch.equal(ours.tokenize(["a red star", "x"]), tokens)
    with torch.no_grad():
        assert torch.equal(ours.encode_image(pixels), theirs.encode_image(pixels))
        assert torch.equal(ours.encode_text(tokens), theirs.encode_text(tokens))


@pytest.mark.parametrize("kind", ["vit", "pixels"])
def test_images_of_the_models_size_take_the_short_way_to_the_same_pixels(folders, kind):
    model = load_clip(folders[kind])
    long_way = torch.stack([model.transform(Image.fromarray(image)) for image in PAIRS.images])
    assert torch.allclose(model.pixels(PAIRS.images), long_way, atol=1e-6)


@pytest.mark.parametrize("kind", ["vit", "resnet", "transformers"])
def test_embeddings_are_unit_rows_that_do_not_depend_on_the_batch(folders, kind):
    model = load_clip(folders[kind])
    whole = embed_images(model, PAIRS.images)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(whole[:3], embed_images(model, PAIRS.images[:3], batch=2), atol=1e-5)
    texts = embed_texts(model, PAIRS.captions)
    np.testing.assert_allclose(texts[:3], embed_texts(model, PAIRS.captions[:3], batch=2), atol=1e-5)


@pytest.mark.parametrize("kind", ["vit", "transformers"])
def test_a_caption_of_a_thousand_words_keeps_its_end_token(folders, kind):
    model = load_clip(folders[kind])
    tokens = model.tokenize(["red " * 1000, "red"])
    assert tokens.shape[0] == 2
    assert tokens[0, -1] == tokens[1].max()  # T7: cut before the end token, which stays where the text is read


@pytest.mark.parametrize("kind", ["vit", "resnet", "bin", "transformers"])
def test_a_model_goes_back_into_the_format_it_came_in(folders, kind, tmp_path):
    model = load_clip(folders[kind])
    goal = make_objective("mmcl+ssl", model)
    rows = PairSource(model, PAIRS.images, PAIRS.captions, views=goal.views)
    before = model_hash(model)
    fit(goal, rows, Recipe(1, 20, 1e-3, seed=1))
    assert model_hash(model) != before
    form = save_clip(model, tmp_path / "saved")
    assert form == model_format(tmp_path / "saved") == ("transformers" if kind == "transformers" else "open_clip")
    again = load_clip(tmp_path / "saved")
    assert model_hash(again) == model_hash(model)
    assert torch.equal(again.pixels(PAIRS.images), model.pixels(PAIRS.images))
    if form == "open_clip":  # and open_clip reads it too, strictly
        theirs = open_clip.create_model(f"local-dir:{tmp_path / 'saved'}").eval()
        with torch.no_grad():
            pixels = model.pixels(PAIRS.images)
            assert torch.equal(theirs.encode_image(pixels), model.encode_image(pixels))


def test_norms_biases_and_the_logit_scale_do_not_decay(folders):
    named = dict(load_clip(folders["vit"]).named_parameters())
    groups = parameter_groups(named.items(), 0.1)
    free = next(group for group in groups if group["weight_decay"] == 0)
    wanted = [n for n in named if any(part in n for part in (".ln_", ".bias", "logit_scale", "_bias"))]
    assert len(free["params"]) == len(wanted)


def test_the_vision_tower_is_taken_and_put_back(folders):
    one, other = load_clip(folders["vit"]), untrained(load_clip(folders["vit"]), seed=3)
    text = embed_texts(other, ["a red star"])
    load_tower(other, tower_state(one))
    np.testing.assert_array_equal(embed_images(other, PAIRS.images), embed_images(one, PAIRS.images))
    np.testing.assert_array_equal(embed_texts(other, ["a red star"]), text)
    with pytest.raises(AntivenomError, match="another architecture"):
        load_tower(other, tower_state(load_clip(folders["resnet"])))


def test_weights_of_another_architecture_are_refused_by_tensor(folders, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(folders["vit"], mixed)
    shutil.copy(folders["resnet"] / "open_clip_model.safetensors", mixed)
    with pytest.raises(AntivenomError, match=r"another architecture: tensors .*missing \(visual\.class_embedding"):
        load_clip(mixed)
    wide = copy.deepcopy(MODEL)
    wide["vision_cfg"]["image_size"] = 48  # open_clip would stretch the position embeddings without a word
    (mixed / "open_clip_config.json").write_text(json.dumps({"model_cfg": wide}))
    shutil.copy(folders["vit"] / "open_clip_model.safetensors", mixed)
    with pytest.raises(AntivenomError, match=r"1 of another shape \(visual.positional_embedding \(17, 32\), here \(37"):
        load_clip(mixed)
    other = tmp_path / "other"
    shutil.copytree(folders["transformers"], other)
    config = json.loads((other / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 2
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        AntivenomError, match=r"another architecture: tensors \d+ missing \(vision_model.encoder.layers.1"
    ):
        load_clip(other)
    config["vision_config"]["num_hidden_layers"] = 1
    config["vision_config"]["intermediate_size"] = 64
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(AntivenomError, match=r"3 of another shape \(vision_model.encoder.layers.0.mlp.fc1.bias"):
        load_clip(other)


def test_a_pickle_that_wants_more_than_tensors_is_refused(folders, tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    place = tmp_path / "evil"
    shutil.copytree(folders["bin"], place)
    torch.save({"state_dict": Evil()}, place / "weights.pt")
    with pytest.raises(AntivenomError, match="cannot be read"):
        load_clip(place)
    (place / "weights.pt").write_bytes(b"no archive")
    with pytest.raises(AntivenomError, match="cannot be read"):
        load_clip(place)
    (place / "weights.pt").unlink()
    with pytest.raises(AntivenomError, match="no weights"):
        load_clip(place)


def test_names_of_open_clip(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", {"tiny": MODEL, "tiny-resnet": RESNET})
    first, again, other = (open_clip_named("tiny", seed=seed) for seed in (1, 1, 2))
    assert model_hash(first) == model_hash(again) != model_hash(other)
    filled = load_clip(f"open_clip:tiny/{folders['bin'] / 'weights.pt'}")
    assert isinstance(filled, OpenClip)
    assert model_hash(filled) == model_hash(
        load_clip(folders["vit"])
    )  # the same seed, once with `module.` before each name
    with pytest.raises(AntivenomError, match="no tag of 'tiny', and no file"):
        load_clip("open_clip:tiny/nowhere.pt")
    with pytest.raises(AntivenomError, match="another architecture"):
        load_clip(f"open_clip:tiny-resnet/{folders['bin'] / 'weights.pt'}")
    with pytest.raises(AntivenomError, match=r"no architecture 'RN5'(?s:.*)it has tiny"):
        load_clip("open_clip:RN5")


def test_weights_that_cannot_be_fetched_are_said_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", {"RN50": RESNET})
    with pytest.raises(AntivenomError, match=r"cannot be fetched(?s:.*)where there is a network"):
        load_clip("open_clip:RN50/openai")
    with pytest.raises(AntivenomError, match="cannot be fetched"):
        load_clip("open_clip:hf-hub:nobody/nothing-here")


def test_a_published_tag_brings_its_activation_and_its_pixels(folders, monkeypatch):
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", {"RN50": RESNET})
    monkeypatch.setattr(
        "antivenom.models.clip_open._published", lambda about, name: folders["resnet"] / "open_clip_model.safetensors"
    )
    model = load_clip("open_clip:RN50/openai")
    assert model.config["model_cfg"]["quick_gelu"]
    assert model.preprocess.interpolation == "bicubic"


def test_what_is_no_clip(tmp_path, folders):
    with pytest.raises(AntivenomError, match="there is no CLIP 'nowhere'"):
        load_clip("nowhere")
    with pytest.raises(AntivenomError, match="holds no CLIP"):
        load_clip(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    with pytest.raises(AntivenomError, match="type 'siglip', no CLIP"):
        load_clip(tmp_path)
    (tmp_path / "open_clip_config.json").write_text("[]")
    with pytest.raises(AntivenomError, match="no model of open_clip"):
        load_clip(tmp_path)
    with pytest.raises(AntivenomError, match="no words yet"):
        load_clip("small:conv")
    assert load_clip("small:conv", captions=["a red star"]).tokenizer.words
    assert load_clip(f"local-dir:{folders['vit']}").config == open_clip_folder(folders["vit"]).config
