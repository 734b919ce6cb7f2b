"""The next-token loss is the mean over predicted tokens, whatever masks, z-loss and goldfish leave of them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.models.bigram_lm import BigramLM  # noqa: E402
from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.train.causal_lm import CausalLanguageModel, Goldfish, goldfish_drops  # noqa: E402

DRAW = np.random.default_rng(0)
TABLE = np.log(DRAW.dirichlet(np.ones(6), 6)) + 1.5  # logits whose log-normaliser is 1.5
X = torch.from_numpy(DRAW.integers(0, 6, (3, 8)))


def nll(b, t):
    return -float(TABLE[X[b, t], X[b, t + 1]] - 1.5)


def test_mean_over_predicted_tokens():
    loss, figures = CausalLanguageModel(BigramLM(TABLE)).loss({"tokens": X})
    assert float(loss.detach()) == pytest.approx(np.mean([nll(b, t) for b in range(3) for t in range(7)]))
    assert int(figures["tokens"]) == 21


@pytest.mark.parametrize("per_row", [True, False])
def test_a_mask_takes_tokens_out_of_the_loss(per_row):
    mask = torch.tensor([True, False, True]) if per_row else torch.from_numpy(DRAW.random((3, 8)) < 0.5)
    loss, figures = CausalLanguageModel(BigramLM(TABLE)).loss({"tokens": X, "mask": mask})
    learned = [(b, t) for b in range(3) for t in range(7) if (mask[b] if per_row else mask[b, t + 1])]
    assert float(loss.detach()) == pytest.approx(np.mean([nll(b, t) for b, t in learned]))
    assert int(figures["tokens"]) == len(learned)


def test_nothing_to_predict_is_zero_and_no_gradient():
    model = BigramLM(TABLE)
    loss, _ = CausalLanguageModel(model, z_loss=0.1).loss({"tokens": X, "mask": torch.zeros(3, dtype=torch.bool)})
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(model.table.grad.abs().max()) == 0


def test_z_loss_is_the_squared_log_normaliser():
    plain, _ = CausalLanguageModel(BigramLM(TABLE)).loss({"tokens": X})
    loss, figures = CausalLanguageModel(BigramLM(TABLE), z_loss=0.1).loss({"tokens": X})
    assert float((loss - plain).detach()) == pytest.approx(0.1 * 1.5**2)
    assert float(figures["z"]) == pytest.approx(0.1 * 1.5**2)


def test_noise_goes_into_the_embeddings():
    model = small_decoder(DecoderConfig(6, 8, width=8, heads=2, init_std=0.3))
    noise = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    loss, _ = CausalLanguageModel(model).loss({"tokens": X, "noise": noise})
    logits = model.logits(model.embed(X) + noise)[:, :-1].reshape(-1, 6)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, X[:, 1:].reshape(-1)))


def test_goldfish_drops_the_same_tokens_of_a_passage_wherever_it_stands():
    draw = np.random.default_rng(1)
    goldfish = Goldfish(k=4, h=13)
    passage = torch.from_numpy(draw.integers(0, 50_000, 200))
    rows = []
    for before in (0, 7, 31):
        filler = torch.from_numpy(draw.integers(0, 50_000, before))
        rows.append(goldfish_drops(torch.cat([filler, passage])[None], goldfish)[0, before:][13:])
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2])


@pytest.mark.parametrize(("k", "vocabulary"), [(4, 50_000), (3, 4), (8, 300)])
def test_goldfish_drops_one_in_k(k, vocabulary):
    x = torch.from_numpy(np.random.default_rng(2).integers(0, vocabulary, (50, 413)))
    drops = goldfish_drops(x, Goldfish(k, 13))
    assert not drops[:, :13].any()
    share, n = float(drops[:, 13:].float().mean()), 50 * 400
    assert abs(share - 1 / k) < 4 * (1 / k * (1 - 1 / k) / n) ** 0.5
    assert not goldfish_drops(x[:, :13], Goldfish(k, 13)).any()


def test_goldfish_tokens_have_no_part_in_the_loss():
    x = torch.from_numpy(np.random.default_rng(3).integers(0, 6, (2, 40)))
    goldfish = Goldfish(2, 3)
    loss, figures = CausalLanguageModel(BigramLM(TABLE), goldfish=goldfish).loss({"tokens": x})
    drops = goldfish_drops(x, goldfish)
    kept = [-float(TABLE[x[b, t], x[b, t + 1]] - 1.5) for b in range(2) for t in range(39) if not drops[b, t + 1]]
    assert float(loss.detach()) == pytest.approx(np.mean(kept))
    assert figures["dropped"] == int(drops.sum())
    assert int(figures["tokens"]) == len(kept) < 78


def test_describe_changes_with_every_option():
    model = BigramLM(TABLE)
    told = [
        CausalLanguageModel(model),
        CausalLanguageModel(model, 1e-5),
        CausalLanguageModel(model, goldfish=Goldfish()),
    ]
    assert len({repr(objective.describe()) for objective in told}) == 3
    with pytest.raises(AntivenomError):
        CausalLanguageModel(model, -1.0)
    with pytest.raises(AntivenomError):
        Goldfish(1)
