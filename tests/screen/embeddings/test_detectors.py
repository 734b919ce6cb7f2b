"""Every registered detector: its formula, its effect and the loss of it, what it refuses."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import silhouette_score

from antivenom.data.sample_embeddings import SHAPES, sample_embeddings
from antivenom.errors import AntivenomError
from antivenom.measure.detection import auroc
from antivenom.screen.embeddings.alignment import ClipScore, CropConsistency, InBatch
from antivenom.screen.embeddings.by_class import ActivationClustering, SpectralSignature, leading_directions
from antivenom.screen.embeddings.detectors import (
    EMBEDDING_DETECTORS,
    EmbeddingDetector,
    get,
    identity,
    parse,
    parse_all,
)
from antivenom.screen.embeddings.inputs import Embeddings, parts_of


def world(**options):
    sample = sample_embeddings(**({"n": 2_000, "dose": 60} | options))
    areas = np.random.default_rng(0).random(
        len(sample.image)
    )  # nothing was distilled here: see test_cognitive_distillation
    return Embeddings(sample.image, sample.text, sample.crops, sample.labels, areas), sample.poisoned


def area(spec, *, inside_target=False, **options):
    """Mean AUROC over four worlds, of all rows or of those with the target's label; None where there is none."""
    found = []
    for seed in range(4):
        given, poisoned = world(seed=seed, **options)
        of = given.labels == "0" if inside_target else np.full(len(given), True)
        found.append(auroc(poisoned[of], parse(spec).scores(given)[of]))
    return None if None in found else float(np.mean(found))


# --- the protocol -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EMBEDDING_DETECTORS)
def test_protocol(name):
    given, _ = world()
    detector = get(name)
    assert isinstance(detector, EmbeddingDetector)
    first, second = detector.scores(given), get(name).scores(world()[0])
    assert first.dtype == np.float64
    assert first.shape == (2_000,)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)
    record = identity(detector).record()
    assert record["higher_is"] == "worse"
    assert record["name"] == name
    assert record["params"] == vars(detector)


@pytest.mark.parametrize(
    "name", ["clip-score", "crop-consistency", "k-distance", "slof", "lid", "dao", "spectral-signature"]
)
def test_the_order_of_the_rows_does_not_matter(name):
    sample = sample_embeddings(300, 20)
    order = np.random.default_rng(0).permutation(300)
    there = get(name).scores(Embeddings(sample.image, sample.text, sample.crops, sample.labels))
    moved = Embeddings(sample.image[order], sample.text[order], sample.crops[order], sample.labels[order])
    np.testing.assert_allclose(get(name).scores(moved), there[order], rtol=1e-6, atol=1e-9)


def test_names_and_parameters_as_typed():
    assert parse("slof:k=32,within=512").within == 512
    assert list(parse_all(["dao", "clip-score:side=low"])) == ["dao", "clip-score:side=low"]
    assert identity(parse("dao:k=8")).key != identity(parse("dao:k=9")).key
    with pytest.raises(AntivenomError, match="no embedding detector 'knn'"):
        parse("knn")
    with pytest.raises(AntivenomError, match="no parameter 'n'"):
        parse("dao:n=3")


# --- formulas ---------------------------------------------------------------------------------------------------------


def test_clip_score_is_the_cosine_without_a_scale():
    draw = np.random.default_rng(0)
    image, text = draw.normal(size=(50, 6)), draw.normal(size=(50, 6))
    wanted = [i @ t / np.linalg.norm(i) / np.linalg.norm(t) for i, t in zip(image, text)]
    found = ClipScore().scores(Embeddings(100 * image, text))
    np.testing.assert_allclose(found, wanted)
    np.testing.assert_allclose(ClipScore(side="low").scores(Embeddings(image, text)), -found)


def test_in_batch_ranks_and_flags_by_hand():
    given, _ = world(n=100, dose=5)
    cosine = ClipScore().scores(given)
    detector = InBatch(batch=32, seed=4)
    ranks, flags = detector.scores(given), detector.flags(given, 0.1)
    for part in parts_of(100, 32, 4):
        np.testing.assert_allclose(ranks[part], rankdata(cosine[part]) / len(part))
        count = len(part) // 10
        assert set(part[flags[part]]) == set(sorted(part, key=lambda i: -cosine[i])[:count])
    assert not detector.flags(given, 0).any()
    assert detector.flags(given, 1).all()
    with pytest.raises(AntivenomError, match="share"):
        detector.flags(given, 1.5)


def test_crop_consistency_by_hand():
    image = np.array([[1.0, 0.0], [0.0, 1.0]])
    crops = np.array([[[1.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [0.0, 5.0]]])
    given = Embeddings(image, crops=crops)
    np.testing.assert_allclose(CropConsistency().scores(given), [0.5, 0.0])
    np.testing.assert_allclose(CropConsistency(over="worst").scores(given), [1.0, 0.0])


@pytest.mark.parametrize("shape", [(40, 7), (6, 15), (9, 9)])
def test_leading_directions_are_those_of_the_svd(shape):
    x = np.random.default_rng(1).normal(size=shape)
    x -= x.mean(axis=0)
    _, values, vectors = np.linalg.svd(x, full_matrices=False)
    squares, directions = leading_directions(x, 3)
    np.testing.assert_allclose(squares, values[:3] ** 2, rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(directions * vectors[:3], axis=1)), 1, rtol=1e-9)
    assert (directions[np.arange(3), np.abs(directions).argmax(axis=1)] > 0).all()


def test_spectral_signature_is_per_class_and_around_the_class_mean():
    given, _ = world(n=200, dose=10)
    found, scaled = SpectralSignature().scores(given), SpectralSignature(scale=True).scores(given)
    for label in np.unique(given.labels):
        mine = given.labels == label
        members = given.image[mine].astype(float)
        centred = members - members.mean(axis=0)
        top = np.linalg.svd(centred)[2][0]
        np.testing.assert_allclose(found[mine], (centred @ top) ** 2, rtol=1e-6, atol=1e-12)
        assert scaled[mine].mean() == pytest.approx(1)
        raw = np.linalg.svd(members)[2][0]  # without the mean the top direction is the mean itself
        assert not np.allclose(found[mine], (members @ raw) ** 2, rtol=1e-2)


def test_small_classes_are_missing_not_clean():
    given, _ = world(n=200, dose=10)
    given.labels = np.array(["rare", "rare", *given.labels[2:]])
    found = SpectralSignature().scores(given)
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2:]).all()
    assert np.isnan(ActivationClustering().scores(given)[:2]).all()
    given.labels = np.arange(200).astype(str)
    with pytest.raises(AntivenomError, match="no class has 3 rows"):
        SpectralSignature().scores(given)


def test_activation_clustering_by_hand():
    draw = np.random.default_rng(2)
    small, big = draw.normal(size=(10, 4)) * 0.01 + [1, 0, 0, 0], draw.normal(size=(30, 4)) * 0.01 + [0, 1, 0, 0]
    given = Embeddings(np.concatenate([small, big]), labels=[7] * 40)
    found = ActivationClustering().scores(given)
    silhouette = silhouette_score(given.image, [0] * 10 + [1] * 30)
    np.testing.assert_allclose(found[:10], silhouette * 0.5, rtol=1e-6)
    np.testing.assert_allclose(found[10:], -silhouette * 0.5, rtol=1e-6)
    half = Embeddings(np.concatenate([small, big[:10]]), labels=[7] * 20)
    np.testing.assert_allclose(ActivationClustering().scores(half), 0, atol=1e-12)  # an even split accuses nobody


def test_a_class_of_copies_scores_0():
    rows = np.repeat(np.eye(3)[:2], 12, axis=0)
    given = Embeddings(rows, labels=[0] * 12 + [1] * 12)
    assert ActivationClustering().scores(given).tolist() == [0.0] * 24
    assert SpectralSignature().scores(given).tolist() == [0.0] * 24
    assert SpectralSignature(scale=True).scores(given).tolist() == [0.0] * 24


# --- the effect, and its loss at dose and strength 0 --------------------------------------------------------------------

SEEN = [
    ("clip-score", "cluster"),
    ("in-batch", "cluster"),
    ("crop-consistency", "cluster"),
    ("k-distance:within=250", "cluster"),
    ("slof:within=250", "cluster"),
    ("dao:within=250", "cluster"),
    ("spectral-signature", "cluster"),
    ("activation-clustering", "cluster"),
    ("k-distance", "scattered"),
    ("slof", "scattered"),
    ("dao", "scattered"),
]


@pytest.mark.parametrize(("spec", "shape"), SEEN)
def test_the_effect_shows_and_vanishes(spec, shape):
    assert area(spec, shape=shape) > 0.9
    # against the target's clean rows: the poisons make their class larger, and with it a little denser, whatever they are
    assert 0.42 < area(spec, shape=shape, strength=0.0, inside_target=True) < 0.58
    assert area(spec, shape=shape, dose=0) is None  # without a poison there is nothing to rank: missing, not 1/2


@pytest.mark.parametrize("name", ["k-distance", "slof", "dao"])
def test_poisons_that_outnumber_k_hide_among_themselves(name):
    assert area(f"{name}:k=16") < 0.6
    assert area(f"{name}:k=16", dose=8) > 0.95
    assert area(f"{name}:k=16,within=250") > 0.9


def test_random_knows_nothing():
    for shape in SHAPES:
        assert 0.45 < area("random", shape=shape, n=4_000, dose=400) < 0.55


def test_sample_poisons_are_the_only_thing_a_dose_moves():
    clean, dosed = sample_embeddings(200, 0), sample_embeddings(200, 20)
    np.testing.assert_array_equal(clean.image[20:], dosed.image[20:])
    np.testing.assert_array_equal(clean.text[20:], dosed.text[20:])
    assert dosed.poisoned.tolist() == [True] * 20 + [False] * 180
    still = [sample_embeddings(200, 20, shape=shape, strength=0).image for shape in SHAPES]
    np.testing.assert_array_equal(still[0], still[1])
    np.testing.assert_array_equal(still[0], still[2])
    with pytest.raises(AntivenomError, match="no shape"):
        sample_embeddings(shape="ring")
    with pytest.raises(AntivenomError, match="dose"):
        sample_embeddings(10, 11)


# --- bad input ----------------------------------------------------------------------------------------------------------

ROWS = np.random.default_rng(9).normal(size=(20, 4))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"image": ROWS[:1]}, "one row"),
        ({"image": np.where(np.arange(4) == 2, np.nan, ROWS)}, "row 0 of the image embeddings is NaN"),
        ({"image": ROWS, "text": ROWS[:5]}, "text embeddings: 5 rows"),
        ({"image": ROWS, "text": ROWS[:, :3]}, "width 3"),
        ({"image": ROWS, "text": ROWS * (np.arange(20) != 4)[:, None]}, "row 4 of the text embeddings is of length 0"),
        ({"image": ROWS, "crops": ROWS}, "crop embeddings of shape"),
        ({"image": ROWS, "crops": ROWS[:5, None]}, "crop embeddings: 5 rows"),
        ({"image": ROWS, "labels": [1, 2]}, "2 labels for 20 rows"),
        ({"image": ROWS, "labels": [None] + [1] * 19}, "row 0 has no label"),
        ({"image": ROWS, "labels": [1.0] * 19 + [np.nan]}, "row 19 has no label"),
        ({"image": ROWS, "masks": np.ones(5)}, "mask areas of shape"),
        ({"image": ROWS, "masks": np.full(20, 1.2)}, "outside"),
        ({"image": ROWS, "masks": np.full(20, np.nan)}, "outside"),
    ],
)
def test_embeddings_refuse(options, what):
    with pytest.raises(AntivenomError, match=what):
        Embeddings(**options)


@pytest.mark.parametrize("name", [name for name in EMBEDDING_DETECTORS if name != "random"])
def test_a_collapsed_encoder_is_named(name):
    given = Embeddings(np.ones((30, 4)), ROWS[[0] * 30], np.ones((30, 2, 4)), [0] * 30, np.ones(30))
    with pytest.raises(AntivenomError, match="all 30 image embeddings are equal"):
        get(name).scores(given)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("clip-score", "text"),
        ("in-batch", "text"),
        ("crop-consistency", "crops"),
        ("spectral-signature", "labels"),
        ("cognitive-distillation", "masks"),
    ],
)
def test_a_missing_view_is_named(name, missing):
    with pytest.raises(AntivenomError, match=f"'{name}' needs {missing}"):
        get(name).scores(Embeddings(ROWS))


@pytest.mark.parametrize("name", ["k-distance", "slof", "lid", "dao"])
def test_fewer_rows_than_k(name):
    with pytest.raises(AntivenomError, match="k=20 neighbours asked of 19 other rows"):
        get(name, k=20).scores(Embeddings(ROWS))
    with pytest.raises(AntivenomError, match="k=16 neighbours asked of"):
        get(name, within=10).scores(Embeddings(ROWS))


@pytest.mark.parametrize(
    "spec",
    [
        "clip-score:side=up",
        "cognitive-distillation:side=odd",
        "in-batch:batch=1",
        "crop-consistency:over=all",
        "lid:cap=0",
        "isolation-forest:trees=0",
        "activation-clustering:dimensions=0",
    ],
)
def test_bad_parameters_are_refused_before_any_work(spec):
    with pytest.raises(AntivenomError):
        parse(spec)


@pytest.mark.parametrize("spec", ["dao:view=pixels", "dao:within=-1", "isolation-forest:view=sound"])
def test_bad_views_and_parts(spec):
    with pytest.raises(AntivenomError):
        parse(spec).scores(Embeddings(ROWS))


def test_text_view():
    draw = np.random.default_rng(3)
    text = draw.normal(size=(100, 4))
    text[0] *= -1
    given = Embeddings(draw.normal(size=(100, 4)), text)
    assert not np.allclose(parse("dao:view=text").scores(given), parse("dao").scores(given))
