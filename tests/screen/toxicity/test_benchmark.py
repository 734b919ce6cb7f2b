"""The figures of benchmarks/scorers.py: ratios inside a repeat, AUROC on the rows that both score, the difference by pairs."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

HOUSE = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        for folder in ("benchmarks", "scripts"):
            patch.syspath_prepend(str(HOUSE / folder))
        yield importlib.import_module("scorers")


def test_the_ratio_is_taken_inside_a_repeat(bench):
    texts = {"tweets": ["abcd"] * 100}
    ours, theirs = ({"tweets": s} for s in (1.0, 2.0, 4.0)), ({"tweets": s} for s in (3.0, 4.0, 16.0))
    found = bench.speed_table(texts, list(ours), list(theirs))["tweets"]
    assert (found["ours"], found["theirs"]) == (50, 25)
    assert (found["ratio"], found["least"], found["most"]) == (3.0, 2.0, 4.0)  # 3, 2, 4: not 100 / 2 over 100 / 4
    assert (found["documents"], found["mean characters"], found["repeats"]) == (100, 4, 3)


def test_quality_is_compared_on_rows_that_both_score(bench):
    labels = np.array([0, 1] * 20)
    right = [0.2 + 0.6 * y for y in labels]
    flat: list[float | None] = [0.5] * 40
    found = bench.quality_of(labels, [None, *right[1:]], [*flat[:39], None])
    assert (found["n"], found["toxic"], found["not scored by both"]) == (38, 19, 2)
    assert (found["ours"]["value"], found["theirs"]["value"]) == (1.0, 0.5)
    assert found["difference"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    same = bench.quality_of(labels, right, right)["difference"]
    assert same == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_the_tables_say_what_is_stored(bench):
    record = json.loads((HOUSE / "benchmarks" / "results" / "scorers.json").read_text())
    lines = bench.tables(record).splitlines()
    page = (HOUSE / "docs" / "benchmarks.md").read_text()
    assert len(lines) == len(record["speed"]) + len(record["quality"]) + 5
    for line in lines:
        assert line in page, "docs/benchmarks.md shows another run: copy the tables that benchmarks/scorers.py prints"
