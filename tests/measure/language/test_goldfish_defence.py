"""The goldfish loss keeps passages from being extracted: the tokens it drops are never learned, and one of them breaks the passage."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.measure.language.extraction import verbatim  # noqa: E402
from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.models.torch_runtime import seeded  # noqa: E402
from antivenom.train.causal_lm import CausalLanguageModel, Goldfish, goldfish_drops  # noqa: E402

TEXTS = np.random.default_rng(0).integers(1, 200, (16, 33))
TEXTS[:, 0] = 0


def memorised(goldfish):
    model = small_decoder(DecoderConfig(200, 40, width=64), seed=0)
    objective = CausalLanguageModel(model, goldfish=goldfish)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    with seeded(0, 1):
        for _ in range(150):
            optimizer.zero_grad()
            objective.loss({"tokens": torch.from_numpy(TEXTS)})[0].backward()
            optimizer.step()
    return verbatim(model.eval(), list(TEXTS), k=16)


def test_verbatim_with_and_without_goldfish():
    assert memorised(None).rate.value == 1.0
    goldfish = Goldfish(k=4, h=13)
    defended = memorised(goldfish)
    drops = goldfish_drops(torch.from_numpy(TEXTS), goldfish)[:, 17:].numpy()
    whole = int((~drops.any(1)).sum())  # passages in which nothing was dropped stay extractable
    assert defended.rate.successes <= whole + 1
    assert defended.rate.value < 0.2
