"""English words that a rule on characters would cut wrongly: contractions, abbreviations, clock times.

"don't" is two words (do, n't) and "Mr." one. The token counts of the published filters rest on such cases, and so do their
verdicts; here they are generated from the contractions' grammar, each with the lengths of its parts.
"""

from functools import cache
from itertools import product

import numpy as np

__all__ = ["LONGEST", "cases", "hash_of", "lookup"]

LONGEST = 16
"""No case is longer (characters)."""

BASE = np.uint64(0x9E3779B97F4A7C55)
SIZE = 1 << 13

PRONOUNS = {
    "i": ("m", "ll", "d", "ve"),
    "you": ("ll", "d", "ve", "re"),
    "we": ("ll", "d", "ve", "re"),
    "they": ("ll", "d", "ve", "re"),
    "he": ("ll", "d", "s"),
    "she": ("ll", "d", "s"),
    "it": ("ll", "d", "s"),
    "this": ("ll", "d", "s"),
    "these": ("ll", "d", "re", "ve"),
    "those": ("ll", "d", "re", "ve"),
    "that": ("ll", "d", "s"),
}
QUESTIONS = ("who", "what", "when", "where", "why", "how", "there")
NEGATED = [
    "ai",
    "are",
    "is",
    "was",
    "were",
    "have",
    "has",
    "dare",
    "do",
    "does",
    "did",
    "ca",
    "could",
    "had",
    "may",
    "might",
    "must",
    "need",
    "ought",
    "sha",
    "should",
    "wo",
    "would",
]
MODALS = ["could", "might", "must", "should", "would"]
ALSO_A_WORD = {"ill", "its", "hell", "shell", "shed", "were", "well", "whore"}
TITLES = "Mr Mrs Ms Dr Prof Rev Rep Sen Gov Gen Adm Jr St Mt Inc Ltd Co Corp Bros Messrs co vs v.s e.g E.g E.G i.e I.e I.E a.m p.m Ph.D"
MONTHS = "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec"
STATES = """Ak Ala Ariz Ark Calif Colo Conn D.C Del Fla Ga Ia Id Ill Ind Kan Kans Ky La Mass Md Mich Minn Miss Mo Mont N.C N.D N.H N.J
N.M N.Y Neb Nebr Nev Okla Ore Pa S.C Tenn Va Wash Wis"""
WHOLE = """' '' 's 'S 'd 'll 're 'em 'nuff 'bout 'cause 'Cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz and/or w/o ma'am Ma'am o'clock O'clock
C++ doin' Doin' goin' Goin' havin' Havin' lovin' Lovin' nothin' Nothin' nuthin' Nuthin' ol' Ol' somethin' Somethin'"""
FACES = """:) :( :D :P :p :O :o :/ :| :] :X :x :} :> :* :0 :1 :3 :-) :-( :-D :-P :-p :-O :-o :-/ :-| :-] :-} :)) :(( :() =) =( =D =/ =|
=[ =] =3 ;) ;D ;-) ;-D ): (: (; (= (-: [: [= ]= 8) 8D 8-) <3 </3 0.0 0_0 O_o o_O o.o ._. -_- ^_^ XD xD :') :'( :'-) :'-( ‘s ‘S"""
PARTS = {
    "cannot": (3, 3),
    "gonna": (3, 2),
    "gotta": (3, 2),
    "let's": (3, 2),
    "c'mon": (3, 2),
    "not've": (3, 3),
    "notve": (3, 2),
    "i'ma": (1, 2, 1),
    "ima": (1, 1, 1),
}


@cache
def cases() -> dict[str, tuple[int, ...]]:
    """Word -> lengths of the tokens it is made of."""
    found: dict[str, tuple[int, ...]] = {}
    stems: list[tuple[str, str, bool]] = []  # stem, ending, may be followed by "ve"
    for pronoun, endings in PRONOUNS.items():
        stems += [(pronoun, ending, ending in ("ll", "d")) for ending in endings]
    for question, ending in product(QUESTIONS, ("ll", "d", "ve", "re", "s")):
        stems.append((question, ending, ending in ("ll", "d")))
    stems += [(modal, "ve", False) for modal in MODALS]
    for stem, ending, more in stems:
        for apostrophe in ("'", ""):
            last = apostrophe + ending
            found[stem + last] = (len(stem), len(last))
            if more:
                have = apostrophe + "ve"
                found[stem + last + have] = (len(stem), len(last), len(have))
    late = NEGATED.index("do")  # from here on also with "have": "wouldn't've"
    for place, verb in enumerate(NEGATED):
        for no, have in (("n't", "'ve"), ("nt", "ve")):
            found[verb + no] = (len(verb), len(no))
            if place >= late:
                found[verb + no + have] = (len(verb), len(no), len(have))
    found |= PARTS
    found |= {word.capitalize(): parts for word, parts in found.items()}
    found |= {"y'all": (2, 3), "yall": (1, 3), "how'd'y": (3, 2, 2), "How'd'y": (3, 2, 2)}
    for hour, half in product(range(1, 13), ("a.m.", "am", "p.m.", "pm")):
        found[f"{hour}{half}"] = (len(str(hour)), len(half))
    for word in f"{TITLES} {MONTHS} {STATES}".split():
        found[word + "."] = (len(word) + 1,)
    for letter in "abcdefghijklmnopqrstuvwxyzäöü":
        found[letter + "."] = (2,)
    for word in WHOLE.split():
        found[word] = (len(word),)
    for face in FACES.split():
        found[face] = (len(face),)
    for word in [word for word in found if word in ALSO_A_WORD or word.lower() in ALSO_A_WORD]:
        del found[word]
    found |= {word.replace("'", "\u2019"): parts for word, parts in found.items()}
    return found


def hash_of(word: str) -> int:
    """The polynomial hash of a word's code points, as the kernels compute it."""
    value = 0
    for character in word:
        value = (value * int(BASE) + ord(character) + 1) & 0xFFFFFFFFFFFFFFFF
    return value


@cache
def lookup() -> tuple[np.ndarray, np.ndarray]:
    """An open-addressed table: keys uint64 (0 = free), and the parts' lengths, four bits each, first in the lowest."""
    keys = np.zeros(SIZE, np.uint64)
    parts = np.zeros(SIZE, np.uint32)
    for word, lengths in cases().items():
        key = hash_of(word)
        slot = (key >> 40) & (SIZE - 1)
        while keys[slot] not in (0, key):
            slot = (slot + 1) & (SIZE - 1)
        keys[slot] = key
        parts[slot] = sum(length << (4 * place) for place, length in enumerate(lengths))
    return keys, parts
