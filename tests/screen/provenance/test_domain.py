"""Domains: suffixes, platforms, addresses of numbers, and a table that answers only for what it knows."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.data.rows import Batch, batch_of
from antivenom.errors import AntivenomError
from antivenom.screen.provenance.domain import Domain, registered_domain
from antivenom.screen.scoring.scorer import Scorer


def rows(*records):
    lines = [json.dumps({"text": "x"} | r).encode() for r in records]
    return Batch(batch_of(["x"] * len(records)).rows, pa.table({"line": pa.array(lines, pa.large_binary())}))


@pytest.mark.parametrize(
    ("address", "host", "domain"),
    [
        ("https://www.nytimes.com/a", "www.nytimes.com", "nytimes.com"),
        ("http://News.BBC.co.uk:443/?q", "news.bbc.co.uk", "bbc.co.uk"),
        ("//user:pw@a.b.example.com.au/x", "a.b.example.com.au", "example.com.au"),
        ("http://ann.wordpress.com/2004", "ann.wordpress.com", "ann.wordpress.com"),
        ("http://ann.blog.wordpress.com", "ann.blog.wordpress.com", "ann.blog.wordpress.com"),
        ("http://www.wordpress.com/x", "www.wordpress.com", "wordpress.com"),
        ("http://wordpress.com/x", "wordpress.com", "wordpress.com"),
        ("http://ann.blogspot.com", "ann.blogspot.com", "ann.blogspot.com"),
        ("http://ann.github.io/page", "ann.github.io", "ann.github.io"),
        ("http://notwordpress.com", "notwordpress.com", "notwordpress.com"),
        ("https://B\u00fccher.example.org", "xn--bcher-kva.example.org", "example.org"),
        ("http://192.168.0.1:80/x", "192.168.0.1", "192.168.0.1"),
        ("http://localhost/x", "", ""),
        ("no address at all", "", ""),
        ("", "", ""),
    ],
)
def test_registered_domains(address, host, domain):
    assert registered_domain(address) == (host, domain)


def test_nothing_is_fetched(monkeypatch):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    from antivenom.screen.provenance import domain

    monkeypatch.setattr(domain._extract, "__defaults__", ([],))  # a fresh extractor
    assert registered_domain("http://a.example.co.uk")[1] == "example.co.uk"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "domain,reliability,bias\nexample.org,high,left\nwww.bad.org,0.1,\nblog.example.org,low,\nann.wordpress.com,mixed,\n"
    )
    return str(path)


def test_the_most_exact_entry_answers(table):
    urls = [
        "http://example.org/a",
        "http://x.example.org/a",
        "http://blog.example.org/a",
        "http://y.blog.example.org/",
        "http://bad.org",
        "http://ann.wordpress.com/x",
        "http://bob.wordpress.com/x",
        "http://other.org",
        "",
        "nonsense",
    ]
    scores = Domain(table=table).score(rows(*({"url": url} for url in urls)))
    assert np.nan_to_num(scores.values, nan=-1) == pytest.approx([0.75, 0.75, 0.25, 0.25, 0.1, 0.5, -1, -1, -1, -1])
    assert scores.reasons[6:] == [
        "cannot score: bob.wordpress.com is not in the table",
        "cannot score: other.org is not in the table",
        "cannot score: no address",
        "cannot score: the address has no registered domain",
    ]
    assert scores.columns["entry"].to_pylist()[:3] == ["example.org", "example.org", "blog.example.org"]
    assert scores.columns["grade"].to_pylist()[:3] == ["high", "high", "low"]


def test_without_a_table_there_is_a_domain_and_no_score():
    scorer = Domain()
    scores = scorer.score(
        rows(
            {"url": "http://a.example.org", "source": "web", "meta": {"pile_set_name": "CC"}},
            {"meta": {"pile_set_name": "CC"}},
        )
    )
    assert np.isnan(scores.values).all()
    assert scores.columns["domain"].to_pylist() == ["example.org", None]
    assert scores.columns["source"].to_pylist() == ["web", "CC"]
    assert scores.reasons[0] == "cannot score: no table of domains"
    assert scorer.identity().higher_is == "neutral"
    assert isinstance(scorer, Scorer)
    assert scorer.explain("x") == []


def test_the_table_and_its_orientation_are_part_of_the_identity(table, tmp_path):
    one = Domain(table=table).identity()
    assert one.higher_is == "better"
    assert Domain(table=table, orientation="worse").identity().key != one.key
    other = tmp_path / "o.csv"
    other.write_text("domain,reliability\nexample.org,low\n")
    assert Domain(table=str(other)).identity().key != one.key
    with pytest.raises(AntivenomError, match="no orientation"):
        Domain(orientation="up")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("domain,reliability\na.org,good\n", "line 2: 'good' is no figure"),
        ("domain,reliability\na.org,nan\n", "is no figure"),
        ("domain,reliability\na.org,1\nwww.a.org,0\n", "line 3: a.org has two different figures"),
        ("site,reliability\na.org,1\n", "has the columns site, reliability"),
        (None, "cannot read"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, content, says):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(AntivenomError, match=says):
        Domain(table=str(path)).score(rows({"url": "http://a.org"}))


@given(st.text(max_size=200))
def test_hostile_addresses_never_break_it(text):
    host, domain = registered_domain(text)
    assert bool(host) == bool(domain)
    assert host.endswith(domain)
