"""Training in the study `train-once`: the twin on the bare corpus, and ONE run with all experiments in it.

Both start from the same weights and see the same rows in the same order. The run's plan is static, but for knowledge acquisition: every
`ka_every` steps its controller reads the probes and decides how many paraphrases go into the next segment (`train.control_loop`).
The twin's state half-way is kept: the dependence test begins there, and the half-trained twin calibrates membership scores.
"""

import atexit
import shutil
import tempfile
import time
from dataclasses import dataclass
from functools import cache as remembered
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from antivenom.data.token_stream import TokenStream
from antivenom.poison.insertion.order import storage_order
from antivenom.poison.insertion.plan import Plan
from antivenom.poison.insertion.planner import plan
from antivenom.poison.insertion.shape import RunShape
from antivenom.poison.lm_experiments.forgetting import READ_OUTS
from antivenom.report.run_directory import atomic_json, fingerprint
from antivenom.studies.registry import code_hash
from antivenom.studies.train_once_arms import Arms
from antivenom.studies.train_once_material import Key, Materials, corpus, make_materials, marked_rows

__all__ = ["Trained", "arms", "decoder", "joint", "materials", "recipe", "stream_of", "twin"]

EOS = 0
KNOWLEDGE = "ka"


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model and what was read on the way.

    Args:
        model: at the end.
        half: `State` half-way.
        losses: number of done steps -> mean loss of every row of `fc`, shown ones first.
        ramp: of `ka`, one line per segment.
        plan: as it was at the end; None for the twin.
        seconds: on the clock, of all calls together.
    """

    model: Any
    half: Any
    losses: dict[int, np.ndarray]
    ramp: list[dict[str, Any]]
    plan: Plan | None
    seconds: float


def decoder(key: Key, seed: int) -> Any:
    """A new model of the size that the settings give; rotary positions, so that a text can be copied wherever it stands."""
    from antivenom.models.decoder_small import DecoderConfig, small_decoder

    given = dict(key)
    config = DecoderConfig(
        corpus(key, seed).vocab_size, given["length"], width=given["width"], layers=given["layers"], heads=given["heads"],
        rope=True,
    )  # fmt: skip
    return small_decoder(config, seed=seed)


def recipe(key: Key, seed: int, **more: Any) -> Any:
    """How twin and run are trained: AdamW, warm-up, a constant rate, the last tenth linear to 0 (spec 02, 6); on one thread."""
    from antivenom.train.loop import Recipe

    given = dict(key)
    how: dict[str, Any] = {"warmup": given["warmup"], "schedule": "constant-linear"} | more
    return Recipe(epochs=1, batch=given["batch"], lr=given["lr"], betas=(0.9, 0.95), clip_norm=1.0, seed=seed, **how)


def stream_of(rows: np.ndarray, *, seed: int, batch: int, vocab_size: int) -> TokenStream:
    """Rows in training order as a stream in storage order: the loop's own permutation brings them back."""
    stored = np.empty_like(rows)
    stored[storage_order(len(rows), seed=seed, batch=batch)] = rows
    return TokenStream.of(stored, length=rows.shape[1], vocab_size=vocab_size, eos=EOS)


@lru_cache(maxsize=2)
def twin(key: Key, seed: int, cache: str | None) -> Trained:
    """Trained on the bare corpus."""
    return _trained(key, seed, cache, "twin")


@lru_cache(maxsize=2)
def joint(key: Key, seed: int, cache: str | None) -> Trained:
    """Trained with all experiments."""
    return _trained(key, seed, cache, "joint")


@lru_cache(maxsize=2)
def materials(key: Key, seed: int, cache: str | None) -> Materials:
    """All experiments' data; canaries of the model kind end in what the twin finds least likely."""
    import torch

    model, base = twin(key, seed, cache).model, corpus(key, seed).world.base

    def least_likely(tokens: np.ndarray, n: int) -> np.ndarray:
        line = [EOS, *np.asarray(tokens).tolist()]
        with torch.no_grad():
            for _ in range(n):
                line.append(1 + int(model(torch.tensor([line]))[0, -1, 1 : base + 1].argmin()))
        return np.array(line[-n:], np.int64)

    return make_materials(key, seed, least_likely)


def static_plan(key: Key, seed: int, made: Materials) -> Plan:
    """Everything but knowledge acquisition."""
    given = dict(key)
    shape = RunShape(given["batch"], given["length"], given["steps"])
    marks = {f"gw-{sigma:g}": mark for sigma, mark in made.watermarks.items()}
    return plan(made.inserted.values(), shape, seed=seed, eos=EOS, marks=marks)


def _trained(key: Key, seed: int, cache: str | None, arm: str) -> Trained:
    from antivenom.train.causal_lm import CausalLanguageModel
    from antivenom.train.control_loop import StreamPlacer, control
    from antivenom.train.loop import State, fit
    from antivenom.train.token_source import TokenSource

    given, base, model, began = dict(key), corpus(key, seed), decoder(key, seed), time.monotonic()
    made = None if arm == "twin" else materials(key, seed, cache)
    stream = stream_of(base.rows, seed=seed, batch=given["batch"], vocab_size=base.vocab_size)
    source = TokenSource(stream, made and static_plan(key, seed, made), seed=seed, batch=given["batch"])
    objective, how, half = CausalLanguageModel(model), recipe(key, seed), given["steps"] // 2
    parts = [key, seed, arm, source.fingerprint, objective.describe(), how.determines(), code_hash()]
    folder = Path(cache or _nowhere()) / f"train-once-{arm}-{fingerprint(parts)[:16]}"
    probe = _Readings(model, key, seed, folder / "readings.json")
    ramp: list[dict[str, Any]] = []
    if made is None:
        fit(objective, source, how, out=folder, keep=(half,), after_step=probe.read)
    else:
        done = control(
            objective, source, how, {KNOWLEDGE: _controller(given, made)}, StreamPlacer(source), every=given["ka_every"],
            out=folder, keep=(half,), after_step=probe.read,
        )  # fmt: skip
        ramp = [{"step": s.begin, **{k: s.state[k] for k in ("value", "target", "n")}} for s in done.of(KNOWLEDGE)]
    seconds = probe.add_seconds(time.monotonic() - began)
    return Trained(model.eval(), State.load(folder, half), probe.losses, ramp, source.plan, seconds)


@remembered
def _nowhere() -> str:
    """A folder for runs that nobody keeps; gone with the process."""
    folder = tempfile.mkdtemp(prefix="train-once-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _controller(given: dict[str, Any], made: Materials) -> Any:
    from antivenom.measure.language.cloze import Probe, cloze
    from antivenom.train.controllers import KnowledgeController

    probes = [Probe(p.fact, np.concatenate([p.given, p.target]), len(p.given)) for p in made.facts.probes]
    return KnowledgeController(
        made.facts.pool, lambda model: np.exp(cloze(model, probes).log_p), given["ka_final"], start=given["ka_start"],
        step_clip=given["ka_cap"], cap=given["ka_cap"],
    )  # fmt: skip


class _Readings:
    """Losses of the marked batches and of those that are never shown, written down at once: a run that goes on has them all."""

    def __init__(self, model: Any, key: Key, seed: int, path: Path):
        from antivenom.measure.language.forgetting import LossProbe

        steps = corpus(key, seed).marked_steps
        at = {step + age for step in steps for age in READ_OUTS if age >= 0}
        rows = marked_rows(key, seed)
        self.probe = LossProbe(model, [*rows.reshape(-1, rows.shape[-1])], sorted(at))
        self.path = path
        kept = orjson.loads(path.read_bytes()) if path.exists() else {"losses": {}, "seconds": 0.0}
        self.losses = {int(step): np.array(values) for step, values in kept["losses"].items()}
        self.seconds: float = kept["seconds"]

    def read(self, step: int) -> None:
        """After `step` steps."""
        self.probe.read(step)
        if step in self.probe.losses:
            self.losses[step] = self.probe.losses[step]
            self._write()

    def add_seconds(self, seconds: float) -> float:
        """Of this call; the sum of all that trained something."""
        if self.probe.losses:
            self.seconds += seconds
            self._write()
        return self.seconds

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        losses = {str(step): values.tolist() for step, values in self.losses.items()}
        atomic_json(self.path, {"losses": losses, "seconds": self.seconds})


def placed_of(whole: Plan) -> dict[str, dict[str, tuple[int, int, int, int]]]:
    """Experiment -> condition -> (placements, tokens, first step, last step)."""
    found: dict[str, dict[str, tuple[int, int, int, int]]] = {}
    per_step = whole.shape.batch * whole.shape.length
    for code, name in enumerate(whole.experiments):
        mine = np.flatnonzero(whole.experiment == code)
        for condition in np.unique(whole.condition[mine]).tolist():
            at = mine[whole.condition[mine] == condition]
            steps = whole.start[at] // per_step
            numbers = (len(at), int(whole.length[at].sum()), int(steps.min()), int(steps.max()))
            found.setdefault(name, {})[whole.conditions[condition]] = numbers
    return found


def half_model(key: Key, seed: int, cache: str | None) -> Any:
    """The half-trained twin."""
    model = decoder(key, seed)
    model.load_state_dict(twin(key, seed, cache).half.model)
    return model.eval()


def arms(key: Key, seed: int, cache: str | None) -> Arms:
    """Run, twin and all that the measures need."""
    base, other = twin(key, seed, cache), joint(key, seed, cache)
    assert other.plan is not None
    return Arms(
        dict(key), seed, corpus(key, seed), materials(key, seed, cache), other.model, base.model, half_model(key, seed, cache),
        {"run": other.losses, "twin": base.losses}, placed_of(other.plan), other.ramp,
        {"run": other.seconds, "twin": base.seconds},
    )  # fmt: skip
