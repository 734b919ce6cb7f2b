"""Every epoch in the plane of accuracy and attack success: what is drawn, in which colour, and what is said of it."""

import pytest

pytest.importorskip("altair")

from antivenom.report import charts
from antivenom.report.selection_chart import LOST, VICTIM, scatter, scatter_views


def point(method="mmcl", panel="mmcl", seed=0, ca=0.7, asr=0.3, destroyed=False, victim=(0.9, 0.8)):
    return {
        "method": method, "panel": panel, "seed": seed, "ca": ca, "asr": asr, "destroyed": destroyed,
        "victim_asr": victim[0], "victim_ca": victim[1],
    }  # fmt: skip


def test_destroyed_points_are_grey_whatever_their_cure_and_each_victim_is_drawn_once():
    points = [point(), point(ca=0.75), point("ssl", ca=0.1, asr=0.0, destroyed=True), point(seed=1, victim=(0.8, 0.7))]
    spec = scatter(points)
    drawn = [(row["cure"], row["asr"], row["ca"]) for row in spec["data"]["values"]]
    assert drawn[:3] == [("mmcl", 0.3, 0.7), ("mmcl", 0.3, 0.75), (LOST, 0.0, 0.1)]
    assert [d for d in drawn if d[0] == VICTIM] == [(VICTIM, 0.8, 0.7), (VICTIM, 0.9, 0.8)]
    scale = spec["encoding"]["color"]["scale"]
    colour = dict(zip(scale["domain"], scale["range"], strict=True))
    assert colour[LOST] == charts.MUTED
    assert len(set(scale["range"])) == len(scale["domain"]) == 4


def test_a_missing_figure_is_counted_and_not_drawn():
    points = [point(), point(asr=None), point(ca=None, destroyed=True)]
    assert [row["cure"] for row in scatter(points)["data"]["values"]] == ["mmcl", VICTIM]
    (view,) = scatter_views(points)
    assert view["words"] == [f"mmcl: 3 points, lowest ASR 0.300, 1 {LOST}"]


def test_a_chart_per_victim_in_the_order_met():
    views = scatter_views([point(panel="b"), point(panel="a", seed=1), point(panel="b", seed=2)])
    assert [view["title"].split()[0] for view in views] == ["b", "a"]
    assert [view["seeds"] for view in views] == ["2 seeds", "1 seed"]
    assert scatter_views([]) == []
    assert "<svg" in views[0]["svg"]
    hostile = scatter_views([point("<script>alert(1)</script>", panel="<b>")])[0]
    assert "<script" not in hostile["svg"]
