"""What is kept of a training is found by content, never by name, and an augmented caption belongs to its row (spec 04, U9, U10)."""

import numpy as np
import pytest

from antivenom.data.image_world import draw_pairs

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.models.clip_small import SmallConfig, small_clip  # noqa: E402
from antivenom.train.loop import Recipe, model_hash  # noqa: E402
from antivenom.train.objectives import VIEWS, make_objective  # noqa: E402
from antivenom.train.pairs import PairSource  # noqa: E402
from antivenom.train.shelf import fit_on_shelf  # noqa: E402

WORLD = draw_pairs(48, name="train", size=16, seed=1)
RECIPE = Recipe(epochs=1, batch=16, lr=1e-2)


def tiny():
    return small_clip(WORLD.captions, config=SmallConfig(size=16, width=4, dim=8, text_width=8), seed=2)


def source(captions=WORLD.captions, images=WORLD.images, views=VIEWS, ids=WORLD.ids, seed=0, **options):
    return PairSource(tiny(), images, captions, views=views, ids=ids, seed=seed, **options)


def test_anything_that_changes_a_batch_changes_the_key():  # U9
    others = list(WORLD.captions)
    others[7], others[8] = others[8], others[7]
    changed = WORLD.images.copy()
    changed[3, 0, 0, 0] ^= 1

    def twice(images, draw):
        return images

    keys = [
        source().fingerprint,
        source(captions=others).fingerprint,
        source(images=changed).fingerprint,
        source(seed=1).fingerprint,
        source(ids=[f"other-{i}" for i in range(48)]).fingerprint,
        source(views=("image",)).fingerprint,
        source(augment=twice).fingerprint,
    ]
    assert len(set(keys)) == len(keys)
    assert source().fingerprint == keys[0]


def test_two_sets_on_one_shelf_never_read_each_others_training(tmp_path):  # U9
    others = [*WORLD.captions[1:], WORLD.captions[0]]

    def trained(captions, shelf):
        clip = tiny()
        fit_on_shelf(make_objective("mmcl+ssl", clip), source(captions), RECIPE, shelf)
        return model_hash(clip)

    alone = [trained(captions, None) for captions in (WORLD.captions, others)]
    assert alone[0] != alone[1]
    assert [trained(captions, tmp_path) for captions in (WORLD.captions, others, WORLD.captions)] == [*alone, alone[0]]
    assert len(list(tmp_path.rglob("checkpoint.pt"))) == 2


@pytest.mark.parametrize("odd", ["1234", "☃", "词语", "a"])
def test_a_caption_that_cannot_be_augmented_shifts_no_other(odd):  # U10
    captions = list(WORLD.captions)
    captions[5] = odd
    plain, changed = source(), source(captions)
    assert plain.others is not None
    assert changed.others is not None
    assert len(changed.others) == len(changed.tokens) == 48
    keep = np.arange(48) != 5
    assert torch.equal(plain.others[keep], changed.others[keep])


def test_an_augmented_caption_goes_by_its_id_wherever_the_row_stands():  # U10
    order = np.random.default_rng(0).permutation(48)[:30]
    whole, part = source(), source(
        [WORLD.captions[i] for i in order], WORLD.images[order], ids=[WORLD.ids[i] for i in order]
    )  # fmt: skip
    assert whole.others is not None
    assert part.others is not None
    assert torch.equal(part.others, whole.others[order])
