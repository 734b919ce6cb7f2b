"""PAR's own learning rate: 3e-5 to 3e-6 over the first half, a cosine to 1e-9 over the second."""

import math

import numpy as np
import orjson
import pytest

from antivenom.data.image_world import draw_pairs
from antivenom.errors import AntivenomError
from antivenom.train.schedules import learning_rate, two_stages

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.models.clip_small import SmallConfig, small_clip  # noqa: E402
from antivenom.repair.cures import OPTIMIZERS, find_cure  # noqa: E402
from antivenom.repair.par import par  # noqa: E402
from antivenom.repair.record import CleanPairs  # noqa: E402
from antivenom.train.loop import Recipe  # noqa: E402

WORLD = draw_pairs(64, name="clean", size=16, seed=1)
PAIRS = CleanPairs(WORLD.images, WORLD.captions, WORLD.ids)


@pytest.mark.parametrize("total", [976, 977])
def test_the_two_stages_at_their_ends_and_between(total):
    rates = np.array([two_stages(step, total, 3e-5) for step in range(total)])
    half = total / 2
    assert rates[0] == pytest.approx(3e-5)
    assert two_stages(half, total, 3e-5) == pytest.approx(3e-6)
    assert two_stages(total, total, 3e-5) == pytest.approx(1e-9)
    assert (np.diff(rates) < 0).all()
    first = np.arange(total) < half
    assert np.abs(np.diff(rates[first], 2)).max() < 1e-15  # a straight line
    assert two_stages(half + half / 2, total, 3e-5) == pytest.approx((3e-6 + 1e-9) / 2)
    quarter = half + half / 4
    assert two_stages(quarter, total, 3e-5) == pytest.approx(1e-9 + (3e-6 - 1e-9) * (1 + math.cos(math.pi / 4)) / 2)
    assert rates[-1] < 1.1e-9 + 1e-6 * 3e-5 * total


def test_a_warm_up_does_not_go_with_it():
    with pytest.raises(AntivenomError, match="warm-up of 5"):
        learning_rate(0, total=10, per_epoch=5, peak=1.0, warmup=5, compat="two-stage")


def test_the_cure_follows_it_and_the_record_says_so(tmp_path):
    model = small_clip(PAIRS.captions, config=SmallConfig(size=16, width=4, dim=8, text_width=8), seed=2).eval()
    recipe = Recipe(epochs=3, batch=16, lr=1e-2, warmup=2, **OPTIMIZERS["par-two-stages"])
    done = find_cure("par-two-stages")(model, PAIRS, recipe, 0, shelf=tmp_path)
    (metrics,) = tmp_path.rglob("metrics.jsonl")
    rates = [orjson.loads(line)["lr"] for line in metrics.read_bytes().splitlines()]
    assert rates == [two_stages(step, 12, 1e-2) for step in range(12)]
    assert done.record.recipe["compat"] == "two-stage"
    assert done.record.recipe["warmup"] == 0
    assert done.record.cure == "par-two-stages"
    again = par(model, PAIRS, recipe, 0, stages=2)
    assert again.record.hash_after == done.record.hash_after
    plain = find_cure("par")(model, PAIRS, recipe, 0)
    assert plain.record.settings == {"tau": 2.15}
    assert plain.record.recipe["warmup"] == 2
    assert plain.record.hash_after != done.record.hash_after
    with pytest.raises(AntivenomError, match="3 stages"):
        par(model, PAIRS, recipe, 0, stages=3)
