"""What the terminal prints of a study fits the terminal: no figure is cut in the middle."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from antivenom import terminal


@dataclass
class Result:
    """Seven doses of one metric."""

    summary: list
    headline: list = field(default_factory=list)
    failed: list = field(default_factory=list)
    skipped: list = field(default_factory=list)


@pytest.mark.parametrize(("width", "whole"), [(80, False), (140, True)])
def test_intervals_are_left_to_the_report_where_they_do_not_fit(monkeypatch, width, whole):
    page = io.StringIO()
    monkeypatch.setattr(terminal, "console", Console(file=page, width=width))
    shown = {"metric": "F1", "treatment": "a learner", "value": 0.51, "low": 0.42, "high": 0.63}
    rows = [{**shown, "dose": dose, "control": 0.5, "control_name": "chance"} for dose in range(7)]
    terminal.print_study(Result(rows), Path("run"))
    (line,) = [line for line in page.getvalue().splitlines() if line.startswith("a learner")]
    assert line.split().count(".51") == 7
    assert ("[.42 .63]" in line) == whole
    assert ("intervals: in the report" in page.getvalue()) == (not whole)
