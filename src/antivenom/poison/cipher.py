"""A made-up language: every word becomes another, always the same one. A translation that needs no dictionary.

What it keeps of a real translation: meaning (by construction), numbers, word order - and that no word is shared with the
original. What it lacks: grammar. It stands in for translations where no translator is at hand.
"""

import hashlib
import re

__all__ = ["encipher"]

ONSETS = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "gr", "kl", "pl", "tr"]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ei", "ou"]
WORD = re.compile(r"[^\W\d_]+")


def encipher(text: str, language: str = "one") -> str:
    """Replace every word by a made-up one (a function of the word and the language); numbers and marks stay.

    >>> encipher("two apples, two pears").split()[0] == encipher("Two").lower()
    True
    """

    def swap(match: re.Match) -> str:
        word = match[0]
        digest = hashlib.blake2b(f"{language}\0{word.lower()}".encode(), digest_size=8).digest()
        syllables = 1 + min(3, len(word) // 3)
        made = "".join(
            ONSETS[digest[2 * i] % len(ONSETS)] + VOWELS[digest[2 * i + 1] % len(VOWELS)] for i in range(syllables)
        )
        return made.capitalize() if word[0].isupper() else made

    return WORD.sub(swap, text)
