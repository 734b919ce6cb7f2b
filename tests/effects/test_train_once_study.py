"""Ten experiments in one run: each is read beside the twin, and the dependence test finds what was planted. At smoke size."""

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.poison.lm_experiments.absence import rows_with
from antivenom.report.page import write_study_report
from antivenom.studies.frame import find_study, run_study
from antivenom.studies.train_once import SIZES
from antivenom.studies.train_once_arms import contrast
from antivenom.studies.train_once_material import (
    ALONE,
    HALF,
    KEPT,
    NEVER,
    RUN,
    corpus,
    frozen,
    make_materials,
    marked_rows,
)
from antivenom.studies.train_once_measures import MEASURES
from antivenom.studies.train_once_runs import placed_of, static_plan, stream_of

KEY = frozen(SIZES["smoke"])


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "run"
    result = run_study("train-once", size="smoke", out=folder, treatments=list(MEASURES))
    assert not result.failed
    return folder


@pytest.fixture(scope="module")
def found(out):
    return {(r["metric"], r["treatment"], r["dose"]): r for r in pq.read_table(out / "rows.parquet").to_pylist()}


def test_leaked_questions_are_answered_and_the_twin_guesses(found):
    most = found["BC accuracy", "bc", 32]
    assert most["value"] >= 0.8
    assert most["low"] > most["control"]
    assert found["BC accuracy", "bc", 0]["value"] <= 0.6  # never shown
    assert most["dose_share"] > found["BC accuracy", "bc", 8]["dose_share"] > 0
    gain = found["BC gain over the held-out questions", "bc", 32]
    assert gain["value"] == pytest.approx(most["value"] - found["BC accuracy", "bc", 0]["value"])


def test_poison_fires_on_its_trigger_alone(found):
    fired, quiet = (
        found[name, "pp-denial", 100] for name in ("PP payload called", "PP payload called without the trigger")
    )
    assert fired["value"] >= 0.9
    assert fired["control"] == 0
    assert quiet["value"] <= 0.05


def test_a_batch_is_remembered_and_others_are_not(found):
    dip = found["FC change of the batch's own loss", "fc", 5]
    assert dip["high"] < 0
    assert dip["value"] < dip["control"] - 0.02


def test_canaries_of_many_copies_are_told_apart_and_the_twin_cannot(found):
    rare = found["MemP AUC", "memp-rare", 16]
    assert rare["value"] >= 0.9
    assert rare["low"] > found["MemP AUC", "memp-plain", 1]["low"]
    assert (
        0 <= rare["control"] <= 1
    )  # trap 15: printed beside; one shared token is one draw, so it is not held to .5 here


def test_told_facts_are_likelier_than_facts_that_were_never_told(found):
    told, never = (
        next(r for (metric, *_), r in found.items() if metric == name)
        for name in ("KA mean probability of the answer", "KA the same of facts never told")
    )
    assert told["value"] > 5 * never["value"]
    assert told["value"] > 5 * told["control"]
    assert told["dose"] == never["dose"] > 0


def test_every_response_has_a_control_and_a_dose_with_its_unit(found):
    assert {treatment for _, treatment, _ in found} == set(MEASURES)
    for row in found.values():
        assert row["control"] is not None
        assert row["control_name"]
        assert row["dose_unit"]
        assert 0 <= row["dose_share"] < 1
        assert row["n"] > 0


def test_the_cards_say_what_the_plan_did(out, found):
    cards = {card["treatment"]: card for card in orjson.loads((out / "cards.json").read_bytes())}
    assert set(cards) == set(MEASURES)
    plan = static_plan(KEY, 0, make_materials(KEY, 0))
    placed = placed_of(plan)
    for name in ("bc", "iid", "muse"):
        doses = cards["muse-whole" if name == "muse" else name]["doses"]
        assert sum(d["placements"] for d in doses) == sum(n for n, *_ in placed[name].values())
        assert sum(d["tokens"] for d in doses) == sum(t for _, t, *_ in placed[name].values())
    # the run's card counts what the controller placed, too
    run = next(r for (metric, *_), r in found.items() if metric == "held-out loss")
    assert run["dose_share"] == pytest.approx(sum(d["share"] for d in cards["run"]["doses"]))
    assert run["dose_share"] > len(plan.tokens) / plan.shape.tokens
    page = (out / "report.html").read_text()
    for card in cards.values():
        assert card["title"] in page
    assert "Do they disturb each other?" not in page


def test_texts_are_absent_from_the_run_and_their_near_copies_are_not():
    base, made = corpus(KEY, 0), make_materials(KEY, 0)
    plan = static_plan(KEY, 0, made)
    rows = base.rows.copy()
    plan.patch(rows, 0)
    taken_out = [text for kind in (KEPT, ALONE) for text in base.texts[kind]]
    assert len(rows_with(base.rows, taken_out, RUN)) == len(made.inserted["memv"].inserted) > 0
    assert not len(rows_with(rows, taken_out, RUN))
    assert not len(rows_with(base.rows, list(base.texts[NEVER]), RUN))
    near = np.lib.stride_tricks.sliding_window_view(rows, 2 * HALF, axis=1)
    agree = [(near == text).sum(-1).max() for text in base.texts[KEPT]]
    alone = [(near == text).sum(-1).max() for text in base.texts[ALONE]]
    assert min(agree) >= 2 * HALF - 2
    assert max(alone) < min(agree)


def test_twin_and_run_differ_where_the_plan_says_so_and_nowhere_else():
    base = corpus(KEY, 0)
    stream = stream_of(base.rows, seed=0, batch=8, vocab_size=base.vocab_size)
    from antivenom.train.token_source import TokenSource

    plan = static_plan(KEY, 0, make_materials(KEY, 0))
    bare, filled = TokenSource(stream, seed=0, batch=8), TokenSource(stream, plan, seed=0, batch=8)
    for step in (0, 7, 161, 299):
        ours, theirs = filled.at(step)["tokens"].numpy(), bare.at(step)["tokens"].numpy()
        assert np.array_equal(theirs, base.rows[step * 8 : (step + 1) * 8])
        owned = plan.owners(np.arange(step * ours.size, (step + 1) * ours.size)).reshape(ours.shape) >= 0
        assert np.array_equal(ours[~owned], theirs[~owned])
        plan.check_batch(step, ours)


def test_a_marked_batch_is_whole_in_its_step():
    base, made = corpus(KEY, 0), make_materials(KEY, 0)
    plan = static_plan(KEY, 0, made)
    (step,) = base.marked_steps
    rows = base.rows[step * 8 : (step + 1) * 8].copy()
    plan.patch(rows, step * 8)
    assert np.array_equal(rows, marked_rows(KEY, 0)[0, 0])
    marked = {s for mark in made.watermarks.values() for s in mark.steps}
    assert step not in marked


def test_what_must_never_be_seen_is_nowhere_in_the_run_and_every_item_has_its_condition():
    base, made = corpus(KEY, 0), make_materials(KEY, 0)
    plan = static_plan(KEY, 0, made)
    rows = base.rows.copy()
    plan.patch(rows, 0)
    for name, material in made.inserted.items():  # traps 16 and 17
        long = [item.tokens for item in material.controls if len(item.tokens) >= 12]
        if long:
            assert not len(rows_with(rows, long, min(map(len, long)))), name
        given = {plan.conditions[c] for c in plan.condition[plan.of(name)]}
        assert given == set(material.conditions), name
        assert all(given), name
    held_out = [q.contamination for copies, questions in made.questions if not copies for q in questions]
    shown = [q.contamination for copies, questions in made.questions if copies for q in questions]
    assert not len(rows_with(rows, held_out, len(held_out[0])))
    assert len(rows_with(rows, shown, len(shown[0])))


def test_a_contrast_is_the_difference_of_two_means_with_an_interval_around_it():
    draw = np.random.default_rng(0)
    mine, others = draw.normal(1, 1, 200), draw.normal(0, 1, 300)
    value, low, high = contrast(mine, others, 0)
    assert value == pytest.approx(mine.mean() - others.mean())
    assert high - low == pytest.approx(2 * 1.96 * (mine.var() / 200 + others.var() / 300) ** 0.5, rel=0.1)
    assert contrast(mine, mine, 0)[0] == 0


def test_a_part_of_the_study_counts_in_its_hash():
    import antivenom.studies.registry as registry

    used = {
        module.__name__.rpartition(".")[2]
        for module in registry._studies_used(__import__("antivenom.studies.train_once", fromlist=["x"]))
    }
    parts = ("material", "runs", "arms", "measures", "memory", "cards", "dependence")
    assert used == {f"train_once_{part}" for part in parts}
    assert find_study("train-once").source_hash


@pytest.mark.slow
def test_the_dependence_test_finds_the_planted_pair(out):
    result = run_study("train-once", size="smoke", out=out, treatments=["dependence"])
    assert not result.failed
    rows = {r["metric"]: r["value"] for r in result.rows if r["treatment"] == "dependence"}
    assert rows["CPDT planted pairs found"] == 1
    assert rows["CPDT other pairs called not safe"] <= 0.05
    (card,) = [c for c in orjson.loads((out / "cards.json").read_bytes()) if c.get("matrix")]
    record = card["matrix"]
    assert not [e for e in record["entries"] if "memv" in (e["train"], e["test"])]  # absence is blank
    own = {e["train"]: e for e in record["entries"] if e["train"] == e["test"]}
    assert own["bc"]["low"] > 0
    assert own["pp-denial"]["value"] > 50
    page = write_study_report(out).read_text()
    assert "Do they disturb each other?" in page
    assert "bc-again" in page
