"""The run directory: whole files or none, errors in words, another run is refused, a lock, an honest record."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.report.run_directory import RunDirectory, atomic_file, atomic_json, fingerprint


def test_files_appear_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with atomic_file(target) as temporary:
        Path(temporary).write_text("one")
        assert not target.exists()
    assert target.read_text() == "one"
    with pytest.raises(ValueError, match="midway"), atomic_file(target) as temporary:
        Path(temporary).write_text("half")
        raise ValueError("midway")
    assert target.read_text() == "one"
    assert os.listdir(target.parent) == ["a.txt"]


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot write"), (errno.EACCES, "cannot write")]
)
def test_disk_errors_name_the_path_and_the_mend(tmp_path, code, words):
    with pytest.raises(AntivenomError, match=words) as caught, atomic_file(tmp_path / "a.txt"):
        raise OSError(code, os.strerror(code))
    assert "a.txt" in caught.value.what
    assert caught.value.mend


def test_a_full_disk_for_real(tmp_path):
    with (
        pytest.raises(AntivenomError, match="disk is full"),
        atomic_file(tmp_path / "a") as _,
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")


def test_fingerprint_is_stable_and_sees_every_change():
    value = {"b": [1, 2.5, None], "a": {"x": "é", "y": Path("p"), "n": np.int64(3)}}
    assert fingerprint(value) == fingerprint({"a": {"n": 3, "y": "p", "x": "é"}, "b": (1, 2.5, None)})
    assert fingerprint(value) != fingerprint(value | {"b": [1, 2.5, 0]})
    assert fingerprint({"a": 1}) == "d0c7c8cfc3d6eb6b3ab5ecd7ec41a9b4" or len(fingerprint({"a": 1})) == 32


def test_resume_complete_other_and_overwrite(tmp_path):
    with RunDirectory.open(tmp_path / "r", {"n": 1}) as run:
        assert not run.complete
        (run.work).mkdir()
        (run.work / "part").write_text("kept for the resume")
    with RunDirectory.open(tmp_path / "r", {"n": 1}) as run:
        assert not run.complete
        assert (run.work / "part").exists()
        with run.step("scan") as step:
            step.count([{"rows": 5, "bytes": 10}, {"rows": 6}])
        record = run.finish({"verb": "screen"})
    assert record["steps"][0]["rows"] == 11
    assert {"machine", "versions", "wall_s", "cpu_s", "peak_rss_mb", "config_hash"} <= set(record)
    with RunDirectory.open(tmp_path / "r", {"n": 1}) as run:
        assert run.complete
    with pytest.raises(AntivenomError, match=r"another run \(differs in: n\)"):
        RunDirectory.open(tmp_path / "r", {"n": 2})
    with RunDirectory.open(tmp_path / "r", {"n": 2}, overwrite=True) as run:
        assert not run.complete
        assert not run.work.exists()


def test_strangers_files_are_never_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(AntivenomError, match="holds no run"):
            RunDirectory.open(tmp_path, {}, overwrite=overwrite)
    assert (tmp_path / "mine.txt").read_text() == "precious"
    with pytest.raises(AntivenomError, match="is a file"):
        RunDirectory.open(tmp_path / "mine.txt", {})


def test_two_processes_cannot_share_a_directory(tmp_path):
    with RunDirectory.open(tmp_path / "r", {}), pytest.raises(AntivenomError, match="another process"):
        RunDirectory.open(tmp_path / "r", {})
    RunDirectory.open(tmp_path / "r", {}).close()


def test_half_written_files_are_swept_up(tmp_path):
    RunDirectory.open(tmp_path / "r", {"n": 1}).close()
    stale = tmp_path / "r" / "kept" / ".antivenom-tmp-xyz.jsonl"
    stale.parent.mkdir()
    stale.write_text("half")
    RunDirectory.open(tmp_path / "r", {"n": 1}).close()
    assert not stale.exists()


def test_json_is_readable_and_sorted(tmp_path):
    atomic_json(tmp_path / "a.json", {"b": 1, "a": np.float64(2.5)})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 2.5,\n  "b": 1\n}\n'
