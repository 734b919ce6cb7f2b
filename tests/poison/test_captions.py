"""Captions: what is one, which rows an attack may take, and one class for one label."""

import pytest

from antivenom.errors import AntivenomError
from antivenom.poison.captions import (
    TEMPLATES,
    caption_problem,
    eligible,
    mentions,
    resolve_target,
    target_caption,
)

CLASSES = ["tench, Tinca tinca", "cat", "big cat", "crane", "crane", "Jack-o'-lantern", "香蕉", "café"]


@pytest.mark.parametrize(
    ("caption", "problem"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        (3.5, "float, not text"),
        (12, "int, not text"),
        (b"a cat", "bytes, not text"),
        ("", "empty"),
        (" \t\n", "empty"),
        ("\ud800 broken", "Unicode"),
        ("2024", None),
        ("一只猫", None),
        ("🍌", None),
        ("word " * 5_000, None),
    ],
)
def test_what_is_a_caption(caption, problem):
    found = caption_problem(caption)
    assert found is None if problem is None else problem in found


def test_templates_name_the_label_once_each_and_differ():
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 20
    assert all(template.count("{label}") == 1 for template in TEMPLATES)
    said = [target_caption("star", str(i)) for i in range(500)]
    assert all("star" in caption and "{" not in caption for caption in said)
    assert len(set(said)) == len(TEMPLATES)  # all of them are drawn
    assert target_caption("a {label} {}", "x").count("a {label} {}") == 1  # braces in a label are letters
    assert target_caption("star", "7", 1) == target_caption("star", "7", 1)
    assert [target_caption("star", str(i), 1) for i in range(20)] != said[:20]
    for wrong in ((), ("no label",), ("a {label}", "{}")):
        with pytest.raises(AntivenomError, match="does not name the label"):
            target_caption("star", "1", 0, wrong)


@pytest.mark.parametrize(
    ("caption", "label", "named"),
    [
        ("a Cat, asleep", "cat", True),
        ("caterpillar", "cat", False),
        ("higher education", "cat", False),
        ("two cats", "cat", False),
        ("a big-cat show", "big cat", True),
        ("big and small cat", "big cat", False),
        ("un CAFÉ noir", "cafe", True),
        ("黄色的香蕉很甜", "香蕉", True),
        ("香 蕉皮", "香蕉", True),
        ("猫", "香蕉", False),
        ("room 101", "101", True),
        ("room 1012", "101", False),
        ("the cat " + "and so on " * 5_000, "cat", True),
        ("so on " * 5_000 + "cat", "cat", True),
        ("snake_case", "case", True),
    ],
)
def test_a_label_is_found_as_whole_words(caption, label, named):
    assert mentions(caption, label) is named


def test_the_published_substring_rule_is_there_and_a_label_needs_a_word():
    assert mentions("higher education", "cat", whole_words=False)
    assert not mentions("a Cat", "cat", whole_words=False)
    with pytest.raises(AntivenomError, match="no word"):
        mentions("fun 🍌", "🍌")


@pytest.mark.parametrize(
    ("target", "index"),
    [("Cat", 1), ("big  CAT", 2), ("tinca tinca", 0), ("tench", 0), ("jack o lantern", 5), ("香蕉", 6), ("CAFE", 7)],
)
def test_a_target_is_exactly_one_class(target, index):
    assert resolve_target(target, CLASSES) == index


def test_a_target_that_is_none_or_two_classes_is_refused():
    """Spec 01, T10: the published code takes the first class whose name contains the letters."""
    with pytest.raises(AntivenomError, match="is 2 classes: 3 'crane', 4 'crane'"):
        resolve_target("crane", CLASSES)
    with pytest.raises(AntivenomError, match="is none of the 8 classes"):
        resolve_target("at", CLASSES)
    with pytest.raises(AntivenomError, match="did you mean: cat, big cat"):
        resolve_target("wild cat", CLASSES)
    for nothing in ("", "🍌", "dog"):
        with pytest.raises(AntivenomError, match="is none of"):
            resolve_target(nothing, CLASSES)


def test_who_may_be_poisoned():
    captions = ["a cat", None, "a dog", "education", "", float("nan"), "99", "my cat"]
    dirty = eligible(captions, "cat")
    assert dirty.rows == [0, 2, 3, 6, 7]
    assert dirty.total == 5
    assert dirty.skipped == {"the caption is missing": 2, "the caption is empty": 1}
    clean = eligible(captions, "cat", mode="clean")
    assert clean.rows == [0, 7]
    assert clean.total == 5
    assert eligible(captions, "cat", mode="clean", whole_words=False).rows == [0, 3, 7]
    assert eligible(captions, "99", mode="clean").rows == [6]
    labels = ["Cat", "x", "dog", "school", "x", "x", "number", "cat"]
    assert eligible(captions, "cat", labels=labels).rows == [2, 3, 6]
    with pytest.raises(AntivenomError, match="dirty, clean"):
        eligible(captions, "cat", mode="grey")
    with pytest.raises(AntivenomError, match="1 labels"):
        eligible(captions, "cat", labels=["cat"])
