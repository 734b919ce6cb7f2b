"""Cells in processes: the rows of the loop, a worker that dies, a parent that dies, one training for two cells."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from antivenom.studies.frame import Cell, Response, run_study, study


@study(
    name="crowd",
    paper="",
    dose="drops",
    of="glasses",
    doses=(1, 2, 4),
    treatments=("none", "cure"),
    controls=("none",),
    sizes={"smoke": {}, "tiny": {}},
)
def crowd(cell: Cell):
    """A study whose cells say which process ran them, fail, or kill their process."""
    if cell.dose == 4 and cell.treatment == "cure":
        if cell.settings.get("break"):
            raise RuntimeError("this cell breaks")
        if cell.settings.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
    if cell.settings.get("log"):
        with open(cell.settings["log"], "a") as log:
            log.write(f"{os.getpid()}\n")
        time.sleep(cell.settings.get("sleep", 0.0))
    yield Response("harm", cell.dose + cell.seed / 10, 10, 0.0, 20.0)


def rows_of(folder):
    return pq.read_table(folder / "rows.parquet").to_pylist()


def test_processes_give_the_rows_of_the_loop(tmp_path):
    given = {"size": "smoke", "seeds": (0, 1), "settings": {"break": True}}
    loop = run_study("crowd", out=tmp_path / "loop", **given)
    result = run_study("crowd", out=tmp_path / "processes", runner="processes", **given)
    assert rows_of(tmp_path / "processes") == rows_of(tmp_path / "loop")
    assert result.failed == loop.failed
    assert len(result.failed) == 2  # of 12: one a seed
    assert (tmp_path / "processes" / "rows.parquet").read_bytes() == (tmp_path / "loop" / "rows.parquet").read_bytes()


def test_a_worker_that_dies_costs_the_cells_in_flight_and_no_others(tmp_path):
    result = run_study("crowd", size="smoke", out=tmp_path / "run", runner="processes", settings={"die": True})
    assert 1 <= len(result.failed) <= (os.cpu_count() or 1)
    assert any("dose 4, cure" in text for text in result.failed)
    assert all("process died" in text for text in result.failed)
    assert len(result.rows) == 6 - len(result.failed)


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import test_cell_processes
from antivenom.studies.frame import run_study

if __name__ == "__main__":
    run_study("crowd", size="smoke", seeds=range(40), out=sys.argv[1], runner="processes",
              settings={{"log": sys.argv[2], "sleep": 0.2}})
"""


@pytest.mark.slow
def test_workers_leave_with_their_parent(tmp_path):
    script, log = tmp_path / "crowd.py", tmp_path / "log"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    log.touch()
    running = subprocess.Popen([sys.executable, str(script), str(tmp_path / "run"), str(log)])
    while len(log.read_text().split()) < 5:
        assert running.poll() is None
        time.sleep(0.05)
    running.kill()
    running.wait()
    time.sleep(2.0)
    told = log.read_text()
    assert len(told.split()) < 200
    time.sleep(1.5)
    assert log.read_text() == told
    for worker in {int(pid) for pid in told.split()}:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


TRAIN = """
import sys
from antivenom.data.image_world import draw_pairs
from antivenom.models.clip_small import SmallConfig, small_clip
from antivenom.models.torch_runtime import threads
from antivenom.train.loop import Recipe
from antivenom.train.objectives import make_objective
from antivenom.train.pairs import PairSource
from antivenom.train.shelf import fit_on_shelf
from antivenom.train.loop import model_hash

pairs = draw_pairs(200, name="train", size=16, seed=0)
model = small_clip(pairs.captions, config=SmallConfig(size=16), seed=0)
with threads(1):
    fit_on_shelf(make_objective("mmcl", model), PairSource(model, pairs.images, pairs.captions, seed=0),
                 Recipe(epochs=6, batch=20, lr=1e-3), sys.argv[1])
print(model_hash(model))
"""


@pytest.mark.slow
def test_two_processes_that_want_one_training_do_it_once(tmp_path):
    pytest.importorskip("torch")
    both = [
        subprocess.Popen([sys.executable, "-c", TRAIN, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    hashes = {one.communicate()[0].strip() for one in both}
    assert [one.returncode for one in both] == [0, 0]
    assert len(hashes) == 1
    (steps,) = tmp_path.glob("*/metrics.jsonl")
    assert len(steps.read_text().splitlines()) == 60  # each step was written once
