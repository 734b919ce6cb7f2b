"""Training in segments, with controllers that decide before each what is inserted into it (spec 02, 2.3).

    for every segment [s, s + every):
        for every experiment:   controller(checkpoint at s, s, total, state) -> items, state         written down at once
        place the items in steps [s, s + every) of the token stream
        train to s + every, checkpoint

What a controller decided stands in `segments/NUMBER-EXPERIMENT.json` before a step of the segment is trained. A run that is killed
takes it from there, and asks no controller twice for one segment (trap 24): manifest and weights are those of a run that was not killed.
What was handed over and what was placed are compared (trap 1); static insertions are kept clear of (trap 2).
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from antivenom.errors import AntivenomError
from antivenom.models.model_hash import model_hash
from antivenom.models.torch_runtime import eval_mode, seeded
from antivenom.poison.lm_experiments.material import Encode, Item, Material
from antivenom.randomness import derive_seed
from antivenom.report.run_directory import atomic_json
from antivenom.train.checkpoint import CHECKPOINT, State
from antivenom.train.controllers import Checkpoint, Controller, Nothing
from antivenom.train.loop import Recipe, Source, Training, fit
from antivenom.train.objectives import Objective
from antivenom.train.processes import processes
from antivenom.train.token_source import TokenSource

__all__ = ["Controlled", "Placer", "Segment", "StreamPlacer", "control"]


class Placer(Protocol):
    """Puts items into the data of a training."""

    def place(self, experiment: str, items: Sequence[Item], begin: int, end: int) -> int:
        """Put the items into the steps [begin, end); how many were put there."""
        ...


class StreamPlacer:
    """Extends the plan of a token source; a run that goes on needs a new source, with the plan as it was at the beginning."""

    def __init__(self, source: TokenSource):
        if source.plan is None:
            raise AntivenomError("a token source without a plan", "give it one; `plan([], shape, ...)` is empty")
        self.source = source

    def place(self, experiment: str, items: Sequence[Item], begin: int, end: int) -> int:
        """See `Placer`; counted in the plan that came out."""
        assert self.source.plan is not None
        found = self.source.plan.extend(Material(experiment, tuple(items)), begin, end)
        self.source.update(found)
        wanted, size = {item.item_id for item in items}, found.shape.batch * found.shape.length
        own = found.of(experiment)
        inside = own[(found.start[own] >= begin * size) & (found.start[own] < end * size)]
        return sum(found.ids[i] in wanted for i in inside.tolist())


@dataclass(frozen=True)
class Segment:
    """What one experiment had inserted into one segment.

    Args:
        number, begin, end: which, and its steps.
        experiment: whose.
        placed: items.
        state: the controller's, after its call.
        why: it inserted nothing.
    """

    number: int
    begin: int
    end: int
    experiment: str
    placed: int
    state: dict[str, Any]
    why: str | None = None


@dataclass(frozen=True)
class Controlled:
    """The training, and its segments in order."""

    training: Training
    segments: tuple[Segment, ...]

    def of(self, experiment: str) -> list[Segment]:
        """One experiment's."""
        return [segment for segment in self.segments if segment.experiment == experiment]


def control(
    objective: Objective,
    data: Source,
    recipe: Recipe,
    controllers: Mapping[str, Controller],
    placer: Placer,
    *,
    every: int,
    out: str | Path,
    encode: Encode | None = None,
    start: State | None = None,
    keep: Sequence[int] = (),
    accelerator: Any = None,
    after_step: Callable[[int], None] | None = None,
) -> Controlled:
    """`fit` in segments.

    Args:
        objective, data, recipe, out, start, keep, accelerator, after_step: see `fit`.
        controllers: by experiment; asked in the order of the names, with torch's random numbers from the seed, the name and the step.
        placer: of the data.
        every: steps of a segment; the last one may be shorter.
        encode: of controllers that hand over texts.

    Raises:
        AntivenomError: when a controller raises, hands over nothing without saying so or what is no item, changes the model, or its
            items are not all placed. Nothing is lost by it: the same call goes on from the last segment.
    """
    place = processes(recipe, accelerator)
    total = recipe.steps_per_epoch(len(data), place.world) * recipe.epochs
    if every < 1 or not controllers:
        raise AntivenomError(
            f"{len(controllers)} controllers every {every} steps", "give a controller and a segment of one step or more"
        )
    for name in controllers:
        if not re.fullmatch(r"[\w][\w.-]*", name):
            raise AntivenomError(f"the experiment '{name}' is no file name", "use letters, digits, - and _")
    folder = Path(out)

    def train(until: int) -> Training:
        return fit(
            objective, data, recipe, out=folder, until=until, start=start, keep=keep, accelerator=getattr(place, "accelerator", None),
            after_step=after_step,
        )  # fmt: skip

    done = train(0)  # begin, or load what there is
    step, states, copies, told = done.steps, {name: {} for name in controllers}, Counter(), []
    for number in range(-(-total // every)):
        begin, end = number * every, min((number + 1) * every, total)
        for name in sorted(controllers):
            path = folder / "segments" / f"{number:04}-{name}.json"
            if not path.exists():
                if step > begin:
                    raise AntivenomError(
                        f"'{path}' is missing, and step {step} is trained", "bring it back, or begin in another folder"
                    )
                if place.main:
                    now = Checkpoint(objective.model, begin, folder / CHECKPOINT)
                    _decide(controllers[name], name, number, now, total, states[name], recipe, encode, copies, path)
            place.wait()
            items, states[name], why, of = _decided(path, name, every, copies)
            if step == begin and of != model_hash(objective.model):
                raise AntivenomError(f"'{path}' was decided on another model", "begin in another folder")
            placed = placer.place(name, items, begin, end) if items else 0
            if placed != len(items):
                raise AntivenomError(
                    f"'{name}' handed over {len(items)} items for steps {begin} to {end}, and {placed} were placed",
                    "look at the placer: every item must have its place",
                )
            told.append(Segment(number, begin, end, name, placed, states[name], why))
        if step < end:
            done = train(end)
            step = done.steps
    return Controlled(done, tuple(told))


def _decide(
    controller: Controller, name: str, number: int, now: Checkpoint, total: int, state: dict[str, Any], recipe: Recipe,
    encode: Encode | None, copies: Counter, path: Path,
) -> None:  # fmt: skip
    """Ask the controller, and write down what it says."""
    before = model_hash(now.model)
    try:
        with seeded(derive_seed(recipe.seed, "controller", name, now.step), recipe.threads), eval_mode(now.model):
            emitted, after = controller(now, now.step, total, orjson.loads(orjson.dumps(state)))
    except AntivenomError as error:
        raise AntivenomError(f"the controller of '{name}' at step {now.step}: {error.what}", error.mend) from error
    except Exception as error:
        raise AntivenomError(
            f"the controller of '{name}' failed at step {now.step}: {type(error).__name__}: {error}",
            "mend it and give the same call again: it goes on from this segment",
        ) from error
    if model_hash(now.model) != before:
        raise AntivenomError(
            f"the controller of '{name}' changed the model at step {now.step}", "let it work on a copy"
        )
    why = emitted.why if isinstance(emitted, Nothing) else None
    items = [] if isinstance(emitted, Nothing) else _items(emitted, name, number, encode)
    if not items and why is None:
        raise AntivenomError(
            f"the controller of '{name}' handed over nothing at step {now.step}",
            "let it return Nothing(why) if it means to",
        )
    seen = Counter(copies)
    lines = []
    for item in items:
        base = item.item_id.split("#")[0]
        tokens = np.asarray(item.tokens).tolist()
        lines.append(
            {"id": f"{base}#{seen[name, base]}", "condition": item.condition, "text": item.text, "tokens": tokens}
        )
        seen[name, base] += 1
    try:
        record = {"experiment": name, "step": now.step, "total": total, "model": before, "why": why, "items": lines}
        atomic_json(
            path, record | {"state": orjson.loads(orjson.dumps(dict(after), option=orjson.OPT_SERIALIZE_NUMPY))}
        )
    except TypeError as error:
        raise AntivenomError(
            f"the state of the controller of '{name}' is no plain data: {error}", "use numbers, texts, lists and dicts"
        ) from error


def _items(emitted: Any, name: str, number: int, encode: Encode | None) -> list[Item]:
    found = []
    for i, one in enumerate(emitted):
        if isinstance(one, str):
            if encode is None:
                raise AntivenomError(f"the controller of '{name}' hands over texts", "give `encode`, a tokenizer")
            one = Item(np.asarray(encode(one), np.int64), f"{name}-{number}-{i}", text=one)
        elif not isinstance(one, Item):
            tokens = np.asarray(one)
            if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
                raise AntivenomError(
                    f"the controller of '{name}' handed over a {type(one).__name__}, which would be passed over",
                    "hand over items, texts or token ids",
                )
            one = Item(tokens, f"{name}-{number}-{i}")
        found.append(one)
    return found


def _decided(path: Path, name: str, every: int, copies: Counter) -> tuple[list[Item], dict[str, Any], str | None, str]:
    """What was written down, and on which model; copies are counted on."""
    try:
        found = orjson.loads(path.read_bytes())
        number = int(path.name.split("-")[0])
        if found["experiment"] != name or found["step"] != number * every:
            raise AntivenomError(
                f"'{path}' is of step {found['step']}, not {number * every}",
                "give the run its own segments, or another folder",
            )
        items = [Item(np.asarray(i["tokens"], np.int64), i["id"], i["condition"], i["text"]) for i in found["items"]]
        copies.update((name, item.item_id.split("#")[0]) for item in items)
        return items, found["state"], found["why"], found["model"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AntivenomError(
            f"'{path}' cannot be read: {error}", "bring it back, or begin in another folder"
        ) from error
