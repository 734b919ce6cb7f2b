"""`antivenom toxicr evaluate|ablate|compare|tune` as a person uses them, in a terminal of 80 columns."""

import csv

import orjson
import pytest

from antivenom import terminal
from antivenom.cli import app
from antivenom.data.sample_reviews import sample_reviews
from antivenom.errors import AntivenomError

MADE = sample_reviews(260, copied=0.4, seed=3)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process -> exit code, output, error output; `sys.argv` is what was typed."""

    def call(*words):
        typed = [str(word) for word in words]
        monkeypatch.setenv("COLUMNS", "80")  # for the help
        for console in (terminal.console, terminal.error_console):  # they read COLUMNS once, when first imported
            monkeypatch.setattr(console, "_width", 80)
        monkeypatch.setattr("sys.argv", ["antivenom", *typed])
        try:
            code = app(typed, result_action="return_value")
        except AntivenomError as error:
            terminal.print_error(error)
            code = 2
        out = capsys.readouterr()
        return code, out.out, out.err.replace("\n", " ")

    return call


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "comments.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("note", "bad"), *zip(MADE.texts, MADE.labels.tolist()), ("", 0), ("[red]x", 7)])
    return path


NAMES = ("--text", "note", "--label", "bad")
SMALL = ("--option", "min_df=2", "--folds", 3)


def test_evaluate_says_the_checks_before_the_scores(data, run, tmp_path):
    words = ("toxicr", "evaluate", data, *NAMES, *SMALL, "--protocol", "both", "--algorithms", "LR", "scorer:lexicon")
    code, out, err = run(*words, "--out", tmp_path / "e", "--threshold", "f1", "--errors")
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80
    flat = " ".join(out.split())
    assert "comments.csv, left out: 1 rows without text, 1 that cannot be read (row 262: the label '7'" in flat
    order = [
        flat.index(s)
        for s in ("groups of copies", "near-duplicates", "grouped folds (3): 0 %", "random folds - LEAK", "F1 toxic")
    ]
    assert order == sorted(order)
    found = orjson.loads((tmp_path / "e" / "evaluation.json").read_bytes())
    for entry in found["entries"]:
        assert f"{entry['figures']['f1_1']['mean']:.3f}".removeprefix("0") in out
    assert "tuned" in out
    assert "LR" not in out.split("F1 toxic")[1]  # algorithms are called by their names
    record = orjson.loads((tmp_path / "e" / "run.json").read_bytes())
    assert record["verb"] == "toxicr evaluate"
    code, again, err = run(*words, "--out", tmp_path / "e", "--threshold", "f1", "--errors")
    assert (code, again) == (0, out)
    code, _, err = run("replay", tmp_path / "e", "--out", tmp_path / "f")
    assert code == 0, err
    assert (tmp_path / "f" / "scores.parquet").read_bytes() == (tmp_path / "e" / "scores.parquet").read_bytes()


def test_ablate_compare_and_tune(data, run, tmp_path):
    code, out, err = run("toxicr", "ablate", data, *NAMES, *SMALL, "--out", tmp_path / "a")
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("count") == 4
    assert "base" in out
    assert "lr, 3 grouped folds of 3 a repeat" in out
    code, out, err = run("toxicr", "compare", tmp_path / "a", tmp_path / "a", "--a", "lr F/F/F", "--b", "lr T/F/F")
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80
    assert "A: lr F/F/F   B: lr T/F/F   (3 grouped folds)" in out
    assert "McNemar" in out
    words = (
        "toxicr",
        "tune",
        data,
        *NAMES,
        *SMALL,
        "--goal",
        "recall=0.8",
        "--grid",
        "c=0.1,1",
        "--out",
        tmp_path / "t",
    )
    code, out, err = run(*words)
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80
    record = orjson.loads((tmp_path / "t" / "run.json").read_bytes())
    assert f"train --threshold {record['threshold']:.3f}" in out
    assert [choice["options"]["c"] in (0.1, 1) for choice in record["choices"]] == [True] * 3
    code, again, _ = run(*words)
    assert (code, again) == (0, out)


def test_another_file_is_tested_without_what_both_have(data, run, tmp_path):
    held = tmp_path / "held.csv"
    fresh = sample_reviews(80, copied=0.0, seed=8)
    with held.open("w", newline="", encoding="utf-8") as stream:
        rows = [*zip(MADE.texts[:40], MADE.labels[:40]), *zip(fresh.texts, fresh.labels.tolist())]
        csv.writer(stream).writerows([("note", "bad"), *rows])
    words = ("toxicr", "evaluate", data, *NAMES, "--option", "min_df=2", "--algorithms", "lr", "--test", held)
    code, out, err = run(*words, "--out", tmp_path / "x")
    assert code == 0, err
    flat = " ".join(out.split())
    assert flat.index("LEAK: ") < flat.index("F1 toxic")
    assert "bootstrap interval over test rows" in flat


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "{no}", "--out", "{out}"], "there is no file"),
        (["evaluate", "{data}", "--out", "{out}"], "has no text column"),
        (["evaluate", "{data}", "--text", "note", "--out", "{out}"], "has no label column"),
        (["evaluate", "{data}", "--text", "nope", "--label", "bad", "--out", "{out}"], "no text column nope"),
        (["evaluate", "{empty}", "--out", "{out}"], "holds no comment with a label"),
        (["evaluate", "{one}", "--out", "{out}"], "have one label"),
        (["evaluate", "{few}", "--out", "{out}"], "only 1 rows have label 1"),
        (["evaluate", "{data}", "{names}", "--algorithms", "nope", "--out", "{out}"], "there is no algorithm 'nope'"),
        (
            ["evaluate", "{data}", "{names}", "--algorithms", "scorer:nope", "--out", "{out}"],
            "there is no scorer 'nope'",
        ),
        (["evaluate", "{data}", "{names}", "--option", "x", "--out", "{out}"], "write key=value"),
        (
            ["evaluate", "{data}", "{names}", "--threshold", "best", "--algorithms", "lexicon", "--out", "{out}"],
            "the goal 'best'",
        ),
        (["evaluate", "{data}", "{names}", "--folds", "1", "--out", "{out}"], "ask for at least 2"),
        (["evaluate", "{data}", "{names}", "--out", "{data}"], "is a file"),
        (["evaluate", "{data}", "{names}", "--out", "{home}"], "is not empty and holds no run"),
        (["evaluate", "{data}", "{names}", "--near", "2", "--out", "{out}"], "threshold lies in"),
        (["ablate", "{data}", "{names}", "--algorithm", "scorer:lexicon", "--out", "{out}"], "no preprocessing steps"),
        (["tune", "{data}", "{names}", "--goal", "beauty", "--out", "{out}"], "the goal 'beauty'"),
        (["tune", "{data}", "{names}", "--grid", "c", "--out", "{out}"], "write key=value,value"),
        (["tune", "{data}", "{names}", "--grid", "colour=1,2", "--out", "{out}"], "no option 'colour'"),
        (["compare", "{no}", "{no}"], "cannot read"),
        (["compare", "{data}", "{data}"], "cannot be read"),
    ],
)
def test_refusals_name_the_mend(data, run, tmp_path, words, said):
    (tmp_path / "empty.csv").write_text("text,label\n")
    (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"fine {i},0\n" for i in range(30)))
    (tmp_path / "few.csv").write_text("text,label\nbad one,1\n" + "".join(f"fine {i},0\n" for i in range(30)))
    names = {"no": tmp_path / "nowhere.csv", "data": data, "out": tmp_path / "out", "home": data.parent}
    names |= {name: tmp_path / f"{name}.csv" for name in ("empty", "one", "few")}
    given = [part for word in words for part in (NAMES if word == "{names}" else [word.format(**names)])]
    code, out, err = run("toxicr", *given)
    assert code == 2
    assert said in " ".join(err.split())
    assert "->" in err
    assert "Traceback" not in out + err


def test_help_fits_a_narrow_terminal(run, capsys):
    for words in (["--help"], ["toxicr", "--help"], ["toxicr", "evaluate", "--help"], ["toxicr", "tune", "--help"]):
        _, out, _ = run(*words)
        assert max(map(len, out.splitlines())) <= 80
    _, out, _ = run("toxicr", "--help")
    for verb in ("ablate", "compare", "evaluate", "explain", "preprocess", "score", "train", "tune"):
        assert f"│ {verb} " in out
    _, out, _ = run("--help")
    heads = [out.index(head) for head in ("Screen a corpus", "Scores", "Train and evaluate", "Runs")]
    assert heads == sorted(heads)
