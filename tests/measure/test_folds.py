"""Folds: no copy on both sides, classes even, the published seeds, and a dial between the two protocols."""

import numpy as np
import pytest

from antivenom.data.duplicates import duplicate_groups
from antivenom.errors import AntivenomError
from antivenom.measure.folds import (
    Fold,
    assert_apart,
    deduplicated,
    grouped_folds,
    make_folds,
    paper_seeds,
    straddling_folds,
    stratified_folds,
    twin_share,
    twins_in_training,
)


def pairs_and_singles(pairs=300, singles=200, seed=0):
    """Labels and groups of rows of which `pairs` texts occur twice, shuffled."""
    draw = np.random.default_rng(seed)
    groups = np.r_[np.repeat(np.arange(pairs), 2), pairs + np.arange(singles)]
    labels = (draw.random(pairs + singles) < 0.2).astype(int)[groups]
    order = draw.permutation(len(groups))
    return labels[order], groups[order]


def test_the_published_seeds():
    assert paper_seeds() == [1312, 9303, 9401, 8745, 8038]
    assert paper_seeds(2) == [1312, 9303]


@pytest.mark.parametrize("seed", range(4))
def test_grouped_folds_partition_rows_keep_groups_and_classes(seed):
    draw = np.random.default_rng(seed)
    groups = draw.integers(0, 120, 600)  # groups of 1 to about 12 rows, labels mixed within them
    labels = (draw.random(600) < 0.25).astype(int)
    folds = grouped_folds(labels, groups, k=5, seed=seed)
    assert np.array_equal(np.sort(np.concatenate([f.test for f in folds])), np.arange(600))
    for fold in folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert len(fold.train) + len(fold.test) == 600
        assert abs(labels[fold.test].mean() - labels.mean()) < 0.03
        assert abs(len(fold.test) - 120) <= 15


def test_grouped_folds_of_texts_share_no_normalised_text():
    texts = [f"Comment  {i % 60}" if i % 2 else f"comment {i % 60} " for i in range(400)]
    labels = np.arange(400) % 3 == 0
    folds = grouped_folds(labels, duplicate_groups(texts), k=4, seed=1)
    assert_apart(folds, duplicate_groups(texts))
    for fold in folds:
        train = {" ".join(texts[i].lower().split()) for i in fold.train}
        assert not train & {" ".join(texts[i].lower().split()) for i in fold.test}
    with pytest.raises(AssertionError, match=r"fold \d+ has \d+ groups in both"):
        assert_apart(stratified_folds(labels, k=4, seed=1), duplicate_groups(texts))


def test_random_folds_leave_the_twin_in_training_nine_times_in_ten():
    labels, groups = pairs_and_singles(2_000, 0)
    assert twin_share(make_folds("random", labels, groups, k=10, seeds=[1312]), groups) == pytest.approx(0.9, abs=0.02)
    assert twin_share(make_folds("grouped", labels, groups, k=10, seeds=[1312]), groups) == 0


def test_random_folds_are_those_of_scikit_learn_at_the_published_seed():
    from sklearn.model_selection import StratifiedKFold

    labels, groups = pairs_and_singles()
    ours = make_folds("random", labels, groups, k=10, seeds=paper_seeds(2))
    assert [(f.repeat, f.number) for f in ours[:1] + ours[-1:]] == [(0, 1), (1, 10)]
    theirs = list(StratifiedKFold(10, shuffle=True, random_state=9303).split(labels, labels))
    assert all(np.array_equal(f.test, test) for f, (_, test) in zip(ours[10:], theirs, strict=True))


def test_the_dial_runs_from_grouped_to_random_and_is_nested():
    labels, groups = pairs_and_singles(1_000, 500)
    shares, torn_before = [], set()
    for share in (0, 0.25, 0.5, 0.75, 1):
        folds, loose = straddling_folds(labels, groups, share=share, k=10, seed=3)
        assert loose == 2 * round(share * 1_000)
        assert np.array_equal(np.sort(np.concatenate([f.test for f in folds])), np.arange(2_500))
        shares.append(twin_share(folds, groups))
        torn = {g for f in folds for g in groups[f.test][twins_in_training(f, groups)]}
        assert len(torn) <= round(share * 1_000)
        torn_before = torn
    expected = [0.9 * share * 2_000 / 2_500 for share in (0, 0.25, 0.5, 0.75, 1)]
    assert shares == pytest.approx(expected, abs=0.03)
    assert shares[0] == 0
    assert len(torn_before) > 850
    with pytest.raises(AntivenomError, match="a share of"):
        straddling_folds(labels, groups, share=1.5, seed=0)


def test_the_dial_is_reproducible():
    labels, groups = pairs_and_singles()
    one, two, other = (straddling_folds(labels, groups, share=0.5, k=5, seed=s)[0] for s in (7, 7, 8))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(one, other, strict=True))


def test_deduplicated_folds_hold_one_row_of_each_group():
    labels, groups = pairs_and_singles()
    kept = deduplicated(groups)
    assert len(kept) == len(np.unique(groups[kept])) == 500
    folds = make_folds("deduplicated", labels, groups, k=5, seeds=[1])
    assert np.array_equal(np.sort(np.concatenate([f.test for f in folds])), kept)
    assert twin_share(folds, groups) == 0


def test_what_cannot_be_split_is_refused():
    with pytest.raises(AntivenomError, match="one label"):
        stratified_folds([0, 0, 0], k=2, seed=0)
    with pytest.raises(AntivenomError, match="only 1 rows have label 1"):
        stratified_folds([0, 0, 1], k=2, seed=0)
    with pytest.raises(AntivenomError, match="copies of one another"):
        grouped_folds([0, 0, 1, 1], [0, 1, 2, 2], k=2, seed=0)
    with pytest.raises(AntivenomError, match="3 groups do not fill 5 folds"):
        grouped_folds([0] * 5 + [1] * 5, [0, 1, 1, 1, 1, 0, 2, 2, 2, 2], k=5, seed=0)
    with pytest.raises(AntivenomError, match="no 'leaky' folds"):
        make_folds("leaky", [0, 1], [0, 1])
    assert twin_share([Fold(0, 1, np.arange(2), np.arange(0))], [0, 1]) is None
