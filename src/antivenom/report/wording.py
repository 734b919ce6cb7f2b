"""Text and numbers made fit to print: hidden characters shown, long strings shortened, counts and rates in one style.

A corpus is hostile by nature. Escaping keeps markup from running; what is left are characters that are invisible or
that reorder what stands around them. They are shown as visible placeholders, so that a reader sees what a row holds.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

__all__ = [
    "POLICY",
    "count",
    "duration",
    "interval",
    "joined",
    "line",
    "nouns",
    "number",
    "percent",
    "size",
    "visible",
    "year",
]

POLICY = {"keep": "kept", "drop": "dropped", "quarantine": "set aside"}
"""What was done with rows without a score, per `missing=`."""

# C0 and C1 controls (tab and newline stay), soft hyphen, zero-width space, direction marks and overrides, word joiner
# and invisible operators, line separators, byte-order mark, interlinear anchors, tag characters, lone surrogates,
# non-characters. ZWJ and ZWNJ stay: scripts and emoji need them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


def _placeholder(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)  # the control pictures block: NUL is shown as one character, ␀
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"[U+{code:04X}]"


def visible(text: Any, limit: int = 4000) -> str:
    """The text with hidden and direction-changing characters as placeholders, at most `limit` characters.

    CRLF becomes a newline; tab and newline stay. The result can be encoded as UTF-8, whatever came in.

    >>> visible("pay\\u202e99\\x00")
    'pay[U+202E]99␀'
    """
    string = "" if text is None else str(text)
    if len(string) > limit:
        string = string[:limit] + "…"
    return _HIDDEN.sub(_placeholder, string.replace("\r\n", "\n"))


def line(text: Any, limit: int = 300) -> str:
    """As `visible`, on one line: for names, paths, ids and reasons.

    >>> line("a\\nb")
    'a␊b'
    """
    return visible(text, limit).replace("\n", "␊").replace("\t", "␉")


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def count(value: Any) -> str:
    """A whole number with thousands separators; a missing one is a dash, never 0.

    >>> count(41203), count(None)
    ('41,203', '–')
    """
    value = _finite(value)
    return "–" if value is None else f"{round(value):,}"


def number(value: Any, digits: int = 3) -> str:
    """A measured number with about `digits` significant digits.

    >>> number(0.12345), number(23.456), number(1234.5), number(float("nan"))
    ('0.123', '23.5', '1,234', '–')
    """
    value = _finite(value)
    if value is None:
        return "–"
    if value == 0 or float(value).is_integer():
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3g}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{decimals}f}" if 0 <= decimals <= 6 else f"{value:,.0f}" if decimals < 0 else f"{value:.2g}"


def year(value: Any) -> str:
    """A year, with the part of it where it is no whole one.

    >>> year(2004.0), year(2016.25), year(None)
    ('2004', '2016.2', '–')
    """
    value = _finite(value)
    if value is None:
        return "–"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


def percent(share: Any) -> str:
    """A share as a percentage.

    >>> percent(12 / 164), percent(0.00031), percent(1), percent(None)
    ('7.3 %', '0.03 %', '100 %', '–')
    """
    share = _finite(share)
    if share is None:
        return "–"
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f} %"
    return f"{value:.1f} %" if 0.95 <= abs(value) <= 99.94 else f"{value:.2f} %"


def interval(low: Any, high: Any) -> str:
    """An interval of shares, as percentages.

    >>> interval(0.042, 0.123), interval(None, None)
    ('4.2 – 12.3 %', '–')
    """
    if _finite(low) is None or _finite(high) is None:
        return "–"
    return f"{percent(low).removesuffix(' %')} – {percent(high)}"


def nouns(n: Any, singular: str, plural: str | None = None) -> str:
    """A count with its noun.

    >>> nouns(1, "row"), nouns(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count(n)} {singular if n == 1 else plural or singular + 's'}"


def joined(parts: Sequence[str]) -> str:
    """Parts as an English list.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""


def duration(seconds: Any) -> str:
    """A time in the unit a person would use.

    >>> duration(0.0123), duration(75), duration(8000)
    ('0.012 s', '1 min 15 s', '2 h 13 min')
    """
    seconds = _finite(seconds)
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{number(seconds, 2)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def size(n_bytes: Any) -> str:
    """A number of bytes in decimal units.

    >>> size(512), size(101_000_000)
    ('512 bytes', '101 MB')
    """
    value = _finite(n_bytes)
    if value is None:
        return "–"
    if value < 1000:
        return f"{value:.0f} bytes"
    units = ("kB", "MB", "GB", "TB", "PB")
    power = min(int(math.log10(value) // 3), len(units))
    return f"{number(value / 1000**power)} {units[power - 1]}"
