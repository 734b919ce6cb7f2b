"""The watermark's known answers, sign and scale (spec 02, traps 12 and 13); forgetting of what was never learned is 0."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.measure.language.forgetting import (  # noqa: E402
    LossProbe,
    acquisition,
    forgetting_curve,
    remaining,
)
from antivenom.measure.language.watermark_score import (  # noqa: E402
    WatermarkScores,
    loss_gradients,
    watermark_report,
    watermark_score,
    watermark_scores,
)
from antivenom.models.bigram_lm import BigramLM  # noqa: E402
from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.models.torch_runtime import seeded  # noqa: E402
from antivenom.train.causal_lm import CausalLanguageModel  # noqa: E402

SIGMA = 0.5


def test_quadratic_loss_has_minus_the_noise_over_sigma():
    draw = np.random.default_rng(0)
    x, n = draw.normal(size=(5, 7)), draw.normal(0, SIGMA, (5, 7))
    at = torch.from_numpy(x).requires_grad_(True)
    loss = (at - torch.from_numpy(x + n)).square().sum() / 2
    (g,) = torch.autograd.grad(loss, at)
    assert watermark_score(g.numpy(), n, SIGMA) == pytest.approx(-np.linalg.norm(n) / SIGMA)


def test_fresh_noise_is_standard_normal():
    g = np.random.default_rng(1).normal(size=(6, 8))
    draw = np.random.default_rng(2)
    scores = np.array([watermark_score(g, draw.normal(0, SIGMA, g.shape), SIGMA) for _ in range(10_000)])
    assert abs(scores.mean()) < 0.04
    assert abs(scores.std() - 1) < 0.03
    assert np.isnan(watermark_score(np.zeros(3), np.ones(3), 1.0))


def test_a_one_layer_model_has_the_gradient_of_paper_and_pencil():
    table = np.random.default_rng(3).normal(size=(6, 6))
    x = np.array([2, 5, 1, 1])
    (g,) = loss_gradients(BigramLM(table), [x])
    p = np.exp(table) / np.exp(table).sum(1, keepdims=True)
    expected = np.zeros((4, 6))
    for t in range(3):  # d CE / d logits = p - onehot; logits = e @ table
        expected[t] = (p[x[t]] - np.eye(6)[x[t + 1]]) @ table.T / 3
    np.testing.assert_allclose(g, expected, atol=1e-6)


def world():
    model = small_decoder(DecoderConfig(20, 16, width=16, heads=2, init_std=0.2), seed=0)
    draw = np.random.default_rng(4)
    tokens = draw.integers(1, 20, (24, 12))
    return model, tokens, draw.normal(0, SIGMA, (24, 12, 16)).astype(np.float32)


def test_the_gradient_does_not_depend_on_the_batch():  # trap 13
    model, tokens, _ = world()
    ragged = [row[: 6 + i % 3] for i, row in enumerate(tokens)]
    for a, b in zip(loss_gradients(model, ragged, 1), loss_gradients(model, sorted(ragged, key=len), 9)):
        assert a.dtype == b.dtype == np.float32
    one = list(loss_gradients(model, tokens, 1))
    np.testing.assert_allclose(one, list(loss_gradients(model, tokens, 24)), atol=1e-6)
    assert all(p.grad is None for p in model.parameters())
    half = list(loss_gradients(model.bfloat16(), tokens[:2]))
    assert half[0].dtype == np.float32


def test_training_on_the_noise_makes_its_score_negative_and_only_its():  # trap 12
    model, tokens, noise = world()
    before = watermark_report(watermark_scores(model, tokens, noise, sigma=SIGMA, stored_sigma=SIGMA, fresh=20))
    assert abs(before.z) < 3
    with seeded(0, 1):
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        objective = CausalLanguageModel(model)
        batch = {"tokens": torch.from_numpy(tokens), "noise": torch.from_numpy(noise)}
        for _ in range(60):
            optimizer.zero_grad()
            objective.loss(batch)[0].backward()
            optimizer.step()
    scores = watermark_scores(model, tokens, lambda i: noise[i], sigma=SIGMA, stored_sigma=SIGMA, fresh=20)
    after = watermark_report(scores)
    assert after.z < -3
    assert after.p < 0.01
    assert after.tpr.value > 0.05
    assert after.fpr <= 0.01
    assert abs(after.fresh_z) < 3
    assert after.fresh_std == pytest.approx(1, abs=0.1)
    assert after.sign == "negative when marked"
    # another run's noise is no mark
    other = np.random.default_rng(9).normal(0, SIGMA, noise.shape)
    assert abs(watermark_report(watermark_scores(model, tokens, other, sigma=SIGMA, stored_sigma=SIGMA)).z) < 3


def test_another_sigma_is_refused():  # trap 12
    model, tokens, noise = world()
    with pytest.raises(AntivenomError, match=r"sigma 0\.001 for noise that was stored with sigma 0\.5"):
        watermark_scores(model, tokens, noise, sigma=0.001, stored_sigma=SIGMA)
    with pytest.raises(AntivenomError, match=r"spread of 0\.\d+, its record says sigma 0.001"):
        watermark_scores(model, tokens, noise, sigma=0.001, stored_sigma=0.001)
    with pytest.raises(AntivenomError, match=r"noise of sequence 0 is \(12, 8\)"):
        watermark_scores(model, tokens, noise[..., :8], sigma=SIGMA, stored_sigma=SIGMA)


def test_a_report_by_hand():
    marked, null = np.array([-3.0, -1.0, np.nan, -2.0]), np.linspace(-2.5, 2.5, 101)[None]
    found = watermark_report(WatermarkScores(marked, null, 1.0))
    assert (found.n, found.missing) == (3, 1)
    assert found.mean == -2
    assert found.z == pytest.approx(-2 / (1 / np.sqrt(3)))
    assert found.tpr.successes == 1  # below -2.45, which one of 101 is below
    assert found.fpr == pytest.approx(1 / 101)
    with pytest.raises(AntivenomError, match="1 marked"):
        watermark_report(WatermarkScores(marked[:1], null, 1.0))


# forgetting


def test_an_unchanged_model_has_forgotten_nothing_because_it_learned_nothing():
    model, tokens, _ = world()
    probe = LossProbe(model.train(), tokens, steps=[3, 4, 9])
    for step in range(12):
        probe.read(step)
    assert sorted(probe.losses) == [3, 4, 9]
    assert model.training
    curve = forgetting_curve(probe.losses, 3)
    assert [(point.age, point.delta.value) for point in curve] == [(1, 0.0), (6, 0.0)]
    assert remaining(curve) == {}


def test_the_twins_drift_is_taken_out():
    draw = np.random.default_rng(0)
    base = draw.normal(size=30)
    twin = {s: base - 0.01 * s for s in (10, 11, 15, 30)}
    own = {s: twin[s] + extra for s, extra in ((10, 0.0), (11, -0.2), (15, -0.4), (30, -0.1))}
    curve = forgetting_curve(own, 10, twin=twin)
    assert [point.delta.value for point in curve] == pytest.approx([-0.2, -0.4, -0.1])
    assert remaining(curve) == pytest.approx({5: 1.0, 20: 0.25})
    assert forgetting_curve(own, 10)[0].delta.value == pytest.approx(-0.21)
    with pytest.raises(AntivenomError, match="no reading at step 9"):
        forgetting_curve(own, 9)
    with pytest.raises(AntivenomError, match="twin has no reading at step 30"):
        forgetting_curve(own, 10, twin={s: twin[s] for s in (10, 11, 15)})


def test_effectivity_and_a_power_law_of_forgetting():
    log_p = {100: -8.0, 101: -6.0, 103: -5.0} | {103 + a: -8 + 3 * (0.9 - 0.1 * np.log(a)) for a in (2, 8, 32, 128)}
    found = acquisition(log_p, 100, window=10)
    assert (found.effectivity, found.peak) == (3.0, 3)
    assert found.retainability[8] == pytest.approx(0.9 - 0.1 * np.log(8))
    assert found.decay == pytest.approx(-0.1)
    assert acquisition({0: -1.0, 1: -2.0}, 0, 5).retainability == {}
    with pytest.raises(AntivenomError, match="no reading"):
        acquisition(log_p, 99, 10)
