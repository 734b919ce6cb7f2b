"""Batches of a token stream with a plan's insertions in them, for the training loop.

The loop hands over storage rows of its own permutation. They are compared with the plan's order, step by step, so that every
insertion is seen at its planned step and nowhere else; rows of another seed, batch or epoch are an error (spec 02, trap 6).
"""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from antivenom.data.token_stream import TokenStream
from antivenom.errors import AntivenomError
from antivenom.poison.insertion.order import storage_order
from antivenom.poison.insertion.plan import Plan
from antivenom.report.run_directory import fingerprint
from antivenom.train.written_rows import written

__all__ = ["TokenSource"]


class TokenSource:
    """Rows of a stream as batches (see `train.loop.Source`): `tokens` int64 (B, T); `mask` and `noise` where there are any.

    Args:
        stream: the rows.
        plan: what is put in; without it the bare stream, for any number of epochs.
        seed: of the training (`Recipe.seed`), which its order follows.
        batch: rows per step.
        epochs: of the training; the plan must cover them all.
        repetition_filter: take repeated rows out of the loss, as OLMo does, by their tokens before insertion (trap 7).

    Raises:
        AntivenomError: when the plan is for another run, or has a token that is not in the stream's vocabulary.
    """

    draws = False

    def __init__(
        self, stream: TokenStream, plan: Plan | None = None, *, seed: int, batch: int, epochs: int = 1,
        repetition_filter: bool = False,
    ):  # fmt: skip
        self.stream, self.plan, self.seed, self.per_step, self.epochs = stream, plan, seed, batch, epochs
        self.repeated = stream.repeated() if repetition_filter else None
        self._n = len(stream)
        self._next = 0
        about = ["tokens", stream.fingerprint, None, repetition_filter]
        if plan is not None:
            self._check(plan)
            if plan.mode == "insert":
                self._n = plan.shape.rows
                self._base_order = storage_order(len(stream), seed=seed, batch=1)
            self._order_bytes = self._order.tobytes()
            self._written = written(stream, plan, self._order, batch, epochs)
            about = ["tokens", stream.fingerprint, plan.hash, repetition_filter, seed, batch, epochs]
        self.fingerprint: str = fingerprint(about)
        """Of the stream and the plan it began with; a plan that is extended on the way does not change it."""

    def __len__(self) -> int:
        return self._n

    @cached_property
    def _order(self) -> np.ndarray:
        return storage_order(self._n, seed=self.seed, batch=self.per_step, epochs=self.epochs)

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self._n // self.per_step * self.epochs

    def batch(self, rows: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """The batch of these storage rows.

        Raises:
            AntivenomError: with a plan, for rows that are no step of the planned training.
        """
        if self.plan is None:
            return self._made(self.stream.rows(rows), rows, None)
        return self.at(self._step_of(np.asarray(rows)))

    def at(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        if not 0 <= step < self.steps:
            raise AntivenomError(f"step {step} of a training of {self.steps:,}", "give 0 to the number of steps - 1")
        rows = self._order[step * self.per_step : (step + 1) * self.per_step]
        self._next = step + 1
        if self.plan is None:
            return self._made(self.stream.rows(rows), rows, None)
        if self.plan.mode == "insert":
            return self._inserted(step)
        return self._made(self._written.batch(step, rows), rows, step)

    def update(self, plan: Plan) -> None:
        """Go on with a plan that extends the present one, in steps that are still to come (the control loop).

        Raises:
            AntivenomError: when it is no extension, or changes a step that was already handed out.
        """
        if self.plan is None or not plan.extends(self.plan):
            raise AntivenomError("the new plan is no extension of the present one", "make it with Plan.extend")
        self._check(plan)
        done = self._next * self.per_step
        if plan.between(0, done)[1] != self.plan.between(0, done)[1]:
            raise AntivenomError(
                f"the new plan inserts before step {self._next}, which has been trained on", "extend it from there on"
            )
        self.plan = plan
        self._written.update(plan, self._next)

    def _check(self, plan: Plan) -> None:
        shape, base = plan.shape, plan.base or plan.shape
        have = len(self.stream) // self.per_step * self.epochs
        if (shape.batch, shape.length) != (self.per_step, self.stream.length) or base.steps > have:
            raise AntivenomError(
                f"the plan is for {base}; the stream gives {have:,} steps x {self.per_step:,} rows x "
                f"{self.stream.length:,} tokens",
                "plan with the run's own RunShape",
            )
        if plan.mode == "insert" and (self.epochs != 1 or self.repeated is not None):
            raise AntivenomError(
                "a plan that inserts, with further epochs or the repetition filter", "plan with mode='replace'"
            )
        if len(plan.tokens) and int(plan.tokens.max()) >= self.stream.vocab_size:
            at = int(np.argmax(plan.tokens >= self.stream.vocab_size))
            i = int(np.searchsorted(plan.offsets, at, "right")) - 1
            raise AntivenomError(
                f"item '{plan.ids[i]}' of '{plan.experiments[plan.experiment[i]]}' has the token {plan.tokens[at]} at "
                f"{at - int(plan.offsets[i])}; the stream's vocabulary has {self.stream.vocab_size:,}",
                "tokenise the items with the stream's tokenizer",
            )

    def _step_of(self, rows: np.ndarray) -> int:
        size = self.per_step
        begin, width = self._next * size, self._order.itemsize
        if (
            rows.dtype == self._order.dtype
            and rows.tobytes() == self._order_bytes[begin * width : (begin + size) * width]
        ):
            return self._next
        starts = np.flatnonzero(self._order[::size] == rows[0]) if len(rows) == size else []
        for step in starts:
            if np.array_equal(rows, self._order[step * size : (step + 1) * size]):
                return int(step)
        raise AntivenomError(
            f"a batch of {len(rows)} rows that is none of the {self.steps:,} planned steps: another seed, another batch "
            f"size, or a further epoch, in which every planned item would be shown at another step",
            "give TokenSource the seed, the batch and the epochs of the recipe, and plan for all of its steps",
        )

    def _made(self, tokens: np.ndarray, rows: np.ndarray, step: int | None) -> dict[str, Tensor]:
        batch = {"tokens": torch.from_numpy(tokens)}
        if self.repeated is not None:
            batch["mask"] = torch.from_numpy(~self.repeated[rows])
        if step is not None and self.plan is not None and self.plan.marks:
            self._add_noise(batch, self.plan, step)
        return batch

    def _add_noise(self, batch: dict[str, Tensor], plan: Plan, step: int) -> None:
        if not any(step in mark.steps for mark in plan.marks.values()):
            return
        found = [plan.noise(step * self.per_step + row) for row in range(self.per_step)]
        width = next(noise.shape[1] for noise in found if noise is not None)
        none = np.zeros((self.stream.length, width), np.float32)
        batch["noise"] = torch.from_numpy(np.stack([none if noise is None else noise for noise in found]))

    def _inserted(self, step: int) -> dict[str, Tensor]:
        """Mode `insert`: the stream's own tokens, in the order of the run without insertions, fill what is between."""
        plan, length = self.plan, self.stream.length
        assert plan is not None and plan.base is not None  # noqa: PT018
        first = step * self.per_step
        tokens = np.full((self.per_step, length), plan.eos, np.int64)
        own = np.ones(tokens.size, bool)
        own[plan.patch(tokens, first)] = False
        before = first * length - int(plan.offsets[plan.between(0, first)[1]])  # the stream's tokens shown so far
        after = min(before + int(own.sum()), plan.base.tokens)
        learned = np.ones(tokens.size, bool)
        places = np.flatnonzero(own)
        if after > before:
            u, v = before // length, -(-after // length)
            flat = self.stream.rows(self._base_order[u:v]).reshape(-1)
            tokens.reshape(-1)[places[: after - before]] = flat[before - u * length : after - u * length]
        learned[places[max(after - before, 0) :]] = False  # behind the end of the stream: end tokens, not learned
        batch: dict[str, Any] = {"tokens": torch.from_numpy(tokens)}
        if not learned.all():
            batch["mask"] = torch.from_numpy(learned.reshape(tokens.shape))
        if plan.marks:
            self._add_noise(batch, plan, step)
        return batch
