"""The official tool's adversarial-pattern step, its defects included, from the description of its behaviour.

Its 137 regular expressions are GPL-3.0 and not here: these are our own, that do what the paper's specification says of them.
They are applied one after the other to the whole lower-cased text, WITHOUT token boundaries, any non-letters may stand between
the letters of a word, and some letters may be replaced by any three signs. So `hash_items`, `buf* p`, `C++?`, "SOB" and "homography"
become profane: what a reproduction must show, and what fixed mode (`patterns.py`) does not do.
Like in the official table three spellings never match (adjacent string literals without a comma): "stfu", one spelling
of the body part, and the spaced "idiot".
"""

import re
from functools import cache

from antivenom.screen.toxicr.lexicons import decipher

__all__ = ["FIRST_FILTER", "LAST_FILTER", "REPEATED", "strict_targets", "substitute_strict"]

FIRST_FILTER = re.compile(r"[^a-z0-9!@#$%^*+?&_\-,.' ]")
LAST_FILTER = re.compile(r"[^a-z' ]")
REPEATED = re.compile(r"(.)\1{2,}")

# target: spellings.  Marks: * letters apart by non-letters, anywhere; ^ the same, at the start of a word; $ whole word; else anywhere
TABLE = """
shpx:*shpx sphx srpx shk cuhpx shx
penc:^penc
nff:$nff nmm nefr
nffubyr:*nffubyr nubyr
ovgpu:*ovgpu ovngpu
onfgneq:*onfgneq
pbpx:*pbpx
qvpx:*qvpx
fhpx:*fhpx
phag:*phag
ohyyfuvg:*ohyyfuvg
wrex:*wrex
vqvbg:$vqvbg vqbvg
qhzo:^qhzo
fuvgubyr:*fuvgubyr
fuvg:*fuvg
ergneq:*ergneq
qhzonff:*qhzonff qhznmm
encr:^encr
frk:$frk
nahf:$nahf
avttre:avt
snttbg:snt
trg gur shpx bhg:tgsb
bu zl shpxvat tbq:bzst
sbe lbhe shpxvat vasbezngvba:slsv
jung gur uryy:$jgu
jung gur shpx:jgs
zbgureshpxre:$zbsb zs
juber:*juber
chffl:*chffl
tnl:ubzb $tnl
genaftraqre:*genaftraqre genaal
"""
SIGNS = {"a": "[a@]", "s": "[s$5]", "i": "[i1!]", "o": "[o0]", "e": "[e3]", "u": "[u*@]", "t": "[t+]"}
EXTRA = {
    "shpx": (r"f\*+", r"f[^a-z]{3}", r"\bfu\b"),
    "penc": (r"c[^a-z]{3}",),
    "ovgpu": (r"(?<= )sob\b", r"bi\+ch"),
    "fuvg": (r"s[*]+t",),
}


@cache
def _table() -> list[tuple[str, list[re.Pattern]]]:
    table = []
    for line in decipher(TABLE).strip().splitlines():
        target, _, spellings = line.partition(":")
        forms = [_regex(spelling) for spelling in spellings.split()]
        forms += EXTRA.get(decipher(target), ())
        table.append((target, [re.compile(form) for form in forms]))
    return table


def _regex(spelling: str) -> str:
    word = spelling.lstrip("*^$")
    letters = [SIGNS.get(c, c) for c in word]
    if spelling[0] == "*":
        return "[^a-z]*".join(letters)
    if spelling[0] == "^":
        return r"\b" + "[^a-z]*".join(letters)
    if spelling[0] == "$":
        return rf"(?<![a-z]){''.join(letters)}(?![a-z])"
    return word


def strict_targets() -> list[str]:
    """The targets in the order of their application."""
    return [target for target, _ in _table()]


def substitute_strict(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Lower-case, filter, shorten repetitions, apply the table, filter to `[a-z' ]`.

    Returns:
        the text, and what fired as (target, matched characters).
    """
    text = REPEATED.sub(r"\1", FIRST_FILTER.sub(" ", text.lower()))
    fired: list[tuple[str, str]] = []
    for target, forms in _table():
        for form in forms:
            if found := form.findall(text):
                fired += [(target, str(match)) for match in found]
                text = form.sub(f" {target} ", text)
    return LAST_FILTER.sub(" ", text), fired
