"""`antivenom plan` as a person uses it: plan files, what is printed, and what is refused without a traceback."""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antivenom import terminal
from antivenom.cli import app
from antivenom.data.token_stream import TokenStream
from antivenom.errors import AntivenomError
from antivenom.poison.insertion import RunShape, plan
from antivenom.poison.insertion.config import read_config
from antivenom.poison.insertion.from_config import planned
from antivenom.poison.insertion.plan_file import load_plan
from antivenom.poison.lm_experiments.material import Item, Material
from antivenom.terminal import print_error

CONFIG = """
seed = 3
stream = "stream"
eos = 0
[run]
batch = 4
[experiments.bc]
tokens = "bc.jsonl"
condition_field = "copies"
repetitions = 1.5
[experiments.pp]
tokens = "pp.parquet"
range = { begin = 5, end = 10, unit = "steps" }
[experiments.gw]
watermark = { steps = [3, 9], sigma = 0.15, width = 8 }
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process -> exit code, output, error output."""

    def call(*words):
        for console in (terminal.console, terminal.error_console):
            monkeypatch.setattr(console, "_width", 160)
        try:
            code = app([str(word) for word in words], result_action="return_value")
        except AntivenomError as error:
            print_error(error)
            code = 2
        out = capsys.readouterr()
        return code, out.out, out.err.replace("\n", " ")

    return call


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(0)
    rows = [{"tokens": [60 + i, 61, 62], "copies": i % 2} for i in range(10)]
    (tmp_path / "bc.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    pq.write_table(pa.table({"input_ids": [[90, 91]] * 6}), tmp_path / "pp.parquet")
    documents = (draw.integers(1, 50, 40) for _ in range(40))
    TokenStream.build(tmp_path / "stream", documents, length=16, vocab_size=100, eos=0)
    (tmp_path / "plan.toml").write_text(CONFIG)
    return tmp_path


def test_a_dry_run_prints_the_table_and_writes_nothing(run, folder):
    before = sorted(folder.rglob("*"))
    code, out, _ = run("plan", "make", folder / "plan.toml", "--dry-run", "--conditions")
    assert code == 0
    table = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert table["bc"][1:4] == ["10", "15", "75"]
    assert table["pp"][1:4] == ["6", "6", "24"]
    assert table["gw"][1:4] == ["8", "8", "128"]
    assert table["0"][1] == table["1"][1] == "5"
    assert "25 steps x 4 rows x 16 tokens = 1,600 tokens; 227 of them (14.2 %)" in out
    assert sorted(folder.rglob("*")) == before


def test_make_show_owner_diff_export_and_sets(run, folder):
    assert run("plan", "make", folder / "plan.toml", "--out", folder / "a.parquet")[0] == 0
    found = load_plan(folder / "a.parquet")
    steps = found.start[found.of("pp")] // 64
    assert 5 <= steps.min() <= steps.max() < 10
    assert f"plan {found.hash[:16]}, seed 3" in run("plan", "show", folder / "a.parquet")[1]
    one = found.placement(int(found.of("bc")[0]))
    where = ["--step", one.step, "--row", one.row, "--column", one.column]
    assert f"bc, condition {one.condition}, item {one.item}" in run("plan", "owner", folder / "a.parquet", *where)[1]
    assert "noise" in run("plan", "owner", folder / "a.parquet", "--step", 3, "--row", 0, "--column", 5)[1]
    assert run("plan", "owner", folder / "a.parquet", "--step", 25, "--row", 0, "--column", 5)[0] == 2
    assert (
        run("plan", "make", folder / "plan.toml", "--out", folder / "b.json", "--set", "experiments.bc.repetitions=1")[
            0
        ]
        == 0
    )
    code, out, _ = run("plan", "diff", folder / "a.parquet", folder / "b.json")
    assert code == 1
    assert "removed: 5" in out
    assert run("plan", "diff", folder / "a.parquet", folder / "a.parquet")[:2] == (0, "no difference\n")
    code, out, _ = run(
        "plan", "export", folder / "a.parquet", "--stream", folder / "stream", "--out", folder / "e", "--seed", 4
    )
    assert code == 0
    ids = np.fromfile(folder / "e" / "train.npy", np.uint16).reshape(25, 4, 16)
    for step in range(25):
        found.check_batch(step, ids[step])
    code, out, _ = run(
        "plan", "sets", folder / "a.parquet", "bc", "--out", folder / "sets", "--stream", folder / "stream", "--rows", 7
    )
    assert code == 0
    assert "forget: 10 texts" in out
    assert "retain: 8 texts" in out


def test_includes_variables_and_overrides(folder, monkeypatch):
    (folder / "more.toml").write_text(
        'include = "plan.toml"\nseed = 9\n[run]\nsteps = "${STEPS:-20}"\n[experiments.bc]\ncondition = "${WHO}"\n'
    )
    with pytest.raises(AntivenomError, match="the variable WHO is not set"):
        read_config(folder / "more.toml")
    monkeypatch.setenv("WHO", "me")
    found = read_config(
        folder / "more.toml", ["run.batch=8", "experiments.pp.range=[0.0, 0.5]", "experiments.bc.field=tokens"]
    )
    assert (found["seed"], found["run"], found["eos"]) == (9, {"batch": 8, "steps": "20"}, 0)
    assert found["experiments"]["bc"]["tokens"] == "bc.jsonl"
    assert found["experiments"]["bc"]["condition"] == "me"
    assert found["experiments"]["pp"]["range"] == [0.0, 0.5]
    assert found["experiments"]["bc"]["field"] == "tokens"
    (folder / "loop.toml").write_text('include = "loop.toml"')
    with pytest.raises(AntivenomError, match="includes itself"):
        read_config(folder / "loop.toml")


def test_yaml_and_python_say_the_same_as_toml(folder):
    pytest.importorskip("yaml")
    import tomllib

    import yaml

    content = tomllib.loads(CONFIG)
    (folder / "plan.yaml").write_text(yaml.safe_dump(content))
    (folder / "plan.py").write_text(f"CONFIG = {content!r}")
    hashes = {planned(read_config(folder / f"plan.{kind}"), folder).plan.hash for kind in ("toml", "yaml", "py")}
    assert len(hashes) == 1
    (folder / "none.py").write_text("x = 1")
    with pytest.raises(AntivenomError, match="says no CONFIG"):
        read_config(folder / "none.py")


def made(n, seed, kind="ids"):
    draw = np.random.default_rng(seed)
    if kind == "material":
        return Material("x", tuple(Item(draw.integers(1, 50, 4), f"x{i}") for i in range(n)))
    return (draw.integers(1, 50, 4).tolist() for _ in range(10**6 if kind == "endless" else n))


def failing(seed):
    raise ValueError("not today")


def config(**experiments):
    return {"eos": 0, "run": {"batch": 4, "length": 16, "steps": 30}, "experiments": experiments}


def test_python_functions_and_generators_with_a_seed():
    here = f"{__name__}:made"
    one = planned(config(f={"python": here, "arguments": {"n": 12}, "seed": 5})).plan
    assert one.hash == planned(config(f={"python": here, "arguments": {"n": 12}, "seed": 5})).plan.hash
    assert one.hash != planned(config(f={"python": here, "arguments": {"n": 12}, "seed": 6})).plan.hash
    assert len(planned(config(f={"python": here, "count": 7, "arguments": {"n": 0, "kind": "endless"}})).plan) == 7
    material = planned(config(f={"python": here, "arguments": {"n": 3, "kind": "material"}})).plan
    assert material.experiments == ("f",)
    direct = Material("f", tuple(Item(np.array([1, 2, i + 1]), f"f{i}") for i in range(4)))
    assert planned(config(f=direct)).plan.hash == plan([direct], RunShape(4, 16, 30), seed=0, eos=0).hash


def test_a_function_of_a_module_beside_the_plan_file(run, tmp_path):
    (tmp_path / "beside_the_plan.py").write_text("def two(seed):\n    yield [1, 2, seed]\n    yield [3]\n")
    (tmp_path / "p.toml").write_text(
        "eos = 0\n[run]\nbatch = 2\nlength = 8\nsteps = 9\n[experiments.x]\npython = 'beside_the_plan:two'\n"
    )
    code, out, _ = run("plan", "make", tmp_path / "p.toml", "--dry-run")
    assert code == 0
    assert "7 of them (4.86 %) in 2 places" in out


def test_texts_with_a_tokenizer(tmp_path):
    pytest.importorskip("tokenizers")
    from antivenom.models.tokenizers_lm import train_bpe

    tokenizer = train_bpe(["a small text", "another one"], 260)
    tokenizer.save(tmp_path / "tok")
    (tmp_path / "t.jsonl").write_text('{"text": "abc", "id": 7}\n\n{"text": "a longer text", "id": 8}\n')
    (tmp_path / "t.txt").write_text("abc\na longer text\n")
    (tmp_path / "t.csv").write_text("text,id\nabc,7\na longer text,8\n")
    given = {"tokenizer": "tok", "run": {"batch": 4, "length": 32, "steps": 30}}
    found = planned(given | {"experiments": {"t": {"texts": "t.jsonl", "id_field": "id"}}}, tmp_path).plan
    table = planned(given | {"experiments": {"t": {"texts": "t.csv"}}}, tmp_path).plan
    assert sorted(table.tokens_of(i).tolist() for i in range(2)) == sorted(
        found.tokens_of(i).tolist() for i in range(2)
    )
    lines = planned(given | {"experiments": {"t": {"texts": "t.txt"}}}, tmp_path).plan
    assert sorted(found.ids) == ["7", "8"]
    want = sorted([[0, *tokenizer.encode(t).tolist(), 0] for t in ("abc", "a longer text")])
    assert sorted(found.tokens_of(i).tolist() for i in range(2)) == want
    assert sorted(lines.tokens_of(i).tolist() for i in range(2)) == want


def test_explicit_places_and_controls_from_files(folder):
    rows = [{"tokens": [70, 71], "step": 2, "row": 1, "column": 14}, {"tokens": [72], "step": 0, "row": 0, "column": 0}]
    (folder / "fixed.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    found = planned(config(f={"tokens": "fixed.jsonl", "placed": True}), folder).plan
    assert found.start.tolist() == [0, (2 * 4 + 1) * 16 + 14]
    with pytest.raises(AntivenomError, match="the control 'f-control-0' is in the inserted item"):
        planned(config(f={"tokens": "fixed.jsonl", "controls": "fixed.jsonl"}), folder)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("experiments.bc.tokens='none.jsonl'", "is no file"),
        ("experiments.bc.field='prompt'", r"bc.jsonl, line 1 has no 'prompt'; it has: tokens, copies"),  # trap 1
        ("experiments.bc.repetition=2", r"\[experiments.bc\] has 'repetition'"),
        ("experiments.bc.texts='bc.jsonl'", "names 2 sources"),
        ("run.size=3", r"\[run\] has 'size'"),
        ("experiments.bc.repetitions=1000", "do not fit"),
        ("experiments.x={python='nowhere:f'}", "is not there"),
        (f"experiments.x={{python='{__name__}:failing'}}", "fails: ValueError: not today"),
        ("experiments.gw.watermark={sigma=1.0}", "is not whole"),
        ("run.steps=26", "it gives 25 steps"),
        ("run.batch=200", "more steps|0 steps|it gives"),
        ("experiments.bc.range=[0.9]", "the range"),
        ("experiments.pp.tokens='empty.jsonl'", "has no row"),
        ("experiments.pp.tokens='big.jsonl'", "vocabulary 100"),
        ("experiments.pp.tokens='bad.jsonl'", "bad.jsonl, line 2"),
    ],
)
def test_bad_plan_files_are_refused_with_the_place(run, folder, change, what):
    (folder / "empty.jsonl").write_text("\n")
    (folder / "big.jsonl").write_text('{"tokens": [1, 100]}\n')
    (folder / "bad.jsonl").write_text('{"tokens": [1]}\n{"tokens": [1\n')
    with pytest.raises(AntivenomError, match=what):
        planned(read_config(folder / "plan.toml", [change]), folder)


def test_a_stream_from_files(run, folder):
    code, out, _ = run(
        "plan", "stream", folder / "bc.jsonl", "--out", folder / "s", "--length", 8, "--vocab-size", 70_000, "--eos", 0
    )
    assert code == 0
    assert "5 rows of 8 tokens (uint32), 10 documents" in out
    code, _, err = run("plan", "stream", folder / "bc.jsonl", "--out", folder / "s2", "--length", 8)
    assert code == 2
    assert "no vocabulary" in err
    assert run("plan", "make", folder / "plan.toml")[0] == 2
