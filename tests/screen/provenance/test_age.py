"""Dates: known addresses, days that do not exist, who is believed before whom - and a crawl is no writing date."""

import datetime as dt
import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.data.corpus import open_corpus
from antivenom.data.rows import Batch, batch_of
from antivenom.errors import AntivenomError
from antivenom.screen.provenance import dates
from antivenom.screen.provenance.age import Age, histogram
from antivenom.screen.scoring.scorer import Scorer, score_texts


def rows(*records):
    lines = [json.dumps({"text": "no date here"} | r).encode() for r in records]
    texts = [r.get("text", "no date here") for r in records]
    return Batch(batch_of(texts).rows, pa.table({"line": pa.array(lines, pa.large_binary())}))


def dated(record, **params):
    scores = Age(**params).score(rows(record))
    return {name: column[0].as_py() for name, column in scores.columns.items()} | {
        "value": scores.values[0],
        "reason": scores.reasons[0],
    }


@pytest.mark.parametrize(
    ("url", "date"),
    [
        ("https://www.nytimes.com/2004/03/12/world/a-title.html", "2004-03-12"),
        ("https://www.theguardian.com/world/2013/jun/06/nsa-phone-records", "2013-06-06"),
        ("http://blog.example.org/2009/11/some-post/", "2009-11"),
        ("http://example.org/archive/2001/", "2001"),
        ("http://example.org/news/20040312/a.html", "2004-03-12"),
        ("http://example.org/posts/2004-03-12-title", "2004-03-12"),
        ("http://example.org/list?day=2004-03-12", "2004-03-12"),
        ("https://www.bbc.co.uk/news/world-europe-20130612345", ""),  # an article's number
        ("http://example.org/item/20131399", ""),  # month 13
        ("http://example.org/item/20040231/x", ""),  # 31 February
        ("http://example.org/2004/13/title", "2004"),
        ("http://example.org/2004/02/31/title", "2004-02"),
        ("http://2004.example.org/about", ""),
        ("http://example.org/a1999b/", ""),
        ("", ""),
    ],
)
def test_addresses(url, date):
    assert dates.in_url(url) == (date, "")


def test_a_capture_is_the_crawls_date_not_the_pages():
    url = "https://web.archive.org/web/20150607120000/http://example.org/1999/05/story.html"
    assert dates.in_url(url) == ("1999-05", "2015-06-07")
    found = dated({"url": url})
    assert (found["date"], found["source"], found["crawl_date"]) == ("1999-05", "url", "2015-06-07")


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("2004-03-12", "2004-03-12"),
        ("2004-03-12T23:59:59+02:00", "2004-03-12"),
        ("Fri, 12 Mar 2004 10:00:00 +0000", "2004-03-12"),
        ("March 12th, 2004", "2004-03-12"),
        ("12. Mar. 2004", "2004-03-12"),
        ("12 Sept 2004", "2004-09-12"),
        ("2004-03", "2004-03"),
        ("March 2004", "2004-03"),
        ("2004", "2004"),
        (2004, "2004"),
        (20040312, "2004-03-12"),
        (1079049600, "2004-03-12"),
        (1079049600000, "2004-03-12"),
        ("1079049600", "2004-03-12"),
        (dt.datetime(2004, 3, 12, 5), "2004-03-12"),
        (dt.date(2004, 3, 12), "2004-03-12"),
        ("25/12/2004", "2004-12-25"),
        ("12/25/2004", "2004-12-25"),
        ("03/04/2005", "2005"),  # March or April
        ("04/04/2005", "2005-04-04"),
        ("2004-02-30", ""),
        ("2004-13-01", ""),
        ("30 February 2004", ""),
        ("30/02/2004", ""),
        ("unknown", ""),
        (True, ""),
        (None, ""),
        (float("nan"), ""),
        (float("inf"), ""),
        (3, ""),
        ([1], ""),
    ],
)
def test_declared_values(value, date):
    assert dates.parse_date(value) == date


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("a/2001/notes-2004-03-12.txt", "2004-03-12"),
        ("20040312_meeting.md", "2004-03-12"),
        ("report_2004.txt", "2004"),
        ("minutes-March-2004.txt", "2004-03"),
        ("part-00002004-of-0001.txt", ""),
        ("img_20049999.txt", ""),
        ("v1.2004.1.txt", ""),
    ],
)
def test_file_names(name, date):
    assert dates.in_file_name(name) == date


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A title\nPublished: March 3, 2004\nText", ("2004-03-03", True)),
        ("By Ann Other, 3 March 2004\nText", ("2004-03-03", True)),
        ("LONDON, March 3, 2004 (Agency) - It rained. " + "long " * 100, ("2004-03-03", True)),
        ("Title\n3 March 2004\nText", ("2004-03-03", False)),
        ("Title\nWednesday, 3rd of March 2004\nText", ("2004-03-03", False)),
        ("\u00a9 1999-2004 A Firm", ("2004", True)),
        ("By March 2004 the war was over, said the men.", ("", False)),
        ("By 3 March 2004 the war was over.", ("", False)),
        ("The treaty of 3 March 1918 ended the war.", ("", False)),
        ("We met on 2004-03-03 and talked for a long time about it.", ("", False)),
        ("Posted on 31 February 2004", ("", False)),
        ("", ("", False)),
    ],
)
def test_bylines(text, found):
    assert dates.in_text(text) == found


def test_a_pages_own_tags():
    for tag in (
        '<meta property="article:published_time" content="2004-03-12T01:00Z">',
        "<META content='12 March 2004' name='pubdate'>",
        '<time datetime="2004-03-12">last week</time>',
        '<script>{"datePublished": "2004-03-12"}</script>',
    ):
        assert dates.in_html("<html>" + tag) == "2004-03-12"
    assert dates.in_html('<meta property="article:modified_time" content="2004-03-12">') == ""
    assert dates.in_html("plain") == ""


def test_the_better_trace_wins_and_contradiction_is_said():
    record = {
        "created": "2001-01-01",
        "text": '<meta name="date" content="2003-01-01">\nPublished 1 May 2005\nx',
        "url": "http://a.org/2007/01/02/x",
        "file_name": "x-2009.txt",
        "crawl_date": "2020-05-06",
    }
    order = ["declared", "page", "byline", "url", "file", "crawl"]
    years = ["2001-01-01", "2003-01-01", "2005-05-01", "2007-01-02", "2009", "2020-05-06"]
    before = 1.0
    for source, date, drop in zip(order, years, ["created", "meta", "text", "url", "file_name", "crawl_date"]):
        found = dated(record)
        assert (found["source"], found["date"]) == (source, date)
        assert found["confidence"] < before
        before = found["confidence"]
        assert found["crawl_date"] == "2020-05-06"
        if source != "file":
            assert ("says" in found["reason"]) == (source != "crawl")
        if drop == "meta":
            record["text"] = "Published 1 May 2005\nx"
        else:
            record.pop(drop)
    assert dated(record)["reason"] == "cannot score: no trace of a date"
    assert np.isnan(dated(record)["value"])


def test_a_crawl_date_is_no_writing_date():
    page = {"url": "http://a.org/1999/04/05/x.html", "crawl_date": "2022-01-02"}
    assert dated(page)["value"] == pytest.approx(1999.26, abs=0.01)
    alone = dated({"crawl_date": "2022-01-02"})
    assert (alone["source"], alone["confidence"]) == ("crawl", pytest.approx(0.1))
    assert alone["reason"] == "written then or before"
    strict = dated({"crawl_date": "2022-01-02"}, crawl=False)
    assert np.isnan(strict["value"])
    assert strict["reason"] == "cannot score: only the crawl is dated (2022-01-02)"
    assert strict["crawl_date"] == "2022-01-02"


def test_fetch_dates_by_other_names():
    c4 = dated({"timestamp": "2019-04-25T12:57:54Z", "url": "http://a.org/x"})
    assert (c4["source"], c4["crawl_date"]) == ("crawl", "2019-04-25")
    fineweb = dated({"date": "2013-05-18T05:33:00Z", "dump": "CC-MAIN-2013-20"})
    assert (fineweb["source"], fineweb["crawl_date"]) == ("crawl", "2013-05-18")
    assert dated({"dump": "CC-MAIN-2013-20"})["crawl_date"] == "2013-05-13"
    assert dated({"dump": "CC-MAIN-2013-99"})["crawl_date"] is None
    assert dated({"date": "2013-05-18"})["source"] == "declared"


def test_impossible_dates_are_refused():
    after = dated({"url": "http://a.org/2021/05/06/x", "crawl_date": "2020-01-01"})
    assert (after["source"], after["reason"]) == ("crawl", "url says 2021-05-06: impossible; written then or before")
    assert dated({"created": "2031-01-01"}, latest="2026-11-25")["reason"].endswith(
        "declared says 2031-01-01: impossible"
    )
    assert dated({"created": "2026"}, latest="2026-11-25")["date"] == "2026"
    assert dated({"url": "http://a.org/1875/04/x"})["date"] is None
    assert dated({"created": "1875-04-01"})["date"] == "1875-04-01"
    assert dated({"created": "1875-04-01"}, earliest=1900)["date"] is None
    assert dated({"created": "2004-02-30", "file_name": "x-2003.txt"})["date"] == "2003"
    with pytest.raises(AntivenomError, match="no day"):
        Age(latest="tomorrow")


def test_it_reads_columns_too(tmp_path):
    table = pa.table({"text": ["a", "b"], "created": pa.array([dt.date(2004, 3, 12), None])})
    pq.write_table(table, tmp_path / "x.parquet")
    scores = Age().score(next(open_corpus(tmp_path).batches()))
    assert scores.columns["date"].to_pylist() == ["2004-03-12", None]


def test_the_day_of_the_year_and_the_histogram():
    assert dates.decimal_year("2004") == 2004.5
    assert dates.decimal_year("2004-01-01") == pytest.approx(2004 + 0.5 / 366)
    assert dates.decimal_year("2003-12-31") == pytest.approx(2003 + 364.5 / 365)
    scores = Age().score(rows({"created": "2004"}, {"url": "http://a.org/2004/01/x"}, {}, {"crawl_date": "2001-01-01"}))
    assert histogram(scores) == {2001: {"crawl": 1}, 2004: {"declared": 1, "url": 1}, None: {"none": 1}}


@given(st.dates(dt.date(1990, 1, 1), dt.date(2025, 12, 31)), st.sampled_from(["%Y/%m/%d", "%Y-%m-%d", "%Y%m%d"]))
def test_any_day_comes_back(day, pattern):
    assert dates.in_url(f"http://a.org/{day.strftime(pattern)}/x")[0] == day.isoformat()
    assert dates.parse_date(day.strftime("%d %B %Y")) == dates.parse_date(day.strftime("%B %d, %Y")) == day.isoformat()
    assert int(dates.decimal_year(day.isoformat())) == day.year


@given(st.text(max_size=300))
def test_hostile_text_never_breaks_it(text):
    scores = score_texts(Age(), [text])
    assert len(scores.reasons) == 1
    dates.in_url(text)
    dates.parse_date(text)
    dates.in_file_name(text)


def test_megabytes_of_date_like_text_are_quick():
    texts = ["<meta " * 200_000, "1 January " * 100_000, "<time" + " " * 1_000_000, "by " + "2004-" * 200_000]
    score_texts(Age(), ["warm"])
    start = time.process_time()
    score_texts(Age(), texts)
    assert time.process_time() - start < 5


def test_it_is_a_scorer_and_shows_its_line():
    assert isinstance(Age(), Scorer)
    text = "Title\nPublished 3 March 2004\nText"
    (best,) = Age().explain(text)
    assert (text[best.start : best.stop], best.what) == ("Published 3 March 2004", "2004-03-03")
    assert Age().explain("nothing") == []


def test_real_headers(shared):
    peps = pq.read_table(shared / "dated_peps" / "peps.parquet").slice(0, 200)
    batch = Batch(batch_of(peps.column("text").to_pylist()).rows, peps)
    found = Age().score(batch).columns
    assert found["date"].to_pylist() == peps.column("created").to_pylist()
    assert set(found["source"].to_pylist()) == {"declared"}
