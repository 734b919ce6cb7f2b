"""Cures, guards and a patch on a CLIP of transformers from a local folder, and on one of open_clip: the small CLIP is not special."""

import json

import numpy as np
import pytest

from antivenom.data.image_world import draw_pairs
from antivenom.poison.triggers import clip_patch

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.models.pixel_gradient import PixelGradient  # noqa: E402
from antivenom.repair.cures import OPTIMIZERS, find_cure  # noqa: E402
from antivenom.repair.record import CleanPairs  # noqa: E402
from antivenom.repair.shrink_perturb import untrained  # noqa: E402
from antivenom.screen.embeddings.cognitive_distillation import distilled_area  # noqa: E402
from antivenom.train.loop import Recipe, model_hash  # noqa: E402
from antivenom.train.roclip import roclip  # noqa: E402
from antivenom.train.safeclip import SafeClip, safeclip  # noqa: E402

WORLD = draw_pairs(48, name="clean", size=40, seed=1)
PAIRS = CleanPairs(WORLD.images, WORLD.captions, WORLD.ids, WORLD.labels, WORLD.class_names)


def from_transformers(path):
    transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    from antivenom.models.clip_transformers import load_transformers_clip

    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    transformers.CLIPTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=[]).save_pretrained(path)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(path)
    layer = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = {"vocab_size": len(tokens), "max_position_embeddings": 20, "bos_token_id": len(tokens) - 2}
    words |= {"eos_token_id": len(tokens) - 1, "pad_token_id": len(tokens) - 1}
    config = transformers.CLIPConfig(
        text_config=layer | words, vision_config=layer | {"image_size": 32, "patch_size": 8}, projection_dim=12
    )
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(path)
    return load_transformers_clip(path)


def from_open_clip(path):
    pytest.importorskip("open_clip", reason="needs open_clip")
    from safetensors.torch import save_file

    from antivenom.models import clip_open

    layer = {"width": 32, "layers": 1}
    words = layer | {"context_length": 20, "vocab_size": 49408, "heads": 2}
    config = {
        "embed_dim": 12,
        "vision_cfg": layer | {"image_size": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": words,
    }
    (path / clip_open.CONFIG).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    built = clip_open._build(config)
    save_file({k: v.contiguous() for k, v in built.state_dict().items()}, path / clip_open.WEIGHTS[0])
    return clip_open.open_clip_folder(path)


@pytest.fixture(scope="module", params=["transformers", "open_clip"])
def model(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    return {"transformers": from_transformers, "open_clip": from_open_clip}[request.param](path)


@pytest.mark.parametrize(
    "name", ["unlearn", "cleanclip", "par-two-stages", "shrink-perturb", "deep-clustering", "supervised", "random"]
)
def test_every_cure_runs_and_leaves_the_given_model_alone(model, name):
    before = model_hash(model)
    recipe = Recipe(epochs=1, batch=16, lr=1e-3, **OPTIMIZERS.get(name, {}))
    options = {"share": 0.1} if name == "unlearn" else {}
    done = find_cure(name)(model, PAIRS, recipe, 0, **options)
    assert model_hash(model) == before
    assert model_hash(done.model) != before
    assert np.isfinite(done.record.after["clean loss"])


def test_random_weights_of_the_same_architecture(model):
    fresh = untrained(model, 3)
    assert model_hash(fresh) == model_hash(untrained(model, 3)) != model_hash(model)
    assert {k: v.shape for k, v in fresh.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}


def test_guards_train_them(model):
    for guard in ("safeclip", "roclip"):
        fresh, recipe = untrained(model, 3), Recipe(epochs=1, batch=16, lr=1e-3)
        before = model_hash(fresh)
        if guard == "safeclip":
            how = SafeClip(warmup=1, first_rate=1.0, believe=0.2, bank=16)
            assert safeclip(fresh, WORLD.images, WORLD.captions, recipe, how=how).sum() > 0
        else:
            roclip(fresh, WORLD.images, WORLD.captions, recipe, every=1)
        assert model_hash(fresh) != before


def test_a_patch_and_masks_through_their_own_pixels(model, tmp_path):
    assert (
        PixelGradient(model, 40, 40).off(model, WORLD.images[:4]) < 0.05
    )  # it resizes: up to rounding and the filter's edges
    before = model_hash(model)
    made = clip_patch(model, WORLD.images[:8], WORLD.ids[:8], ["a star"], tmp_path / "p.npy", size=8, steps=3)
    assert made.patch.shape == (8, 8, 3)
    assert len(np.unique(made.patch)) > 1
    assert ((area := distilled_area(model, WORLD.images[:4], steps=5)) > 0).all()
    assert (area < 1).all()
    assert model_hash(model) == before
