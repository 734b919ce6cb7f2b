"""Filters as users type them: `toxicity:max=0.5`, `quality:keep=0.8`, `toxicity:inverse_max=0.06,missing=drop`.

The first word is the score (a scorer's label, or `label.column`), the rest is `key=value,key=value`: one rule and its terms.

    max=T  min=T                 threshold
    inverse_max=T inverse_min=T  inverse threshold: drop what `max=T` (`min=T`) would most surely keep
    band=LO..HI                  keep the middle
    keep=Q  inverse_keep=Q       the best (worst) share Q
    drop_best=D                  the same as inverse_keep=1-D, said the other way
    pareto=ALPHA                 soft keep
    spans=T                      cut sentences, keep the row (unit=sentence|line)

    missing=keep|drop|quarantine rows without a score (default keep; counted)
    higher=worse|better|any      the explicit word for a score without orientation, or against its own
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from math import isfinite
from typing import Any

from antivenom.errors import AntivenomError
from antivenom.screen.filters.rules import MISSING, Band, Filter, Pareto, Quantile, Spans

__all__ = ["RULES", "parse_filter", "split_spec"]

RULES: dict[str, str] = {
    "max": "drop scores over T",
    "min": "drop scores under T",
    "inverse_max": "drop scores under T, the BEST of a score that is worse when higher",
    "inverse_min": "drop scores over T, the BEST of a score that is better when higher",
    "band": "keep scores from LO to HI (band=LO..HI)",
    "keep": "keep exactly the best share Q of the rows",
    "inverse_keep": "keep exactly the worst share Q of the rows",
    "drop_best": "drop the best share D of the rows",
    "pareto": "keep with probability (2 - s)^-ALPHA",
    "spans": "cut the sentences (unit=line: lines) whose own score is over T",
}
"""rule -> what it does."""
TERMS = ("missing", "higher", "unit")
HIGHER = ("worse", "better", "any")
UNITS = ("sentence", "line")


def split_spec(spec: str, columns: Mapping[str, Any]) -> tuple[str, str]:
    """The column a filter reads, and its rule. The longest column that fits wins: labels may hold colons.

    Raises:
        AntivenomError: when no such score is there.
    """
    fitting = [name for name in columns if spec.startswith(f"{name}:")]
    if not fitting:
        name = spec.partition(":")[0]
        raise AntivenomError(f"--filter {spec} reads '{name}', which is no score of this run", _mend(name, columns))
    column = max(fitting, key=len)
    return column, spec[len(column) + 1 :]


def _mend(name: str, columns: Mapping[str, Any]) -> str:
    """The columns of the score that is meant, or the scores: a run may have a hundred columns."""
    label = name.partition(".")[0]
    further = [column for column in columns if column.startswith(f"{label}.")]
    if further and label in columns:
        return f"'{label}' has: {', '.join([label, *further])}"
    near = get_close_matches(name, columns, n=1)
    scores = [column for column in columns if column.partition(".")[0] not in columns or "." not in column]
    known = f"the scores of this run: {', '.join(scores) or 'none'}"
    return (f"did you mean '{near[0]}'? " if near else "name its scorer after --score too; ") + known


def parse_filter(spec: str, columns: Mapping[str, str], *, seed: int = 0) -> Filter:
    """Read one filter.

    Args:
        spec: as typed.
        columns: score column -> what a higher score means (`worse`, `better`, `neutral`).
        seed: for filters that draw.

    Raises:
        AntivenomError: for an unknown score, rule or value; and for a rule whose direction the score's orientation does
            not bear out, unless the user says the explicit word.
    """
    column, text = split_spec(spec, columns)
    terms: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or key in terms:
            raise AntivenomError(
                f"'{part}' in --filter {spec}", f"write {column}:max=0.5 or {column}:keep=0.8,missing=drop"
            )
        if key not in RULES and key not in TERMS:
            mend = f"rules: {', '.join(RULES)}; terms: {', '.join(TERMS)}"
            raise AntivenomError(f"--filter {spec} has no rule '{key}'", mend)
        terms[key] = value
    chosen = [key for key in terms if key in RULES]
    bounds = set(chosen) == {"min", "max"}
    if len(chosen) != 1 and not bounds:
        mend = "give one rule per --filter (max and min may stand together); several filters are all applied"
        raise AntivenomError(f"--filter {spec} has {len(chosen)} rules", mend)
    rule = "band" if bounds else chosen[0]
    if bounds:
        terms["band"] = f"{terms['min']}..{terms['max']}"
    missing = _one_of(terms.get("missing", "keep"), MISSING, "missing", spec)
    higher = _one_of(terms["higher"], HIGHER, "higher", spec) if "higher" in terms else None
    if "unit" in terms and rule != "spans":
        raise AntivenomError(f"--filter {spec}: 'unit' belongs to spans", "leave it out")
    inverse = rule in ("inverse_max", "inverse_min", "inverse_keep", "drop_best")
    orientation = columns[column]
    _check(rule, orientation, higher, spec, column)
    about: dict[str, Any] = {
        "column": column,
        "spec": spec,
        "higher_is": higher if higher in ("worse", "better") else orientation,
        "missing": missing,
        "inverse": inverse,
    }
    value = terms[rule]
    if rule in ("max", "inverse_min"):
        return Band(**about, high=_number(value, spec))
    if rule in ("min", "inverse_max"):
        return Band(**about, low=_number(value, spec))
    if rule == "band":
        low, dots, high = value.partition("..")
        band = Band(**about, low=_number(low, spec), high=_number(high if dots else "", spec))
        if band.low > band.high:
            raise AntivenomError(f"--filter {spec} keeps nothing: {low} is over {high}", "write band=LOW..HIGH")
        return band
    if rule in ("keep", "inverse_keep"):
        return Quantile(**about, share=value)
    if rule == "drop_best":
        try:
            share = str(1 - Decimal(value))
        except InvalidOperation:
            share = value
        return Quantile(**about, share=share)
    if rule == "pareto":
        return Pareto(**about, alpha=_number(value, spec), seed=seed)
    return Spans(
        **about, threshold=_number(value, spec), unit=_one_of(terms.get("unit", UNITS[0]), UNITS, "unit", spec)
    )


def _check(rule: str, orientation: str, higher: str | None, spec: str, column: str) -> None:
    """Refuse a rule whose direction nobody vouches for.

    The published quality score is 0 = good, fastText's is 1 = good: a threshold the wrong way round keeps the rubbish and
    looks like a success. So a filter needs an orientation, and must agree with it or say so.
    """
    meaning = higher or orientation
    if meaning in ("neutral", "any") and not (higher == "any" and rule in ("max", "min", "band")):
        if meaning == "any" or rule not in ("max", "min", "band"):
            mend = f"say what a higher score means: {spec},higher=worse or {spec},higher=better"
        else:
            mend = f"say the word: {spec},higher=any (or higher=worse, higher=better)"
        raise AntivenomError(f"'{column}' does not say whether a higher score is better or worse", mend)
    if higher and orientation != "neutral" and higher not in ("any", orientation):
        return  # the user turned the score round, in words
    wrong = {
        ("max", "better"): "inverse_min",
        ("min", "worse"): "inverse_max",
        ("inverse_max", "better"): "inverse_min",
        ("inverse_min", "worse"): "inverse_max",
    }.get((rule, meaning))
    if wrong and rule in ("max", "min"):
        what = f"--filter {spec} would drop the good end: a higher '{column}' is {meaning}"
        raise AntivenomError(what, f"if that is meant, say so: {column}:{wrong}=..., or higher=any")
    if wrong:
        raise AntivenomError(f"--filter {spec}: a higher '{column}' is {meaning}", f"its inverse threshold is {wrong}=")


def _number(value: str, spec: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise AntivenomError(f"'{value}' in --filter {spec} is not a number", "write e.g. max=0.5 or band=0.2..0.8")
    return number


def _one_of(value: str, known: tuple[str, ...], name: str, spec: str) -> Any:
    if value not in known:
        raise AntivenomError(f"{name}={value} in --filter {spec}", f"choose from: {', '.join(known)}")
    return value
