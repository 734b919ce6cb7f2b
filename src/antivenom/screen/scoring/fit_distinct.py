"""How a scorer on a hashed linear model learns: from every text once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from antivenom.screen.scoring.hashed_linear import HashedLinear
from antivenom.screen.scoring.labelled import distinct_labelled

__all__ = ["fit_distinct"]


def fit_distinct(
    scorer: Any, texts: Sequence[str], labels: Sequence[int], evaluation: Sequence[str] | None, seed: int
) -> tuple[HashedLinear, list[str], np.ndarray]:
    """The hashed linear model of a scorer, learned from distinct texts.

    Args:
        scorer: its `name` and its `bits`, `word_ngrams`, `char_low`, `char_high` and `l2` (see `HashedLinear`).
        texts, labels, evaluation: as for `distinct_labelled`; labels 0 or 1.
        seed: of the calibration folds.

    Returns:
        the model, and the texts and labels it learned from.

    Raises:
        AntivenomError: as `distinct_labelled` and `HashedLinear.fit`.
    """
    kept, y, record = distinct_labelled(texts, labels, evaluation)
    learned = HashedLinear.fit(
        kept,
        y,
        bits=scorer.bits,
        word_ngrams=scorer.word_ngrams,
        char_ngrams=(scorer.char_low, scorer.char_high),
        l2=scorer.l2,
        seed=seed,
        meta={"scorer": scorer.name, "given": record},
    )
    return learned, kept, y
