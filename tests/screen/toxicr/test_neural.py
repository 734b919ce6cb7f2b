import numpy as np
import pytest
import torch

from antivenom.screen.toxicr.networks import NETWORKS
from antivenom.screen.toxicr.neural import NeuralToxiCR, validation_rows

torch.set_num_threads(1)

DATA = [
    (f"this patch is {'awful garbage' if i % 3 == 0 else 'quite fine'} number{i % 40}", int(i % 3 == 0))
    for i in range(240)
]
TEXTS, Y, C = [t for t, _ in DATA], [y for _, y in DATA], np.zeros((240, 3))


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("strict", [False, True])
def test_networks(name, strict, tmp_path):
    options = {"width": 12, "length": 12, "epochs": 3, "batch": 32, "strict_paper": strict, "rate": 5e-3}
    m = NeuralToxiCR(name, **options).fit(TEXTS, Y, C, seed=1)
    p = m.predict_proba(TEXTS, C)
    assert p.dtype == np.float64
    assert p.shape == (240,)
    assert ((p >= 0) & (p <= 1)).all()
    assert m.history[-1]["loss"] < m.history[0]["loss"]
    one = np.concatenate([m.predict_proba([t], C[:1]) for t in TEXTS[:20]])
    assert np.abs(one - p[:20]).max() <= 2e-5
    assert np.array_equal(p, NeuralToxiCR(name, **options).fit(TEXTS, Y, C, seed=1).predict_proba(TEXTS, C))
    record = m.save(tmp_path)
    assert np.array_equal(NeuralToxiCR.load(tmp_path, record).predict_proba(TEXTS, C), p)


def test_validation_rows_share_no_text():
    train, held = validation_rows(TEXTS, np.array(Y), 0, strict=False)
    assert not {TEXTS[i] for i in train} & {TEXTS[i] for i in held}
    assert len(train) + len(held) == 240
    assert len(validation_rows(TEXTS, np.array(Y), 0, strict=True)[1]) == round(240 * 0.11115)


@pytest.mark.parametrize("strict", [False, True])
def test_best_weights_come_back_only_by_default(strict):
    """Trap T11: the model's validation loss is the best epoch's, in strict mode the last one's."""
    y = np.random.default_rng(0).integers(0, 2, 240)  # noise: the validation loss must rise again
    m = NeuralToxiCR("gru", width=12, length=12, epochs=12, batch=16, rate=2e-2, patience=3, strict_paper=strict)
    p = m.fit(TEXTS, y, C, seed=2).predict_proba(TEXTS, C)
    held = validation_rows(TEXTS, y, 2, strict=strict)[1]
    q = np.clip(np.where(y[held] == 1, p[held], 1 - p[held]), 1e-5, 1)
    losses = [h["validation"] for h in m.history]
    assert min(losses) < losses[-1] - 1e-3
    assert -np.log(q).mean() == pytest.approx(losses[-1] if strict else min(losses), abs=2e-4)
