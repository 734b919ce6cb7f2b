"""When a text was written, as far as its own traces say - which is not when it was crawled.

The traces, best first; the first that yields a possible date gives it:

    declared   a metadata field (`date`, `created`, `published`, ...)                               confidence .95
    page       the page's own tags: <meta>, <time>, JSON-LD                                         .9
    byline     "Published 3 March 2004", "By ..., 3 March 2004", a dateline; a line with a date alone   .8; .6
    url        /2004/03/12/ in the address; /2004/03/; /2004/                                       .75; .65; .5
    file       the file's name, likewise                                                            .7; .6; .4
    crawl      the crawl: the text was written then or before, perhaps long before                  .1

The confidences are an order by convention, no probabilities. Impossible dates are refused: days that do not exist, days
after the crawl or after today, years before `earliest` (of the web: before 1990). A later trace that contradicts the chosen
one by more than a year is named in the reason. Longpre et al. 2023 (section 3) date C4 by crawl alone; their spec's trap:
a crawl of 2022 holds pages of 1999. Report the histogram (`histogram`), not the cut.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError
from antivenom.screen.provenance import dates
from antivenom.screen.provenance.metadata import fields
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores

__all__ = ["SOURCES", "Age", "histogram"]

SOURCES = ("declared", "page", "byline", "url", "file", "crawl")
WEB_BEGINS = "1990-01-01"
UNKNOWN = "cannot score: no trace of a date"


@dataclass(frozen=True)
class Age:
    """The year a text was written, with its fraction (2004.5 when only the year is known).

    Args:
        declared: metadata fields with the date of writing, joined by +; the first that holds a date counts.
        crawled: fields with the date of the crawl. `date` counts among these in a row that names its Common Crawl dump.
        url: fields with the address.
        file: fields with a file's name; the corpus' own files are read as well when `own_file` is set.
        own_file: whether the name of the corpus file dates its rows (one text per file).
        crawl: use the crawl's date when there is no other trace; else such a row is not scored.
        earliest: year before which a date is impossible.
        latest: ISO day after which a date is impossible; "": today. Set it where a run shall be repeated to the byte.
    """

    declared: str = "created+date+published+published_at+date_published+publish_date+publication_date+pubdate+year"
    crawled: str = "crawl_date+crawled+crawl_timestamp+fetch_time+warc_date+dump+timestamp"
    url: str = "url+source_url+link+uri"
    file: str = "file_name+filename+path"
    own_file: bool = True
    crawl: bool = True
    earliest: int = 1450
    latest: str = ""

    name: ClassVar[str] = "age"

    def __post_init__(self) -> None:
        if self.latest and not (len(self.latest) == 10 and dates.parse_date(self.latest) == self.latest):
            raise AntivenomError(f"age:latest={self.latest} is no day", "write it as 2026-11-25")

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The date as far as it is known, what it rests on, how far to trust it, and the crawl's own date."""
        return {"date": pa.string(), "source": pa.string(), "confidence": pa.float32(), "crawl_date": pa.string()}

    def identity(self) -> Identity:
        """Neither old nor new is better."""
        return Identity(self.name, "1", "", "neutral", vars(self) | {"latest": self.latest or "the day of scoring"})

    def score(self, batch: Batch) -> Scores:
        """The year of writing; NaN where there is no trace."""
        groups = {name: getattr(self, name).split("+") for name in ("declared", "crawled", "url", "file")}
        found = fields(batch, sorted({name for names in groups.values() for name in names if name}))
        today = self.latest or dt.datetime.now(dt.UTC).date().isoformat()
        files = batch.rows.column("file").to_pylist() if self.own_file else [None] * len(batch)
        values = np.full(len(batch), np.nan, np.float32)
        reasons: list[str] = []
        columns: dict[str, list] = {name: [] for name in self.columns}
        for row, text in enumerate(batch.texts.to_pylist()):
            given = {k: [found[name][row] for name in names if name] for k, names in groups.items()}
            dump = found["dump"][row] if "dump" in found else None
            if isinstance(dump, str) and dates.DUMP.search(dump) and "date" in groups["declared"]:
                at = groups["declared"].index("date")  # FineWeb: `date` is when the page was fetched
                given["crawled"].insert(0, given["declared"][at])
                given["declared"][at] = None
            date, source, confidence, crawl, reason = self._date(text, given, files[row], today)
            if date:
                values[row] = dates.decimal_year(date)
            reasons.append(reason)
            for name, value in zip(columns, (date or None, source or None, confidence, crawl or None)):
                columns[name].append(value)
        return Scores(values, reasons, {name: pa.array(columns[name], kind) for name, kind in self.columns.items()})

    def explain(self, text: str) -> list[Evidence]:
        """The line or tag of the text that bears its date."""
        date = dates.in_html(text) or dates.in_text(text)[0]
        at = 0
        for line in text[:50_000].splitlines(keepends=True) if date else ():
            if date in (dates.in_html(line), dates.in_text(line)[0]):
                return [Evidence(at, at + len(line.rstrip()), 1.0, date)]
            at += len(line)
        return []

    def _date(
        self, text: str, given: dict[str, list], file: str | None, today: str
    ) -> tuple[str, str, float | None, str, str]:
        url = next((str(value) for value in given["url"] if isinstance(value, str) and value.strip()), "")
        in_url, capture = dates.in_url(url)
        crawls = [date for date in map(dates.of_crawl, given["crawled"]) if date] + [capture]
        crawl = next((date for date in crawls if date and self._possible(date, today, WEB_BEGINS)), "")
        bound = min(today, dates.day_span(crawl)[1]) if crawl else today
        chosen: tuple[str, str, float] | None = None
        refused, against = "", ""
        for date, source, confidence in self._traces(text, given, in_url, file):
            if not self._possible(date, bound, WEB_BEGINS if source in ("url", "page") else ""):
                refused = refused or f"{source} says {date}: impossible"
            elif chosen is None:
                chosen = (date, source, confidence)
            elif abs(dates.decimal_year(date) - dates.decimal_year(chosen[0])) > 1 and not against:
                against = f"{source} says {date}"
        if chosen:
            return *chosen, crawl, "; ".join(filter(None, (refused, against)))
        if crawl and self.crawl:
            return crawl, "crawl", 0.1, crawl, "; ".join(filter(None, (refused, "written then or before")))
        what = f"cannot score: only the crawl is dated ({crawl})" if crawl else UNKNOWN
        return "", "", None, crawl, "; ".join(filter(None, (what, refused)))

    def _traces(
        self, text: str, given: dict[str, list], in_url: str, file: str | None
    ) -> Iterator[tuple[str, str, float]]:
        declared = next((date for date in map(dates.parse_date, given["declared"]) if date), "")
        byline, said = dates.in_text(text)
        names = [value for value in [*given["file"], file] if isinstance(value, str)]
        name = next((date for date in map(dates.in_file_name, names) if date), "")
        known = {4: 0, 7: 1, 10: 2}
        traces: list[tuple[str, str, Any]] = [
            (declared, "declared", 0.95),
            (dates.in_html(text), "page", 0.9),
            (byline, "byline", 0.8 if said else 0.6),
            (in_url, "url", (0.5, 0.65, 0.75)[known[len(in_url)]] if in_url else 0),
            (name, "file", (0.4, 0.6, 0.7)[known[len(name)]] if name else 0),
        ]
        yield from (trace for trace in traces if trace[0])

    def _possible(self, date: str, last: str, first: str) -> bool:
        begin, end = dates.day_span(date)
        return begin <= last and end >= max(first, f"{self.earliest:04}-01-01")


def histogram(scores: Scores) -> dict[int | None, dict[str, int]]:
    """How many texts of each year, by what their date rests on; None: no date.

    >>> from antivenom.screen.scoring.scorer import score_texts
    >>> histogram(score_texts(Age(), ["Published 3 March 2004", "no date"]))
    {2004: {'byline': 1}, None: {'none': 1}}
    """
    counts: dict[int | None, Counter[str]] = {}
    sources = scores.columns["source"].to_pylist()
    for value, source in zip(scores.values.tolist(), sources):
        year = None if source is None else int(value)
        counts.setdefault(year, Counter())[source or "none"] += 1
    return {year: dict(counts[year]) for year in sorted(counts, key=lambda y: (y is None, y or 0))}
