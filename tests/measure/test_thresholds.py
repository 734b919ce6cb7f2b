"""Thresholds by hand and by brute force; inner scores never see their own row or its copy."""

import numpy as np
import pytest

from antivenom.data.duplicates import normal_key
from antivenom.errors import AntivenomError
from antivenom.measure.thresholds import choose_threshold, inner_scores, probabilities

Y = [0, 0, 1, 0, 1, 1]
S = [0.1, 0.2, 0.3, 0.4, 0.6, 0.9]


def test_by_hand():
    # at >= .6: P 1, R 2/3, F1 .8; at >= .3: P 3/4, R 1, F1 6/7
    assert choose_threshold(Y, S, "f1").value == pytest.approx(0.25)
    assert choose_threshold(Y, S, "f1").reached == pytest.approx(6 / 7)
    assert choose_threshold(Y, S, "recall=0.6").value == pytest.approx(0.5)
    assert choose_threshold(Y, S, "recall=1").value == pytest.approx(0.25)
    assert choose_threshold(Y, S, "precision=1").value == pytest.approx(0.5)
    assert choose_threshold(Y, S, "precision=0.75").value == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(5))
def test_brute_force(seed):
    draw = np.random.default_rng(seed)
    y, s = draw.random(60) < 0.4, np.round(draw.random(60), 1)

    def at(t):
        flagged = s >= t
        hits = int((flagged & y).sum())
        return 2 * hits / (flagged.sum() + y.sum()), hits / y.sum(), hits / max(flagged.sum(), 1), int(flagged.sum())

    every = [at(t) for t in np.unique(s)]
    assert at(choose_threshold(y, s, "f1").value)[0] == pytest.approx(max(f for f, *_ in every))
    chosen = at(choose_threshold(y, s, "recall=0.7").value)
    assert chosen[1] >= 0.7
    assert chosen[3] == min(flags for _, r, _, flags in every if r >= 0.7)
    found = choose_threshold(y, s, "precision=0.5")
    reachable = [r for _, r, p, _ in every if p >= 0.5]
    if reachable:
        assert at(found.value)[2] >= 0.5
        assert at(found.value)[1] == max(reachable)
    else:
        assert found.value is None


def test_out_of_reach_and_without_meaning():
    found = choose_threshold([1, 0, 0], [0.1, 0.5, 0.9], "precision=0.9")
    assert (found.value, found.reached) == (None, pytest.approx(1 / 3))
    for goal in ("f2", "recall", "recall=2", "precision=x", "f1=.5"):
        with pytest.raises(AntivenomError, match="goal"):
            choose_threshold(Y, S, goal)
    with pytest.raises(AntivenomError, match="one class"):
        choose_threshold([1, 1], [0.1, 0.2])


class Memory:
    """Says 1 for a text it was fitted on, and .2 for others."""

    def fit(self, texts, labels):
        self.seen = {normal_key(text) for text in texts}

    def predict_proba(self, texts):
        p = np.array([1.0 if normal_key(text) in self.seen else 0.2 for text in texts])
        return np.stack([1 - p, p], 1)


def test_inner_scores_keep_copies_together():
    texts = [f"{'Text' if i % 2 else 'text'} {i // 2}" for i in range(120)]
    labels = (np.arange(120) // 2) % 3 == 0
    assert inner_scores(Memory, texts, labels, k=3).tolist() == [0.2] * 120


def test_another_number_of_scores_is_refused():
    model = Memory()
    model.fit(["a"], [1])
    assert probabilities(model, ["a", "b"]).tolist() == [1.0, 0.2]
    model.predict_proba = lambda texts: np.zeros(3)
    with pytest.raises(ValueError, match="scores for 2 texts"):
        probabilities(model, ["a", "b"])
