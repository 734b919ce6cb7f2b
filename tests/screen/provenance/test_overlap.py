"""Near-duplicate overlap: MinHash is unbiased, LSH loses little, units differ, no false pair."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.screen.provenance.overlap import Overlap, signature_similarity

WORDS = np.array(
    [
        "river",
        "stone",
        "market",
        "window",
        "letter",
        "garden",
        "winter",
        "silver",
        "carbon",
        "planet",
        "engine",
        "forest",
        "bridge",
        "candle",
    ]
)


def text(rng, n=60):
    return " ".join(rng.choice(WORDS, n))


def edited(rng, original, changes):
    tokens = original.split()
    for at in rng.choice(len(tokens), changes, replace=False):
        tokens[at] = "changed"
    return " ".join(tokens)


def brute(o, a, b):
    left, right = o.sets([a]), o.sets([b])
    x, y = set(left[0].tolist()), set(right[0].tolist())
    return len(x & y) / len(x | y)


def test_minhash_estimate_is_unbiased():
    rng = np.random.default_rng(0)
    a = text(rng)
    b = edited(rng, a, 6)
    estimates, true = [], brute(Overlap(), a, b)
    for seed in range(200):
        o = Overlap(seed=seed, permutations=64, bands=16)
        sa, sb = o.signatures(o.sets([a, b]))
        estimates.append(signature_similarity(sa, sb))
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - true) <= 3 * error


def test_lsh_finds_what_brute_force_finds():
    rng = np.random.default_rng(1)
    originals = [text(rng, 120) for _ in range(100)]
    copies = [edited(rng, original, int(rng.integers(0, 3))) for original in originals] + [
        text(rng) for _ in range(100)
    ]
    o = Overlap()
    result = o.find(originals, copies)
    sure = [i for i in range(100) if brute(o, originals[i], copies[i]) >= 0.95]
    assert len(sure) >= 20
    assert np.mean([result.matched[i] == i for i in sure]) >= 0.95
    for i in np.flatnonzero(result.matched >= 0):
        exact = brute(o, originals[result.matched[i]], copies[i])
        assert exact >= 0.9
        assert result.similarity[i] == pytest.approx(exact)
    assert result.low <= result.share <= result.high
    assert (result.matched[100:] == -1).all()


def test_character_and_word_shingles_give_different_overlaps():
    a = "the quick brown foxes jumped over seven lazy hounds in the early morning light of spring"
    b = a.replace("foxes", "foxed").replace("hounds", "hound")
    assert brute(Overlap(), a, b) > brute(Overlap(unit="word"), a, b) + 0.2


def test_case_and_white_space_do_not_matter_and_empty_matches_nothing():
    result = Overlap().find(["Some  TEXT here", ""], ["some text\nhere", "", "  "])
    assert result.matched.tolist() == [0, -1, -1]
    assert Overlap().find(["a"], []).share is None


def test_parameters_without_meaning_are_refused():
    with pytest.raises(AntivenomError, match="bands divide"):
        Overlap(bands=7)
