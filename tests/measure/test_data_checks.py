"""What is said of labelled texts before a score: copies, conflicts and their ceiling, empty rows, overlap, the banner."""

import numpy as np
import pytest

from antivenom.measure.data_checks import check_data, label_ceiling, near_groups, near_overlap
from antivenom.measure.folds import Fold, grouped_folds, stratified_folds

LONG = "please move this helper into the class and give the parameter a name that says what it holds in the loop"


def test_counts_by_hand():
    texts = ["A b", "a  B ", "a b", "c", "null", "NA", "", "  ", "d"]
    found = check_data(texts, [1, 1, 0, 0, 0, 1, 0, 1, 0])
    assert (found.rows, found.distinct, found.duplicated_rows, found.duplicate_groups) == (9, 6, 3, 1)
    assert (found.empty_rows, found.positives) == (2, 4)
    assert (found.conflict_groups, found.conflict_rows) == (2, 5)  # the empty texts carry both labels too
    assert found.ceiling == pytest.approx(7 / 9)
    assert not found.leaks
    assert found.record()["twin_share"] is None


def test_the_ceiling_is_the_best_any_function_of_the_text_can_do():
    draw = np.random.default_rng(0)
    groups, labels = draw.integers(0, 4, 12), draw.integers(0, 2, 12)
    verdicts = [[(code >> g) & 1 for g in groups] for code in range(16)]  # every function of 4 texts
    best = max(float(np.mean(np.array(v) == labels)) for v in verdicts)
    ceiling, conflicting = label_ceiling(groups, labels)
    assert ceiling == pytest.approx(best)
    assert conflicting.tolist() == [len(set(labels[groups == g])) > 1 for g in np.unique(groups)]
    assert label_ceiling([], []) == (None, pytest.approx([]))


def test_the_banner_stands_over_random_folds_of_copies_and_not_over_grouped_ones():
    texts = [f"comment number {i // 2}" for i in range(400)]
    labels, groups = (np.arange(400) // 2) % 3 == 0, np.arange(400) // 2
    random = check_data(texts, labels, folds=stratified_folds(labels, k=5, seed=0))
    grouped = check_data(texts, labels, folds=grouped_folds(labels, groups, k=5, seed=0))
    assert random.twin_share == pytest.approx(0.8, abs=0.1)
    assert random.lines()[-1].startswith("LEAK: ")
    assert grouped.twin_share == 0
    assert not grouped.banner
    assert not any("LEAK" in line for line in grouped.lines())


def test_the_banner_needs_more_than_one_percent():
    texts = [f"t{i}" for i in range(400)]

    def leaks(copies):
        changed = [*texts[:200], *texts[:copies], *texts[200 + copies :]]
        fold = Fold(0, 1, np.arange(200), np.arange(200, 400))
        return check_data(changed, [0, 1] * 200, folds=[fold]).leaks

    assert (leaks(2), leaks(3)) == (False, True)  # 1.0 % and 1.5 %


def test_empty_rows_are_no_twins():
    fold = Fold(0, 1, np.array([0, 1]), np.array([2, 3]))
    assert check_data(["", "a", " ", "b"], [0, 1, 0, 1], folds=[fold]).twin_share == 0


def test_a_test_file_that_is_in_training_is_found():
    train = [LONG, "second comment", "third"]
    near = LONG.replace("loop", "map")
    found = check_data(train, [0, 1, 0], test_texts=[LONG.upper(), near, "something else entirely", ""])
    assert (found.test_rows, found.exact_overlap, found.near_overlap) == (4, 1, 2)
    assert "2 of 4 test rows" in found.banner
    assert near_overlap(train, [near, "a b c"], 0.8).tolist() == [True, False]
    assert near_overlap(train, [], 0.8).tolist() == []
    assert near_overlap([], ["a"], 0.8).tolist() == [False]


def test_labels_must_be_as_many():
    with pytest.raises(ValueError, match="2 texts and 1 labels"):
        check_data(["a", "b"], [0])


def test_the_released_file(shared):
    import csv
    import gzip

    def read(name):
        with gzip.open(shared / "toxicr" / name, "rt", encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    rows, smoke = read("toxicr_code_review.csv.gz"), read("toxicr_smoke_test.csv.gz")
    texts, labels = [r["message"] for r in rows], [int(r["is_toxic"]) for r in rows]
    found = check_data(texts, labels, test_texts=[r["message"] for r in smoke], near=None)
    assert (found.rows, found.distinct, found.positives, found.empty_rows) == (19_651, 12_783, 3_757, 4)
    assert found.conflict_groups == 60
    assert 0.995 < (found.ceiling or 0) < 1
    assert found.exact_overlap is not None
    assert found.exact_overlap / 230 > 0.9  # spec 11, T16: never a held-out set
    assert found.leaks


def test_near_groups_join_copies_and_near_copies():
    base = "the quick patch moves all of the old parser code into one new helper file and then drops"
    texts = [
        "short",
        f"{base} it",
        "SHORT ",
        f"{base} them",
        "something else entirely, and long enough to have shingles",
        base,
    ]
    groups = near_groups(texts)
    assert groups.tolist() == [0, 1, 0, 1, 2, 1]
    assert near_groups(texts, 1.0).tolist() == [0, 1, 0, 2, 3, 4]
    assert near_groups([]).tolist() == []


def test_no_pair_of_two_near_groups_is_near():
    draw = np.random.default_rng(0)
    words = [f"w{i}" for i in range(30)]
    texts = []
    for _ in range(40):
        start = [words[i] for i in draw.integers(0, 30, 40)]
        texts += [" ".join(start), " ".join([*start[:-1], "x"]), " ".join([*start, "y", "z"])]
    groups = near_groups(texts)

    def shingled(text):
        found = text.split()
        return {tuple(found[i : i + 5]) for i in range(len(found) - 4)}

    sets = [shingled(text) for text in texts]
    for i, a in enumerate(sets):
        for j in range(i):
            if len(a & sets[j]) / len(a | sets[j]) >= 0.8:
                assert groups[i] == groups[j]
    assert len(set(groups.tolist())) == 40
