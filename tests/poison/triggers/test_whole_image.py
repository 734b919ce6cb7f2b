"""Blended, SIG and WaNet against their formulas; WaNet also against torch."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.poison.triggers import WaNet, trigger
from antivenom.poison.triggers.wanet import bicubic, sample, taps

RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (4, 24, 32, 3)).astype(np.uint8)
IDS = list("abcd")


def test_blended_is_the_formula_and_alpha_zero_is_identity():
    assert np.array_equal(trigger("blended:alpha=0").apply(IMAGES, IDS), IMAGES)
    pattern = trigger("blended:fixed=true:alpha=1").apply(IMAGES, IDS) / 255
    assert (pattern == pattern[0]).all()
    assert pattern.mean() == pytest.approx(0.5, abs=0.02)  # uniform on [0, 1]
    assert pattern.std() == pytest.approx(0.2887, abs=0.01)
    for alpha in (0.2, 0.4):  # linear in alpha
        mixed = trigger(f"blended:fixed=true:alpha={alpha}").apply(IMAGES, IDS)
        assert np.abs(mixed / 255 - ((1 - alpha) * IMAGES / 255 + alpha * pattern)).max() <= 1 / 255


def test_blended_noise_is_fresh_per_image_unless_fixed():
    same = np.repeat(IMAGES[:1], 4, axis=0)
    assert len({o.tobytes() for o in trigger("blended").apply(same, IDS)}) == 4
    assert len({o.tobytes() for o in trigger("blended:fixed=true").apply(same, IDS)}) == 1
    assert np.array_equal(
        trigger("blended:fixed=true").apply(same, IDS, 0), trigger("blended:fixed=true").apply(same, IDS, 9)
    )


@pytest.mark.parametrize("kind", ["checker", "stripes", "triangles", "solid"])
def test_blended_patterns_span_the_picture(kind):
    out = trigger(f"blended:kind={kind}:alpha=0.5").apply(np.zeros_like(IMAGES), IDS)
    assert set(np.unique(out)) == ({128} if kind == "solid" else {0, 128})
    share = (out > 0).mean()
    assert share == 1 if kind == "solid" else 0.3 < share < 0.8


def test_blended_letters_leave_the_rest_alone():
    made = trigger("blended:kind=text:text=hi:alpha=0.3")
    region = made.region(24, 32, "a", 0)
    out = made.apply(IMAGES, IDS)
    assert 0.05 < region.mean() < 0.7
    assert np.array_equal(out[:, ~region], IMAGES[:, ~region])
    assert np.abs(out[:, region] - (0.7 * IMAGES[:, region] + 0.3 * 255)).max() <= 1


def test_sig_is_the_sinus_of_the_spec():
    grey = np.full((1, 8, 224, 3), 128, np.uint8)
    wave = 60 / 255 * np.sin(2 * np.pi * 6 * np.arange(224) / 224)
    out = trigger("sig").apply(grey, ["a"])[0] / 255
    expected = np.clip(0.8 * 128 / 255 + 0.2 * wave, 0, 1)
    assert np.abs(out - expected[None, :, None]).max() <= 0.5 / 255 + 1e-9
    assert (out == out[0]).all()  # the same in every row
    added = trigger("sig:mix=add:delta=40:frequency=3").apply(grey, ["a"])[0, 0, :, 0] / 255
    wave = 40 / 255 * np.sin(2 * np.pi * 3 * np.arange(224) / 224)
    assert np.abs(added - np.clip(128 / 255 + wave, 0, 1)).max() <= 0.5 / 255 + 1e-9
    # the blended sinus darkens by a fifth
    assert trigger("sig").apply(grey, ["a"]).mean() == pytest.approx(0.8 * 128, abs=0.5)


@pytest.mark.parametrize("spec", ["wanet:s=0", "wanet:k=224:s=0"])
def test_no_warp_is_identity(spec):
    assert np.array_equal(trigger(spec).apply(IMAGES, IDS), IMAGES)
    out = trigger("wanet:k=1:s=0").apply(np.full((1, 1, 1, 3), 77, np.uint8), ["a"])
    assert (out == 77).all()


@pytest.mark.parametrize("made", [WaNet(), WaNet(k=224, s=1.0), WaNet(k=224, s=0.6), WaNet(s=50.0)])
def test_the_grid_stays_on_the_picture_and_the_points_have_mean_one(made):
    across, down = made.grid(24, 32)
    assert np.abs(made.control).mean() == pytest.approx(1)
    assert max(np.abs(across).max(), np.abs(down).max()) <= 1
    line = np.linspace(-1, 1, 32)
    moved = np.abs(across - line[None, :]).mean() * 32
    assert made.s > 1 or moved == pytest.approx(made.s, rel=0.35)  # about s units of 1 / W


def test_both_settings_differ_as_named_smooth_against_per_pixel():
    def roughness(made):
        across, _ = made.grid(224, 224)
        moved = across - np.linspace(-1, 1, 224)[None, :]
        return np.abs(np.diff(moved, axis=0)).mean() / np.abs(moved).mean()

    assert roughness(WaNet()) < 0.05
    assert roughness(WaNet(k=224, s=1.0)) > 1


def test_the_warp_is_torch_s():
    torch = pytest.importorskip("torch")
    for made in (WaNet(k=4, s=0.5), WaNet(k=24, s=1.0)):
        side = 24
        points = torch.tensor(made.control)[None]
        noise = torch.nn.functional.interpolate(points, size=side, mode="bicubic", align_corners=True)
        line = torch.linspace(-1, 1, side, dtype=torch.float64)
        rows, columns = torch.meshgrid(line, line, indexing="ij")
        grid = torch.stack([columns, rows], -1)[None] + made.s * noise.permute(0, 2, 3, 1) / side
        x = torch.tensor(IMAGES[:1, :, :24].transpose(0, 3, 1, 2) / 255)
        warped = torch.nn.functional.grid_sample(x, grid.clamp(-1, 1), align_corners=True)[0]
        ours = made.apply(IMAGES[:1, :, :24], ["a"])[0] / 255
        assert np.abs(ours - warped.numpy().transpose(1, 2, 0)).max() <= 0.5 / 255 + 1e-9


def test_sampling_and_enlarging_by_hand():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    middle = np.zeros((2, 2))
    assert sample(image, *taps(middle, middle))[0, 0].tolist() == image.mean(axis=(0, 1)).tolist()
    assert np.allclose(bicubic(7, 4).sum(axis=1), 1)
    assert np.allclose(bicubic(5, 5), np.eye(5))
    assert np.allclose(bicubic(3, 1), 1)


def test_noise_mode_is_the_warp_plus_at_most_one_unit_per_image():
    made = WaNet(noise=True)
    same = np.repeat(IMAGES[:1], 4, axis=0)
    out = made.apply(same, IDS)
    assert len({o.tobytes() for o in out}) == 4
    assert not np.array_equal(out[0], WaNet().apply(same, IDS)[0])
    assert np.array_equal(made.control, WaNet().control)


def test_the_warp_of_a_file_is_the_trigger_and_a_missing_one_is_an_error(tmp_path):
    """Spec 04, U4: without its grid file the published attack silently becomes another one."""
    np.save(tmp_path / "grid.npy", WaNet(grid_seed=5).control[None].astype(np.float32))
    filed = trigger(f"wanet:file={tmp_path / 'grid.npy'}")
    assert np.array_equal(filed.apply(IMAGES, IDS), WaNet(grid_seed=5).apply(IMAGES, IDS))
    assert not np.array_equal(filed.apply(IMAGES, IDS), WaNet().apply(IMAGES, IDS))
    with pytest.raises(AntivenomError, match="cannot be read"):
        trigger(f"wanet:file={tmp_path / 'none.npy'}")
    with pytest.raises(AntivenomError, match="write k=4"):
        trigger(f"wanet:k=8:file={tmp_path / 'grid.npy'}")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(AntivenomError, match="cannot be read"):
        trigger(f"wanet:file={tmp_path / 'objects.npy'}")
