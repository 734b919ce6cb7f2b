import numpy as np

from antivenom.screen.toxicr.sequences import WordIndex, append_counts, pad_left


def test_sequences():
    index = WordIndex.fit(["b a a", "a b c", "d"], size=4)
    assert index.words == ("a", "b", "c")
    assert index.matrix(["C, b! z a", "a a a b"], 3).tolist() == [[3, 2, 1], [1, 1, 2]]
    assert pad_left([[], [5]], 2).tolist() == [[0, 0], [0, 5]]
    assert append_counts(np.zeros((1, 2), int), np.array([[2, 0, 9]]), 5).tolist() == [[0, 0, 2, 0, 4]]
