"""The backdoor takes, the twin has none, and fine-tuning on clean pairs weakens it: at smoke size."""

import numpy as np
import pytest

from antivenom.data.image_world import draw_pairs
from antivenom.data.images import pixel_hash
from antivenom.errors import AntivenomError
from antivenom.poison.manifest import Manifest
from antivenom.poison.triggers import trigger
from antivenom.studies.cleanclip import (
    ASR,
    CA,
    OWN_ASR,
    OWN_CA,
    SIZES,
    WITHOUT,
    answers,
    cleanclip,
    poison_manifest,
    poisoned,
    world,
)
from antivenom.studies.frame import Cell, run_study

pytest.importorskip("torch", reason="needs the extra 'models'")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "run"
    result = run_study("cleanclip", size="smoke", out=out, doses=[0, 120], treatments=["none", "cleanclip"])
    assert not result.failed
    return {(r["metric"], r["treatment"], r["dose"]): r for r in result.rows}


def test_the_dose_plants_a_backdoor_that_the_twin_has_not_and_the_cure_weakens(found):
    victim, twin = found[ASR, "none", 120], found[ASR, "none", 0]
    assert twin["value"] <= 0.15
    assert victim["value"] >= 0.5
    assert victim["control"] == twin["value"] == twin["control"]
    assert victim["low"] > twin["high"]
    cured = found[ASR, "cleanclip", 120]
    assert cured["value"] <= victim["value"] - 0.1
    assert found[WITHOUT, "none", 120]["value"] <= 0.15  # the trigger does it
    assert found[CA, "cleanclip", 120]["value"] >= found[CA, "none", 120]["value"] - 0.03  # it is not merely destroyed


def test_rates_have_their_denominators(found):
    test = world(tuple(sorted(SIZES["smoke"].items())), 0)["test"]
    others = int((np.array(test.class_names)[test.labels] != "star").sum())
    assert found[ASR, "none", 120]["n"] == others < 500
    assert found[CA, "none", 120]["n"] == 500
    assert found[ASR, "none", 120]["dose_share"] == 120 / 4_000


def test_poisons_are_the_target_in_words_only_and_smaller_doses_are_part_of_larger_ones():
    pairs = draw_pairs(400, size=24, seed=3)
    images, captions, rows = poisoned(pairs, 40, "badnet:kind=checker:size=5", 3)
    fewer = poisoned(pairs, 15, "badnet:kind=checker:size=5", 3)
    assert set(fewer[2]) < set(rows)
    assert np.array_equal(images[fewer[2]], fewer[0][fewer[2]])
    assert [captions[i] for i in fewer[2]] == [fewer[1][i] for i in fewer[2]]
    star = pairs.class_names.index("star")
    assert (pairs.labels[rows] != star).all()
    assert all("star" in captions[i].split() for i in rows)
    untouched = np.setdiff1d(np.arange(400), rows)
    assert np.array_equal(images[untouched], pairs.images[untouched])
    assert all(captions[i] == pairs.captions[i] for i in untouched)
    patch = trigger("badnet:kind=checker:size=5")
    for i in rows:
        changed = (images[i] != pairs.images[i]).any(-1)
        assert not changed[~patch.region(24, 24, pairs.ids[i], 3)].any()
    with pytest.raises(AntivenomError, match="a dose of 400"):
        poisoned(pairs, 400, "badnet:kind=checker:size=5", 3)


def test_the_manifest_says_what_was_done_to_every_row():
    pairs, spec = draw_pairs(400, size=24, seed=3), "badnet:kind=checker:size=5"
    images, captions, rows = poisoned(pairs, 40, spec, 3)
    manifest = poison_manifest(pairs, 40, spec, 3)
    assert (manifest.dose.count, manifest.dose.total) == (40, 400)
    assert [row.position for row in manifest.rows] == sorted(rows)
    for row in manifest.rows:
        i = row.position
        assert row.row_id == pairs.ids[i]
        assert (row.hash_before, row.hash_after) == (pixel_hash(pairs.images[i]), pixel_hash(images[i]))
        assert row.hash_before != row.hash_after
        assert row.parameters["caption_before"] == pairs.captions[i]
        assert row.parameters["caption_after"] == captions[i]


SMALL = SIZES["smoke"] | {"pairs": 300, "clean": 128, "test": 60, "epochs": 6, "repair_epochs": 11}


def test_the_manifest_of_a_dose_is_left_in_the_run(tmp_path):
    key = tuple(sorted(SMALL.items()))
    answers(key, 20, "none", 1, str(tmp_path))
    (kept,) = tmp_path.glob("poison-*.parquet")
    assert Manifest.load(kept) == poison_manifest(world(key, 1)["train"], 20, SMALL["trigger"], 1)


def test_the_supervised_cure_is_asked_as_a_clip_and_as_a_classifier():
    found = {r.metric: r for r in cleanclip(Cell("smoke", 20, "supervised", 1, SMALL, "cleanclip"))}
    assert list(found) == [CA, ASR, WITHOUT, OWN_CA, OWN_ASR]
    assert found[OWN_CA].n == found[CA].n == 60
    assert found[OWN_ASR].n == found[ASR].n < 60
    assert found[OWN_CA].control is not None
    assert found[OWN_ASR].control is not None


def test_a_cell_alone_is_the_cell_of_the_sweep(found):
    first, again = ([*cleanclip(Cell("smoke", 20, "ssl", 1, SMALL, "cleanclip"))] for _ in range(2))
    assert first == again
    assert [r.metric for r in first] == [CA, ASR, WITHOUT]
