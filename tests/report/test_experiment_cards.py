"""Cards of experiments: seeds of one experiment are one card, figures stand under their metric, and a card is text, whatever it holds."""

import pyarrow as pa

from antivenom.report.experiment_cards import card_views, matrix_views
from antivenom.report.page import render_study
from antivenom.studies.frame import ROWS_SCHEMA

RUN = {"study": "many", "title": "t", "status": "complete", "seeds": [0, 1]}


def row(metric, treatment, dose, value, seed=0, **more):
    found = {
        "study": "many",
        "metric": metric,
        "treatment": treatment,
        "dose": dose,
        "value": value,
        "seed": seed,
        "n": 10,
    }
    return (
        found
        | {"low": value - 0.1, "high": value + 0.1, "control": 0.5, "control_name": "twin", "denominator": "tokens"}
        | more
    )


def card(key, treatment, seed=0, **more):
    doses = [{"condition": "4x", "placements": 480, "tokens": 6_000, "share": 0.003}]
    words = {"title": f"The {key}", "what": "w", "where": "x", "metric": "m", "cost": "c"}
    return {"key": key, "treatment": treatment, "seed": seed, "doses": doses, "notes": [f"note {seed}"], **words} | more


ROWS = [
    row("AUC", "memp-rare", 16, 0.9, dose_unit="copies"), row("AUC", "memp-rare", 16, 0.7, 1, dose_unit="copies"),
    row("AUC", "memp-plain", 16, 0.6, dose_unit="copies"), row("accuracy", "bc", 4, 0.4, dose_unit="copies"),
]  # fmt: skip
CARDS = [card("memp", "memp-rare"), card("memp", "memp-plain"), card("bc", "bc"), card("memp", "memp-rare", 1)]


def test_seeds_and_treatments_of_one_experiment_are_one_card():
    views = card_views(CARDS, ROWS)
    assert [v["title"] for v in views] == ["The memp", "The bc"]
    (auc,) = views[0]["results"]
    assert (auc["metric"], auc["unit"], auc["control"]) == ("AUC", "copies", "twin")
    assert [(r["treatment"], r["dose"], r["value"], r["control"]) for r in auc["rows"]] == [
        ("rare", "16", "0.800", "0.500"), ("plain", "16", "0.600", "0.500"),
    ]  # fmt: skip
    assert auc["rows"][0]["interval"] == "0.600 – 1"  # from the lowest lower end to the highest upper one
    assert views[1]["results"][0]["rows"][0]["treatment"] == ""
    assert views[0]["notes"] == ["Seed 0: note 0", "Seed 0: note 0", "Seed 1: note 1"]
    assert views[1]["doses"] == [{"condition": "4x", "placements": "480", "tokens": "6,000", "share": "0.30 %"}]


def test_a_page_with_cards_draws_only_what_has_several_doses():
    table = pa.Table.from_pylist([*ROWS, row("accuracy", "bc", 16, 0.8, dose_unit="copies")], schema=ROWS_SCHEMA)
    page = render_study(RUN, table, cards=CARDS)
    assert page.count('<figure class="plot">') == 1
    assert "dose, counted in copies" in page
    assert "The memp" in page
    assert render_study(RUN, table).count('<figure class="plot">') == 2


def test_a_card_is_text_whatever_it_holds():
    table = pa.Table.from_pylist(ROWS, schema=ROWS_SCHEMA)
    page = render_study(RUN, table, cards=[card("bc", "bc", title="<script>alert(1)</script>", notes=["<b>"])])
    assert "<script>alert" not in page
    assert "&lt;b&gt;" in page


def test_a_dependence_test_is_drawn_with_its_verdict_and_the_weakest_pairs():
    def entry(j, i, value, p, verdict=None):
        more = {
            "low": value - 1,
            "high": value + 1,
            "se": 0.5,
            "n": 9,
            "p": p,
            "p_corrected": p,
            "minimum_detectable": 1.5,
        }
        return {"train": j, "test": i, "value": value, "verdict": verdict, **more}

    record = {
        "names": ["a", "b"], "verdict": "not safe", "alpha": 0.05, "floor": {"a": 0.1, "b": 0.2}, "units": {"a": "points", "b": "nats"},
        "entries": [entry("a", "a", 5.0, 0.0), entry("b", "b", 4.0, 0.0), entry("a", "b", 2.0, 0.001, "not safe"), entry("b", "a", 0.1, 0.8, "safe")],
        "totals": [entry("ALL", "a", 0.2, 0.5), entry("ALL", "b", 0.3, 0.4)],
    }  # fmt: skip
    given = {
        "key": "dependence",
        "treatment": "dependence",
        "seed": 0,
        "title": "CPDT",
        "matrix": record,
        "without_planted": "safe",
        "notes": [],
    }
    (view,) = matrix_views([given, *CARDS])
    assert (view["verdict"], view["without"]) == ("not safe", "safe")
    assert view["words"] == "Pairs that are not safe: a on b."
    assert [p["pair"] for p in view["pairs"]] == ["a on b", "b on a"]
    assert [(o["name"], o["value"], o["floor"], o["all"]) for o in view["own"]] == [
        ("a", "5", "0.100", "0.200"),
        ("b", "4", "0.200", "0.300"),
    ]
    page = render_study(RUN, pa.Table.from_pylist(ROWS, schema=ROWS_SCHEMA), cards=[given])
    assert "Do they disturb each other?" in page
    assert 'id="matrix0-title"' in page
