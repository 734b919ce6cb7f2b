"""The page as text: what it says, what it escapes, and what it leaves out."""

import base64
import hashlib
import json
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_runs import (
    HOSTILE,
    QUARANTINE,
    pair_line,
    pair_lines,
    pairs_table,
    run_record,
    study_record,
    study_rows,
    write_run,
)

from antivenom.errors import AntivenomError
from antivenom.report import charts, evidence, render_screen, render_study, wording, write_screen_report
from antivenom.report.screen_page import headline, identity, notices
from antivenom.report.study_page import pool, study_view
from antivenom.report.wording import number


def data_of(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])


def text_of(html: str) -> str:
    """The page without data, script and style: what a reader sees before any script ran."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


@pytest.fixture(scope="module")
def html() -> str:
    return render_screen(run_record(), pairs_table(pair_lines()), QUARANTINE, folder="runs/first run")


# --- the sentences -------------------------------------------------------------------------------------------------


def bench(**numbers):
    return {"name": "HumanEval", "items": 164, "verbatim": 0, "rephrased": 0, "contaminated": 0, **numbers}


@pytest.mark.parametrize(
    ("benches", "counts", "sentence"),
    [
        (
            [bench(verbatim=7, rephrased=5, contaminated=12)],
            {"rows_in": 41_222, "kept": 41_203, "removed": 19, "quarantined": 0},
            "12 of 164 HumanEval items are in this corpus: 7 word for word, 5 in other words. "
            "19 rows were removed, 41,203 kept.",
        ),
        (
            [bench()],
            {"rows_in": 10, "kept": 9, "removed": 0, "quarantined": 1},
            "None of the 164 HumanEval items was found in this corpus. "
            "No row was removed, 9 kept, 1 could not be read.",
        ),
        (
            [bench(rephrased=1, contaminated=1), bench(name="GSM8K", items=1319)],
            {"rows_in": 3, "kept": 2, "removed": 1, "quarantined": 0},
            "1 of 1,483 benchmark items is in this corpus, in other words. 1 row was removed, 2 kept.",
        ),
    ],
)
def test_the_headline_says_the_result_in_words(benches, counts, sentence):
    assert headline({"per_benchmark": benches, "counts": counts}) == sentence


def test_rows_that_do_not_add_up_are_shouted():
    good = run_record()
    assert identity(good)["holds"]
    assert not any("add up" in words for _, words in notices(good))
    bad = run_record(counts={**good["counts"], "kept": 41_202})
    assert ("alarm", "The rows do not add up: 1 of the rows in are unaccounted for.") in notices(bad)
    assert "Does not add up." in render_screen(bad, pairs_table([]), [])


def test_undecided_unfinished_and_warnings_stand_above_the_figures(html):
    seen = text_of(html)
    assert seen.index("2 items undecided") < seen.index("rows in")
    assert seen.index("3 % of the rows are not English") < seen.index("rows in")
    assert "every figure on this page is partial" not in seen
    assert "every figure on this page is partial" in text_of(
        render_screen(run_record(status="running"), pairs_table([]), [])
    )


def test_denominators_intervals_and_the_planted_dose_are_printed(html):
    seen = text_of(html)
    assert "Share of items" in seen
    assert "7.3 %" in seen  # 12 of 164 items; never 12 of 41,227 rows
    assert "4.2 – 12.4 %" in seen  # Wilson, 12 of 164
    assert "Found 16 of 16 verbatim and 13 of 16 rephrased." in seen
    assert "80.6 – 100 %" in seen  # Wilson, 16 of 16: not a certainty
    assert "Planted on purpose" not in text_of(render_screen(run_record(planted=None), pairs_table([]), []))


def test_a_record_without_most_of_its_fields_still_makes_a_page():
    seen = text_of(render_screen({"antivenom": "0.1.0", "status": "running"}, pairs_table([]), []))
    assert "No benchmark was compared" in seen
    assert "None" not in seen


def test_a_missing_rate_is_a_dash_and_never_zero():
    empty = {**bench(items=0), "share": None, "low": None, "high": None, "undecided": 0, "generic": 0}
    seen = text_of(render_screen(run_record(per_benchmark=[empty]), pairs_table([]), []))
    assert "HumanEval 0 0 0 0 – –" in seen


# --- hostile text --------------------------------------------------------------------------------------------------


def test_hostile_text_cannot_leave_the_data_element(html):
    assert html.count("<script") == html.count("</script>") == 2  # the data and the one script
    assert html.count("<style") == 1
    assert "<img" not in html
    assert "<!--" not in html
    lefts = {"".join(card["left"]) for card in data_of(html)["pairs"]}
    assert {wording.visible(text) for text in HOSTILE} <= lefts  # and nothing of it is lost


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_escaped_everywhere(hostile):
    lines = [pair_line(1, "verbatim", hostile, file=hostile, id=hostile, benchmark=hostile, item_id=hostile)]
    record = run_record(
        warnings=[hostile],
        command=["antivenom", hostile],
        config={hostile: hostile},
        versions={hostile: hostile},
        steps=[{"name": hostile, "rows": 1, "bytes": 1, "wall_s": 1, "cpu_s": 1, "rows_per_s": 1.0, "mb_per_s": 1.0}],
        detectors=[{"name": hostile, "kind": hostile, "params": {hostile: hostile}, "rows": 1, "items": 1, "pairs": 1}],
        agreement=[{"detectors": [hostile, "b"], "rows": 2}],
        thresholds=[{"detector": hostile, "threshold": t, "rows": 1, "items": 1} for t in (0.1, 0.9)],
        planted=[{"transform": hostile, "n": 1, "found": 1, "share": 1.0, "low": 0.2, "high": 1.0}],
        machine={"cpu": hostile},
    )
    html = render_screen(
        record, pairs_table(lines), [{"file": hostile, "position": 1, "reason": hostile}], folder=hostile
    )
    assert html.count("<script") == html.count("</script>") == 2
    assert "<img" not in html
    assert "<!--" not in html
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e]", html)


def test_hidden_characters_are_shown():
    assert wording.visible("a\u202eb\u2066c\x00d\x1be\ufefff\U000e0041g\u200bh") == (
        "a[U+202E]b[U+2066]c␀d␛e[U+FEFF]f[U+E0041]g[U+200B]h"
    )
    assert wording.visible("line\r\nnext\tcell") == "line\nnext\tcell"
    assert wording.visible("\ud800 alone").encode() == "\ufffd alone".encode()
    assert wording.visible("नमस्ते ‌‍ 👩‍👧 é") == "नमस्ते ‌‍ 👩‍👧 é"  # joiners that scripts and emoji need stay
    assert len(wording.visible("x" * 10**6, 50)) == 51


def test_the_policy_allows_exactly_the_script_of_the_page(html):
    script = re.findall(r"<script>(.*?)</script>", html, re.S)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert html.index("Content-Security-Policy") < html.index("<style")  # before anything it governs


def test_the_page_names_no_address_to_load_from(html):
    shell = re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.S)
    assert not re.search(r"""(src|href)\s*=\s*(?!["']?#)""", shell)
    assert "@import" not in shell
    assert not re.search(r"url\((?!#)", shell)


# --- evidence ------------------------------------------------------------------------------------------------------


def brute_segments(text, spans):
    """Character by character: is it in a span?"""
    inside = [any(s["start"] <= i < s["stop"] for s in spans) for i in range(len(text))]
    return "".join(c for c, yes in zip(text, inside) if yes), "".join(c for c, yes in zip(text, inside) if not yes)


@pytest.mark.parametrize(
    "spans",
    [[], [(0, 3)], [(4, 9), (2, 6)], [(3, 3), (5, 2)], [(-5, 2), (8, 99)], [(1, 2), (2, 4), (4, 5)], [(50, 60)]],
)
def test_segments_mark_the_characters_of_the_spans(spans):
    text, spans = "a𝒳b👩‍👧 word", [{"start": a, "stop": b} for a, b in spans]
    parts = evidence.segments(text, spans)
    assert ("".join(parts[1::2]), "".join(parts[::2])) == brute_segments(text, spans)
    assert "".join(parts) == text
    assert len(parts) % 2 == 1


def test_segments_of_a_long_text_end_with_an_ellipsis():
    parts = evidence.segments("x" * 5000, [{"start": 1990, "stop": 4000}])
    assert parts == ["x" * 1990, "x" * 10, "…"]
    assert evidence.segments(None, None) == [""]


def test_a_pair_seen_by_three_detectors_is_one_card():
    lines = [
        pair_line(1, "candidate", "bm25", rank=2, verdict="different", probability=0.2, flagged=False),
        pair_line(1, "verbatim", "ngram"),
        pair_line(1, "candidate", "embedding", rank=1, flagged=False),
        pair_line(2, "candidate", "bm25", rank=1),
    ]
    cards = data_of(render_screen(run_record(), pairs_table(lines), []))["pairs"]
    assert [card["kind"] for card in cards] == ["verbatim", "candidate"]
    assert [d[0] for d in cards[0]["detectors"]] == ["bm25", "ngram", "embedding"]
    assert cards[0]["verdict"].startswith("different")
    assert cards[0]["left"][1].startswith("def ")  # the text of the finding, not of a candidate's window


def test_a_generic_or_undecided_pair_is_not_counted_as_found():
    lines = [
        pair_line(1, "generic", "bm25", flagged=True, verdict="same"),
        pair_line(2, "candidate", "bm25", flagged=False, verdict="undecided"),
        pair_line(3, "rephrased", "bm25", flagged=False, verdict="different"),
    ]
    assert evidence.choose(pairs_table(lines), 10).totals == {"generic": 1, "undecided": 1, "candidate": 1}


def test_the_cap_keeps_the_flagged_pairs_and_says_what_is_missing():
    lines = [pair_line(i, "candidate", "bm25", rank=1) for i in range(60)]
    lines += [pair_line(100 + i, "rephrased", "bm25", probability=0.9) for i in range(7)]
    html = render_screen(run_record(), pairs_table(lines), [], cap=20)
    kinds = [card["kind"] for card in data_of(html)["pairs"]]
    assert kinds == ["rephrased"] * 7 + ["candidate"] * 13
    assert "20 of 67 pairs are on this page, all flagged ones among them" in text_of(html)
    short = text_of(render_screen(run_record(), pairs_table(lines), [], cap=5))
    assert "5 of 67 pairs are on this page, flagged ones first (2 flagged pairs are not shown)" in short


def test_the_page_has_an_upper_size():
    lines = [pair_line(i, "verbatim", "ngram", row_excerpt="<&>" * 666, item_text="\u202e" * 2000) for i in range(2000)]
    html = render_screen(run_record(), pairs_table(lines), [])
    shown = len(data_of(html)["pairs"])
    assert 0 < shown < 2000
    assert len(html.encode()) < 10_000_000
    assert f"{2000 - shown:,} flagged pairs are not shown" in text_of(html)


def test_the_order_does_not_depend_on_the_order_of_the_lines():
    lines = pair_lines(60)
    first, second = (evidence.choose(pairs_table(some), 40) for some in (lines, lines[::-1]))
    key = [(line["file"], line["position"], line["item_id"]) for line in lines]
    assert [key[g[0]] for _, g in first.groups] == [key[::-1][g[0]] for _, g in second.groups]
    assert first.totals == second.totals


def test_the_command_to_copy_is_quoted_for_the_shell():
    lines = [pair_line(1, "verbatim", "ngram", id="a b; rm -rf $HOME"), pair_line(2, "verbatim", "ngram", id="--help")]
    cards = data_of(render_screen(run_record(), pairs_table(lines), [], folder="my run"))["pairs"]
    assert {card["command"] for card in cards} == {
        "antivenom explain 'my run' 'a b; rm -rf $HOME'",
        "antivenom explain 'my run' -- --help",
    }


# --- charts --------------------------------------------------------------------------------------------------------


def test_the_agreement_chart_has_a_line_per_set_and_a_dot_per_detector():
    sets = [{"detectors": ["ngram"], "rows": 2}, {"detectors": ["ngram", "bm25"], "rows": 5}]
    matrix, bars = charts.agreement(sets)["hconcat"]
    dots = matrix["layer"][0]["data"]["values"]
    assert [(d["set"], d["detector"], d["member"]) for d in dots] == [
        (0, "ngram", True),
        (0, "bm25", True),
        (1, "ngram", True),
        (1, "bm25", False),
    ]
    layer = bars["layer"][0]
    assert [v["rows"] for v in (layer.get("data") or bars["data"])["values"]] == [5, 2]  # the larger set first


def test_the_threshold_curve_keeps_every_point_and_marks_the_threshold_in_use():
    points = [{"threshold": t, "rows": 100 // t, "items": 10 // t} for t in (1, 2, 5, 10)]
    spec = charts.threshold_curve(points[::-1], used=2.0)
    values = spec["layer"][0]["data"]["values"]
    assert [v["flagged"] for v in values if v["what"] == "rows flagged"] == [100, 50, 20, 10]
    assert [v["flagged"] for v in values if v["what"] == "items flagged"] == [10, 5, 2, 1]
    assert spec["layer"][1]["data"]["values"] == [{"threshold": 2.0}]


def test_charts_scale_have_a_text_alternative_and_share_no_id(html):
    drawn = re.findall(r"<svg class=\"chart\".*?</svg>", html, re.S)
    assert len(drawn) == 4  # agreement, two thresholds, throughput
    for one in drawn:
        head = one[: one.index(">")]
        assert "viewBox" in head
        assert " width=" not in head
        assert re.search(r"<title id=\"[\w-]+\">\w", one)
        assert re.search(r"<desc id=\"[\w-]+\">\w", one)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_every_colour_of_a_chart_has_a_dark_twin(html):
    used = set(
        re.findall(r'(?:fill|stroke)="(#[0-9a-f]+)"', "".join(re.findall(r"<svg class=\"chart\".*?</svg>", html, re.S)))
    )
    dark = charts.dark_css()
    assert used
    assert all(f'[fill="{colour}"]' in dark for colour in used), used


# --- studies -------------------------------------------------------------------------------------------------------


def test_pooling_over_seeds_covers_every_seed_and_leaves_missing_values_out():
    base = {
        "metric": "m",
        "treatment": "t",
        "dose": 4,
        "dose_share": 0.1,
        "denominator": "rows",
        "n": 9,
        "control": 0.5,
        "control_name": "twin",
    }
    rows = [
        {**base, "seed": 0, "value": 0.2, "low": 0.1, "high": 0.3},
        {**base, "seed": 1, "value": 0.4, "low": 0.3, "high": 0.6},
        {**base, "seed": 2, "value": None, "low": None, "high": None},
        {**base, "seed": 3, "value": float("nan"), "low": None, "high": None},
    ]
    (cell,) = pool(rows)
    assert cell["value"] == pytest.approx(0.3)
    assert (cell["low"], cell["high"], cell["missing"], cell["control"]) == (0.1, 0.6, 2, 0.5)
    (diverged,) = pool(rows[2:3])
    assert diverged["value"] is None


def test_the_study_page_shows_read_figures_and_never_recalled_ones():
    html = render_study(study_record(), pa.Table.from_pylist(study_rows()))
    assert "0.991" in html
    assert "0.432" not in html
    assert "1 figure not printed: known from memory only" in text_of(html)
    assert "flagged in the clean haystack" in text_of(html)


def test_the_curve_has_intervals_seeds_controls_and_the_papers_points():
    cells = [c for c in pool(study_rows(3)) if c["metric"] == "end-to-end recall"]
    paper = [{"dose": 75, "treatment": "bm25", "value": 0.991}, {"dose": 75, "treatment": "unknown", "value": 0.5}]
    names = ["ngram", "bm25", "embedding", "ensemble"]
    spec = charts.dose_response(cells, treatments=names, dose_title="dose", paper=paper)
    layers = spec["layer"]
    assert [layer["mark"]["type"] for layer in layers] == ["rule", "line", "point", "point", "line", "point"]
    assert [v["value"] for v in layers[4]["data"]["values"]] == [pytest.approx(0.003)] * 4  # the control
    assert layers[5]["data"]["values"] == [{"dose": 75, "treatment": "bm25", "value": 0.991}]
    assert all(v["low"] <= v["value"] <= v["high"] for v in layers[0]["data"]["values"])


def test_a_control_of_each_treatment_is_drawn_for_each_and_a_shared_one_once():
    cells = [c for c in pool(study_rows()) if c["metric"] == "end-to-end recall"]
    names = ["ngram", "bm25", "embedding", "ensemble"]
    for cell in cells:
        cell["control"] = 0.1 * names.index(cell["treatment"])
    drawn = charts.dose_response(cells, treatments=names, dose_title="dose")["layer"][-1]
    assert {(v["treatment"], v["value"]) for v in drawn["data"]["values"]} == {
        (name, 0.1 * i) for i, name in enumerate(names)
    }
    assert len(drawn["data"]["values"]) == 16
    assert "color" in drawn["encoding"]
    shared = charts.dose_response(
        [{**c, "control": 0.2} for c in cells], treatments=names, dose_title="dose"
    )  # one line of four doses
    assert len(shared["layer"][-1]["data"]["values"]) == 4


def test_treatments_of_one_dose_stand_side_by_side():
    cells = [c for c in pool(study_rows()) if c["metric"] == "precision"]
    names = ["ngram", "bm25", "embedding", "ensemble"]
    drawn = charts.svg(
        charts.dose_response(cells, treatments=names, dose_title="dose"), name="a", title="a", description="a"
    )
    places = re.findall(r'<path aria-label="[^"]*" |<path transform="translate\(([\d.]+),', drawn)
    assert len({float(x) for x in places if x}) >= 16  # four treatments at four doses
    bare = [{**c, "low": c["value"], "high": c["value"]} for c in cells]
    whole = charts.dose_response(bare, treatments=names, dose_title="dose")["data"]["values"]  # shared by all layers
    assert {v["shift"] for v in whole} == {0}  # nothing to be told apart


def test_a_long_dose_title_is_broken_and_not_cut():
    cells = [c for c in pool(study_rows()) if c["metric"] == "precision"]
    title = "dose, counted in training rows of a fold"
    spec = charts.dose_response(cells, treatments=["ngram", "bm25", "embedding", "ensemble"], dose_title=title)
    told = spec["layer"][1]["encoding"]["x"]["title"]
    assert " ".join(told) == f"{title} (log scale)"
    assert max(len(part) for part in told) <= charts.TITLE


def test_more_treatments_than_colours_are_drawn_in_several_charts_with_the_controls_in_each():
    rows = [
        {**row, "treatment": f"t{i}"}
        for i in range(15)
        for row in study_rows()
        if (row["metric"], row["treatment"]) == ("precision", "bm25")
    ]
    view = study_view(study_record(controls=["t0", "t1"]), rows)
    assert [c["metric"] for c in view["curves"]] == [f"precision ({i} of 3)" for i in (1, 2, 3)]
    drawn = [[words.split(":")[0] for words in c["words"]] for c in view["curves"]]
    assert all(names[:2] == ["t0", "t1"] and len(names) <= len(charts.SERIES) for names in drawn)
    assert [name for names in drawn for name in names[2:]] == [f"t{i}" for i in range(2, 15)]
    assert len(study_view(study_record(), rows[: 8 * 4])["curves"]) == 1


def test_ours_stands_beside_the_papers_figure_at_its_dose_or_else_at_the_largest():
    rows = study_rows()
    record = study_record()
    there = {(r["metric"], r["treatment"], r["dose"]): r["value"] for r in rows}
    own, without = record["figures"][0], {**record["figures"][0], "dose": None, "source": "elsewhere"}
    unknown = {**own, "dose": 8}
    view = study_view({**record, "figures": [own, without, unknown]}, rows)
    told = [(f["ours"], f["at"], f["source"]) for f in view["paper"]]
    assert told == [
        (number(there["end-to-end recall", "bm25", 75]), "75", 1),
        (number(there["end-to-end recall", "bm25", 1495]), "1,495", 2),
        ("–", "–", 1),
    ]
    assert view["sources"] == ["our notes, section 4", "elsewhere"]


def test_hostile_names_in_a_study_are_escaped():
    for hostile in HOSTILE:
        rows = [
            {**row, "treatment": hostile, "metric": hostile, "denominator": hostile, "control_name": hostile}
            for row in study_rows()[:3]
        ]
        html = render_study(study_record(study=hostile, paper=hostile, figures=[]), pa.Table.from_pylist(rows))
        assert html.count("<script") == html.count("</script>") == 2
        assert "<img" not in html


# --- the run directory ---------------------------------------------------------------------------------------------


def test_writing_reads_the_run_directory_and_equals_rendering(tmp_path):
    run = write_run(tmp_path / "run", pair_lines(120))
    path = write_screen_report(run, cap=50)
    assert path == run / "report.html"
    first = path.read_bytes()
    assert write_screen_report(run, cap=50).read_bytes() == first  # deterministic
    assert sorted(p.name for p in run.iterdir() if "report" in p.name) == ["report.html"]
    cards = data_of(first.decode())["pairs"]
    whole = data_of(render_screen(run_record(), pq.read_table(run / "pairs.parquet"), [], folder=str(run), cap=50))[
        "pairs"
    ]
    bare = [{**card, "action": "", "reason": ""} for card in cards]
    assert bare == whole  # reading only the lines shown gives what reading all gives
    assert len(cards) == 50
    assert any(card["reason"].startswith("13-gram shared with") and card["action"] == "removed" for card in cards)


def test_the_counts_of_a_long_quarantine_are_of_all_of_it(tmp_path):
    run = write_run(tmp_path / "run", [])
    lines = [
        json.dumps({"file": "f", "position": i, "reason": "no field" if i % 3 else "not UTF-8"}) for i in range(3000)
    ]
    (run / "quarantine.jsonl").write_text("\n".join([*lines, "{broken"]) + "\n")
    html = write_screen_report(run).read_text()
    assert "3,001 rows could not be read" in text_of(html)
    assert "2,000 no field" in text_of(html)
    assert len(data_of(html)["quarantine"]) == 1000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", None),
        ("run.json", b"{"),
        ("run.json", b"[1]"),
        ("pairs.parquet", None),
        ("pairs.parquet", b"no parquet"),
    ],
)
def test_a_missing_or_broken_file_is_named(tmp_path, name, content):
    run = write_run(tmp_path / "run", [])
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content)
    with pytest.raises(AntivenomError, match=name):
        write_screen_report(run)
    assert not (run / "report.html").exists()


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", [])
    (run / "report.html").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AntivenomError, match="disk is full"):
        write_screen_report(run)
    assert (run / "report.html").read_text() == "old"
    assert not list(run.glob(".*"))


def test_a_run_of_scores_explains_its_own_words_and_lists_its_sections_in_order():
    """The glossary has no benchmark word where no benchmark was looked at; the jump list follows the page."""
    score = {"label": "age", "identity": {"name": "age", "version": "1"}, "rows": 2, "n": 2, "missing": 0}
    quantiles = dict.fromkeys(("0", "0.05", "0.25", "0.5", "0.75", "0.95", "1"), 2004.0)
    score |= {"quantiles": quantiles, "histogram": {"edges": [1998.0, 2004.0, 2010.5], "counts": [1, 1]}}
    rule = {"spec": "age:max=2010", "rule": "drop", "column": "age", "lines": [2010.0], "control": {}}
    empty = {"benchmarks": [], "per_benchmark": [], "detectors": [], "planted": []}
    html = render_screen(run_record(scores=[score], filters=[rule], **empty), pairs_table([]), [], folder="run")
    words = text_of(html)
    assert "1998 to 2004" in words
    assert "2004 to 2010.5" in words
    assert "cut at 2010" in words
    assert "2,004" not in html
    assert "a rule that turns one score into keep or drop" in words
    assert "one question of a benchmark" not in words
    targets = re.findall(r'<a href="#(\w+)">', html.partition("</nav>")[0].partition('class="jump"')[2])
    places = [html.index(f'id="{name}"') for name in targets]
    assert places == sorted(places)
    assert targets.index("filters") < targets.index("scores")
    assert "one question of a benchmark" in text_of(render_screen(run_record(), pairs_table([]), [], folder="run"))
