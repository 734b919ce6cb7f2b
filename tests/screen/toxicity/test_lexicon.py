"""The word list: exact scores, whole words, phrases, every hit."""

import numpy as np
import pytest

from antivenom.data.rows import batch_of
from antivenom.data.words import hash_token
from antivenom.errors import AntivenomError
from antivenom.screen.scoring.scorer import Scorer, score_texts
from antivenom.screen.scoring.scorers import parse
from antivenom.screen.toxicity.lexicon import Lexicon, WordList, learn_words, packaged_words


@pytest.fixture
def lexicon(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# mine\nzark,0.5\nthorp,0.9\nbad apple,0.25\nDÄRN\n\nass,1\n", encoding="utf-8")
    return Lexicon(str(path), weight=0.1)


def test_the_score_is_one_minus_the_product(lexicon):
    texts = ["zark", "zark zark", "Zark, a bad apple", "nothing here", "darn thorp zark"]
    wanted = [0.5, 0.75, 1 - 0.5 * 0.75, 0.0, 1 - 0.9 * 0.1 * 0.5]
    found = score_texts(lexicon, texts)
    assert found.values == pytest.approx(wanted, abs=1e-6)
    assert found.columns["hits"].to_pylist() == [1, 2, 2, 0, 3]
    assert found.columns["ratio"].to_pylist() == pytest.approx([1, 1, 3 / 4, 0, 1])
    assert found.reasons[1] == "2 hits in 2 words"


def test_words_are_whole(lexicon):
    found = score_texts(lexicon, ["Scunthorpe", "assassin", "bad-apple", "bad. Apple", "bad\napple", "bad app le"])
    assert found.columns["hits"].to_pylist() == [0, 0, 1, 1, 1, 0]


def test_a_phrase_does_not_reach_into_the_next_row(lexicon):
    assert score_texts(lexicon, ["bad", "apple", "bad apple"]).columns["hits"].to_pylist() == [0, 0, 1]


def test_folded_spellings_are_one_word(lexicon):
    assert score_texts(lexicon, ["därn", "DARN", "ｄａｒｎ", "da\u200brn"]).columns["hits"].to_pylist() == [1] * 4


def test_a_weight_of_one_is_certain(lexicon):
    assert score_texts(lexicon, ["ass zark"]).values[0] == 1


def test_no_words_cannot_be_scored(lexicon):
    found = score_texts(lexicon, ["", "  ", "🙂🙂", "..."])
    assert np.isnan(found.values).all()
    assert all(reason == "cannot score: no words" for reason in found.reasons)
    assert found.columns["hits"].to_pylist() == [None] * 4


def test_an_empty_batch(lexicon):
    assert len(lexicon.score(batch_of([]))) == 0


def test_explain_shows_every_hit(lexicon):
    text = "é zark, bad\napple; zark"
    found = lexicon.explain(text)
    assert [text[e.start : e.stop] for e in found] == ["zark", "zark", "bad\napple"]
    assert [e.weight for e in found] == [0.5, 0.5, 0.25]


def test_a_saved_list_is_the_same(lexicon, tmp_path):
    lexicon.listed.save(tmp_path / "list.npz")
    again = Lexicon(str(tmp_path / "list.npz"))
    assert again.identity() == lexicon.identity()
    assert score_texts(again, ["zark bad apple"]).values == score_texts(lexicon, ["zark bad apple"]).values


@pytest.mark.parametrize("line", ["zark,2", "zark,x", "zark,0", "?!", " ".join("abcdefghijk")])
def test_bad_lines_are_named(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"good\n{line}\n")
    with pytest.raises(AntivenomError, match="line 2"):
        Lexicon(str(path)).listed  # noqa: B018


def test_missing_and_empty_files_are_errors(tmp_path):
    (tmp_path / "empty.txt").write_text("# nothing\n")
    for name in ("none.txt", "empty.txt", "none.npz"):
        with pytest.raises(AntivenomError):
            Lexicon(str(tmp_path / name)).identity()


def test_learnt_words_mark_their_class_alone():
    texts = ["zark one"] * 30 + ["two both"] * 30 + ["zark both"] * 2
    labels = [1] * 30 + [0] * 30 + [1] * 2
    found = learn_words(texts, labels, least=0.9, documents=12)
    assert found.words.tolist() == sorted([hash_token("zark"), hash_token("one")])
    a, b = 33 / 34, 1 / 32  # 32 of 32 toxic texts and 0 of 30 others, one more in each
    index = found.hashes.tolist().index(WordList.of({"zark": 0.5}).hashes[0])
    assert found.weights[index] == pytest.approx(a / (a + b))


def test_single_words_come_back_out_of_their_hashes():
    entries = {"zark": 0.5, "bad apple": 0.5, "thorp": 1.0}
    assert WordList.of(entries).words.tolist() == sorted([hash_token("zark"), hash_token("thorp")])


def test_the_packaged_list_is_used_by_name():
    scorer = parse("lexicon")
    assert isinstance(scorer, Scorer)
    assert scorer.identity().weights == packaged_words().content_hash
    assert score_texts(scorer, ["a quiet afternoon by the river"]).values[0] == 0
    assert len(packaged_words().hashes) > 50
