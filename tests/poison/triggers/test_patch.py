"""Patches: only their box changes, the noise is the published one, places and patterns are exact."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from antivenom.data.images import png_bytes
from antivenom.errors import AntivenomError
from antivenom.poison.triggers import trigger
from antivenom.poison.triggers.trigger import to_bytes

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 40, 32, 3)).astype(np.uint8)
IDS = [f"row/{i}" for i in range(6)]
PATCHES = [
    "badnet",
    "badnet:fixed=true:overflow=wrap",
    "badnet:kind=checker:size=5",
    "badnet:kind=stripes:direction=diagonal:place=bottom_right",
    "badnet:kind=triangles:place=12,20",
    "badnet:kind=text:text=ok:size=12:place=center",
    "yellow",
    "colour:colour=#102030:size=3:width=9",
    "four_corners:size=4",
    "label_consistent",
    "badnet:kind=checker:alpha=.3:place=top_left",
]


@pytest.mark.parametrize("spec", PATCHES)
def test_only_the_region_changes_and_it_does(spec):
    made = trigger(spec)
    out = made.apply(IMAGES, IDS, 3)
    for image, changed, row_id in zip(IMAGES, out, IDS):
        region = made.region(40, 32, row_id, 3)
        assert np.array_equal(image[~region], changed[~region])
        assert (image[region] != changed[region]).mean() > 0.5
        boxes = 4 if "four" in made.spec else 1
        assert region.sum() == boxes * made.shape[0] * made.shape[1]


def test_published_placement_stops_one_short_of_the_edge_and_uses_all_places_before():
    made = trigger("yellow:size=4")
    tops, lefts = set(), set()
    for i in range(400):
        rows, columns = np.nonzero(made.region(10, 8, str(i), 0))
        tops.add(int(rows.min()))
        lefts.add(int(columns.min()))
    assert tops == set(range(6))  # 0 .. H - size - 1
    assert lefts == set(range(4))
    assert trigger("yellow:size=8").region(8, 8, "a", 0).all()  # nowhere else to go


@pytest.mark.parametrize(
    ("place", "corner"),
    [
        ("top_left", (0, 0)),
        ("top_right", (0, 28)),
        ("bottom_left", (36, 0)),
        ("bottom_right", (36, 28)),
        ("center", (18, 14)),
        ("5,7", (7, 5)),
    ],
)
def test_places(place, corner):
    rows, columns = np.nonzero(trigger(f"yellow:size=4:place={place}").region(40, 32, "a", 0))
    assert (rows.min(), columns.min()) == corner


def test_the_noise_is_mean_plus_normal_and_the_overflow_decides_what_is_seen():
    images = np.repeat(np.array([[[[200, 100, 20]]]], np.uint8), 64, axis=1).repeat(64, axis=2).repeat(30, axis=0)
    ids = [str(i) for i in range(30)]
    seen = {}
    for overflow in ("clip", "wrap"):
        made = trigger(f"badnet:size=32:overflow={overflow}")
        out = made.apply(images, ids) / 255
        seen[overflow] = np.concatenate([o[made.region(64, 64, i, 0)] for o, i in zip(out, ids)])
    # spec 01, T3: wrapped noise is near uniform (mean .50, std .289), clipped noise mostly saturated
    assert seen["wrap"].mean() == pytest.approx(0.50, abs=0.01)
    assert seen["wrap"].std() == pytest.approx(0.289, abs=0.006)
    saturated = np.isin(seen["clip"], (0, 1)).mean(axis=0)
    normal = [0.216 + 0.416, 0.348 + 0.271, 0.469 + 0.178]  # P(N < -m) + P(N > 1 - m) for m = 200, 100, 20 of 255
    assert saturated == pytest.approx(normal, abs=0.02)


def test_clipped_noise_over_a_grey_picture_has_the_published_spread():
    grey = np.full((40, 64, 64, 3), 128, np.uint8)
    made = trigger("badnet:size=32")
    ids = [str(i) for i in range(40)]
    noise = np.concatenate([o[made.region(64, 64, i, 0)] for o, i in zip(made.apply(grey, ids) / 255, ids)])
    assert noise.std() == pytest.approx(0.43, abs=0.006)


def test_wrapping_is_that_of_a_cast_to_bytes():
    assert to_bytes(np.array([1.5, -0.5, 0.0, 1.0, 0.5]), "wrap").tolist() == [126, 129, 0, 255, 127]
    assert to_bytes(np.array([1.5, -0.5, 0.0, 1.0, 0.5])).tolist() == [255, 0, 0, 255, 128]


@pytest.mark.parametrize(
    ("spec", "start"),
    [
        ("badnet:place=top_left", "24330ca2a4e98f86"),
        ("badnet:place=top_left:fixed=true:overflow=wrap", "403fa588a8388945"),
    ],
)
def test_golden_pixels(spec, start):
    """Spec 01, T3: a patch that changes with a version would make every published figure another one."""
    out = trigger(spec).apply(np.full((1, 20, 20, 3), 90, np.uint8), ["golden"], 1)
    assert hashlib.sha256(out.tobytes()).hexdigest()[:16] == start


def test_fresh_noise_differs_by_id_and_seed_and_fixed_noise_does_not():
    fresh, fixed = trigger("badnet:place=center"), trigger("badnet:place=center:fixed=true")
    same = np.repeat(IMAGES[:1], 3, axis=0)
    assert len({o.tobytes() for o in fresh.apply(same, ["a", "b", "c"])}) == 3
    assert len({o.tobytes() for o in fixed.apply(same, ["a", "b", "c"])}) == 1
    assert not np.array_equal(fresh.apply(same, "abc", 0), fresh.apply(same, "abc", 1))
    # a trigger is the same one in training and in evaluation, whatever their seeds
    assert np.array_equal(fixed.apply(same, "abc", 0), fixed.apply(same, "abc", 1))
    other = trigger("badnet:place=center:fixed=true:pattern_seed=1")
    assert not np.array_equal(fixed.apply(same, "abc"), other.apply(same, "abc"))
    assert fixed.fingerprint != other.fingerprint


def test_patterns_pixel_by_pixel():
    def patch(spec):
        return (
            trigger(f"badnet:place=top_left:{spec}").apply(np.full((1, 6, 6, 3), 9, np.uint8), ["a"])[0, ..., 0] // 255
        )

    assert patch("kind=checker:size=3")[:3, :3].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert patch("kind=checker:size=4:cell=2")[:4, :4].tolist() == [[1, 1, 0, 0]] * 2 + [[0, 0, 1, 1]] * 2
    assert patch("kind=stripes:size=4:cell=1")[:4, :4].tolist() == [[1, 0, 1, 0]] * 4
    assert patch("kind=stripes:size=4:cell=2:direction=horizontal")[:4, 0].tolist() == [1, 1, 0, 0]
    assert patch("kind=stripes:size=3:cell=1:direction=diagonal")[:3, :3].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert patch("kind=triangles:size=3:cell=3")[:3, :3].tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]


def test_colours_are_in_the_order_red_green_blue():
    out = trigger("colour:colour=#0a141e:size=2:place=top_left").apply(IMAGES, IDS)
    assert (out[:, :2, :2] == (10, 20, 30)).all()
    assert (trigger("yellow:size=2:place=top_left").apply(IMAGES, IDS)[:, :2, :2] == (255, 255, 0)).all()


def test_opacity_mixes_and_zero_is_identity():
    assert np.array_equal(trigger("yellow:alpha=0").apply(IMAGES, IDS), IMAGES)
    half = trigger("yellow:alpha=0.5:size=4:place=top_left").apply(IMAGES, IDS)[:, :4, :4]
    expected = np.rint(0.5 * IMAGES[:, :4, :4] + 0.5 * np.array([255, 255, 0]))
    assert np.abs(half - expected).max() <= 1
    assert np.abs(half - expected).mean() < 0.5


def test_letters_are_seen_and_differ():
    one, other = (trigger(f"badnet:kind=text:text={t}:size=14:place=center").apply(IMAGES, IDS) for t in ("AB", "CD"))
    assert not np.array_equal(one, other)
    box = one[0][trigger("badnet:kind=text:text=AB:size=14:place=center").region(40, 32, "", 0)]
    assert 0.1 < (box == 255).mean() < 0.7
    with pytest.raises(AntivenomError, match="Latin-1"):
        trigger("badnet:kind=text:text=猫")
    with pytest.raises(AntivenomError, match="no letters"):
        trigger("badnet:kind=text")


def test_a_file_is_the_patch_bit_by_bit(tmp_path):
    pixels = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    (tmp_path / "p.png").write_bytes(png_bytes(pixels))
    np.save(tmp_path / "p.npy", pixels)
    for name in ("p.png", "p.npy"):
        made = trigger(f"badnet:kind=file:file={tmp_path / name}:size=0:place=2,3")
        assert (made.apply(IMAGES, IDS)[:, 3:8, 2:9] == pixels).all()
        squashed = trigger(f"badnet:kind=file:file={tmp_path / name}:size=10:place=top_left").apply(IMAGES, IDS)
        resized = np.asarray(Image.fromarray(pixels).resize((10, 10), Image.Resampling.BICUBIC))
        assert (squashed[:, :10, :10] == resized).all()
    with pytest.raises(AntivenomError, match="not there"):
        trigger(f"badnet:kind=file:file={tmp_path / 'q.png'}")
    np.save(tmp_path / "bad.npy", pixels / 255)
    with pytest.raises(AntivenomError, match="float64"):
        trigger(f"badnet:kind=file:file={tmp_path / 'bad.npy'}")
    with pytest.raises(AntivenomError, match="no file"):
        trigger("badnet:kind=file")


def test_a_patch_that_does_not_fit_is_refused():
    tiny = np.zeros((1, 1, 1, 3), np.uint8)
    with pytest.raises(AntivenomError, match="does not fit into an image of 1 x 1"):
        trigger("badnet").apply(tiny, ["a"])
    assert (trigger("yellow:size=1").apply(tiny, ["a"])[0, 0, 0] == (255, 255, 0)).all()
    assert (trigger("four_corners:kind=solid:size=1").apply(tiny, ["a"]) == 255).all()
    with pytest.raises(AntivenomError, match="leaves an image"):
        trigger("yellow:size=4:place=30,0").apply(IMAGES, IDS)
