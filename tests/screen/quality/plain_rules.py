"""The rules' statistics in plain Python, from their definitions: the reference of the numba kernels.

Tokens come from `tokens_of` (they have tests of their own); everything else is written anew on str.
"""

import re
from collections import Counter

from antivenom.screen.quality.pieces import tokens_of

STOPS = {"the", "be", "to", "of", "and", "that", "have", "with"}
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


def share(part, whole):
    return part / whole if whole else float("nan")


def copies(items):
    seen, number, characters = set(), 0, 0
    for item in items:
        if item in seen:
            number += 1
            characters += len(item)
        seen.add(item)
    return number, characters


def top(words, n):
    grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    if not grams:
        return 0
    gram, times = max(grams.items(), key=lambda pair: pair[1])
    return len(gram) * times


def copied(words, n):
    seen, total, i = set(), 0, 0
    while i + n <= len(words):
        gram = "".join(words[i : i + n])
        if gram in seen:
            total += len(gram)
            i += n
        else:
            seen.add(gram)
            i += 1
    return total


def cleaned(line):
    return re.sub(r"\[\d*]|\[edit]|\[citation needed]", "", line)


def kept_lines(text):
    kept, lorem, curly = [], 0, 0
    for raw in text.splitlines():
        line = raw.strip()
        words = line.split()
        if any(len(word) > 1000 for word in words):
            continue
        line = cleaned(line)
        if not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...") or len(words) < 3:
            continue
        low = line.lower()
        if "lorem ipsum" in low:
            lorem += 1
        elif "javascript" in low:
            continue
        elif "{" in line:
            curly += 1
        elif not any(phrase in low for phrase in POLICY):
            kept.append(line)
    return kept, lorem, curly


def statistics(text, symbol, stop):
    """All but `sentences`; `symbol` and `stop` say of a character whether it is one."""
    words = [text[a:b] for a, b in tokens_of(text)]
    real = [word for word in words if not all(map(symbol, word))]
    lines = text.splitlines()
    feed = [line for line in text.split("\n") if line.strip()]
    pieces = re.split("\n+", text)
    paragraphs = re.split("\n{2,}", text.strip())
    kept, lorem, curly = kept_lines(text)
    line_copies, para_copies = copies(pieces), copies(paragraphs)
    found = {
        "characters": len(text),
        "words": len(words),
        "real_words": len(real),
        "mean_word_length": share(sum(map(len, real)), len(real)),
        "hash_ratio": share(text.count("#"), len(words)),
        "ellipsis_ratio": share(text.count("...") + text.count("…"), len(words)),
        "bullet_lines": share(sum(x.lstrip().startswith(("•", "-")) for x in lines), len(lines)),
        "ellipsis_lines": share(sum(x.rstrip().endswith(("...", "…")) for x in lines), len(lines)),
        "alpha_words": share(sum(any(c.isalpha() for c in w) for w in words), len(words)),
        "stop_words": len(STOPS & set(words)),
        "duplicate_paragraphs": share(para_copies[0], len(paragraphs)),
        "duplicate_paragraph_characters": share(para_copies[1], len(text)),
        "duplicate_lines": share(line_copies[0], len(pieces)),
        "duplicate_line_characters": share(line_copies[1], len(text)),
        "closed_lines": share(sum(stop(x[-1]) for x in feed), len(feed)),
        "short_lines": share(sum(len(x) <= 30 for x in feed), len(feed)),
        "copied_line_characters": share(copies(feed)[1], len(text.replace("\n", ""))),
        "newline_ratio": share(text.count("\n"), len(words)),
        "lines": len(lines),
        "kept_lines": len(kept),
        "lorem_ipsum_lines": lorem,
        "curly_bracket_lines": curly,
    }
    for n in (2, 3, 4):
        found[f"top_{n}_gram"] = share(top(words, n), len(text))
    for n in range(5, 11):
        found[f"duplicate_{n}_grams"] = share(copied(words, n), len(text))
    return found
