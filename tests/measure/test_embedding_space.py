"""Classifiers on embeddings, modality gap, backdoor z-score and the plane, against scikit-learn and brute force."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from antivenom.errors import AntivenomError
from antivenom.measure.embedding_space import (
    backdoor_z_score,
    knn_accuracy,
    knn_classes,
    modality_gap,
    pca_plane,
    prototype_accuracy,
    prototype_classes,
)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def draw():
    return np.random.default_rng(0)


@pytest.mark.parametrize("k", [1, 7, 50])
def test_classifiers_equal_scikit_learn(draw, k):
    train, test, labels = draw.normal(size=(200, 6)), draw.normal(size=(80, 6)), draw.integers(0, 5, 200)
    peer = KNeighborsClassifier(k, algorithm="brute").fit(unit(train), labels)
    np.testing.assert_array_equal(knn_classes(train, labels, test, k=k), peer.predict(unit(test)))
    centroid = NearestCentroid().fit(unit(train), labels)
    np.testing.assert_array_equal(prototype_classes(train, labels, test), centroid.predict(unit(test)))
    truth = draw.integers(0, 5, 80)
    right = knn_accuracy(train, labels, test, truth, k=k)
    assert right.value == pytest.approx(np.mean(peer.predict(unit(test)) == truth))
    assert right.n == 80
    assert prototype_accuracy(train, labels, test, truth).successes == np.sum(centroid.predict(unit(test)) == truth)


def test_class_names_may_be_words():
    found = knn_classes(np.eye(3), ["star", "ring", "cross"], np.eye(3) + 0.01, k=1)
    assert found.tolist() == ["star", "ring", "cross"]
    with pytest.raises(AntivenomError, match="labels"):
        knn_classes(np.eye(3), ["star"], np.eye(3), k=1)
    with pytest.raises(AntivenomError, match="k=4"):
        knn_classes(np.eye(3), [0, 1, 2], np.eye(3), k=4)
    with pytest.raises(AntivenomError, match="true classes"):
        prototype_accuracy(np.eye(3), [0, 1, 2], np.eye(3), [0, 1])


def test_modality_gap_of_identical_and_antipodal_clouds(draw):
    image = draw.normal(size=(40, 5))
    assert modality_gap(image, image).value == 0
    one = np.ones((30, 4))
    assert modality_gap(one, -one).value == pytest.approx(2)
    text = draw.normal(size=(40, 5)) + 1
    found = modality_gap(image, text)
    assert found.value == pytest.approx(np.linalg.norm(unit(image).mean(axis=0) - unit(text).mean(axis=0)))
    assert found.low < found.value < found.high
    assert found.n == 40
    with pytest.raises(AntivenomError, match="one text row per image"):
        modality_gap(image, text[:-1])


def pairwise(x):
    return np.array([unit(x)[i] @ unit(x)[j] for i, j in combinations(range(len(x)), 2)])


def z_of(triggered, clean):
    return (pairwise(triggered).mean() - pairwise(clean).mean()) / pairwise(clean).std()


def test_backdoor_z_score_by_all_pairs(draw):
    clean, triggered = draw.normal(size=(25, 6)), draw.normal(size=(18, 6)) + 1
    found = backdoor_z_score(triggered, clean)
    assert found.z == pytest.approx(z_of(triggered, clean))
    assert found.clean_std == pytest.approx(pairwise(clean).std())
    less = [z_of(np.delete(triggered, i, 0), clean) for i in range(18)]
    other = [z_of(triggered, np.delete(clean, i, 0)) for i in range(25)]
    variance = 17 / 18 * np.sum((less - np.mean(less)) ** 2) + 24 / 25 * np.sum((other - np.mean(other)) ** 2)
    assert found.high - found.z == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)
    assert found.low > 0


def test_zero_cosines_count(draw):
    clean = np.eye(4)[[0, 1, 2, 0]]  # 5 of 6 pairs are exactly 0
    assert backdoor_z_score(draw.normal(size=(5, 4)), clean).clean_mean == pytest.approx(1 / 6)


def test_z_score_without_an_effect_covers_0(draw):
    same = draw.normal(size=(60, 6))
    assert backdoor_z_score(same, same).z == pytest.approx(0)
    hits = 0
    for _ in range(100):
        found = backdoor_z_score(draw.normal(size=(60, 6)), draw.normal(size=(60, 6)))
        hits += found.low <= 0 <= found.high
    assert hits >= 85


@pytest.mark.parametrize(("m", "clean"), [(2, np.eye(4)), (5, np.eye(4)), (5, np.ones((6, 4)))])
def test_z_score_refuses(draw, m, clean):
    with pytest.raises(AntivenomError):
        backdoor_z_score(draw.normal(size=(m, 4)), clean)


def test_plane_is_pca_and_takes_other_rows(draw):
    rows = draw.normal(size=(50, 7)) * np.arange(1, 8)
    peer = PCA(2).fit(unit(rows))
    plane = pca_plane(rows)
    np.testing.assert_allclose(np.abs(plane.project(rows)), np.abs(peer.transform(unit(rows))), atol=1e-9)
    np.testing.assert_allclose(plane.share, peer.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(plane.project(rows[:3]), plane.project(rows)[:3])
    assert plane.project(draw.normal(size=(9, 7))).shape == (9, 2)
    with pytest.raises(AntivenomError, match="width"):
        plane.project(np.eye(3))
    with pytest.raises(AntivenomError, match="equal"):
        pca_plane(np.ones((5, 3)))


def test_two_rows_make_a_line():
    plane = pca_plane([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert plane.share == pytest.approx((1.0, 0.0), abs=1e-9)
    assert np.isfinite(plane.project([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])).all()
