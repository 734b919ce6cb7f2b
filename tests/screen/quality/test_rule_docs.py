"""docs/quality-rules.md says what the code does: every rule with its threshold, and the kept parity figures."""

import json
import re
from math import isinf
from pathlib import Path

import pytest

from antivenom.screen.quality.c4 import C4
from antivenom.screen.quality.fineweb import FineWeb
from antivenom.screen.quality.gopher import Gopher
from antivenom.screen.quality.repetition import GopherRepetition

ROOT = Path(__file__).parents[3]
SCORERS = {s.name: s for s in (Gopher(), GopherRepetition(), C4(), FineWeb())}


def section(name: str) -> str:
    page = (ROOT / "docs" / "quality-rules.md").read_text("utf-8")
    return next(part for part in page.split("\n## ") if part.startswith((f"`{name}`", name)))


@pytest.mark.parametrize("name", SCORERS)
def test_every_rule_stands_in_the_page_with_its_threshold(name):
    found = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (at most|at least|)\s?([\d.,]+)(?: to ([\d.,]+))? \|$", section(name), re.M
    )
    told = {column: (words, kind, low, high) for column, words, kind, low, high in found}
    assert list(told) == [rule.column for rule in SCORERS[name].rules]
    for rule in SCORERS[name].rules:
        words, kind, first, second = told[rule.column]
        assert words == rule.words
        numbers = [float(n.replace(",", "")) for n in (first, second) if n]
        expected = [n for n in (rule.low, rule.high) if not isinf(n)]
        assert numbers == expected
        assert kind == ("at most" if isinf(rule.low) else "at least" if isinf(rule.high) else "")


def test_the_parity_table_is_that_of_the_last_run():
    kept = json.loads((ROOT / "benchmarks" / "results" / "rules.json").read_text())
    text = section("Do they agree")
    for name, p in kept["parity"].items():
        cells = " | ".join(str(p[k]) for k in ("n", "both_keep", "both_drop", "only_we_keep", "only_they_keep"))
        assert f"| {name} | {cells} | " in text
    assert f"{kept['all_four_verdicts_equal']:,} of {kept['n']:,} documents" in text
    assert len(kept["differences"]) == 1  # "The one difference"
