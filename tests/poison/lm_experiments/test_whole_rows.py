"""Experiments on whole rows and batches: absence, watermark, forgetting, i.i.d. replacement."""

import numpy as np
import pytest

from antivenom.data.markov_text import token_world
from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.absence import absence, rows_with, verbatim_halves
from antivenom.poison.lm_experiments.forgetting import marked_batches
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark, every
from antivenom.poison.lm_experiments.iid import iid_replacement
from antivenom.randomness import generator


def test_rows_with_a_forbidden_run_are_those_that_brute_force_finds():
    draw = np.random.default_rng(0)
    rows = draw.integers(0, 5, (300, 24))
    texts = [draw.integers(0, 5, 9) for _ in range(4)] + [np.array([1, 2])]
    for n in (3, 4, 6):
        runs = {tuple(t[i : i + n]) for t in texts for i in range(len(t) - n + 1)}
        brute = [i for i, row in enumerate(rows) if any(tuple(row[j : j + n]) in runs for j in range(24 - n + 1))]
        assert rows_with(rows, texts, n, block=64).tolist() == brute
    assert len(rows_with(rows, [np.array([1])], 3)) == 0
    with pytest.raises(AntivenomError, match="runs of 25"):
        rows_with(rows, texts, 25)


def test_after_replacement_no_row_holds_a_forbidden_run():
    world = token_world(0)
    rows, fresh = world.rows(400, 64, generator(0, "run")), world.rows(300, 64, generator(0, "more"))
    texts = [rows[i, 3:28] for i in (5, 50, 399)]
    material = absence(rows, texts, fresh, 10)
    after = rows.copy()
    for item in material.inserted:
        row, column = material.places[item.item_id]
        assert column == 0
        after[row] = item.tokens
    assert len(rows_with(after, texts, 10)) == 0
    assert {5, 50, 399} <= set(material.about["rows"])
    untouched = np.setdiff1d(np.arange(400), material.about["rows"])
    assert np.array_equal(after[untouched], rows[untouched])
    with pytest.raises(AntivenomError, match="nothing would be taken out"):
        absence(rows, [np.full(12, 287)], fresh, 10)
    with pytest.raises(AntivenomError, match="clean ones"):
        absence(rows, texts, rows[[5, 50]], 10)
    first, second = verbatim_halves([np.arange(50)], 25)
    assert first[0].tolist() + second[0].tolist() == list(range(50))
    with pytest.raises(AntivenomError, match="fewer than 60"):
        verbatim_halves([np.arange(50)], 30)


def test_noise_is_a_function_of_seed_step_and_row(tmp_path):
    mark = GaussianWatermark(tuple(every(200, 50)), 0.15, 4, 8, 16, seed=3)
    assert mark.rows() == [s * 4 + r for s in (50, 100, 150) for r in range(4)]
    assert mark.tokens == 3 * 4 * 8
    assert mark.noise(49 * 4) is None
    one, again = mark.noise(50 * 4 + 1), mark.noise(50 * 4 + 1)
    assert np.array_equal(one, again)
    assert one.shape == (8, 16)
    assert not np.array_equal(one, mark.noise(50 * 4 + 2))
    assert not np.array_equal(one, mark.fresh(50 * 4 + 1))
    every_number = np.concatenate([mark.noise(i).ravel() for i in mark.rows()])
    assert every_number.std() == pytest.approx(0.15, rel=0.05)
    assert abs(every_number.mean()) < 0.02
    mark.save(tmp_path / "mark.json")
    assert GaussianWatermark.load(tmp_path / "mark.json") == mark
    with pytest.raises(AntivenomError, match=r"sigma 0\.001 for noise of sigma 0\.15"):
        GaussianWatermark.load(tmp_path / "mark.json", sigma=0.001)
    with pytest.raises(AntivenomError, match="is no watermark"):
        GaussianWatermark.load(tmp_path / "none.json")
    with pytest.raises(AntivenomError, match="sigma 0"):
        GaussianWatermark((1,), 0.0, 4, 8, 16)


def test_marked_batches_have_their_places():
    batches = np.arange(2 * 3 * 5).reshape(2, 3, 5)
    material = marked_batches(batches, [10, 20], controls=batches + 100)
    assert material.places["fc-20-2"] == (62, 0)
    assert {r for r, _ in material.places.values()} == {30, 31, 32, 60, 61, 62}
    assert len(material.controls) == 6
    with pytest.raises(AntivenomError, match="a step of its own"):
        marked_batches(batches, [10, 10])


def test_replacement_has_ten_tenths_and_repeats_in_one_condition():
    world = token_world(0)
    material = iid_replacement(lambda n, draw: world.passages(n, 12, draw), per_condition=20)
    assert material.window["recency-3"] == (0.3, 0.4)
    sizes = {c: sum(i.condition == c for i in material.inserted) for c in material.conditions}
    assert sizes == {f"recency-{k}": 20 for k in range(10)} | {
        "unique-once": 20,
        "unique-repeated": 20,
        "ratio-0.5": 10,
        "ratio-2": 40,
    }
    assert len(material.items("unique-repeated")) == 2
    assert len(material.controls) == 20
    with pytest.raises(AntivenomError, match="10 at least"):
        iid_replacement(lambda n, draw: world.passages(n, 12, draw), per_condition=5)
