"""What a study is: declared doses, treatments, controls, sizes, the paper's figures, and a function that runs one cell."""

import hashlib
import importlib
import inspect
import math
import pkgutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import antivenom
from antivenom.errors import AntivenomError

__all__ = [
    "SIZES",
    "STUDIES",
    "Cell",
    "PaperFigure",
    "Response",
    "SkipCell",
    "Study",
    "code_hash",
    "find_study",
    "list_studies",
    "package_versions",
    "study",
]

SIZES = ("smoke", "tiny", "small", "real")
"""smoke: seconds, for tests. tiny: at most 5 minutes a seed on 2 cores. small: real packaged models. real: published ones."""

NO_RESULTS = ("report", "studies", "cli.py", "terminal.py")
"""Parts of the package that no response of a study depends on (its own module is hashed beside the rest)."""

FRAME = ("registry", "frame", "cells", "cell_processes", "points", "cards", "over_seeds", "compare", "replay")
"""Modules of this package that run studies and are no part of any."""

PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "pyarrow", "torch", "transformers", "accelerate", "wordllama")


@dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper: what, at which dose and treatment, where from, and whether it was read or only recalled."""

    metric: str
    value: float
    source: str
    provenance: str = "read"
    dose: float | None = None
    treatment: str | None = None


@dataclass(frozen=True)
class Cell:
    """One point of a study.

    Args:
        size: one of `SIZES`.
        dose: as declared (a count, or a share that the study turns into a count).
        treatment: as declared.
        seed: of everything random in the cell.
        settings: those of the size, and what the user set on top.
        study: the study's name.
        cache_dir: where cells of one run may leave artefacts for each other; it determines no result.
    """

    size: str
    dose: Any
    treatment: str
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    study: str = ""
    cache_dir: str | None = None

    def determines(self) -> list[Any]:
        """What of the cell its responses depend on."""
        return [self.study, self.size, self.dose, self.treatment, self.seed, self.settings]

    def __str__(self) -> str:
        return f"dose {self.dose}, {self.treatment}, seed {self.seed}"


@dataclass(frozen=True)
class Response:
    """What a cell answers: a metric with its denominator and interval, and the control it must be read beside.

    Args:
        metric: its name; one study uses a name for one thing only.
        value: None for missing (NaN and infinity become None): a diverged run has no value, and it is never 0.
        n: the denominator of `value`.
        low, high: its interval.
        control, control_name: the figure to read it beside, and what that is.
        dose_count, dose_share: what the dose came to, a count AND a share of the study's denominator; the count may be
            left out where the cell's dose is one.
        dose_unit: what the count counts, where a study has doses of several kinds; the study's denominator when not given.
    """

    metric: str
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    control: float | None = None
    control_name: str | None = None
    dose_count: int | None = None
    dose_share: float | None = None
    dose_unit: str | None = None

    def record(self, cell: Cell) -> dict[str, Any]:
        """As plain data, with the dose as a count.

        Raises:
            ValueError: when neither the response nor the cell gives the dose as a count.
        """
        count = self.dose_count
        if count is None and isinstance(cell.dose, int) and not isinstance(cell.dose, bool):
            count = cell.dose
        if count is None:
            raise ValueError(f"'{self.metric}' gives no dose_count, and the dose {cell.dose} is no count")
        numbers = {name: _finite(getattr(self, name)) for name in ("value", "low", "high", "control", "dose_share")}
        return {
            "metric": self.metric,
            "dose": int(count),
            "n": int(self.n),
            "control_name": self.control_name,
            **({"dose_unit": self.dose_unit} if self.dose_unit else {}),
            **numbers,
        }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


class SkipCell(Exception):
    """Raised by a study for a cell that cannot run here (an optional package is missing): said in the report, no failure."""


@dataclass(frozen=True)
class Study:
    """A declared study; see `study` for the fields."""

    name: str
    paper: str
    dose: str
    of: str
    doses: tuple
    treatments: tuple[str, ...]
    sizes: dict[str, dict[str, Any]]
    figures: tuple[PaperFigure, ...]
    run: Callable[[Cell], Iterable[Response]]
    doc: str = ""
    controls: tuple[str, ...] = ()
    title: str = ""

    @property
    def source_hash(self) -> str:
        """Hash of the study's own source file, and of those of other studies that it takes functions from."""
        module = inspect.getmodule(self.run)
        try:
            text = inspect.getsource(module if module and getattr(module, "__file__", None) else self.run)
            text += "".join(inspect.getsource(other) for other in _studies_used(module))
        except (OSError, TypeError):  # declared in a session without a file
            code = self.run.__code__
            text = repr((code.co_code, code.co_consts, code.co_names))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


STUDIES: dict[str, Study] = {}


def _studies_used(module: Any) -> list[Any]:
    """The modules of other studies, and the parts of this one, whose functions a study's module has in hand, by name; and what
    those have in hand in turn."""
    declaring = {one.run.__module__ for one in STUDIES.values()}
    found: set[str] = set()
    open_ = [module] if module else []
    while open_:
        names = {getattr(value, "__module__", None) for value in vars(open_.pop()).values()}
        new = {n for n in names if isinstance(n, str) and (n in declaring or _is_part(n))} - found
        found |= new
        open_ += [sys.modules[name] for name in new]
    return [sys.modules[name] for name in sorted(found - {getattr(module, "__name__", "")})]


def _is_part(name: str) -> bool:
    """A module of this package that is none of the frame's."""
    return name.startswith("antivenom.studies.") and name.rpartition(".")[2] not in FRAME


def study(
    *,
    paper: str,
    dose: str,
    of: str,
    doses: Sequence,
    treatments: Sequence[str],
    sizes: dict[str, dict[str, Any]],
    controls: Sequence[str] = (),
    figures: Sequence[PaperFigure] = (),
    name: str | None = None,
    title: str = "",
) -> Callable[[Callable[[Cell], Iterable[Response]]], Callable[[Cell], Iterable[Response]]]:
    """Declare a study; the decorated function runs one cell and yields its responses.

    Args:
        paper: what it follows.
        dose: what is given, e.g. "planted rows".
        of: the denominator of the dose, in words.
        doses: all of them.
        treatments: all of them, controls included.
        sizes: `smoke`, `tiny`, `small`, `real` -> settings.
        controls: the treatments that the others must be read beside (do nothing, random); they run with every selection.
        figures: the paper's.
        name: on the command line; the function's name when not given.
        title: a question or a sentence; the first line of the docstring when not given.

    Raises:
        ValueError: for a control that is no treatment, or a size that is none of `SIZES`.
    """
    if unknown := set(controls) - set(treatments):
        raise ValueError(f"controls that are no treatments: {sorted(unknown)}")
    if unknown := set(sizes) - set(SIZES):
        raise ValueError(f"sizes that are none of {SIZES}: {sorted(unknown)}")

    def declare(run: Callable[[Cell], Iterable[Response]]) -> Callable[[Cell], Iterable[Response]]:
        key = name or run.__name__.replace("_", "-")
        lead = (inspect.getdoc(run) or "").split("\n")[0]
        STUDIES[key] = Study(
            name=key,
            paper=paper,
            dose=dose,
            of=of,
            doses=tuple(doses),
            treatments=tuple(treatments),
            sizes=dict(sizes),
            figures=tuple(figures),
            run=run,
            doc=lead,
            controls=tuple(controls),
            title=title or lead,
        )
        return run

    return declare


def list_studies() -> list[Study]:
    """All studies of the package, by name."""
    import antivenom.studies as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"antivenom.studies.{module.name}")
    return [STUDIES[name] for name in sorted(STUDIES)]


def find_study(name: str) -> Study:
    """A study by name.

    Raises:
        AntivenomError: when there is none of that name; the message lists the known ones.
    """
    if name not in STUDIES:
        list_studies()
    if name not in STUDIES:
        raise AntivenomError(f"there is no study '{name}'", f"choose from: {', '.join(sorted(STUDIES))}")
    return STUDIES[name]


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Hash of the package's code and packaged data that results depend on: all but pages, command line and studies."""
    root = Path(antivenom.__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        # __pycache__ also holds what numba compiled, which comes and goes
        if path.is_file() and inside.parts[0] not in NO_RESULTS and "__pycache__" not in inside.parts:
            digest.update(f"{inside.as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def package_versions() -> dict[str, str]:
    """The installed packages that can change a figure, with their versions."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
