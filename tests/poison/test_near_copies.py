"""Near copies: what is seen and what is not, by hand; cleaning sets refuse them."""

import io

import numpy as np
import pytest
from PIL import Image

from antivenom.data.image_world import draw_pairs
from antivenom.errors import AntivenomError
from antivenom.poison.cleaning_sets import check_disjoint, cleaning_set, overlap
from antivenom.poison.image_text_poison import plan_poison, poison_pairs
from antivenom.poison.near_copies import THRESHOLD, near_copies, thumbnails, views_of
from antivenom.poison.pair_checks import near_poisons

WORLD = draw_pairs(60, name="train", size=32, seed=2)
KNOWN = WORLD.images[:20]
OTHER = draw_pairs(400, name="clean", size=32, seed=2)


def jpeg(image, quality=80):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(out.getvalue())))


def test_a_thumbnail_is_the_centred_block_mean_of_length_one():
    image = KNOWN[3]
    means = image.reshape(16, 2, 16, 2, 3).astype(float).mean(axis=(1, 3))
    rows = np.rint(means).ravel()
    rows -= rows.mean()
    found = thumbnails(KNOWN)[3]
    assert found @ (rows / np.linalg.norm(rows)) == pytest.approx(1, abs=1e-3)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    assert not thumbnails(np.full((1, 8, 8, 3), 77, np.uint8)).any()  # one colour: like nothing


def test_brightness_and_contrast_do_not_count_and_the_views_are_the_windows():
    flat = (KNOWN // 2 + 40).astype(np.uint8)
    assert np.einsum("ij,ij->i", thumbnails(flat), thumbnails(KNOWN)).min() > 0.995
    views = views_of(KNOWN)
    assert views.shape == (20, 70, 768)
    np.testing.assert_allclose(views[:, 0], thumbnails(KNOWN))
    np.testing.assert_allclose(views[:, 35], thumbnails(np.ascontiguousarray(KNOWN[:, :, ::-1])))
    big = draw_pairs(3, name="big", size=160, seed=2).images
    corner = thumbnails(np.ascontiguousarray(big[:, :128, :128]))  # .8 of the side, from the top left
    assert (views_of(big)[:, 10] * corner).sum(1).min() > 0.999


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        jpeg,
        lambda x: x[:, ::-1],
        lambda x: np.asarray(Image.fromarray(x).resize((16, 16), Image.Resampling.BICUBIC)),
        lambda x: np.asarray(Image.fromarray(x).resize((75, 48), Image.Resampling.BICUBIC)),
        lambda x: jpeg(np.ascontiguousarray(x[:, ::-1]), 90),
    ],
)
def test_copies_are_found_with_the_picture_they_are_of(change):
    copies = [np.ascontiguousarray(change(image)) for image in KNOWN]
    done = near_copies(copies, KNOWN)
    assert done.found.mean() >= 0.95
    assert done.nearest.tolist() == list(range(20))


def test_most_crops_at_the_windows_of_the_views_are_found():
    crops = [np.ascontiguousarray(image[:29, :29]) for image in KNOWN]  # .9 of the side
    assert near_copies(crops, KNOWN).found.mean() > 0.7


def test_other_pictures_of_the_same_world_are_seldom_taken_for_a_copy():
    done = near_copies(OTHER.images, KNOWN)
    assert done.found.mean() < 0.05
    assert done.likeness.max() < 1
    by_hand = (thumbnails(OTHER.images[:50]) @ views_of(KNOWN).reshape(-1, 768).T).max(1)
    np.testing.assert_allclose(done.likeness[:50], by_hand, atol=1e-5)


def test_blocks_and_order_do_not_matter(monkeypatch):
    mixed = np.concatenate([OTHER.images[:30], KNOWN[:5]])
    whole = near_copies(mixed, KNOWN)
    monkeypatch.setattr("antivenom.poison.near_copies.BLOCK", 7)
    monkeypatch.setattr("antivenom.poison.near_copies.KNOWN", 3)
    parts = near_copies(mixed, KNOWN)
    np.testing.assert_allclose(parts.likeness, whole.likeness, atol=1e-5)
    np.testing.assert_array_equal(parts.nearest, whole.nearest)
    turned = near_copies(mixed[::-1], list(KNOWN))
    np.testing.assert_allclose(turned.likeness[::-1], whole.likeness, atol=1e-5)


def test_poisons_saved_again_under_another_name_are_kept_out_of_cleaning_sets():
    plan = plan_poison(WORLD.ids, WORLD.captions, trigger="badnet:kind=checker:size=5", target="star", count=6, seed=1)
    done = poison_pairs(WORLD.images, WORLD.captions, WORLD.ids, plan)
    bad = np.flatnonzero(done.flags)
    clean = [*OTHER.images[:40], *(jpeg(done.images[i]) for i in bad)]
    names = [f"other-{i}.jpg" for i in range(46)]
    assert overlap(names, done.manifest) == []  # by name nothing is seen, and exact hashes differ
    near = near_poisons(clean, done.manifest, done.images, WORLD.ids)
    assert overlap(names, done.manifest, near=near.found) == list(range(40, 46))
    assert [bad[i] for i in near.nearest[40:]] == bad.tolist()
    with pytest.raises(AntivenomError, match="6 of 46 rows of the cleaning set are poisoned"):
        check_disjoint(names, done.manifest, near=near.found)
    chosen = cleaning_set(names, done.manifest, 40, near=near.found)
    assert chosen.positions.tolist() == list(range(40))
    with pytest.raises(AntivenomError, match="41 rows"):
        cleaning_set(names, done.manifest, 41, near=near.found)
    with pytest.raises(AntivenomError, match="not the picture"):
        near_poisons(clean, done.manifest, WORLD.images, WORLD.ids)


def test_refusals():
    with pytest.raises(AntivenomError, match="no known picture"):
        near_copies(KNOWN, KNOWN[:0])
    for bad in (0, 1.5, float("nan")):
        with pytest.raises(AntivenomError, match="likeness"):
            near_copies(KNOWN, KNOWN, threshold=bad)
    with pytest.raises(AntivenomError, match="flag for each row"):
        overlap(["a", "b"], poison_free(), near=[True])
    assert near_copies(KNOWN[:0], KNOWN).found.shape == (0,)
    assert 0 < THRESHOLD < 1


def poison_free():
    from antivenom.poison.manifest import Dose, Manifest

    return Manifest([], Dose(0, 2, "rows"))
