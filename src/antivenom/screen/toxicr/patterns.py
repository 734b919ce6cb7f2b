"""Obfuscated profanity put back into plain letters, and abbreviations into words - and code left alone.

Each target has a few spellings, from which one regular expression is compiled: letters may be repeated, replaced by signs
that look like them (leet), masked, or set apart by one and the same separator. Three rules keep it away from source code, where
the official table creates profanity out of ordinary identifiers (a separator inside a name, a pointer star, a namespace):

* a match is a whole token: no letter, digit or underscore before or after it;
* the first letter is there, and enough of the others;
* no match that changes anything stands in code: next to `::`, `->`, a call bracket, a path separator, or an operator.

The table is our own, made from descriptions; it is kept in ROT13. `strict_patterns.py` has the paper's behaviour.
"""

import re
from dataclasses import dataclass
from functools import cache

from antivenom.screen.toxicr.lexicons import decipher

__all__ = ["IDENTITY", "Firing", "find", "substitute", "targets"]

# target | written as | spellings | endings.  Marks: = symbols only, no digits, masks or spacing; ~ only with an ending;
# . abbreviation: plain or with dots; ! abbreviation: with dots only
TABLE = """
shpx|shpx|shpx shx= sphx= shd= cuhpx shk= srpx= shxp= shkx= spx~ sx~|f rq re ref vat va hc jvg urnq gneq rel
penc|penc|penc xenc=|f cl cre cref crq cvat
nff|nff|nff= nmm= nefr=|rf
nubyr|nffubyr|nffubyr nmmubyr= nubyr= nefrubyr nfubyr=|f
ovgpu|ovgpu|ovgpu ovngpu= olgpu= ovbgpu=|rf l vat rq va
onfgneq|onfgneq|onfgneq onfgreq=|f
pbpx|pbpx|pbpx|f fhpxre fhpxref
qvpx|qvpx|qvpx|f urnq urnqf
fhpx|fhpx|fhpx fhx= fhk=|f re ref vat rq l va
phag|phag|phag xhag=|f
ohyyfuvg|ohyyfuvg|ohyyfuvg ohyfuvg=|f
wrex|wrex|wrex|f bss
vqvbg|vqvbg|vqvbg vqwvg= vqbvg= vqvbbg=|f vp
qhzonff|qhzonff|qhzonff qhznmm= qhznefr=|rf
qhzo|qhzo|qhzo|re rfg
fuvg|fuvg|fuvg fulg= fug~ fuvrg=|f gl gvat urnq ybnq fubj
fuvgubyr|fuvgubyr|fuvgubyr|f
ergneq|ergneq|ergneq|f rq
encr|encr|encr|q f e
frk|frk|frk|
nahf|nahf|nahf|
fyhe-enpr|avttre|avttre avttn|f
fyhe-tnl|snttbg|snttbg sntbg= snt= sntrg=|f
fgsh|fuhg gur shpx hc|fgsh.|
slsv|sbe lbhe shpxvat vasbezngvba|slsv.|
tgsb|trg gur shpx bhg|tgsb.|
bzst|bu zl shpxvat tbq|bzst.|
jgu|jung gur uryy|jgu.|
jgs|jung gur shpx|jgs. jgns=|
fbo|fba bs n ovgpu|fbo! fbabsnovgpu fbahinovgpu=|rf
zbsb|zbgureshpxre|zbsb zsre= zbgureshpxre zbgunshpxn= zhgunshpxn=|f
juber|juber|juber|f
chffl|chffl|chffl|
ubzb|ubzbfrkhny|ubzb=|f
tnl|tnl|tnl|f
genaftraqre|genaftraqre|genaftraqre genaftraqrerq=|f
"""
IDENTITY = frozenset({"homo", "gay", "transgender"})
"""Terms for people, not profane in themselves: off unless asked for (identity-term bias)."""
INNER_MASKED = frozenset(decipher("shpx fuvg phag ovgpu").split())
"""May lose every inner letter to a mask."""

SYMBOLS = {"a": "@", "s": "$", "i": "!|", "t": "+", "l": "|", "u": "", "c": "", "o": ""}
DIGITS = {"a": "4", "b": "8", "e": "3", "g": "9", "i": "1", "l": "1", "o": "0", "s": "5"}
SOUNDS = {"u": "v"}
MASK = "*#@$%"
VOWELS = "aeiou"
EXTRA = {  # forms that are no spelling of their target; X is its first letter
    "shpx": r"X[*#@$%]{3,}(?:ing|ed|er|s)?|X[*#@$%]+(?:ing|er|ed)|X-(?:ing|er|ed)|X\*+ed",
    "fuvg": r"Xh[*#@$%]{2}(?:ty|s)?",
    "nubyr": r"X[-*]holes?|X[*$]{2}-?holes?|X[s$]{2}[-* ](?:hole)s?",
    "qhzonff": r"Xumb[- ]?[a@](?:\$\$|ss|zz)(?:es)?",
    "ohyyfuvg": r"Xull[- ]?[s$5]h[i1!*]t",
    "zbsb": r"X\.?f['-]?er[s]?|X(?:other|utha|other )f[*@#$%u][*@#$%c]k(?:er|a|ing)s?",
}
EXTRA = {decipher(name): form for name, form in EXTRA.items()}
CODE_BEFORE = re.compile(r"(?:::|->|[\w)\]][./\\:]|[/\\]|[=<>%+]\s*|\bnamespace\s+|\binclude\s*<)$")
CODE_AFTER = re.compile(r"::|->|[/\\]\w|\.\w|[(\[]|\s*[=+<>]|-8\b|\s*\*\s*\w|\s*;\s*$")


@dataclass(frozen=True)
class Firing:
    """A pattern that matched the characters [start, stop) of a text.

    Args:
        target: which one, as in the table.
        found: the matched characters.
        replaced_by: what was put in their place.
        start: first character.
        stop: after the last one.
    """

    target: str
    found: str
    replaced_by: str
    start: int
    stop: int

    @property
    def changed(self) -> bool:
        """False where the word was already spelled plainly."""
        return self.found.lower() != self.replaced_by


@dataclass(frozen=True)
class _Target:
    name: str
    text: str
    spellings: tuple[str, ...]
    endings: tuple[str, ...]


@cache
def _table() -> list[_Target]:
    rows = [line.split("|") for line in decipher(TABLE).strip().splitlines()]
    return [_Target(name, text, tuple(forms.split()), tuple(ends.split())) for name, text, forms, ends in rows]


def targets() -> list[str]:
    """The targets by name, in the order of the table."""
    return [target.name for target in _table()]


@cache
def _compiled(identity: bool) -> re.Pattern:
    parts = [
        f"(?P<t{i}>{_alternatives(target, i)})"
        for i, target in enumerate(_table())
        if identity or target.name not in IDENTITY
    ]
    return re.compile(rf"(?<![\w$@#*'])(?:{'|'.join(parts)})(?![\w*@])", re.IGNORECASE)


def _alternatives(target: _Target, number: int) -> str:
    found = []
    ends = "|".join(map(re.escape, sorted(target.endings, key=len, reverse=True)))
    for at, spelling in enumerate(target.spellings):
        word = spelling.rstrip("=~.!")
        mark = spelling[len(word) :]
        if mark in (".", "!"):
            found += [word] * (mark == ".") + [r"\.".join(word) + r"\.?"]
            continue
        letters = "".join(_letter(c, digits=mark != "=", masked=mark == "" and k > 0) for k, c in enumerate(word))
        ending = f"(?P<et{number}_{at}>{ends}){'' if mark == '~' else '?'}" if ends else ""
        found.append(letters + ending)
        if mark == "" and len(word) > 3:
            apart = f"(?P<s{number}_{at}>[ .\\-_*])"
            rest = f"(?P=s{number}_{at})".join(_letter(c, digits=True, masked=False) for c in word[1:])
            found.append(f"{_letter(word[0], digits=True, masked=False)}{apart}{rest}")
    if target.name in EXTRA:
        found.append(EXTRA[target.name].replace("X", target.name[0]))
    return "|".join(found)


def _letter(c: str, *, digits: bool, masked: bool) -> str:
    signs = c + SYMBOLS.get(c, "") + (DIGITS.get(c, "") + SOUNDS.get(c, "") if digits else "")
    signs += MASK if masked else ""
    return f"[{re.escape(signs)}{'-' if masked and c in VOWELS else ''}]+" if len(signs) > 1 else f"{c}+"


def find(text: str, *, identity: bool = False) -> list[Firing]:
    """What the table matches in a text, left to right, code left out.

    Args:
        text: in any case; nothing need be removed before.
        identity: also the identity terms.
    """
    firings = []
    table = _table()
    for match in _compiled(identity).finditer(text):
        target = table[int((match.lastgroup or "t0")[1:])]
        firing = _firing(target, match)
        if firing and not (firing.changed and _in_code(text, match.start(), match.end())):
            firings.append(firing)
    return firings


def substitute(text: str, *, identity: bool = False) -> tuple[str, list[Firing]]:
    """Put each match's plain text in its place.

    Returns:
        the new text, and what fired (plain spellings included: see `Firing.changed`).
    """
    firings = find(text, identity=identity)
    if not any(firing.changed for firing in firings):
        return text, firings
    parts, at = [], 0
    for firing in firings:
        parts += [text[at : firing.start], firing.replaced_by]
        at = firing.stop
    return "".join([*parts, text[at:]]), firings


def _firing(target: _Target, match: re.Match) -> Firing | None:
    """What a match stands for; None where too few letters are left of the word."""
    found, lower = match[0], match[0].lower()
    letters = sum(c.isalpha() for c in lower)
    if (letters < 2 and any(c.isdigit() for c in lower)) or (not letters and lower != "@$$"):
        return None
    masked = sum(c in "*#%-" for c in lower)
    if masked * 2 > letters and target.name not in EXTRA and target.name not in INNER_MASKED:
        return None
    groups = match.groupdict()
    ending = next((groups[key] for key in groups if key.startswith(f"e{match.lastgroup}_") and groups[key]), "")
    return Firing(target.name, found, target.text + ending.lower(), *match.span())


def _in_code(text: str, start: int, stop: int) -> bool:
    return bool(CODE_BEFORE.search(text, max(0, start - 24), start) or CODE_AFTER.match(text, stop))
