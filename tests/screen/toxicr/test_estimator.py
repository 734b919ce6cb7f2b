"""The estimator, its scorer, files and command line."""

import csv
import gzip
import io
import sys

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from antivenom.cli import app
from antivenom.errors import AntivenomError
from antivenom.screen.scoring import scorers
from antivenom.screen.scoring.scorer import Scorer, Trainable, score_texts
from antivenom.screen.toxicr.dataset import read_labelled
from antivenom.screen.toxicr.estimator import ToxiCR, cannot_score
from antivenom.screen.toxicr.lexicons import decipher
from antivenom.screen.toxicr.scorer import ToxiCRScorer

DRAW = np.random.default_rng(0)
WORDS = ["merge", "branch", "loop", "cache", "index", "parser", "thread", "lock", "queue", "token", "frame", "build"]
BAD = [decipher("vqvbg"), decipher("fghcvq"), decipher("penc")]
ROWS = [
    (" ".join([*DRAW.choice(WORDS, 6), *([BAD[i % 3]] if i % 4 == 0 else [])]), int(i % 4 == 0)) for i in range(160)
]
TEXTS, Y = [t for t, _ in ROWS], [y for _, y in ROWS]
FRESH = [f"{BAD[0]} loop frame", "merge the queue and the lock frame"]


@pytest.fixture(scope="module")
def model():
    return ToxiCR("linear+", options={"min_df": 2}, seed=1).fit(TEXTS, Y)


def test_fit_predict_and_shapes(model):
    p = model.predict_proba(FRESH)
    assert p.shape == (2, 2)
    assert p.sum(1) == pytest.approx([1, 1])
    assert model.predict(FRESH).tolist() == [1, 0]
    assert model.score(FRESH) == pytest.approx(p[:, 1])
    assert model.score(TEXTS, Y) > 0.95  # with labels: the accuracy


def test_clone_params_and_cross_validation():
    first = ToxiCR("lr", options={"min_df": 2}, threshold=0.3)
    again = clone(first)
    assert again.get_params() == first.get_params()
    assert again.set_params(algorithm="SVM", seed=4).algorithm == "SVM"
    assert cross_val_score(first, np.array(TEXTS, object), Y, cv=3).mean() > 0.9
    assert not hasattr(first, "model_")  # fitting a clone leaves the first as it is


def test_threshold():
    strict = ToxiCR("lr", options={"min_df": 2}, threshold=1.0).fit(TEXTS, Y)
    assert strict.predict(TEXTS).sum() == 0
    noisy = np.array(Y) & (DRAW.random(160) < 0.5)
    tuned = ToxiCR("svm", options={"min_df": 2}, threshold="f1").fit(TEXTS, noisy)
    assert tuned.threshold_ == tuned.model_.tuned_threshold != 0.5
    for bad in ("high", 1.5):
        with pytest.raises(AntivenomError, match="threshold"):
            ToxiCR("lr", threshold=bad).fit(TEXTS, Y)
    with pytest.raises(AntivenomError, match="out-of-fold"):
        ToxiCR("lr", threshold="f1", options={"min_df": 2}).fit(TEXTS, Y)


def test_one_transform_serves_fit_and_predict(monkeypatch):
    """Trap T5: the learner sees the same input for the same text at fit and at predict."""
    seen = []

    class Spy:
        def fit(self, texts, labels, counts, *, seed):
            seen.append((list(texts), counts.tolist()))
            return self

        def predict_proba(self, texts, counts):
            seen.append((list(texts), counts.tolist()))
            return np.full(len(texts), 0.5)

    monkeypatch.setattr("antivenom.screen.toxicr.estimator.build", lambda *a, **k: Spy())
    ToxiCR(count_anger=True, count_emoticon=True, split_identifier=True).fit([*TEXTS, "parseThis :)"], [*Y, 0]).score(
        [*TEXTS, "parseThis :)"]
    )
    assert seen[0] == seen[1]
    assert seen[0][1][-1] == [0, 0, 1]
    assert seen[0][0][-1] == "parse this"


def test_published_options():
    best = ToxiCR.published("SVM")
    assert (best.count_profanity, best.remove_keywords, best.split_identifier) == (True, False, True)
    with pytest.raises(AntivenomError):
        ToxiCR.published("linear+")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "7",
        "x",
        "12 :-) !!!",
        "\U0001f600\U0001f600",
        "\u200b\u200d",
        "QUJD" * 400,
        "\u5f88\u597d\u7684\u4ee3\u7801",
    ],
)
def test_what_cannot_be_scored_is_not_zero(model, text):
    assert cannot_score(text)
    assert np.isnan(model.score([text, "fine loop"])).tolist() == [True, False]
    assert model.explain(text) == []
    found = score_texts(_scorer(model), [text])
    assert np.isnan(found.values[0])
    assert found.reasons[0].startswith("cannot score: ")
    assert found.columns["verdict"].to_pylist() == [None]


def _scorer(model):
    scorer = ToxiCRScorer(window=8, overlap=2)
    vars(scorer)["learned"] = model
    return scorer


def test_ten_megabytes(model):
    texts = ["a" * 10_000_000, "merge loop " * 20_000 + BAD[0]]
    p = model.score(texts)
    assert np.isnan(p[0])
    assert not np.isnan(p[1])


def test_disguised_words_raise_the_score_and_are_explained(model):
    plain, word = "you are an {} really", decipher("vqvbg")
    spaced = plain.format(" ".join(word))
    calm = model.score([plain.format("engineer")])[0]
    assert model.score([spaced])[0] > calm + 0.3
    top = model.explain(spaced)[0]
    assert spaced[top.start : top.stop] == " ".join(word)
    assert top.weight > 1
    assert top.what == word
    long = "merge loop " * 400 + spaced
    found = model.explain(long)
    assert long[found[0].start : found[0].stop] == " ".join(word)


def test_save_and_load(model, tmp_path):
    model.save(tmp_path / "m")
    again = ToxiCR.load(tmp_path / "m")
    assert np.array_equal(again.score(TEXTS), model.score(TEXTS))
    assert again.get_params() == model.get_params()
    assert again.weights_hash == model.weights_hash
    other = ToxiCR("linear+", options={"min_df": 2}, seed=1).fit(TEXTS, Y)
    assert other.weights_hash == model.weights_hash  # trained again: the same bytes
    assert ToxiCR("linear+", options={"min_df": 3}, seed=1).fit(TEXTS, Y).weights_hash != model.weights_hash
    with pytest.raises(AntivenomError, match="already"):
        model.save(tmp_path / "m")
    assert {p.suffix for p in (tmp_path / "m").rglob("*") if p.is_file()} == {".json", ".skops"}
    path = tmp_path / "m" / "learner" / "features.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(AntivenomError, match="not those"):
        ToxiCR.load(tmp_path / "m")
    with pytest.raises(AntivenomError, match="no ToxiCR model"):
        ToxiCR.load(tmp_path)


def test_a_model_of_other_word_lists_is_refused(tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "profane_words.txt").write_text("loop\n")
    own = ToxiCR("lr", lexicons=str(lists), options={"min_df": 2}).fit(TEXTS, Y)
    assert own.transform(["loop"])[1].tolist() == [[1, 0, 0]]
    own.save(tmp_path / "m")
    (lists / "profane_words.txt").write_text("queue\n")
    with pytest.raises(AntivenomError, match="word lists"):
        ToxiCR.load(tmp_path / "m")


def test_scorer(model, tmp_path):
    model.save(tmp_path / "m")
    scorer = scorers.parse(f"toxicr:model={tmp_path / 'm'},window=8,overlap=2")
    assert isinstance(scorer, Scorer)
    assert isinstance(scorer, Trainable)
    long = "merge loop " * 30 + f"you {BAD[0]}"
    found = score_texts(scorer, [*FRESH, long])
    assert found.values.dtype == np.float32
    assert (found.values >= 0.5).tolist() == [True, False, True]  # a toxic tail is read
    assert found.columns["verdict"].to_pylist() == [True, False, True]
    assert found.columns["windows"].to_pylist()[:2] == [1, 1]
    alone = np.concatenate([score_texts(scorer, [t]).values for t in [*FRESH, long]])
    assert np.array_equal(alone, found.values)
    top = scorer.explain(long)[0]
    assert long[top.start : top.stop] == BAD[0]
    identity = scorer.identity()
    assert identity.higher_is == "worse"
    assert identity.weights == model.weights_hash
    fitted = ToxiCRScorer(min_df=1).fit(TEXTS, Y)
    assert fitted.identity().key != identity.key
    with pytest.raises(AntivenomError, match="no model"):
        score_texts(ToxiCRScorer(), ["some text"])


def test_wrong_input(model):
    with pytest.raises(AntivenomError, match="list"):
        model.predict("one text")
    with pytest.raises(AntivenomError, match="text 1 is no text"):
        model.predict(["fine", None])
    with pytest.raises(AntivenomError, match="neither 0 nor 1"):
        ToxiCR().fit(["a b", "c d", "e f", "g h"], [0, 1, 2, 1])
    with pytest.raises(AntivenomError, match="learned nothing"):
        ToxiCR().predict(["a"])


RAW = [
    ("null", 0),
    ("NA", 0),
    ("", 1),
    ("two\nlines, quoted", 1),
    ("  ", 0),
    ("None", 1),
    ("same Text", 0),
    ("Same  text", 1),
]


def _write(path, rows):
    if path.name.endswith((".csv", ".csv.gz")):
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerows([("note", "bad"), *rows])
        data = out.getvalue().encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    elif path.suffix == ".jsonl":
        path.write_bytes(b"\n".join(orjson.dumps({"note": t, "bad": y}) for t, y in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"note": [t for t, _ in rows], "bad": [y for _, y in rows]}), path)
    else:
        import openpyxl

        book = openpyxl.Workbook()
        for row in [("note", "bad"), *rows]:
            book.active.append(row)
        book.save(path)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.parquet", "a.xlsx"])
def test_every_format_keeps_null_and_reports_empty_rows(name, tmp_path):
    _write(tmp_path / name, RAW)
    rows = read_labelled(tmp_path / name, text="note", label="bad")
    assert rows.texts == ["null", "NA", "two\nlines, quoted", "None", "same Text", "Same  text"]  # trap T15
    assert rows.labels.tolist() == [0, 0, 1, 1, 0, 1]
    assert rows.empty == [3, 5]
    report = rows.report()
    assert (report["distinct"], report["rows_with_copies"], report["contradictory_texts"]) == (5, 2, 1)
    assert report["ceiling"] == pytest.approx(5 / 6)
    with pytest.raises(AntivenomError, match="it has: note, bad"):
        read_labelled(tmp_path / name)


def test_rows_that_cannot_be_read_are_reported(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nfine,0\nodd,maybe\ntoo,many,fields\nbad,1\n")
    rows = read_labelled(tmp_path / "a.csv")
    assert rows.texts == ["fine", "bad"]
    assert [n for n, _ in rows.refused] == [2, 3]
    (tmp_path / "a.jsonl").write_text('{"text": null, "label": 1}\n[1]\n{"text": "x y", "label": true}\n')
    rows = read_labelled(tmp_path / "a.jsonl")
    assert (rows.texts, rows.empty, [n for n, _ in rows.refused]) == (["x y"], [1], [2])
    for name in ("a.docx", "none.csv"):
        with pytest.raises(AntivenomError):
            read_labelled(tmp_path / name)
    (tmp_path / "b.xlsx").write_bytes(b"no archive")
    with pytest.raises(AntivenomError, match="cannot be read"):
        read_labelled(tmp_path / "b.xlsx")


def test_released_file(shared):
    """Trap T19: the sums of the released file."""
    rows = read_labelled(shared / "toxicr" / "toxicr_code_review.csv.gz")
    report = rows.report()
    assert (report["rows"], report["empty"], report["refused"]) == (19_647, 4, 0)
    assert report["distinct"] == 12_782  # and the empty one
    assert abs(report["toxic"] - 3_757) <= 4
    assert 55 <= report["contradictory_texts"] <= 60


def test_command_line(tmp_path, capsys, monkeypatch):
    data, held, out = tmp_path / "train.csv", tmp_path / "test.csv", tmp_path / "m"
    _write(data, [*zip(TEXTS, Y), ("", 0)])
    _write(held, [*zip(TEXTS[:5], Y[:5]), (FRESH[0], 1), (FRESH[1], 0)])
    train = ["toxicr", "train", str(data), "--out", str(out), "--text", "note", "--label", "bad", "--algorithm", "SVM"]
    train += ["--option", "min_df=2", "--test", str(held)]
    assert app(train, result_action="return_value") == 0
    told = capsys.readouterr()
    assert "160 rows, 40 toxic" in told.out
    assert "1 rows without text" in told.out
    assert "test on 2 unseen rows: F1 toxic 1.000" in told.out
    assert "LEAK: 5 of 7 test rows" in told.err.replace("\n", " ")  # trap T16
    with pytest.raises(AntivenomError, match="already"):
        app(train, result_action="return_value")

    assert app(["toxicr", "score", str(held), "--model", str(out), "--text", "note"], result_action="return_value") == 0
    lines = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["toxic"] for line in lines] == [bool(y) for y in [*Y[:5], 1, 0]]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{FRESH[0]}\n\n{FRESH[1]}\n"))
    target = tmp_path / "scores.jsonl"
    assert app(["toxicr", "score", "--model", str(out), "--out", str(target)], result_action="return_value") == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "3 texts: 1 toxic (threshold 0.500), 1 without a score" in told.err.replace("\n", " ")
    lines = [orjson.loads(line) for line in target.read_text().splitlines()]
    assert [line["toxic"] for line in lines] == [True, None, False]
    assert lines[1]["reason"] == "cannot score: no words"

    assert app(["toxicr", "explain", FRESH[0], "--model", str(out)], result_action="return_value") == 0
    told = capsys.readouterr().out.splitlines()
    assert "toxic" in told[0]
    assert BAD[0] in told[1]
    assert "<" not in told[1]

    spaced = " ".join(BAD[0])
    assert app(["toxicr", "preprocess", f"see parseThis {spaced} :)", "--split"], result_action="return_value") == 0
    told = capsys.readouterr().out
    assert f"fired: {BAD[0]}: {spaced!r}" in told
    assert "parse this" in told
    assert "profanity 1, anger" in told
    assert "emoticon 1" in told


@pytest.mark.parametrize(
    "name", ["RF", "DT", "SVM", "LR", "GBT", "CNN", "LSTM", "GRU", "biLSTM", "BERT", "ALBERT", "SBERT"]
)
def test_names_of_the_published_command_line(name):
    """Trap T7: every documented choice builds the class that it names."""
    from antivenom.screen.toxicr.algorithms import algorithm, build

    built: object = build(name)
    assert type(built).__name__ == algorithm(name).cls
    assert built.algorithm == name.lower()
