"""Opening pictures: every mode has one documented conversion or a clear refusal."""

import io

import numpy as np
import pytest
from PIL import Image

from antivenom.data.images import as_batch, as_rgb, open_image, pixel_hash, png_bytes, resize
from antivenom.errors import AntivenomError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3)).astype(np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_png_is_lossless_and_the_hash_sees_every_pixel_and_the_shape():
    assert np.array_equal(open_image(png_bytes(RGB)), RGB)
    other = RGB.copy()
    other[5, 8, 2] ^= 1
    assert len({pixel_hash(RGB), pixel_hash(other), pixel_hash(RGB.reshape(9, 6, 3))}) == 3
    assert pixel_hash(RGB[:, ::-1][:, ::-1]) == pixel_hash(RGB)  # memory layout does not count


def test_grey_black_and_white_and_palette():
    grey = Image.fromarray(RGB[..., 0])
    assert np.array_equal(open_image(saved(grey)), np.repeat(RGB[..., :1], 3, axis=2))
    bits = Image.fromarray(np.where(RGB[..., 0] > 127, 255, 0).astype(np.uint8)).convert("1")
    assert set(np.unique(open_image(saved(bits)))) == {0, 255}
    palette = Image.fromarray(RGB).quantize(16)
    assert np.array_equal(open_image(saved(palette)), np.asarray(palette.convert("RGB")))


def test_transparency_is_laid_over_white_in_every_mode_that_has_it():
    rgba = np.dstack([RGB, np.zeros((6, 9), np.uint8)])
    rgba[0, 0, 3] = 255
    rgba[0, 1, 3] = 51
    opened = open_image(saved(Image.fromarray(rgba)))
    assert np.array_equal(opened[0, 0], RGB[0, 0])
    assert np.abs(opened[0, 1] - (0.2 * RGB[0, 1] + 0.8 * 255)).max() <= 1
    assert (opened[1:] == 255).all()
    hidden = Image.fromarray(rgba[..., [0, 3]])
    assert hidden.mode == "LA"
    assert (open_image(saved(hidden))[1:] == 255).all()
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert open_image(saved(palette, transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    keyed = Image.fromarray(RGB)
    assert (open_image(saved(keyed, transparency=tuple(map(int, RGB[0, 0]))))[0, 0] == 255).all()


def test_sixteen_bits_are_scaled_not_cut():
    values = np.array([[0, 257, 32_768, 65_535, 128, 129]], np.uint16)
    expected = [0, 1, 128, 255, 0, 1]
    assert open_image(saved(Image.fromarray(values)))[0, :, 1].tolist() == expected
    wide = Image.fromarray(values.astype(np.int32))
    assert np.asarray(as_rgb(wide))[0, :, 0].tolist() == expected
    with pytest.raises(AntivenomError, match="integers from 0 to 70000"):
        as_rgb(Image.fromarray(np.array([[0, 70_000]], np.int32)))


def test_cmyk_is_converted_and_float_and_lab_are_refused():
    cmyk = Image.fromarray(RGB).convert("CMYK")
    assert np.array_equal(open_image(saved(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))
    assert open_image(saved(cmyk, "JPEG")).shape == RGB.shape
    with pytest.raises(AntivenomError, match="mode F"):
        open_image(saved(Image.fromarray(RGB[..., 0].astype(np.float32)), "TIFF"))
    with pytest.raises(AntivenomError, match="mode LAB"):
        as_rgb(Image.new("LAB", (2, 2)))


def test_orientation_is_applied_and_the_first_frame_taken():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert open_image(saved(Image.fromarray(RGB), exif=exif)).shape == (9, 6, 3)
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    film = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_image(film)[0, 0].tolist() == [255, 0, 0]


def test_one_pixel_grows_and_any_size_is_squashed():
    dot = png_bytes(np.full((1, 1, 3), 7, np.uint8))
    assert open_image(dot).shape == (1, 1, 3)
    assert (open_image(dot, size=8) == 7).all()
    assert open_image(png_bytes(RGB), size=(4, 5)).shape == (4, 5, 3)
    assert resize(RGB, (6, 9)) is RGB
    with pytest.raises(AntivenomError, match="0 x 0"):
        resize(RGB, 0)


@pytest.mark.parametrize("cut", [0, 3, 20, 60, -1])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_truncated_files_are_refused(kind, cut):
    big = Image.fromarray(RNG.integers(0, 256, (40, 40, 3)).astype(np.uint8))
    whole = saved(big, kind)
    with pytest.raises(AntivenomError, match=r"no image that can be read|broken or cut off"):
        open_image(whole[: len(whole) // 2 if cut < 0 else cut])


def test_a_file_that_says_it_is_huge_is_refused_before_it_is_decoded(tmp_path):
    huge = saved(Image.new("1", (30_000, 30_000)))
    with pytest.raises(AntivenomError, match="too many pixels"):
        open_image(huge)
    large = saved(Image.new("1", (10_000, 9_000)))
    with pytest.raises(AntivenomError, match="10000 x 9000"):
        open_image(large)
    path = tmp_path / "p.png"
    path.write_bytes(png_bytes(RGB))
    with pytest.raises(AntivenomError, match=r"p\.png.*9 x 6"):
        open_image(path, max_pixels=53)
    assert open_image(path, max_pixels=54).shape == RGB.shape


def test_what_is_no_image(tmp_path):
    text = tmp_path / "a.png"
    text.write_text("<html>not found</html>")
    with pytest.raises(AntivenomError, match="no image"):
        open_image(text)
    with pytest.raises(AntivenomError, match="not there"):
        open_image(tmp_path / "b.png")
    with pytest.raises(AntivenomError, match="broken"):
        open_image(tmp_path)


@pytest.mark.parametrize(
    ("bad", "mend"),
    [
        (np.zeros((2, 4, 4, 3)), "scale to"),
        (np.zeros((2, 4, 4, 3), np.uint16), "scale to"),
        (np.zeros((4, 4, 3), np.uint8), "images\\[None\\]"),
        (np.zeros((2, 3, 4, 4), np.uint8), "transpose"),
        (np.zeros((2, 0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((2, 4, 4, 4), np.uint8), "bring them"),
    ],
)
def test_batches_of_another_shape_or_type_are_refused_with_the_mend(bad, mend):
    with pytest.raises(AntivenomError, match=mend):
        as_batch(bad)
    assert as_batch(np.zeros((0, 4, 4, 3), np.uint8)).shape == (0, 4, 4, 3)
