"""CA and ASR with stubs whose answers are known (spec 01, T1, T2, T10; 6.2.6 and 6.2.7)."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.measure.zero_shot import accuracies, attack_success, class_index, class_weights, ranked_classes

LABELS = np.repeat(np.arange(10), 6)  # balanced, sorted by class


def always(answers):
    """Ranked classes with these first."""
    return np.stack([[a, *[c for c in range(10) if c != a]] for a in answers])


TARGET = always(np.full(60, 3))
TRUTH = always(LABELS)


def test_a_model_that_always_says_the_target_has_asr_1_and_one_that_says_the_truth_0():
    sure = attack_success(TARGET, TRUTH, LABELS, 3, twin=TRUTH)
    assert sure.rate.value == 1.0  # not .90, as with all images below the line
    assert (sure.rate.successes, sure.rate.n) == (54, 54)
    assert sure.without.value == 0.0
    assert sure.twin.value == 0.0
    assert sure.accuracy.value == pytest.approx(0.1)  # accuracy under the trigger is no ASR
    never = attack_success(TRUTH, TRUTH, LABELS, 3)
    assert never.rate.value == 0.0
    assert never.twin is None
    assert never.accuracy.value == 1.0
    assert 0 < never.rate.high < 0.1
    assert attack_success(TRUTH, TARGET, LABELS, 3).without.value == 1.0


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_batches_and_order_do_not_matter(batch):
    draw = np.random.default_rng(0)
    images, weights = draw.standard_normal((60, 5)), draw.standard_normal((10, 5))
    whole = ranked_classes(images, weights)
    parts = np.concatenate([ranked_classes(images[i : i + batch], weights) for i in range(0, 60, batch)])
    assert np.array_equal(whole, parts)
    order = draw.permutation(60)
    assert attack_success(whole, TRUTH, LABELS, 3) == attack_success(whole[order], TRUTH[order], LABELS[order], 3)
    by_hand = [int(np.argmax(images[i] @ weights.T)) for i in range(60)]
    hits = sum(p == 3 for p, label in zip(by_hand, LABELS, strict=True) if label != 3)
    assert attack_success(whole, TRUTH, LABELS, 3).rate.successes == hits
    top = accuracies(whole, LABELS)
    assert top[1].successes == sum(p == label for p, label in zip(by_hand, LABELS, strict=True))
    assert list(top) == [1, 3, 5]  # the first 10 of 10 classes say nothing
    assert top[1].value <= top[3].value <= top[5].value


def test_top_k_of_the_target():
    second = np.stack([[label, 3 if label != 3 else 4, *range(10)][:10] for label in LABELS])
    assert attack_success(second, TRUTH, LABELS, 3).rate.value == 0.0
    assert attack_success(second, TRUTH, LABELS, 3, k=2).rate.value == 1.0


def test_only_images_of_the_target_have_no_asr():
    with pytest.raises(AntivenomError, match="no ASR"):
        attack_success(TARGET[:6], TRUTH[:6], np.full(6, 3), 3)
    assert attack_success(TARGET[:7], TRUTH[:7], np.r_[np.full(6, 3), 1], 3).rate.n == 1
    with pytest.raises(AntivenomError, match="same images"):
        attack_success(TARGET[:5], TRUTH, LABELS, 3)


def test_the_head_is_the_renormalised_mean_over_templates():
    table = {"x a": [1, 0, 0], "x b": [0, 1, 0], "y a": [0.6, 0, 0.8], "y b": [0, 0.6, 0.8]}

    def embed(texts):
        return np.array([table[t] for t in texts], float)

    assert np.allclose(class_weights(embed, ["a", "b"], ["x {}"]), [[1, 0, 0], [0, 1, 0]])
    both = class_weights(embed, ["a", "b"], ["x {}", "y {}"])
    assert np.allclose(np.linalg.norm(both, axis=1), 1)
    assert np.allclose(both[0], np.array([1.6, 0, 0.8]) / np.hypot(1.6, 0.8))
    # averaging the logits of the templates would give other, shorter weights
    logits = np.array([[1, 0, 0], [0.6, 0, 0.8]]).mean(0)
    assert not np.allclose(both[0], logits)


def test_long_embeddings_count_no_more_than_short_ones():
    def embed(texts):
        return np.array([[10.0, 0] if t.startswith("x") else [0, 0.1] for t in texts])

    assert np.allclose(class_weights(embed, ["a"], ["x {}", "y {}"]), [[0.5**0.5, 0.5**0.5]])


def test_classes_by_name():
    assert class_index(["Circle", "STAR"], "star ") == 1
    for names, target in ((["caterpillar", "education"], "cat"), (["star", "Star"], "star")):
        with pytest.raises(AntivenomError, match="the target"):
            class_index(names, target)


def test_bad_input():
    def embed(texts):
        return np.eye(len(texts))

    for names, templates, match in (
        ([], ["{}"], "0 classes"),
        (["a"], [], "0 templates"),
        (["a"], ["a photo"], "no place"),
    ):
        with pytest.raises(AntivenomError, match=match):
            class_weights(embed, names, templates)
    with pytest.raises(AntivenomError, match="diverged"):
        ranked_classes(np.full((2, 3), np.nan), np.eye(3))
