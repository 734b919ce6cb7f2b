"""Part files: what a stage of a run that is not finished keeps of one block."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.report.run_directory import atomic_file

__all__ = ["part", "write_table"]


def part(work: Path, stage: str, index: int, suffix: str = "parquet") -> Path:
    """Where a stage keeps its part of a block."""
    return work / stage / f"{index:05d}.{suffix}"


def write_table(table: pa.Table, path: Path) -> None:
    """Write a part file whole or not at all."""
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
