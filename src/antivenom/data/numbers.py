"""The numbers of a text, in digits or in English words, as one multiset."""

import re
from collections import Counter

__all__ = ["numbers"]

DIGITS = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?|\d+(?:\.\d+)?")
WORDS = re.compile(r"[A-Za-z]+(?:[-'’][A-Za-z]+)*")
ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SMALL = {word: value for value, word in enumerate(ONES + TEENS)}
TENFOLD = {word: 10 * value for value, word in enumerate(TENS, start=2)}
OTHER = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000, "twice": 2, "thrice": 3}
SPOKEN = SMALL | TENFOLD | OTHER


def numbers(text: str) -> Counter[str]:
    """The multiset of numbers in a text: `1,200` is 1200, `3.50` is 3.5, `twenty-five` is 25, `twice` is 2.

    The word `one` is not counted: it is a pronoun more often than a number.

    >>> sorted(numbers("Two cats, 1,200 dogs and 3.50 euro; twenty-five birds").elements())
    ['1200', '2', '25', '3.5']
    """
    found: Counter[str] = Counter()
    for match in DIGITS.findall(text):
        plain = match.replace(",", "")
        found[plain.rstrip("0").rstrip(".") if "." in plain else (plain.lstrip("0") or "0")] += 1
    for word in WORDS.findall(text):
        lower = word.lower()
        if lower in SPOKEN:
            if lower != "one":
                found[str(SPOKEN[lower])] += 1
        elif "-" in lower:
            first, _, rest = lower.partition("-")
            if first in TENFOLD and rest in SMALL:
                found[str(TENFOLD[first] + SMALL[rest])] += 1
            elif first in SPOKEN and first != "one":
                found[str(SPOKEN[first])] += 1
    return found
