"""What kind of character a code point is: one table of bit flags that every rule reads.

Which characters count as a symbol, an end of a sentence or a part of a word decides a rule's verdict, so the classes follow
what the published filters use: Unicode properties where they use properties, and else code points, given here as
hexadecimal ranges. Letters for the cutting of tokens are `str.isalpha` of the large scripts, with the whole
blocks of scripts that know no case (they count as lower and upper case at once).
"""

import unicodedata
from functools import cache

import numpy as np

__all__ = [
    "ALPHA",
    "CLOSES",
    "CURRENCY",
    "DIGIT",
    "HOST",
    "HYPHEN",
    "ICON",
    "LETTER",
    "LIMIT",
    "LINE_BREAK",
    "LOWER",
    "NUMBER",
    "PUNCTUATION",
    "QUOTE",
    "SCHEME",
    "SPACE",
    "STARTS",
    "STOP",
    "SYMBOL",
    "UPPER",
    "ranges",
    "table",
]

LIMIT = 0x33480
"""Code points from here on (private use, variation selectors) have no flags."""

SPACE = 1 << 0  # str.isspace
LINE_BREAK = 1 << 1  # str.splitlines
ALPHA = 1 << 2  # str.isalpha
NUMBER = 1 << 3  # str.isdecimal
DIGIT = 1 << 4  # 0-9
SYMBOL = 1 << 5  # a word made only of these is no word to Gopher's counts
STOP = 1 << 6  # ends a sentence
PUNCTUATION = 1 << 7  # general category P*
LETTER = 1 << 8  # letter, to the cutting of tokens
LOWER = 1 << 9
UPPER = 1 << 10
QUOTE = 1 << 11
ICON = 1 << 12  # general category So: emoji, dingbats
CURRENCY = 1 << 13
HYPHEN = 1 << 14
STARTS = 1 << 15  # a token of its own at the start of a word
CLOSES = 1 << 16  # a token of its own at the end of a word
HOST = 1 << 17  # inside a host name
SCHEME = 1 << 18  # inside a URL scheme

# Sentence_Terminal of the Unicode character database, with the ideographic and half-width full stops
STOPS = """21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e 1735-1736 17d4-17d6
17d9-17da 1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1b7d-1b7e 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c
2e53-2e54 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01
ff0e ff1f ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 111c5-111c6 111cd 111de-111df
11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 1173c-1173e 11944 11946 11a42-11a43
11a9b-11a9c 11c41-11c42 11ef7-11ef8 11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44 16e98 1bc9f 1da88"""
# ASCII punctuation, control characters and typographic marks, as the public web-corpus filters count symbols
SYMBOLS = """0-8 b-1f 21-2f 3a-40 5b-60 7b-7e 7f-9f ab b4 bb 2013-2014 2019 201c-201e 2026 2236 2501 25ba 3001-3002 3008-300d
3010-3011 ff01 ff05 ff08-ff09 ff0c ff0e ff11 ff1a-ff1b ff1f ff5e"""
QUOTES = """22 27 2c 60 ab b4 bb 2018-201a 201c-201e 2329-232a 27e6-27e9 3008-300f 3010-3011 3014-3015 ff08-ff09"""
MARKS = """21 23 26 28-2a 2c 3a-3c 3e-3f 5b 5d 5f 7b 7d a1 b7 bf 60c 61b 61f 66a 6d4 964-965 2026 3001-3002 ff01 ff0c ff1a-ff1b
ff1f ff5e"""
CURRENCIES = "24 a3 a5 e3f 20a0-20bf fdfc"
CASELESS = """591-5f4 620-64a 66e-6d5 6e5-6ff 750-77f 8a0-8bd 900-97f 980-9ff b80-c7f c80-cff d80-dff 1100-137f 2e80-303f
3040-30ff 31c0-31ef 3200-33ff 3400-4dbf 4e00-9fff ac00-d7af f900-faff fb1d-fb4f fb50-fbb1 fbd3-fd3d fd50-fdc7 fdf0-fdfb
fe30-fe4f fe70-fefc 1f200-1f2ff 20000-2ebef 2f800-2fa1f"""
IDEOGRAPHS = (range(0x3400, 0x4DC0), range(0x4E00, 0xA000))
RARE_IDEOGRAPHS = range(0x20000, LIMIT)  # with gaps that close from one version of Unicode to the next


def ranges(text: str) -> np.ndarray:
    """The code points of hexadecimal ranges.

    >>> ranges("61-63 7a").tolist()
    [97, 98, 99, 122]
    """
    found: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        found += range(int(first, 16), int(last or first, 16) + 1)
    return np.array(found)


@cache
def table() -> np.ndarray:
    """The flags of every code point below `LIMIT`, uint32."""
    flags = np.zeros(LIMIT, np.uint32)
    for block in IDEOGRAPHS:  # half of the table, and all alike
        flags[block.start : block.stop] = ALPHA
    flags[[point for point in RARE_IDEOGRAPHS if chr(point).isalpha()]] = ALPHA
    for point in [*range(0x3400), *range(0x4DC0, 0x4E00), *range(0xA000, 0xD800), *range(0xE000, 0x20000)]:
        character = chr(point)
        category = unicodedata.category(character)
        if category == "Cn":
            continue
        bits = 0
        if category[0] == "L":
            bits |= ALPHA
            if point < 0x530 or 0x1C80 <= point < 0x2000 or 0x2C60 <= point < 0x2C80 or 0xA720 <= point < 0xAB65:
                bits |= LETTER
                bits |= LOWER if character.islower() else UPPER if character.isupper() else 0
        elif category == "Nd":
            bits |= NUMBER
        elif category[0] == "P":
            bits |= PUNCTUATION
        elif category == "So":
            bits |= ICON | STARTS | CLOSES
        if character.isspace():
            bits |= SPACE
        if category[0] in "LNM" or character == "_":
            bits |= SCHEME
        flags[point] = bits
    for code in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029":
        flags[ord(code)] |= LINE_BREAK
    flags[0xFF21:0xFF3B] |= LETTER | UPPER
    flags[0xFF41:0xFF5B] |= LETTER | LOWER
    for text, bits in (
        (STOPS, STOP | SYMBOL),
        (SYMBOLS, SYMBOL),
        (QUOTES, QUOTE | STARTS | CLOSES),
        (MARKS, STARTS | CLOSES),
        (CURRENCIES, CURRENCY | STARTS),
        (CASELESS, LETTER | LOWER | UPPER),
        ("25 3d a7 2013-2014", STARTS),
        ("2013-2014", CLOSES),
        ("2d 2013-2014 7e", HYPHEN),
        ("30-39", DIGIT),
        ("30-39 41-5a 61-7a a1-ffff", HOST),
        ("2b 2d 2e", SCHEME),
    ):
        flags[ranges(text)] |= np.uint32(bits)
    flags[0xD800:0xE000] = 0
    return flags
