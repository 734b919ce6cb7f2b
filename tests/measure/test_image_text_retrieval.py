"""Retrieval by counting, with ties against us and both readings of 'half of the captions'."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.measure.image_text_retrieval import (
    needed,
    retrieval_attack_success,
    retrieval_recall,
    target_captions,
)


def embeddings_of(cosine):
    """Image rows e_i and caption rows whose cosines to them are as given (each caption row may use one free direction)."""
    cosine = np.asarray(cosine, float)
    n, m = cosine.shape
    free = np.diag(np.sqrt(1 - (cosine**2).sum(axis=0)))
    return np.eye(n, n + m), np.column_stack([cosine.T, free])


@pytest.mark.parametrize("captions", [1, 3])
def test_recall_by_counting(captions):
    draw = np.random.default_rng(0)
    image = draw.normal(size=(40, 6))
    owner = np.repeat(np.arange(40), captions)[draw.permutation(40 * captions)]
    text = image[owner] + 1.2 * draw.normal(size=(len(owner), 6))
    found = retrieval_recall(image, text, image_of=owner, ks=(1, 4))
    z, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (image, text))
    for k in (1, 4):
        to_text = [i in owner[np.argsort(-z[i] @ t.T)[:k]] for i in range(40)]
        to_image = [owner[j] in np.argsort(-t[j] @ z.T)[:k] for j in range(len(owner))]
        assert found["image to text"][k].value == np.mean(to_text)
        assert found["text to image"][k].value == np.mean(to_image)
        assert found["text to image"][k].n == 40 * captions
    if captions == 3:
        assert found["image to text"][1].value != found["text to image"][1].value  # not one the other's transpose


def test_ties_count_against_us():
    image = np.eye(3)
    found = retrieval_recall(image, np.ones((3, 3)), ks=(1, 2, 3))
    for side in found.values():
        assert [side[k].value for k in (1, 2, 3)] == [0, 0, 1]
    copies = retrieval_recall(np.repeat(np.eye(2), 2, 0), np.repeat(np.eye(2), 2, 0), ks=(1, 2))
    assert [copies["image to text"][k].value for k in (1, 2)] == [0, 1]


def test_recall_refuses():
    with pytest.raises(AntivenomError, match="captions belong"):
        retrieval_recall(np.eye(3), np.eye(3)[:2])
    with pytest.raises(AntivenomError, match="captions belong"):
        retrieval_recall(np.eye(2), np.eye(2), image_of=[0, 2])
    with pytest.raises(AntivenomError, match="width"):
        retrieval_recall(np.eye(2), np.eye(3))
    with pytest.raises(AntivenomError, match="ks"):
        retrieval_recall(np.eye(2), np.eye(2), ks=(0,))


# the nearest captions of three triggered images, nearest first; captions 0 and 1 are the target's
NEAR = [[0, 1, 2, 3, 4, 5], [2, 0, 3, 4, 5, 1], [2, 3, 4, 5, 0, 1]]


@pytest.fixture
def stub():
    cosine = np.zeros((3, 6))
    for i, order in enumerate(NEAR):
        cosine[i, order] = np.linspace(0.5, 0.1, 6)
    return embeddings_of(cosine)


@pytest.mark.parametrize(
    ("need", "wanted"), [("half", {1: 1, 5: 1, 4: 1, 2: 2}), ("majority", {1: 1, 5: 0, 4: 0, 2: 1})]
)
def test_attack_success_on_a_stub_matrix(stub, need, wanted):
    targets = np.arange(6) < 2
    found = retrieval_attack_success(*stub, targets, ks=tuple(wanted), need=need)
    assert {k: rate.successes for k, rate in found.items()} == wanted
    for k in wanted:
        brute = [sum(c < 2 for c in order[:k]) >= needed(k, need) for order in NEAR]
        assert found[k].successes == sum(brute)
        assert found[k].n == 3


def test_needed_both_readings():
    assert [needed(k) for k in (1, 2, 3, 5, 10)] == [1, 1, 1, 2, 5]
    assert [needed(k, "majority") for k in (1, 2, 3, 5, 10)] == [1, 2, 2, 3, 6]
    with pytest.raises(AntivenomError):
        needed(5, "all")  # pyright: ignore[reportArgumentType]


def test_images_that_show_the_target_are_not_in_the_denominator(stub):
    targets = np.arange(6) < 2
    found = retrieval_attack_success(*stub, targets, own_target=[True, False, False], ks=(1,))
    assert (found[1].successes, found[1].n) == (0, 2)
    with pytest.raises(AntivenomError, match="shows the target"):
        retrieval_attack_success(*stub, targets, own_target=[True] * 3, ks=(1,))
    with pytest.raises(AntivenomError, match="nearest of 6"):
        retrieval_attack_success(*stub, targets, ks=(10,))
    with pytest.raises(AntivenomError, match="masks"):
        retrieval_attack_success(*stub, targets[:3], ks=(1,))


def test_among_equal_captions_the_targets_come_last():
    image, text = np.ones((1, 2)), np.ones((4, 2))
    assert retrieval_attack_success(image, text, [True, False, False, False], ks=(1, 3))[3].successes == 0


def test_target_words_are_whole_words_in_any_case():
    captions = ["A Cat on a mat", "education", "caterpillar", "two cats", "the CAT.", "学校の猫"]
    assert target_captions(captions, "cat").tolist() == [True, False, False, False, True, False]
    assert target_captions(captions, "学校の猫").tolist()[-1]
    with pytest.raises(AntivenomError, match="no caption"):
        target_captions(captions, "c.t")  # not a pattern
    with pytest.raises(AntivenomError, match="empty"):
        target_captions(captions, " ")


def test_target_set_with_the_nearest_captions():
    text = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.5, 0.5]])
    captions = ["x", "y", "star", "z"]
    found = target_captions(captions, "star", text=text, target=[1.0, 0.0], nearest=2)
    assert found.tolist() == [True, True, True, False]
    with pytest.raises(AntivenomError, match="without the captions"):
        target_captions(captions, "star", target=[1.0, 0.0])
