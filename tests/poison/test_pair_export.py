"""Export: lossless by default, whole or not at all, poisons in place; and what a codec leaves of a trigger."""

import csv

import numpy as np
import pytest
from PIL import Image

from antivenom.data.images import open_image, pixel_hash, png_bytes
from antivenom.errors import AntivenomError
from antivenom.poison.codec import check_format, codec_report, encode, psnr
from antivenom.poison.contact_sheet import contact_sheet
from antivenom.poison.image_text_poison import plan_poison
from antivenom.poison.manifest import Manifest
from antivenom.poison.pair_checks import reproduce
from antivenom.poison.pair_export import export_pairs
from antivenom.poison.triggers import trigger

RNG = np.random.default_rng(4)


def smooth(n: int, side: int = 48) -> np.ndarray:
    """Pictures without texture, so that what a codec loses is the trigger's."""
    small = RNG.integers(0, 256, (n, 4, 4, 3)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(s).resize((side, side), Image.Resampling.BICUBIC)) for s in small])


@pytest.fixture
def pairs(tmp_path):
    """Twenty files, two with each base name; one truncated, one row without a caption."""
    rows = []
    for i, image in enumerate(smooth(20)):
        path = tmp_path / "in" / str(i % 2) / f"{i // 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(image))
        rows.append((str(path.relative_to(tmp_path)), path, f'picture "{i}",\nsecond line'))
    rows[7][1].write_bytes(rows[7][1].read_bytes()[:80])
    rows[9] = (*rows[9][:2], None)
    return rows


def made(pairs, **options):
    options = {"trigger": "badnet:size=8", "target": "star", "count": 6, "seed": 1} | options
    return plan_poison([name for name, _, _ in pairs], [caption for _, _, caption in pairs], **options)


def read(folder):
    with (folder / "pairs.csv").open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def test_what_is_written_is_what_was_crafted(tmp_path, pairs):
    plan = made(pairs)
    done = export_pairs(pairs, plan, tmp_path / "out", size=32)
    rows = read(tmp_path / "out")
    assert done.rows_in == 20 == done.kept + len(done.quarantined)
    assert len(rows) == done.kept
    assert [row["id"] for row in rows] == [name for name, _, caption in pairs if caption is not None][: done.kept]
    loaded = Manifest.load(tmp_path / "out" / "manifest.parquet")
    assert loaded == done.manifest
    sources = {name: path for name, path, _ in pairs}
    captions = {name: caption for name, _, caption in pairs}
    assert {line.row_id for line in loaded.rows} == {row["id"] for row in rows if row["is_backdoor"] == "1"}
    for line in loaded.rows:
        row = rows[line.position]
        assert row["id"] == line.row_id
        seen = open_image(tmp_path / "out" / row["image"])
        clean = open_image(sources[line.row_id], size=32)
        assert np.array_equal(seen, reproduce(line, clean))
        assert pixel_hash(seen) == line.hash_after
        assert row["caption"] == line.parameters["caption_after"]
        assert line.parameters["caption_before"] == captions[line.row_id]
    for row in rows:
        if row["is_backdoor"] == "0":
            assert (tmp_path / "out" / row["image"]).resolve() == sources[row["id"]].resolve()
            assert row["caption"] == captions[row["id"]]


def test_a_broken_picture_is_quarantined_and_the_next_takes_its_place(tmp_path, pairs):
    plan = made(pairs, count=18)  # all usable pairs but one: the truncated one is surely met
    done = export_pairs(pairs, plan, tmp_path / "out", size=32)
    assert len(done.manifest.rows) == 18
    reasons = {q.file: q.reason for q in done.quarantined}
    assert "broken or cut off" in reasons[pairs[7][0]]
    assert reasons[pairs[9][0]] == "the caption is missing"
    assert done.kept == 18
    with pytest.raises(AntivenomError, match="18 of 19 pictures could be poisoned"):
        export_pairs(pairs, made(pairs, count=19), tmp_path / "more", size=32)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}  # nothing half-written is left


def test_clean_pictures_can_take_the_same_path(tmp_path, pairs):
    done = export_pairs(pairs, made(pairs), tmp_path / "out", size=32, copy_clean=True)
    shapes = {open_image(tmp_path / "out" / row["image"]).shape for row in read(tmp_path / "out")}
    assert shapes == {(32, 32, 3)}
    assert done.kept == 18
    assert len({row["image"] for row in read(tmp_path / "out")}) == 18  # equal base names do not meet


def test_two_exports_are_the_same_bytes_and_an_existing_folder_is_left_alone(tmp_path, pairs):
    for name in ("a", "b"):
        export_pairs(pairs, made(pairs), tmp_path / name, size=32, copy_clean=True)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 20
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    with pytest.raises(AntivenomError, match="exists"):
        export_pairs(pairs, made(pairs), tmp_path / "a", size=32)


def test_lossy_export_needs_a_flag_and_records_what_is_left(tmp_path, pairs):
    """Spec 01, T4."""
    plan = made(pairs)
    with pytest.raises(AntivenomError, match="jpeg is lossy"):
        export_pairs(pairs, plan, tmp_path / "out", size=32, format="jpg")
    assert not (tmp_path / "out").exists()
    done = export_pairs(pairs, plan, tmp_path / "out", size=32, format="jpg", quality=75, allow_lossy=True)
    sources = {name: path for name, path, _ in pairs}
    for line in done.manifest.rows:
        assert 0 < line.parameters["trigger_psnr"] < 25
        seen = open_image(tmp_path / "out" / line.parameters["image"])
        crafted = reproduce(line, open_image(sources[line.row_id], size=32))
        assert pixel_hash(seen) == line.hash_after
        region = plan.trigger.region(32, 32, line.row_id, 1)
        assert line.parameters["trigger_psnr"] == pytest.approx(psnr(crafted, seen, region))


def test_formats():
    assert check_format(".PNG") == "png"
    assert check_format("jpg", allow_lossy=True) == "jpeg"
    for kind in ("jpeg", "webp", "avif"):
        with pytest.raises(AntivenomError, match="is lossy"):
            check_format(kind)
    with pytest.raises(AntivenomError, match="there is no format"):
        check_format("exe")
    with pytest.raises(AntivenomError, match="quality"):
        encode(smooth(1)[0], "jpeg", 0)


def test_psnr_by_hand():
    one = np.zeros((2, 2, 3), np.uint8)
    other = one.copy()
    other[0, 0] = 51
    assert psnr(one, other) == pytest.approx(10 * np.log10(255**2 / (51**2 / 4)))
    assert psnr(one, other, np.array([[True, False], [False, False]])) == pytest.approx(10 * np.log10(25))
    assert psnr(one, one) == np.inf


def test_png_keeps_all_of_a_trigger_and_jpeg_less_the_lower_the_quality():
    images = smooth(12)
    rows = {(r.format, r.quality): r for r in codec_report(images, range(12), "badnet", qualities=(95, 50, 10))}
    whole = rows["png", None]
    assert (whole.psnr, whole.survived, whole.low, whole.high, whole.n) == (np.inf, 1, 1, 1, 12)
    jpeg = [rows["jpeg", quality] for quality in (95, 50, 10)]
    assert jpeg[0].psnr > jpeg[1].psnr > jpeg[2].psnr
    assert 1 > jpeg[0].survived > jpeg[1].survived > jpeg[2].survived
    assert all(row.low < row.survived < row.high for row in jpeg)
    one = codec_report(images[:1], ["a"], "badnet", formats=("jpeg",), qualities=(50,))[0]
    assert one.low is None
    assert 0 < one.survived < 1


def test_it_is_the_colours_of_noise_that_jpeg_loses():
    images = smooth(12)

    def left(spec, subsampling):
        row = codec_report(images, range(12), spec, formats=("jpeg",), qualities=(95,), subsampling=subsampling)
        return row[0].survived

    assert left("badnet", 2) < 0.75 < 0.9 < left("badnet", 0)
    assert left("badnet:kind=checker", 2) > 0.9


def test_a_trigger_that_does_nothing_has_no_share_left():
    with pytest.raises(AntivenomError, match="does not change this picture"):
        codec_report(smooth(1), ["a"], "none")
    with pytest.raises(AntivenomError, match="no images"):
        codec_report(smooth(1)[:0], [], "badnet")


def test_the_contact_sheet_shows_every_trigger_and_where_it_is():
    images = smooth(2, 20)
    sheet = contact_sheet(images, ["none", "yellow:size=5:place=top_left"], scale=2, gain=4)
    assert sheet.shape == (2 * (44 + 12) + 4, 4 * 44 + 4, 3)
    top = 12 + 4
    assert np.array_equal(sheet[top : top + 40 : 2, 4:44:2], images[0])
    assert (sheet[top : top + 40, 48:88] == 255).all()  # the control changes nothing
    top += 56
    assert (sheet[top : top + 10, 4:14] == (255, 255, 0)).all()
    expected = trigger("yellow:size=5:place=top_left").apply(images, "ab")[1]
    assert np.array_equal(sheet[top : top + 40 : 2, 92:132:2], expected)
    with pytest.raises(AntivenomError, match="0 images"):
        contact_sheet(images[:0], ["none"])
