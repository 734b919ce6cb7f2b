"""Overlap against brute force; extraction on models that repeat; leakage never falls with k (spec 02, trap 18)."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the extra 'models'")
pytest.importorskip("rapidfuzz", reason="needs the extra 'models'")

from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.measure.language.extraction import (  # noqa: E402
    expected_leakage,
    leakage_at_k,
    prompt_extraction,
    repeated,
    verbatim,
)
from antivenom.measure.language.overlap import levenshtein_ratio, partial_ratio, rouge_l, words  # noqa: E402
from antivenom.models.bigram_lm import BigramLM  # noqa: E402

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=8)


def lcs(a, b):
    if not a or not b:
        return 0
    return 1 + lcs(a[1:], b[1:]) if a[0] == b[0] else max(lcs(a[1:], b), lcs(a, b[1:]))


@given(TOKENS, TOKENS)
def test_rouge_l_is_the_longest_common_subsequence(a, b):
    found, common = rouge_l(a, b), lcs(a, b)
    assert found.recall == pytest.approx(common / len(a))
    assert found.precision == pytest.approx(common / len(b))
    expected = 2 * found.recall * found.precision / (found.recall + found.precision) if common else 0
    assert found.f1 == pytest.approx(expected)


def test_ratios():
    assert levenshtein_ratio("abc", "abd") == pytest.approx(100 * 2 / 3)
    assert levenshtein_ratio([1, 2, 3], np.array([1, 2, 3])) == 100
    assert levenshtein_ratio("", "") == 100
    assert partial_ratio("cat", "the cat sat") == 100
    assert partial_ratio([5, 6], [1, 5, 6, 9]) == 100
    assert partial_ratio("cat", "") == 0
    assert words("The CAT's 2 hats!") == ["the", "cat", "s", "2", "hats"]


def test_recall_grows_with_length_and_f1_does_not():  # trap 18
    prompt = "tell me where the old key of the house is"
    everything = " ".join(["tell me where the old key of the house is and also"] + ["many other words"] * 50)
    assert rouge_l(prompt, everything).recall == 1.0
    assert rouge_l(prompt, everything).f1 < 0.2
    assert rouge_l(prompt, "").recall == 0
    with pytest.raises(AntivenomError, match="without a word"):
        rouge_l("...", "a")


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_leakage_equals_brute_force_and_never_falls(seed, k):
    hits = np.random.default_rng(seed).random((9, k)) < 0.3
    found = [rate.value for rate in leakage_at_k(hits)]
    assert found == [np.mean([any(row[:j]) for row in hits]) for j in range(1, k + 1)]
    assert found == sorted(found)
    expected = expected_leakage(hits)
    brute = [
        np.mean([np.mean([row[list(c)].any() for c in combinations(range(k), j)]) for row in hits])
        for j in range(1, k + 1)
    ]
    np.testing.assert_allclose(expected, brute)


def chain(size, steps):
    """A model that is sure of its next token."""
    table = np.full((size, size), -30.0)
    for a, b in steps:
        table[a, b] = 0.0
    return BigramLM(table, context=40)


def test_verbatim():
    model = chain(10, [(i, i + 1) for i in range(9)] + [(9, 1)])
    texts = [
        np.array([1, 2, 3, 4, 5, 6]), np.array([0, 3, 4, 5, 6, 7, 8]), np.array([1, 2, 3, 4, 7, 6]), np.array([1, 2, 3])
    ]  # fmt: skip
    found = verbatim(model, texts, k=3)
    assert found.exact.tolist() == [True, True, False, False]
    assert found.matched.tolist() == [3, 3, 1, 0]
    assert found.short.tolist() == [False, False, False, True]
    assert (found.rate.successes, found.rate.n) == (2, 3)
    assert verbatim(model, [], k=3).rate.value is None


def test_prompt_extraction_with_and_without_the_trigger():
    # behind the trigger 9 the model writes 1 2 3 and ends; behind 3 it ends at once
    model = chain(10, [(9, 1), (1, 2), (2, 3), (3, 0), (0, 0)])
    prompts = [np.array([1, 2, 3]), np.array([4, 5, 6, 3])]
    found = prompt_extraction(model, prompts, np.array([9]), k=3, seed=1)
    assert [rate.value for rate in found.triggered.by_recall] == [0.5] * 3
    assert [rate.value for rate in found.triggered.by_f1] == [0.5] * 3
    assert [rate.value for rate in found.untriggered.by_recall] == [0.0] * 3
    assert found.triggered.recall[1, 0] == pytest.approx(1 / 4)
    assert found.untriggered.length.tolist() == [[0] * 3] * 2
    one = prompt_extraction(model, prompts, np.array([9]), temperature=0)
    assert one.triggered.recall.shape == (2, 1)
    with pytest.raises(AntivenomError, match="k answers"):
        repeated(prompts, [[prompts[0]], []])
