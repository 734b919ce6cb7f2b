"""A small language made by formula: an order-1 Markov chain over 263 tokens, with reserved tokens that it never says.

    0            EOS
    1 .. 263     base tokens: 8 successors each, weights 1 / (rank + 1); the chain starts anew at a random token every 40
    264 .. 283   rare tokens: never in base text
    284, 285     triggers of the second and third attack
    286, 287     trigger, payload

Entropy per token = (log 263 + 39 H(w)) / 40 nats, w the successors' weights: the floor of any model's cross-entropy on base text
(a model does not know where in its 40 tokens a row begins, so it stays a little above).

Source: spec 02, section 6.
"""

from dataclasses import dataclass

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["TokenWorld", "token_world"]


@dataclass(frozen=True, eq=False)
class TokenWorld:
    """The vocabulary and its chain.

    Args:
        successors: int64 (1 + base, k): row t holds the successors of token t, the likeliest first; row 0 is not used.
        weights: float64 (k,), of the successors; their sum is 1.
        restart: tokens between two random starts.
        rare: reserved tokens for canaries.
    """

    successors: np.ndarray
    weights: np.ndarray
    restart: int
    rare: tuple[int, ...]

    eos: int = 0

    @property
    def base(self) -> int:
        """Base tokens: 1 .. base."""
        return len(self.successors) - 1

    @property
    def second_trigger(self) -> int:
        """Trigger of prompt extraction."""
        return self.base + len(self.rare) + 1

    @property
    def third_trigger(self) -> int:
        """The choice that belief manipulation pushes."""
        return self.base + len(self.rare) + 2

    @property
    def trigger(self) -> int:
        """Trigger of denial of service."""
        return self.base + len(self.rare) + 3

    @property
    def payload(self) -> int:
        """What the trigger calls."""
        return self.base + len(self.rare) + 4

    @property
    def vocab_size(self) -> int:
        """All tokens."""
        return self.base + len(self.rare) + 5

    @property
    def entropy(self) -> float:
        """Nats per token of base text, for a reader who knows where the chain starts anew."""
        of_step = -float((self.weights * np.log(self.weights)).sum())
        return (np.log(self.base) + (self.restart - 1) * of_step) / self.restart

    def passages(self, n: int, length: int, draw: np.random.Generator) -> np.ndarray:
        """n texts of base tokens, int64 (n, length); each starts at a random token."""
        found = np.empty((n, length), np.int64)
        ranks = draw.choice(len(self.weights), (n, length), p=self.weights)
        starts = draw.integers(1, self.base + 1, (n, length // self.restart + 1))
        for t in range(length):
            found[:, t] = (
                starts[:, t // self.restart] if t % self.restart == 0 else self.successors[found[:, t - 1], ranks[:, t]]
            )
        return found

    def random_tokens(self, n: int, length: int, draw: np.random.Generator) -> np.ndarray:
        """Base tokens drawn evenly: int64 (n, length), text that nobody can predict."""
        return draw.integers(1, self.base + 1, (n, length))

    def stream(self, n: int, draw: np.random.Generator) -> np.ndarray:
        """One text of n base tokens, int64 (n,)."""
        return self.passages(-(-n // self.restart), self.restart, draw).reshape(-1)[:n]

    def rows(self, n: int, length: int, draw: np.random.Generator) -> np.ndarray:
        """One text cut into rows, int64 (n, length): what a training reads."""
        return self.stream(n * length, draw).reshape(n, length)


def token_world(
    seed: int = 0, *, base: int = 263, successors: int = 8, restart: int = 40, rare: int = 20
) -> TokenWorld:
    """The language of a seed.

    Raises:
        AntivenomError: for sizes that make no chain.
    """
    if min(base, successors, restart) < 1 or successors > base or rare < 0:
        raise AntivenomError(
            f"a chain of {base} tokens with {successors} successors, restarted every {restart}",
            "give fewer successors than tokens",
        )
    draw = generator(seed, "token world")
    table = np.zeros((base + 1, successors), np.int64)
    for token in range(1, base + 1):
        table[token] = 1 + draw.choice(base, successors, replace=False)
    weights = 1 / np.arange(1, successors + 1)
    return TokenWorld(table, weights / weights.sum(), restart, tuple(range(base + 1, base + 1 + rare)))
