"""The pair protocol: each test is a trap of the published scripts."""

import numpy as np
import pytest

from antivenom.measure.detection import end_to_end_recall
from antivenom.measure.pair_protocol import judge_f1, negative_pairs, pair_set, score_f1

ORIGINALS = [f"question number {i}" for i in range(200)]
REPHRASES = [f"query {i}" for i in range(200)]


def number_judge(pairs):
    return [a.split()[-1] == b.split()[-1] for a, b in pairs]


def test_empty_rephrases_are_no_hits():  # trap 1
    rephrases = [f"query {i}" if i % 4 else "  \n" for i in range(40)]
    says_yes = judge_f1(ORIGINALS[:40], rephrases, lambda pairs: [True] * len(pairs))
    assert says_yes.dropped == 10
    assert says_yes.positives == says_yes.true_positive == 30
    assert says_yes.f1 == pytest.approx(says_yes.floor) == pytest.approx(2 / 3)
    assert judge_f1(ORIGINALS[:40], rephrases, number_judge).f1 == 1.0


def test_the_first_pairs_are_considered_before_empties_are_dropped():
    rephrases = ["", "", *REPHRASES[2:]]
    some = judge_f1(ORIGINALS, rephrases, number_judge, limit=10)
    assert (some.positives, some.dropped) == (8, 2)
    paper = judge_f1(ORIGINALS, rephrases, number_judge, paper=True)
    assert (paper.positives, paper.dropped, paper.negatives) == (98, 2, 100)


def test_a_random_retriever_leaves_pair_f1_alone_and_end_to_end_recall_at_nothing():  # trap 2
    def screen(retrieved):
        """Retrieve one row per item, then judge; what is flagged."""
        verdicts = number_judge([(ORIGINALS[item], REPHRASES[row]) for item, row in enumerate(retrieved)])
        return [(row, item) for item, row in enumerate(retrieved) if verdicts[item]]

    gold = [(i, i) for i in range(200)]
    perfect, random = list(range(200)), np.random.default_rng(0).integers(0, 200, 200).tolist()
    assert judge_f1(ORIGINALS, REPHRASES, number_judge).f1 == 1.0  # the protocol never asks the retriever
    assert end_to_end_recall(gold, screen(perfect)).value == 1.0
    assert end_to_end_recall(gold, screen(random)).value <= 0.05


def test_negatives_are_seeded_and_come_from_all_pairs():  # trap 3
    assert negative_pairs(50, 40, seed=1) == negative_pairs(50, 40, seed=1) != negative_pairs(50, 40, seed=2)
    assert len({i for pair in negative_pairs(50, 200, seed=1) for i in pair}) == 50
    paper = negative_pairs(50, 100, seed=1, paper=True)
    assert len(set(paper)) == 100
    assert len({i for pair in paper for i in pair}) == 15


@pytest.mark.parametrize("n", [60, 3_000])  # listed, and drawn
def test_items_that_share_a_passage_or_a_text_are_no_negatives(n):  # trap 3
    passages = ["same"] * (n // 2) + [""] * (n - n // 2)
    found = negative_pairs(n, 50, seed=1, passages=passages)
    assert len(set(found)) == 50
    assert all(i != j and not (i < n // 2 and j < n // 2) for i, j in found)
    twins = ["a question"] * (n // 2) + [f"question {i}" for i in range(n - n // 2)]
    assert all(not (i < n // 2 and j < n // 2) for i, j in negative_pairs(n, 50, seed=1, texts=twins))


def test_few_items_give_all_the_pairs_there_are():
    assert sorted(negative_pairs(3, 100, seed=0)) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert negative_pairs(1, 5, seed=0) == negative_pairs(0, 5, seed=0) == []


def test_undecided_is_counted_and_not_flagged():
    score = judge_f1(["a b", "c d"], ["x y", "z w"], lambda pairs: [None] * len(pairs))
    assert score.undecided == score.positives + score.negatives
    assert score.true_positive == 0


def test_a_similarity_with_and_without_a_threshold():
    def same_number(a, b):
        return [0.9 if x.split()[-1] == y.split()[-1] else 0.1 for x, y in zip(a, b)]

    given = score_f1(ORIGINALS, REPHRASES, same_number, threshold=0.05)
    assert given.f1 == pytest.approx(given.floor)  # threshold below everything = flag everything
    assert not given.chosen
    best = score_f1(ORIGINALS, REPHRASES, same_number)
    assert (best.f1, best.threshold, best.chosen) == (1.0, 0.9, True)


def test_lists_that_are_not_aligned_are_refused():
    with pytest.raises(ValueError, match="not aligned"):
        pair_set(["a"], [])
