"""The rate by step, as it should be and as it was published; names that decay."""

import math

import pytest

from antivenom.errors import AntivenomError
from antivenom.train.optimizer import NO_DECAY_SUPERVISED, parameter_groups
from antivenom.train.schedules import learning_rate, warmup_cosine


def test_warm_up_then_half_a_cosine():
    total, warmup, peak = 200, 20, 3e-3
    rates = [warmup_cosine(step, total, peak, warmup) for step in range(total)]
    assert rates[0] == pytest.approx(peak / warmup)
    assert rates[warmup - 1] == rates[warmup] == pytest.approx(peak)
    assert all(a > b for a, b in zip(rates[warmup:], rates[warmup + 1 :], strict=False))
    assert 0 < rates[-1] < 1e-3 * peak
    assert rates[110] == pytest.approx(peak / 2)


def test_the_published_schedule_skips_the_warm_up_and_rises_at_the_end():  # T6
    per_epoch, epochs, peak = 1562, 10, 1e-5
    options = {"total": per_epoch * epochs, "per_epoch": per_epoch, "peak": peak, "warmup": 50}
    theirs = [learning_rate(s, **options, compat="official") for s in range(per_epoch * epochs)]
    ours = [learning_rate(s, **options) for s in range(per_epoch * epochs)]
    assert ours[0] == pytest.approx(peak / 50)
    assert theirs[0] > 0.97 * peak
    lowest = theirs.index(min(theirs))
    assert lowest == pytest.approx(per_epoch * (epochs - 1), abs=1)
    assert theirs[-1] == pytest.approx(0.0245 * peak, rel=0.02)
    assert ours[-1] < 1e-6 * peak
    for step in (0, 10, 5_000):
        turn = math.pi * (step + per_epoch - 50) / (per_epoch * epochs - 50)
        assert theirs[step] == pytest.approx(peak * (1 + math.cos(turn)) / 2)
    with pytest.raises(AntivenomError, match="compat='paper'"):
        learning_rate(0, **options, compat="paper")


class Fake:
    def __init__(self, name, requires_grad=True):
        self.name, self.requires_grad = name, requires_grad


def decayed(names, **options):
    groups = parameter_groups([(n, Fake(n)) for n in names], 0.1, **options)
    return {p.name for group in groups if group["weight_decay"] for p in group["params"]}


def test_decay_goes_by_name():
    resnet = [
        "visual.conv1.weight", "visual.bn1.weight", "visual.layer1.0.downsample.1.weight",
        "visual.attnpool.positional_embedding", "visual.attnpool.k_proj.bias", "logit_scale",
    ]  # fmt: skip
    # the norm of a shortcut is called `downsample.1`, so it decays in the published code
    assert decayed(resnet) == {resnet[0], resnet[2], resnet[3]}
    vit = [
        "visual.class_embedding", "visual.positional_embedding", "visual.proj", "visual.ln_pre.weight",
        "transformer.resblocks.0.attn.in_proj_weight", "transformer.resblocks.0.attn.in_proj_bias",
        "transformer.resblocks.0.ln_1.weight", "token_embedding.weight", "text_projection",
    ]  # fmt: skip
    assert decayed(vit) == {vit[0], vit[1], vit[2], vit[4], vit[7], vit[8]}
    assert decayed(resnet, no_decay=NO_DECAY_SUPERVISED) == set(resnet) - {"visual.attnpool.k_proj.bias"}


def test_frozen_parameters_and_empty_groups_are_left_out():
    assert parameter_groups([("a.weight", Fake("a", requires_grad=False))], 0.1) == []
    (only,) = parameter_groups([("a.bias", Fake("a"))], 0.1)
    assert only["weight_decay"] == 0


def test_lines_and_plateaus():
    """Spec 02, section 6: 100 steps of warm-up, constant, the last tenth linear to 0."""
    common = {"total": 2000, "per_epoch": 2000, "peak": 2e-3, "warmup": 100}
    plateau = [learning_rate(s, **common, schedule="constant-linear", decay=0.1) for s in range(2000)]
    assert plateau[:100] == pytest.approx([2e-3 * (s + 1) / 100 for s in range(100)])
    assert set(plateau[100:1801]) == {2e-3}
    assert plateau[1801:] == pytest.approx([2e-3 * (2000 - s) / 200 for s in range(1801, 2000)])
    line = [learning_rate(s, **common, schedule="linear") for s in range(2000)]
    assert line[:100] == plateau[:100]
    assert line[100:] == pytest.approx([2e-3 * (2000 - s) / 1900 for s in range(100, 2000)])
    assert {learning_rate(s, **common, schedule="constant") for s in range(100, 2000)} == {2e-3}


def test_a_cosine_to_a_tenth():
    common = {"total": 100, "per_epoch": 100, "peak": 1.0, "warmup": 10}
    high = [learning_rate(s, **common, floor=0.1) for s in range(100)]
    zero = [learning_rate(s, **common) for s in range(100)]
    assert high[:10] == zero[:10]
    assert high[10:] == pytest.approx([0.1 + 0.9 * z for z in zero[10:]])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"schedule": "step"}, "no schedule 'step'"),
        ({"schedule": "linear", "compat": "official"}, "'linear' with compat='official'"),
        ({"floor": 0.1, "compat": "official"}, "floor 0.1"),
        ({"schedule": "constant-linear", "decay": 1.5}, "decay of 1.5"),
    ],
)
def test_what_is_no_schedule(options, match):
    with pytest.raises(AntivenomError, match=match):
        learning_rate(0, total=10, per_epoch=5, peak=1.0, **options)
