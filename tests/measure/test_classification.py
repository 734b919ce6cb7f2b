"""Figures of two classes by hand, against scikit-learn, over folds, and in the paper's columns."""

import csv

import numpy as np
import pytest
from sklearn import metrics

from antivenom.measure.classification import (
    PAPER_COLUMNS,
    Classification,
    classify,
    over_folds,
    paper_csv_name,
    write_paper_csv,
)
from antivenom.measure.detection import Confusion

BY_HAND = Classification(Confusion(true_positive=3, false_positive=1, false_negative=1, true_negative=2))


def test_the_matrix_2_1_1_3_by_hand():
    found = BY_HAND.record()
    assert found["precision_0"] == found["recall_0"] == pytest.approx(2 / 3)
    assert found["f1_0"] == pytest.approx(2 / 3)
    assert found["precision_1"] == found["recall_1"] == found["f1_1"] == 0.75
    assert found["accuracy"] == pytest.approx(5 / 7)
    assert found["mcc"] == pytest.approx(5 / 12)  # (3*2 - 1*1) / sqrt(4 * 4 * 3 * 3)
    assert found["n"] == 7


@pytest.mark.parametrize("seed", range(3))
def test_against_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    y = (draw.random(300) < 0.3).astype(int)
    p = np.round(np.clip(0.3 * y + draw.random(300) * 0.7, 0, 1), 2)  # with ties
    found = classify(y, p, threshold=0.4).record()
    verdict = (p >= 0.4).astype(int)
    for label in (0, 1):
        for name in ("precision", "recall", "f1"):
            theirs = getattr(metrics, f"{name}_score")(y, verdict, pos_label=label)
            assert found[f"{name}_{label}"] == pytest.approx(theirs)
    assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(y, verdict))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y, verdict))
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(y, p))
    assert found["auprc"] == pytest.approx(metrics.average_precision_score(y, p))


def test_what_has_no_denominator_is_missing_and_not_0():
    none = classify([1, 0, 0], [0.1, 0.1, 0.1]).record()
    assert none["precision_1"] is None
    assert none["mcc"] is None
    assert none["f1_1"] == none["recall_1"] == 0
    assert none["accuracy"] == pytest.approx(2 / 3)
    assert classify([0, 0], [0.1, 0.2]).record()["auroc"] is None
    assert classify([], []).accuracy is None
    unscored = classify([1, 0, 1], [0.9, 0.1, np.nan])
    assert (unscored.n, unscored.missing, unscored.accuracy) == (2, 1, 1.0)
    with pytest.raises(ValueError, match="truths"):
        classify([1, 0], [0.5])


def test_over_folds_by_hand():
    found = over_folds([0.7, 0.8, 0.9, None])
    assert (found.mean, found.sd, found.n, found.missing) == (pytest.approx(0.8), pytest.approx(0.1), 3, 1)
    half = 4.302653 * 0.1 / 3**0.5  # t(.975, 2) = 4.3027
    assert (found.low, found.high) == (pytest.approx(0.8 - half), pytest.approx(0.8 + half))
    corrected = over_folds([0.7, 0.8, 0.9], ratio=1 / 9)
    assert corrected.high == pytest.approx(0.8 + 4.302653 * 0.1 * (1 / 3 + 1 / 9) ** 0.5)
    assert over_folds([0.5]).low is None
    assert str(over_folds([])) == "-"


def test_the_papers_columns(tmp_path, shared):
    record = BY_HAND.record() | {"repeat": 0, "number": 3, "seconds": 1.5}
    write_paper_csv(
        tmp_path / "a.csv", [record], algo="RF", embedding="tfidf", profane=True, keyword=False, split=False
    )
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert tuple(row) == PAPER_COLUMNS
    assert (row["algo"], row["profane"], row["run"], row["fold"], row["f1_1"]) == ("RF", "True", "0", "3", "0.75")
    import gzip

    with gzip.open(shared / "toxicr" / "published_cv_folds.csv.gz", "rt") as stream:
        assert tuple(csv.DictReader(stream).fieldnames or ()) == PAPER_COLUMNS
    with pytest.raises(ValueError, match="layout"):
        write_paper_csv(tmp_path / "b.csv", [record], algorithm="RF")
    assert paper_csv_name("LR", "tfidf", profane=False, keyword=True, split=False).endswith(
        "keyword-True-split-False.csv"
    )
