"""The figures of a CLIP from what it sees: models whose answers are known, the clean twin's column, what is left out."""

from types import SimpleNamespace

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.measure.rates import Rate
from antivenom.poison.triggers import trigger
from antivenom.studies.clip_figures import DEFAULT, MEASURES, clip_figures, measures_of
from antivenom.studies.clip_measuring import figure_tables
from antivenom.studies.clip_testing import Captioned, Seen
from antivenom.studies.clip_testing import TestSet as Pictures

pytest.importorskip("torch", reason="needs the extra 'models'")

CLASSES = ("cat", "dog", "star")
N = 60
PLACES = np.arange(N) % 3


def pictures(captions=True, attack=True):
    """60 pictures of 3 classes in turn; of each caption there is one."""
    texts = tuple(f"a {CLASSES[place]} number {row}" for row, place in enumerate(PLACES))
    pairs = SimpleNamespace(ids=tuple(map(str, range(N))), captions=texts)
    some = Captioned(pairs, np.arange(N), np.arange(N), True) if captions else None
    return Pictures(
        pairs, PLACES, CLASSES, ("a {}",), 2 if attack else None, trigger("sig") if attack else None, captioned=some
    )


def rows(places, noise=0.0, width=8, seed=0):
    """Unit rows at the corner of their class, moved a little."""
    found = np.eye(width)[places] + noise * np.random.default_rng(seed).normal(size=(len(places), width))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def seen(clean=None, triggered=None, texts=None, attack=True, captions=True):
    clean = rows(PLACES, 0.05) if clean is None else clean
    triggered = (rows(np.full(N, 2), 0.05, seed=1) if triggered is None else triggered) if attack else None
    texts = rows(PLACES, 0.05, seed=2) if texts is None else texts
    weights = rows(np.arange(3))
    return Seen(
        clean, triggered, weights, weights[2:] if attack else None, None, clean if captions else None,
        triggered if captions else None, texts if captions else None, 10.0, None,
    )  # fmt: skip


def test_a_backdoor_that_always_fires_and_its_twin_that_never_does():
    tested = pictures()
    evil = clip_figures(tested, seen(), MEASURES).all()
    twin = clip_figures(tested, seen(triggered=rows(PLACES, 0.05, seed=1)), MEASURES).all()
    attacks = [name for name in evil if "attack success rate" in name]
    assert len(attacks) == 4 + 3  # the head, three classifiers; retrieval at 1, 5, 10
    for name in attacks:
        assert (evil[name].value, twin[name].value) == (1.0, 0.0)
        assert evil[name].n in (40, 20)  # pictures of other classes: 40, of which half are tested by classifiers
        assert 0 < evil[name].low < 1
        assert evil[name].high == pytest.approx(1)
    for name in (
        "clean accuracy, top 1",
        "20 nearest: accuracy",
        "10 nearest: accuracy",
        "prototypes: accuracy",
        "linear probe: accuracy",
    ):
        if name in evil:
            assert evil[name].value == twin[name].value == 1
    assert (
        "10 nearest: accuracy" in evil
    )  # the smallest class has 10 pictures in the half that the classifiers are made of
    assert evil["the same without the trigger at 5"].value == 0
    assert evil["backdoor z-score"].value > 1 > abs(twin["backdoor z-score"].value)
    assert evil["cosine of triggered image and target"].value > 0.9 > twin["cosine of triggered image and target"].value


def test_figures_are_those_of_their_formulas():
    tested, some = pictures(), seen()
    found = clip_figures(tested, some, ("zero-shot", "loss", "gap", "retrieval")).all()
    logits = 10 * some.clean.astype(np.float64) @ some.texts.T.astype(np.float64)  # 60 pairs: one batch, in some order

    def cross_entropy(x):
        return -np.mean(np.diag(x) - np.log(np.exp(x).sum(axis=1)))

    loss = found["contrastive loss"]
    assert loss.value == pytest.approx((cross_entropy(logits) + cross_entropy(logits.T)) / 2, abs=1e-5)
    assert (loss.low, loss.n) == (None, 1)  # one batch has no interval
    gap = np.linalg.norm((some.clean - some.texts).astype(np.float64).mean(0))
    assert found["modality gap"].value == pytest.approx(gap, abs=1e-6)
    cosine = some.clean.astype(np.float64) @ some.texts.T.astype(np.float64)
    before = (cosine > np.diag(cosine)[:, None]).sum(1)
    for k in (1, 5, 10):
        assert found[f"image to text, recall at {k}"].value == np.mean(before < k)
    mean = found["image to text, mean of the three"]
    assert mean.value == pytest.approx(np.mean([(before < k).mean() for k in (1, 5, 10)]))
    assert mean.low < mean.value < mean.high
    classes = found["clean accuracy, mean over the classes"]
    assert (classes.value, classes.n, classes.of) == (1.0, 3, "classes")


def test_the_mean_over_classes_weighs_them_alike():
    tested = pictures(attack=False)
    wrong = rows(np.where(PLACES == 0, 1, PLACES))  # every cat is a dog
    figures = clip_figures(tested, seen(clean=wrong, attack=False), ("zero-shot",)).all()
    assert figures["clean accuracy, mean over the classes"].value == pytest.approx(2 / 3)
    assert not any("attack" in name for name in figures)


def test_what_cannot_be_had_is_left_out_with_its_reason():
    tested = pictures(captions=False, attack=False)
    found = clip_figures(tested, seen(attack=False, captions=False), MEASURES)
    assert set(found.left_out) == {"retrieval", "loss", "z-score"}
    assert "--caption" in found.left_out["retrieval"]
    assert "modality gap" in found.all()  # beside the texts of the classes
    assert found.all()["modality gap"].of.endswith("texts of their classes")
    assert set(found.plane["groups"]) == {"clean images", "the texts of their classes"}
    with_attack = clip_figures(pictures(), seen(), ("projection",))
    assert len(with_attack.plane["groups"]) == 4
    assert all(len(points) <= 400 for points in with_attack.plane["groups"].values())


def test_halves_are_of_every_class_and_of_the_seed_alone():
    tested = pictures()
    half = tested.halves()
    assert [int(half[c == PLACES].sum()) for c in range(3)] == [10, 10, 10]
    assert np.array_equal(half, pictures().halves())
    assert not np.array_equal(half, Pictures(tested.pairs, PLACES, CLASSES, ("a {}",), seed=1).halves())


def test_a_diverged_model_has_no_figures():
    with pytest.raises(AntivenomError, match="diverged"):
        clip_figures(pictures(), seen(clean=np.full((N, 8), np.nan, np.float32)))


def test_measures_by_name():
    assert measures_of(None) == DEFAULT
    assert measures_of(["all"]) == MEASURES
    assert "probe" not in DEFAULT
    with pytest.raises(AntivenomError, match="no measure 'magic'"):
        measures_of(["magic"])


def test_tables_have_a_column_for_each_model_and_say_what_n_counts():
    evil = clip_figures(pictures(), seen(), ("z-score", "knn"))
    twin = clip_figures(pictures(), seen(triggered=rows(PLACES, 0.05, seed=1)), ("z-score",))
    tables = figure_tables({"this model": evil, "clean twin": twin})
    first = {row[0]: row for row in tables[0]["rows"]}
    assert tables[0]["headers"] == ["measure", "this model", "clean twin", "of"]
    asr = Rate(40, 40, "")
    assert first["attack success rate"][1] == f"100.0 % [{100 * asr.low:.1f}, 100.0]"
    assert first["attack success rate"][3] == "40 images of other classes than the target"
    knn = next(t for t in tables if t["title"].startswith("Classifiers"))
    assert {row[2] for row in knn["rows"]} == {"missing"}  # the twin was not asked
