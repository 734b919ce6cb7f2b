"""More cures on the small CLIP: every arm answers beside its twin, and suspected pairs are whose they should be."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.repair.unlearning import most_aligned
from antivenom.studies import cleanclip_more_cures as more
from antivenom.studies.cleanclip import ASR, CA, WITHOUT, poisoned, world
from antivenom.studies.cleanclip_more_cures import SIZES, TREATMENTS, cleanclip_more_cures, model_of
from antivenom.studies.frame import Cell
from antivenom.train.loop import model_hash

FEW = (
    SIZES["smoke"]
    | more.MORE
    | {"pairs": 320, "clean": 128, "test": 60, "epochs": 2, "repair_epochs": 2, "warmup": 2, "safe_warmup": 1}
    | {"first_rate": 2.0}
)
KEY = tuple(sorted(FEW.items()))


@pytest.mark.parametrize("treatment", TREATMENTS)
def test_every_arm_answers_beside_its_twin(treatment):
    cell = Cell("smoke", 20, treatment, 0, FEW, "cleanclip-more-cures")
    found = {r.metric: r for r in cleanclip_more_cures(cell)}
    assert set(found) == {CA, ASR, WITHOUT}
    assert found[CA].n == 60
    assert found[ASR].n == found[WITHOUT].n < 60
    assert found[ASR].control is not None
    assert found[ASR].dose_count == 20


def test_the_arms_are_different_models_and_the_seed_s():
    hashes = {name: model_hash(model_of(KEY, 20, name, 0, None)) for name in TREATMENTS}
    assert len(set(hashes.values())) == len(TREATMENTS)
    assert model_hash(model_of(KEY, 20, "unlearn", 0, None)) == hashes["unlearn"]
    assert model_hash(model_of(KEY, 0, "unlearn-oracle", 0, None)) == model_hash(model_of(KEY, 0, "mmcl", 0, None))


def test_who_is_suspected(monkeypatch):
    seen = {}

    def watch(model, clean, recipe, seed, *, shelf, suspected):
        seen["suspected"] = set(suspected.ids)
        return type("Done", (), {"model": model})

    monkeypatch.setattr("antivenom.repair.cures.find_cure", lambda name: watch)
    train = world(KEY, 0)["train"]
    images, captions, rows = poisoned(train, 20, FEW["trigger"], 0)
    for name, count in (("unlearn", 6), ("unlearn-random", 6), ("unlearn-oracle", 20)):
        model_of(KEY, 20, name, 0, None)
        assert len(seen["suspected"]) == count
        seen[name] = seen.pop("suspected")
    assert seen["unlearn-oracle"] == {train.ids[i] for i in rows}
    from antivenom.repair.record import CleanPairs
    from antivenom.studies.cleanclip import victim

    top = np.flatnonzero(most_aligned(victim(KEY, 20, 0, None), CleanPairs(images, captions), 0.02))
    assert seen["unlearn"] == {train.ids[i] for i in top}
