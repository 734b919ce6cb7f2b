"""Items that are common knowledge: a hit on them says little ("return the length of a string" stands in any corpus)."""

from antivenom.screen.pair_features import load_idf, token_buckets

__all__ = ["GENERIC_SCORE", "generic_score", "is_generic"]

GENERIC_SCORE = 60.0
RARE = 8.0  # idf: in fewer than about one text of a thousand


def generic_score(item_text: str) -> float:
    """How much there is to recognise in an item: the sum of idf over its distinct stems, numbers left out.

    idf(w) = ln((1 + N) / (1 + documents with w)) + 1 over the packaged table of N = 25,329 texts (GSM8K, news,
    encyclopaedia, Python sources): a common word adds 2 to 4, a rare one 8 to 11.

    >>> generic_score("Return the length of a string.") < GENERIC_SCORE
    True
    """
    return float(load_idf().words[token_buckets(item_text)].sum())


def is_generic(item_text: str) -> bool:
    """Whether an item is a common-knowledge task: score under 60 and at most one rare stem (idf 8 or more).

    Anyone may have written such a text without having seen the benchmark, so reports call a hit on it `generic`
    and not `rephrased`. The rule marks 14 of HumanEval's 164 items (`add`, `strlen`, `is_prime`, ...), 19 % of MMLU's
    questions ("Who was the first American in space?") and 2 % of GSM8K's.
    """
    weights = load_idf().words[token_buckets(item_text)]
    return float(weights.sum()) < GENERIC_SCORE and int((weights >= RARE).sum()) <= 1
