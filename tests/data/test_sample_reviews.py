"""Made comments: labels follow the tone, copies carry their label, the draw is reproducible, no harmful word is in it."""

import numpy as np
import pytest

from antivenom.data.duplicates import duplicate_groups
from antivenom.data.sample_reviews import STRONG, TONES, sample_reviews


def test_rows_copies_and_labels():
    made = sample_reviews(2_000, copied=0.6, seed=1)
    assert len(made.texts) == len(made.labels) == len(made.groups) == 2_000
    sizes = np.bincount(made.groups)
    assert (sizes.max(), int((sizes == 2).sum())) == (2, 600)
    ours, theirs = duplicate_groups(made.texts), np.unique(made.groups, return_inverse=True)[1]
    assert (
        len(np.unique(ours * 10_000 + theirs)) == len(np.unique(ours)) == 1_400
    )  # equal texts are the copies, no others
    for group in range(600):
        assert len(set(made.labels[made.groups == group])) == 1
    assert 0.1 < made.labels.mean() < 0.35


def test_strong_words_are_toxic_more_often_and_polite_ones_never_decide_alone():
    made = sample_reviews(6_000, copied=0, seed=2)
    toxic = {
        word: made.labels[[word in text.lower() for text in made.texts]].mean()
        for word in ("thanks", "pathetic", "blorf")
    }
    assert toxic["thanks"] < 0.25 < toxic["pathetic"] < toxic["blorf"] < 1


def test_the_draw_is_a_function_of_the_seed():
    assert sample_reviews(300, seed=3).texts == sample_reviews(300, seed=3).texts
    assert sample_reviews(300, seed=3).texts != sample_reviews(300, seed=4).texts
    with pytest.raises(ValueError, match="share"):
        sample_reviews(10, copied=2)


def test_the_profanity_list_knows_some_stand_ins_and_not_all():
    from antivenom.screen.toxicr.preprocessing import Preprocessing

    _, counts = Preprocessing()(list(STRONG))
    assert 2 <= int((counts[:, 0] > 0).sum()) < len(STRONG)
    _, counts = Preprocessing()(list(TONES))
    assert not counts[:, 0].any()
