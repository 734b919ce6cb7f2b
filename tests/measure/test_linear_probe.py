"""The linear probe: the optimum it claims, a choice that the test rows cannot touch, and what it refuses."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.measure.linear_probe import linear_probe, per_class_accuracy
from antivenom.measure.zero_shot import attack_success


def clouds(n=300, d=6, classes=3, spread=1.0, seed=0):
    draw = np.random.default_rng(seed)
    centres = 2.5 * np.eye(classes, d)
    labels = np.arange(n) % classes
    return centres[labels] + spread * draw.standard_normal((n, d)), labels


def loss(weights, bias, rows, labels, strength):
    logits = rows @ weights.T + bias
    top = logits.max(1, keepdims=True)
    normal = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
    return strength * (normal - logits[np.arange(len(rows)), labels]).sum() + (weights**2).sum() / 2


def test_the_weights_are_the_optimum_of_the_stated_loss():
    rows, labels = clouds()
    probe = linear_probe(rows, labels, strengths=(0.05,))
    z = (rows - rows.mean(0)) / rows.std(0)
    here = loss(probe.weights, probe.bias, z, labels, 0.05)
    draw = np.random.default_rng(1)
    for _ in range(50):
        step = 1e-2 * draw.standard_normal((3, 7))
        assert loss(probe.weights + step[:, :6], probe.bias + step[:, 6], z, labels, 0.05) > here - 1e-6
    # the gradient in the weights, by hand, is nothing
    logits = z @ probe.weights.T + probe.bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    gradient = 0.05 * (p - np.eye(3)[labels]).T @ z + probe.weights
    assert np.abs(gradient).max() < 1e-2


def test_two_classes_have_two_rows_of_weights_and_the_same_answers():
    from sklearn.linear_model import LogisticRegression

    rows, labels = clouds(classes=2, spread=2.0)
    probe = linear_probe(rows, labels, strengths=(0.1,))
    assert probe.weights.shape == (2, 6)
    z = (rows - rows.mean(0)) / rows.std(0)
    theirs = LogisticRegression(C=0.1, max_iter=2_000).fit(z, labels)
    np.testing.assert_array_equal(probe.predict(rows), theirs.predict(z))
    np.testing.assert_allclose(np.diff(probe.logits(rows), axis=1)[:, 0], theirs.decision_function(z), rtol=1e-6)


def test_the_strength_is_chosen_on_validation_rows_alone():
    rows, labels = clouds(spread=2.0, d=40, n=120)
    test, truth = clouds(spread=2.0, d=40, n=400, seed=9)
    probe = linear_probe(rows, labels)
    best = max(rate.value for rate in probe.validation.values())
    assert probe.validation[probe.strength].value == best
    assert probe.strength == min(c for c, rate in probe.validation.items() if rate.value == best)
    assert all(rate.n == 24 for rate in probe.validation.values())
    shuffled = np.random.default_rng(0).permutation(truth)
    accuracies = [probe.accuracy(test, wanted) for wanted in (truth, shuffled)]  # a test set can change no choice
    assert accuracies[0].value > 0.5
    assert 0.2 < accuracies[1].value < 0.47
    again = linear_probe(rows, labels)
    np.testing.assert_array_equal(again.weights, probe.weights)
    assert linear_probe(rows, labels, seed=1).validation != probe.validation


def test_units_of_the_features_do_not_matter_and_a_constant_one_is_harmless():
    rows, labels = clouds()
    other = np.c_[rows * np.array([1e-3, 1, 1e3, 1, 1, 1]) + 7, np.full(len(rows), 4.0)]
    np.testing.assert_array_equal(linear_probe(rows, labels).predict(rows), linear_probe(other, labels).predict(other))


def test_class_names_may_be_words_and_attack_success_is_the_house_s():
    rows, labels = clouds()
    names = np.array(["ring", "star", "moon"])[labels]
    probe = linear_probe(rows, names)
    assert probe.classes.tolist() == ["moon", "ring", "star"]
    truth = np.searchsorted(probe.classes, names)
    star = 2
    triggered = rows.copy()
    triggered[:60] = clouds()[0][labels == 1][:60]  # sixty images that look like stars now
    success = attack_success(probe.ranked(triggered), probe.ranked(rows), truth, star)
    called = probe.predict(triggered) == "star"
    assert success.rate.successes == called[names != "star"].sum()
    assert success.rate.n == (names != "star").sum()
    assert success.rate.value > success.without.value + 0.1


def test_mean_per_class_accuracy_is_not_the_plain_one():
    truth = np.array(["a"] * 90 + ["b"] * 10)
    mean, rates = per_class_accuracy(np.full(100, "a"), truth)
    assert mean == 0.5
    assert rates["a"].value == 1
    assert rates["b"].value == 0
    assert rates["b"].n == 10


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda x, y: (x[:, 0], y), "features of shape"),
        (lambda x, y: (np.where(x > 3, np.nan, x), y), "not finite"),
        (lambda x, y: (x, y[:-1]), "one label per row"),
        (lambda x, y: (x, np.zeros(len(y))), "1 classes"),
        (lambda x, y: (x, np.where(np.arange(len(y)) == 0, 9, y)), "smallest with 1"),
    ],
)
def test_refusals(change, what):
    with pytest.raises(AntivenomError, match=what):
        linear_probe(*change(*clouds()))
    for options in ({"validation": 0}, {"validation": 1.0}, {"strengths": ()}, {"strengths": (0.0,)}):
        with pytest.raises(AntivenomError, match="strengths"):
            linear_probe(*clouds(), **options)
    probe = linear_probe(*clouds())
    with pytest.raises(AntivenomError, match="width 3"):
        probe.predict(np.zeros((2, 3)))
    with pytest.raises(AntivenomError, match="one class per row"):
        probe.accuracy(np.zeros((2, 6)), [1])
    with pytest.raises(AntivenomError, match="one per row"):
        per_class_accuracy([1], [1, 2])
