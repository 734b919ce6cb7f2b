"""Multiple choice by likelihood: every option is scored as a whole text, the likeliest is the answer.

    s_j = sum of log p over the tokens of option j after the longest common prefix of all options
          divided by 1 (`none`), by the characters of those tokens (`characters`), or by their number (`tokens`)

The common prefix is cut at (shortest option) - 1 tokens, so that an option that is the beginning of another keeps one token: an empty
rest would have s = 0, above everything, and would always be chosen (spec 02, trap 8). The end token stands before every option.

A question that cannot be scored is an error with its reason, counted apart: neither right nor wrong (trap 9). An answer is right when
it is likelier than every other option; a tie is wrong.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.measure.language.joint import OffsetTokenizer, token_characters
from antivenom.measure.language.nll import BATCH, token_nll
from antivenom.measure.rates import Rate

__all__ = [
    "NORMALISATIONS", "Choice", "ChoiceResult", "Gain", "choice_from_texts", "common_prefix", "gain", "score_choices",
]  # fmt: skip

NORMALISATIONS = ("none", "characters", "tokens")


@dataclass(frozen=True)
class Choice:
    """A question with its options as whole texts.

    Args:
        id: of the question.
        options: tokens of question + option, one array per option.
        answer: place of the right one.
        characters: per option, the characters that each of its tokens adds; only the normalisation by characters needs them.
    """

    id: str
    options: Sequence[np.ndarray]
    answer: int
    characters: Sequence[np.ndarray] | None = None


def choice_from_texts(tokenizer: OffsetTokenizer, id: str, options: Sequence[str], answer: int) -> Choice:
    """A question whose options are given as the whole text, question included; each is tokenised in one piece."""
    read = [token_characters(tokenizer, text) for text in options]
    return Choice(id, [tokens for tokens, _ in read], answer, [characters for _, characters in read])


@dataclass(frozen=True)
class ChoiceResult:
    """What a model chose.

    Args:
        ids: of the questions, in order.
        scores: per question s_j of every option; None for an error.
        right: 1, 0, or NaN for an error.
        errors: reason by id.
        normalise: how s was normalised.
        settings: of the evaluation.
    """

    ids: list[str]
    scores: list[np.ndarray | None]
    right: np.ndarray
    errors: dict[str, str]
    normalise: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def accuracy(self) -> Rate:
        """Right answers of the questions that were scored."""
        scored = ~np.isnan(self.right)
        return Rate(int(np.nansum(self.right)), int(scored.sum()), "questions scored")

    @property
    def n_error(self) -> int:
        """Questions that could not be scored."""
        return int(np.isnan(self.right).sum())


def common_prefix(options: Sequence[np.ndarray]) -> int:
    """Length of the longest common token prefix, at most the shortest option's length - 1.

    >>> common_prefix([np.array([7, 8]), np.array([7, 8, 9])])
    1
    """
    shortest = min(len(option) for option in options)
    head = np.stack([np.asarray(option)[:shortest] for option in options])
    differs = np.flatnonzero((head != head[0]).any(0))
    return min(int(differs[0]) if len(differs) else shortest, shortest - 1)


def score_choices(
    model: Any, choices: Sequence[Choice], *, normalise: str = "none", batch_size: int = BATCH
) -> ChoiceResult:
    """Score all options of all questions.

    Args:
        model: a `CausalLM`.
        choices: the questions.
        normalise: see the module.
        batch_size: options at a time.

    Raises:
        AntivenomError: for an unknown normalisation, or two questions of one id.
    """
    if normalise not in NORMALISATIONS:
        raise AntivenomError(f"there is no normalisation '{normalise}'", f"choose from: {', '.join(NORMALISATIONS)}")
    if len({choice.id for choice in choices}) < len(choices):
        raise AntivenomError("two questions have the same id", "give every question an id of its own")
    errors = {choice.id: reason for choice in choices if (reason := _reason(model, choice, normalise))}
    good = [choice for choice in choices if choice.id not in errors]
    options = [option for choice in good for option in choice.options]
    likelihoods = iter(token_nll(model, options, batch_size, leading_eos=True, first=True))
    scores: dict[str, np.ndarray] = {}
    for choice in good:
        prefix = common_prefix(choice.options)
        own = []
        for j, option in enumerate(choice.options):
            nll = next(likelihoods)
            begun = len(option) - len(nll)  # 1 where the option brings its own leading end token
            kept = -nll[max(prefix - begun, 0) :].sum()
            size = {"none": 1.0, "tokens": float(len(option) - prefix)}.get(normalise)
            if size is None and choice.characters is not None:
                size = float(max(np.sum(choice.characters[j][prefix:]), 1))
            own.append(kept / (size or 1.0))
        scores[choice.id] = np.array(own)
    right = np.full(len(choices), np.nan)
    for i, choice in enumerate(choices):
        if choice.id in scores:
            others = np.delete(scores[choice.id], choice.answer)
            right[i] = float(scores[choice.id][choice.answer] > others.max())
    settings = {"normalise": normalise, "batch_size": batch_size, "leading_eos": True}
    return ChoiceResult(
        [c.id for c in choices], [scores.get(c.id) for c in choices], right, errors, normalise, settings
    )


def _reason(model: Any, choice: Choice, normalise: str) -> str | None:
    if len(choice.options) < 2:
        return f"{len(choice.options)} options"
    if not 0 <= choice.answer < len(choice.options):
        return f"the answer {choice.answer} of {len(choice.options)} options"
    for j, option in enumerate(choice.options):
        tokens = np.asarray(option)
        if tokens.ndim != 1 or not len(tokens):
            return f"option {j} has no token"
        if len(tokens) + int(tokens[0] != model.eos) > model.context:
            return f"option {j} has {len(tokens)} tokens, the context is {model.context}"
        if tokens.min() < 0 or tokens.max() >= model.vocab_size:
            return f"option {j} has a token that the model does not know"
        if len(tokens) == 1 and tokens[0] == model.eos:
            return f"option {j} is the end token alone"
        if any(np.array_equal(tokens, other) for other in choice.options[:j]):
            return f"option {j} is a copy of an earlier one"
    if normalise == "characters":
        if choice.characters is None:
            return "the characters of the options are not known"
        if [len(c) for c in choice.characters] != [len(o) for o in choice.options]:
            return "the characters do not match the options' tokens"
    return None


@dataclass(frozen=True)
class Gain:
    """Accuracy on one set of questions minus accuracy on another, with Newcombe's interval of two independent rates."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_held_out: int


def gain(leaked: Rate, held_out: Rate) -> Gain:
    """leaked - held out: d -+ sqrt of the squared distances of the rates to the near ends of their Wilson intervals.

    low = d - sqrt((p1 - l1)^2 + (u2 - p2)^2), high = d + sqrt((u1 - p1)^2 + (p2 - l2)^2) (Newcombe 1998, method 10).
    """
    p, q = leaked.value, held_out.value
    if (
        p is None
        or q is None
        or leaked.low is None
        or leaked.high is None
        or held_out.low is None
        or held_out.high is None
    ):
        return Gain(None, None, None, leaked.n, held_out.n)
    return Gain(
        p - q,
        p - q - math.hypot(p - leaked.low, held_out.high - q),
        p - q + math.hypot(leaked.high - p, q - held_out.low),
        leaked.n,
        held_out.n,
    )
