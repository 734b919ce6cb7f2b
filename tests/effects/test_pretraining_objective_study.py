"""Study pretraining-objective at a few seconds: equal victims, every epoch, oracle and blind apart, residual poisons, pairing."""

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.measure.selection import best_at_cap, points_of
from antivenom.studies.cleanclip import poisoned, world
from antivenom.studies.frame import Cell, find_study, run_study
from antivenom.studies.over_seeds import NO_DIFFERENCE, summarise
from antivenom.studies.pretraining_objective import (
    KEPT,
    SIZES,
    VICTIMS,
    advantage,
    chosen_epoch,
    cleaning_rows,
    interaction,
    pretraining_objective,
    residual_poisons,
    run_of,
    start_of,
    victim_epochs,
)

FEW = SIZES["smoke"] | {"pairs": 256, "clean": 128, "validation": 64, "test": 60, "epochs": 3, "repair_epochs": 3}
FEW |= {"batch": 32, "repair_batch": 32, "warmup": 2, "rates": "1e-3 3e-3"}
KEY = tuple(sorted(FEW.items()))
DOSE, SEED = 60, 1


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return str(tmp_path_factory.mktemp("shelf"))


def cell(shelf, treatment, dose=DOSE, **more):
    return Cell("smoke", dose, treatment, SEED, FEW | more, "pretraining-objective", shelf)


def answered(study, *args, **more):
    return {response.metric: response for response in study(cell(*args, **more))}


def test_the_victims_differ_in_the_objective_alone(shelf):
    (a, mmcl), (b, both) = (victim_epochs(KEY, DOSE, SEED, shelf, v) for v in VICTIMS)
    assert (mmcl["steps"], mmcl["batch"]) == (both["steps"], both["batch"])  # trap U8
    assert all((x == y).all() for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    ends = [found["states"][-1] for found in (mmcl, both)]
    assert any((ends[0][name] != ends[1][name]).any() for name in ends[0])
    assert [e["epoch"] for e in mmcl["epochs"]] == [1, 2, 3]


def test_every_epoch_is_a_point_and_the_cap_is_chosen_among_all_of_them(shelf):
    found = answered(pretraining_objective, shelf, "mmcl/cleanclip")
    points = []
    for rate in ("1e-3", "3e-3"):
        run = run_of(KEY, DOSE, SEED, shelf, "mmcl", "cleanclip", rate)
        assert [e["epoch"] for e in run["epochs"]] == [1, 2, 3]
        end = run["epochs"][-1]
        assert found[f"clean accuracy, last epoch, rate {rate} (blind)"].value == end["CA"]
        response = found[f"attack success rate, last epoch, rate {rate} (blind)"]
        assert (response.value, response.n, response.control) == (end["ASR"], end["others"], end["without"])
        assert np.isclose(np.mean(run["hits"]), end["ASR"])
        assert len(run["hits"]) == end["others"] < end["images"] == 60
        points += points_of(run["epochs"], run=rate, seed=SEED)
    for cap, text in ((0.05, "5 %"), (0.1, "10 %"), (0.2, "20 %")):
        best = best_at_cap(points, cap)
        assert found[f"clean accuracy at ASR <= {text} (oracle)"].value == (best.ca if best else None)
    assert found["Pareto area (oracle)"].n == found[KEPT].n == 6
    blind = min((p for p in points), key=lambda p: (p.loss, p.epoch))
    assert found["clean accuracy, least clean validation loss (blind)"].value == blind.ca
    assert found["attack success rate, least clean validation loss (blind)"].value == blind.asr


def test_the_advantage_and_the_interaction_are_differences_over_the_same_images(shelf):
    found = answered(pretraining_objective, shelf, "mmcl/cleanclip")
    rates = {
        (victim, cure): run_of(KEY, DOSE, SEED, shelf, victim, cure, "3e-3")["epochs"][-1]["ASR"]
        for victim in VICTIMS
        for cure in ("mmcl", "cleanclip")
    }
    gains = {victim: rates[victim, "mmcl"] - rates[victim, "cleanclip"] for victim in VICTIMS}
    assert advantage(KEY, DOSE, SEED, shelf, "mmcl", "3e-3").value == pytest.approx(gains["mmcl"])
    both = interaction(KEY, DOSE, SEED, shelf, "3e-3")
    assert both.value == pytest.approx(gains["mmcl"] - gains["mmcl+ssl"])
    assert found["interaction, last epoch, rate 3e-3 (blind)"].value == both.value
    other = answered(pretraining_objective, shelf, "mmcl+ssl/cleanclip")
    assert not [name for name in other if name.startswith("interaction")]  # said once


def test_an_untreated_victim_is_the_same_at_every_rate(shelf):
    found = answered(pretraining_objective, shelf, "mmcl/none")
    before = start_of(KEY, DOSE, SEED, shelf, "mmcl")["epochs"][-1]
    values = {m: r.value for m, r in found.items()}
    assert len(values) == 4
    assert set(values.values()) == {before["CA"], before["ASR"]}


def test_matched_victims_are_taken_at_the_epoch_closest_to_a_common_accuracy(shelf):
    key = tuple(sorted((FEW | {"match": True}).items()))
    curves = {v: [e["CA"] for e in victim_epochs(key, DOSE, SEED, shelf, v)[1]["epochs"]] for v in VICTIMS}
    aim = min(max(curve) for curve in curves.values())
    for victim, curve in curves.items():
        epoch = chosen_epoch(key, DOSE, SEED, shelf, victim)
        assert abs(curve[epoch - 1] - aim) == min(abs(ca - aim) for ca in curve)
        assert start_of(key, DOSE, SEED, shelf, victim)["epochs"][0]["CA"] == curve[epoch - 1]
    assert {chosen_epoch(KEY, DOSE, SEED, shelf, v) for v in VICTIMS} == {3}


def test_residual_poisons_are_the_victims_own_and_take_the_place_of_clean_pairs(shelf):
    made = world(KEY, SEED)
    images, captions, rows = poisoned(made["train"], DOSE, FEW["trigger"], SEED)
    own = {made["train"].ids[i]: (images[i], captions[i]) for i in rows}
    before: set[str] = set()
    for residual in (0, 5, 20):
        pictures, words, ids, left = cleaning_rows(KEY, DOSE, SEED, residual)
        assert len(pictures) == len(words) == len(set(ids)) == 128
        inside = {i for i in ids if i in own}
        assert left == len(inside) == residual
        assert before <= inside
        before = inside
        for picture, word, name in zip(pictures, words, ids, strict=True):
            if name in own:
                assert (picture == own[name][0]).all()
                assert word == own[name][1]


def test_residual_poisons_change_the_cure_and_are_counted_among_the_cleaning_pairs(shelf, monkeypatch):
    monkeypatch.setattr("antivenom.studies.pretraining_objective.DOSE", DOSE)
    none, some = (answered(residual_poisons, shelf, "mmcl/mmcl", dose) for dose in (0, 20))
    assert list(none) == list(some)
    assert some[next(iter(some))].dose_share == 20 / 128
    assert run_of(KEY, DOSE, SEED, shelf, "mmcl", "mmcl", "3e-3", 20) != run_of(
        KEY, DOSE, SEED, shelf, "mmcl", "mmcl", "3e-3", 0
    )


def test_a_run_is_read_back_as_it_was(shelf):
    args = (KEY, DOSE, SEED, shelf, "mmcl", "mmcl", "3e-3")
    first = run_of(*args)
    run_of.cache_clear()
    assert run_of(*args) == first
    run_of.cache_clear()
    assert run_of(*args[:3], None, *args[4:])["epochs"] == first["epochs"]  # without a shelf: trained again, the same


def test_a_study_is_run_again_when_the_study_it_takes_functions_from_changes(monkeypatch):
    import inspect

    mine = find_study("pretraining-objective")
    before = mine.source_hash
    real = inspect.getsource
    monkeypatch.setattr(
        inspect, "getsource", lambda of: real(of) + "#" * (getattr(of, "__name__", "") == "antivenom.studies.cleanclip")
    )
    assert mine.source_hash != before


def test_the_interval_of_a_difference_may_be_negative():
    row = {"metric": "interaction", "dose": 1, "treatment": "t", "control": 0.0, "control_name": NO_DIFFERENCE}
    rows = [row | {"seed": i, "value": v, "low": 0.0, "high": 0.5} for i, v in enumerate((0.4, 0.3, 0.05))]
    assert summarise(rows)[0]["low"] < 0
    assert summarise([r | {"control_name": "random"} for r in rows])[0]["low"] == 0


def test_points_of_a_run_are_one_row_per_epoch_and_are_drawn(tmp_path):
    few = {k: FEW[k] for k in FEW}
    run = run_study(
        "pretraining-objective", size="smoke", settings=few, out=tmp_path / "run", treatments=["mmcl/mmcl", "mmcl/ssl"]
    )
    assert not run.failed
    points = pq.read_table(run.out / "points.parquet").to_pylist()
    assert len(points) == 2 * 2 * 3
    assert len({(p["run"], p["epoch"]) for p in points}) == 12
    assert all(p["destroyed"] == (p["ca"] < p["victim_ca"] / 2) for p in points)
    page = (run.out / "report.html").read_text()
    assert "Every epoch of every run" in page
    assert "ssl: 6 points" in page
