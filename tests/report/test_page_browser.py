"""The page in a real browser: it runs, asks nothing of the network, can be used, and shows hostile text as text."""

import json
import re
import shutil

import pytest
from fake_runs import HOSTILE, pair_line, study_record, study_rows, write_run

from antivenom.report import write_screen_report, write_study_report
from antivenom.report.wording import visible
from antivenom.screen import screen_corpus

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")

# nothing but the page itself: without these a fresh Chromium looks for updates and accounts
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        except sync_api.Error as error:
            pytest.skip(f"no headless Chromium: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens a page of the disk and fails the test on any error, console message or request it makes."""
    contexts, trouble = [], []

    def go(path, width=1280, **options):
        context = chromium.new_context(viewport={"width": width, "height": 844}, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        tab.on("console", lambda message: trouble.append(f"console: {message.text}"))
        tab.on("dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        address = path.resolve().as_uri()
        tab.on("request", lambda one: trouble.append(f"request: {one.url}") if one.url != address else None)
        tab.goto(address)
        return tab

    yield go
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_screen_report(write_run(tmp_path_factory.mktemp("screen") / "run"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("study")
    (folder / "run.json").write_text(json.dumps(study_record()))
    pq.write_table(pa.Table.from_pylist(study_rows(2)), folder / "rows.parquet")
    return write_study_report(folder)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Ages, domains (one with markup for a name), scores and a filter."""
    folder = tmp_path_factory.mktemp("scored")
    rows = [
        {"text": "word " * (5 + i % 7), "url": f"https://site{i % 25}.org/{2004 + i % 12}/03/12/x"} for i in range(300)
    ] + [{"text": "undated words", "source": text} for text in HOSTILE]
    (folder / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores = ["age:latest=2020-12-31", "domain", "profile"]
    screen_corpus(
        folder / "c.jsonl", out=folder / "run", scores=scores, filters=["profile:min=7,higher=any"], runner="loop"
    )
    return folder / "run" / "report.html"


def shown(tab) -> int:
    return tab.locator("#pairs .pair").count()


def state(tab) -> str:
    return tab.locator("#pairs [data-state]").inner_text()


def settle(tab, wanted: str) -> None:
    sync_api.expect(tab.locator("#pairs [data-state]")).to_contain_text(wanted)


def test_pages_are_turned(visit, report):
    tab = visit(report)
    assert state(tab) == "Showing 1 to 10 of 308"
    assert shown(tab) == 10
    pager = tab.locator("#pairs .pager")
    assert pager.get_by_role("button", name="Previous").is_disabled()
    first = tab.locator("#pairs .pair").first.inner_text()
    pager.get_by_role("button", name="Next").click()
    assert state(tab) == "Showing 11 to 20 of 308"
    assert tab.locator("#pairs .pair").first.inner_text() != first
    pager.get_by_role("button", name="Last page").click()
    assert state(tab) == "Showing 301 to 308 of 308"
    assert shown(tab) == 8
    assert pager.get_by_role("button", name="Next").is_disabled()
    pager.get_by_role("button", name="First page").click()
    assert tab.locator("#pairs .pair").first.inner_text() == first


def test_filters_and_search_go_together(visit, report):
    tab = visit(report)
    chip = tab.get_by_role("button", name=re.compile("^In other words"))
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    in_all = int(re.search(r"of (\d+)", state(tab))[1])
    assert chip.locator(".n").inner_text() == str(in_all)
    assert set(tab.locator("#pairs .pair .badge").all_inner_texts()) == {"In other words"}
    tab.get_by_label("Search the pairs").fill("BALANCE zero")  # both words, any case, anywhere in the pair
    sync_api.expect(tab.locator("#pairs [data-state]")).not_to_contain_text(f"of {in_all}")
    for text in tab.locator("#pairs .pair").all_inner_texts():
        assert "balance" in text
    tab.get_by_role("combobox", name="Benchmark").select_option("MBPP")
    for text in tab.locator("#pairs .pair .who").all_inner_texts():
        assert text.startswith("MBPP/")
    tab.get_by_label("Search the pairs").fill("no pair has this")
    nothing = tab.locator("#pairs [data-nothing]")
    sync_api.expect(nothing).to_be_visible()
    nothing.get_by_role("button").click()
    assert state(tab) == "Showing 1 to 10 of 308"


def test_the_detector_filter_leaves_only_its_pairs(visit, report):
    tab = visit(report)
    tab.get_by_role("combobox", name="Looked at by").select_option("ngram")
    for text in tab.locator("#pairs .pair .why").all_inner_texts():
        assert "ngram" in text


def test_shared_words_are_marked_at_the_right_characters(visit, tmp_path):
    row, item = "\U0001d4b3👩‍👧 café shared words end", "here: shared words"
    span = row.index("shared")
    line = pair_line(
        1,
        "verbatim",
        "ngram",
        row_excerpt=row,
        item_text=item,
        row_spans=[{"start": span, "stop": span + 12}],
        item_spans=[{"start": 6, "stop": 18}],
    )
    tab = visit(write_screen_report(write_run(tmp_path / "run", [line])))
    assert tab.locator("#pairs .pair mark").all_inner_texts() == ["shared words", "shared words"]


@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_text_is_shown_as_text_and_nothing_runs(visit, tmp_path, width):
    texts = [*HOSTILE, "W" * 5000]
    lines = [
        pair_line(
            i,
            "verbatim",
            "ngram",
            row_excerpt=text,
            item_text=text,
            file=text,
            id=text,
            row_spans=[{"start": 0, "stop": 6}],
            item_spans=[],
        )
        for i, text in enumerate(texts)
    ]
    tab = visit(write_screen_report(write_run(tmp_path / "run", lines, warnings=HOSTILE)), width)
    assert tab.evaluate("window.pwned") is None
    assert tab.locator("#pairs img, #pairs script, #pairs style").count() == 0
    seen = tab.locator("#pairs .pair [data-f=right]").evaluate_all("all => all.map(one => one.textContent)")
    assert sorted(seen) == sorted(visible(text[:2000]) + ("…" if len(text) > 2000 else "") for text in texts)
    assert "49" not in next(text for text in seen if "7*7" in text)
    assert not re.search("[\x00\u202a-\u202e\u2066-\u2069]", tab.locator("html").evaluate("all => all.textContent"))
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_on_a_phone(visit, report, study, scored, scheme):
    for path in (report, study, scored):
        tab = visit(path, 390, color_scheme=scheme)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # type of the charts, as drawn on this screen: the smallest that can be read
        sizes = tab.locator(".chart text").evaluate_all(
            "all => all.map(t => [parseFloat(getComputedStyle(t).fontSize), t.getScreenCTM()])"
            ".map(([size, m]) => size * Math.hypot(m.a, m.b))"
        )
        assert min(sizes) >= 11
        for summary in tab.locator("summary").all():
            summary.click()
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_text_has_contrast_in_light_and_in_dark(visit, report, scored):
    measure = """() => {
      const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
      const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
      const behind = (n) => { for (; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor);
        if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
      const low = [];
      const names = "p, td, th, dt, dd, a, b, span, mark, summary, label, h1, h2, h3, figcaption, svg text, button";
      for (const n of document.querySelectorAll(names)) {
        if (!n.textContent.trim() || !n.getClientRects().length || n.closest(":disabled")) continue;
        const style = getComputedStyle(n), svg = n instanceof SVGElement;
        const a = light(parse(svg ? style.fill : style.color)), b = light(behind(n));
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) low.push([n.tagName, n.textContent.slice(0, 30), ratio.toFixed(2)].join(" "));
      }
      return low;
    }"""
    for scheme in ("light", "dark"):
        for path in (report, scored):
            assert visit(path, color_scheme=scheme).evaluate(measure) == []


def test_everything_can_be_reached_by_keyboard(visit, report):
    tab = visit(report)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the report"
    search = tab.get_by_label("Search the pairs")
    search.focus()
    assert search.evaluate("n => getComputedStyle(n).outlineStyle") == "solid"
    tab.keyboard.press("Tab")  # benchmark
    tab.keyboard.press("Tab")  # detector
    tab.keyboard.press("Tab")  # all
    tab.keyboard.press("Tab")  # word for word
    tab.keyboard.press("Space")
    settle(tab, "of 38")
    unnamed = tab.locator("button, input, select").evaluate_all(
        "all => all.filter(n => !n.textContent.trim() && !n.ariaLabel && !(n.labels && n.labels.length)).length"
    )
    assert unnamed == 0
    stuck = tab.locator(".text").evaluate_all(
        "all => all.filter(n => n.scrollHeight > n.clientHeight + 1 && n.tabIndex < 0).length"
    )
    assert stuck == 0


def test_the_quarantine_can_be_searched(visit, report):
    tab = visit(report)
    assert tab.locator("#quarantine .held").count() == 5
    tab.get_by_label("Search the quarantined rows").fill("utf-8")
    sync_api.expect(tab.locator("#quarantine .held")).to_have_count(1)
    assert "<script>window.pwned = 5</script>" in tab.locator("#quarantine .held").inner_text()


def test_the_command_is_copied_or_selected(visit, report):
    tab = visit(report)
    pair = tab.locator("#pairs .pair").first
    pair.get_by_role("button", name="Copy").click()
    sync_api.expect(pair.locator("[data-copy]")).to_have_text(re.compile("Copied|Selected"))


def test_on_paper_the_first_pairs_and_all_details_are_there(visit, report):
    tab = visit(report)
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown(tab) == 20
    assert state(tab) == "The first 20 of 308"
    assert tab.locator("details:not([open])").count() == 0
    tab.emulate_media(media="print")
    assert not tab.get_by_label("Search the pairs").is_visible()
    assert tab.locator("#pairs .pair").first.is_visible()
    assert len(tab.pdf()) > 10_000
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert shown(tab) == 10


def test_ten_thousand_pairs_stay_usable(visit, tmp_path):
    short = {"row_excerpt": "a short row", "item_text": "a short item", "row_spans": [], "item_spans": []}
    lines = [pair_line(i, "candidate", "bm25", rank=1, **short) for i in range(10_000)]
    path = write_screen_report(write_run(tmp_path / "run", lines), cap=10_000)
    assert path.stat().st_size < 10_000_000
    tab = visit(path)
    assert state(tab) == "Showing 1 to 10 of 10,000"
    assert tab.locator("*").count() < 2_000  # only the page in view is in the document
    took = tab.evaluate(
        """() => new Promise(done => {
          const box = document.querySelector('#pairs [data-search]'), from = performance.now();
          const watch = new MutationObserver(() => { watch.disconnect(); done(performance.now() - from); });
          watch.observe(document.querySelector('#pairs [data-state]'), {childList: true, subtree: true});
          box.value = 'position-that-none-has';
          box.dispatchEvent(new Event('input'));
        })"""
    )
    assert took < 5_000
