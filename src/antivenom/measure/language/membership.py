"""Was this text in the training data? Scores from likelihoods, higher = rather a member, and what they are worth.

    loss       - mean nll
    sum        - sum nll over the region (the suffix of a canary)
    reference  the same score minus that of a model that never saw the members: takes out that some tokens are harder than others
    zlib       - sum nll / bytes of the compressed text
    min-k      mean of the lowest k % of log p
    min-k++    the same of (log p - mu) / sigma, mu and sigma the moments of log p(v) under the model's own p

    AUROC           P(member > other) + half the ties = Mann-Whitney U / (n m)
    TPR at 1 % FPR  the largest share of members above a threshold that at most 1 % of the others are above; nothing is interpolated

Rare-token canaries share ONE token, so that their raw score measures that token: use `reference` and look at the twin, where the
calibrated AUROC must be 0.5 (spec 02, trap 15). Two models that never saw a member may still differ in that one token: the token is
then the unit, not the text, and an interval over texts is too narrow - the twin's figure says by how much. With fewer than 1,000 others the rate at 1 % hangs on a handful of texts: `coarse`.
Sources: spec 02, 2.4 and 5; Carlini et al. 2021 (zlib), Shi et al. 2024 (Min-K %), Zhang et al. 2024 (Min-K%++), as named there and in
spec 10.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import mannwhitneyu

from antivenom.errors import AntivenomError
from antivenom.measure.detection import auroc
from antivenom.measure.language.nll import BATCH, TokenScores, token_nll, token_scores
from antivenom.randomness import generator

__all__ = [
    "METHODS", "Membership", "lowest_mean", "membership", "membership_scores", "min_k", "min_k_plus_plus", "tpr_at_fpr", "zlib_score",
]  # fmt: skip

METHODS = ("loss", "sum", "zlib", "min-k", "min-k++")
LIMIT = 0.01
COARSE = 1_000
RESAMPLES = 1_000


def lowest_mean(values: np.ndarray, share: float) -> float:
    """Mean of the lowest share of the values, of one at least; NaN without values."""
    if not len(values):
        return float("nan")
    n = max(1, int(len(values) * share))
    return float(np.partition(values, n - 1)[:n].mean())


def min_k(nll: np.ndarray, share: float = 0.2) -> float:
    """Min-K %: mean of the lowest share of log p."""
    return lowest_mean(-nll, share)


def min_k_plus_plus(scores: TokenScores, share: float = 0.2) -> float:
    """Min-K%++: mean of the lowest share of (log p - mu) / sigma; a sigma under 1e-6 counts as 1e-6."""
    return lowest_mean((-scores.nll - scores.mean) / np.maximum(scores.std, 1e-6), share)


def zlib_score(nll: np.ndarray, text: str | bytes) -> float:
    """- sum nll / bytes of the compressed text."""
    given = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return -float(nll.sum()) / len(zlib.compress(given))


def membership_scores(
    model: Any,
    sequences: Sequence[np.ndarray],
    method: str = "loss",
    *,
    reference: Any = None,
    starts: Sequence[int] | None = None,
    texts: Sequence[str] | None = None,
    share: float = 0.2,
    batch_size: int = BATCH,
    leading_eos: bool = True,
) -> np.ndarray:
    """Membership scores, float64 (n,), higher = rather a member; NaN where no token can be scored.

    Args:
        model: a `CausalLM`.
        sequences: the texts' tokens; the first token of a text is never scored.
        method: see the module.
        reference: a model that never saw the members, with the same tokens; its score is subtracted.
        starts: per text the place of the first token of the region (default: all of the text).
        texts: for `zlib`; without them the token ids are compressed.
        share: k of Min-K.
        batch_size, leading_eos: see `nll.NllSettings`.

    Raises:
        AntivenomError: for an unknown method, or starts and texts that do not match.
    """
    if method not in METHODS:
        raise AntivenomError(f"there is no membership score '{method}'", f"choose from: {', '.join(METHODS)}")
    for name, given in (("starts", starts), ("texts", texts)):
        if given is not None and len(given) != len(sequences):
            raise AntivenomError(f"{len(given)} {name} for {len(sequences)} texts", "give one per text")
    own = _scores(model, sequences, method, starts, texts, share, batch_size, leading_eos)
    if reference is None:
        return own
    return own - _scores(reference, sequences, method, starts, texts, share, batch_size, leading_eos)


def _scores(
    model: Any, sequences: Sequence[np.ndarray], method: str, starts: Sequence[int] | None, texts: Sequence[str] | None,
    share: float, batch_size: int, leading_eos: bool,
) -> np.ndarray:  # fmt: skip
    first = [0] * len(sequences) if starts is None else [max(int(start) - 1, 0) for start in starts]
    found = np.full(len(sequences), np.nan)
    if method == "min-k++":
        for i, s in enumerate(token_scores(model, sequences, batch_size, leading_eos=leading_eos)):
            at = slice(first[i], None)
            found[i] = min_k_plus_plus(TokenScores(s.nll[at], s.mean[at], s.std[at]), share)
        return found
    for i, nll in enumerate(token_nll(model, sequences, batch_size, leading_eos=leading_eos)):
        nll = nll[first[i] :]
        if not len(nll):
            continue
        if method == "zlib":
            text = texts[i] if texts is not None else np.asarray(sequences[i], np.int32).tobytes()
            found[i] = zlib_score(nll, text)
        else:
            found[i] = {"loss": -nll.mean(), "sum": -nll.sum()}[method] if method != "min-k" else min_k(nll, share)
    return found


def tpr_at_fpr(
    members: ArrayLike, others: ArrayLike, limit: float = LIMIT
) -> tuple[float | None, float | None, float | None]:
    """(largest TPR with FPR <= limit, that FPR, its threshold): a text is flagged when its score is above the threshold.

    With a = floor(limit n), the lowest threshold allowed is the (a + 1)-th largest score of the others.

    >>> tpr_at_fpr([3, 5, 9], [1, 2, 4], limit=0.4)
    (1.0, 0.3333333333333333, 2.0)
    """
    m, o = np.asarray(members, float), np.asarray(others, float)
    if not len(m) or not len(o):
        return None, None, None
    allowed = int(np.floor(limit * len(o) + 1e-9))
    threshold = -np.inf if allowed >= len(o) else float(np.sort(o)[::-1][allowed])
    return float((m > threshold).mean()), float((o > threshold).mean()), threshold


@dataclass(frozen=True)
class Membership:
    """How well members are told from others.

    Args:
        auc, auc_low, auc_high: AUROC and its 95 % bootstrap interval (members and others resampled apart).
        p: of Mann-Whitney's two-sided test.
        tpr, tpr_low, tpr_high: TPR at `limit` FPR, likewise.
        fpr, threshold: at which it was read.
        members, others: how many scores.
        missing: texts without a score, left out.
        coarse: fewer than 1,000 others.
    """

    auc: float | None
    auc_low: float | None
    auc_high: float | None
    p: float | None
    tpr: float | None
    tpr_low: float | None
    tpr_high: float | None
    fpr: float | None
    threshold: float | None
    members: int
    others: int
    missing: int
    coarse: bool
    limit: float = LIMIT


def membership(
    members: ArrayLike, others: ArrayLike, *, limit: float = LIMIT, seed: int = 0, resamples: int = RESAMPLES
) -> Membership:
    """AUROC and TPR at `limit` FPR of scores, with intervals."""
    given = [np.asarray(scores, float) for scores in (members, others)]
    m, o = (scores[~np.isnan(scores)] for scores in given)
    missing = sum(map(len, given)) - len(m) - len(o)
    if not len(m) or not len(o):
        return Membership(
            None, None, None, None, None, None, None, None, None, len(m), len(o), missing, True, limit
        )  # fmt: skip
    draw = generator(seed, "membership", len(m), len(o))
    areas, rates = np.empty(resamples), np.empty(resamples)
    for r in range(resamples):
        a, b = np.sort(m[draw.integers(0, len(m), len(m))]), np.sort(o[draw.integers(0, len(o), len(o))])
        areas[r] = (np.searchsorted(b, a, "left") + np.searchsorted(b, a, "right")).mean() / (2 * len(b))
        rates[r] = tpr_at_fpr(a, b, limit)[0]
    tpr, fpr, threshold = tpr_at_fpr(m, o, limit)
    return Membership(
        auroc(np.r_[np.ones(len(m)), np.zeros(len(o))], np.r_[m, o]), *_ends(areas),
        float(mannwhitneyu(m, o, alternative="two-sided").pvalue), tpr, *_ends(rates), fpr, threshold,
        len(m), len(o), missing, len(o) < COARSE, limit,
    )  # fmt: skip


def _ends(found: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
