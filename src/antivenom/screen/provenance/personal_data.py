"""Personal data that patterns can find: e-mail and IP addresses, phone and card numbers, IBANs.

Patterns count what has the form (and the check digits, where there are some), not what is anybody's: the software version
1.2.3.4 reads as an IP address. Names and postal addresses have no form and are NOT counted. Every pattern is linear in the text.
"""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

__all__ = ["KINDS", "Found", "iban_valid", "luhn", "personal_data"]

KINDS = ("emails", "ip_addresses", "phones", "cards", "ibans")
"""The names of the counts."""

EMAIL = re.compile(
    r"(?<![\w.+%-])[\w+%-](?:[\w.+%-]*[\w+%-])?@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}(?![\w-])",
    re.ASCII,
)
OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
IPV4 = re.compile(rf"(?<![\w.])(?:{OCTET}\.){{3}}{OCTET}(?!\.?\w)", re.ASCII)
IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", re.ASCII)
PHONE = re.compile(
    r"(?<![\w.+-])(?:\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,6}|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}([ .-])\d{3}\1\d{4})(?![.-]?\d|[^\W\d])",
    re.ASCII,
)
CARD = re.compile(r"(?<![\w.-])[3-6](?:[ -]?\d){12,18}(?![.-]?\w)", re.ASCII)
IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.ASCII)
DIGIT = re.compile(r"\d", re.ASCII)


class Found(NamedTuple):
    """Characters [start, stop) that have the form of a kind."""

    start: int
    stop: int
    kind: str


def luhn(digits: str) -> bool:
    """The check digit of card numbers: every second digit from the right doubled, digit sums added, 0 modulo 10.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        total += digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def iban_valid(text: str) -> bool:
    """ISO 13616: the first four characters moved to the end, letters as 10..35, 1 modulo 97."""
    plain = text.replace(" ", "")
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _ipv6(text: str) -> bool:
    if sum(map(bool, text.split(":"))) < 2:  # "::" alone separates names in code
        return False
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _phone(text: str) -> bool:
    return not text.startswith("+") or 8 <= len(DIGIT.findall(text)) <= 15


def _card(text: str) -> bool:
    digits = "".join(DIGIT.findall(text))
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn(digits)


def personal_data(text: str) -> list[Found]:
    """All finds in order; a stretch is counted once, as the stricter kind (IBAN and card before phone)."""
    found: list[Found] = []
    if "@" in text:
        found += [Found(*match.span(), "emails") for match in EMAIL.finditer(text)]
    if DIGIT.search(text):
        found += _checked(text, IBAN, "ibans", iban_valid, found)
        found += _checked(text, CARD, "cards", _card, found)
        found += _checked(text, IPV4, "ip_addresses", lambda _: True, found)
        found += _checked(text, PHONE, "phones", _phone, found)
    if text.count(":") > 1:
        found += _checked(text, IPV6, "ip_addresses", _ipv6, found)
    return sorted(found)


def _checked(text: str, pattern: re.Pattern[str], kind: str, valid, before: list[Found]) -> Iterator[Found]:
    taken = sorted(before)
    at = 0
    finds = []
    for match in pattern.finditer(text):
        while at < len(taken) and taken[at].stop <= match.start():
            at += 1
        free = at == len(taken) or taken[at].start >= match.end()
        if free and valid(match[0]):
            finds.append(Found(*match.span(), kind))
    return iter(finds)
