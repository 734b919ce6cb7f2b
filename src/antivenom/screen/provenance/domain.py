"""From where a text is: its address' registered domain, its source tag, and what a table of your own says of the domain.

The registered domain is the public suffix and one label more (`news.bbc.co.uk` -> `bbc.co.uk`), by the suffix list that
tldextract packages: nothing is fetched. Hosts under a blog platform (`ann.wordpress.com`) are kept whole: whoever writes
there is not the platform (Gehman et al. 2020, provenance of web text). The score is the table's figure for the domain.
"""

import csv
import hashlib
import ipaddress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError
from antivenom.screen.provenance.metadata import fields, first_text
from antivenom.screen.scoring.scorer import Evidence, Identity, Orientation, Scores

__all__ = ["Domain", "ReliabilityTable", "registered_domain"]

WHOLE = ("wordpress.com", "blogspot.com", "tumblr.com", "livejournal.com", "typepad.com", "substack.com", "medium.com")
GRADES = {"very low": 0.0, "low": 0.25, "mixed": 0.5, "high": 0.75, "very high": 1.0}


def _extract(address: str, _held: list = []) -> Any:  # noqa: B006 - one extractor per process
    if not _held:
        import tldextract

        _held.append(tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True))
    return _held[0](address)


def registered_domain(address: str) -> tuple[str, str]:
    """(host, registered domain) of an address, lower-cased, international names in their ASCII form; "" for none.

    >>> registered_domain("https://News.BBC.co.uk:443/a?b")
    ('news.bbc.co.uk', 'bbc.co.uk')
    >>> registered_domain("http://ann.wordpress.com/2004/")[1]
    'ann.wordpress.com'
    """
    found = _extract(address.strip()[:4_000])
    host = ".".join(part for part in (found.subdomain, found.domain, found.suffix) if part).lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), host.strip("[]")
    except ValueError:
        pass
    try:
        host = host.encode("idna").decode("ascii")
    except UnicodeError:
        return "", ""
    if not found.suffix or not found.domain:
        # a platform's own page: the suffix list's private part holds the platform itself
        return (host, host) if host in WHOLE else ("", "")
    platform = next((name for name in WHOLE if host.endswith("." + name)), None)
    if platform:
        first = host.removesuffix("." + platform)
        return host, (platform if first == "www" else host)
    labels = host.split(".")
    return host, ".".join(labels[-(found.suffix.count(".") + 2) :])


@dataclass(frozen=True)
class ReliabilityTable:
    """What a CSV file says of domains.

    Args:
        values: domain -> figure.
        labels: domain -> the cell as it was written.
        hash: of the file.
    """

    values: dict[str, float]
    labels: dict[str, str]
    hash: str

    @classmethod
    def read(cls, path: str | Path, column: str = "reliability") -> "ReliabilityTable":
        """Read a CSV with the columns `domain` and `column`: numbers, or the grades very low to very high (0 to 1).

        Raises:
            AntivenomError: for a missing file or column, an unknown grade, or a domain with two different figures.
        """
        mend = f"give a CSV with the columns domain and {column}"
        try:
            raw = Path(path).read_bytes()
            rows = list(csv.DictReader(raw.decode("utf-8-sig").splitlines()))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise AntivenomError(f"cannot read the domain table '{path}' ({error})", mend) from None
        values: dict[str, float] = {}
        labels: dict[str, str] = {}
        for number, row in enumerate(rows, 2):
            domain, cell = (str(row.get(name) or "").strip().lower() for name in ("domain", column))
            if "domain" not in row or column not in row:
                raise AntivenomError(f"'{path}' has the columns {', '.join(map(str, row))}", mend)
            if not domain or not cell:
                continue
            host = registered_domain(domain)[0] or domain
            host = host.removeprefix("www.")
            value = _figure(cell, f"{path}, line {number}")
            if values.setdefault(host, value) != value:
                raise AntivenomError(f"{path}, line {number}: {host} has two different figures", "keep one of them")
            labels[host] = cell
        return cls(values, labels, hashlib.blake2b(raw, digest_size=16).hexdigest())

    def find(self, host: str, domain: str) -> str:
        """The most exact entry for a host: itself, its parents, at last its registered domain; "" for none."""
        labels = host.split(".")
        for at in range(len(labels)):
            name = ".".join(labels[at:])
            if name in self.values:
                return name
            if name == domain:
                break
        return ""


def _figure(cell: str, where: str) -> float:
    if cell in GRADES:
        return GRADES[cell]
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        mend = f"write a number, or one of: {', '.join(GRADES)}"
        raise AntivenomError(f"{where}: '{cell}' is no figure", mend)
    return value


@dataclass(frozen=True)
class Domain:
    """The domain of a row, and the figure of your table for it.

    Args:
        table: CSV with the columns `domain` and `column`; without one no row has a score, only its domain.
        column: the column with the figure.
        orientation: what a high figure means: `better`, `worse` or `neutral`.
        url: metadata fields with the address, joined by +.
        source: metadata fields with the row's source tag.
    """

    table: str = ""
    column: str = "reliability"
    orientation: str = "better"
    url: str = "url+source_url+link+uri"
    source: str = "source+subset+meta.pile_set_name+domain"

    name: ClassVar[str] = "domain"

    def __post_init__(self) -> None:
        if self.orientation not in ("better", "worse", "neutral"):
            mend = "choose from: better, worse, neutral"
            raise AntivenomError(f"there is no orientation '{self.orientation}'", mend)

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Host, registered domain, source tag, the table's entry that matched and its cell."""
        return dict.fromkeys(("host", "domain", "source", "entry", "grade"), pa.string())

    @cached_property
    def reliability(self) -> ReliabilityTable | None:
        """The table, read once."""
        return ReliabilityTable.read(self.table, self.column) if self.table else None

    def identity(self) -> Identity:
        """The table's hash stands for its weights."""
        higher: Orientation = self.orientation if self.table else "neutral"  # pyright: ignore[reportAssignmentType]
        params = {"column": self.column, "url": self.url, "source": self.source}
        return Identity(self.name, "1", self.reliability.hash if self.reliability else "", higher, params)

    def score(self, batch: Batch) -> Scores:
        """The table's figure; NaN for a row without an address, or whose domain the table does not know."""
        urls, tags = self.url.split("+"), self.source.split("+")
        found = fields(batch, sorted({*urls, *tags} - {""}))
        addresses = [found[name] for name in urls if name]
        sources = [found[name] for name in tags if name]
        values = np.full(len(batch), np.nan, np.float32)
        reasons: list[str] = []
        columns: dict[str, list] = {name: [] for name in self.columns}
        for row in range(len(batch)):
            address = first_text(addresses, row)
            host, domain = registered_domain(address) if address else ("", "")
            entry = self.reliability.find(host, domain) if self.reliability and host else ""
            grade = ""
            if entry and self.reliability:
                values[row], grade = self.reliability.values[entry], self.reliability.labels[entry]
            reasons.append("" if entry else self._why(address, domain))
            for name, value in zip(columns, (host, domain, first_text(sources, row), entry, grade)):
                columns[name].append(value or None)
        return Scores(values, reasons, {name: pa.array(columns[name], pa.string()) for name in columns})

    def explain(self, text: str) -> list[Evidence]:
        """Nothing: the score rests on the address, not on the text."""
        return []

    def _why(self, address: str, domain: str) -> str:
        if not address:
            return "cannot score: no address"
        if not domain:
            return "cannot score: the address has no registered domain"
        return f"cannot score: {domain} is not in the table" if self.table else "cannot score: no table of domains"
