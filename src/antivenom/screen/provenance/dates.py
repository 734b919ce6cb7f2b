"""Dates as people, web addresses and machines write them, read without guessing.

A date is an ISO prefix as long as what is known: `2004`, `2004-03`, `2004-03-12`. What is no day of the calendar (30
February, month 13) is no date. `03/04/2005` could be March or April: only its year is known.
"""

import calendar
import datetime as dt
import re
from typing import Any

__all__ = ["day_span", "decimal_year", "in_file_name", "in_html", "in_text", "in_url", "of_crawl", "parse_date"]

MONTHS = {
    name: number
    for number in range(1, 13)
    for name in (calendar.month_name[number].lower(), calendar.month_abbr[number].lower())
} | {"sept": 9}
MONTH = "(?:" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\b\.?"
YEAR = r"(?:1[4-9]|20)\d\d"
EPOCHS = ((1, 10), (1_000, 13), (1_000_000, 16), (1_000_000_000, 19))  # seconds to nanoseconds, by their digits
HEAD = 2_000  # characters of a text in which a byline may stand
SHORT = 300  # longest line that is read as a byline

ISO = re.compile(rf"(?<!\d)(?<!\d-)({YEAR})([-/.])(\d\d?)(?:\2(\d\d?))?(?![\d-])")
ISO_TIME = re.compile(rf"(?<!\d)({YEAR})(-)(\d\d)-(\d\d)[T ]\d\d:\d\d")
COMPACT = re.compile(rf"(?<!\d)({YEAR})(\d\d)(\d\d)(?!\d)")
DAY_MONTH = re.compile(
    rf"(?<!\d)(\d\d?)(?:st|nd|rd|th|\.)?(?:\s+of)?[\s-]+({MONTH}),?[\s-]+({YEAR})(?!\d)", re.IGNORECASE
)
MONTH_DAY = re.compile(rf"\b({MONTH})\s+(\d\d?)(?:st|nd|rd|th)?(?:,\s*|\s+)({YEAR})(?!\d)", re.IGNORECASE)
MONTH_YEAR = re.compile(rf"\b({MONTH}),?[\s-]+({YEAR})(?!\d)", re.IGNORECASE)
SLASHED = re.compile(rf"(?<![\d/])(\d\d?)[/.](\d\d?)[/.]({YEAR})(?![\d/])")
BARE_YEAR = re.compile(rf"\s*({YEAR})\s*")
DUMP = re.compile(r"\bCC-MAIN-(\d{4})-(\d\d?)\b")
CAPTURE = re.compile(r"\bweb\.archive\.org/web/(\d{4})(\d\d)(\d\d)\d*")

CUE = re.compile(
    r"^\W{0,4}(?:(?:first\s+)?(?:published|posted|created|written|submitted|issued|dated?|publication\s+date)\b"
    r"|\(c\)|\u00a9|copyright\b)",
    re.IGNORECASE,
)
BY = re.compile(rf"^(?:By|BY|by)\s+(?!(?i:{MONTH}))[^\W\d_a-z]")  # a name; "By March 2004 it was over" is a sentence
DATELINE = re.compile(r"^[A-Z][A-Z .]{2,30},\s")
COPYRIGHT = re.compile(r"^\W{0,4}(?:\(c\)|\u00a9|copyright)", re.IGNORECASE)
PUBLISHED = (
    "published_time|date_?published|pub_?date|publish_?date|publication_date|dc\\.date(?:\\.(?:issued|created))?|date"
)
META = re.compile(r"<(?:meta|time)\b[^>]{0,600}>", re.IGNORECASE)
META_NAME = re.compile(
    rf"""\b(?:property|name|itemprop)\s*=\s*["']?(?:article:|og:|dcterms\.|citation_|sailthru\.)?(?:{PUBLISHED})["'\s>]""",
    re.IGNORECASE,
)
META_VALUE = re.compile(r"""\b(?:content|datetime)\s*=\s*(?:"([^"]{4,60})"|'([^']{4,60})')""", re.IGNORECASE)
JSON_LD = re.compile(r'"(?:datePublished|dateCreated)"\s*:\s*"([^"]{4,60})"')


def parse_date(value: Any) -> str:
    """The date a metadata value states, "" when it states none.

    Reads ISO 8601, RFC 2822, days with names of months, years, `date` and `datetime`, and Unix times from seconds to
    nanoseconds; of a time with a zone the local day counts.
    """
    if isinstance(value, dt.date):  # and datetime
        return _iso(value.year, value.month, value.day)
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, (int, float)):
        return _number(float(value))
    text = str(value).strip()[:200]
    if BARE_YEAR.fullmatch(text):
        return text
    if re.fullmatch(r"\d{9,19}(?:\.\d+)?", text):
        return _number(float(text))
    return _search(text, compact=True)


def of_crawl(value: Any) -> str:
    """The date of a crawl: as `parse_date`, or the Monday of a Common Crawl dump's week (`CC-MAIN-2013-20`)."""
    dump = DUMP.search(value) if isinstance(value, str) else None
    if not dump:
        return parse_date(value)
    try:
        return dt.date.fromisocalendar(int(dump[1]), int(dump[2]), 1).isoformat()
    except ValueError:
        return ""


def in_url(url: str) -> tuple[str, str]:
    """The dates in an address: (of writing, of capture by the Web Archive); "" for none.

    `/2004/03/12/`, `/2013/jun/06/`, `/2004-03-12-title`, `/20040312/`, `/2004/`. Only the path and query are read; a number
    that is part of a longer one is an article's number, not a date.
    """
    found = CAPTURE.search(url)
    capture = _iso(*map(int, found.groups())) if found else ""
    if found:
        url = url[found.end() :]
    path = re.sub(r"^[^/]*//", "", url).partition("/")[2][:2_000]
    for match in re.finditer(rf"(?:^|/)({YEAR})[/-](\d\d?|{MONTH})(?:[/-](\d\d?))?(?=[/_.?#-]|$)", path, re.IGNORECASE):
        month = MONTHS.get(match[2].lower().rstrip(".")) or (int(match[2]) if match[2].isdigit() else 0)
        date = _iso(int(match[1]), month, int(match[3])) if match[3] else ""
        if date or (date := _iso(int(match[1]), month)):
            return date, capture
    date = _first(ISO, path, days_only=True) or _first(COMPACT, path)
    if date:
        return date, capture
    year = re.search(rf"(?:^|/)({YEAR})(?=/)", path)
    return (year[1] if year else ""), capture


def in_file_name(name: str) -> str:
    """The date in a file's name (its folders are not read): `notes-2004-03-12.txt`, `20040312_a.md`, `report_2004.txt`."""
    base = name.replace("\\", "/").rpartition("/")[2].replace("_", " ")
    date = _search(base, compact=True)
    if date:
        return date
    year = re.search(rf"(?<!\d)(?<!\d[.-])({YEAR})(?!\d|[.-]\d)", base)
    return year[1] if year else ""


def in_html(text: str) -> str:
    """The date of publication that a page's own tags state: `<meta>`, `<time>`, JSON-LD; "" for text that is no HTML."""
    head = text[:50_000]
    if "<" not in head and "{" not in head:
        return ""
    for tag in META.findall(head):
        if META_NAME.search(tag) or tag[:5].lower() == "<time":
            value = META_VALUE.search(tag)
            date = parse_date(value[1] or value[2]) if value else ""
            if date:
                return date
    found = JSON_LD.search(head)
    return parse_date(found[1]) if found else ""


def in_text(text: str) -> tuple[str, bool]:
    """The date of a byline near the beginning of a text, and whether a word says so ("Published", "By ...", a dateline).

    A short line that is nothing but a date counts without such a word; a date inside a sentence does not count: it dates
    what the text speaks of.
    """
    alone = ""
    for line in text[:HEAD].splitlines()[:20]:
        line = line.strip()
        if not line or (len(line) > SHORT and not DATELINE.match(line)):
            continue
        if CUE.match(line) or DATELINE.match(line) or (BY.match(line) and len(line) <= 120):
            start = line[:100]
            date = _search(start, compact=False)
            if not date and COPYRIGHT.match(line):
                years = re.findall(rf"(?<!\d){YEAR}(?!\d)", start)
                date = years[-1] if years else ""
            if date:
                return date, True
        elif not alone and len(line) <= 40:
            date = _search(line, compact=False)
            rest = re.sub(
                rf"{MONTH}|[a-z]{{3,9}}day\b|\b(?:mon|tue|wed|thu|fri|sat|sun)\b|[\W\d]", "", line, flags=re.IGNORECASE
            )
            if date and len(rest) <= 4:  # th, am, utc
                alone = date
    return alone, False


def day_span(date: str) -> tuple[str, str]:
    """The first and the last day an ISO prefix can mean.

    >>> day_span("2004-02")
    ('2004-02-01', '2004-02-29')
    """
    if len(date) == 4:
        return f"{date}-01-01", f"{date}-12-31"
    if len(date) == 7:
        last = calendar.monthrange(int(date[:4]), int(date[5:]))[1]
        return f"{date}-01", f"{date}-{last}"
    return date, date


def decimal_year(date: str) -> float:
    """The middle of the span as a year with a fraction: 2004 -> 2004.5.

    >>> decimal_year("2004")
    2004.5
    """
    first, last = (dt.date.fromisoformat(day) for day in day_span(date))
    days = 366 if calendar.isleap(first.year) else 365
    begin, end = first.timetuple().tm_yday - 1, last.timetuple().tm_yday
    return first.year + (begin + end) / 2 / days


def _iso(year: int, month: int, day: int | None = None) -> str:
    try:
        full = dt.date(year, month, 1 if day is None else day).isoformat()
    except ValueError:
        return ""
    return full if day is not None else full[:7]


def _number(value: float) -> str:
    if value != value or abs(value) > 1e19:
        return ""
    if value == int(value) and BARE_YEAR.fullmatch(str(int(value))):
        return str(int(value))
    if COMPACT.fullmatch(str(int(value))):
        return _search(str(int(value)), compact=True)
    for unit, digits in EPOCHS:
        if len(str(int(abs(value)))) in (digits - 1, digits):
            moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=value / unit)
            return moment.date().isoformat()
    return ""


def _first(pattern: re.Pattern[str], text: str, days_only: bool = False) -> str:
    for match in pattern.finditer(text):
        parts = [part for part in match.groups() if part and part.isdigit()]
        if days_only and len(parts) < 3:
            continue
        date = _iso(*map(int, parts)) if len(parts) > 1 else ""
        if date:
            return date
    return ""


def _search(text: str, compact: bool) -> str:
    """The first date in a short text; a whole day goes before a month."""
    date = _first(ISO_TIME, text) or _first(ISO, text, days_only=True)
    if date:
        return date
    for pattern, day, month in ((DAY_MONTH, 1, 2), (MONTH_DAY, 2, 1)):
        for match in pattern.finditer(text):
            date = _iso(int(match[3]), MONTHS[match[month].lower().rstrip(".")], int(match[day]))
            if date:
                return date
    for match in SLASHED.finditer(text):
        a, b, year = map(int, match.groups())
        readings = {date for date in (_iso(year, a, b), _iso(year, b, a)) if date}
        if readings:
            return readings.pop() if len(readings) == 1 else str(year)
    if compact and (date := _first(COMPACT, text)):
        return date
    match = None if DAY_MONTH.search(text) or MONTH_DAY.search(text) else MONTH_YEAR.search(text)
    if match:  # a day that does not exist leaves no month behind
        return _iso(int(match[2]), MONTHS[match[1].lower().rstrip(".")])
    return _first(re.compile(rf"(?<![\d-])({YEAR})-(\d\d)(?![\d-])"), text)
