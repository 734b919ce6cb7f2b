"""Each cure against its formula; the given model is never changed; the record says the same things for every cure."""

import copy
import math

import numpy as np
import pytest

from antivenom.data.image_world import draw_pairs
from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.models.clip import IMAGE_TOWER, embed_images, embed_texts, load_tower, tower_state  # noqa: E402
from antivenom.models.clip_small import SmallConfig, small_clip  # noqa: E402
from antivenom.repair.cures import CURES, OPTIMIZERS, find_cure  # noqa: E402
from antivenom.repair.fine_tuning import tune  # noqa: E402
from antivenom.repair.par import TAU, PerturbAndRecover, away  # noqa: E402
from antivenom.repair.random_move import move_randomly  # noqa: E402
from antivenom.repair.record import CleanPairs, clean_figures  # noqa: E402
from antivenom.repair.shrink_perturb import shrink_and_perturb, untrained  # noqa: E402
from antivenom.train.loop import Diverged, Recipe, model_hash  # noqa: E402

RECIPE = Recipe(epochs=2, batch=16, lr=1e-2, warmup=2)


@pytest.fixture(scope="module")
def clean():
    made = draw_pairs(64, name="clean", size=16, seed=1)
    return CleanPairs(made.images, made.captions, made.ids, made.labels, made.class_names)


@pytest.fixture
def model(clean):
    return small_clip(clean.captions, config=SmallConfig(size=16, width=4, dim=8, text_width=8), seed=2).eval()


def recipe_of(name):
    return Recipe(epochs=2, batch=16, lr=1e-2, warmup=2, **OPTIMIZERS.get(name, {}))


def parts(model, image):
    return {k: v.clone() for k, v in model.state_dict().items() if k.startswith(IMAGE_TOWER) == image}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", CURES)
def test_every_cure_leaves_the_given_model_alone_and_writes_the_same_record(name, model, clean):
    before = model_hash(model)
    seen = []
    done, again = (
        find_cure(name)(model, clean, recipe_of(name), 7, measure=lambda m: {"seen": float(len(seen) + 1)})
        for _ in range(2)
    )
    record = done.record
    assert model_hash(model) == before == record.hash_before
    assert model_hash(done.model) == record.hash_after == again.record.hash_after != before
    other = find_cure(name)(model, clean, recipe_of(name), 8)
    assert other.record.hash_after != record.hash_after  # the seed of the cure counts, not the recipe's
    assert record.recipe["seed"] == 7
    assert (record.cure, record.pairs, record.steps) == (name, 64, 0 if name == "random" else 8)
    assert record.moved > 0
    assert set(record.before) == set(record.after) == {"clean loss", "clean cosine", "seen"}
    assert record.before | {"seen": 0} == clean_figures(model, clean, RECIPE) | {"seen": 0}
    assert record.after | {"seen": 0} == clean_figures(done.model, clean, RECIPE) | {"seen": 0}
    assert not done.model.training
    assert all(p.requires_grad for p in done.model.parameters())


def test_clean_figures_are_their_formulas(model, clean):
    images, texts = embed_images(model, clean.images).astype(float), embed_texts(model, clean.captions).astype(float)
    scale, losses = float(model.logit_scale.detach().exp()), []
    for i in range(0, 64 - 24 + 1, 24):
        logits = scale * images[i : i + 24] @ texts[i : i + 24].T
        own = np.diag(logits)
        losses.append((np.mean(np.log(np.exp(logits).sum(1)) - own) + np.mean(np.log(np.exp(logits).sum(0)) - own)) / 2)
    found = clean_figures(model, clean, Recipe(epochs=1, batch=24, lr=1))
    assert found["clean loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert found["clean cosine"] == pytest.approx((images * texts).sum(1).mean(), abs=1e-5)


class Stub(torch.nn.Module):
    """Encoders that are a matrix each."""

    def __init__(self, d=3):
        super().__init__()
        self.logit_scale = torch.nn.Parameter(torch.tensor(1.2, dtype=torch.float64))
        self.image = torch.nn.Parameter(torch.eye(d, dtype=torch.float64))
        self.text = torch.nn.Parameter(torch.eye(d, dtype=torch.float64))

    def encode_image(self, rows):
        return rows @ self.image

    def encode_text(self, rows):
        return rows @ self.text


@pytest.mark.parametrize(("tau", "kept"), [(4.0, (1, 1)), (TAU, (0, 1)), (0.0, (0, 0))])
def test_par_is_its_formula(tau, kept):
    draw = np.random.default_rng(0)
    x, t, turn = draw.standard_normal((5, 3)), draw.standard_normal((5, 3)), draw.standard_normal((3, 3))
    model = Stub()
    goal = PerturbAndRecover(model, tau)
    with torch.no_grad():
        model.image.copy_(torch.from_numpy(turn))
        model.text.copy_(torch.eye(3) + 0.2 * torch.from_numpy(turn))

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    images, texts = unit(x @ turn), unit(t @ (np.eye(3) + 0.2 * turn))
    far = [((now - unit(then)) ** 2).sum(1).mean() for now, then in ((images, x), (texts, t))]
    assert far[0] > TAU == 2.15 > far[1] > 0
    logits = math.exp(1.2) * images @ texts.T
    own = np.diag(logits)
    clip = (np.mean(np.log(np.exp(logits).sum(1)) - own) + np.mean(np.log(np.exp(logits).sum(0)) - own)) / 2
    loss, found = goal.loss({"images": torch.from_numpy(x), "texts": torch.from_numpy(t)})
    assert loss.item() == pytest.approx(clip - (kept[0] * far[0] + kept[1] * far[1]) / 2, rel=1e-12)
    assert found["cross"].item() == pytest.approx(clip, rel=1e-12)
    loss.backward()
    assert model.logit_scale.grad is None  # theta is a constant
    assert all(p.grad is None for p in goal.frozen.parameters())


def test_a_step_down_par_leads_away_until_tau():
    """The gradient of -g / 2 is -(z - z0) / n; above tau there is none."""
    then = torch.eye(3, dtype=torch.float64)
    rows = (then + 0.1).requires_grad_()
    (-away(rows, then) / 2).backward()
    assert torch.allclose(rows.grad, -(rows - then).detach() / 3)
    rows.grad = None
    (-away(rows, then, tau=0.02) / 2).backward()  # g is 0.03
    assert torch.equal(rows.grad, torch.zeros_like(then))


def test_par_keeps_the_temperature_and_the_others_do_not(model, clean):
    theta = model.logit_scale.item()
    assert find_cure("par")(model, clean, recipe_of("par"), 0).model.logit_scale.item() == theta
    assert find_cure("mmcl")(model, clean, RECIPE, 0).model.logit_scale.item() != theta
    with pytest.raises(AntivenomError, match="tau = 5"):
        find_cure("par")(model, clean, RECIPE, 0, tau=5)


def test_the_tower_is_trained_on_classes_and_loaded_back(model, clean):
    text, vision = parts(model, False), parts(model, True)
    done = find_cure("supervised")(model, clean, recipe_of("supervised"), 0)
    assert same(parts(done.model, False), text)  # text tower and logit scale bit-identical
    assert np.array_equal(embed_texts(done.model, clean.captions), embed_texts(model, clean.captions))
    trained = parts(done.model, True)
    assert same(trained, parts(done.classifier.clip, True))  # the very tower the classifier has
    assert not any(torch.equal(trained[k], vision[k]) for k in vision if "num_batches" not in k)
    images = embed_images(done.model, clean.images)
    with torch.no_grad():
        features = done.model.encode_image(done.model.pixels(clean.images))
        logits = features @ done.classifier.head.weight.T + done.classifier.head.bias  # un-normalised features
    assert np.array_equal(done.classifier.ranked(clean.images, batch=10)[:, 0], logits.argmax(1).numpy())
    assert not np.allclose(images, embed_images(model, clean.images), atol=1e-3)


def test_the_classifier_learns_its_classes(model, clean):
    longer = Recipe(epochs=40, batch=16, lr=1e-2, **OPTIMIZERS["supervised"])
    done = find_cure("supervised")(model, clean, longer, 0)
    assert (done.classifier.ranked(clean.images)[:, 0] == clean.labels).mean() >= 0.9


def test_labels_are_asked_for(model, clean):
    with pytest.raises(AntivenomError, match="no classes"):
        find_cure("supervised")(model, CleanPairs(clean.images, clean.captions), RECIPE, 0)
    for labels, message in (
        (clean.labels[:5], "labels of shape"),
        (clean.labels + 5, "no class"),
        (clean.labels / 1, "no"),
    ):
        with pytest.raises(AntivenomError, match=message):
            find_cure("supervised")(
                model, CleanPairs(clean.images, clean.captions, None, labels, clean.class_names), RECIPE, 0
            )


def test_towers_of_other_models_are_refused(model, clean):
    wider = small_clip(clean.captions, config=SmallConfig(size=16, width=8, dim=8, text_width=8), seed=2)
    with pytest.raises(AntivenomError, match="another architecture"):
        load_tower(model, tower_state(wider))
    with pytest.raises(AntivenomError, match="no vision tower"):
        tower_state(torch.nn.Linear(2, 2))


def test_shrink_and_perturb_is_its_formula(model):
    fresh = untrained(model, 3)
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    random = dict(fresh.named_parameters())
    buffers = {k: v.clone() for k, v in model.named_buffers()}

    def after(shrink, perturb, **options):
        changed = copy.deepcopy(model)
        shrink_and_perturb(changed, fresh, shrink, perturb, **options)
        assert same(dict(changed.named_buffers()), buffers)
        return {k: v.detach() for k, v in changed.named_parameters()}

    assert same(after(1, 0), before)
    assert same(after(0, 1, exclude=()), {k: v.detach() for k, v in random.items()})
    for name, value in after(0.95, 0.1).items():
        kept = name == "logit_scale"
        expected = before[name] if kept else 0.95 * before[name] + 0.1 * random[name].detach()
        assert torch.allclose(value, expected, atol=1e-7)
    assert after(0.95, 0, exclude=())["logit_scale"] == pytest.approx(0.95 * before["logit_scale"].item())
    assert not torch.equal(random["visual.conv.0.weight"], before["visual.conv.0.weight"])
    with pytest.raises(AntivenomError, match="other parameters"):
        shrink_and_perturb(model, torch.nn.Linear(2, 2), 1, 0)
    with pytest.raises(AntivenomError, match="fresh"):
        untrained(torch.nn.Linear(2, 2), 0)


def test_the_random_control_goes_as_far_as_plain_fine_tuning_and_elsewhere(model, clean):
    tuned, moved = copy.deepcopy(model), copy.deepcopy(model)
    tune(tuned, "mmcl", clean, RECIPE, None)
    move_randomly(moved, tuned, 0)
    start, target = dict(model.named_parameters()), dict(tuned.named_parameters())
    for name, value in moved.named_parameters():
        ours, theirs = (value - start[name]).flatten(), (target[name] - start[name]).flatten()
        assert torch.allclose(ours.norm(), theirs.norm(), rtol=1e-3)
        if len(ours) > 500:
            assert abs(torch.cosine_similarity(ours, theirs, dim=0)) < 0.2
    assert same(dict(moved.named_buffers()), dict(model.named_buffers()))


def test_a_training_on_the_shelf_is_read_back(model, clean, tmp_path):
    first = find_cure("mmcl")(model, clean, RECIPE, 0, shelf=tmp_path)
    files = sorted(tmp_path.rglob("*"))
    written = [f.stat().st_mtime_ns for f in files if f.name == "checkpoint.pt"]
    again = find_cure("mmcl")(model, clean, RECIPE, 0, shelf=tmp_path)
    assert (
        again.record.hash_after
        == first.record.hash_after
        == find_cure("mmcl")(model, clean, RECIPE, 0).record.hash_after
    )
    assert [f.stat().st_mtime_ns for f in files if f.name == "checkpoint.pt"] == written
    assert len(written) == 1


def test_what_has_no_result_says_so(model, clean):
    with pytest.raises(AntivenomError, match="no cure 'leeches'"):
        find_cure("leeches")
    with pytest.raises(AntivenomError, match="without a clean pair"):
        find_cure("mmcl")(model, CleanPairs(clean.images[:0], []), RECIPE, 0)
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.visual.proj.weight.fill_(float("nan"))
    with pytest.raises((Diverged, AntivenomError)):
        find_cure("mmcl")(broken, clean, RECIPE, 0)
