"""The folder of a training, and the state that one training hands on to another.

checkpoint.pt        weights, optimizer, generator, step: the last one
step-N.pt            the same at a step that was to be kept
metrics.jsonl        one line per step
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from torch import Tensor

from antivenom.errors import AntivenomError
from antivenom.models.model_hash import state_hash
from antivenom.report.run_directory import atomic_file, fingerprint
from antivenom.train.processes import OneProcess

__all__ = ["CHECKPOINT", "Record", "State", "read_checkpoint"]

CHECKPOINT = "checkpoint.pt"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a training left.

    Raises:
        AntivenomError: when it cannot be read.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        if not {"key", "step", "model", "optimizer", "generator"} <= set(found):
            raise KeyError("it is no checkpoint of a training")
        return found
    except Exception as error:  # a damaged file shows as an error of the archive, of the reader or of a key
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise AntivenomError(f"{path} cannot be read: {reason}", "remove it to begin again") from error


@dataclass(frozen=True, eq=False)
class State:
    """Weights and optimizer of a training at a step, for another training to start from.

    Args:
        model, optimizer: state dicts.
        step: of the training it was taken from.
        hash: of that training, the step and the weights.
    """

    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    step: int
    hash: str

    @classmethod
    def load(cls, folder: str | Path, step: int | None = None) -> "State":
        """The last checkpoint of a training's folder, or the one that was kept at a step.

        Raises:
            AntivenomError: when there is none.
        """
        path = Path(folder) / CHECKPOINT
        kept = Path(folder) / f"step-{step}.pt"
        if step is not None and kept.exists():
            path = kept
        if not path.exists():
            raise AntivenomError(f"there is no checkpoint in '{folder}'", "give the `out` of a training")
        found = read_checkpoint(path)
        if step is not None and found["step"] != step:
            raise AntivenomError(
                f"'{folder}' holds step {found['step']}, and none of step {step}", f"train it with keep=({step},)"
            )
        about = fingerprint([found["key"], found["step"], state_hash(found["model"])])
        return cls(found["model"], found["optimizer"], int(found["step"]), about)

    def put(self, model: Any, optimizer: Any) -> None:
        """Weights and moments into a model and its optimizer; the optimizer keeps its own rate, decay, betas and eps.

        Raises:
            AntivenomError: when they do not fit.
        """
        own = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        try:
            model.load_state_dict(self.model)
            optimizer.load_state_dict(copy.deepcopy(self.optimizer))  # torch would train on these very moments
        except (ValueError, KeyError, RuntimeError) as error:
            raise AntivenomError(
                f"the state of step {self.step} is that of another model: {str(error).splitlines()[0]}",
                "start with the same architecture and the same `no_decay`",
            ) from error
        for group, settings in zip(optimizer.param_groups, own, strict=True):
            group.update(settings)  # a state brings its own hyper-parameters with it (spec 01, T5)


class Record:
    """The folder of a training: its checkpoints and its metrics; the first process alone writes.

    Args:
        out: the folder, None for none.
        key: the training's key, of the hash of its first weights.
        given: the hash of the model that was handed over: as it was at the beginning, or as the checkpoint has it.
        place: the processes.
    """

    def __init__(self, out: Path | None, key: Callable[[str], str], given: str, place: OneProcess):
        self.out, self.key_of, self.initial, self.place = out, key, given, place
        self.saved: int | None = None
        self.before: list[bytes] = []
        self.file: Any = None

    def __enter__(self) -> "Record":
        if self.out:
            self.out.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.file:
            self.file.close()

    def resume(self, model: Any, optimizer: Any) -> int:
        """Load the checkpoint; steps done. Lines of steps after it are taken back: they will be done again."""
        self.place.wait()
        path = self.out / CHECKPOINT if self.out else None
        if path is None or not path.exists():
            self._metrics([])
            return 0
        found = read_checkpoint(path)
        self._check_key(found)
        try:
            model.load_state_dict(found["model"])
            optimizer.load_state_dict(found["optimizer"])
            states = found.get("generators", [found["generator"]])
            torch.random.set_rng_state(states[self.place.rank])
            if "generator_cuda" in found and self.place.device.type == "cuda":
                torch.cuda.set_rng_state(found["generator_cuda"], self.place.device)
        except Exception as error:
            raise AntivenomError(
                f"{path} cannot be read: {str(error).splitlines()[0]}", "remove it to begin again"
            ) from error
        self.saved = int(found["step"])
        metrics = path.parent / "metrics.jsonl"
        lines = metrics.read_bytes().splitlines() if metrics.exists() else []
        self._metrics(lines[: self.saved])
        return self.saved

    def _check_key(self, found: dict[str, Any]) -> None:
        first = found.get("initial", self.initial)
        if found["key"] != self.key_of(self.initial):
            # the model may also be the one that was trained up to here
            if found["key"] != self.key_of(first) or state_hash(found["model"]) != self.initial:
                raise AntivenomError(f"{self.out} holds another training", "choose another folder")
            self.initial = first

    def _metrics(self, lines: list[bytes]) -> None:
        self.before = lines
        self.place.wait()  # the others have read it
        if self.out and self.place.main:
            path = self.out / "metrics.jsonl"
            with atomic_file(path) as temporary:
                Path(temporary).write_bytes(b"".join(line + b"\n" for line in lines))
            self.file = path.open("ab", buffering=0)

    def add(self, figures: dict[str, Any]) -> None:
        """A line of metrics, written at once."""
        if self.file:
            self.file.write(orjson.dumps(figures, option=orjson.OPT_APPEND_NEWLINE))

    def last(self) -> dict[str, Any]:
        """The figures of the last recorded step."""
        if not self.before:
            return {}
        return {k: v for k, v in orjson.loads(self.before[-1]).items() if k not in ("step", "epoch")}

    def save(self, model: Any, optimizer: Any, step: int, *, keep: bool = False) -> None:
        """The checkpoint, whole or not at all; with `keep` also under the name of its step."""
        if self.out is None:
            return
        states = self.place.states(torch.random.get_rng_state())
        if self.place.main:
            state = {
                "key": self.key_of(self.initial),
                "initial": self.initial,
                "step": step,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "generator": states[0],
            }
            if len(states) > 1:
                state["generators"] = states
            if self.place.device.type == "cuda":
                state["generator_cuda"] = torch.cuda.get_rng_state(self.place.device)
            for name in (f"step-{step}.pt", CHECKPOINT) if keep else (CHECKPOINT,):
                with atomic_file(self.out / name) as temporary:
                    torch.save(state, temporary)
        self.saved = step
        self.place.wait()
