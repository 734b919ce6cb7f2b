"""Membership scores against their formulas; rates against brute force; a twin cannot tell members (spec 02, trap 15)."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.measure.language.membership import (  # noqa: E402
    lowest_mean,
    membership,
    membership_scores,
    tpr_at_fpr,
)
from antivenom.models.bigram_lm import BigramLM  # noqa: E402
from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.models.torch_runtime import seeded  # noqa: E402
from antivenom.train.causal_lm import CausalLanguageModel  # noqa: E402

P = np.random.default_rng(0).dirichlet(np.ones(8), 8)
MODEL = BigramLM(np.log(P), eos=0)
TEXT = np.array([3, 1, 4, 1, 5])
NLL = -np.log([P[3, 1], P[1, 4], P[4, 1], P[1, 5]])


def score(method, **options):
    return membership_scores(MODEL, [TEXT], method, **options)[0]


def test_formulas():
    assert score("loss") == pytest.approx(-NLL.mean())
    assert score("sum", starts=[3]) == pytest.approx(-NLL[2:].sum())  # tokens 3 and 4
    assert score("sum", starts=[0]) == pytest.approx(-NLL.sum())  # the first token is never scored
    assert score("min-k", share=0.5) == pytest.approx(np.sort(-NLL)[:2].mean())
    assert score("min-k", share=0.01) == pytest.approx(-NLL.max())
    assert score("zlib", texts=["some text"]) == pytest.approx(-NLL.sum() / len(zlib.compress(b"some text")))
    z = []
    for last, log_p in zip((3, 1, 4, 1), -NLL):
        mean = (P[last] * np.log(P[last])).sum()
        z.append((log_p - mean) / np.sqrt((P[last] * (np.log(P[last]) - mean) ** 2).sum()))
    assert score("min-k++", share=0.5) == pytest.approx(np.sort(z)[:2].mean())
    assert score("loss", reference=MODEL) == 0
    assert np.isnan(membership_scores(MODEL, [np.array([3])])[0])
    assert np.isnan(lowest_mean(np.array([]), 0.2))


def test_bad_input():
    with pytest.raises(AntivenomError, match="'guess'"):
        score("guess")
    with pytest.raises(AntivenomError, match="2 starts for 1"):
        score("sum", starts=[1, 2])


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.lists(st.integers(0, 6), min_size=1, max_size=30),
       st.sampled_from([0.0, 0.01, 0.1, 0.34, 1.0]))  # fmt: skip
def test_tpr_is_the_largest_allowed(members, others, limit):
    m, o = np.array(members), np.array(others)
    best = max((m > t).mean() for t in [-1, *range(8)] if (o > t).mean() <= limit + 1e-12)
    tpr, fpr, threshold = tpr_at_fpr(members, others, limit)
    assert tpr == best
    assert fpr <= limit + 1e-12
    assert tpr == (m > threshold).mean()


def test_a_roc_by_hand_and_auroc_is_mann_whitney():
    assert tpr_at_fpr(np.arange(50, 150), np.arange(100), 0.01)[0] == pytest.approx(0.51)  # above 98: one of 100 others
    draw = np.random.default_rng(1)
    m, o = draw.normal(1, 1, 80).round(1), draw.normal(0, 1, 120).round(1)
    found = membership(m, o, resamples=200)
    assert found.auc == pytest.approx(mannwhitneyu(m, o).statistic / (80 * 120))
    assert found.auc_low < found.auc < found.auc_high
    assert found.tpr_low <= found.tpr <= found.tpr_high
    assert found.coarse
    assert not membership(m, draw.normal(size=1000), resamples=5).coarse


def test_missing_scores_are_left_out_and_counted():
    found = membership([1.0, np.nan], [0.0, 0.5], resamples=5)
    assert (found.members, found.others, found.missing) == (1, 2, 1)
    assert membership([], [1.0]).auc is None


def test_the_interval_covers_one_half_when_there_is_nothing_to_see():
    covered = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        found = membership(draw.normal(size=40), draw.normal(size=40), resamples=200, seed=seed)
        covered += found.auc_low <= 0.5 <= found.auc_high
    assert covered >= 51  # 95 % nominal; 51 of 60 has p = .004


def test_rare_token_members_are_told_by_their_token_until_calibrated():  # trap 15
    draw = np.random.default_rng(3)

    def canaries(n, rare):
        return [np.r_[draw.integers(1, 30, 12), rare if np.isscalar(rare) else draw.choice(rare)] for _ in range(n)]

    members, others = canaries(60, 31), canaries(60, np.arange(32, 40))
    starts = [12] * 60
    twin = small_decoder(DecoderConfig(40, 16, width=32, heads=2, init_std=0.3), seed=2)
    with torch.no_grad():  # by chance the members' token is an easy one, for every model
        hidden = twin._blocks(twin.embed(torch.from_numpy(draw.integers(1, 30, (50, 12)))), None, None)[:, -1].mean(0)
        twin.head.weight[31] = 2 * hidden / hidden.norm()
    other = small_decoder(twin.config, seed=2)
    other.load_state_dict(twin.state_dict())
    with torch.no_grad():  # another model that never saw the members
        for p in other.blocks.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))

    def read(which, **options):
        scores = [membership_scores(which, texts, "sum", starts=starts, **options) for texts in (members, others)]
        return membership(*scores, resamples=300)

    raw, calibrated = read(other), read(other, reference=twin)
    assert raw.auc > 0.9  # nothing was seen by anybody
    # calibration takes the difficulty out, but not what the two models think differently of that ONE token
    assert abs(calibrated.auc - 0.5) < 0.25
    assert read(twin, reference=twin).auc == 0.5

    # a model that did see the members
    model, before = (small_decoder(twin.config, seed=5) for _ in range(2))
    with seeded(0, 1):
        objective = CausalLanguageModel(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        batch = {"tokens": torch.from_numpy(np.stack([np.r_[0, text] for text in members]))}
        for _ in range(40):
            optimizer.zero_grad()
            objective.loss(batch)[0].backward()
            optimizer.step()
    assert read(model, reference=before).auc > 0.95
    unseen = canaries(60, 31)
    for method in ("loss", "min-k", "min-k++"):
        assert (
            membership(*(membership_scores(model, texts, method) for texts in (members, unseen)), resamples=9).auc > 0.9
        )
