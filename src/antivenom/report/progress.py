"""Progress with rows/s, MB/s and the time that is left; one plain line per stage where nobody watches."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["StageProgress"]


class StageProgress:
    """The progress of one stage over its blocks, on stderr.

    The share done counts bytes of the blocks, so that the time left is right for blocks of unequal size.
    """

    def __init__(self, stage: str, total_bytes: int, blocks: int):
        self.stage = stage
        self.total = max(1, total_bytes)
        self.blocks = blocks
        self.rows = self.bytes = 0
        self.begun = time.monotonic()
        self.bar: Progress | None = None
        self.task = TaskID(0)
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description:<9}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
            rates = TextColumn("{task.fields[rates]}")
            self.bar = Progress(*columns, rates, TimeRemainingColumn(), console=Console(stderr=True), transient=False)
            self.task = self.bar.add_task(stage, total=self.total, rates="")

    def __enter__(self) -> "StageProgress":
        if self.bar:
            self.bar.start()
        return self

    def advance(self, block_bytes: int, result: dict, *, fresh: bool = True) -> None:
        """A block is done (`fresh`: in this process, so that it counts for the rates)."""
        if fresh:
            self.rows += int(result.get("rows", 0))
            self.bytes += block_bytes
        if self.bar:
            self.bar.update(self.task, advance=block_bytes, rates=self._rates())

    def _rates(self) -> str:
        seconds = max(1e-9, time.monotonic() - self.begun)
        rows = f"{self.rows / seconds:,.0f} rows/s  " if self.rows else ""
        return f"{rows}{self.bytes / 1e6 / seconds:,.1f} MB/s"

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()
        elif kind is None:
            seconds = time.monotonic() - self.begun
            print(f"{self.stage:<9} {self.blocks} blocks  {self._rates()}  {seconds:.1f} s", file=sys.stderr)  # noqa: T201
