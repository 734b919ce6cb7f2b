"""The quality classifier: which way a score points, no leaks, windows, files - and it beats length on people's labels."""

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.measure.detection import auroc
from antivenom.screen.quality.linear import QualityLinear
from antivenom.screen.scoring.scorer import Scorer, Trainable, score_texts

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
GOOD = [f"The history of river {i} is described in a careful essay about water and stone." for i in range(12)]
WEB = [f"click here to buy cheap watches now {i} free shipping best price login" for i in range(12)]
LABELS = [1] * 12 + [0] * 12
ESSAY, ADVERT = "A careful essay about the history of stone.", "Buy cheap watches now, click here for free shipping."


@pytest.fixture(scope="module")
def fitted():
    return QualityLinear(bits=14).fit(GOOD + WEB, LABELS)


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_it_is_a_scorer_that_learns(fitted):
    assert isinstance(fitted, Scorer)
    assert isinstance(fitted, Trainable)


def test_better_and_paper_point_opposite_ways_and_say_so(fitted, tmp_path):
    fitted.save(tmp_path / "q.npz")
    paper = QualityLinear(model=str(tmp_path / "q.npz"), orientation="paper")
    better = score_texts(fitted, [ESSAY, ADVERT]).values
    published = score_texts(paper, [ESSAY, ADVERT]).values
    assert better[0] > 0.5 > better[1]
    assert published == pytest.approx(1 - better, abs=1e-6)
    assert (fitted.identity().higher_is, paper.identity().higher_is) == ("better", "worse")
    assert fitted.identity().key != paper.identity().key
    good = score_texts(paper, GOOD).values
    assert (good <= 0.7).all()  # curated text stays at every threshold of the paper
    with pytest.raises(AntivenomError, match="no orientation"):
        QualityLinear(orientation="up")


def test_evaluation_texts_among_the_training_texts_are_refused():
    with pytest.raises(AntivenomError, match="hold 1 of the 2 evaluation texts"):
        QualityLinear(bits=10).fit(GOOD + WEB, LABELS, evaluation=["new", WEB[3].upper() + " "])


def test_copies_count_once_and_contradictions_not_at_all():
    plain = QualityLinear(bits=12).fit(GOOD + WEB, LABELS)
    copied = QualityLinear(bits=12).fit(GOOD + WEB + WEB[:5], [*LABELS, 0, 0, 0, 0, 0])
    assert copied.identity() == plain.identity()
    torn = QualityLinear(bits=12).fit([*GOOD, *WEB, "torn text", "torn  text"], [*LABELS, 0, 1])
    assert torn.identity() == plain.identity()
    assert torn.learned.meta["given"] == {"rows": 26, "contradictory": 1, "copies": 1}


def test_a_file_comes_back_and_travels(fitted, tmp_path):
    fitted.save(tmp_path / "q.npz")
    back = QualityLinear(model=str(tmp_path / "q.npz"))
    assert back.identity() == fitted.identity()
    for other in (back, pickle.loads(pickle.dumps(back)), pickle.loads(pickle.dumps(fitted))):
        assert score_texts(other, GOOD[:3]).values.tolist() == score_texts(fitted, GOOD[:3]).values.tolist()
    with pytest.raises(AntivenomError, match="has no model"):
        score_texts(QualityLinear(), ["a"])


@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_windows_see_the_tail(fitted, tmp_path, aggregate):
    fitted.save(tmp_path / "q.npz")
    windowed = QualityLinear(model=str(tmp_path / "q.npz"), window=8, overlap=2, aggregate=aggregate)
    text = " ".join([*GOOD, ADVERT])
    parts = [text[a:b] for a, b in windowed._windows.cut(text)]
    alone = score_texts(fitted, parts).values
    expected = alone.mean() if aggregate == "mean" else alone.max()
    assert score_texts(windowed, [ESSAY, text, ""]).values[1] == pytest.approx(expected, abs=1e-6)
    assert alone[-1] < 0.5 < alone[0]


@pytest.mark.parametrize("window", [0, 5])
def test_what_has_no_words_has_no_score(fitted, tmp_path, window):
    fitted.save(tmp_path / "q.npz")
    scores = score_texts(QualityLinear(model=str(tmp_path / "q.npz"), window=window), ["", "\u2014 !!", "one word"])
    assert np.isnan(scores.values).tolist() == [True, True, False]
    assert scores.reasons == ["cannot score: no letters or digits"] * 2 + ["only 2 words"]


def test_the_words_that_make_it_are_shown(fitted, tmp_path):
    best = fitted.explain("the essay: buy cheap watches")
    assert all(e.what == "the essay: buy cheap watches"[e.start : e.stop] for e in best)
    assert {e.what for e in best if e.weight < 0} >= {"buy", "cheap", "watches"}
    fitted.save(tmp_path / "q.npz")
    worse = QualityLinear(model=str(tmp_path / "q.npz"), orientation="paper").explain("the essay: buy cheap watches")
    assert {e.what: e.weight for e in worse} == {e.what: -e.weight for e in best}


def dclm(shared, name="majority_data"):
    with gzip.open(shared / "quality_dclm" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row["text"] for row in rows], np.array([row["label"] for row in rows])


def test_people_agree_and_it_beats_length(shared, scripts):
    from evaluate_quality import compare, cross_validated, length

    texts, y = dclm(shared)
    scores = {
        "quality": cross_validated("quality", texts, y, 5, 0),
        "length alone": np.array([length(t) for t in texts]),
    }
    assert (auroc(y, scores["quality"]) or 0) >= 0.80
    ours, base = compare(scores, y, resamples=200)
    assert base["auroc"] == pytest.approx(0.763, abs=0.01)  # the figure of the data's README
    assert ours["over_length"] > 0
    assert ours["low"] < ours["auroc"] < ours["high"]


def test_the_subset_of_the_labels_is_no_test_set(shared):
    texts, y = dclm(shared)
    agreed, _ = dclm(shared, "agreement_data")
    with pytest.raises(AntivenomError, match="hold 281 of the 281"):
        QualityLinear(bits=10).fit(texts, y.tolist(), evaluation=agreed)


# the scripts


def write_rows(path):
    rows = [{"body": t, "kind": "good"} for t in GOOD] + [{"body": t, "kind": "web"} for t in WEB]
    rows.append({"body": "a row of no kind"})
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n{broken\n")


def test_the_script_trains_what_fit_trains(scripts, tmp_path, fitted, capsys):
    import train_scorer

    write_rows(tmp_path / "d.jsonl")
    out = str(tmp_path / "q.npz")
    line = ["quality:bits=14", str(tmp_path / "d.jsonl"), "--label", "kind", "--positive", "good", "--out", out]
    assert train_scorer.main(line) == 0
    assert "24 rows to learn from, 2 left out" in capsys.readouterr().out
    assert QualityLinear(model=out).identity() == fitted.identity()
    assert train_scorer.main([*line, "--evaluation", str(tmp_path / "d.jsonl")]) == 2
    assert "evaluation texts" in capsys.readouterr().err


def test_the_script_trains_perplexity_on_what_is_not_positive(scripts, tmp_path):
    import train_scorer

    from antivenom.screen.quality.ngram_lm import NGramPerplexity

    write_rows(tmp_path / "d.jsonl")
    out = str(tmp_path / "p.npz")
    line = ["perplexity:order=3", str(tmp_path / "d.jsonl"), "--label", "kind", "--positive", "web", "--out", out]
    assert train_scorer.main(line) == 0
    assert NGramPerplexity(model=out).identity() == NGramPerplexity(order=3).fit(GOOD).identity()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["gopher"], "not trained here"),
        (["quality"], "needs labels"),
        (["quality", "--label", "kind"], "the labels are: good, web"),
    ],
)
def test_the_script_says_what_is_missing(scripts, tmp_path, capsys, line, says):
    import train_scorer

    write_rows(tmp_path / "d.jsonl")
    rest = [str(tmp_path / "d.jsonl"), "--out", str(tmp_path / "x.npz"), *line[1:]]
    assert train_scorer.main([line[0], *rest]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()


def test_labels_are_read_as_people_write_them(scripts):
    from train_scorer import as_label

    assert [as_label(v) for v in (1, 1.0, True, "1", " 1 ", 0, False, "no", 0.5)] == [*["1"] * 5, "0", "0", "no", "0.5"]


def test_copies_never_straddle_the_folds(scripts, monkeypatch):
    import evaluate_quality

    seen = []

    class Spy:
        def fit(self, texts, labels, *, seed):
            seen.append(set(texts))
            return self

    monkeypatch.setattr(evaluate_quality, "parse", lambda spec: Spy())
    monkeypatch.setattr(
        evaluate_quality,
        "score_texts",
        lambda scorer, texts: type("S", (), {"values": np.array([float(t in seen[-1]) for t in texts])}),
    )
    texts = [f"text {i % 10}" for i in range(40)]
    assert evaluate_quality.cross_validated("quality", texts, np.zeros(40, int), 4, 0).tolist() == [0.0] * 40


@pytest.mark.parametrize("spec", ["dsir:buckets=1024", "topic:bits=10", "toxicity-linear:bits=10"])
def test_the_script_trains_the_others_too(scripts, tmp_path, spec):
    import train_scorer

    from antivenom.screen.scoring.scorers import parse

    write_rows(tmp_path / "d.jsonl")
    out = str(tmp_path / "m.npz")
    line = [spec, str(tmp_path / "d.jsonl"), "--label", "kind", "--positive", "good", "--out", out]
    assert train_scorer.main(line) == 0
    scorer = parse(f"{spec.partition(':')[0]}:model={out}")
    scores = score_texts(scorer, [ESSAY, ADVERT])
    if spec.startswith("topic"):
        assert scores.columns["topic"].to_pylist() == ["good", "web"]
    else:
        assert scores.values[0] > scores.values[1]
