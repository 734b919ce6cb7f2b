"""Detectors on a victim's embeddings: the rows, the crops, the classes, and the control."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.studies.cleanclip import SIZES, poisoned, world
from antivenom.studies.cleanclip_detectors import DETECTORS, SHARES, cleanclip_detectors, corner_crops, seen
from antivenom.studies.frame import Cell

FEW = SIZES["smoke"] | {"pairs": 300, "test": 60, "epochs": 6}
KEY = tuple(sorted(FEW.items()))


def test_corner_crops_are_the_corners_at_full_size():
    images = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    crops = corner_crops(images, 0.5)
    assert [crop.shape for crop in crops] == [(2, 8, 8, 3)] * 4
    for crop, (top, left) in zip(crops, ((0, 0), (0, 4), (4, 0), (4, 4)), strict=True):
        assert (crop[:, ::2, ::2] == images[:, top : top + 4, left : left + 4]).all()
        assert (crop[:, ::2] == crop[:, 1::2]).all()
    assert all((crop == images).all() for crop in corner_crops(images, 1.0))


def test_rows_are_those_of_the_poison_and_a_poison_is_of_the_targets_class():
    embeddings, truth = seen(KEY, 20, 1, None)
    train = world(KEY, 1)["train"]
    rows = poisoned(train, 20, FEW["trigger"], 1)[2]
    assert set(np.flatnonzero(truth)) == set(rows)
    assert set(embeddings.labels[rows]) == {"star"}
    clean = ~truth
    assert (embeddings.labels[clean] == np.array(train.class_names)[train.labels][clean]).all()
    assert embeddings.crops.shape == (300, 4, embeddings.image.shape[1])


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_detector_answers_beside_its_control(detector):
    found = {r.metric: r for r in cleanclip_detectors(Cell("smoke", 20, detector, 1, FEW, "cleanclip-detectors"))}
    assert (found["AUROC"].control, found["AUROC"].n) == (0.5, 300)
    assert 0 <= found["AUROC"].value <= 1
    recalls = [r for name, r in found.items() if name != "AUROC"]
    assert [round(r.control, 3) for r in recalls] == [int(share * 300) / 300 for share in SHARES]
    assert all(r.n == 20 and r.dose_share == 20 / 300 for r in recalls)
