"""Readers: what cannot be read is quarantined with its place, what can is written back unchanged, nothing is lost."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.data.corpus import open_corpus, read_block, replace_texts, write_rows
from antivenom.data.quarantine import duplicate_ids, quarantine_lines
from antivenom.data.rows import Quarantined, content_id
from antivenom.errors import AntivenomError


def read(path, **options):
    batches = list(open_corpus(path, **options).batches())
    rows = [row for batch in batches for row in batch.rows.to_pylist()]
    return rows, [q for batch in batches for q in batch.quarantined]


def lines(*records) -> bytes:
    return b"".join((r if isinstance(r, bytes) else orjson.dumps(r)) + b"\n" for r in records)


def reasons(quarantined):
    return [(q.position, q.reason) for q in quarantined]


def test_jsonl_quarantines_what_is_no_row(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(
        lines({"text": "good"}, b"[1, 2]", b"{bad", {"other": 1}, {"text": None}, {"text": 7}, {"text": ["x"]})
        + b'\n  \n{"text": "\xff"}\n{"text": "\\ud800"}\n{"text": "nul \\u0000 kept"}\r\n'
    )
    rows, quarantined = read(file)
    assert [(r["text"], r["position"]) for r in rows] == [("good", 1), ("nul \x00 kept", 12)]
    assert [q.position for q in quarantined] == [2, 3, 4, 5, 6, 7, 10, 11]
    said = dict(reasons(quarantined))
    assert "no object" in said[2]
    assert "bad JSON" in said[3]
    assert "missing" in said[4]
    assert "null" in said[5]
    assert "a number" in said[6]
    assert "a list" in said[7]
    assert "invalid UTF-8" in said[10]
    assert "bad JSON" in said[11]  # a lone surrogate is no text


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30).filter(lambda b: b"\n" not in b),
            st.text(max_size=20).map(lambda t: orjson.dumps({"text": t})),
        ),
        max_size=12,
    )
)
def test_jsonl_accounts_for_every_line(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("x") / "a.jsonl"
    file.write_bytes(b"\n".join(content))
    rows, quarantined = read(file, text_field=None if content and content[0].startswith(b'{"text"') else "text")
    assert len(rows) + len(quarantined) == sum(bool(line.strip()) for line in content)


@pytest.mark.parametrize("block_bytes", [64, 300, 1 << 20])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_rows_do_not_depend_on_blocks_and_come_back_byte_for_byte(tmp_path, block_bytes, ending):
    file = tmp_path / "a.jsonl"
    content = ending.join(orjson.dumps({"n": i, "text": "x" * (i % 50) + "é"}) for i in range(100)) + ending
    file.write_bytes(content)
    corpus = open_corpus(file, block_bytes=block_bytes)
    assert [b.index for b in corpus.blocks()] == list(range(len(corpus.blocks())))
    batches = [(block, list(read_block(block))) for block in corpus.blocks()]
    positions = [p for _, found in batches for batch in found for p in batch.rows.column("position").to_pylist()]
    assert positions == list(range(1, 101))
    back = b""
    for block, found in batches:
        write_rows(block, iter([b.source for b in found]), str(tmp_path / "back"))
        back += (tmp_path / "back").read_bytes()
    assert back == content


def test_ids_are_hashes_of_the_text_or_a_named_column(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(lines({"text": "one", "k": "a"}, {"text": "two", "k": "a"}, {"text": "three"}))
    rows, _ = read(file)
    assert [r["id"] for r in rows] == [content_id(t) for t in ("one", "two", "three")]
    rows, quarantined = read(file, id_field="k")
    assert [r["id"] for r in rows] == ["a", "a"]
    assert len(quarantined) == 1
    assert duplicate_ids(["a", "b", "a", "a"]) == 2


def test_a_huge_line_is_passed_over_in_bounded_memory(tmp_path):
    file = tmp_path / "a.jsonl"
    with file.open("wb") as out:
        out.write(lines({"text": "before"}))
        out.write(b'{"text": "')
        for _ in range(200):
            out.write(b"x" * 2**20)
        out.write(b'"}\n' + lines({"text": "after"}))
    tracemalloc.start()
    rows, quarantined = read(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(r["text"], r["position"]) for r in rows] == [("before", 1), ("after", 3)]
    assert quarantined[0].position == 2
    assert "over the limit" in quarantined[0].reason
    assert peak < 100 * 2**20


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_compressed_whole_and_cut_off(tmp_path, kind):
    draw = os.urandom
    content = lines(*({"text": f"row {i} {draw(200).hex()}"} for i in range(2_000)))
    packed = gzip.compress(content) if kind == "gz" else zstandard.compress(content)
    whole, cut = tmp_path / f"w.jsonl.{kind}", tmp_path / f"c.jsonl.{kind}"
    whole.write_bytes(packed)
    cut.write_bytes(packed[: len(packed) // 2])
    assert len(read(whole)[0]) == 2_000
    rows, quarantined = read(cut)
    assert 0 < len(rows) < 2_000
    assert len(quarantined) == 1
    assert "breaks off" in quarantined[0].reason
    assert quarantined[0].position == len(rows) + 1
    (tmp_path / f"n.jsonl.{kind}").write_bytes(b"this is not compressed")
    rows, quarantined = read(tmp_path / f"n.jsonl.{kind}")
    assert not rows
    assert len(quarantined) == 1


def test_two_zstd_frames_in_one_file(tmp_path):
    file = tmp_path / "a.jsonl.zst"
    file.write_bytes(zstandard.compress(lines({"text": "one"})) + zstandard.compress(lines({"text": "two"})))
    assert [r["text"] for r in read(file)[0]] == ["one", "two"]


def test_bom_and_empty_files(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + lines({"text": "one"}))
    (tmp_path / "b.jsonl").write_bytes(b"")
    (tmp_path / "c.jsonl").write_bytes(b"\n\n")
    rows, quarantined = read(tmp_path)
    assert [r["text"] for r in rows] == ["one"]
    assert not quarantined


def test_parquet_rows_columns_and_nulls(tmp_path):
    table = pa.table({"text": ["a", None, "c" * 50, "d"], "n": [1, 2, 3, 4]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    corpus = open_corpus(tmp_path / "a.parquet", block_bytes=1, max_row_bytes=40)
    assert len(corpus.blocks()) == 2
    rows, quarantined = read(tmp_path / "a.parquet", block_bytes=1, max_row_bytes=40)
    assert [(r["text"], r["position"]) for r in rows] == [("a", 1), ("d", 4)]
    assert [q.position for q in quarantined] == [2, 3]
    block = corpus.blocks()[0]
    batches = list(read_block(block))
    write_rows(block, iter([b.source for b in batches]), str(tmp_path / "back.parquet"))
    assert pq.read_table(tmp_path / "back.parquet").to_pylist() == [{"text": "a", "n": 1}]


def test_parquet_of_a_wrong_type_and_a_broken_one(tmp_path):
    pq.write_table(pa.table({"text": ["fine"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 not really")
    rows, quarantined = read(tmp_path)
    assert [r["text"] for r in rows] == ["fine"]
    assert [(q.file, "not text" in q.reason or "no readable" in q.reason) for q in quarantined] == [
        ("b.parquet", True),
        ("c.parquet", True),
    ]


def test_csv_quotes_columns_and_bytes(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b'id,text\r\n1,"two\r\nlines, quoted"\r\n2,plain\r\n3\r\n4,a,b\r\n5,\xff\xfe\r\n\r\n6,last')
    rows, quarantined = read(file, id_field="id")
    assert [(r["id"], r["text"]) for r in rows] == [("1", "two\r\nlines, quoted"), ("2", "plain"), ("6", "last")]
    assert [(q.position, q.reason) for q in quarantined] == [
        (3, "1 fields where the header has 2"),
        (4, "3 fields where the header has 2"),
        (5, "invalid UTF-8"),
    ]
    corpus = open_corpus(file)
    (block,) = corpus.blocks()
    write_rows(block, iter([b.source for b in read_block(block)]), str(tmp_path / "back.csv"))
    assert [r["text"] for r in read(tmp_path / "back.csv")[0]] == [r["text"] for r in rows]


def test_tsv(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tn\nhello there\t1\n")
    assert [r["text"] for r in read(tmp_path / "a.tsv")[0]] == ["hello there"]


def test_text_files_and_lines(tmp_path):
    (tmp_path / "a.md").write_text("# one\r\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.py").write_bytes(b"print('\xff')")
    (tmp_path / "sub" / "c.txt").write_bytes(b"")
    (tmp_path / "z.txt").symlink_to("/dev/zero")
    rows, quarantined = read(tmp_path)
    assert [(r["file"], r["text"]) for r in rows] == [("a.md", "# one\r\n")]
    assert [(q.file, q.reason) for q in quarantined] == [("sub/b.py", "invalid UTF-8 at byte 7")]
    (tmp_path / "l.txt").write_text("one\n\ntwo\n")
    rows, _ = read(tmp_path / "l.txt", per_line=True)
    assert [(r["text"], r["position"]) for r in rows] == [("one", 1), ("two", 3)]


def test_compressed_text_files(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("one\ntwö\n".encode()))
    (tmp_path / "b.txt.zst").write_bytes(zstandard.compress(b"three"))
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(os.urandom(9_000))[:-2_000])
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"x" * 50_000_000))  # a bomb: 50 kB on disk
    tracemalloc.start()
    rows, quarantined = read(tmp_path, max_row_bytes=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(r["file"], r["text"]) for r in rows] == [("a.txt.gz", "one\ntwö\n"), ("b.txt.zst", "three")]
    assert [q.file for q in quarantined] == ["c.txt.gz", "d.txt.gz"]
    assert "breaks off" in quarantined[0].reason
    assert "over the limit" in quarantined[1].reason
    assert peak < 30_000_000
    rows, _ = read(tmp_path / "a.txt.gz", per_line=True)
    assert [(r["text"], r["position"]) for r in rows] == [("one", 1), ("twö", 2)]


def make_tar(path, members):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_webdataset_is_never_extracted(tmp_path, name):
    members = [
        ("000.jpg", b"\xff\xd8\xff"),
        ("000.txt", "caption é".encode()),
        ("../../evil.txt", b"out of here"),
        ("/abs.txt", b"absolute"),
        ("link.txt", None),
        ("001.json", b'{"text": "from json"}'),
        ("002.jpg", b"no text"),
        ("003.txt", b"\xff"),
    ]
    make_tar(tmp_path / name, members)
    rows, quarantined = read(tmp_path / name)
    assert [r["text"] for r in rows] == ["caption é", "from json"]
    assert len(quarantined) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]
    (block,) = open_corpus(tmp_path / name).blocks()
    write_rows(block, iter([b.source for b in read_block(block)]), str(tmp_path / "back.tar"))
    with tarfile.open(tmp_path / "back.tar") as tar:
        back = [(m.name, tar.extractfile(m).read()) for m in tar]
    assert back == [m for m in members if m[0] in ("000.jpg", "000.txt", "001.json")]


def test_a_cut_off_tar(tmp_path):
    make_tar(tmp_path / "a.tar", [(f"{i:03}.txt", b"x" * 3_000) for i in range(10)])
    content = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(content[: len(content) // 2])
    rows, quarantined = read(tmp_path / "a.tar")
    assert 0 < len(rows) < 10
    assert len(quarantined) == 1


def test_image_folder(tmp_path):
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (8).to_bytes(4, "big") * 2
    bomb = png[:16] + (60_000).to_bytes(4, "big") * 2
    for name, data in {"a.png": png, "b.png": png, "c.png": b"not an image", "d.png": bomb, "e.png": png}.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "metadata.jsonl").write_bytes(lines({"file_name": "a.png", "text": "a cat"}))
    (tmp_path / "b.txt").write_text("a dog")
    rows, quarantined = read(tmp_path)
    assert [(r["file"], r["text"]) for r in rows] == [("a.png", "a cat"), ("b.png", "a dog")]
    assert [q.file for q in quarantined] == ["c.png", "d.png", "e.png"]


def test_errors_name_the_input_and_the_mend(tmp_path):
    with pytest.raises(AntivenomError, match="no corpus at"):
        open_corpus(tmp_path / "nowhere.jsonl")
    (tmp_path / "a.jsonl").write_bytes(lines({"body_x": "no usual name"}))
    with pytest.raises(AntivenomError, match="body_x"):
        open_corpus(tmp_path / "a.jsonl")
    with pytest.raises(AntivenomError, match="no field 'zzz'"):
        open_corpus(tmp_path / "a.jsonl", text_field="zzz")
    (tmp_path / "a.weird").write_text("x")
    with pytest.raises(AntivenomError, match="--format"):
        open_corpus(tmp_path / "a.weird")
    with pytest.raises(AntivenomError, match="no format"):
        open_corpus(tmp_path / "a.jsonl", format="xml")


def test_limit_takes_the_first_rows(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(lines(*({"text": f"row {i}"} for i in range(500))))
    assert [r["position"] for r in read(file, limit=123, block_bytes=500)[0]] == list(range(1, 124))


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv", "a.txt"])
def test_texts_can_be_replaced(tmp_path, name):
    file = tmp_path / name
    {
        "a.jsonl": lambda: file.write_bytes(lines({"text": "one", "n": 1}, {"text": "two", "n": 2})),
        "a.parquet": lambda: pq.write_table(pa.table({"text": ["one", "two"], "n": [1, 2]}), file),
        "a.csv": lambda: file.write_text("text,n\none,1\ntwo,2\n"),
        "a.txt": lambda: file.write_text("one\ntwo\n"),
    }[name]()
    corpus = open_corpus(file, per_line=name == "a.txt")
    (block,) = corpus.blocks()
    tables = [replace_texts(block, b.source, {1: "changed"}) for b in read_block(block)]
    write_rows(block, iter(tables), str(tmp_path / f"back{corpus.suffix}"))
    assert [r["text"] for r in read(tmp_path / f"back{corpus.suffix}")[0]] == ["one", "changed"]


def test_quarantine_lines_can_always_be_written():
    row = Quarantined("f\udcff", 3, "why", "x" * 500 + "\udcff")
    (line,) = quarantine_lines([row])
    assert orjson.loads(line)["position"] == 3
    assert len(orjson.loads(line)["excerpt"]) == 200


def test_import_is_light():
    code = "import sys, antivenom; assert not {'torch', 'daft', 'numba', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert Path(__file__).exists()
