"""Identifiers split into their words: `parseHTTPResponse my_var` -> `parse HTTP Response my var`."""

import re

__all__ = ["split_identifiers", "split_identifiers_strict"]

UNDERSCORES = re.compile("_+")
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})|(?<=[A-Za-z]{2})(?=\d)|(?<=\d)(?=[A-Z][a-z])")
CAPITALS = re.compile("([A-Z]+)")
CAPITALIZED = re.compile("([A-Z][a-z]+)")


def split_identifiers(text: str) -> str:
    """Underscores and humps become spaces; a run of capitals stays together and gives its last one to the next word.

    >>> split_identifiers("parseHTTPResponse my_var URLs")
    'parse HTTP Response my var URLs'
    """
    return HUMP.sub(" ", UNDERSCORES.sub(" ", text))


def split_identifiers_strict(text: str) -> str:
    """The official rule: a space before every run of capitals and before every Capital + lower-case run.

    The official tool calls it after lower-casing and symbol removal, when nothing is left to split: there it is a no-op.
    """
    return CAPITALIZED.sub(r" \1", CAPITALS.sub(r" \1", UNDERSCORES.sub(" ", text)))
