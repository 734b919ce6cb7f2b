"""The corpus engine: a function of one block, mapped over all blocks. The only module that knows Daft.

A block's work writes its own files (whole or not at all) and returns counts; then a marker is left, so that a run that is
killed at any moment goes on with the blocks that have none, and ends in the same bytes. Native (this machine), Ray (a
cluster) and a plain loop run the same function on the same blocks: equal rows by construction.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from antivenom.data.rows import Block
from antivenom.errors import AntivenomError, MissingExtra
from antivenom.report.progress import StageProgress
from antivenom.report.run_directory import atomic_file

for _switch, _value in {"DO_NOT_TRACK": "true", "SCARF_NO_ANALYTICS": "true", "DAFT_ANALYTICS_ENABLED": "0"}.items():
    os.environ.setdefault(_switch, _value)  # Daft reports home unless told otherwise before it is imported
os.environ.setdefault("DAFT_PROGRESS_BAR", "0")  # the progress shown is ours

__all__ = ["RUNNERS", "load_ray", "map_blocks"]

RUNNERS = ("native", "ray", "loop")
PROCESS_BYTES = 2**30
"""From here on worker processes pay for their start (about a second a pass); below it Daft calls in this process."""

Work = Callable[[Block], dict[str, Any]]


def map_blocks(
    work: Work,
    blocks: Sequence[Block],
    *,
    stage: str,
    markers: Path,
    runner: str = "native",
    address: str | None = None,
    workers: int | None = None,
) -> list[dict[str, Any]]:
    """Run `work` on every block that has no marker of this stage yet.

    Args:
        work: picklable; writes its own files through `atomic_file`; returns plain counts (`rows`, `bytes`, ...).
        blocks: the blocks of the corpus.
        stage: name of the pass, part of the marker's name.
        markers: folder of the markers; it belongs to one configuration (see `RunDirectory`).
        runner: `native`, `ray` or `loop`.
        address: of a Ray cluster; without one a local cluster is started.
        workers: parallel workers of the native runner (default: the cores).

    Returns:
        The results in block order, those of earlier runs included.

    Raises:
        AntivenomError: when a block's work fails, naming its files; other blocks keep their markers.
    """
    if runner not in RUNNERS:
        raise AntivenomError(f"there is no runner '{runner}'", f"choose from: {', '.join(RUNNERS)}")
    markers.mkdir(parents=True, exist_ok=True)
    results: dict[int, dict[str, Any]] = {}
    pending: list[Block] = []
    for block in blocks:
        known = _read_marker(markers, stage, block)
        if known is None:
            pending.append(block)
        else:
            results[block.index] = known
    task = _Task(work, stage, str(markers))
    with StageProgress(stage, sum(block.size for block in blocks), len(blocks)) as progress:
        for block in blocks:
            if block.index in results:
                progress.advance(block.size, results[block.index], fresh=False)
        by_index = {block.index: block for block in pending}
        for index in _run(task, pending, runner, address, workers):
            block = by_index[index]
            result = _read_marker(markers, stage, block)
            if result is None or "error" in result:
                _marker(markers, stage, block).unlink(missing_ok=True)
                files = ", ".join(sorted({segment.file for segment in block.segments})[:3])
                what = (result or {}).get("error", "it left no result")
                raise AntivenomError(
                    f"{stage} of block {index} ({files}) failed: {what}",
                    (result or {}).get("mend", "give the same command again to go on from here"),
                )
            results[index] = result
            progress.advance(block.size, result)
    return [results[block.index] for block in blocks]


class _Task:
    """The work with its marker: what travels to a worker. Errors travel back in the marker, not as pickles."""

    def __init__(self, work: Work, stage: str, markers: str):
        self.work, self.stage, self.markers = work, stage, markers

    def __call__(self, block: Block) -> int:
        try:
            result = self.work(block)
        except AntivenomError as error:
            result = {"error": error.what, "mend": error.mend}
        except Exception as error:
            import traceback

            result = {
                "error": f"{type(error).__name__}: {error}",
                "mend": "".join(traceback.format_exception(error)[-3:]),
            }
        with atomic_file(_marker(Path(self.markers), self.stage, block)) as temporary:
            Path(temporary).write_bytes(orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY))
        return block.index


def _marker(markers: Path, stage: str, block: Block) -> Path:
    return markers / f"{stage}-{block.index:05d}.json"


def _read_marker(markers: Path, stage: str, block: Block) -> dict[str, Any] | None:
    try:
        return orjson.loads(_marker(markers, stage, block).read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None


def _run(task: _Task, blocks: list[Block], runner: str, address: str | None, workers: int | None) -> Iterator[int]:
    if not blocks:
        return
    if runner == "loop" or (runner == "native" and len(blocks) == 1):
        yield from map(task, blocks)
    else:
        yield from _daft(task, blocks, runner, address, workers or os.cpu_count() or 1)


def _daft(task: _Task, blocks: list[Block], runner: str, address: str | None, workers: int) -> Iterator[int]:
    """The same program on both of Daft's runners: a column of blocks through a batch function."""
    import daft
    from daft import DataType

    _choose_runner(runner, address)
    by_index = {block.index: block for block in blocks}

    def run_blocks(index: daft.Series) -> list[int]:
        return [task(by_index[i]) for i in index.to_pylist()]

    frame = daft.from_pydict({"index": list(by_index)})
    if runner == "native" and (workers == 1 or sum(block.size for block in blocks) < PROCESS_BYTES):
        function = daft.func.batch(return_dtype=DataType.int64(), batch_size=1)(run_blocks)
        column = function(frame["index"])
    else:

        @daft.cls(max_concurrency=workers)
        class Worker:
            def __init__(self, function: Callable[[daft.Series], list[int]]) -> None:
                self.function = function

            @daft.method.batch(return_dtype=DataType.int64(), batch_size=1)
            def run(self, index: daft.Series) -> list[int]:
                return self.function(index)

        if runner == "ray":
            frame = frame.into_partitions(len(blocks))
        column = Worker(run_blocks).run(frame["index"])
    for row in frame.select(column.alias("index")).iter_rows():
        yield row["index"]


def load_ray() -> Any:
    """The module `ray`, imported so that its workers use this very environment.

    Under `uv run`, Ray would pack the working folder and have uv build a new environment for every worker (gigabytes, minutes).

    Raises:
        MissingExtra: when it is not installed.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "ray", "--runner ray") from None
    return ray


def _choose_runner(runner: str, address: str | None) -> None:
    import daft

    if runner == "ray":
        load_ray()
    now = daft.runners.get_or_infer_runner_type()
    try:
        if runner == "ray":
            daft.set_runner_ray(address, noop_if_initialized=True)
        elif now != "native":
            daft.set_runner_native()
    except RuntimeError as error:
        raise AntivenomError(
            f"this process already runs Daft on '{now}': {error}", f"start a new process for --runner {runner}"
        ) from error
