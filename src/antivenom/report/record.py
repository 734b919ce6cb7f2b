"""The parts of a run record that every page prints: machine, versions, mappings of names to values."""

from collections.abc import Mapping
from typing import Any

from antivenom.report.wording import count, line, nouns, number

__all__ = ["machine_words", "printed"]


def printed(mapping: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Names and values of a mapping, fit to print.

    >>> printed({"input_tokens": 402000, "price": 0.25, "currency": "EUR"})
    [('input tokens', '402,000'), ('price', '0.250'), ('currency', 'EUR')]
    """
    return [(line(name, 80).replace("_", " "), _value(value)) for name, value in (mapping or {}).items()]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return count(value) if isinstance(value, int) else number(value) if isinstance(value, float) else line(value, 300)


def machine_words(machine: Mapping[str, Any] | None) -> str:
    """The machine in a line.

    >>> machine_words({"cpu": "X", "cores": 2, "memory_gb": 24.0, "platform": "Linux"})
    'X, 2 cores, 24 GB memory, Linux'
    """
    known = machine or {}
    words = [line(known["cpu"], 120)] if known.get("cpu") else []
    words += [nouns(known["cores"], "core")] if known.get("cores") else []
    words += [f"{number(known['memory_gb'])} GB memory"] if known.get("memory_gb") else []
    words += [line(known["platform"], 120)] if known.get("platform") else []
    return ", ".join(words)
