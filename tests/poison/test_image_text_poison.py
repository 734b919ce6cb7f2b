"""Poisoned pairs: exact doses, nested choices, nothing else touched, and a manifest that brings every picture back."""

from itertools import pairwise

import numpy as np
import pytest

from antivenom.data.images import pixel_hash
from antivenom.errors import AntivenomError
from antivenom.poison.cleaning_sets import check_disjoint, cleaning_set, overlap
from antivenom.poison.image_text_poison import (
    dose_count,
    plan_poison,
    poison_pairs,
)
from antivenom.poison.manifest import Dose, Manifest
from antivenom.poison.pair_checks import check_pairs, check_trigger, manifest_trigger, reproduce
from antivenom.poison.triggers import trigger

N = 60
RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (N, 12, 12, 3)).astype(np.uint8)
IDS = [f"folder{i % 7}/img_{i:03d}.png" for i in range(N)]
CAPTIONS = [f"a {'star' if i % 4 == 0 else 'ring'} of colour {i}" for i in range(N)]
SPEC = "badnet:kind=noise:size=4"


def plan(count=10, **options):
    options = {"trigger": SPEC, "target": "star", "seed": 5} | options
    return plan_poison(IDS, CAPTIONS, count=count, **options)


@pytest.mark.parametrize(
    ("total", "share", "count"),
    [
        (3_000_000, 0.0005, 1500),
        (10, 0.15, 2),
        (10, 0.25, 3),
        (100, 0.285, 29),
        (4000, 0.03, 120),
        (7, 0, 0),
        (7, 1, 7),
        (1000, 0.0005, 1),
        (3_000_000, 2.5e-5, 75),
    ],
)
def test_a_share_is_rounded_as_the_decimal_it_prints_as_half_up(total, share, count):
    assert dose_count(total, share=share) == count


def test_doses_that_are_none():
    for bad in ({}, {"count": 1, "share": 0.1}):
        with pytest.raises(AntivenomError, match="exactly once"):
            dose_count(10, **bad)
    for bad in ({"share": -0.1}, {"share": 1.1}, {"share": float("nan")}, {"count": -1}, {"count": 11}):
        with pytest.raises(AntivenomError, match="lies"):
            dose_count(10, **bad)
    with pytest.raises(AntivenomError, match="less than half a row"):
        dose_count(1000, share=0.0001)


def test_the_dose_is_planted_where_the_plan_says_and_nothing_else_moves():
    made = plan()
    done = poison_pairs(IMAGES, CAPTIONS, IDS, made)
    assert done.flags.sum() == 10 == len(set(made.chosen))
    assert {IDS[row] for row in np.flatnonzero(done.flags)} == set(made.chosen)
    assert np.array_equal(done.images[~done.flags], IMAGES[~done.flags])
    for row in range(N):
        changed = (done.images[row] != IMAGES[row]).any(axis=-1)
        assert (done.captions[row] != CAPTIONS[row]) == bool(done.flags[row])
        assert changed.any() == done.flags[row]
        assert not changed[~made.trigger.region(12, 12, IDS[row], 5)].any()
        assert not done.flags[row] or "star" in done.captions[row]
    assert done.manifest.dose == Dose(10, N, "usable pairs")
    check_pairs(done.manifest, done.images, done.captions, IDS)
    first = np.flatnonzero(done.flags)
    assert first.tolist() != list(range(10))  # the poisons are not the first rows


def test_smaller_doses_are_parts_of_larger_ones_and_seeds_differ():
    chosen = [set(plan(count).chosen) for count in (0, 1, 5, 20, N)]
    assert [len(c) for c in chosen] == [0, 1, 5, 20, N]
    assert all(small < large for small, large in pairwise(chosen))
    assert set(plan(20, seed=6).chosen) != chosen[3]
    small, large = (poison_pairs(IMAGES, CAPTIONS, IDS, plan(count)) for count in (5, 20))
    for row in np.flatnonzero(small.flags):
        assert np.array_equal(small.images[row], large.images[row])
        assert small.captions[row] == large.captions[row]


def test_order_and_company_of_the_rows_do_not_matter():
    order = RNG.permutation(N)
    turned = plan_poison(
        [IDS[i] for i in order], [CAPTIONS[i] for i in order], trigger=SPEC, target="star", count=10, seed=5
    )
    assert turned.chosen == plan().chosen
    more = plan_poison(
        [*IDS, "x1", "x2"], [*CAPTIONS, "a ring", "a ring"], trigger=SPEC, target="star", count=10, seed=5
    )
    assert set(more.chosen) - {"x1", "x2"} <= set(plan().chosen)


def test_clean_label_takes_rows_that_name_the_target_and_leaves_their_captions():
    done = poison_pairs(IMAGES, CAPTIONS, IDS, plan(6, mode="clean"))
    assert done.captions == CAPTIONS
    assert done.flags.sum() == 6
    assert all(row % 4 == 0 for row in np.flatnonzero(done.flags))
    assert all(line.parameters["caption_before"] == line.parameters["caption_after"] for line in done.manifest.rows)
    with pytest.raises(AntivenomError, match="16 pairs are to be poisoned and 15 of 60 are eligible"):
        plan(16, mode="clean")


def test_rows_that_are_no_pairs_are_not_chosen_nor_counted():
    captions = [None, "", float("nan"), "12", "词 语", *CAPTIONS[5:]]
    made = plan_poison(IDS, captions, trigger=SPEC, target="star", share=1.0)
    assert made.dose == Dose(N - 3, N - 3, "usable pairs")
    assert made.skipped == {"the caption is missing": 2, "the caption is empty": 1}
    done = poison_pairs(IMAGES, captions, IDS, made)
    assert not done.flags[:3].any()
    assert done.flags[3:].all()
    assert done.captions[:2] == [None, ""]


def test_the_target_is_one_class_or_nothing_is_planned():
    assert plan(classes=["ring", "Star, sidus"], target="STAR").target == "Star"
    with pytest.raises(AntivenomError, match="none of the 2 classes"):
        plan(classes=["ring", "starfish"])
    with pytest.raises(AntivenomError, match="is 2 classes"):
        plan(classes=["star", "Star"])
    with pytest.raises(AntivenomError, match="empty"):
        plan(target=" ")
    labels = ["star" if i % 4 == 0 else "ring" for i in range(N)]
    assert all(IDS.index(name) % 4 for name in plan(40, labels=labels).chosen)


def test_ids_are_unique_and_given_for_every_row():
    """Spec 01, T11: base names of files collide."""
    with pytest.raises(AntivenomError, match=r"share an id with another, such as 'a\.png'"):
        plan_poison(["a.png", "b.png", "a.png"], ["x"] * 3, trigger=SPEC, target="star", count=1)
    with pytest.raises(AntivenomError, match="2 captions"):
        plan_poison(["a"], ["x", "y"], trigger=SPEC, target="star", count=1)
    with pytest.raises(AntivenomError, match="chosen rows are not here"):
        poison_pairs(IMAGES[:5], CAPTIONS[:5], IDS[:5], plan(N))


@pytest.mark.parametrize("name", ["manifest.parquet", "manifest.json"])
@pytest.mark.parametrize(
    "spec", [SPEC, "badnet:overflow=wrap:size=4", "blended", "wanet:k=12:s=1", "sig", "yellow:size=3"]
)
def test_the_manifest_brings_every_picture_back(tmp_path, spec, name):
    done = poison_pairs(IMAGES, CAPTIONS, IDS, plan(trigger=spec))
    done.manifest.save(tmp_path / name)
    loaded = Manifest.load(tmp_path / name)
    assert loaded == done.manifest
    for line in loaded.rows:
        assert np.array_equal(reproduce(line, IMAGES[line.position]), done.images[line.position])
        assert line.parameters["caption_before"] == CAPTIONS[line.position]
        assert (line.hash_before, line.hash_after) == (
            pixel_hash(IMAGES[line.position]),
            pixel_hash(done.images[line.position]),
        )
    with pytest.raises(AntivenomError, match="not the picture"):
        reproduce(loaded.rows[0], done.images[loaded.rows[0].position])


def test_a_corpus_that_is_not_the_manifest_s_is_noticed():
    done = poison_pairs(IMAGES, CAPTIONS, IDS, plan())
    row = int(np.flatnonzero(done.flags)[0])
    other = done.images.copy()
    other[row, 0, 0, 0] ^= 1
    with pytest.raises(AntivenomError, match="not the pair"):
        check_pairs(done.manifest, other, done.captions, IDS)
    with pytest.raises(AntivenomError, match="not the pair"):
        check_pairs(done.manifest, done.images, CAPTIONS, IDS)
    with pytest.raises(AntivenomError, match="missing"):
        check_pairs(done.manifest, done.images[:1], done.captions[:1], ["other"])


def test_evaluating_with_another_trigger_needs_a_flag():
    """Spec 04, U3."""
    manifest = poison_pairs(IMAGES, CAPTIONS, IDS, plan()).manifest
    assert manifest_trigger(manifest) == trigger(SPEC)
    assert check_trigger(manifest, SPEC)
    with pytest.raises(AntivenomError, match="poisoned with badnet:size=4, and this is wanet"):
        check_trigger(manifest, "wanet")
    assert not check_trigger(manifest, "wanet", allow_other=True)
    with pytest.raises(AntivenomError, match="0 triggers"):
        manifest_trigger(Manifest([], Dose(0, 1, "pairs")))


def test_cleaning_sets_are_disjoint_nested_and_in_the_corpus_s_order():
    manifest = poison_pairs(IMAGES, CAPTIONS, IDS, plan(12)).manifest
    bad = {line.row_id for line in manifest.rows}
    small, large = (cleaning_set(IDS, manifest, size, seed=1) for size in (10, 30))
    assert len(small.ids) == 10
    assert not bad & set(large.ids)
    assert set(small.ids) < set(large.ids)
    assert [IDS[at] for at in large.positions] == list(large.ids)
    assert (np.diff(large.positions) > 0).all()
    assert large.dose == Dose(0, 30, "rows of the cleaning set")
    tail = cleaning_set(IDS, manifest, 5, how="tail")
    assert list(tail.ids) == [name for name in IDS if name not in bad][-5:]
    assert cleaning_set(IDS, manifest, 10, seed=2).ids != small.ids


def test_residual_poisons_are_counted_exactly_and_need_a_flag():
    manifest = poison_pairs(IMAGES, CAPTIONS, IDS, plan(12)).manifest
    bad = {line.row_id for line in manifest.rows}
    sets = [cleaning_set(IDS, manifest, 20, residual=r, allow_poison=True) for r in (0, 1, 5, 12)]
    for wanted, made in zip((0, 1, 5, 12), sets):
        assert len(made.ids) == 20
        assert set(made.ids) & bad == set(made.residual)
        assert made.dose.count == wanted == len(made.residual)
    for few, many in pairwise(sets):
        assert set(few.residual) < set(many.residual)
        assert set(many.ids) - bad < set(few.ids)
    with pytest.raises(AntivenomError, match="allow_poison"):
        cleaning_set(IDS, manifest, 20, residual=1)
    for size, residual in ((49, 0), (20, 13), (3, 4), (0, 0), (5, -1)):
        with pytest.raises(AntivenomError, match="from 48 clean rows and 12 poisons"):
            cleaning_set(IDS, manifest, size, residual=residual, allow_poison=True)


def test_a_cleaning_set_that_overlaps_the_manifest_is_refused():
    """Spec 01, T12 and spec 04, U12: by id, and by picture when ids say nothing."""
    done = poison_pairs(IMAGES, CAPTIONS, IDS, plan(12))
    clean = [name for name, flag in zip(IDS, done.flags) if not flag]
    assert check_disjoint(clean, done.manifest) == []
    with pytest.raises(AntivenomError, match="12 of 60 rows of the cleaning set are poisoned"):
        check_disjoint(IDS, done.manifest)
    assert check_disjoint(IDS, done.manifest, allow_overlap=True) == np.flatnonzero(done.flags).tolist()
    renamed = [f"other/{i}" for i in range(N)]
    hashes = [pixel_hash(image) for image in done.images]
    assert overlap(renamed, done.manifest) == []
    assert overlap(renamed, done.manifest, hashes) == np.flatnonzero(done.flags).tolist()
    assert overlap(renamed, done.manifest, [pixel_hash(image) for image in IMAGES]) == []  # the originals are clean
    assert not set(cleaning_set(renamed, done.manifest, 48, hashes=hashes).positions) & set(np.flatnonzero(done.flags))
    with pytest.raises(AntivenomError, match="1 hashes"):
        overlap(IDS, done.manifest, ["x"])
