"""The run directory: one folder with everything a run used and found, written whole or not at all."""

import errno
import fcntl
import hashlib
import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from antivenom.errors import AntivenomError

__all__ = ["RunDirectory", "Step", "apart", "atomic_file", "atomic_json", "fingerprint"]

PACKAGES = ("antivenom", "daft", "pyarrow", "numpy", "numba", "scikit-learn", "scipy", "ray", "torch", "transformers")
OURS = "run.json"
TEMPORARY = ".antivenom-tmp-"


def fingerprint(value: Any) -> str:
    """A stable hash of plain data: BLAKE2b-128 of its JSON with sorted keys, 32 hex digits."""
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()


def canonical(value: Any) -> bytes:
    """JSON with sorted keys; paths as text, tuples as lists, numpy numbers as numbers."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, default=str, option=options)


@contextmanager
def atomic_file(path: str | Path) -> Iterator[str]:
    """Write to a temporary file of the same folder that takes its name only when all is well.

    Yields:
        The temporary file's path; it is flushed to disk and renamed at the end, removed on any error.

    Raises:
        AntivenomError: when the folder cannot be written or the disk is full.
    """
    target = Path(path)
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, suffix=target.suffix, dir=target.parent)
        os.close(handle)
        yield temporary
        with Path(temporary).open("rb") as written:
            os.fsync(written.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except OSError as error:
        raise _disk_error(error, target) from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def _disk_error(error: OSError, path: Path) -> AntivenomError:
    text = str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        return AntivenomError(
            f"the disk is full: cannot write {path}",
            "free some space, then give the same command again: it goes on where it stopped",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return AntivenomError(
            f"cannot write {path}: {error.strerror}", "choose another --out, or change its permissions"
        )
    return AntivenomError(f"cannot write {path}: {error.strerror or error}", "choose another --out")


def atomic_json(path: str | Path, value: Any) -> None:
    """Write plain data as readable JSON with sorted keys, whole or not at all."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    with atomic_file(path) as temporary:
        Path(temporary).write_bytes(orjson.dumps(value, default=str, option=options))


@dataclass
class Step:
    """What one step of a run took: rows, bytes, wall and CPU seconds (children included)."""

    name: str
    rows: int = 0
    bytes: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def count(self, results: Iterable[dict]) -> None:
        """Add up the `rows` and `bytes` of the blocks' results."""
        for result in results:
            self.rows += int(result.get("rows", 0))
            self.bytes += int(result.get("bytes", 0))

    def record(self) -> dict[str, Any]:
        """As it stands in run.json; a rate without rows is missing, not 0."""
        rates = {
            "rows_per_s": round(self.rows / self.wall_s, 1) if self.rows and self.wall_s else None,
            "mb_per_s": round(self.bytes / 1e6 / self.wall_s, 3) if self.bytes and self.wall_s else None,
        }
        times = {"wall_s": round(self.wall_s, 3), "cpu_s": round(self.cpu_s, 3)}
        return {"name": self.name, "rows": self.rows, "bytes": self.bytes, **times, **rates}


@dataclass
class RunDirectory:
    """A run's folder, locked while it is worked on.

    Attributes:
        path: the folder.
        config: everything that determines the results, as plain data.
        complete: True when a run of this configuration is already finished here.
    """

    path: Path
    config: dict[str, Any]
    complete: bool = False
    steps: list[Step] = field(default_factory=list)
    started: str = ""
    _clock: tuple[float, float] = (0.0, 0.0)
    _lock: int | None = None

    @classmethod
    def open(
        cls, path: str | Path, config: dict[str, Any], *, overwrite: bool = False, extend: bool = False
    ) -> "RunDirectory":
        """Take a folder for a run: fresh, to go on with, or already complete.

        Args:
            path: the folder.
            config: everything that determines the results.
            overwrite: throw away what another run left there.
            extend: take a folder of another configuration and keep its files (a study that gains seeds or doses).

        Raises:
            AntivenomError: when the folder is a file, cannot be written, is in use, holds something else, or holds
                another run and `overwrite` is not set.
        """
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise AntivenomError(f"{folder} is a file", "name a folder after --out")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _disk_error(error, folder) from error
        run = cls(folder, config, started=datetime.now(UTC).isoformat(timespec="seconds"))
        run._clock = (time.monotonic(), _cpu_seconds())
        run._take()
        try:
            run._check(overwrite, extend)
        except BaseException:
            run.close()
            raise
        return run

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def work(self) -> Path:
        """Where a run that is not finished keeps its parts."""
        return self.path / "work"

    def read(self) -> dict[str, Any]:
        """The record in run.json."""
        return orjson.loads((self.path / OURS).read_bytes())

    def _take(self) -> None:
        try:
            self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise AntivenomError(
                f"another process works in {self.path}", "wait for it, or choose another --out"
            ) from None
        except OSError as error:
            raise _disk_error(error, self.path) from error

    def close(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _check(self, overwrite: bool, extend: bool) -> None:
        names = {entry.name for entry in self.path.iterdir()} - {".lock"}
        mine = fingerprint(self.config)
        if names and OURS not in names and not all(name.startswith(TEMPORARY) for name in names):
            raise AntivenomError(f"{self.path} is not empty and holds no run", "choose another --out, or empty it")
        if OURS in names:
            try:
                before = self.read()
            except orjson.JSONDecodeError:
                before = {}
            if extend:
                pass
            elif before.get("config_hash") == mine and not overwrite:
                self.complete = before.get("status") == "complete"
            elif before.get("config_hash") != mine and not overwrite:
                keys = _differing(before.get("config", {}), orjson.loads(canonical(self.config)))
                what = f"{self.path} holds another run (differs in: {', '.join(keys) or 'its run.json cannot be read'})"
                raise AntivenomError(what, "choose another --out, or give --overwrite")
            else:
                self._empty()
        if not self.complete:
            for stale in self.path.rglob(f"{TEMPORARY}*"):
                stale.unlink(missing_ok=True)
            start = {
                "status": "running",
                "config": self.config,
                "config_hash": mine,
                "antivenom": _version("antivenom"),
            }
            atomic_json(self.path / OURS, start | {"started": self.started})

    def _empty(self) -> None:
        for entry in self.path.iterdir():
            if entry.name != ".lock":
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time one step of the run; it appears in run.json in the order of the steps."""
        step = Step(name)
        wall, cpu = time.monotonic(), _cpu_seconds()
        yield step
        step.wall_s, step.cpu_s = time.monotonic() - wall, _cpu_seconds() - cpu
        self.steps.append(step)

    def finish(self, record: dict[str, Any]) -> dict[str, Any]:
        """Write run.json whole: the record, and what every run tells about itself."""
        wall, cpu = self._clock
        own = {
            "antivenom": _version("antivenom"),
            "status": "complete",
            "config": self.config,
            "config_hash": fingerprint(self.config),
            "steps": [step.record() for step in self.steps],
            "machine": machine(),
            "versions": {name: found for name in PACKAGES if (found := _version(name))},
            "started": self.started,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": round(time.monotonic() - wall, 3),
            "cpu_s": round(_cpu_seconds() - cpu, 3),
            "peak_rss_mb": round(_peak_mb(), 1),
        }
        atomic_json(self.path / OURS, record | own)
        return record | own

    def clean(self) -> None:
        """Remove the parts of a finished run."""
        shutil.rmtree(self.work, ignore_errors=True)


def apart(out: str | Path, *inputs: str | Path) -> None:
    """Refuse a run directory that is, or lies around, what the run reads: `--overwrite` would empty it.

    Raises:
        AntivenomError: naming the input.
    """
    target = Path(out).resolve()
    for one in inputs:
        path = Path(one).resolve()
        if path.exists() and (path == target or target in path.parents):
            raise AntivenomError(f"{out} holds what is to be read: {one}", "choose another --out")


def machine() -> dict[str, Any]:
    """What the run ran on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next(
            (line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")),
            cpu,
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    where = {"cpu": cpu, "cores": os.cpu_count(), "platform": platform.system(), "python": platform.python_version()}
    return where | {"memory_gb": round(memory, 1) if memory else None}


def _differing(before: dict, now: dict, path: str = "") -> list[str]:
    found: list[str] = []
    for key in sorted(set(before) | set(now)):
        a, b = before.get(key), now.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differing(a, b, f"{path}{key}.")
        elif a != b:
            found.append(f"{path}{key}")
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _peak_mb() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return (own.ru_maxrss + children.ru_maxrss) / 1024
