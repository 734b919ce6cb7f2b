"""A run once more, from its run.json."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from antivenom.errors import AntivenomError
from antivenom.studies.frame import StudyRun, find_study, recorded_points, run_points

__all__ = ["REPLAYERS", "load_run", "replay", "replay_command", "replay_study"]


def load_run(path: str | Path, *, finished: bool = True) -> tuple[Path, dict[str, Any]]:
    """A run's folder and its record, from the folder or its run.json.

    Raises:
        AntivenomError: when there is no run, its record cannot be read, or it is not finished.
    """
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    record = folder / "run.json"
    if not record.exists():
        raise AntivenomError(f"{path} holds no run", "name a run directory, or its run.json")
    try:
        run = orjson.loads(record.read_bytes())
        if not isinstance(run, dict) or "config" not in run:
            raise ValueError("not the record of a run")
    except ValueError as error:
        raise AntivenomError(f"{record} cannot be read: {error}", "name another run directory") from error
    if finished and run.get("status") != "complete":
        raise AntivenomError(f"the run in {folder} is not finished", "give its command again to finish it")
    return folder, run


def replay_study(run: dict[str, Any], out: Path) -> StudyRun:
    """Run the recorded cells of a study again, into an empty run directory."""
    config = run["config"]
    name, size = str(config.get("study")), str(config.get("size"))
    chosen = find_study(name)
    points = recorded_points(chosen, config)
    lost = len(config.get("cells") or []) - len(points)
    if size not in chosen.sizes or lost or not points:
        what = f"size '{size}'" if size not in chosen.sizes else f"{lost or 'any'} of the recorded cells"
        raise AntivenomError(f"study '{name}' has no longer {what}", "use the version of antivenom that made the run")
    command = [str(word) for word in run.get("command") or ()]
    if "--out" in command[:-1]:
        command[command.index("--out") + 1] = str(out)
    return run_points(name, points, size=size, out=out, settings=config.get("settings"), command=command)


REPLAYERS: dict[str, Callable[[dict[str, Any], Path], Any]] = {"study": replay_study}
"""verb -> (record, out) -> result. A package of a verb may add its own."""


def replay(run: str | Path, out: str | Path, *, otherwise: Callable[[dict[str, Any], Path], Any] | None = None) -> Any:
    """Repeat a run into a new folder.

    Args:
        run: a run.json, or the folder that holds it.
        out: a folder that is empty or not there.
        otherwise: for verbs without a replayer of their own (the command line repeats their command).

    Raises:
        AntivenomError: when there is no such run, no way to repeat it, or `out` is in use.
    """
    _, record = load_run(run)
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AntivenomError(f"{target} is not empty", "name a new folder after --out")
    repeat = REPLAYERS.get(str(record.get("verb")), otherwise)
    if repeat is None:
        raise AntivenomError(f"a run of '{record.get('verb')}' cannot be repeated here", "give its command again")
    return repeat(record, target)


def replay_command(run: str | Path, out: str | Path) -> list[str]:
    """The command line, without its first word, that repeats a run into a new directory.

    Raises:
        AntivenomError: for a run whose record names no command (made through the Python API).
    """
    _, record = load_run(run)
    given = [str(word) for word in record.get("command") or ()]
    words = [part for word in given for part in (word.split("=", 1) if word.startswith("--out=") else [word])]
    if "--out" not in words[:-1]:
        raise AntivenomError(f"the record of {run} has no command line to repeat", "make the same call in Python again")
    words[words.index("--out") + 1] = str(out)
    return words[1:]
