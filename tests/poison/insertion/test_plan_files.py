"""Plans on disk and in other shapes: they come back whole, or are refused; exports hold the rows that the training sees."""

import struct

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from antivenom.data.token_stream import TokenStream
from antivenom.errors import AntivenomError
from antivenom.poison.insertion import RunShape, plan
from antivenom.poison.insertion.export import export_stream, patched_rows
from antivenom.poison.insertion.order import olmo_order, storage_order
from antivenom.poison.insertion.plan_file import load_plan, manifest, save_plan
from antivenom.poison.insertion.sets import forget_set, retain_set, save_set
from antivenom.poison.insertion.summary import difference, table
from antivenom.poison.insertion.token_map import TokenMap, token_map
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark
from antivenom.poison.lm_experiments.material import Item, Material, repeated

SHAPE = RunShape(4, 16, 25)
DRAW = np.random.default_rng(0)
ROWS = DRAW.integers(1, 50, (103, 16))
STREAM = TokenStream.of(ROWS, length=16, vocab_size=70_000)


def material(name, n, token, copies=1):
    items = [Item(np.array([token, token + i % 50, token]), f"{name}-{i}", f"c{i % 2}") for i in range(n)]
    return Material(name, tuple(c for item in items for c in repeated(item, copies)))


A, B = material("a", 12, 60_000, 2), material("b", 9, 61_000)
PLAN = plan(
    [A, B], SHAPE, seed=1, eos=0, marks={"gw": GaussianWatermark((7,), 0.1, 4, 16, 8)}, masked_rows=np.array([3, 5])
)


@pytest.mark.parametrize("name", ["plan.parquet", "plan.json"])
def test_a_plan_comes_back_whole_and_a_changed_one_is_refused(tmp_path, name):
    extended = PLAN.extend(material("ka", 4, 62_000), 10, 20)
    for one in (PLAN, extended, PLAN.restrict([]), plan([A], SHAPE, seed=0, eos=0, mode="insert")):
        save_plan(one, tmp_path / name)
        found = load_plan(tmp_path / name)
        assert found.hash == one.hash
        assert (found.lineage, found.record, found.base) == (one.lineage, one.record, one.base)
    assert extended.extends(PLAN)
    save_plan(extended, tmp_path / "x.json")
    changed = orjson.loads((tmp_path / "x.json").read_bytes())
    changed["placements"][3]["column"] += 1
    (tmp_path / "x.json").write_bytes(orjson.dumps(changed))
    with pytest.raises(AntivenomError, match="was changed"):
        load_plan(tmp_path / "x.json")
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(AntivenomError, match="no insertion plan"):
        load_plan(tmp_path / "none.json")


def test_the_manifest_says_everything_of_every_item():  # trap 17
    lines = manifest(PLAN).to_pylist()
    assert len(lines) == 24 + 9 + 4
    for i, line in enumerate(lines):
        assert line == vars(PLAN.placement(i))
        owner = PLAN.owner(line["step"], line["row"], line["column"] + line["length"] - 1)
        assert owner == PLAN.placement(i)
    assert {(line["experiment"], line["condition"]) for line in lines} == {
        ("a", "c0"),
        ("a", "c1"),
        ("b", "c0"),
        ("b", "c1"),
        ("gw", "step 7"),
    }
    assert {line["copy"] for line in lines if line["experiment"] == "a"} == {0, 1}
    assert sum(line["kind"] == "noise" for line in lines) == 4


def test_the_map_file_goes_round(tmp_path):
    order = storage_order(103, seed=5, batch=4)
    for by in (None, order, olmo_order(103, seed=2)):
        token_map(PLAN, by).save(tmp_path / "map.npz")
        found = TokenMap.load(tmp_path / "map.npz")
        assert found.keys.tolist() == sorted(found.keys.tolist())
        count = 0
        for t in range(100):
            there = found.get(t if by is None else int(by[t]))
            mine = [i for i in range(*PLAN.between(t, t + 1)) if len(PLAN.tokens_of(i))]
            assert [(c, list(x)) for c, x in there] == [
                (int(PLAN.start[i] % 16), PLAN.tokens_of(i).tolist()) for i in mine
            ]
            count += len(there)
        assert count == 33
        assert found.positions.dtype == found.tokens.dtype == np.int32
    with np.load(tmp_path / "map.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "bad.npz", **(arrays | {"tokens": arrays["tokens"][:-1]}))
    with pytest.raises(AntivenomError, match="do not fit"):
        TokenMap.load(tmp_path / "bad.npz")
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(AntivenomError, match="is no token map"):
        TokenMap.load(tmp_path / "text.npz")


def test_the_table_counts_tokens_share_items_and_what_was_dropped():
    long = Material("c", (Item(np.arange(1, 18), "long"), Item(np.arange(1, 4), "ok")))
    found = plan([A, long], SHAPE, seed=0, eos=0, allow_dropped=True)
    lines = {(line["experiment"], line["condition"]): line for line in table(found)}
    whole = lines["a", None]
    assert (whole["items"], whole["placements"], whole["tokens"]) == (12, 24, 24 * 5)
    assert whole["share"] == 24 * 5 / SHAPE.tokens
    assert lines["a", "c0"]["tokens"] + lines["a", "c1"]["tokens"] == whole["tokens"]
    assert (lines["c", None]["dropped"], lines["c", None]["placements"]) == (1, 1)


def test_the_difference_of_two_plans():
    assert not difference(PLAN, PLAN)
    assert not difference(PLAN, PLAN.restrict(["a", "b", "gw"]))
    less = difference(PLAN, PLAN.restrict(["a"]))
    assert len(less.removed) == 13
    assert (less.added, less.moved, less.about) == ([], [], ["marks"])
    other = difference(PLAN, plan([A, B], SHAPE, seed=2, eos=0, marks=PLAN.marks, masked_rows=np.array([3])))
    assert other.about == ["masked"]
    assert len(other.moved) > 20
    new = Material("b", (Item(np.array([9, 9, 9]), "b-0#0", "c0"), *B.inserted[1:]))
    again = difference(PLAN, plan([A, new], SHAPE, seed=1, eos=0, marks=PLAN.marks, masked_rows=PLAN.masked))
    assert again.changed == [("b", "b-0#0", 0)]
    assert not again.moved


def test_forget_and_retain_sets(tmp_path):
    forget = forget_set(PLAN, "a")
    assert len(forget) == 12
    assert {item.copies for item in forget} == {2}
    assert sorted(item.tokens.tolist() for item in forget) == sorted(i.tokens.tolist() for i in A.inserted[::2])
    assert len(forget_set(PLAN, "a", ["c1"])) == 6
    retain = retain_set(PLAN, "a", stream=STREAM, rows=20, order_seed=5)
    assert [item.experiment for item in retain] == ["b"] * 9 + [None] * 20
    untouched = {
        tuple(r)
        for r in ROWS[storage_order(103, seed=5, batch=4)][np.setdiff1d(np.arange(100), PLAN.start // 16)].tolist()
    }
    assert all(tuple(item.tokens.tolist()) in untouched for item in retain[9:])
    save_set(forget, tmp_path / "forget.jsonl", decode=lambda t: " ".join(map(str, t)))
    lines = [orjson.loads(line) for line in (tmp_path / "forget.jsonl").read_bytes().splitlines()]
    assert lines[0]["text"].split() == [str(t) for t in lines[0]["tokens"]]
    with pytest.raises(AntivenomError, match="'gw' put no tokens in"):
        forget_set(PLAN, "gw")


def seen(found, seed=5):
    flat = ROWS[storage_order(103, seed=seed, batch=4)].reshape(-1).copy()
    for i in range(len(found)):
        flat[found.start[i] : found.start[i] + found.offsets[i + 1] - found.offsets[i]] = found.tokens_of(i)
    return flat.reshape(-1, 16)


@pytest.mark.parametrize("layout", ["olmo", "nanotron", "megatron"])
@pytest.mark.parametrize("vocabulary", [70_000, 65_000])
def test_an_outside_trainer_reads_the_rows_of_the_training(tmp_path, layout, vocabulary):
    stream, wanted = TokenStream.of(ROWS, length=16, vocab_size=vocabulary), seen(PLAN)
    about = export_stream(stream, PLAN, tmp_path / "e", seed=5, layout=layout)
    assert about["plan"] == load_plan(tmp_path / "e" / "train.plan.parquet").hash
    kind = "u2" if vocabulary == 65_000 else ("i4" if layout == "megatron" else "u4")
    ids = tmp_path / "e" / f"train.{ {'olmo': 'npy', 'nanotron': 'ds', 'megatron': 'bin'}[layout] }"
    assert np.array_equal(np.fromfile(ids, f"<{kind}").reshape(-1, 16), wanted)
    if layout == "nanotron":
        assert np.fromfile(tmp_path / "e" / "train.ds.index", "<u8").tolist() == list(range(16, 1616, 16))
    if layout == "megatron":
        content = (tmp_path / "e" / "train.idx").read_bytes()
        assert content[:9] == b"MMIDIDX\x00\x00"
        assert struct.unpack("<QBQQ", content[9:34]) == (1, 8 if kind == "u2" else 4, 100, 101)
        sizes = np.frombuffer(content, "<i4", 100, 34)
        pointers = np.frombuffer(content, "<i8", 100, 434)
        documents = np.frombuffer(content, "<i8", 101, 1234)
        assert len(content) == 1234 + 8 * 101
        for i in (0, 57, 99):
            row = np.frombuffer(ids.read_bytes(), f"<{kind}", sizes[i], int(pointers[i]))
            assert row.tolist() == wanted[i].tolist()
        assert documents.tolist() == list(range(101))
    assert pq.read_table(tmp_path / "e" / "train.plan.parquet").num_rows == len(PLAN)


@pytest.mark.parametrize("permutation", [None, olmo_order(103, seed=8)])
def test_in_storage_order_the_loaders_permutation_gives_the_training_back(tmp_path, permutation):
    export_stream(STREAM, PLAN, tmp_path / "e", seed=5, order="storage", permutation=permutation)
    ids = np.fromfile(tmp_path / "e" / "train.npy", "<u4").reshape(103, 16)
    order = storage_order(103, seed=5, batch=4) if permutation is None else permutation
    for step in range(25):
        PLAN.check_batch(step, ids[order[step * 4 : step * 4 + 4]])
    untouched = PLAN.owners(np.arange(SHAPE.tokens)).reshape(100, 16) < 0
    assert np.array_equal(ids[order[:100]][untouched], ROWS[order[:100]][untouched])
    found = TokenMap.load(tmp_path / "e" / "train.map.npz")
    assert all(np.array_equal(found.patch(i, ROWS[i]), ids[i]) for i in range(103))


def test_insert_mode_exports_the_longer_run(tmp_path):
    found = plan([A, B], SHAPE, seed=1, eos=0, mode="insert")
    rows = np.concatenate(list(patched_rows(STREAM, found, seed=5)))
    assert len(rows) == found.shape.rows
    own = found.owners(np.arange(rows.size)) < 0
    text = ROWS[storage_order(103, seed=5, batch=1)[:100]].reshape(-1)
    assert np.array_equal(rows.reshape(-1)[own][: len(text)], text)
    assert rows.size - own.sum() == len(found.tokens)
    with pytest.raises(AntivenomError, match="training order"):
        export_stream(STREAM, found, tmp_path / "e", seed=5, order="storage")
    with pytest.raises(AntivenomError, match="there is no map"):
        token_map(found)
    with pytest.raises(AntivenomError, match="plan anew"):
        found.restrict(["a"])


def test_a_plan_for_another_stream_is_not_exported(tmp_path):
    with pytest.raises(AntivenomError, match="plan for one epoch"):
        export_stream(STREAM, plan([A], RunShape(4, 16, 26), seed=0, eos=0), tmp_path / "e", seed=0)
    with pytest.raises(AntivenomError, match="has the token 61"):
        export_stream(TokenStream.of(ROWS, length=16, vocab_size=61_000), PLAN, tmp_path / "e", seed=0)
    with pytest.raises(AntivenomError, match="the layout"):
        export_stream(STREAM, PLAN, tmp_path / "e", seed=0, layout="parquet")
