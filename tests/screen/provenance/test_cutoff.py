"""The effective cut-off by dates: planted ends are found, outliers and crawl dates do not move it, shards do not matter."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.data.rows import batch_of
from antivenom.errors import AntivenomError
from antivenom.screen.provenance.age import Age
from antivenom.screen.provenance.cutoff import OTHER, DateCounts, _last_full


def counted(years: dict[int, int], source="declared", confidence=0.95, domain=None, **options) -> DateCounts:
    counts = DateCounts(**options)
    dates = [str(year) for year, n in years.items() for _ in range(n)]
    counts.add(dates, [source] * len(dates), [confidence] * len(dates), [domain] * len(dates) if domain else None)
    return counts


FULL = dict.fromkeys(range(2000, 2015), 40)


def test_the_planted_end_is_found_and_a_trickle_behind_it_does_not_count():
    cut = counted(FULL | {2015: 8, 2016: 5, 2019: 1}).cutoff()
    assert (cut.date, cut.low, cut.high) == (2015.0, 2015.0, 2015.0)  # the end of 2014
    assert (cut.documents, cut.left_out, cut.undated, cut.falls_off) == (614, 0, 0, True)


def test_one_overfull_year_does_not_move_it():
    # a date that a tool fills in: 45 % of the documents in one early year
    spiked = FULL | {2003: 500}
    assert spiked[2003] / sum(spiked.values()) > 0.45
    assert counted(spiked | {2016: 9}).cutoff().date == 2015.0


def by_the_words(counts: np.ndarray, fall: float) -> int:
    """The definition, word for word: R is the largest count so that buckets with R or more hold half of the documents."""
    r = max(c for c in counts.tolist() if 2 * counts[counts >= c].sum() >= counts.sum())
    return max(i for i, c in enumerate(counts) if c >= fall * r)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=25).filter(any), st.floats(0.01, 1))
def test_the_formula_by_brute_force(counts, fall):
    counts = np.array(counts)
    assert _last_full(counts, fall) == by_the_words(counts, fall)


def test_the_interval_is_that_of_resampled_documents():
    """The draw of counts is a bootstrap over documents: same interval as resampling them one by one."""
    years = {2000: 30, 2001: 28, 2002: 33, 2003: 16, 2004: 14}
    cut = counted(years).cutoff(draws=4_000)
    documents = np.repeat(list(years), list(years.values()))
    random = np.random.default_rng(1)
    found = []
    for _ in range(4_000):
        drawn = Counter(random.choice(documents, len(documents)).tolist())
        found.append(2001 + by_the_words(np.array([drawn[y] for y in range(2000, 2005)]), 0.5))
    assert cut.low < cut.high  # 2003 and 2004 lie near half of the usual count: the end is uncertain, and said to be
    assert (cut.low, cut.high) == tuple(np.quantile(found, [0.025, 0.975]))


def test_more_documents_make_it_sharper():
    few, many = {2000: 10, 2001: 10, 2002: 10, 2003: 10, 2004: 3}, {}
    many = {year: 40 * n for year, n in few.items()}
    wide, sharp = (counted(years).cutoff(min_documents=1) for years in (few, many))
    assert wide.high - wide.low > sharp.high - sharp.low == 0


def test_a_crawls_date_is_no_date_of_writing():
    """Trap 15: a crawl of 2022 that holds pages up to 2014 ends in 2014."""
    counts = counted(FULL)
    crawled = counted({2022: 900}, "crawl", 0.1)
    counts.merge(crawled)
    cut = counts.cutoff()
    assert (cut.date, cut.left_out) == (2015.0, 900)
    assert crawled.cutoff().date is None
    assert counts.cutoff(min_confidence=0).date == 2023.0  # what counting them would say


def test_undated_and_coarse_dates_are_counted_apart():
    counts = DateCounts(months=3)
    dates = ["2004", "2004-03", "2004-12-31", None, ""]
    counts.add(dates, ["url", "url", "page", None, None], [0.5, 0.65, 0.9, None, None])
    lines = {(r["source"], r["begin"]): (r["n"], r["confidence"]) for r in counts.table().to_pylist()}
    assert lines == {
        ("none", None): (2, None),
        ("url", None): (1, 0.5),
        ("url", "2004-01"): (1, 0.65),
        ("page", "2004-10"): (1, 0.9),
    }
    cut = counts.cutoff(min_documents=2)
    assert (cut.date, cut.documents, cut.left_out, cut.undated) == (2005.0, 2, 1, 2)


def test_shards_and_order_do_not_matter():
    random = np.random.default_rng(0)
    dates = [
        None if random.random() < 0.1 else f"{random.integers(2000, 2010)}-0{random.integers(1, 9)}" for _ in range(500)
    ]
    sources = [random.choice(["url", "byline"]) for _ in dates]
    sure = [0.65 if s == "url" else 0.8 for s in sources]
    domains = [random.choice(["a.org", "b.org"]) for _ in dates]
    whole, left, right = DateCounts(), DateCounts(), DateCounts()
    whole.add(dates, sources, sure, domains)
    left.add(dates[300:][::-1], sources[300:][::-1], sure[300:][::-1], domains[300:][::-1])
    right.add(dates[:300], sources[:300], sure[:300], domains[:300])
    left.merge(right)
    assert left.table(by_domain=True).equals(whole.table(by_domain=True))
    assert left.record() == whole.record()
    assert sum(whole.cutoff(d).documents for d in ("a.org", "b.org")) == whole.cutoff().documents


def test_domains_have_cutoffs_of_their_own():
    counts = counted(dict.fromkeys(range(2000, 2010), 30), domain="old.org")
    counts.merge(counted(dict.fromkeys(range(2005, 2020), 30), domain="new.org"))
    counts.merge(counted({2012: 9}, domain="small.org"))
    assert [counts.cutoff(d).date for d in counts.domains] == [2020.0, 2010.0, None]
    assert "9 documents" in counts.cutoff("small.org").reason
    assert list(counts.record(most=2)["by_domain"]) == ["new.org", "old.org"]


def test_names_from_data_do_not_fill_the_memory():
    counts = DateCounts(max_domains=10)
    counts.add(["2004"] * 100, ["url"] * 100, [0.5] * 100, [f"{i}.org" for i in range(100)])
    assert len(counts.domains) == 11
    assert counts.domains[0] == OTHER
    assert counts.cutoff(OTHER).documents == 90


def test_a_fall_is_only_a_fall_when_the_time_went_by():
    assert not counted(FULL).cutoff().falls_off  # the data end: nobody knows what would have come
    assert counted(FULL).cutoff(until="2016-06-30").falls_off  # 2015 was over, and empty
    assert not counted(FULL).cutoff(until="2015-06-30").falls_off  # 2015 was not over
    assert not counted(FULL).cutoff(until="2014-12-31").falls_off


def test_what_age_says_can_be_counted():
    texts = ["Published 3 March 2004\n\nA text."] * 60 + ["no date"] * 7
    scores = Age(latest="2020-01-01").score(batch_of(texts))
    counts = DateCounts()
    counts.add(*(scores.columns[name].to_pylist() for name in ("date", "source", "confidence")))
    record = counts.record()
    assert [c | {"confidence": c["confidence"]} for c in record["counts"]] == [
        {"source": "byline", "begin": "2004-01", "n": 60, "confidence": 0.8},
        {"source": "none", "begin": None, "n": 7, "confidence": None},
    ]
    assert record["cutoff"]["date"] == 2005.0
    assert record["cutoff"]["undated"] == 7


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: DateCounts(months=5), "months"),
        (lambda: DateCounts().add(["2004"], [], []), "lists of 1, 0, 0"),
        (lambda: DateCounts().add(["12 March 2004"], ["url"], [1.0]), "no date"),
        (lambda: DateCounts().merge(DateCounts(months=1)), "buckets"),
        (lambda: counted(FULL).cutoff(fall=0), "fall=0"),
    ],
)
def test_what_makes_no_sense_is_refused(call, said):
    with pytest.raises(AntivenomError, match=said):
        call()
