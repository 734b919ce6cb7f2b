"""SafeCLIP and RoCLIP: their formulas, what a risky caption can reach, the pool and the bank, and resumed runs."""

import numpy as np
import pytest

from antivenom.data.image_world import draw_pairs
from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from torch.nn import functional as F  # noqa: E402

from antivenom.models.clip_small import SmallConfig, small_clip  # noqa: E402
from antivenom.train.loop import Recipe, fit, model_hash  # noqa: E402
from antivenom.train.numbered import Numbered  # noqa: E402
from antivenom.train.objectives import VIEWS, info_nce, make_objective, mmcl_loss, ssl_loss  # noqa: E402
from antivenom.train.pairs import PairSource  # noqa: E402
from antivenom.train.roclip import Pooled, RoClip, roclip  # noqa: E402
from antivenom.train.safeclip import BankSSL, Guarded, SafeAndRisky, SafeClip, believed, safeclip  # noqa: E402

WORLD = draw_pairs(96, name="train", size=16, seed=1)
RECIPE = Recipe(epochs=4, batch=16, lr=5e-3)
QUICK = SafeClip(warmup=1, first_rate=1.0, believe=0.5, growth=0.1, bank=40)


def tiny():
    return small_clip(WORLD.captions, config=SmallConfig(size=16, width=4, dim=8, text_width=8), seed=2)


class Table(torch.nn.Module):
    """Encoders that look rows up in a table; rows from n on are the augmented views."""

    def __init__(self, n=8, d=4, seed=0):
        super().__init__()
        draw = np.random.default_rng(seed)
        self.logit_scale = torch.nn.Parameter(torch.tensor(1.2, dtype=torch.float64))
        self.image = torch.nn.Parameter(torch.from_numpy(draw.standard_normal((2 * n, d))))
        self.text = torch.nn.Parameter(torch.from_numpy(draw.standard_normal((2 * n, d))))

    def encode_image(self, rows):
        return self.image[rows.flatten()]

    def encode_text(self, rows):
        return self.text[rows.flatten()]


def batch_of(*rows, texts=None, n=8):
    places, words = torch.tensor(rows), torch.tensor(texts or rows)
    return {
        "images": places, "texts": words, "rows": places, "images_augmented": places + n, "texts_augmented": words + n,
    }  # fmt: skip


def guarded(bank=0, safe=None, table=None):
    model = Guarded(table or Table(), 8, 4, bank).double()
    if safe is not None:
        model.safe.copy_(torch.tensor(safe))
    return model


def rows_of(table, places):
    return [F.normalize(t[torch.tensor(places)], dim=1).detach() for t in (table.image, table.text)]


# --- SafeCLIP -----------------------------------------------------------------------------------------------------------

SAFE = [True, True, False, True, False, False, True, True]


def test_safe_rows_meet_their_captions_and_risky_ones_their_own_views():
    model = guarded(safe=SAFE)
    loss, found = SafeAndRisky(model, 4).loss(batch_of(0, 2, 3, 4, 7))
    table, scale = model.clip, model.clip.logit_scale.exp()
    image, text = rows_of(table, [0, 3, 7])
    cross = mmcl_loss(image, text, scale)
    own, views = rows_of(table, [2, 4]), rows_of(table, [10, 12])
    inmodal = ssl_loss(list(zip(own, views, strict=True)), scale)
    assert loss.item() == pytest.approx((cross + inmodal).item(), rel=1e-12)
    assert found["safe"].item() == pytest.approx(0.6)


def test_a_risky_caption_never_meets_an_image():
    """Whoever gets which risky caption, nothing changes; with safe rows it does."""
    model = guarded(safe=SAFE)
    goal = SafeAndRisky(model, 4)
    there = goal.loss(batch_of(0, 3, 2, 4, 5))[0].item()
    assert goal.loss(batch_of(0, 3, 2, 4, 5, texts=[0, 3, 5, 2, 4]))[0].item() == pytest.approx(there, rel=1e-12)
    assert goal.loss(batch_of(0, 3, 2, 4, 5, texts=[3, 0, 2, 4, 5]))[0].item() != pytest.approx(there, rel=1e-3)
    goal.loss(batch_of(2, 4, 5))[0].backward()  # a batch of risky rows alone
    image = model.clip.image.grad.clone()
    model.clip.zero_grad()
    goal.loss(batch_of(2, 4, 5, texts=[2, 2, 2]))[0].backward()
    assert torch.equal(image, model.clip.image.grad)  # images learn nothing of the captions


def test_parts_of_one_row_count_nothing():
    model = guarded(safe=SAFE)
    loss, found = SafeAndRisky(model, 4).loss(batch_of(0, 2))
    loss.backward()
    assert loss.item() == 0
    assert set(found) == {"safe"}


def test_the_bank_takes_the_place_of_the_anchors_and_holds_the_latest():
    model = guarded(bank=3)
    goal = BankSSL(model)
    table, scale = model.clip, model.clip.logit_scale.exp()
    first, _ = goal.loss(batch_of(0, 1))
    plain, _ = make_objective("ssl", table).loss(batch_of(0, 1))
    assert first.item() == pytest.approx(plain.item(), rel=1e-12)  # nothing remembered yet: the SSL term
    bank = rows_of(table, [0, 1])
    second, found = goal.loss(batch_of(2, 3))
    by_hand = []
    for own, views, held in zip(rows_of(table, [2, 3]), rows_of(table, [10, 11]), bank, strict=True):
        near = torch.stack([held[int((held @ row).argmax())] for row in own])
        by_hand.append(info_nce(near, views, scale))
    assert second.item() == pytest.approx((sum(by_hand) / 2).item(), rel=1e-12)
    assert found["bank"] == 3
    image, text = rows_of(table, [3, 1, 2])  # the fourth row took the place of the first
    assert torch.equal(model.bank_image, image)
    assert torch.equal(model.bank_text, text)
    second.backward()
    assert not table.image.grad[:2].any()  # the bank has no gradient
    assert table.image.grad[10:12].any()


def test_a_safe_row_s_augmented_view_is_not_looked_at():
    model = guarded(safe=SAFE)
    goal, given = SafeAndRisky(model, 4), batch_of(0, 2, 3, 4)
    there = goal.loss(given)[0].item()
    changed = {k: v.clone() for k, v in given.items()}
    changed["images_augmented"][[0, 2]] = 15  # rows 0 and 3 are safe
    assert goal.loss(changed)[0].item() == pytest.approx(there, rel=1e-12)
    changed["images_augmented"][1] = 15
    assert goal.loss(changed)[0].item() != pytest.approx(there, rel=1e-3)


def test_originals_learn_nothing_once_the_bank_speaks_for_them():
    model = guarded(bank=4)
    goal = BankSSL(model)
    goal.loss(batch_of(0, 1))
    goal.loss(batch_of(2, 3))[0].backward()
    for table in (model.clip.image, model.clip.text):
        assert not table.grad[:8].any()
        assert table.grad[10:12].any()


def test_gradients_of_safe_and_risky():
    model = guarded(safe=SAFE)
    goal = SafeAndRisky(model, 4)

    def loss(image, text, theta):
        for name, value in (("image", image), ("text", text), ("logit_scale", theta)):
            if name in model.clip._parameters:
                delattr(model.clip, name)
            setattr(model.clip, name, value)
        return goal.loss(batch_of(0, 2, 3, 4))[0]

    given = [p.detach().clone().requires_grad_() for p in (model.clip.image, model.clip.text, model.clip.logit_scale)]
    assert torch.autograd.gradcheck(loss, given)


def test_two_gaussians_are_told_apart_and_the_lower_tail_is_not_believed():
    draw = np.random.default_rng(0)
    low, high = draw.normal(0.1, 0.03, 100), draw.normal(0.6, 0.1, 900)
    safe = believed(np.r_[low, high], 0.9)
    assert not safe[:100].any()
    assert safe[100:].mean() > 0.98
    wide = np.r_[draw.normal(0.1, 0.02, 500), draw.normal(0.4, 0.3, 500)]
    assert not believed(wide, 0.9)[wide < 0].any()  # the wide Gaussian reaches below the narrow one
    assert believed(wide, 0.9).sum() > believed(wide, 0.99).sum()
    for bad in (np.full(50, 0.3), np.r_[wide, np.nan], wide[:2]):
        with pytest.raises(AntivenomError, match="cosines"):
            believed(bad)


def test_the_safe_share_grows_to_its_limit_and_the_run_is_the_seed_s():
    how = SafeClip(warmup=1, first_rate=1.0, believe=0.5, growth=0.1, most=0.75, bank=40)
    hashes, seen = [], []
    for _ in range(2):
        clip = tiny()
        splits = []
        last = safeclip(
            clip, WORLD.images, WORLD.captions, RECIPE, how=how, ids=WORLD.ids,
            after_split=lambda done, safe, to=splits: to.append((done, safe)),
        )  # fmt: skip
        hashes.append(model_hash(clip))
        seen.append([(done, int(safe.sum())) for done, safe in splits])
        assert np.array_equal(last, splits[-1][1])
        assert not clip.training
    assert hashes[0] == hashes[1]
    assert seen[0] == seen[1]
    first = seen[0][0][1]
    grown = [int(min(max(0.75, first / 96), first / 96 + 0.1 * done) * 96) for done in range(1, 5)]
    assert seen[0] == [(0, first), *zip(range(1, 5), grown, strict=True)]
    assert model_hash(tiny()) != hashes[0]


def test_the_safe_rows_are_those_of_highest_cosine():
    from antivenom.models.clip import embed_images, embed_texts

    clip, splits = tiny(), []
    safeclip(clip, WORLD.images, WORLD.captions, RECIPE, how=QUICK, after_split=lambda done, safe: splits.append(safe))
    cosine = (embed_images(clip, WORLD.images) * embed_texts(clip, WORLD.captions)).sum(1)
    safe = splits[-1]  # taken after the last step, of the model that is returned
    assert cosine[safe].min() >= cosine[~safe].max() - 1e-6


def split(done, clip):
    return np.arange(96) % (done + 2) > 0


@pytest.mark.parametrize("at", [5, 6, 15])
@pytest.mark.parametrize("which", ["safeclip", "roclip"])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, which, at):
    def setting():
        clip = tiny()
        if which == "safeclip":
            goal, views = SafeAndRisky(Guarded(clip, 96, 8, 0), 6, split), VIEWS
        else:
            goal, views = RoClip(Pooled(clip, 20, 16, 8), 6), ()
        return goal, Numbered(PairSource(clip, WORLD.images, WORLD.captions, views=views, ids=WORLD.ids))

    recipe = Recipe(epochs=4, batch=16, lr=5e-3, checkpoint_every=at)
    whole, data = setting()
    fit(whole, data, recipe)

    class Killed(Exception):
        pass

    def stop(step):
        if step == at + 2:
            raise Killed

    broken, data = setting()
    with pytest.raises(Killed):
        fit(broken, data, recipe, out=tmp_path, after_step=stop)
    again, data = setting()
    assert fit(again, data, recipe, out=tmp_path).resumed_from == at
    assert model_hash(again.model) == model_hash(whole.model)


def test_safeclip_refuses():
    with pytest.raises(AntivenomError, match="warm-up"):
        SafeClip(warmup=0)
    with pytest.raises(AntivenomError, match="shares"):
        SafeClip(most=1.2)
    with pytest.raises(AntivenomError, match="believed at first"):
        safeclip(
            tiny(), WORLD.images, WORLD.captions, RECIPE, how=SafeClip(warmup=1, first_rate=1.0, believe=1.0, bank=0)
        )


# --- RoCLIP -------------------------------------------------------------------------------------------------------------


def pooled(size=4, every=2, **options):
    model = Pooled(Table(), size, 1, 4).double()
    return RoClip(model, 1, every=every, **options), model


def words(*rows):
    return {"images": torch.tensor(rows), "texts": torch.tensor(rows)[:, None]}


def test_ordinary_epochs_are_mmcl_and_matching_ones_take_the_nearest_caption_of_the_pool():
    goal, model = pooled()
    table, scale = model.clip, model.clip.logit_scale.exp()
    first, found = goal.loss(words(0, 1, 2))
    plain, _ = make_objective("mmcl", table).loss(words(0, 1, 2))
    assert first.item() == pytest.approx(plain.item(), rel=1e-12)
    assert found["replaced"] == 0
    goal.after_step()
    second, found = goal.loss(words(3, 4))  # the second epoch matches, against captions 0, 1, 2
    image, _ = rows_of(table, [3, 4])
    held = rows_of(table, [0, 1, 2])[1]
    near = torch.stack([held[int((held @ row).argmax())] for row in image])
    assert second.item() == pytest.approx(mmcl_loss(image, near, scale).item(), rel=1e-12)
    assert found["replaced"] == 1
    assert model.tokens.flatten().tolist() == [4, 1, 2, 3]  # first in, first out
    goal.after_step()
    third, found = goal.loss(words(5, 6))  # ordinary again
    assert third.item() == pytest.approx(make_objective("mmcl", table).loss(words(5, 6))[0].item(), rel=1e-12)


def test_captions_found_are_embedded_anew_and_carry_a_gradient():
    goal, model = pooled(every=1)
    goal.loss(words(0, 1))
    with torch.no_grad():
        model.clip.text[0] *= -1  # the tower has moved on since the pool took caption 0
    loss, _ = goal.loss(words(2, 3))
    loss.backward()
    assert model.clip.text.grad[:2].any()
    assert not model.clip.text.grad[2:].any()  # their own captions are not learned from


def test_nearest_to_the_caption_finds_the_same_words_again():
    """A poison's caption repeated by a clean pair survives matching by caption, and not matching by image."""
    for match, replaced in (("caption", 0.0), ("image", 1.0)):
        goal, model = pooled(every=1, match=match)
        with torch.no_grad():
            model.clip.image[:4] = torch.eye(4, dtype=torch.float64)
            model.clip.text[:4] = torch.eye(4, dtype=torch.float64)
        goal.loss(words(0, 1, 2, 3))
        # images 0 and 1 with the captions of 3 and 2: what is seen says otherwise
        _, found = goal.loss({"images": torch.tensor([0, 1]), "texts": torch.tensor([[3], [2]])})
        assert found["replaced"].item() == replaced


def test_matching_epochs_may_see_augmented_views():
    goal, model = pooled(every=1, augmented=True)
    goal.loss(batch_of(0, 1) | {"texts": torch.tensor([[0], [1]])})
    loss, _ = goal.loss(batch_of(2, 3) | {"texts": torch.tensor([[2], [3]])})
    image, held = rows_of(model.clip, [10, 11])[0], rows_of(model.clip, [0, 1])[1]
    near = torch.stack([held[int((held @ row).argmax())] for row in image])
    assert loss.item() == pytest.approx(mmcl_loss(image, near, model.clip.logit_scale.exp()).item(), rel=1e-12)
    assert goal.views == VIEWS


def test_roclip_trains_the_clip_it_is_given():
    clip = tiny()
    done = roclip(clip, WORLD.images, WORLD.captions, RECIPE, ids=WORLD.ids)
    assert done.steps == 24
    assert "replaced" in done.last
    assert model_hash(clip) != model_hash(tiny())
    again = tiny()
    roclip(again, WORLD.images, WORLD.captions, RECIPE, ids=WORLD.ids)
    assert model_hash(again) == model_hash(clip)
    never = tiny()
    roclip(never, WORLD.images, WORLD.captions, RECIPE, ids=WORLD.ids, every=99)
    plain = tiny()
    fit(make_objective("mmcl", plain), PairSource(plain, WORLD.images, WORLD.captions, ids=WORLD.ids), RECIPE)
    assert model_hash(never) == model_hash(plain)  # without a matching epoch it is MMCL to the byte


def test_roclip_refuses():
    with pytest.raises(AntivenomError, match="every 0 epochs"):
        pooled(every=0)
    with pytest.raises(AntivenomError, match="nearest to the label"):
        pooled(match="label")
    with pytest.raises(AntivenomError, match="a pool of 0"):
        roclip(tiny(), WORLD.images, WORLD.captions, RECIPE, pool=0)


def test_no_epoch_of_the_warm_up_matches():
    goal, model = pooled(warmup=2)
    seen = []
    for _ in range(6):
        loss, _found = goal.loss(words(len(seen) % 4, (len(seen) + 1) % 4))
        plain = make_objective("mmcl", model.clip).loss(words(len(seen) % 4, (len(seen) + 1) % 4))[0]
        seen.append(loss.item() == pytest.approx(plain.item(), rel=1e-12))
        goal.after_step()
    assert seen == [True, True, True, False, True, False]
    assert goal.describe() == pooled()[0].describe() | {"warmup": 2}
    with pytest.raises(AntivenomError, match="after -1"):
        pooled(warmup=-1)
