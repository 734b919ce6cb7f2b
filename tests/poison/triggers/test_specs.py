"""Specs, records, purity: the same id and seed give the same bytes, whatever the batch."""

import subprocess
import sys

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.poison.triggers import TRIGGERS, OptimisedPatch, from_record, optimise_patch, torch_gradient, trigger

RNG = np.random.default_rng(2)
IMAGES = RNG.integers(0, 256, (9, 20, 20, 3)).astype(np.uint8)
IDS = [f"图/{i}" for i in range(9)]
SPECS = [name for name in TRIGGERS if name != "optimised"] + [
    "badnet:kind=text:text=a:b=c:size=12".replace(":b=c", ""),
    "blended:kind=stripes",
    "wanet:noise=true",
    "wanet:k=20:s=1",
    "sig:mix=add",
    "badnet:fixed=true:place=1,2",
]


@pytest.mark.parametrize("spec", SPECS)
def test_the_batch_does_not_matter(spec):
    made = trigger(spec)
    whole = made.apply(IMAGES, IDS, 7)
    for at in range(9):
        assert np.array_equal(trigger(spec).apply(IMAGES[at : at + 1], IDS[at : at + 1], 7)[0], whole[at])
    order = RNG.permutation(9)
    assert np.array_equal(made.apply(IMAGES[order], [IDS[i] for i in order], 7), whole[order])
    strided = np.ascontiguousarray(IMAGES[:, :, ::-1])[:, :, ::-1]
    assert np.array_equal(made.apply(strided, IDS, 7), whole)
    assert made.apply(IMAGES[:0], [], 7).shape == (0, 20, 20, 3)


@pytest.mark.parametrize("spec", SPECS)
def test_spec_and_record_bring_the_same_trigger_back(spec):
    made = trigger(spec)
    assert trigger(made.spec) == made
    back = from_record(made.record())
    assert back == made
    assert np.array_equal(back.apply(IMAGES, IDS), made.apply(IMAGES, IDS))


def test_another_process_makes_the_same_bytes():
    code = (
        "import numpy as np, hashlib; from antivenom.poison.triggers import trigger;"
        "x = np.arange(1200, dtype=np.int64).reshape(1, 20, 20, 3).astype(np.uint8);"
        "print(hashlib.sha256(b''.join(trigger(s).apply(x, ['a'], 1).tobytes() for s in"
        " ('badnet', 'blended', 'wanet'))).hexdigest())"
    )
    hashes = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in ("0", "1")
    }
    assert len(hashes) == 1
    assert len(hashes.pop().strip()) == 64


def test_no_trigger_is_the_control():
    assert np.array_equal(trigger("none").apply(IMAGES, IDS), IMAGES)


def test_the_input_is_not_changed():
    before = IMAGES.copy()
    for spec in SPECS:
        trigger(spec).apply(IMAGES, IDS)
    assert np.array_equal(IMAGES, before)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("badnett", "choose from: badnet"),
        ("badnet:siez=3", "it has: alpha"),
        ("badnet:size=big", "whole number"),
        ("badnet:size=0", r"lies in \[1"),
        ("badnet:size=-3", r"lies in \[1"),
        ("badnet:size=3:size=4", "sets size twice"),
        ("badnet:kind=dots", "noise, checker"),
        ("badnet:place=middle", "four_corners"),
        ("badnet:alpha=nan", r"lies in \[0, 1\]"),
        ("badnet:fixed=yes", "true or false"),
        ("badnet:overflow=saturate", "clip, wrap"),
        ("colour:colour=blurple", "no colour"),
        ("blended:alpha=2", r"lies in \[0, 1\]"),
        ("wanet:k=0", r"lies in \[1"),
        ("sig:mix=mul", "blend, add"),
        ("optimised", "add file=PATH"),
        ("", "choose from"),
        ("badnet:", "choose from"),
    ],
)
def test_bad_specs_say_what_is_wrong_and_what_there_is(spec, says):
    with pytest.raises(AntivenomError, match=says):
        trigger(spec)


def test_values_may_hold_commas_and_colons():
    assert trigger("badnet:kind=text:text=a: b, c:size=20").text == "a: b, c"
    assert trigger("badnet:place=3,4").place == "3,4"


def test_ids_are_needed_one_for_each_image():
    with pytest.raises(AntivenomError, match="9 images come with 2 ids"):
        trigger("badnet").apply(IMAGES, ["a", "b"])


def test_a_record_of_another_trigger_is_refused(tmp_path):
    """Spec 04, U3 and U4: a model tested with another trigger looks clean."""
    file = tmp_path / "p.npy"
    np.save(file, IMAGES[0, :4, :4])
    record = trigger(f"optimised:file={file}").record()
    assert np.array_equal(from_record(record).patch, IMAGES[0, :4, :4])
    np.save(file, IMAGES[1, :4, :4])
    with pytest.raises(AntivenomError, match="not the one recorded"):
        from_record(record)
    file.unlink()
    with pytest.raises(AntivenomError, match="cannot be read"):
        from_record(record)
    with pytest.raises(AntivenomError, match="no record"):
        from_record({"name": "badnet"})
    changed = trigger("badnet").record()
    changed["parameters"]["size"] = 5
    with pytest.raises(AntivenomError, match="not the one recorded"):
        from_record(changed)


def test_the_name_of_a_file_is_not_part_of_the_trigger(tmp_path):
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, IMAGES[0, :4, :4])
    one, other = (trigger(f"optimised:file={tmp_path / name}") for name in ("a.npy", "b.npy"))
    assert one.fingerprint == other.fingerprint


def test_an_optimised_patch_reaches_the_colour_that_its_loss_asks_for(tmp_path):
    goal = np.array([1.0, 0.0, 0.25])

    def gradient(images):
        off = images[:, 8:12, 8:12] - goal
        slope = np.zeros_like(images)
        slope[:, 8:12, 8:12] = 2 * off
        return float((off**2).sum()), slope

    patch, losses = optimise_patch(gradient, IMAGES, IDS, size=4, steps=80, step_size=0.01, batch=4)
    assert losses[-1] < 0.01 * losses[0]
    assert np.abs(patch / 255 - goal).max() < 0.02
    np.save(tmp_path / "p.npy", patch)
    out = OptimisedPatch(file=str(tmp_path / "p.npy")).apply(IMAGES, IDS)
    assert (out[:, 8:12, 8:12] == patch).all()
    again, _ = optimise_patch(gradient, IMAGES, IDS, size=4, steps=80, step_size=0.01, batch=4)
    assert np.array_equal(patch, again)


def test_the_gradient_of_a_torch_function_is_the_one_by_hand():
    torch = pytest.importorskip("torch")
    weight = RNG.random((3, 20, 20))

    def loss(x):
        return ((x * torch.tensor(weight, dtype=torch.float32)) ** 2).sum()

    value, slope = torch_gradient(loss)(IMAGES[:2] / 255)
    expected = 2 * (IMAGES[:2] / 255) * weight.transpose(1, 2, 0) ** 2
    assert np.abs(slope - expected).max() < 1e-5
    assert value == pytest.approx((((IMAGES[:2] / 255) * weight.transpose(1, 2, 0)) ** 2).sum(), rel=1e-5)


def test_a_gradient_that_is_none_is_refused():
    with pytest.raises(AntivenomError, match="not finite"):
        optimise_patch(lambda x: (0.0, np.full_like(x, np.nan)), IMAGES, IDS, size=4, steps=1)
    with pytest.raises(AntivenomError, match="not finite"):
        optimise_patch(lambda x: (0.0, np.zeros(3)), IMAGES, IDS, size=4, steps=1)
    with pytest.raises(AntivenomError, match="one place"):
        optimise_patch(lambda x: (0.0, x), IMAGES, IDS, size=4, place="four_corners")
