"""A row's metadata is found whatever the format; a broken or missing value is None and spoils no other row."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antivenom.data.corpus import open_corpus
from antivenom.data.rows import Batch, batch_of
from antivenom.screen.provenance.metadata import field, fields, first_text

ROWS = [
    {"text": "one", "url": "http://a.org", "meta": {"date": "2001-02-03"}},
    {"text": "two", "url": None, "meta": {"date": "2002"}},
    {"text": "three", "url": "http://c.org", "meta": {"date": None}},
]


def write(folder, format):
    if format == "jsonl":
        lines = [json.dumps(row) for row in ROWS]
        (folder / "c.jsonl").write_text("\ufeff" + "\n".join(lines), "utf-8")
    elif format == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), folder / "c.parquet")
    elif format == "tar":
        with tarfile.open(folder / "c.tar", "w") as tar:
            for i, row in enumerate(ROWS):
                for ending, data in (("txt", row["text"]), ("json", json.dumps(row))):
                    info = tarfile.TarInfo(f"{i}.{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data.encode()))
    return next(open_corpus(folder).batches())


@pytest.mark.parametrize("format", ["jsonl", "parquet", "tar"])
def test_every_format_says_the_same(tmp_path, format):
    found = fields(write(tmp_path, format), ("url", "meta.date", "no", "meta.no", "text.no"))
    assert found["url"] == ["http://a.org", None, "http://c.org"]
    assert found["meta.date"] == ["2001-02-03", "2002", None]
    assert found["no"] == found["meta.no"] == found["text.no"] == [None] * 3


def test_csv_columns(tmp_path):
    (tmp_path / "c.csv").write_text("text,date.made\none,2001\ntwo,\n")
    batch = next(open_corpus(tmp_path / "c.csv").batches())
    assert field(batch, "date.made") == ["2001", ""]


def test_a_key_that_bears_dots_goes_before_a_path():
    line = json.dumps({"a.b": 1, "a": {"b": 2}}).encode()
    batch = Batch(batch_of(["x"]).rows, pa.table({"line": pa.array([line], pa.large_binary())}))
    assert field(batch, "a.b") == [1]


def test_a_date_out_of_range_is_missing_alone():
    days = pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32())
    batch = Batch(batch_of(["x", "y"]).rows, pa.table({"date": days}))
    assert [str(d) for d in field(batch, "date")] == ["1970-01-01", "None"]


def test_texts_in_memory_and_empty_batches_have_none():
    assert field(batch_of(["x"]), "url") == [None]
    assert field(batch_of([]), "url") == []
    assert first_text([[None, 3], ["  ", " b "]], 0) == ""
    assert first_text([[None, 3], ["  ", " b "]], 1) == "b"
