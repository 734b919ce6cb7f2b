"""Contractions written out: "don't" -> "do not".

The table is generated from English grammar (auxiliary + not, pronoun + auxiliary). Fixed mode matches it at word boundaries
in any case; strict mode reproduces the official tool: a token between two single spaces is replaced when it is *exactly* an
entry (lower case, or "I'm" and its like), and entries include real words such as "its" and "cause".
"""

import re
from functools import cache

__all__ = ["expand", "expand_strict", "table"]

NEGATED = [
    "are",
    "could",
    "dare",
    "did",
    "do",
    "does",
    "had",
    "has",
    "have",
    "is",
    "may",
    "might",
    "must",
    "need",
    "ought",
    "should",
    "was",
    "were",
    "would",
]
SUBJECTS = [
    "i",
    "you",
    "he",
    "she",
    "it",
    "we",
    "they",
    "that",
    "this",
    "there",
    "who",
    "what",
    "where",
    "when",
    "why",
    "how",
    "somebody",
    "someone",
    "everyone",
]
WITH_IS = [
    "he",
    "she",
    "it",
    "that",
    "this",
    "there",
    "here",
    "who",
    "what",
    "where",
    "when",
    "why",
    "how",
    "somebody",
    "someone",
    "everyone",
    "everything",
]
WITH_ARE = ["you", "we", "they", "who", "what", "where", "there", "why", "how", "these", "those"]
WITH_HAVE = ["i", "you", "we", "they", "who", "should", "would", "could", "might", "must", "there", "what", "where"]
IRREGULAR = {
    "ain't": "is not", "can't": "cannot", "can't've": "cannot have", "couldn't've": "could not have", "i'm": "i am",
    "let's": "let us", "ma'am": "madam", "o'clock": "of the clock", "shan't": "shall not", "won't": "will not", "y'all": "you all",
    "'tis": "it is", "'twas": "it was", "'cause": "because", "c'mon": "come on", "shouldn't've": "should not have",
    "wouldn't've": "would not have", "hadn't've": "had not have",
}  # fmt: skip
APOSTROPHELESS = [
    "dont",
    "doesnt",
    "didnt",
    "isnt",
    "wasnt",
    "couldnt",
    "shouldnt",
    "wouldnt",
    "havent",
    "hasnt",
    "arent",
    "werent",
]
REAL_WORDS = {"its": "it is", "cause": "because", "cant": "cannot", "lets": "let us", "howdy": "how do you"}
"""Entries of strict mode alone: in prose these are more often words of their own."""
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u00b4`", "'"))


@cache
def table() -> dict[str, str]:
    """Contraction (lower case) -> what it stands for.

    >>> table()["they're"], table()["mustn't"]
    ('they are', 'must not')
    """
    found = {f"{word}n't": f"{word} not" for word in NEGATED}
    found |= {f"{word}'ll": f"{word} will" for word in SUBJECTS}
    found |= {f"{word}'d": f"{word} would" for word in SUBJECTS}
    found |= {f"{word}'ve": f"{word} have" for word in WITH_HAVE}
    found |= {f"{word}'re": f"{word} are" for word in WITH_ARE}
    found |= {f"{word}'s": f"{word} is" for word in WITH_IS}
    found |= {f"{word}'d've": f"{word} would have" for word in SUBJECTS[:7]}
    found |= IRREGULAR
    return found | {word: found[f"{word[:-1]}'t"] for word in APOSTROPHELESS} | {"cant": "cannot"}


@cache
def _pattern() -> re.Pattern:
    longest = sorted(table(), key=len, reverse=True)
    return re.compile(rf"(?<![\w'])(?:{'|'.join(map(re.escape, longest))})(?![\w'])", re.IGNORECASE)


@cache
def _strict() -> dict[str, str]:
    capitals = {f"I{key[1:]}": f"I{value[1:]}" for key, value in table().items() if key.startswith("i'")}
    return table() | capitals | REAL_WORDS


def expand(text: str) -> str:
    """Write out every contraction, whatever its case and whatever follows it.

    >>> expand("Don't, I\u2019m sure it's ITS turn")
    'do not, i am sure it is ITS turn'
    """
    return _pattern().sub(lambda match: table()[match[0].lower()], text.translate(APOSTROPHES))


def expand_strict(text: str) -> str:
    """As the official tool does: whole tokens between single spaces, exact case.

    >>> expand_strict("don't, Don't don't its")
    "don't, Don't do not it is"
    """
    entries = _strict()
    return " ".join(entries.get(token, token) for token in text.translate(APOSTROPHES).split(" "))
