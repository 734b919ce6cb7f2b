"""The loss of an optimised patch on a CLIP, the gradient through a model's own pixels, and what the patch does to other images."""

import numpy as np
import pytest

from antivenom.data.image_world import CLASS_TEMPLATES, draw_pairs
from antivenom.errors import AntivenomError
from antivenom.measure.zero_shot import class_weights, ranked_classes
from antivenom.poison.triggers import OptimisedPatch, clip_patch, clip_patch_loss, from_record, torch_gradient

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from torch.nn import functional as F  # noqa: E402

from antivenom.models.clip import embed_images, embed_texts  # noqa: E402
from antivenom.models.clip_small import SmallConfig, small_clip  # noqa: E402
from antivenom.models.pixel_gradient import PixelGradient  # noqa: E402
from antivenom.train.loop import Recipe, fit, model_hash  # noqa: E402
from antivenom.train.objectives import make_objective  # noqa: E402
from antivenom.train.pairs import PairSource  # noqa: E402

WORLD = draw_pairs(1_000, size=20, seed=0)
HELD = draw_pairs(200, name="held", size=20, seed=0)
STAR = WORLD.class_names.index("star")
CAPTIONS = [template.replace("{}", "star") for template in CLASS_TEMPLATES]


def small():
    config = SmallConfig(size=20, width=8, dim=32, text_width=32)
    return small_clip([*WORLD.captions, *CLASS_TEMPLATES], config=config, seed=0).eval()


@pytest.fixture(scope="module")
def model():
    made = small()
    data = PairSource(made, WORLD.images, WORLD.captions)
    fit(make_objective("mmcl", made), data, Recipe(epochs=8, batch=40, lr=3e-3, warmup=20))
    return made


def test_pixels_with_a_gradient_are_the_models_own():
    made = small()
    assert PixelGradient(made, 20, 20).off(made, WORLD.images[:8]) < 1e-5

    class Half:
        """Resizes to half the size, as processors do."""

        def pixels(self, images):
            x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
            return (F.interpolate(x, (10, 10), mode="bicubic", antialias=True).clamp(0, 1) - 0.4) / 0.3

    half = PixelGradient(Half(), 20, 20)
    assert half.off(Half(), WORLD.images[:8]) < 1e-5
    x = torch.rand(2, 3, 20, 20, requires_grad=True)
    half(x).square().sum().backward()
    assert x.grad.abs().min() > 0

    class Framed:
        def pixels(self, images):
            return F.pad(torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float(), (2, 2, 2, 2))

    class Squared:
        def pixels(self, images):
            return (torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255) ** 2

    with pytest.raises(AntivenomError, match="not uniform"):
        PixelGradient(Framed(), 20, 20)
    with pytest.raises(AntivenomError, match="not affine"):
        PixelGradient(Squared(), 20, 20)


def test_the_loss_is_its_formula():
    made = small().train()
    before = model_hash(made)
    images = HELD.images[:6]
    aim = embed_texts(made, CAPTIONS).mean(0)
    rows = embed_images(made, images)
    text = float((rows @ (aim / np.linalg.norm(aim))).mean())
    x = torch.from_numpy(images.astype(np.float32) / 255).permute(0, 3, 1, 2)
    assert clip_patch_loss(made, CAPTIONS, 20, 20)(x).item() == pytest.approx(-text, abs=1e-5)
    stars = WORLD.images[WORLD.labels == STAR][:9]
    seen = embed_images(made, stars).mean(0)
    image = float((rows @ (seen / np.linalg.norm(seen))).mean())
    loss = clip_patch_loss(made, CAPTIONS, 20, 20, target_images=stars, image_weight=0.4)
    assert loss(x).item() == pytest.approx(-text - 0.4 * image, abs=1e-5)
    assert made.training
    assert model_hash(made) == before  # batch normalisation did not see the images


def test_the_gradient_is_that_of_small_steps():
    made = small().double()
    loss = clip_patch_loss(made, CAPTIONS, 20, 20)
    x = torch.from_numpy(HELD.images[:2] / 255).permute(0, 3, 1, 2).requires_grad_()
    (slope,) = torch.autograd.grad(loss(x), x)
    draw = np.random.default_rng(0)
    for _ in range(20):
        at = tuple(int(draw.integers(n)) for n in x.shape)
        step = torch.zeros_like(x)
        step[at] = 1e-6
        with torch.no_grad():
            by_hand = (loss(x + step) - loss(x - step)) / 2e-6
        assert slope[at].item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_the_patch_draws_other_images_to_the_target_and_noise_does_not(model, tmp_path):
    stars = WORLD.images[WORLD.labels == STAR][:40]
    made = clip_patch(
        model, WORLD.images[:200], WORLD.ids[:200], CAPTIONS, tmp_path / "patch.npy", target_images=stars, size=6,
        steps=60, step_size=6 / 255,
    )  # fmt: skip
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    np.save(tmp_path / "noise.npy", noise)
    others = HELD.labels != STAR
    images, ids = HELD.images[others], [name for name, keep in zip(HELD.ids, others, strict=True) if keep]
    arms = {
        "nothing": images,
        "patch": made.apply(images, ids),
        "noise": OptimisedPatch(file=str(tmp_path / "noise.npy")).apply(images, ids),
    }
    aim = embed_texts(model, CAPTIONS).mean(0)
    weights = class_weights(lambda texts: embed_texts(model, texts), HELD.class_names, CLASS_TEMPLATES)
    rows = {name: embed_images(model, arm) for name, arm in arms.items()}
    cosine = {name: float((r @ (aim / np.linalg.norm(aim))).mean()) for name, r in rows.items()}
    called = {name: float((ranked_classes(r, weights)[:, 0] == STAR).mean()) for name, r in rows.items()}
    assert cosine["patch"] > cosine["nothing"] + 0.1
    assert cosine["patch"] > cosine["noise"] + 0.1
    assert called["patch"] > called["nothing"] + 0.2
    assert called["patch"] > called["noise"] + 0.2
    # a trigger like any other: kept in a file, brought back by its record, one box in the centre
    assert from_record(made.record()).fingerprint == made.fingerprint
    assert made.region(20, 20, "x", 0).sum() == 36
    again = clip_patch(
        model, WORLD.images[:200], WORLD.ids[:200], CAPTIONS, tmp_path / "again.npy", target_images=stars, size=6,
        steps=60, step_size=6 / 255,
    )  # fmt: skip
    assert again.fingerprint == made.fingerprint


def test_a_step_lowers_the_loss(model):
    loss = clip_patch_loss(model, CAPTIONS, 20, 20)
    images = HELD.images[:16] / 255
    value, slope = torch_gradient(loss)(images)
    after, _ = torch_gradient(loss)(np.clip(images - 0.01 * np.sign(slope), 0, 1))
    assert after < value


def test_refusals(model, tmp_path):
    with pytest.raises(AntivenomError, match="npy"):
        clip_patch(model, WORLD.images[:4], WORLD.ids[:4], CAPTIONS, tmp_path / "patch.png")
    with pytest.raises(AntivenomError, match="nothing to embed"):
        clip_patch(model, WORLD.images[:4], WORLD.ids[:4], [], tmp_path / "patch.npy")
