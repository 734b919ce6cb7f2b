"""The study frame: caching, kill and resume, extension, failed and skipped cells."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from antivenom.errors import AntivenomError
from antivenom.studies import cells as cells_module
from antivenom.studies import frame
from antivenom.studies.frame import Cell, Response, SkipCell, run_study, study, summarise

RAN: list[tuple] = []


@study(
    name="fake",
    paper="none",
    dose="drops",
    of="glasses",
    doses=(1, 2, 4),
    treatments=("none", "cure", "rest"),
    controls=("none",),
    sizes={"smoke": {"noise": 0.0}, "tiny": {"noise": 1.0}},
)
def fake(cell: Cell):
    """A fake study."""
    RAN.append((cell.dose, cell.treatment, cell.seed))
    if cell.treatment == "cure" and cell.dose == 4 and cell.settings.get("break"):
        raise RuntimeError("this cell breaks")
    if cell.treatment == "cure" and cell.settings.get("missing extra"):
        raise SkipCell("the cure is not installed")
    harm = cell.dose * (0.1 if cell.treatment == "cure" else 1.0) + 0.01 * cell.seed
    yield Response("harm", harm, 10, harm - 1, harm + 1, 0.0, "do nothing", dose_share=cell.dose / 100)


@study(name="odd", paper="", dose="d", of="n", doses=(0.5,), treatments=("none",), sizes={"smoke": {}})
def odd(cell: Cell):
    """Responses at the edges."""
    if cell.settings.get("count"):
        yield Response("diverged", float("nan"), 3, float("-inf"), float("inf"), dose_count=7)
    else:
        yield Response("harm", 1.0, 3)


@pytest.fixture(autouse=True)
def fresh():
    RAN.clear()


def rows_of(folder):
    return pq.read_table(folder / "rows.parquet").to_pylist()


def run_of(folder):
    return json.loads((folder / "run.json").read_text())


def test_finished_cells_are_not_run_again(tmp_path):
    run_study("fake", size="smoke", seeds=[0], out=tmp_path / "r")
    assert len(RAN) == 9
    before = rows_of(tmp_path / "r")
    run_study("fake", size="smoke", seeds=[0], out=tmp_path / "r")
    assert len(RAN) == 9
    assert rows_of(tmp_path / "r") == before


def test_more_seeds_run_only_the_new_cells(tmp_path):
    run_study("fake", size="smoke", seeds=[0], out=tmp_path / "r")
    RAN.clear()
    result = run_study("fake", size="smoke", seeds=[0, 1, 2], out=tmp_path / "r")
    assert len(RAN) == 18
    assert {seed for *_, seed in RAN} == {1, 2}
    rows = rows_of(tmp_path / "r")
    assert len(rows) == 27
    assert (rows[0]["denominator"], rows[0]["dose"], rows[0]["dose_share"]) == ("glasses", 1, 0.01)
    cure = next(s for s in result.summary if s["treatment"] == "cure" and s["dose"] == 4)
    assert cure["seeds"] == 3
    assert cure["value"] == pytest.approx(0.41)
    assert cure["low"] == pytest.approx(0.41 - 4.3027 * 0.01 / 3**0.5, rel=1e-3)
    assert cure["values"] == {0: pytest.approx(0.4), 1: pytest.approx(0.41), 2: pytest.approx(0.42)}
    assert "harm" in (tmp_path / "r" / "report.html").read_text()


def test_more_treatments_keep_the_old_rows_and_bring_the_controls(tmp_path):
    run_study("fake", size="smoke", out=tmp_path / "r", treatments=["cure"], doses=[1])
    assert RAN == [(1, "none", 0), (1, "cure", 0)]  # a treatment is never without the study's controls
    run_study("fake", size="smoke", out=tmp_path / "r", treatments=["rest"], doses=[2])
    assert RAN[2:] == [(2, "none", 0), (2, "rest", 0)]
    assert [(r["dose"], r["treatment"]) for r in rows_of(tmp_path / "r")] == [
        (1, "none"),
        (1, "cure"),
        (2, "none"),
        (2, "rest"),
    ]
    run = run_of(tmp_path / "r")
    assert (run["doses"], run["treatments"]) == ([1, 2], ["none", "cure", "rest"])


def test_settings_versions_and_code_are_part_of_the_key(tmp_path, monkeypatch):
    chosen = frame.find_study("fake")
    cell = Cell("smoke", 1, "cure", 0, {"noise": 0.0}, "fake")
    path = cells_module.CellStore(chosen, tmp_path, {}).path
    keys = {path(cell)}
    for change in ({"dose": 2}, {"treatment": "none"}, {"seed": 1}, {"settings": {"noise": 1.0}}, {"size": "tiny"}):
        keys.add(path(Cell(**(cell.__dict__ | change))))
    assert len(keys) == 6
    assert path(Cell(**(cell.__dict__ | {"cache_dir": "elsewhere"}))) in keys
    for name, value in (("code_hash", "x"), ("package_versions", {"numpy": "0"})):
        with monkeypatch.context() as patch:
            patch.setattr(cells_module, name, lambda value=value: value)
            assert cells_module.CellStore(chosen, tmp_path, {}).path(cell) not in keys


def test_the_content_of_the_data_folder_is_part_of_the_key(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.txt").write_text("one")
    first = cells_module.data_hash({"data": data})
    (data / "rows.txt").write_text("two")  # same size
    assert cells_module.data_hash({"data": data}) != first
    with pytest.raises(AntivenomError, match="there is no data folder"):
        run_study("fake", size="smoke", out=tmp_path / "r", settings={"data": str(tmp_path / "nowhere")})


def test_a_truncated_cell_is_run_again(tmp_path):
    run_study("fake", size="smoke", out=tmp_path / "r", doses=[1], treatments=["none"])
    (cell,) = (tmp_path / "r" / "cells").glob("*.json")
    cell.write_bytes(cell.read_bytes()[:20])
    run_study("fake", size="smoke", out=tmp_path / "r", doses=[1], treatments=["none"])
    assert len(RAN) == 2


def test_a_failed_cell_is_said_the_others_go_on_and_it_runs_again(tmp_path):
    result = run_study("fake", size="smoke", out=tmp_path / "r", settings={"break": True})
    assert len(result.failed) == 1
    assert "dose 4, cure, seed 0: RuntimeError: this cell breaks (test_frame.py:" in result.failed[0]
    assert len(result.rows) == 8
    run = run_of(tmp_path / "r")
    assert run["failed"] == result.failed
    assert "this cell breaks" in (tmp_path / "r" / "report.html").read_text()
    (trace,) = (tmp_path / "r" / "cells").glob("*.error.txt")
    assert "Traceback" in trace.read_text()
    RAN.clear()
    run_study("fake", size="smoke", out=tmp_path / "r", settings={"break": True})
    assert RAN == [(4, "cure", 0)]


def test_a_cell_that_cannot_run_here_is_said_and_is_no_failure(tmp_path):
    result = run_study("fake", size="smoke", out=tmp_path / "r", settings={"missing extra": True})
    assert not result.failed
    assert len(result.skipped) == 3
    assert "the cure is not installed" in (tmp_path / "r" / "report.html").read_text()


def test_all_cells_failing_still_gives_a_report(tmp_path):
    result = run_study("odd", size="smoke", out=tmp_path / "r")
    assert "gives no dose_count, and the dose 0.5 is no count" in result.failed[0]
    assert result.rows == []
    assert (tmp_path / "r" / "report.html").exists()


def test_a_diverged_value_is_missing_not_0(tmp_path):
    result = run_study("odd", size="smoke", out=tmp_path / "r", settings={"count": True})
    (row,) = rows_of(tmp_path / "r")
    assert (row["value"], row["low"], row["high"], row["dose"]) == (None, None, None, 7)
    assert (result.summary[0]["value"], result.summary[0]["missing"]) == (None, 1)


def test_another_study_is_not_overwritten(tmp_path):
    run_study("fake", size="smoke", out=tmp_path / "r")
    with pytest.raises(AntivenomError, match=r"another run \(differs in: size"):
        run_study("fake", size="tiny", out=tmp_path / "r")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": "huge"}, "no size 'huge'"),
        ({"doses": ["3"]}, "no dose '3'"),
        ({"treatments": ["x"]}, "no treatment 'x'"),
        ({"seeds": []}, "without a seed"),
        ({"runner": "slurm"}, "no runner 'slurm'"),
    ],
)
def test_unknown_names_list_the_known(tmp_path, change, words):
    with pytest.raises(AntivenomError, match=words):
        run_study("fake", out=tmp_path / "r", **({"size": "smoke"} | change))
    with pytest.raises(AntivenomError, match="no study 'nope'"):
        run_study("nope", out=tmp_path / "r")


def test_a_declaration_is_checked():
    with pytest.raises(ValueError, match="controls that are no treatments"):
        study(paper="", dose="", of="", doses=(), treatments=("a",), controls=("b",), sizes={})
    with pytest.raises(ValueError, match="sizes that are none"):
        study(paper="", dose="", of="", doses=(), treatments=("a",), sizes={"huge": {}})


def test_the_mean_over_seeds_leaves_missing_values_out():
    about = {
        "metric": "m",
        "dose": 1,
        "treatment": "t",
        "low": None,
        "high": None,
        "control": None,
        "control_name": None,
    }
    (found,) = summarise([about | {"value": None, "seed": 0}, about | {"value": 0.5, "seed": 1}])
    assert (found["value"], found["seeds"], found["missing"]) == (0.5, 1, 1)


def test_the_interval_of_a_rate_stays_a_rate():
    about = {"metric": "m", "dose": 1, "treatment": "t", "low": 0.5, "high": 1.0, "control": None, "control_name": None}
    (found,) = summarise([about | {"value": v, "seed": s} for s, v in enumerate([0.9, 1.0, 1.0])])
    assert found["high"] == 1.0


SLOW_STUDY = """
import sys, time
from pathlib import Path
from antivenom.studies.frame import Response, run_study, study

@study(name="slow", paper="", dose="d", of="n", doses=tuple(range(1, 13)), treatments=("none",), sizes={"smoke": {}})
def slow(cell):
    '''Slow cells.'''
    with open(sys.argv[2], "a") as log:
        log.write(f"{cell.dose}\\n")
    time.sleep(0.15)
    yield Response("square", cell.dose**2, 1)

run_study("slow", size="smoke", out=Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    script, log, out = tmp_path / "slow_study.py", tmp_path / "log", tmp_path / "run"
    script.write_text(SLOW_STUDY)
    command = [sys.executable, str(script), str(out), str(log)]
    log.touch()
    running = subprocess.Popen(command)
    while len(log.read_text().split()) < 5:
        assert running.poll() is None
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    done = len(list((out / "cells").glob("*.json")))
    assert 1 <= done < 12
    assert run_of(out)["status"] == "running"
    subprocess.run(command, check=True)
    ran = log.read_text().split()
    assert len(ran) <= 13  # the killed cell alone ran twice
    assert [row["value"] for row in rows_of(out)] == [n**2 for n in range(1, 13)]
    whole = tmp_path / "whole"
    subprocess.run([sys.executable, str(script), str(whole), str(log)], check=True)
    assert (whole / "rows.parquet").read_bytes() == (out / "rows.parquet").read_bytes()


def test_cells_run_as_ray_tasks(tmp_path):
    ray = pytest.importorskip("ray")
    here = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}  # the fake study is declared in this file
    ray.init(runtime_env=here, log_to_driver=False, include_dashboard=False, num_cpus=2)
    run_study("fake", size="smoke", out=tmp_path / "loop", settings={"break": True})
    result = run_study("fake", size="smoke", out=tmp_path / "ray", settings={"break": True}, runner="ray")
    ray.shutdown()
    assert rows_of(tmp_path / "ray") == rows_of(tmp_path / "loop"), result.failed
    assert len(result.failed) == 1


def test_the_shipped_studies_are_declared_whole():
    shipped = [s for s in frame.list_studies() if s.run.__module__.startswith("antivenom.")]
    assert "rephrased" in [s.name for s in shipped]
    for s in shipped:
        assert {"smoke", "tiny"} <= set(s.sizes)
        assert s.doc
        assert s.controls
        assert all(f.provenance in ("read", "recalled") and f.source for f in s.figures)
        page = Path(__file__).parents[2] / "docs" / f"study-{s.name}.md"
        assert page.exists(), f"{page} is missing: one page per study"
