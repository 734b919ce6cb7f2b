"""Detection against a manifest: masks, curves, the random control, and the order among ties."""

import json

import numpy as np
import pytest
from scipy.stats import hypergeom
from sklearn.metrics import average_precision_score, roc_auc_score

from antivenom.errors import AntivenomError
from antivenom.measure.embedding_detection import (
    detection,
    detections,
    poisoned_rows,
    random_removal,
    removal,
    removal_curve,
)
from antivenom.poison.manifest import Dose, Manifest, Touched


def case(seed=0, n=400, poisons=40):
    draw = np.random.default_rng(seed)
    truth = np.arange(n) < poisons
    return truth, draw.normal(size=n) + truth


def test_poisoned_rows_by_id():
    rows = [Touched(i, 99, "badnet", "checker", "star") for i in ("c", "a")]
    manifest = Manifest(rows, Dose(2, 4, "pairs"))
    assert poisoned_rows(manifest, ["a", "b", "c", "backdoor/d"]).tolist() == [True, False, True, False]
    with pytest.raises(AntivenomError, match="no embedding"):
        poisoned_rows(manifest, ["a", "b"])
    with pytest.raises(AntivenomError, match="repeat"):
        poisoned_rows(manifest, ["a", "a", "c"])


def test_removal_takes_the_highest_and_never_the_missing():
    scores = np.array([0.1, np.nan, 0.9, 0.5, np.nan])
    assert removal(scores, 0.4).tolist() == [False, False, True, True, False]
    assert removal(scores, 1.0).sum() == 3
    assert removal(scores, 0.0).sum() == 0
    assert removal(np.arange(100), 0.29).sum() == 29  # 0.29 * 100 is 28.999...
    with pytest.raises(AntivenomError, match="share"):
        removal(scores, 1.1)


def test_a_score_that_says_nothing_does_not_find_poisons_that_stand_first():
    truth = np.arange(1_000) < 100
    (point,) = removal_curve(truth, np.zeros(1_000), shares=[0.1])
    assert point.recall.value < 0.2  # in the order of the file it would be 1
    assert point.random_low <= point.poisons_left <= point.random_high
    assert detection("nothing", truth, np.zeros(1_000), resamples=10).at_dose.value < 0.2
    assert removal(np.zeros(9), 0.5, seed=1).tolist() != removal(np.zeros(9), 0.5, seed=2).tolist()


def test_the_curve_by_counting():
    truth, scores = case()
    for point in removal_curve(truth, scores):
        gone = np.argsort(-scores)[: int(point.share * 400)]
        assert point.removed == len(gone)
        assert point.poisons_left == 40 - truth[gone].sum()
        assert (point.recall.successes, point.recall.n) == (truth[gone].sum(), 40)
        assert (point.clean_lost.successes, point.clean_lost.n) == ((~truth[gone]).sum(), 360)


def test_the_control_is_random_removal_of_equal_size():
    truth, scores = case()
    (point,) = removal_curve(truth, scores, shares=[0.25])
    left = np.array([truth[~random_removal(400, point.removed, seed=s)].sum() for s in range(2_000)])
    assert point.random_left == 30
    assert left.mean() == pytest.approx(30, abs=0.3)
    inside = np.mean((left >= point.random_low) & (left <= point.random_high))
    assert 0.94 < inside < 0.99
    exact = hypergeom(400, 40, 100)
    assert (point.random_low, point.random_high) == (40 - exact.ppf(0.975), 40 - exact.ppf(0.025))
    assert point.poisons_left < point.random_low  # the detector knows something
    with pytest.raises(AntivenomError):
        random_removal(5, 6)


def test_ranking_figures_are_those_of_scikit_learn_with_intervals():
    truth, scores = case()
    found = detection("d", truth, scores, resamples=200)
    assert found.auroc.value == pytest.approx(roc_auc_score(truth, scores))
    assert found.auprc.value == pytest.approx(average_precision_score(truth, scores))
    assert found.auroc.low < found.auroc.value < found.auroc.high
    assert str(found.dose) == "40 of 400 pairs (10 %)"
    assert found.at_dose.value == truth[np.argsort(-scores)[:40]].mean()
    json.dumps(found.record())
    assert [d.name for d in detections(truth, {"a": scores, "b": -scores}, resamples=10)] == ["a", "b"]


def test_dose_0_is_missing():
    found = detection("d", np.zeros(50, bool), np.arange(50.0), resamples=10)
    assert found.auroc.value is found.auprc.value is found.at_dose.value is None
    assert found.curve[0].recall.value is None
    assert found.curve[-1].clean_lost.value == 0.5
    assert found.curve[-1].poisons_left == found.curve[-1].random_left == 0


def test_missing_scores_are_counted():
    truth, scores = case()
    scores[::4] = np.nan
    assert detection("d", truth, scores, resamples=10).auroc.missing == 100
    with pytest.raises(AntivenomError, match="scores"):
        detection("d", truth, scores[:-1])
