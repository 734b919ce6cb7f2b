"""Digits and emoji with captions, and sets written as files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antivenom.data.digit_pairs import DIGITS, digit_pairs
from antivenom.data.emoji_pairs import emoji_pairs
from antivenom.data.image_text import open_pairs
from antivenom.data.image_world import draw_pairs
from antivenom.data.images import png_bytes
from antivenom.data.pair_files import write_pairs
from antivenom.errors import AntivenomError


def test_the_parts_of_the_digits_share_no_scan_and_hold_all():
    parts = [digit_pairs(name, size=8) for name in ("train", "clean", "test")]
    ids = [row_id for part in parts for row_id in part.ids]
    assert len(ids) == len(set(ids)) == 1797
    for part in parts:
        assert all(DIGITS[label] in caption.split() for label, caption in zip(part.labels, part.captions, strict=True))


def test_a_digit_of_eight_pixels_is_the_scan_itself():
    from sklearn.datasets import load_digits

    part = digit_pairs("test", size=8)
    scans = load_digits().images
    for row_id, image, label in zip(part.ids[:20], part.images, part.labels, strict=False):
        row = int(row_id.removeprefix("digit-"))
        np.testing.assert_array_equal(image[..., 1], np.rint(scans[row] * 255 / 16))
        assert load_digits().target[row] == label
    assert digit_pairs("test").images.shape[1:] == (32, 32, 3)
    with pytest.raises(AntivenomError, match="part 'all'"):
        digit_pairs("all")


def test_emoji_of_a_folder_by_vendor_and_without_concepts(tmp_path):
    images = draw_pairs(4, size=16).images
    table = {
        "vendor": ["a", "a", "b", "b"], "hexcode": ["1F600", "1F601", "1F600", "1F601"],
        "label": ["grin", "beam", "grin", "beam"], "group": ["faces", "faces", "faces", "suns"],
        "png": [png_bytes(image) for image in images],
    }  # fmt: skip
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    both = emoji_pairs(tmp_path, size=16)
    np.testing.assert_array_equal(both.images, images)
    assert both.class_names == ("faces", "suns")
    assert emoji_pairs(tmp_path, vendors=["b"], size=16).ids == ("b-1F600", "b-1F601")
    assert set(emoji_pairs(tmp_path, without=["1F600"], size=16).captions) == {"beam"}
    with pytest.raises(AntivenomError, match=r"no vendor 'c'(?s:.*)a, b"):
        emoji_pairs(tmp_path, vendors=["c"])
    with pytest.raises(AntivenomError, match="no emoji pairs"):
        emoji_pairs(tmp_path / "nowhere")


def test_the_shared_emoji_are_read_where_they_lie(shared):
    folder = shared / "emoji_captions"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/emoji_captions")
    third = emoji_pairs(folder, vendors=["fluent3d"], limit=50)
    assert len(third) == 50
    assert len(third.class_names) == 10
    assert len(open_pairs(folder, image="jpeg", caption="label", label="group", limit=30, size=64)) == 30


def test_a_written_set_is_read_back(tmp_path):
    pairs = draw_pairs(9, name="test", size=12)
    found = open_pairs(write_pairs(pairs, tmp_path, "test"), size=12, label="label")
    assert found.ids == pairs.ids
    assert found.captions == pairs.captions
    np.testing.assert_array_equal(found.images[:], pairs.images)
    assert found.labels == tuple(pairs.class_names[i] for i in pairs.labels)
