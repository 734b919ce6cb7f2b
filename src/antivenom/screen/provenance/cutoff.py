"""Where a corpus ends in time, whatever its label says: the effective cut-off, by dates and by perplexity.

By dates (`DateCounts`): of c_b documents dated in bucket b, let R be the document-weighted median of the counts, i.e. the largest
R for which the buckets with c_b >= R hold half of the dated documents. The cut-off is the end of the LAST bucket with

    c_b >= fall R        (fall = 1/2)

so that neither one overfull bucket (a default date) nor a trickle of late or mistyped dates moves it. Interval: percentile
bootstrap over the dated documents, which is a multinomial draw of the counts.

By perplexity (`perplexity_cutoff`): the losses of ONE model on dated documents, relative to what each document costs anyway.

Both ends are estimates of ours after the idea of Cheng et al. 2024 (Dated Data): a corpus or a model ends per source, and
earlier than stated. A crawl's date is no date of writing (spec 05, trap 15), so it does not count here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from antivenom.errors import AntivenomError
from antivenom.randomness import generator
from antivenom.screen.provenance import dates as iso

__all__ = ["OTHER", "DateCounts", "DateCutoff"]

OTHER = "(other domains)"
"""Takes the documents of domains beyond `max_domains`."""
FALL = 0.5
MIN_CONFIDENCE = 0.3
MIN_DOCUMENTS = 50
DRAWS = 1_000

TABLE = pa.schema(
    {"domain": pa.string(), "source": pa.string(), "begin": pa.string(), "n": pa.int64(), "confidence": pa.float64()}
)


@dataclass(frozen=True)
class DateCutoff:
    """The effective cut-off of the dated documents of a corpus or a domain.

    Args:
        date: decimal year at which the last full bucket ends; None when there is none, and `reason` says why.
        low: of the 95 % bootstrap interval.
        high: of the interval.
        documents: dated documents that counted.
        left_out: dated documents that did not: less sure than `min_confidence` (a crawl's date), or dated too coarsely.
        undated: documents without a date.
        falls_off: whether the share falls: a bucket after the cut-off is over and is not full. False: the data end while
            the documents still come, so the cut-off is that of the data, not a fall.
        reason: why there is no date.
    """

    date: float | None
    low: float | None
    high: float | None
    documents: int
    left_out: int
    undated: int
    falls_off: bool = False
    reason: str = ""

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class DateCounts:
    """Counts of documents by date, source of the date and domain; memory grows with these, never with documents.

    Args:
        months: of a bucket: 12, 6, 4, 3, 2 or 1. A date that is known less exactly than a bucket is long counts as coarse.
        max_domains: documents of further domains go to `OTHER` (names come from data, and data is hostile).
    """

    def __init__(self, *, months: int = 12, max_domains: int = 1_000):
        if months not in (1, 2, 3, 4, 6, 12) or max_domains < 1:
            raise AntivenomError(f"buckets of {months} months, {max_domains} domains", "give months that divide 12")
        self.months, self.max_domains = months, max_domains
        self._counts: Counter[tuple[str, str, float, int | None]] = Counter()
        self._domains: set[str] = set()

    def add(
        self,
        dates: Sequence[str | None],
        sources: Sequence[str | None],
        confidences: Sequence[float | None],
        domains: Sequence[str | None] | None = None,
    ) -> None:
        """Documents with what `Age` says of them (`date`, `source`, `confidence`), and with domains what `Domain` says.

        Raises:
            AntivenomError: for lists of unlike length, and for a date that is no ISO prefix (2004, 2004-03, 2004-03-12).
        """
        lists = [dates, sources, confidences] + ([domains] if domains is not None else [])
        if len({len(one) for one in lists}) > 1:
            what = f"lists of {', '.join(str(len(one)) for one in lists)} entries"
            raise AntivenomError(what, "give one date, source, confidence and domain per document, None for unknown")
        names = domains if domains is not None else [""] * len(dates)
        for (date, source, confidence, domain), n in Counter(zip(dates, sources, confidences, names)).items():
            place = self._place(domain or "")
            if date:
                self._counts[place, source or "unknown", round(float(confidence or 0), 2), self._bucket(date)] += n
            else:
                self._counts[place, "none", 0.0, None] += n

    def merge(self, other: "DateCounts") -> None:
        """Add the documents another one has seen."""
        if other.months != self.months:
            raise AntivenomError(f"buckets of {self.months} and {other.months} months", "count both alike")
        for (domain, *rest), n in other._counts.items():
            self._counts[(self._place(domain), *rest)] += n  # type: ignore[index]

    def _place(self, domain: str) -> str:
        if domain not in self._domains:
            if len(self._domains - {OTHER}) >= self.max_domains:
                return OTHER
            self._domains.add(domain)
        return domain

    def _bucket(self, date: str) -> int | None:
        """Months since year 0 over `months`; None: too coarse."""
        if iso.parse_date(date) != date:
            raise AntivenomError(f"'{date}' is no date", "write it as 2004, 2004-03 or 2004-03-12")
        if len(date) == 4 and self.months < 12:
            return None
        return (int(date[:4]) * 12 + (int(date[5:7]) - 1 if len(date) > 4 else 0)) // self.months

    @property
    def domains(self) -> list[str]:
        """The domains, those with most documents first."""
        totals: Counter[str] = Counter()
        for (domain, *_), n in self._counts.items():
            totals[domain] += n
        return [name for name, _ in sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))]

    def table(self, *, by_domain: bool = False) -> pa.Table:
        """One line per (domain,) source and bucket: begin of the bucket (ISO month, null: coarse or none), n, mean confidence."""
        found: dict[tuple[str, str, int], list[float]] = {}
        for (domain, source, confidence, bucket), n in self._counts.items():
            key = (domain if by_domain else "", source, -1 if bucket is None else bucket)
            entry = found.setdefault(key, [0, 0.0])
            entry[0] += n
            entry[1] += n * confidence
        lines = []
        for (domain, source, bucket), (n, total) in sorted(found.items()):
            year, month = divmod(bucket * self.months, 12)
            begin = None if bucket < 0 else f"{year:04}-{month + 1:02}"
            sure = None if source == "none" else total / n
            lines.append({"domain": domain, "source": source, "begin": begin, "n": int(n), "confidence": sure})
        return pa.Table.from_pylist(lines, schema=TABLE)

    def cutoff(
        self,
        domain: str | None = None,
        *,
        fall: float = FALL,
        min_confidence: float = MIN_CONFIDENCE,
        min_documents: int = MIN_DOCUMENTS,
        until: str = "",
        draws: int = DRAWS,
        level: float = 0.95,
        seed: int = 0,
    ) -> DateCutoff:
        """The effective cut-off by dates; see the module for the formula.

        Args:
            domain: of this domain alone; None: of the corpus.
            fall: share of the usual count under which a bucket is no longer full, in (0, 1].
            min_confidence: dates that are less sure do not count; .3 leaves out the crawl's.
            min_documents: fewer dated documents give no cut-off.
            until: ISO day on which the corpus was taken; buckets that were over by then and empty show a fall.
            draws: resamples; `level` of the interval; `seed` of the resampling.
        """
        if not 0 < fall <= 1 or min_documents < 1 or draws < 1 or not 0 < level < 1:
            raise AntivenomError(
                f"fall={fall}, level={level}", "give a share over 0 and up to 1, and 1 or more documents"
            )
        counts: Counter[int] = Counter()
        left_out = undated = 0
        for (name, source, confidence, bucket), n in self._counts.items():
            if domain is not None and name != domain:
                continue
            if source == "none":
                undated += n
            elif bucket is None or confidence < min_confidence:
                left_out += n
            else:
                counts[bucket] += n
        total = counts.total()
        if total < min_documents:
            why = f"{total} documents have a date that counts, of the {min_documents} it takes"
            return DateCutoff(None, None, None, total, left_out, undated, reason=why)
        first, last = min(counts), max(counts)
        filled = np.array([counts[b] for b in range(first, last + 1)])
        at = first + _last_full(filled, fall)
        draw = generator(seed, "cut-off by dates", domain or "").multinomial(total, filled / total, draws)
        ends = [self._end(first + _last_full(resample, fall)) for resample in draw]
        low, high = np.quantile(ends, [(1 - level) / 2, (1 + level) / 2])
        over = self._bucket(iso.day_span(until)[1]) if until else None  # the bucket that was not over yet
        falls = at < last if over is None else at + 1 < over
        return DateCutoff(self._end(at), float(low), float(high), total, left_out, undated, falls)

    def _end(self, bucket: int) -> float:
        return (bucket + 1) * self.months / 12

    def record(self, *, most: int = 20, until: str = "", seed: int = 0) -> dict[str, Any]:
        """For run.json: counts by source and bucket, the cut-off, and those of the `most` largest domains."""
        named = [name for name in self.domains if name not in ("", OTHER)][:most]
        table = self.table().select(["source", "begin", "n", "confidence"]).to_pylist()
        return {
            "months": self.months,
            "counts": [line | {"confidence": _rounded(line["confidence"])} for line in table],
            "cutoff": self.cutoff(until=until, seed=seed).record(),
            "by_domain": {name: self.cutoff(name, until=until, seed=seed).record() for name in named},
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _last_full(counts: np.ndarray, fall: float) -> int:
    """Place of the last bucket with fall x R documents or more.

    >>> _last_full(np.array([10, 11, 40, 9, 10, 2, 1]), 0.5)
    4
    """
    falling = np.sort(counts)[::-1]
    usual = falling[np.searchsorted(np.cumsum(falling), falling.sum() / 2)]
    return int(np.flatnonzero(counts >= fall * usual)[-1])
