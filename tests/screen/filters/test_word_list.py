"""Word list: whole words, phrases over line breaks, every one of two neighbours; pieces of a row."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.data.words import words
from antivenom.errors import AntivenomError
from antivenom.screen.filters.pieces import cut_pieces, drop_pieces
from antivenom.screen.filters.word_list import WordList
from antivenom.screen.scoring.scorer import score_texts


@pytest.fixture
def listed(tmp_path):
    def make(*lines):
        path = tmp_path / "list.txt"
        path.write_text("\n".join(lines))
        return WordList(str(path))

    return make


def hits(scorer, *texts):
    return score_texts(scorer, list(texts)).columns["hits"].to_pylist()


def test_whole_words_phrases_and_neighbours(listed):
    scorer = listed("# stand-ins", "ass", "grub", "rotten egg", "")
    assert hits(scorer, "The assassin of Scunthorpe", "an ass.", "ASS, ass", "grub grub grub") == [0, 1, 2, 3]
    assert hits(scorer, "a rotten\negg", "rotten - egg", "rotten the egg", "eggrotten egg") == [1, 1, 0, 0]
    scores = score_texts(scorer, ["a rotten egg here", "", "..."])
    assert scores.values[0] == pytest.approx(2 / 4)
    assert scores.scored.tolist() == [True, False, False]
    assert scores.reasons[1] == "cannot score: no words"


def test_overlapping_phrases_cover_each_word_once(listed):
    scorer = listed("a b", "b c", "b")
    found = score_texts(scorer, ["a b c d"])
    assert found.columns["hits"].to_pylist() == [3]
    assert found.values[0] == pytest.approx(3 / 4)


@given(
    st.lists(st.sampled_from("abcd"), max_size=30),
    st.sets(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map(" ".join), min_size=1),
)
def test_hits_equal_brute_force(tokens, phrases):
    scorer = WordList("unread")
    object.__setattr__(scorer, "phrases", sorted(tuple(p.split()) for p in phrases))
    expected = sum(tokens[i : i + len(p)] == list(p) for p in scorer.phrases for i in range(len(tokens) - len(p) + 1))
    assert hits(scorer, " ".join(tokens)) == [expected]


def test_more_hits_than_room(listed):
    assert hits(listed("x"), "x " * 5000) == [5000]


def test_evidence_is_the_words_themselves(listed):
    text = "Ünder the rotten\n egg lies a GRUB"
    scorer = listed("rotten egg", "grub")
    found = [text[e.start : e.stop] for e in scorer.explain(text)]
    assert found == ["rotten\n egg", "GRUB"]
    assert len(words(text)) == 7
    assert sum(e.weight for e in scorer.explain(text)) == pytest.approx(3 / 7)


def test_identity_is_the_content_of_the_list(listed, tmp_path):
    first = listed("one", "two").identity()
    other = tmp_path / "elsewhere.txt"
    other.write_text("# the same\nTwo\none\none")
    assert WordList(str(other)).identity().key == first.key
    assert listed("one").identity().key != first.key
    assert pickle.loads(pickle.dumps(listed("a"))).identity() == listed("a").identity()


@pytest.mark.parametrize("content", [None, b"", b"# only this\n", b"\xff\xfe"])
def test_a_list_that_cannot_be_used_is_named(tmp_path, content):
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AntivenomError, match=r"list\.txt"):
        WordList(str(path)).identity()


# --- pieces --------------------------------------------------------------------------------------------------------


@given(st.text(st.sampled_from("ab .!?\n\u3002-\"'"), max_size=60), st.sampled_from(["sentence", "line"]))
def test_pieces_cover_the_text_edge_to_edge(text, unit):
    spans = cut_pieces(text, unit)
    assert "".join(text[a:b] for a, b in spans) == text
    assert all(a < b for a, b in spans)
    left = drop_pieces(text, spans)
    assert left is None


def test_sentences_and_lines():
    text = 'He said: "Stop!" Then he left. It was 3.14 today.\n\nNew paragraph\n- item one\n- item two'
    assert [text[a:b].strip() for a, b in cut_pieces(text)] == [
        'He said: "Stop!"',
        "Then he left.",
        "It was 3.14 today.",
        "New paragraph",
        "- item one",
        "- item two",
    ]
    assert len(cut_pieces("a\nb\n\nc", "line")) == 3
    assert drop_pieces("One. Two. Three.", [(5, 10)]) == "One. Three."
    assert drop_pieces("One.", [(0, 4)]) is None
