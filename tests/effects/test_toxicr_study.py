"""Torn copies flatter what can remember; what cannot is unmoved, and both say so at smoke size."""

import gzip

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.measure.folds import grouped_folds
from antivenom.studies.frame import Cell, run_study
from antivenom.studies.toxicr import nested, read_reviews, setup_of, toxicr, toxicr_size, world_of

SMOKE = {"rows": 1_200, "folds": 3, "trees": 20}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "run"
    result = run_study("toxicr", size="smoke", out=out, doses=[0.0, 0.5, 1.0], treatments=["dt", "lr"])
    assert not result.failed
    return {(r["metric"], r["treatment"], r["dose_share"]): r for r in result.rows}


def test_a_tree_is_flattered_by_torn_copies_and_a_linear_model_hardly(found):
    gap = {
        t: found["F1, toxic: gained over grouped folds", t, 1.0]["value"] for t in ("dt", "lr", "lexicon", "majority")
    }
    assert gap["dt"] >= 0.10
    assert abs(gap["lr"]) <= 0.06
    assert gap["dt"] > gap["lr"] + 0.10
    assert abs(gap["lexicon"]) <= 0.03  # the controls remember nothing
    assert gap["majority"] == 0
    tree = found["F1, toxic: gained over grouped folds", "dt", 1.0]
    assert 0 < tree["low"] < tree["value"] < tree["high"]  # paired over the same rows
    still = found["F1, toxic: gained over grouped folds", "lexicon", 1.0]
    assert still["low"] <= 0 <= still["high"]
    assert 0 < found["F1, toxic: gained over grouped folds", "dt", 0.5]["value"] < gap["dt"]


def test_every_figure_stands_beside_the_untorn_one_and_the_share_of_twins(found):
    for treatment in ("dt", "lr", "lexicon"):
        base = found["F1, toxic", treatment, 0.0]
        torn = found["F1, toxic", treatment, 1.0]
        assert torn["control"] == base["value"] == base["control"]
        assert torn["low"] <= torn["value"] <= torn["high"]
    twins = [found["test rows with a twin in training", "dt", share]["value"] for share in (0.0, 0.5, 1.0)]
    assert twins[0] == 0
    assert twins == pytest.approx([0, 0.65 / 3, 0.65 * 2 / 3], abs=0.05)
    assert [found["accuracy", "dt", share]["dose"] for share in (0.0, 0.5, 1.0)] == [0, 195, 390]


def test_a_cell_is_the_same_with_and_without_kept_folds(tmp_path, found):
    cell = Cell("smoke", 1.0, "dt", 0, SMOKE, "toxicr", None)
    for made in toxicr(cell):
        kept = found[made.metric, "dt", 1.0]
        assert (made.value, made.low) == (kept["value"], kept["low"])


def test_a_learner_is_the_product_with_its_preprocessing_kept():
    from antivenom.screen.toxicr.estimator import ToxiCR

    world = world_of(Cell("smoke", 0.0, "dt", 0, SMOKE))
    train, test = world.texts[:900], world.texts[900:]
    for name in ("dt", "lr F/T/T"):
        ours = setup_of(name, 20).make(5, world.processed)
        ours.fit(train, world.labels[:900])
        own, _, steps = name.partition(" ")
        p, k, s = (letter == "T" for letter in (steps or "T/F/F").split("/"))
        tool = ToxiCR(own, count_profanity=p, remove_keywords=k, split_identifier=s, seed=5)
        tool.fit(train, world.labels[:900].tolist())
        assert np.array_equal(ours.predict_proba(test), tool.predict_proba(test)[:, 1])


def test_fewer_training_rows_are_part_of_more_and_no_copy_is_tested():
    cell = Cell("smoke", 250, "lr", 0, SMOKE)
    world = world_of(cell)
    for fold in grouped_folds(world.labels, world.groups, k=3, seed=1):
        few, more = nested(fold, world, 250, 0), nested(fold, world, 500, 0)
        assert (len(few), len(more)) == (250, 500)
        assert set(few) < set(more) <= set(fold.train)
        assert not set(world.groups[more]) & set(world.groups[fold.test])


def test_more_rows_and_other_steps(tmp_path):
    result = run_study(
        "toxicr-size", size="smoke", out=tmp_path / "r", doses=[250, 500, 1_000], treatments=["svm", "lr T/F/T"]
    )
    assert not result.failed
    assert len(result.skipped) == 4  # of 800 training rows no 1,000 can be taken
    value = {(r["metric"], r["treatment"], r["dose"]): r["value"] for r in result.rows}
    assert value["AUROC", "svm", 500] > value["AUROC", "svm", 250] - 0.05
    assert value["AUROC", "svm", 500] > 0.65
    assert value["AUROC", "majority", 250] == 0.5
    assert value["F1, toxic", "lexicon", 250] == pytest.approx(value["F1, toxic", "lexicon", 500])
    ends = {
        r["dose"]: (r["low"], r["high"]) for r in result.rows if (r["metric"], r["treatment"]) == ("AUROC", "lexicon")
    }
    assert ends[250] == pytest.approx(ends[500])  # it learns nothing: few rows do not make it less certain


def test_files(tmp_path):
    def write(name, text):
        with gzip.open(tmp_path / name, "wt", encoding="utf-8") as stream:
            stream.write(text)

    write("mine.csv.gz", 'message,is_toxic\nnull,0\n"a, b",1\n,0\n')
    read = read_reviews(tmp_path)
    assert (read.texts, list(read.labels if read.labels is not None else [])) == (["null", "a, b"], [0, 1])
    write("other.csv.gz", "message,is_toxic\nx,0\n")
    with pytest.raises(AntivenomError, match="2 CSV files"):
        read_reviews(tmp_path)
    write("toxicr_code_review.csv.gz", "message,is_toxic\nx,0\n")
    assert read_reviews(tmp_path).texts == ["x"]
    with pytest.raises(AntivenomError, match="needs data"):
        next(iter(toxicr(Cell("real", 0.0, "dt", 0, {"data": None, "rows": None, "folds": 2, "trees": 5}))))


def test_the_released_comments(shared):  # spec 11, T19: 19,651 rows of which 4 are empty
    read = read_reviews(shared / "toxicr")
    assert read.labels is not None
    assert (len(read), int(read.labels.sum()), len(read.empty)) == (19_647, 3_757, 4)
    cell = Cell("small", 500, "lr", 0, {"data": str(shared / "toxicr"), "rows": 2_000, "folds": 3, "trees": 5})
    made = {r.metric: r for r in toxicr_size(cell)}
    assert made["AUROC"].value is not None
    assert made["AUROC"].value > 0.7
    assert 0 <= (made["AUROC"].low or 0) < (made["AUROC"].high or 0) <= 1
