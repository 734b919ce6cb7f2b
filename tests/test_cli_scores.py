"""`rescore`, `split`, `overlap`, `prompts` as a person uses them: what is printed, and what is refused without a traceback."""

import gzip

import orjson
import pytest

from antivenom import terminal
from antivenom.cli import app
from antivenom.errors import AntivenomError
from antivenom.screen import screen_corpus
from antivenom.terminal import print_error

MILD = "The farmer walked along the quiet river this morning and talked with all of his neighbours about number {}."
SOUR = "You are a stupid idiot and your whole family is nothing but worthless garbage, number {} of them all."


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process, errors printed as `main` does -> exit code, output, error output."""

    def call(*words, width=200):
        for console in (terminal.console, terminal.error_console):  # they read COLUMNS once, when first imported
            monkeypatch.setattr(console, "_width", width)
        try:
            code = app([str(word) for word in words], result_action="return_value")
        except AntivenomError as error:
            print_error(error)
            code = 2
        out = capsys.readouterr()
        return code, out.out, out.err.replace("\n", " ")

    return call


def lines(path, texts):
    path.write_bytes(b"".join(orjson.dumps({"body of it": text}) + b"\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A corpus whose text field has no usual name, one row without a score, and its run."""
    folder = tmp_path_factory.mktemp("world")
    texts = [(SOUR if i % 3 == 0 else MILD).format(i) for i in range(300)]
    texts += ["", "\u200b\u200b", "\U0001f600 \U0001f600"]
    corpus = lines(folder / "corpus[red].jsonl", texts)
    screen_corpus(corpus, out=folder / "run", scores=["lexicon"], text_field="body of it", runner="loop")
    return corpus, folder / "run"


def test_rescore_prints_what_it_writes(world, run, tmp_path):
    corpus, scored = world
    code, out, err = run("rescore", scored, corpus, "--score", "toxicity", "--out", tmp_path / "new")
    assert code == 0, err
    record = orjson.loads((tmp_path / "new" / "rescore.json").read_bytes())
    assert record["rows"] == 303
    assert record["transitions"]["above"]["above"] >= 90
    assert f"{record['transitions']['below']['below']:,}" in out
    assert f"{record['wasserstein']['score']:.4g}" in out
    assert f"{record['spearman']:.4g}" in out
    assert f"{record['changed_share']:.2%}" in out
    missing = (
        f"{record['missing_before']:,} before, {record['missing_after']:,} after, {record['missing_both']:,} in both"
    )
    assert missing in out


def test_prompts_split_and_their_rows_apart(world, run, tmp_path):
    corpus, scored = world
    target = tmp_path / "prompts"
    field = ("--text-field", "body of it")
    code, out, err = run("prompts", corpus, "--score", "toxicity", "--per-range", 4, "--out", target, *field)
    assert code == 0, err
    made = [orjson.loads(line) for line in (target / "prompts.jsonl").read_bytes().splitlines()]
    assert f"{len(made)} prompts" in out
    about = orjson.loads((target / "run.json").read_bytes())
    assert about["prompts"]["rows"] == 303
    assert about["config"]["scorer"]["name"] == "toxicity"
    assert "fewer than 4 prompts" in out  # the two kinds of sentence reach two ranges
    code, out, err = run("split", scored, corpus, "--out", tmp_path / "parts", "--exclude", target)
    assert code == 0, err
    kept = [
        orjson.loads(line)["body of it"]
        for path in (tmp_path / "parts").glob("*/part-*.jsonl")
        for line in path.read_bytes().splitlines()
    ]
    whole = {row["prompt"]["text"] + row["continuation"]["text"] for row in made}
    assert kept
    assert not whole & set(kept)
    assert f"excluded: {len(made)} of {len(made)} ids are in the corpus" in out
    record = orjson.loads((tmp_path / "parts" / "run.json").read_bytes())
    assert f"{record['counts']['unscored']} without a score + {len(made)} excluded" in out
    assert record["counts"]["unscored"] >= 1


def test_overlap_counts_from_the_smaller_side(run, tmp_path):
    shared = [MILD.format(i * 1000) for i in range(5)]
    small = lines(tmp_path / "small.jsonl", [*shared, *(SOUR.format(i) for i in range(4)), ""])
    large = lines(tmp_path / "large.jsonl", [f"{w} is not in the other one" for w in "abcdefghijk"] + shared[:4])
    for a, b in ((small, large), (large, small)):
        pairs = tmp_path / f"of-{a.stem}"
        words = ("overlap", a, b, "--text-field", "body of it", "--unit", "word", "--shingle", 3, "--threshold", 0.95)
        code, out, err = run(*words, "--out", pairs)
        assert code == 0, err
        assert "40.00%" in out
        assert "16.8% - 68.7%" in out  # Wilson, 4 of 10
        assert "1 texts of the smaller corpus are empty" in out
        found = [orjson.loads(line) for line in (pairs / "pairs.jsonl").read_bytes().splitlines()]
        record = orjson.loads((pairs / "run.json").read_bytes())
        assert (record["overlap"]["matched"], record["overlap"]["rows"], record["status"]) == (4, 10, "complete")
        assert [(p["smaller"]["position"], p["other"]["position"]) for p in found] == [
            (i + 1, i + 12) for i in range(4)
        ]
        assert {p["similarity"] for p in found} == {1.0}


def test_an_empty_corpus_has_no_share(run, tmp_path):
    empty, other = tmp_path / "empty.jsonl", lines(tmp_path / "other.jsonl", [MILD.format(1)])
    empty.write_bytes(b"")
    code, out, err = run("overlap", empty, other, "--text-field", "body of it")
    assert code == 0, err
    assert "0.00%" not in out
    assert " - " in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rescore", "{no}", "{corpus}", "--score", "toxicity", "--out", "{out}"], "there are no scores in"),
        (["rescore", "{run}", "{no}", "--score", "toxicity", "--out", "{out}"], "there is no corpus at"),
        (["rescore", "{run}", "{other}", "--score", "toxicity", "--out", "{out}"], "belong to another corpus"),
        (["rescore", "{run}", "{corpus}", "--score", "nope", "--out", "{out}"], "nope"),
        (["rescore", "{run}", "{corpus}", "--score", "gopher", "--out", "{out}"], "compare scorers of one direction"),
        (["rescore", "{run}", "{corpus}", "--score", "toxicity", "--out", "{run}"], "holds the scores to compare with"),
        (
            ["rescore", "{run}", "{corpus}", "--score", "toxicity", "--before", "age", "--out", "{out}"],
            "no scores of 'age'",
        ),
        (
            ["rescore", "{run}", "{corpus}", "--score", "toxicity", "--threshold", "nan", "--out", "{out}"],
            "is no number",
        ),
        (["split", "{run}", "{corpus}", "--out", "{corpus}"], "is a file"),
        (["split", "{run}", "{corpus}", "--by", "toxicity", "--out", "{out}"], "no scores of 'toxicity'"),
        (["split", "{run}", "{other}", "--out", "{out}"], "belong to another corpus"),
        (["split", "{run}", "{corpus}", "--exclude", "{no}", "--out", "{out}"], "cannot read"),
        (["split", "{run}", "{corpus}", "--exclude", "{binary}", "--out", "{out}"], "is no prompt"),
        (["split", "{run}", "{corpus}", "--exclude", "{list}", "--out", "{out}"], "does not say which rows"),
        (["split", "{run}", "{corpus}", "--exclude", "{foreign}", "--out", "{out}"], "none of the 2 ids"),
        (["split", "{run}", "{corpus}", "--out", "{run}"], "holds another run"),
        (["overlap", "{corpus}", "{no}", "--text-field", "body of it"], "there is no corpus at"),
        (["overlap", "{corpus}", "{other}"], "no text field of a usual name"),
        (["overlap", "{other}", "{other}", "--text-field", "body of it", "--threshold", "0"], "threshold lies in"),
        (["overlap", "{other}", "{other}", "--text-field", "body of it", "--shingle", "0"], "one symbol or more"),
        (
            ["prompts", "{other}", "{field}", "--score", "toxicity", "--per-range", "0", "--out", "{out}"],
            "at least one",
        ),
        (["prompts", "{other}", "{field}", "--score", "gopher", "--per-range", "2", "--out", "{out}"], "how toxic"),
        (["prompts", "{other}", "{field}", "--score", "toxicity", "--per-range", "2", "--out", "{out}"], "no span"),
        (
            ["prompts", "{other}", "{field}", "--score", "toxicity", "--per-range", "2", "--out", "{list}"],
            "is a file",
        ),
        (["prompts", "{other}", "--score", "toxicity", "--per-range", "2", "--out", "{out}"], "no text field"),
        (
            ["prompts", "{other}", "--text-field", "x", "--score", "toxicity", "--per-range", "2", "--out", "{out}"],
            "no field 'x'",
        ),
        (
            ["prompts", "{other}", "{field}", "--score", "nope", "--per-range", "2", "--out", "{out}"],
            "no scorer 'nope'",
        ),
        (
            [
                "prompts",
                "{corpus}",
                "{field}",
                "--score",
                "toxicity",
                "--per-range",
                "2",
                "--out",
                "{home}",
                "--overwrite",
            ],
            "holds what is to be read",
        ),
        (["overlap", "{other}", "{corpus}", "{field}", "--out", "{list}"], "is a file"),
        (["overlap", "{other}", "{corpus}", "{field}", "--out", "{home}"], "holds what is to be read"),
        (["split", "{run}", "{corpus}", "--out", "{run}", "--overwrite"], "holds what is to be read"),
        (["rescore", "{run}", "{corpus}", "--score", "toxicity", "--out", "{home}"], "is not empty and holds no run"),
        (
            ["rescore", "{run}", "{corpus}", "--score", "toxicity", "--out", "{home}", "--overwrite"],
            "holds what is to be read",
        ),
    ],
)
def test_refusals_name_the_mend(world, run, tmp_path, words, said):
    corpus, scored = world
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "list").write_bytes(b"[1, 2]")
    (tmp_path / "foreign").write_bytes(b'{"sources": ["a", "b"]}')
    names = {"corpus": corpus, "run": scored, "out": tmp_path / "out", "no": tmp_path / "nowhere"}
    names |= {"other": lines(tmp_path / "other.jsonl", ["short", "\u202e", "[bold]no[/bold]"])}
    names |= {name: tmp_path / name for name in ("binary", "list", "foreign")}
    names |= {"field": "--text-field=body of it", "home": corpus.parent}
    before = (scored / "run.json").read_bytes()
    code, out, err = run(*(word.format(**names) for word in words))
    assert code == 2
    assert said in err
    assert "->" in err
    assert "Traceback" not in out + err
    assert (scored / "run.json").read_bytes() == before


def tree(folder):
    """Every file but run.json, which carries the clock."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
    return {name: path.read_bytes() for name, path in found.items() if name != "run.json"}


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (["rescore", "{run}", "{corpus}", "--score", "toxicity"], "rescore.json"),
        (["split", "{run}", "{corpus}", "--seed", "3"], "mid20/part-00000.jsonl"),
        (["overlap", "{corpus}", "{corpus}", "--text-field", "body of it", "--seed", "3"], "pairs.jsonl"),
        (
            [
                "prompts",
                "{corpus}",
                "--text-field",
                "body of it",
                "--score",
                "toxicity",
                "--per-range",
                "5",
                "--seed",
                "3",
            ],
            "prompts.jsonl",
        ),
    ],
)
def test_every_verb_is_replayed_from_its_record(world, run, tmp_path, monkeypatch, words, holds):
    corpus, scored = world
    out, again = tmp_path / "a", tmp_path / "b"
    given = [word.format(run=scored, corpus=corpus) for word in words] + [f"--out={out}"]
    monkeypatch.setattr("sys.argv", ["antivenom", *given])
    code, first, err = run(*given)
    assert code == 0, err
    assert tree(out)[holds]
    record = orjson.loads((out / "run.json").read_bytes())
    assert (record["verb"], record["status"]) == (words[0], "complete")
    monkeypatch.setattr("sys.argv", ["antivenom", "replay"])
    code, second, err = run("replay", out, "--out", again)
    assert code == 0, err
    assert tree(again) == tree(out)
    assert second.replace(str(again), str(out)) == first
    code, _, err = run("compare", out, again)  # no figures of a study or a screen: said, not a traceback
    assert code == 2
    assert f"runs of '{words[0]}'" in err


def test_another_run_is_replaced_only_when_asked(world, run, tmp_path):
    corpus, scored = world
    out = tmp_path / "parts"
    assert run("split", scored, corpus, "--out", out)[0] == 0
    before = tree(out)
    code, _, err = run("split", scored, corpus, "--out", out, "--seed", 1)
    assert code == 2
    assert "holds another run (differs in: seed)" in err
    assert tree(out) == before
    assert run("split", scored, corpus, "--out", out, "--seed", 1, "--overwrite")[0] == 0
    after = tree(out)
    assert after["lte2/part-00000.jsonl"] == before["lte2/part-00000.jsonl"]  # only the middle is drawn
    assert after["mid20/part-00000.jsonl"] != before["mid20/part-00000.jsonl"]


def test_a_rescoring_with_another_threshold_scores_nothing_again(world, run, tmp_path, monkeypatch):
    corpus, scored = world
    words = ("rescore", scored, corpus, "--score", "toxicity", "--out", tmp_path / "new")
    assert run(*words)[0] == 0
    monkeypatch.setattr("antivenom.screen.toxicity.default.DefaultToxicity.score", None)  # scoring now would fail
    code, out, err = run(*words, "--threshold", 0.001)
    assert code == 0, err
    assert "score >= 0.001" in out
    record = orjson.loads((tmp_path / "new" / "run.json").read_bytes())
    assert record["rescored"]["threshold"] == 0.001


@pytest.mark.parametrize("texts", [[], [MILD.format(i) for i in range(99)]])
def test_a_split_needs_a_row_per_percentile(run, tmp_path, texts):
    corpus = lines(tmp_path / "few.jsonl", texts)
    screen_corpus(corpus, out=tmp_path / "run", scores=["lexicon"], text_field="body of it", runner="loop")
    code, _, err = run("split", tmp_path / "run", corpus, "--out", tmp_path / "parts")
    assert code == 2
    assert f"{len(texts)} rows have a score 'lexicon'" in err
    assert "100 rows or more" in err
    assert not list((tmp_path / "parts").glob("*/part-*"))


def test_long_paths_break_no_table(world, run, tmp_path):
    corpus, _ = world
    deep = tmp_path / ("a-folder-with-a-long-name-" * 3)
    deep.mkdir()
    long = lines(deep / "corpus.jsonl", [MILD.format(i) for i in range(5)])
    _, out, _ = run("overlap", long, corpus, "--text-field", "body of it", width=80)
    assert f"smaller: {long}\n" in out  # whole, to be copied
    assert ["5", "303", "5", "100.00%", "56.6%", "-", "100.0%"] in [line.split() for line in out.splitlines()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--score", "toxicty"), "did you mean 'toxicity'?"),
        (("--filter", "toxicity:max=0.5"), "add --score toxicity"),
        (("--score", "lexicon", "--filter", "lexikon:max=0.5"), "did you mean 'lexicon'?"),
        (("--score", "gopher", "--filter", "gopher.words:max=9"), "'gopher' has: gopher, gopher.real_words"),
    ],
)
def test_a_slip_is_answered_with_the_word_that_was_meant(world, run, tmp_path, words, said):
    corpus, _ = world
    code, _, err = run("screen", corpus, "--text-field", "body of it", "--out", tmp_path / "out", *words)
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("texts", "warning"),
    [
        ([], "warning: the corpus has no rows"),
        (["", ""], "warning: lexicon: no row has a score (2 cannot score: "),
        ([1, 2, 3], "warning: no row could be read"),
    ],
)
def test_a_run_that_saw_nothing_says_so(run, tmp_path, texts, warning):
    corpus = lines(tmp_path / "corpus.jsonl", texts)
    words = ("--score", "lexicon", "--filter", "lexicon:max=0.5", "--runner", "loop", "--out", tmp_path / "run")
    code, out, err = run("screen", corpus, "--text-field", "body of it", *words)
    assert code == 0, err
    assert warning in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert warning.removeprefix("warning: ") in page


def test_why_rows_were_set_aside_is_said_at_once(run, tmp_path):
    whole = lines(tmp_path / "whole.jsonl", [f"{MILD.format(i)} {i * 7919}" for i in range(2000)])
    corpus = tmp_path / "cut.jsonl.gz"
    corpus.write_bytes(gzip.compress(whole.read_bytes())[:-2000])  # a download that broke off
    words = ("--score", "lexicon", "--runner", "loop", "--out", tmp_path / "run", "--text-field", "body of it")
    code, out, err = run("screen", corpus, *words)
    assert code == 0, err
    assert "quarantined: 1 the file breaks off here" in out


def test_an_id_field_that_is_not_there_is_refused(world, run, tmp_path):
    corpus, _ = world
    words = ("--text-field", "body of it", "--id-field", "uid", "--score", "lexicon", "--out", tmp_path / "run")
    code, _, err = run("screen", corpus, *words)
    assert code == 2
    assert "has no field 'uid'" in err
    assert "body of it" in err


def test_years_keep_their_digits(run, tmp_path, monkeypatch):
    corpus = tmp_path / "dated.jsonl"
    rows = [{"text": MILD.format(i), "date": f"{2001 + i}-05-01"} for i in range(9)]
    corpus.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    code, out, err = run("screen", corpus, "--score", "age", "--runner", "loop", "--out", tmp_path / "run")
    assert code == 0, err
    assert "2005" in out
    assert "e+03" not in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "2005" in page
    assert "2,00" not in page


def test_the_lines_of_a_corpus_are_not_scored_for_its_texts(world, run):
    corpus, _ = world
    code, _, err = run("score", "lexicon", corpus)
    assert code == 2
    assert "is a corpus (.jsonl)" in err
    code, _, err = run("score", "lexicon", corpus.parent / "nowhere.txt")
    assert code == 2
    assert "No such file" in err


def test_runs_without_a_common_figure_are_not_an_empty_table(world, run, tmp_path):
    corpus, scored = world
    screen_corpus(corpus, out=tmp_path / "b", scores=["gopher"], text_field="body of it", runner="loop")
    code, out, _ = run("compare", scored, tmp_path / "b")
    assert code == 0
    assert "no figure to compare" in out
    assert "B - A" not in out


def test_a_corpus_is_the_same_from_whatever_folder_it_is_reached(world, run, tmp_path, monkeypatch):
    corpus, _ = world
    words = ("--score", "lexicon", "--text-field", "body of it", "--runner", "loop", "--out", tmp_path / "run")
    assert run("screen", corpus, *words)[0] == 0
    monkeypatch.chdir(corpus.parent)
    code, _, err = run("screen", corpus.name, *words)
    assert code == 0, err
    assert orjson.loads((tmp_path / "run" / "run.json").read_bytes())["corpus"]["root"] == corpus.name


def test_a_rescoring_names_the_option_that_chooses_the_score(world, run, tmp_path):
    corpus, _ = world
    words = ("--text-field", "body of it", "--runner", "loop", "--score", "lexicon", "gopher", "--limit", 20)
    assert run("screen", corpus, *words, "--out", tmp_path / "two")[0] == 0
    code, _, err = run("rescore", tmp_path / "two", corpus, "--score", "toxicity", "--out", tmp_path / "new")
    assert code == 2
    assert "--before: gopher, lexicon" in err
