import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from test_text_stats import TEXTS

from antivenom.errors import AntivenomError
from antivenom.screen.quality.c4 import C4
from antivenom.screen.quality.fineweb import FineWeb
from antivenom.screen.quality.gopher import Gopher
from antivenom.screen.quality.repetition import GopherRepetition
from antivenom.screen.scoring.scorer import Scorer, score_texts

ALL = [Gopher(), GopherRepetition(), C4(), FineWeb()]
PROSE = (
    "The old cat sat with the dog. It was there to have a rest. That is all of it. We go to town. They stay at home."
)


def unlike(n, width=5):
    """n different words of `width` letters, none twice, the first two stop words of Gopher's."""
    letters = "abcdefghij"
    words = ["".join(letters[(i // 10**k) % 10] for k in range(width)) for i in range(n)]
    return ["with", "that", *words[2:]]


def broken(scorer, text):
    """Column -> value of the rules that a text breaks."""
    scores = score_texts(scorer, [text])
    values = {rule.column: scores.columns[rule.column][0].as_py() for rule in scorer.rules}
    found = {
        r.column
        for r in scorer.rules
        if r.broken(np.array([np.nan if values[r.column] is None else values[r.column]]))[0]
    }
    assert len(found) == (scores.reasons[0].count(";") + 1 if scores.reasons[0] else 0)
    assert scores.values[0] == np.float32(1 - len(found) / len(scorer.rules))
    assert scores.columns["passes"][0].as_py() == (not found)
    return found


def edge(scorer, column, good, bad):
    """`good` keeps the rule at its threshold, `bad`, one unit on, breaks it."""
    assert column not in broken(scorer, good)
    assert column in broken(scorer, bad)


def test_gopher_at_the_thresholds():
    gopher = Gopher()
    edge(gopher, "real_words", " ".join(unlike(50)), " ".join(unlike(49)))
    edge(gopher, "real_words", " ".join(unlike(50)), " ".join([*unlike(49), ".", "!", "-"]))  # marks are no words
    edge(gopher, "real_words", "ab " * 100_000, "ab " * 100_001)
    edge(gopher, "mean_word_length", "abc " * 60, "abc " * 59 + "ab")
    edge(gopher, "mean_word_length", "abcdefghij " * 60, "abcdefghij " * 59 + "abcdefghijk")
    edge(gopher, "hash_ratio", "ab " * 90 + "# " * 10, "ab " * 90 + "# " * 10 + "a#b")
    edge(gopher, "ellipsis_ratio", "ab " * 90 + "... " * 10, "ab " * 89 + "... " * 10 + "…")
    edge(gopher, "bullet_lines", "- ab\n" * 9 + "ab", "- ab\n" * 19 + "ab")
    edge(gopher, "bullet_lines", "  • ab\n" * 9 + "ab", "  • ab\n" * 10 + "ab")
    edge(gopher, "ellipsis_lines", "ab... \n" * 3 + "ab\n" * 7, "ab…\n" * 4 + "ab\n" * 7)
    edge(gopher, "alpha_words", "ab " * 80 + "12 " * 20, "ab " * 80 + "12 " * 21)
    edge(gopher, "stop_words", "the of " + "ab " * 60, "the the The OF " + "ab " * 60)


def test_repetition_at_the_thresholds():
    scorer = GopherRepetition()
    edge(scorer, "duplicate_lines", "\n".join([*"abcdefg", *"aaa"]), "\n".join([*"abcdef", *"aaaa"]))
    edge(scorer, "duplicate_paragraphs", "\n\n".join([*"abcdefg", *"aaa"]), "\n\n".join([*"abcdef", *"aaaa"]))
    line = "x" * 20  # 20 of 100 characters are a copy
    edge(scorer, "duplicate_line_characters", f"{line}\n{'y' * 58}\n{line}"[:100], f"{line}\n{'y' * 57}\n{line}")
    edge(scorer, "duplicate_paragraph_characters", f"{line}\n\n{'y' * 56}\n\n{line}", f"{line}\n\n{'y' * 55}\n\n{line}")
    for n, high in ((2, 0.20), (3, 0.18), (4, 0.16)):
        gram = " ".join(["abcd"] * n)[: 5 * n - 1]
        limit = 2 * len(gram) / high  # characters of the text at which two occurrences reach the threshold
        size = int(np.ceil(limit - 1e-9))
        text = f"{gram} Z {gram} ".replace("abcd abcd", "abcd wxyz")
        assert text.count(text[: len(gram)]) == 2
        edge(scorer, f"top_{n}_gram", text + "q" * (size - len(text)), text + "q" * (int(limit - 1e-9) - len(text)))
    for n, high in zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)):
        gram = " ".join(unlike(n))
        characters = len(gram) - n + 1  # joined without spaces
        limit = characters / high
        text = f"{gram} Z {gram} "
        keep, drop = int(np.ceil(limit - 1e-9)), int(np.ceil(limit - 1e-9)) - 1
        edge(scorer, f"duplicate_{n}_grams", text + "q" * (keep - len(text)), text + "q" * (drop - len(text)))


def test_fineweb_at_the_thresholds():
    scorer = FineWeb()
    lines = [f"{word} is one long line of words {i} without an end" for i, word in enumerate(unlike(25))]
    closed = "\n".join([line + "." for line in lines[:3]] + lines[3:])  # 3 of 25 = 0.12
    edge(scorer, "closed_lines", closed, closed.replace("end.", "end. ", 1))  # a space behind the mark: not closed
    edge(scorer, "closed_lines", closed.replace(".", "。"), "\n".join(lines))
    many = [f"{i:030d}" for i in range(67)] + [f"{i:031d}" for i in range(33)]
    edge(scorer, "short_lines", "\n".join(many), "\n".join([*many[:-1], f"{99:030d}"]))
    for extra, kept in ((0, True), (1, False)):
        text = f"{'x' * 10}\n{'y' * (980 - extra)}\n{'x' * 10}"  # 10 of 1000 characters, line feeds left out
        assert ("copied_line_characters" not in broken(scorer, text)) is kept
    edge(scorer, "newline_ratio", "a b c d e f g h i j\n\n\n", "a b c d e f g h i j\n\n\n\n")


def test_c4_at_the_thresholds():
    scorer = C4()
    line = "This is one sentence."
    edge(scorer, "sentences", "\n".join([line] * 5), "\n".join([line] * 4))
    edge(scorer, "sentences", "\n".join([line] * 5), "\n".join([*[line] * 4, "Two words."]))
    for bad in (
        "no mark at all",
        "it ends so...",
        "we love JavaScript here.",
        "Read our Privacy Policy now.",
        "x" * 1001 + " is long.",
    ):
        edge(scorer, "sentences", "\n".join([line] * 5 + [bad]), "\n".join([line] * 4 + [bad]))
    edge(
        scorer,
        "sentences",
        "\n".join([line] * 4 + ["x" * 1000 + " is long."]),
        "\n".join([line] * 4 + ["x" * 1001 + " is long."]),
    )
    edge(scorer, "lorem_ipsum_lines", "\n".join([line] * 5), "\n".join([line] * 5 + ["Here is Lorem Ipsum text."]))
    edge(
        scorer, "curly_bracket_lines", "\n".join([line] * 5 + ["{ no mark"]), "\n".join([line] * 5 + ["Here { is one."])
    )
    assert broken(scorer, "\r\n".join([line + "[12] It is so.[edit]" for _ in range(3)])) == set()


def test_c4_clean_is_what_is_left():
    text = "Menu\r\n  This one stays.[1]  \nhome | about\nSo does [edit] this line.\n\nAnd this is the end"
    scorer = C4()
    assert scorer.clean(text) == "This one stays.\nSo does  this line."
    spans = scorer.drop_spans(text)
    assert all(a < b for a, b, _ in spans)
    assert all(b <= c for (_, b, _), (c, _, _) in pairwise(spans))
    assert spans[0][2] == "no closing mark"
    assert scorer.clean("nothing here") == ""
    assert scorer.clean("") == ""
    whole = "This stays here.\nThis stays too."
    assert scorer.clean(whole) == whole
    assert scorer.drop_spans(whole) == []


@settings(max_examples=200)
@given(TEXTS)
def test_c4_clean_keeps_the_kept_lines(text):
    import plain_rules

    text = "\n".join(text.splitlines())  # other breaks stay what they are
    kept, _, _ = plain_rules.kept_lines(text)
    assert C4().clean(text) == "\n".join(kept).strip()


def test_c4_bad_words_from_a_file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("ass\ntwo words\n", "utf-8")
    scorer = C4(bad_words=str(path))
    texts = ["An assassin from Scunthorpe.", "An ASS.", "two\nwords", "ass ass", "none"]
    scores = score_texts(scorer, texts)
    assert scores.columns["bad_words"].to_pylist() == [0, 1, 1, 2, 0]
    assert "listed words 2 > 0" in scores.reasons[3]
    assert str(tmp_path) not in str(scorer.identity().record())
    many = [f"ass number {i}" for i in range(2_000)]
    kept = [
        score_texts(C4(bad_words=str(path), keep_fraction=q, seed=1), many).columns["bad_words_excused"]
        for q in (0.2, 0.6)
    ]
    assert abs(np.mean(kept[0].to_pylist()) - 0.2) < 0.04
    assert all(b for a, b in zip(kept[0].to_pylist(), kept[1].to_pylist()) if a)  # raising the share drops nobody
    again = score_texts(C4(bad_words=str(path), keep_fraction=0.2, seed=1), many[::-1]).columns["bad_words_excused"]
    assert again.to_pylist()[::-1] == kept[0].to_pylist()
    before = scorer.identity().key
    path.write_text("ass\n", "utf-8")
    assert scorer.identity().key != before
    for bad in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(AntivenomError, match="cannot be read"):
            score_texts(C4(bad_words=str(bad)), ["a"])
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(AntivenomError, match="empty"):
        score_texts(C4(bad_words=str(tmp_path / "empty")), ["a"])
    with pytest.raises(AntivenomError):
        C4(keep_fraction=1.5)


@pytest.mark.parametrize("scorer", ALL, ids=lambda s: s.name)
def test_protocol(scorer):
    assert isinstance(scorer, Scorer)
    texts = [
        PROSE,
        "",
        " \n\t",
        "x",
        "🙂🙂🙂",
        "语言模型" * 50,
        "\0\0",
        "data:" + "QUJD" * 4_000,
        "\u200b",
        "a\r\nb\r\n",
    ]
    scores = score_texts(scorer, texts)
    assert {name: column.type for name, column in scores.columns.items()} == dict(scorer.columns)
    assert scores.values.dtype == np.float32
    assert scores.scored.tolist() == [True, False, False, *[True] * 7]
    assert scores.reasons[1] == scores.reasons[2] == "cannot score: no words"
    assert scores.columns["passes"][1].as_py() is None
    for value, reason, passes in zip(scores.values, scores.reasons, scores.columns["passes"].to_pylist()):
        assert (value == 1) == (reason == "") == (passes is True)
    for row, text in enumerate(texts):
        one = score_texts(scorer, [text])
        assert one.reasons[0] == scores.reasons[row]
        np.testing.assert_array_equal(one.values, scores.values[row : row + 1])
        for e in scorer.explain(text):
            assert 0 <= e.start < e.stop <= len(text)
            assert e.what
            assert e.weight > 0
    assert pickle.loads(pickle.dumps(scorer)) == scorer
    assert scorer.identity().higher_is == "better"
    assert len(score_texts(scorer, [])) == 0


def test_a_threshold_is_part_of_the_identity():
    assert Gopher(min_words=51).identity().key != Gopher().identity().key
    assert FineWeb().identity().key == FineWeb().identity().key


def test_reason_shows_which_side_a_value_lies_on():
    scores = score_texts(GopherRepetition(max_top_2=0.1999999), ["ab cd " * 60])
    assert "most frequent 2-gram" in scores.reasons[0]
    from antivenom.screen.quality.rules import Rule

    assert Rule("x", "share", high=0.15).reason(0.15000001) == "share 0.15000001 > 0.15"
    assert Rule("x", "share", high=0.15).reason(float("nan")) == "share cannot be computed"


def test_curated_text_scores_higher_than_junk(shared):
    import gzip
    import json

    with gzip.open(shared / "quality_dclm" / "majority_data.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines][:100]
    junk = ["#### ... buy now\n" * 40] * 100
    for scorer in ALL:
        assert np.nanmean(score_texts(scorer, texts).values) > np.nanmean(score_texts(scorer, junk).values)
