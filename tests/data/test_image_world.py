"""Images by formula: the same from the seed, balanced, and told apart by what their captions say."""

import numpy as np
import pytest

from antivenom.data.image_world import BACKGROUNDS, CLASS_TEMPLATES, COLOURS, SHAPES, draw_pairs
from antivenom.errors import AntivenomError


def test_the_seed_decides_and_more_pairs_begin_with_the_same_ones():
    few, more = draw_pairs(40, seed=3), draw_pairs(700, seed=3)
    for name in ("ids", "captions"):
        assert getattr(few, name) == getattr(more, name)[:40]
    assert np.array_equal(few.images, more.images[:40])
    assert np.array_equal(few.labels, more.labels[:40])
    for other in (draw_pairs(40, seed=4), draw_pairs(40, seed=3, name="test")):
        assert not np.array_equal(few.images, other.images)
        assert few.captions != other.captions
        assert not set(few.ids) & set(other.ids)


def test_captions_say_what_is_there():
    pairs = draw_pairs(2_000, seed=1)
    assert pairs.class_names == tuple(SHAPES)
    assert np.bincount(pairs.labels, minlength=10).min() > 140
    for caption, label in zip(pairs.captions, pairs.labels, strict=True):
        named = [name for name in SHAPES if name in caption.split()]
        assert named == [pairs.class_names[label]]
    colours = {c: [i for i, text in enumerate(pairs.captions) if c in text.split()] for c in COLOURS}
    assert 0.5 < sum(map(len, colours.values())) / 2_000 < 0.8  # only a part of the templates names it
    # the brightest channel of what is painted red is red
    red, blue = (pairs.images[colours[c]].astype(float).mean((0, 1, 2)) for c in ("red", "blue"))
    assert red[0] - red[2] > blue[0] - blue[2] + 20
    night, sand = (
        pairs.images[[i for i, t in enumerate(pairs.captions) if b in t.split()], :3].mean() for b in ("night", "sand")
    )
    assert night + 50 < sand


def test_shapes_can_be_told_apart_by_eye():
    pairs = draw_pairs(2_000, noise=0, seed=2)
    assert pairs.images.dtype == np.uint8
    assert pairs.images.shape == (2_000, 32, 32, 3)
    means = np.stack([pairs.images[pairs.labels == c].astype(float).mean(0) for c in range(10)])
    apart = [np.abs(a - b).mean() for i, a in enumerate(means) for b in means[i + 1 :]]
    assert min(apart) > 1.0
    assert set(BACKGROUNDS) == {"sky", "sand", "grass", "night"}
    assert all(template.count("{}") == 1 for template in CLASS_TEMPLATES)


def test_sizes():
    assert draw_pairs(3, size=24).images.shape == (3, 24, 24, 3)
    for n, size in ((0, 32), (3, 4)):
        with pytest.raises(AntivenomError, match="pixels"):
            draw_pairs(n, size=size)
