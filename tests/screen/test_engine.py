"""The engine: every block once, results in order, markers, errors that name the block, bounded memory, no telemetry."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import orjson
import pytest

from antivenom.data.rows import Block, Segment
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import atomic_file
from antivenom.screen import engine
from antivenom.screen.engine import map_blocks


def blocks(n, size=1_000):
    return [Block(i, "jsonl", ".", (Segment(f"f{i}.jsonl", 0, size),), size) for i in range(n)]


class Write:
    """Writes the block's number and counts calls in files, so that it works in any process."""

    def __init__(self, out: Path, fail: int | None = None):
        self.out, self.fail = out, fail

    def __call__(self, block: Block) -> dict:
        if block.index == self.fail:
            raise RuntimeError("something in the data")
        with (self.out / "calls.txt").open("a") as calls:
            calls.write(f"{block.index}\n")
        with atomic_file(self.out / f"{block.index}.txt") as temporary:
            Path(temporary).write_text(str(block.index))
        return {"rows": block.index, "bytes": 10}


@pytest.mark.parametrize("runner", ["loop", "native"])
def test_results_come_in_order_and_once(tmp_path, runner):
    done = map_blocks(Write(tmp_path), blocks(20), stage="s", markers=tmp_path / "m", runner=runner, workers=2)
    assert [r["rows"] for r in done] == list(range(20))
    again = map_blocks(Write(tmp_path), blocks(20), stage="s", markers=tmp_path / "m", runner=runner)
    assert again == done
    assert sorted(map(int, (tmp_path / "calls.txt").read_text().split())) == list(range(20))


def test_only_blocks_without_a_marker_are_run(tmp_path):
    map_blocks(Write(tmp_path), blocks(6), stage="s", markers=tmp_path / "m", runner="loop")
    (tmp_path / "m" / "s-00003.json").unlink()
    (tmp_path / "m" / "s-00005.json").write_bytes(b'{"rows": 5')  # cut off: counts as not there
    map_blocks(Write(tmp_path), blocks(6), stage="s", markers=tmp_path / "m", runner="loop")
    assert sorted(map(int, (tmp_path / "calls.txt").read_text().split())) == [0, 1, 2, 3, 3, 4, 5, 5]


@pytest.mark.parametrize("runner", ["loop", "native"])
def test_a_failing_block_is_named_and_can_be_run_again(tmp_path, runner):
    with pytest.raises(AntivenomError, match=r"block 4 \(f4.jsonl\) failed.*something in the data"):
        map_blocks(Write(tmp_path, fail=4), blocks(8), stage="s", markers=tmp_path / "m", runner=runner, workers=1)
    assert len(map_blocks(Write(tmp_path), blocks(8), stage="s", markers=tmp_path / "m", runner=runner)) == 8


def test_unknown_runner(tmp_path):
    with pytest.raises(AntivenomError, match="no runner 'slurm'"):
        map_blocks(Write(tmp_path), blocks(1), stage="s", markers=tmp_path / "m", runner="slurm")


def test_telemetry_is_off():
    from daft.scarf_telemetry import opted_out

    assert engine.RUNNERS
    assert opted_out()
    assert {os.environ[name] for name in ("DO_NOT_TRACK", "SCARF_NO_ANALYTICS")} == {"true"}


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """Peak memory of a scan over 12 MB and over 96 MB differs by far less than the corpora do."""
    script = textwrap.dedent(
        """
        import resource, sys
        from antivenom.screen.contamination import screen_corpus
        screen_corpus(sys.argv[1], [sys.argv[2]], sys.argv[3], runner="loop", block_bytes=2**21)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        """
    )
    bench = tmp_path / "bench.jsonl"
    bench.write_bytes(
        orjson.dumps({"question": "How many marbles does Ravi own after the exchange with Lena on Monday?"})
    )
    peaks = []
    for size in (12, 96):
        path = tmp_path / f"c{size}.jsonl"
        line = orjson.dumps({"text": "the river follows the stone and the cloud repairs the letter " * 30}) + b"\n"
        with path.open("wb") as out:
            for i in range(size * 10**6 // len(line)):
                out.write(line.replace(b"river", b"river%d" % i, 1))
        command = [sys.executable, "-c", script, str(path), str(bench), str(tmp_path / f"o{size}")]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 60, peaks
