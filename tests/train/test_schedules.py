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
