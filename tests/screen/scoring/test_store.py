"""The score store: scores come back as they went in, only beside the rows and the scorer they belong to."""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antivenom.data.corpus import open_corpus, read_block
from antivenom.data.rows import batch_of
from antivenom.errors import AntivenomError
from antivenom.screen.scoring.scorer import Identity, Scores
from antivenom.screen.scoring.store import (
    PartWriter,
    ScoreStore,
    one_measure,
    scorer_folder,
    write_identity,
    write_part,
)

CORPUS = {"content": "abc", "options": {"text_field": "text"}}


def identity(name="length", **changes):
    return Identity(**{"name": name, "version": "1", "weights": "", "higher_is": "neutral", **changes})


def lengths(batch, scale=1.0):
    texts = batch.texts.to_pylist()
    values = np.array([len(t) * scale if t else np.nan for t in texts], np.float32)
    reasons = ["" if t else "cannot score: empty" for t in texts]
    return Scores(values, reasons, {"upper": pa.array([sum(c.isupper() for c in t) for t in texts], pa.int32())})


def save(folder, label, batches, *, who=None, corpus=CORPUS, parts=None, scale=1.0):
    write_identity(folder, label, who or identity(), corpus, parts=len(batches) if parts is None else parts)
    for index, batch in enumerate(batches):
        write_part(folder, label, index, batch, lengths(batch, scale))


def test_scores_come_back_with_missing_ones_missing(tmp_path):
    batch = batch_of(["one", "", "Three"])
    save(tmp_path / "scores", "length", [batch])
    store = ScoreStore.open(tmp_path)
    table = store.table()
    assert table.column_names == ["id", "file", "position", "length", "length.reason", "length.upper"]
    assert table.column("length").to_pylist() == [3.0, None, 5.0]
    assert table.column("length.reason").to_pylist() == ["", "cannot score: empty", ""]
    assert table.column("length.upper").to_pylist() == [0, 0, 1]
    assert table.column("id").to_pylist() == batch.rows.column("id").to_pylist()
    assert store.identities() == {"length": identity()}
    assert store.identities()["length"].key == identity().key


@pytest.mark.parametrize("rows", [1, 3, 7, 10_000])
def test_labels_are_joined_whatever_their_parts_are(tmp_path, rows):
    batch = batch_of([f"row {i}" * (i % 5) for i in range(50)])
    pieces = [type(batch)(batch.rows.slice(i, 10), batch.source.slice(i, 10)) for i in range(0, 50, 10)]
    save(tmp_path, "a", pieces)
    save(tmp_path, "b", [batch], who=identity("other"), scale=2.0)
    store = ScoreStore.open(tmp_path)
    got = list(store.batches(["a", "b"], ["upper"], rows=rows))
    assert max(b.num_rows for b in got) <= rows
    table = pa.Table.from_batches(got)
    assert table.equals(store.table(["a", "b"], ["upper"]))
    assert table.column_names == ["id", "file", "position", "a", "a.upper", "b", "b.upper"]
    a, b = (table.column(c).to_numpy() for c in "ab")
    np.testing.assert_array_equal(b, 2 * a)
    assert table.column("position").to_pylist() == list(range(1, 51))


def test_a_corpus_is_scored_block_by_block(tmp_path):
    lines = [orjson.dumps({"text": f"text {i}" * 20}) for i in range(200)]
    (tmp_path / "c.jsonl").write_bytes(b"\n".join(lines))
    corpus = open_corpus(tmp_path / "c.jsonl", block_bytes=4000)
    assert len(corpus.blocks()) > 3
    write_identity(tmp_path / "scores", "length", identity(), corpus.describe(), parts=len(corpus.blocks()))
    for block in corpus.blocks():
        with PartWriter(tmp_path / "scores", "length", block.index, {"upper": pa.int32()}) as part:
            for batch in read_block(block):
                part.add(batch, lengths(batch))
    store = ScoreStore.open(tmp_path / "scores")
    store.check_corpus(open_corpus(tmp_path / "c.jsonl").describe())  # other blocks, same rows
    assert store.table(columns=[]).column("position").to_pylist() == list(range(1, 201))
    (tmp_path / "c.jsonl").write_bytes(b"\n".join(lines[:100]))
    with pytest.raises(AntivenomError, match=r"another corpus \(differs in: bytes, content\)"):
        store.check_corpus(open_corpus(tmp_path / "c.jsonl").describe())


def test_a_part_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), PartWriter(tmp_path, "length", 0, {"upper": pa.int32()}) as part:
        part.add(batch_of(["one"]), lengths(batch_of(["one"])))
        raise RuntimeError("killed")
    assert list(scorer_folder(tmp_path, "length").iterdir()) == []


def test_an_empty_block_has_the_columns(tmp_path):
    with PartWriter(tmp_path, "length", 0, {"upper": pa.int32()}) as part:
        pass
    assert pq.read_schema(part.path).names == ["id", "file", "position", "score", "reason", "upper"]
    write_identity(tmp_path, "length", identity(), CORPUS, parts=1)
    assert ScoreStore.open(tmp_path).table().num_rows == 0


def test_a_run_that_was_cut_off_is_not_read_as_whole(tmp_path):
    save(tmp_path, "length", [batch_of(["one"])], parts=3)
    with pytest.raises(AntivenomError, match="not complete: 1 of 3 parts"):
        ScoreStore.open(tmp_path).table()


def test_other_rows_are_refused(tmp_path):
    save(tmp_path, "a", [batch_of(["one", "two"])])
    save(tmp_path, "b", [batch_of(["one", "TWO"])], who=identity("other"))
    with pytest.raises(AntivenomError, match="do not hold the same rows: memory:2 / memory:2"):
        ScoreStore.open(tmp_path).table()
    save(tmp_path, "c", [batch_of(["one"])], who=identity("third"))
    with pytest.raises(AntivenomError, match="'c' has fewer rows than 'a'"):
        ScoreStore.open(tmp_path).table(["a", "c"])


def test_two_scorers_or_two_corpora_do_not_share_a_label(tmp_path):
    save(tmp_path, "a", [batch_of(["one"])])
    write_identity(tmp_path, "a", identity(), CORPUS, parts=1)  # a resumed run
    with pytest.raises(AntivenomError, match="version '1' / '2'"):
        write_identity(tmp_path, "a", identity(version="2"), CORPUS)
    with pytest.raises(AntivenomError, match="another corpus"):
        write_identity(tmp_path, "a", identity(), CORPUS | {"content": "def"})
    save(tmp_path, "b", [batch_of(["one"])], corpus=CORPUS | {"content": "def"})
    with pytest.raises(AntivenomError, match="scored different corpora"):
        ScoreStore.open(tmp_path)


def test_a_resumed_run_with_tuples_in_its_parameters_is_the_same_scorer(tmp_path):
    who = identity(params={"attributes": ("toxicity", "insult")})
    write_identity(tmp_path, "a", who, CORPUS)
    write_identity(tmp_path, "a", who, CORPUS)
    assert ScoreStore.open(tmp_path).identities()["a"].key == who.key


def test_scores_of_two_scorers_are_not_one_measure(tmp_path):
    for name, version in (("x", "1"), ("y", "1"), ("z", "2")):
        save(tmp_path / name, "length", [batch_of([name, name * 2])], who=identity(version=version))
    x, y, z = (ScoreStore.open(tmp_path / name) for name in "xyz")
    table = one_measure([(x, "length"), (y, "length")])
    assert table.column("source").to_pylist() == [0, 0, 1, 1]
    assert table.column("score").to_pylist() == [1, 2, 1, 2]
    with pytest.raises(AntivenomError, match=r"cannot be compared.*version '1' / '2'"):
        one_measure([(x, "length"), (z, "length")])
    assert one_measure([(x, "length"), (z, "length")], allow_mixed=True).num_rows == 4


def test_labels_of_any_form_have_their_own_folders(tmp_path):
    labels = ["toxicity-hf:model=/models/a", "toxicity-hf:model=_models_a", "../../etc", "a" * 300, ".", "x/../y"]
    folders = {scorer_folder(tmp_path, label) for label in labels}
    assert len(folders) == len(labels)
    for folder in folders:
        assert folder.resolve().parent == tmp_path.resolve()
    save(tmp_path, labels[0], [batch_of(["one"])])
    assert ScoreStore.open(tmp_path).labels == [labels[0]]


def test_a_scorer_that_breaks_the_contract_is_named(tmp_path):
    batch = batch_of(["one", "two"])
    short = Scores(np.ones(1, np.float32), [""])
    with pytest.raises(AntivenomError, match="1 values, 1 reasons for 2 rows"):
        write_part(tmp_path, "a", 0, batch, short)
    silent = Scores(np.array([1, np.nan], np.float32), ["", ""])
    with pytest.raises(AntivenomError, match="memory:2 has neither a score nor a reason"):
        write_part(tmp_path, "a", 0, batch, silent)
    own = Scores(np.ones(2, np.float32), ["", ""], {"score": pa.array([1, 2])})
    with pytest.raises(AntivenomError, match="column 'score'"):
        write_part(tmp_path, "a", 0, batch, own)
    with pytest.raises(AntivenomError, match="instead of"), PartWriter(tmp_path, "a", 0, {"n": pa.int32()}) as part:
        part.add(batch, Scores(np.ones(2, np.float32), ["", ""]))


def test_wrong_names_and_damaged_files(tmp_path):
    with pytest.raises(AntivenomError, match="there are no scores"):
        ScoreStore.open(tmp_path)
    save(tmp_path, "length", [batch_of(["one"])])
    store = ScoreStore.open(tmp_path)
    with pytest.raises(AntivenomError, match=r"no scores of 'toxicity'.*\n.*there are: length"):
        store.table(["toxicity"])
    with pytest.raises(AntivenomError, match="column 'lower'"):
        store.table(columns=["lower"])
    store.parts("length")[0].write_bytes(b"PAR1 not parquet")
    with pytest.raises(AntivenomError, match="cannot be read"):
        list(store.batches(columns=["reason"]))
    (tmp_path / "length" / "identity.json").write_bytes(b"[]")
    with pytest.raises(AntivenomError, match="no identity"):
        ScoreStore.open(tmp_path)
