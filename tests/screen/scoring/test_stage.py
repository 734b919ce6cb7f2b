"""Scores and filters in a whole run: rows add up, runners, blocks and kills change nothing, missing scores follow a policy."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from antivenom.data.corpus import open_corpus
from antivenom.errors import AntivenomError
from antivenom.screen import explain, screen_corpus
from antivenom.screen.filters.pieces import cut_pieces, drop_pieces
from antivenom.screen.measuring import QUANTILES
from antivenom.screen.scoring.lines import score_lines
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores
from antivenom.screen.scoring.scorers import SCORERS, describe
from antivenom.screen.scoring.store import ScoreStore

HOSTILE = "</script><img src=x onerror='window.pwned = 1'> sour \u202e sour sour"


@dataclass(frozen=True)
class Sour:
    """Share of the words that are "sour"; a text without letters has no score."""

    word: str = "sour"
    higher: str = "worse"

    name = "sour"

    @property
    def columns(self) -> dict[str, pa.DataType]:
        return {"hits": pa.int32(), "loud": pa.bool_(), "first": pa.string()}

    def identity(self) -> Identity:
        return Identity(self.name, "1", "", self.higher, {"word": self.word})  # type: ignore[arg-type]

    def score(self, batch) -> Scores:
        texts = batch.texts.to_pylist()
        hits = [text.split().count(self.word) for text in texts]
        lengths = [len(text.split()) if any(c.isalpha() for c in text) else 0 for text in texts]
        values = np.array([h / n if n else np.nan for h, n in zip(hits, lengths)], np.float32)
        reasons = [f"{h} of {n} words" if n else "cannot score: no letters" for h, n in zip(hits, lengths)]
        return Scores(
            values,
            reasons,
            {
                "hits": pa.array(hits, pa.int32()),
                "loud": pa.array([text.isupper() for text in texts]),
                "first": pa.array([text[:1] for text in texts], pa.string()),
            },
        )

    def explain(self, text: str) -> list[Evidence]:
        at, found = text.find(self.word), []
        while at >= 0:
            found.append(Evidence(at, at + len(self.word), 1 / max(1, len(text.split())), self.word))
            at = text.find(self.word, at + 1)
        return found


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(SCORERS, "sour", (__name__, "Sour", "share of sour words"))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Sour.__module__])


def texts(n=240, seed=0) -> list[str]:
    draw = random.Random(seed)
    rows = []
    for i in range(n):
        words = [draw.choice(("sour", "milk", "river", "stone", "garden")) for _ in range(draw.randrange(4, 30))]
        rows.append(f"Row {i} tells of {' '.join(words)}. It ends well.")
    for i in range(5, n, 17):
        rows[i] = f"{i} ... 0"
    rows[9] = rows[8]  # a copy has the same id
    rows[20] = HOSTILE
    rows[21] = "sour sour sour"
    return rows


@pytest.fixture
def corpus(tmp_path) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts()) + b"{broken\n")
    return path


def screen(corpus, out, *filters, **options):
    options = {"runner": "loop", "block_bytes": 3_000, "scores": ["sour"], **options}
    return screen_corpus(corpus, out=out, filters=filters, **options)


def rows_of(out) -> list[dict]:
    return pq.read_table(out / "annotations.parquet").to_pylist()


def texts_in(folder: Path) -> list[str]:
    return [orjson.loads(line)["text"] for p in sorted(folder.glob("*")) for line in p.read_bytes().splitlines()]


def hashes(out: Path) -> dict[str, str]:
    return {
        str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.rglob("*"))
        if p.is_file() and p.name not in ("run.json", "report.html", ".lock")
    }


def test_a_score_is_a_column_and_nothing_is_dropped_without_a_filter(corpus, tmp_path):
    result = screen(corpus, tmp_path / "o")
    rows = texts()
    assert result.counts == {"rows_in": 241, "kept": 240, "removed": 0, "quarantined": 1, "cut": 0, "duplicate_ids": 1}
    table = pq.read_table(tmp_path / "o" / "annotations.parquet")
    assert table.column_names[-5:] == ["sour", "sour.reason", "sour.hits", "sour.loud", "sour.first"]
    assert table.schema.field("sour").type == pa.float32()
    assert table.column("sour.hits").to_pylist() == [text.split().count("sour") for text in rows]
    missing = [i for i, value in enumerate(table.column("sour").to_pylist()) if value is None]
    assert missing == list(range(5, 240, 17))  # never 0
    assert {table.column("sour.reason")[i].as_py() for i in missing} == {"cannot score: no letters"}
    assert texts_in(tmp_path / "o" / "kept") == rows
    assert not (tmp_path / "o" / "pairs.parquet").exists()
    store = ScoreStore.open(tmp_path / "o")
    store.check_corpus(open_corpus(corpus).describe())
    assert store.table(columns=[]).column("sour").equals(table.column("sour"))


def test_the_record_holds_the_distribution_with_its_denominator(corpus, tmp_path):
    record = screen(corpus, tmp_path / "o").record
    (scores,) = record["scores"]
    values = np.array([r["sour"] for r in rows_of(tmp_path / "o") if r["sour"] is not None], np.float32)
    assert (scores["rows"], scores["n"], scores["missing"]) == (240, len(values), 240 - len(values))
    assert scores["missing_reasons"] == [["cannot score: no letters", 240 - len(values)]]
    assert scores["identity"] == Sour().identity().record()
    ordered = np.sort(values)
    assert scores["quantiles"] == {q: float(ordered[round(float(q) * (len(values) - 1))]) for q in QUANTILES}
    assert scores["mean"] == pytest.approx(values.mean())
    assert scores["histogram"]["counts"] == np.histogram(values.astype(float), np.linspace(0, 1, 21))[0].tolist()
    assert len(scores["histogram"]["counts"]) == 20


@pytest.mark.parametrize("policy", ["keep", "drop", "quarantine"])
def test_removed_and_kept_add_up_and_missing_scores_follow_the_policy(corpus, tmp_path, policy):
    out = tmp_path / "o"
    result = screen(corpus, out, f"sour:max=0.2,missing={policy}")
    rows = rows_of(out)
    over = [i for i, r in enumerate(rows) if r["sour"] is not None and np.float32(r["sour"]) > np.float32(0.2)]
    missing = [i for i, r in enumerate(rows) if r["sour"] is None]
    actions = {"keep": "keep", "drop": "remove", "quarantine": "quarantine"}
    assert over
    assert len(missing) == 14
    assert [i for i, r in enumerate(rows) if r["action"] == "remove"] == sorted(
        over + (missing if policy == "drop" else [])
    )
    assert {rows[i]["action"] for i in missing} == {actions[policy]}
    (record,) = result.record["filters"]
    assert (record["dropped"], record["scored"], record["missing"]) == (len(over), 226, 14)
    assert record["share_of_scored"] == pytest.approx(len(over) / 226)
    assert (record["missing_dropped"], record["missing_quarantined"]) == (
        14 * (policy == "drop"),
        14 * (policy == "quarantine"),
    )
    counts = result.counts
    assert counts["rows_in"] == counts["kept"] + counts["removed"] + counts["quarantined"] == 241
    assert sorted(texts_in(out / "kept") + texts_in(out / "removed")) == sorted(
        text for i, text in enumerate(texts()) if policy != "quarantine" or i not in missing
    )
    set_aside = [orjson.loads(line) for line in (out / "quarantine.jsonl").read_bytes().splitlines()]
    assert sorted(q["position"] for q in set_aside) == sorted(
        [241] + ([i + 1 for i in missing] if policy == "quarantine" else [])
    )
    assert all("over .20" in rows[i]["reason"] for i in over)
    if policy != "keep":
        assert all(f"no score (cannot score: no letters), and missing={policy}" in rows[i]["reason"] for i in missing)


def test_a_share_keeps_exactly_that_share_and_its_control_drops_as_many(corpus, tmp_path):
    result = screen(corpus, tmp_path / "o", "sour:keep=0.8", "sour:max=0.3,missing=drop")
    rows = rows_of(tmp_path / "o")
    share, line = result.record["filters"]
    assert share["dropped"] == 226 - 181  # ceil(.8 * 226)
    dropped = [r for r in rows if "sour:keep=0.8" in r["filters"]]
    assert len(dropped) == 45
    kept_scores = [r["sour"] for r in rows if r["sour"] is not None and "sour:keep=0.8" not in r["filters"]]
    assert min(r["sour"] for r in dropped) >= max(kept_scores)
    for number, record in enumerate((share, line), 1):
        gone = sum(record["spec"] in r["filters"] for r in rows)
        assert record["control"] == {**record["control"], "column": f"control.{number}", "rows": gone}
        assert sum(r[f"control.{number}"] for r in rows) == gone
    both = sum(r["control.1"] and r["control.2"] for r in rows)
    assert both < min(share["control"]["rows"], line["control"]["rows"])  # draws of their own, not one set in the other
    other = screen(corpus, tmp_path / "s", "sour:keep=0.8", seed=1)
    assert other.record["filters"][0]["control"]["rows"] == 45
    assert [r["control.1"] for r in rows_of(tmp_path / "s")] != [r["control.1"] for r in rows]


def test_spans_are_cut_and_a_row_without_anything_left_goes(corpus, tmp_path):
    out = tmp_path / "o"
    result = screen(corpus, out, "sour:spans=0.25")
    rows, expected = rows_of(out), []
    for text, row in zip(texts(), rows):
        pieces = [text[a:b] for a, b in cut_pieces(text)]
        bad = [p.split().count("sour") / len(p.split()) > 0.25 and any(map(str.isalpha, p)) for p in pieces]
        left = drop_pieces(text, [span for span, cut in zip(cut_pieces(text), bad) if cut]) if any(bad) else text
        assert row["action"] == ("remove" if left is None else "keep" if left == text else "cut")
        expected += [left] if left is not None else []
    assert texts_in(out / "kept") == expected
    assert result.counts["cut"] == sum(r["action"] == "cut" for r in rows) > 0
    assert rows[21]["action"] == "remove"
    assert "nothing else is left" in rows[21]["reason"]
    removed = texts_in(out / "removed")
    assert removed == [text for text, row in zip(texts(), rows) if row["action"] != "keep"]  # originals, nothing lost


def test_native_and_loop_write_equal_bytes(corpus, tmp_path):
    filters = ("sour:keep=0.7,missing=quarantine", "sour:spans=0.4", "sour.hits:max=6,higher=worse", "sour:pareto=9")
    screen(corpus, tmp_path / "loop", *filters)
    screen(corpus, tmp_path / "native", *filters, runner="native", workers=2)
    assert len(hashes(tmp_path / "loop")) > 10
    assert hashes(tmp_path / "loop") == hashes(tmp_path / "native")


def test_the_size_of_blocks_does_not_matter(corpus, tmp_path):
    filters = ("sour:keep=0.7", "sour:max=0.4", "sour:pareto=9")
    small = screen(corpus, tmp_path / "a", *filters, block_bytes=1_500)
    large = screen(corpus, tmp_path / "b", *filters, block_bytes=1 << 20)
    assert small.record["corpus"]["blocks"] > 5 > large.record["corpus"]["blocks"]
    tables = [pq.read_table(tmp_path / name / "annotations.parquet") for name in "ab"]
    assert tables[0].equals(tables[1])
    assert small.record["filters"] == large.record["filters"]
    drop = {"cpu_s": None}
    assert [s | drop for s in small.record["scores"]] == [s | drop for s in large.record["scores"]]
    assert texts_in(tmp_path / "a" / "kept") == texts_in(tmp_path / "b" / "kept")
    assert (tmp_path / "a" / "scores" / "extremes.jsonl").read_bytes() == (
        tmp_path / "b" / "scores" / "extremes.jsonl"
    ).read_bytes()


def test_a_killed_run_ends_in_the_same_bytes(corpus, tmp_path):
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[3]); import test_stage as t;"
        "from antivenom.screen.scoring.scorers import SCORERS; SCORERS['sour'] = ('test_stage', 'Sour', 'x');"
        "slow = t.Sour.score\n"
        "def score(self, batch):\n    time.sleep(0.04); return slow(self, batch)\n"
        "t.Sour.score = score\n"
        "from antivenom.screen import screen_corpus\n"
        "screen_corpus(sys.argv[1], out=sys.argv[2], scores=['sour'], filters=['sour:keep=0.7'], runner='loop', block_bytes=3000)"
    )
    out = tmp_path / "killed"
    command = [sys.executable, "-c", script, str(corpus), str(out), str(Path(__file__).parent)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    kills = 0
    for blocks in (2, 4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list((out / "work" / "markers").glob("score-*"))) >= blocks:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        process.wait()
    assert kills == 2
    assert not (out / "annotations.parquet").exists()
    before = {p: p.stat().st_mtime_ns for p in (out / "scores").glob("sour/part-0000[01].parquet")}
    assert len(before) == 2
    screen(corpus, out, "sour:keep=0.7")
    assert all(p.stat().st_mtime_ns == when for p, when in before.items())  # what was scored is not scored again
    screen(corpus, tmp_path / "whole", "sour:keep=0.7")
    assert hashes(out) == hashes(tmp_path / "whole")


def test_another_scorer_or_filter_is_another_run(corpus, tmp_path):
    screen(corpus, tmp_path / "o", "sour:max=0.2")
    with pytest.raises(AntivenomError, match="holds another run"):
        screen(corpus, tmp_path / "o", "sour:max=0.3")
    with pytest.raises(AntivenomError, match="holds another run"):
        screen(corpus, tmp_path / "o", "sour:max=0.2", scores=["sour:word=milk"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scores": ()}, "no benchmark to screen against, and no score"),
        ({"scores": (), "filters": ["sour:max=1"]}, "nothing to screen for"),
        ({"filters": ["sour:min=0.2"]}, "would drop the good end"),
        ({"filters": ["sour.hits:keep=0.5"]}, "does not say whether a higher score is better or worse"),
        ({"filters": ["bitter:max=0.2"]}, "no score of this run"),
        ({"filters": ["sour.first:max=1,higher=any"]}, "no score of this run"),
        ({"filters": ["sour:max=1", "sour:max=1"]}, "given twice"),
        ({"scores": ["sour", "sour"]}, "asked for twice"),
        ({"scores": ["nope"]}, "no scorer 'nope'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_row_is_read(corpus, tmp_path, options, said):
    with pytest.raises(AntivenomError, match=said):
        screen_corpus(corpus, out=tmp_path / "o", **{"scores": ["sour"], **options})
    assert not (tmp_path / "o").exists()


def test_the_bare_name_stands_for_the_only_label_of_a_scorer(corpus, tmp_path):
    record = screen(corpus, tmp_path / "o", "sour.hits:max=3,higher=worse", scores=["sour:word=milk"]).record
    assert record["filters"][0]["column"] == "sour:word=milk.hits"
    with pytest.raises(AntivenomError, match="no score of this run"):  # two labels: which?
        screen(corpus, tmp_path / "p", "sour:max=3", scores=["sour:word=milk", "sour:word=sour"])


def test_scores_and_benchmarks_in_one_run(corpus, tmp_path):
    bench = tmp_path / "bench.jsonl"
    bench.write_bytes(orjson.dumps({"id": "q0", "question": texts()[30], "kind": "text"}) + b"\n")
    result = screen_corpus(
        corpus, [bench], tmp_path / "o", scores=["sour"], filters=["sour:max=0.2"], runner="loop", block_bytes=3_000
    )
    rows = rows_of(tmp_path / "o")
    assert "q0" in rows[30]["reason"]
    assert result.counts["removed"] == sum(bool(r["detectors"]) or bool(r["filters"]) for r in rows)
    page = (tmp_path / "o" / "report.html").read_text()
    assert 'id="benchmarks"' in page
    assert 'id="scores"' in page
    plain = screen_corpus(corpus, [bench], tmp_path / "p", runner="loop", block_bytes=3_000)
    assert plain.record["per_benchmark"] == result.record["per_benchmark"]


def test_explain_names_filter_score_mend_and_stretches(corpus, tmp_path):
    out = tmp_path / "o"
    screen(corpus, out, "sour:max=0.3", "sour:keep=0.9,missing=drop")
    (told,) = explain(out, "corpus.jsonl:22")
    first, second = told.scores
    assert (first.label, first.score, first.filter) == ("sour", 1.0, "sour:max=0.3")
    assert first.why == "sour 1 is over .30"
    assert [span["text"] for span in first.spans] == ["sour"] * 3
    assert "is among the worst 10 %" in second.why
    assert told.to_be_kept[0] == "sour:max=0.3: sour would have to fall by .70, from 1 to .30"
    (unscored,) = explain(out, "corpus.jsonl:6")
    assert unscored.scores[0].score is None
    assert "would need a score" in unscored.to_be_kept[0]
    kept = next(i for i, r in enumerate(rows_of(out)) if r["action"] == "keep" and r["sour.hits"])
    (fine,) = explain(out, f"corpus.jsonl:{kept + 1}")
    assert fine.to_be_kept == []
    assert fine.scores[0].spans[0]["text"] == "sour"


def test_the_page_shows_scores_and_lets_no_text_out(corpus, tmp_path):
    screen(corpus, tmp_path / "o", "sour:max=0.3")
    page = (tmp_path / "o" / "report.html").read_text()
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    assert "&lt;img src=x" in page  # the row is among the highest, and shown as text
    assert "\u202e" not in page
    assert 'id="benchmarks"' not in page
    assert "control.1" in page
    assert "a higher score is worse" in page
    assert page.index('id="filters"') < page.index('id="quarantine"')


def test_lines_are_scored_as_they_come(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"sour milk\r\n\n\xff\xfe\nmilk")
    with path.open("rb") as source:
        found = list(score_lines(Sour(), source))
    assert [score for score, _, _ in found] == pytest.approx([0.5, np.nan, np.nan, 0.0], nan_ok=True)
    assert [reason for _, reason, _ in found] == [
        "1 of 2 words",
        "cannot score: no letters",
        "cannot score: not UTF-8",
        "0 of 1 words",
    ]


def test_two_runs_share_a_table_only_where_one_scorer_scored(corpus, tmp_path):
    from antivenom.studies.compare import compare

    screen(corpus, tmp_path / "a", "sour:max=0.2")
    smaller = tmp_path / "smaller.jsonl"
    smaller.write_bytes(b"\n".join(corpus.read_bytes().splitlines()[:100]))
    screen(smaller, tmp_path / "b", "sour:max=0.2")
    found = compare(tmp_path / "a", tmp_path / "b")
    (row,) = found.rows
    shares = [orjson.loads((tmp_path / x / "run.json").read_bytes())["filters"][0]["share_of_scored"] for x in "ab"]
    assert (row["metric"], row["a"], row["b"]) == ("share of scored rows dropped", *shares)
    other = Sour(higher="worse", word="milk")
    assert other.identity().key != Sour().identity().key
    screen(corpus, tmp_path / "c", "sour:max=0.2", scores=["sour:word=milk"])
    unlike = compare(tmp_path / "a", tmp_path / "c")
    assert unlike.rows == []
    assert any(said.startswith("scores: ") for said in unlike.differences)


@pytest.mark.slow
def test_ray_writes_equal_bytes(corpus, tmp_path):
    pytest.importorskip("ray", reason="needs the extra [ray]")
    words = tmp_path / "words.txt"
    words.write_text("sour\n")
    options = {"scores": [f"words:file={words}"], "filters": ["words:keep=0.7,missing=drop", "words:spans=0.4"]}
    screen_corpus(corpus, out=tmp_path / "loop", runner="loop", block_bytes=6_000, **options)
    code = (
        "import sys; from antivenom.screen import screen_corpus as s; f = 'words:file=' + sys.argv[3];"
        "s(sys.argv[1], out=sys.argv[2], scores=[f], filters=['words:keep=0.7,missing=drop', 'words:spans=0.4'],"
        "runner='ray', workers=2, block_bytes=6_000)"
    )
    command = [sys.executable, "-c", code, str(corpus), str(tmp_path / "ray"), str(words)]
    subprocess.run(command, check=True, timeout=300)
    assert hashes(tmp_path / "loop") == hashes(tmp_path / "ray")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """Peak memory of scoring and ranking 6 MB and 60 MB differs by far less than the corpora do."""
    code = (
        "import resource, sys; from antivenom.screen import screen_corpus as s;"
        "s(sys.argv[1], out=sys.argv[2], scores=['words:file=' + sys.argv[3]], filters=['words:keep=0.7'],"
        "runner='loop', block_bytes=2**21); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    words = tmp_path / "words.txt"
    words.write_text("river\n")
    peaks = []
    for size in (6, 60):
        path = tmp_path / f"c{size}.jsonl"
        line = orjson.dumps({"text": "the river follows the stone and the cloud repairs the letter " * 8}) + b"\n"
        with path.open("wb") as out:
            for i in range(size * 10**6 // len(line)):
                out.write(line.replace(b"stone", b"stone%d" % i, 1))
        command = [sys.executable, "-c", code, str(path), str(tmp_path / f"o{size}"), str(words)]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 40, peaks


def run(*words, stdin=""):
    command = [sys.executable, "-m", "antivenom.cli", *map(str, words)]
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, input=stdin)


def test_the_command_line_screens_by_score_and_refuses_the_wrong_direction(corpus, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("sour\n")
    spec = f"words:file={words}"
    wrong = run("screen", corpus, "--score", spec, "--filter", "words:min=0.2", "--out", tmp_path / "o")
    assert wrong.returncode == 2
    assert "would drop the good end" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    done = run("screen", corpus, "--score", spec, "--filter", "words:max=0.2", "--out", tmp_path / "o")
    assert done.returncode == 0, done.stderr
    assert "241 rows in" in done.stdout
    assert "random rows in column control.1" in done.stdout
    table = pq.read_table(tmp_path / "o" / "annotations.parquet")
    assert pc.sum(pc.equal(table.column("action"), "remove")).as_py() > 0
    told = run("explain", tmp_path / "o", "corpus.jsonl:22")
    assert "is over .20" in told.stdout
    assert "sour" in told.stdout
    lines = run("score", spec, stdin="a sour day\n...\n")
    assert lines.returncode == 0, lines.stderr
    assert lines.stdout.splitlines()[0].split("\t") == ["0.333333", "", "a sour day"]
    assert lines.stdout.splitlines()[1].startswith("-\tcannot score")
    assert run("screen", corpus, "--out", tmp_path / "n").returncode == 2


def test_every_scorer_is_described():
    found = describe()
    assert [one["name"] for one in found] == list(SCORERS)
    assert all(one["what"] for one in found)
