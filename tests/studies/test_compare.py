"""Two runs side by side, and a run once more."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antivenom.errors import AntivenomError
from antivenom.studies.compare import compare
from antivenom.studies.frame import Cell, Response, run_study, study
from antivenom.studies.replay import REPLAYERS, replay, replay_command


@study(
    name="counted",
    paper="none",
    dose="drops",
    of="glasses",
    doses=(1, 2),
    treatments=("none", "cure"),
    sizes={"smoke": {"level": 0.0}, "tiny": {"level": 1.0}},
)
def counted(cell: Cell):
    """A study that is different from seed to seed."""
    yield Response("harm", cell.dose + 10 * cell.seed + cell.settings["level"], 10)


def change(folder, **values):
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_seeds_are_paired(tmp_path):
    run_study("counted", size="smoke", seeds=[0, 1, 2], out=tmp_path / "a")
    run_study("counted", size="smoke", seeds=[1, 2, 3], out=tmp_path / "b")
    rows = pq.read_table(tmp_path / "b" / "rows.parquet").to_pylist()
    table = pa.Table.from_pylist([r | {"value": r["value"] + 0.5} for r in rows])
    pq.write_table(table, tmp_path / "b" / "rows.parquet")
    found = compare(tmp_path / "a", tmp_path / "b" / "run.json")
    assert len(found.rows) == 4
    for row in found.rows:  # seeds 1 and 2 are in both; over all seeds the difference would be 10.5
        assert (row["n"], row["difference"], row["low"], row["high"]) == (2, 0.5, 0.5, 0.5)
    assert [d.split(":")[0] for d in found.differences] == ["seeds"]


def test_unlike_runs_are_refused_and_named(tmp_path):
    for name, size in (("a", "smoke"), ("b", "smoke"), ("c", "tiny")):
        run_study("counted", size=size, out=tmp_path / name)
    with pytest.raises(AntivenomError, match="differ in size, settings"):
        compare(tmp_path / "a", tmp_path / "c")
    forced = compare(tmp_path / "a", tmp_path / "c", force=True)
    assert forced.rows[0]["difference"] == 1.0
    assert "settings: level 0.0 / 1.0" in forced.differences
    for name, value in (("antivenom", "9.9"), ("code_hash", "another"), ("data_hash", "another"), ("study", "other")):
        before = json.loads((tmp_path / "b" / "run.json").read_text())[name]
        change(tmp_path / "b", **{name: value})
        with pytest.raises(AntivenomError, match=f"differ in {name}"):
            compare(tmp_path / "a", tmp_path / "b")
        change(tmp_path / "b", **{name: before})
    compare(tmp_path / "a", tmp_path / "b")


def test_what_is_no_finished_run_is_refused(tmp_path):
    run_study("counted", size="smoke", out=tmp_path / "a")
    with pytest.raises(AntivenomError, match="holds no run"):
        compare(tmp_path / "a", tmp_path / "nowhere")
    change(tmp_path / "a", status="running")
    with pytest.raises(AntivenomError, match="is not finished"):
        compare(tmp_path / "a", tmp_path / "a")
    (tmp_path / "a" / "run.json").write_text("[1, 2")
    with pytest.raises(AntivenomError, match="cannot be read"):
        compare(tmp_path / "a", tmp_path / "a")


def screen_run(folder, found, *, items=10):
    folder.mkdir()
    bench = {"name": "bench", "items": items, "hash": "h", "contaminated": len(found), "share": len(found) / items}
    run = {"verb": "screen", "status": "complete", "config": {}, "benchmarks": [{"name": "bench", "hash": "h"}]}
    run |= {"per_benchmark": [bench], "judge": {"model": "offline", "calls": len(found)}, "detectors": []}
    (folder / "run.json").write_text(json.dumps(run))
    pairs = [{"benchmark": "bench", "item_id": i, "flagged": True, "kind": "verbatim"} for i in found for _ in "xy"]
    pairs += [{"benchmark": "bench", "item_id": "looked at", "flagged": False, "kind": "candidate"}]
    pq.write_table(pa.Table.from_pylist(pairs), folder / "pairs.parquet")
    return folder


def test_screens_are_paired_over_the_items(tmp_path):
    a, b = screen_run(tmp_path / "a", ["1", "2"]), screen_run(tmp_path / "b", ["2", "3", "4", "5", "6", "7"])
    (row,) = compare(a, b).rows
    assert (row["a"], row["b"], row["n"]) == (0.2, 0.6, 10)
    assert row["difference"] == pytest.approx(0.4)
    assert row["low"] < 0.4 < row["high"]
    assert compare(a, b).differences == []  # how often the judge was asked is no difference of the runs


def test_replay_repeats_the_recorded_cells(tmp_path):
    run_study("counted", size="smoke", seeds=[3, 5], out=tmp_path / "a", doses=[1])
    run_study("counted", size="smoke", seeds=[7], out=tmp_path / "a", doses=[2], settings={"level": 0.0})
    replay(tmp_path / "a" / "run.json", tmp_path / "b")
    assert (tmp_path / "b" / "rows.parquet").read_bytes() == (tmp_path / "a" / "rows.parquet").read_bytes()
    assert compare(tmp_path / "a", tmp_path / "b").differences == []
    with pytest.raises(AntivenomError, match="is not empty"):
        replay(tmp_path / "a", tmp_path / "b")


def test_replay_of_a_changed_study_is_refused(tmp_path):
    run_study("counted", size="smoke", out=tmp_path / "a")
    config = json.loads((tmp_path / "a" / "run.json").read_text())["config"]
    change(tmp_path / "a", config=config | {"cells": [[99, "none", 0]]})
    with pytest.raises(AntivenomError, match="no longer 1 of the recorded cells"):
        replay(tmp_path / "a", tmp_path / "b")


def test_other_verbs_have_their_own_replayer(tmp_path, monkeypatch):
    run = screen_run(tmp_path / "a", [])
    with pytest.raises(AntivenomError, match="run of 'screen' cannot be repeated here"):
        replay(run, tmp_path / "b")
    assert replay(run, tmp_path / "b", otherwise=lambda record, out: (record["verb"], out.name)) == ("screen", "b")
    monkeypatch.setitem(REPLAYERS, "screen", lambda record, out: "screened")
    assert replay(run, tmp_path / "b") == "screened"


def test_the_command_line_of_a_run(tmp_path):
    run_study("counted", size="smoke", seeds=[0, 1], out=tmp_path / "a", doses=[1, 2])
    words = replay_command(tmp_path / "a" / "run.json", tmp_path / "b")
    assert words[:3] == ["study", "run", "counted"]
    assert words[words.index("--out") + 1] == str(tmp_path / "b")
    assert words[words.index("--doses") + 1 : words.index("--doses") + 3] == ["1", "2"]
    run_study("counted", size="smoke", seeds=[4], out=tmp_path / "c")  # no option says "seed 4"
    assert replay_command(tmp_path / "c", tmp_path / "d")[0] == "replay"
    with pytest.raises(AntivenomError, match="no command line"):
        replay_command(screen_run(tmp_path / "s", []), tmp_path / "t")
