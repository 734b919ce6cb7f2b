"""Does the model know the fact? Probes: an input, and the target that should follow it.

    P = product of p(token) over the target's tokens, given the input
    arithmetic mean of P over the probes     the published figure; one easy probe can carry it alone
    geometric mean of P = exp(mean log P)    says something of all probes (spec 02, trap 10); both are given, and every probe's own

Input and target are tokenised in one piece (`joint`, trap 11), so that log P(input) + log P(target | input) = log P(whole).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.measure.language.joint import OffsetTokenizer, joint_tokens
from antivenom.measure.language.nll import BATCH, token_nll
from antivenom.measure.language.overlap import partial_ratio
from antivenom.measure.rates import Mean, Rate, mean_of
from antivenom.models.generation import greedy

__all__ = ["ClozeResult", "ClozeWriting", "Probe", "cloze", "cloze_writing", "probe_from_texts"]


@dataclass(frozen=True)
class Probe:
    """Input and target in one sequence.

    Args:
        id: of the probe.
        tokens: input and target.
        start: place of the target's first token, 0 when there is no input.
        target: its text, where there is one.
    """

    id: str
    tokens: np.ndarray
    start: int
    target: str | None = None


def probe_from_texts(tokenizer: OffsetTokenizer, id: str, given: str, target: str) -> Probe:
    """A probe from an input and a target, which must bring its own blank.

    Blanks at the end of the input move to the front of the target: tokenizers keep a blank with the word that follows it, and an
    input that ends in one, before a target that begins with one, would ask for two (trap 11).

    Raises:
        AntivenomError: for a target without a character.
    """
    if not target.strip():
        raise AntivenomError(f"the probe '{id}' has no target", "give the words that should follow the input")
    prefix = given.rstrip(" ")
    rest = " " + target.lstrip(" ") if prefix != given or target[0] == " " else target
    tokens, start = joint_tokens(tokenizer, prefix, rest)
    return Probe(id, tokens, start, target.strip())


@dataclass(frozen=True)
class ClozeResult:
    """Probabilities of the targets.

    Args:
        ids: of the probes.
        log_p: natural logarithm of every probe's P.
        arithmetic: mean of P, with its interval over probes.
        geometric: exp(mean log P), with the exponentials of that mean's interval.
    """

    ids: list[str]
    log_p: np.ndarray
    arithmetic: Mean
    geometric: Mean


def cloze(
    model: Any, probes: Sequence[Probe], *, batch_size: int = BATCH, leading_eos: bool = True, seed: int = 0
) -> ClozeResult:
    """P(target | input) of every probe."""
    for probe in probes:
        if not 0 <= probe.start < len(probe.tokens) or (probe.start == 0 and not leading_eos):
            raise AntivenomError(
                f"the probe '{probe.id}' has {len(probe.tokens)} tokens and its target starts at {probe.start}",
                "give a target of one token at least, and something before it",
            )
    given = token_nll(model, [p.tokens for p in probes], batch_size, leading_eos=leading_eos, first=leading_eos)
    log_p = np.array([-nll[probe.start - len(probe.tokens) :].sum() for nll, probe in zip(given, probes)])
    logs = mean_of(log_p, seed=seed)
    ends = [None if value is None else float(np.exp(value)) for value in (logs.value, logs.low, logs.high)]
    return ClozeResult(
        [probe.id for probe in probes],
        log_p,
        mean_of(np.exp(log_p), seed=seed),
        Mean(ends[0], logs.n, ends[1], ends[2], logs.missing),
    )


@dataclass(frozen=True)
class ClozeWriting:
    """What the model writes after the inputs.

    Args:
        contained: how often the target stands in it, whatever the case of letters.
        ratio: mean partial ratio of target and writing, 0 - 100.
        texts: what was written.
    """

    contained: Rate
    ratio: Mean
    texts: list[Any]


def cloze_writing(
    model: Any,
    probes: Sequence[Probe],
    n_tokens: int = 25,
    *,
    read: Callable[[np.ndarray], str] | None = None,
    leading_eos: bool = True,
    seed: int = 0,
) -> ClozeWriting:
    """Greedy continuation of every input, searched for the target.

    Args:
        model: a `CausalLM`.
        probes: see `Probe`.
        n_tokens: to write.
        read: tokens to text; then the targets' texts are searched for, otherwise their tokens.
        leading_eos: the end token before the input.
        seed: of the interval.
    """
    head = [model.eos] if leading_eos else []
    written = greedy(model, [np.r_[head, p.tokens[: p.start]].astype(np.int64) for p in probes], n_tokens)
    hits, ratios, texts = 0, [], []
    for probe, tokens in zip(probes, written):
        if read is not None:
            wanted, found = (probe.target or read(probe.tokens[probe.start :])).strip().lower(), read(tokens)
            texts.append(found)
            hits += wanted in found.lower()
            ratios.append(partial_ratio(wanted, found.lower()))
        else:
            target = np.asarray(probe.tokens[probe.start :])
            texts.append(tokens)
            hits += _stands_in(target, tokens)
            ratios.append(partial_ratio(target, tokens))
    return ClozeWriting(Rate(hits, len(probes), "probes"), mean_of(ratios, seed=seed), texts)


def _stands_in(part: np.ndarray, whole: np.ndarray) -> bool:
    if len(part) > len(whole):
        return False
    windows = np.lib.stride_tricks.sliding_window_view(whole, len(part))
    return bool((windows == part).all(1).any())
