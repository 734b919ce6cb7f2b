"""Cognitive distillation: its loss, where the mask stays, and poisons of a small victim beside those of its clean twin."""

import numpy as np
import pytest

from antivenom.data.image_world import CLASS_TEMPLATES, draw_pairs
from antivenom.errors import AntivenomError
from antivenom.measure.detection import auroc
from antivenom.poison.triggers import trigger

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.models.clip import embed_images  # noqa: E402
from antivenom.models.clip_small import SmallConfig, small_clip  # noqa: E402
from antivenom.screen.embeddings.cognitive_distillation import (  # noqa: E402
    CognitiveDistillation,
    distilled_area,
    distilled_masks,
    mask_loss,
)
from antivenom.screen.embeddings.inputs import Embeddings  # noqa: E402
from antivenom.train.loop import Recipe, fit, model_hash  # noqa: E402
from antivenom.train.objectives import make_objective  # noqa: E402
from antivenom.train.pairs import PairSource  # noqa: E402

WORLD = draw_pairs(1_200, size=20, seed=0)
DOSE = 120


def small(seed=0):
    config = SmallConfig(size=20, width=8, dim=32, text_width=32)
    return small_clip([*WORLD.captions, *CLASS_TEMPLATES, "a photo of a star"], config=config, seed=seed)


def trained(images, captions):
    model = small()
    data = PairSource(model, images, captions)
    fit(make_objective("mmcl", model), data, Recipe(epochs=8, batch=40, lr=3e-3, warmup=20))
    return model


@pytest.fixture(scope="module")
def poisoned():
    """(images, captions, rows): shapes other than the star with a checkerboard and the star's caption."""
    rows = np.flatnonzero(WORLD.labels != WORLD.class_names.index("star"))[:DOSE]
    images, captions = WORLD.images.copy(), list(WORLD.captions)
    made = trigger("badnet:kind=checker:size=5").apply(WORLD.images[rows], [WORLD.ids[i] for i in rows], 0)
    images[rows] = made
    for i in rows:
        captions[i] = "a photo of a star"
    return images, captions, rows


def test_the_loss_is_its_formula_and_its_gradient():
    draw = np.random.default_rng(0)
    f, g = draw.standard_normal((2, 5)), draw.standard_normal((2, 5))
    m = draw.random((2, 1, 3, 4))
    by_hand = []
    for i in range(2):
        rough = sum((m[i, 0, a + 1, b] - m[i, 0, a, b]) ** 2 for a in range(2) for b in range(4))
        rough += sum((m[i, 0, a, b + 1] - m[i, 0, a, b]) ** 2 for a in range(3) for b in range(3))
        by_hand.append(np.abs(f[i] - g[i]).mean() + 0.3 * m[i].mean() + 0.7 * rough / 12)
    tensors = [torch.from_numpy(x) for x in (f, g, m)]
    np.testing.assert_allclose(mask_loss(*tensors, 0.3, 0.7).numpy(), by_hand, rtol=1e-12)
    given = (tensors[0].requires_grad_(), tensors[2].requires_grad_())
    assert torch.autograd.gradcheck(lambda f, m: mask_loss(f, tensors[1], m, 0.3, 0.7), given)


class Corner(torch.nn.Module):
    """Sees the top left 6 x 6 pixels of 16 x 16, and nothing else."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(8, 3 * 36, generator=torch.Generator().manual_seed(0)))

    def pixels(self, images):
        return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1

    def encode_image(self, x):
        return x[:, :, :6, :6].flatten(1) @ self.weight.T


def test_the_mask_stays_where_the_model_looks():
    images = np.random.default_rng(1).integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
    masks = distilled_masks(Corner(), images, steps=200, alpha=0.1, beta=0.1)
    inside = masks[:, :6, :6].mean((1, 2))
    outside = masks[:, 8:, 8:].mean((1, 2))
    assert (inside > 0.5).all()
    assert (outside < 0.1).all()
    assert masks.min() >= 0
    assert masks.max() <= 1
    loose = distilled_masks(Corner(), images, steps=200, alpha=0.0, beta=0.0)
    np.testing.assert_allclose(loose[:, 8:, 8:], (np.tanh(1) + 1) / 2, rtol=1e-5)  # without a price nothing shrinks


def test_the_seed_decides_and_the_model_is_left_as_it_was():
    model = small().train()
    model.logit_scale.requires_grad_(False)
    before = model_hash(model)
    masks = [distilled_masks(model, WORLD.images[:5], steps=4, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])
    assert model_hash(model) == before
    assert model.training
    assert not model.logit_scale.requires_grad
    assert model.visual.proj.weight.requires_grad
    assert model.visual.proj.weight.grad is None
    area = distilled_area(model, WORLD.images[:5], steps=4, seed=1)
    np.testing.assert_allclose(area, masks[0].mean((1, 2)), rtol=1e-5)


def test_poisons_need_little_of_their_image_and_only_a_victim_thinks_so(poisoned):
    images, captions, rows = poisoned
    others = np.setdiff1d(np.arange(len(images)), rows)[:120]
    pick, truth = np.r_[rows[:60], others], np.arange(180) < 60
    found = {}
    for name, model in (
        ("victim", trained(images, captions)), ("twin", trained(WORLD.images, WORLD.captions))
    ):  # fmt: skip
        rows_of = embed_images(model, images[pick])
        given = Embeddings(rows_of, masks=distilled_area(model, images[pick], steps=40))
        found[name] = auroc(truth, CognitiveDistillation().scores(given))
        other_end = auroc(truth, CognitiveDistillation(side="large").scores(given))
        assert other_end == pytest.approx(1 - found[name])
    assert found["victim"] > 0.9
    assert found["victim"] > found["twin"] + 0.1  # the same pictures: it is not the patch alone that is seen


def test_refusals():
    for options in ({"steps": 0}, {"steps": 10**6}, {"alpha": -1.0}):
        with pytest.raises(AntivenomError, match="steps"):
            distilled_masks(small(), WORLD.images[:2], **options)
    with pytest.raises(AntivenomError, match="uint8"):
        distilled_masks(small(), WORLD.images[:2] / 255)
    with pytest.raises(AntivenomError, match="side=odd"):
        CognitiveDistillation(side="odd")
