"""Disguised words are found by token; ordinary words, identifiers and code are not touched."""

import numpy as np
import pyarrow as pa
import pytest

from antivenom.data.words import hash_token
from antivenom.poison.obfuscate import DISGUISES, obfuscate
from antivenom.screen.toxicity.obfuscation import Found, find_disguised, undo

WORDS = np.sort(np.array([hash_token(w) for w in ("frick", "darn", "dumbo", "zark", "shoot", "ass", "hit")], np.uint64))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("f.r.i.c.k you", "frick you"),
        ("fr1ck", "frick"),
        ("FR!CK!!", "frick!!"),
        ("d@rn it", "darn it"),
        ("so z a r k off", "so zark off"),
        ("a z a r k", "a zark"),
        ("ｄａｒｎ", "darn"),
        ("d\u0430rn", "darn"),  # Cyrillic a
        ("z\u03b1rk", "zark"),  # Greek alpha
        ("frrrrick", "frick"),
        ("fr*ck", "frick"),
        ("f**ck", "frick"),
        ("a$$", "ass"),
        ("asssss!", "ass!"),
        ("sh00t", "shoot"),
        ("shooooot", "shoot"),
        ("(d4rn)", "(darn)"),
        ('say "d4rn".', 'say "darn".'),
        ("d.4-r.n\nand fr1ck", "darn\nand frick"),
        ("🙂 d4rn é", "🙂 darn é"),
        ("da\u200brn", "darn"),
    ],
)
def test_disguises_are_undone(text, plain):
    assert undo(text, WORDS)[0] == plain


@pytest.mark.parametrize(
    "text",
    [
        "assassin",
        "Scunthorpe",
        "hash_items(x)",
        "push_it",
        "s_hit",
        "WTF::Vector",
        "x = darn_1t",
        "http://d4rn.example/a55",
        "455",
        "a55",
        "0x455a55",
        "c l a s s",
        "the cl ass",
        "plain darn is no disguise",
        "d*rn*x*y",
        "****",
        "3 x 4",
        "",
        "   ",
        "д а р н",
        "class-hit" * 20,
        "QUJD" * 1000,
    ],
)
def test_what_is_no_disguise_stays(text):
    assert undo(text, WORDS) == (text, [])


def test_places_are_characters_of_the_original():
    text = "é🙂 z a r k, then d4rn."
    _, found = undo(text, WORDS)
    assert found == [Found(17, 21, "darn")]  # "k," is no single letter
    text = "é🙂 z a r k then d4rn."
    assert [(text[f.start : f.stop], f.word) for f in undo(text, WORDS)[1]] == [("z a r k", "zark"), ("d4rn", "darn")]


def test_a_batch_is_its_rows_and_any_number_is_found():
    texts = ["fr1ck ok d4rn", "", "nothing", "sh00t " * 3_000]
    found = find_disguised(pa.array(texts, pa.large_string()), WORDS)
    assert np.bincount(found.row, minlength=4).tolist() == [2, 0, 0, 3_000]
    assert found.spelled(0) == "frick"
    sliced = find_disguised(pa.array(["x", *texts], pa.large_string())[1:], WORDS)
    assert sliced.start.tolist() == found.start.tolist()


@pytest.mark.parametrize("disguise", DISGUISES)
def test_what_the_generator_makes_is_undone(disguise):
    words = ["frick", "darn", "dumbo", "zark", "shoot"]
    back = [undo(obfuscate(f"you {word} there", [word], disguise, seed=3), WORDS)[0] for word in words]
    assert sum(text == f"you {word} there" for text, word in zip(back, words)) >= 4


def test_the_generator_is_a_function_of_its_arguments():
    texts = {obfuscate("what a darn thing, Darn!", ["darn"], "leet", seed=s) for s in range(8)}
    assert obfuscate("a darn", ["darn"], "spacing", seed=1) == obfuscate("a darn", ["darn"], "spacing", seed=1)
    assert all("darn" not in text.lower() for text in texts)
    assert all(text.startswith("what a ") and text.endswith("!") for text in texts)
    assert obfuscate("darned garden", ["darn"], "leet") == "darned garden"
