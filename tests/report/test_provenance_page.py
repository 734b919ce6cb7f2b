"""Ages and domains on the screen page: figures equal brute force, what is missing is said, hostile names are text."""

import re
from collections import Counter
from math import sqrt

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antivenom.errors import AntivenomError
from antivenom.report import charts, provenance_page, write_screen_report
from antivenom.report.provenance_page import age_cards, cutoff_words, domain_headers, domain_rows, read_domains
from antivenom.screen import screen_corpus

HOSTILE = "<img src=x onerror='window.pwned = 1'></script>\u202e"
SCORES = ["age:latest=2020-12-31", "domain", "profile"]
AGE, DOMAIN, PROFILE = SCORES


def text_of(html: str) -> str:
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A corpus of dated and undated rows of 30 domains, one of them hostile; rows under 8 words are dropped."""
    draw = np.random.default_rng(0)
    rows = []
    for i in range(600):
        row = {"text": "one two three four five six seven " + "word " * int(draw.integers(0, 4))}
        row["url"] = f"https://www.site{int(draw.integers(0, 30)) ** 2 // 30}.org/{2004 + i % 10}/03/12/x.html"
        if i % 5 == 0:
            row |= {"created": f"{2004 + i % 10}-06-01"}
        if i % 7 == 0:
            row["url"] = "not an address"
            row["source"] = HOSTILE
        if i % 11 == 0:
            row = {"text": row["text"], "crawl_date": "2020-01-01"}
        rows.append(row)
    folder = tmp_path_factory.mktemp("ages")
    corpus = folder / "corpus.jsonl"
    corpus.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    out = folder / "run"
    screen_corpus(
        corpus,
        out=out,
        scores=SCORES,
        filters=["profile:min=8,higher=any"],
        runner="loop",
        block_bytes=9_000,
    )
    return out


@pytest.fixture(scope="module")
def record(run):
    return orjson.loads((run / "run.json").read_bytes())


def test_the_record_counts_the_dates_of_all_blocks(run, record):
    (age,) = [s for s in record["scores"] if s["label"] == AGE]
    table = pq.read_table(run / "annotations.parquet").to_pylist()
    found = Counter((r[f"{AGE}.source"] or "none", (r[f"{AGE}.date"] or "")[:4]) for r in table)
    told = {(c["source"], (c["begin"] or "")[:4]): c["n"] for c in age["dates"]["counts"]}
    assert told == dict(found)
    assert sum(told.values()) == 600
    cut = age["dates"]["cutoff"]
    assert (cut["date"], cut["low"], cut["high"], cut["falls_off"]) == (2014.0, 2014.0, 2014.0, True)
    assert cut["left_out"] == sum(n for (source, _), n in found.items() if source == "crawl") == 55
    assert cut["undated"] == sum(n for (source, _), n in found.items() if source == "none") > 0
    names = Counter(r[f"{DOMAIN}.domain"] or r[f"{DOMAIN}.source"] for r in table)
    del names[None]
    assert set(age["dates"]["by_domain"]) == {name for name, _ in names.most_common(20)}


def test_domains_equal_brute_force_over_batches(run, record, monkeypatch):
    real = pq.ParquetFile.iter_batches
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda self, _, columns: real(self, 37, columns=columns))
    found = {e["name"]: e for e in read_domains(run / "annotations.parquet", record)}
    table = pq.read_table(run / "annotations.parquet").to_pylist()
    names = {r[f"{DOMAIN}.domain"] or r[f"{DOMAIN}.source"] or "" for r in table}
    assert set(found) == names
    assert {"", HOSTILE} < names
    for name in names:
        mine = [r for r in table if (r[f"{DOMAIN}.domain"] or r[f"{DOMAIN}.source"] or "") == name]
        assert found[name]["rows"] == len(mine)
        assert found[name]["actions"] == Counter(r["action"] for r in mine)
        for label in (AGE, PROFILE):
            values = np.array([r[label] for r in mine if r[label] is not None], float)
            n, total, squares = found[name]["sums"][label]
            assert n == len(values)
            assert (total, squares) == pytest.approx((values.sum(), (values**2).sum()))
    (line, *_) = domain_rows(record, list(found.values()))
    first = next(iter(found.values()))
    values = np.array(
        [r[PROFILE] for r in table if (r[f"{DOMAIN}.domain"] or r[f"{DOMAIN}.source"] or "") == first["name"]], float
    )
    half = 1.96 * values.std(ddof=1) / sqrt(len(values))
    mean, said = re.fullmatch(r"([\d.]+) ± ([\d.]+)", line["cells"][-2]).groups()
    assert float(mean) == pytest.approx(values.mean(), abs=0.05)
    assert float(said) == pytest.approx(half, rel=0.06)
    (hostile,) = [d for d in domain_rows(record, list(found.values())) if d["name"].startswith("<img")]
    dated = sum(r[AGE] is not None for r in table if r[f"{DOMAIN}.source"] == HOSTILE)
    assert 0 < dated < found[HOSTILE]["rows"]
    assert hostile["cells"][0].endswith(f", n = {dated}")


def test_the_table_adds_up_and_says_directions(run, record):
    heads = domain_headers(record)
    # nobody said what a domain is worth: a scorer without a single score has no column
    assert heads == [
        "Mean age (neither better nor worse)",
        "Mean profile (neither better nor worse)",
        "Effective cut-off",
    ]
    rows = domain_rows(record, read_domains(run / "annotations.parquet", record))
    assert len(rows) == 21
    assert rows[-1]["name"].startswith("(other domains): ")
    assert sum(int(r["rows"].replace(",", "")) for r in rows) == record["counts"]["rows_in"]
    assert sum(int(r["kept"]) for r in rows) == record["counts"]["kept"]
    assert sum(int(r["removed"].split()[0]) for r in rows) == record["counts"]["removed"] > 0
    assert all(len(r["cells"]) == len(heads) for r in rows)
    better = {**record, "scores": [{**record["scores"][2], "identity": {"name": "profile", "higher_is": "better"}}]}
    assert domain_headers(better) == ["Mean profile (higher is better)"]
    twice = {"scores": [{**better["scores"][0], "label": label} for label in ("profile:ttr_words=9", "profile")]}
    assert domain_headers(twice) == [
        "Mean profile:ttr_words=9 (higher is better)",
        "Mean profile (higher is better)",
    ]


def test_further_domains_are_counted_together(run, record, monkeypatch):
    monkeypatch.setattr(provenance_page, "MOST", 3)
    found = read_domains(run / "annotations.parquet", record)
    assert len(found) == 4
    assert sum(e["rows"] for e in found) == 600


def test_the_card_says_what_is_undated_and_what_only_the_crawl_dates(record):
    (card,) = age_cards(record)
    (age,) = [s for s in record["scores"] if s["label"] == AGE]
    undated = age["dates"]["cutoff"]["undated"]
    facts = dict(card["facts"])
    assert facts["Undated"] == f"{undated} ({100 * undated / 600:.1f} %)"
    assert card["undated"] == f"{100 * undated / 600:.1f} %"
    assert facts["Crawl date only"] == "55 (9.2 %)"
    assert facts["Effective cut-off"].startswith("end of 2013 (95 % interval: end of 2013 to end of 2013; ")
    assert card["groups"] == ["stated", "address or file name", "crawl only"]
    assert sum(int(n) for _, values in card["bins"] for n in values) == 600 - undated


def test_bars_are_stacked_and_the_cut_off_is_drawn():
    bars = [
        {"begin": 2004, "end": 2005, "group": "crawl only", "rows": 3},
        {"begin": 2004, "end": 2005, "group": "stated", "rows": 5},
        {"begin": 2005, "end": 2006, "group": "stated", "rows": 1},
    ]
    spec = charts.ages(bars, cutoff=2005.0)
    values = spec["layer"][0]["data"]["values"]
    assert [(v["begin"], v["from"], v["to"]) for v in values] == [(2004, 0, 5), (2004, 5, 8), (2005, 0, 1)]
    assert spec["layer"][1]["data"]["values"] == [{"at": 2005.0}]
    assert "layer" not in charts.ages(bars)
    assert "layer" not in charts.ages(bars, cutoff=2020.0)  # not within the bars


def test_a_few_rows_of_long_ago_do_not_flatten_the_chart():
    counts = [{"source": "url", "begin": f"{year}-01", "n": 100, "confidence": 0.5} for year in range(1990, 2020)]
    counts.append({"source": "byline", "begin": "1588-01", "n": 2, "confidence": 0.8})
    run = {"scores": [{"label": "age", "dates": {"months": 12, "counts": counts, "cutoff": {}}}]}
    (card,) = age_cards(run)
    assert dict(card["facts"])["Not drawn"] == "2 rows dated before 1990"
    assert card["bins"][0][0] == "1990"
    counts[-1]["n"] = 500  # not a few: drawn
    assert age_cards(run)[0]["bins"][0][0] == "1588"


def test_what_cannot_be_said_is_said():
    assert cutoff_words({"date": None, "reason": "9 documents"}) == "none: 9 documents"
    assert "no fall is seen" in cutoff_words({"date": 2015.25, "low": 2015, "high": 2015.25, "documents": 9})
    assert cutoff_words({"date": 2015.25, "low": 2015, "high": 2015.25, "documents": 9}).startswith("end of Mar 2015")
    none = {"months": 12, "counts": [{"source": "none", "begin": None, "n": 4, "confidence": None}], "cutoff": {}}
    (card,) = age_cards({"scores": [{"label": "age", "dates": none}]})
    assert card["svg"] is None
    assert card["undated"] == "100 %"


def test_the_page_has_both_and_lets_no_name_out(run):
    page = (run / "report.html").read_text()
    seen = text_of(page)
    assert (
        page.index('id="scores"') < page.index('id="ages"') < page.index('id="domains"') < page.index('id="quarantine"')
    )
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    assert "&lt;img src=x" in page
    assert "\u202e" not in page
    assert "(neither better nor worse)" in seen
    assert "Set aside" not in seen  # no row was
    assert "Effective cut-off end of 2013" in seen
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_a_run_without_age_and_domain_has_neither(tmp_path):
    (tmp_path / "c.jsonl").write_bytes(orjson.dumps({"text": "a text of some words"}) + b"\n")
    screen_corpus(tmp_path / "c.jsonl", out=tmp_path / "o", scores=["profile"], runner="loop")
    page = (tmp_path / "o" / "report.html").read_text()
    assert 'id="ages"' not in page
    assert 'id="domains"' not in page


def test_annotations_of_another_version_are_named(run, tmp_path):
    (tmp_path / "run.json").write_bytes((run / "run.json").read_bytes())
    pq.write_table(pa.table({"action": ["keep"]}), tmp_path / "annotations.parquet")
    with pytest.raises(AntivenomError, match=r"annotations\.parquet"):
        write_screen_report(tmp_path)
