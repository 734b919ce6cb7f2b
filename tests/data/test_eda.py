"""EDA: what each change keeps, captions of all kinds, and the same output whatever the hash seed (spec 01, T8)."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from antivenom.data.eda import CHANGES, SYNONYMS, augment_caption, augment_captions, clean_caption
from antivenom.randomness import generator

LONG = "a small red star on a sky background and a photo of one ring in front of the grass shows a blue moon by night"


def test_cleaning():
    assert clean_caption("It’s Bob's - dog,\tNo. 7!") == "its bobs dog no"
    assert [clean_caption(bad) for bad in (None, float("nan"), "", "123", "犬", "🙂")] == [""] * 6


@pytest.mark.parametrize(
    "caption", ["", "2024 - 17", "犬が走る", "🙂🙂", None, float("nan"), "x", "A", "word " * 5_000]
)
def test_captions_of_all_kinds_keep_their_place(caption):
    found = augment_captions(["a red star", caption, "a blue moon"], seed=4)
    assert len(found) == 3
    assert found[2] == augment_captions(["x", "y", "a blue moon"], seed=4)[2]
    if isinstance(caption, str):
        assert bool(found[1].strip()) == bool(caption.strip())


def test_what_each_change_keeps():
    words = LONG.split()
    replace, insert, swap, delete = CHANGES
    n = max(1, int(0.1 * len(words)))
    for seed in range(200):
        draw = generator(seed, "test")
        new = replace(words, n, 0.1, SYNONYMS, draw)
        changed = {(a, b) for a, b in zip(words, new, strict=True) if a != b}
        assert 1 <= len(changed) <= n
        assert all(b in SYNONYMS[a] for a, b in changed)
        longer = insert(words, n, 0.1, SYNONYMS, draw)
        assert not Counter(words) - Counter(longer)
        assert 1 <= len(longer) - len(words) <= n
        assert Counter(swap(words, n, 0.1, SYNONYMS, draw)) == Counter(words)
        left = delete(words, n, 0.1, SYNONYMS, draw)
        assert left
        assert not Counter(left) - Counter(words)
        assert delete(["alone"], 1, 1.0, SYNONYMS, draw) == ["alone"]
    kept = np.mean([len(delete(words, n, 0.1, SYNONYMS, generator(s, "d"))) / len(words) for s in range(500)])
    assert kept == pytest.approx(0.9, abs=0.01)


def test_no_change_is_the_cleaned_caption_and_each_change_is_as_likely():
    assert augment_caption("A Red star!", generator(0, "x"), share=0) == "a red star"
    found = Counter()
    for seed in range(2_000):
        new = augment_caption(LONG, generator(seed, "x")).split()
        words = LONG.split()
        kind = "same" if Counter(new) == Counter(words) else "longer" if len(new) > len(words) else "other"
        found[kind] += 1
    assert found["longer"] == pytest.approx(500, abs=80)
    assert found["same"] == pytest.approx(500 + 500 * 0.9 ** len(LONG.split()), abs=80)


def test_two_processes_with_other_hash_seeds_agree():
    code = f"from antivenom.data.eda import *; print(augment_captions([{LONG!r}] * 40, seed=9))"
    out = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(out) == 1
    assert eval(out.pop()) == augment_captions([LONG] * 40, seed=9)
