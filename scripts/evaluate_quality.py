"""AUROC of the quality scorer by cross-validation, beside baselines that know nothing of quality.

python scripts/evaluate_quality.py ../shared/data/quality_dclm/majority_data.jsonl.gz

Every text is scored by a model that did not see it nor a copy of it. Length, share of function words and share of lines
that end in punctuation are printed beside it: a scorer that does not beat them has learnt style. Intervals: percentile
bootstrap over texts; `over length` is the difference on the same resamples.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from train_scorer import as_label, read_labelled

from antivenom.data.duplicates import duplicate_groups
from antivenom.errors import AntivenomError
from antivenom.measure.detection import auroc
from antivenom.measure.rates import bootstrap_interval
from antivenom.randomness import generator
from antivenom.screen.scoring.scorer import score_texts
from antivenom.screen.scoring.scorers import parse

FUNCTION_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "for",
        "from",
        "has",
        "have",
        "in",
        "is",
        "it",
        "of",
        "on",
        "or",
        "that",
        "the",
        "to",
        "was",
        "were",
        "will",
        "with",
    ]
)
ENDS = (".", "!", "?", '"', "\u201d")


def length(text: str) -> float:
    """Characters."""
    return float(len(text))


def stop_word_share(text: str) -> float:
    """Share of the space-separated words that are function words."""
    words = text.lower().split()
    return sum(word in FUNCTION_WORDS for word in words) / max(len(words), 1)


def punctuation_line_share(text: str) -> float:
    """Share of the lines with anything on them that end in closing punctuation."""
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    return sum(line.endswith(ENDS) for line in lines) / max(len(lines), 1)


BASELINES = {
    "length alone": length,
    "function-word share": stop_word_share,
    "lines ending in punctuation": punctuation_line_share,
}


def cross_validated(spec: str, texts: Sequence[str], y: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The score of every text under a model fitted on the other folds; copies of a text share its fold."""
    groups = duplicate_groups(texts)
    fold = (generator(seed, "quality folds").permutation(int(groups.max()) + 1) % folds)[groups]
    scorer = parse(spec)
    sign = -1.0 if getattr(scorer, "orientation", "better") == "paper" else 1.0
    out = np.full(len(texts), np.nan)
    for k in range(folds):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        fitted = scorer.fit([texts[i] for i in train], y[train].tolist(), seed=seed)
        out[test] = sign * score_texts(fitted, [texts[i] for i in test]).values
    return out


def compare(
    scores: dict[str, np.ndarray], y: np.ndarray, base: str = "length alone", resamples: int = 2_000
) -> list[dict]:
    """AUROC with its interval for every column of scores, and its difference from `base` on the same texts.

    A text that one of the columns does not score is left out of all.
    """
    table = np.column_stack([y.astype(float), *scores.values()])
    table = table[~np.isnan(table).any(axis=1)]
    at = 1 + list(scores).index(base)

    def area(rows: np.ndarray, column: int) -> float:
        value = auroc(rows[:, 0] > 0, rows[:, column])
        return np.nan if value is None else value

    found = []
    for column, name in enumerate(scores, 1):
        low, high = bootstrap_interval(table, lambda rows, c=column: area(rows, c), resamples=resamples)
        gap = bootstrap_interval(table, lambda rows, c=column: area(rows, c) - area(rows, at), resamples=resamples)
        row = {"name": name, "n": len(table), "auroc": area(table, column), "low": low, "high": high}
        found.append(
            row | {"over_length": area(table, column) - area(table, at), "gap_low": gap[0], "gap_high": gap[1]}
        )
    return found


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--scorer", default="quality")
    parser.add_argument("--text")
    parser.add_argument("--label", default="label")
    parser.add_argument("--positive", nargs="+", default=["1"])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args(argv)
    try:
        texts, labels, lost = read_labelled(a.data, a.text, a.label)
        y = np.array([as_label(value) in a.positive for value in labels], int)
        copies = len(texts) - len(set(duplicate_groups(texts).tolist()))
        print(f"{len(texts):,} texts, {int(y.sum()):,} good, {lost:,} left out, {copies:,} copies, {a.folds} folds")
        scores = {a.scorer: cross_validated(a.scorer, texts, y, a.folds, a.seed)}
        scores |= {name: np.array([measure(text) for text in texts]) for name, measure in BASELINES.items()}
        for row in compare(scores, y):
            print(
                f"{row['name']:30} AUROC {row['auroc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]   "
                f"over length {row['over_length']:+.3f} [{row['gap_low']:+.3f}, {row['gap_high']:+.3f}]   n = {row['n']}"
            )
    except AntivenomError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
