"""A judge without a language model: two logistic regressions on what a pair shares.

    P(same) = P(text) * P(numbers)        math, knowledge, text: other numbers make another question
    P(same) = P(text)                     code, number_substitution; and items without numbers
    P(m) = 1 / (1 + exp(-(w . x + b)))    x: `pair_features`, w >= 0 and b: packaged

Trained by `scripts/train_offline_judge.py` on rephrased GSM8K questions with hard negatives; MMLU and HumanEval were
not seen. It reads words, so it cannot judge a translation: a pair in two scripts is `undecided`, and a translation into
another language of the same script looks like a different text to it. The verdict is a function of the pair alone: not
of the batch, of the order of pairs, or of sentences in the row that address a judge (these are masked, and reported in
the reason).
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from antivenom.data.words import words
from antivenom.screen.injection import injection_report, mask_injections
from antivenom.screen.judge_prompts import instruction_kind
from antivenom.screen.pair_features import FEATURES, Idf, pair_features, script_counts
from antivenom.screen.verdict import Verdict

__all__ = ["KIND_MODELS", "OfflineJudge", "judge_features", "load_weights", "probability"]

KIND_MODELS = {
    "math": ("text", "numbers"),
    "knowledge": ("text", "numbers"),
    "code": ("text",),
    "number_substitution": ("text",),
}

FEWEST_WORDS = 3
CHUNK = 2_000
BOILERPLATE = re.compile(
    r"^[ \t]*(?:from\s+\S+\s+import\b.*|import\s+.*|>>>.*(?:\n(?![ \t]*(?:>>>|\"\"\"|'''))[ \t]*\S.*)?)$\n?",
    re.MULTILINE,
)
"""Import lines, and examples with the line of output after them."""
OTHER_SCRIPT = 0.35  # a text is foreign to another when the shares of non-Latin letters differ by more


@cache
def load_weights() -> dict[str, Any]:
    """The packaged weights: `version`, `models` (weights and bias), where they came from, what was measured."""
    return json.loads((files("antivenom.screen") / "weights" / "offline_judge.json").read_text("utf-8"))


def judge_features(items: Sequence[str], rows: Sequence[str], kind: str, idf: Idf | None = None) -> np.ndarray:
    """`pair_features` of what the kind compares: of code, the task without its imports and its examples."""
    if kind == "code":
        items = [stripped if (stripped := BOILERPLATE.sub("", item)).strip() else item for item in items]
    return pair_features(list(items), list(rows), idf)


def probability(features: np.ndarray, kind: str, models: dict[str, Any]) -> np.ndarray:
    """P(same), float64 (n,), of `judge_features` (n, len(FEATURES)); NaN where these are."""
    product = np.ones(len(features))
    for name in KIND_MODELS[kind]:
        model = models[name]
        logit = np.full(len(features), float(model["bias"]))
        for feature, weight in model["weights"].items():
            logit += weight * features[:, FEATURES.index(feature)]
        p = 1 / (1 + np.exp(-np.clip(logit, -60, 60)))
        product *= np.where(features[:, FEATURES.index("has_numbers")] == 1, p, 1.0) if name == "numbers" else p
    return product


@dataclass
class OfflineJudge:
    """The trained pair judge that needs no model; see the module's text.

    Args:
        kind: of instruction for all pairs, in place of each pair's own (`math`, `code`, `knowledge`, `text`,
            `number_substitution`).
        threshold: P(same) from which a pair is called the same; 0.5 is what the training set's balance means.
    """

    kind: str | None = None
    threshold: float = 0.5
    _counts: Counter = field(default_factory=Counter, repr=False)

    name = "offline"

    @property
    def params(self) -> dict[str, Any]:
        """Everything that determines the verdicts."""
        version = load_weights()["version"]
        return {"model": "offline", "kind": self.kind or "by item", "threshold": self.threshold, "weights": version}

    @property
    def statistics(self) -> dict[str, Any]:
        """`calls` and `cached` are 0 by nature; `pairs` read, `injections` = rows that address a judge."""
        counts = {"calls": 0, "cached": 0, "pairs": self._counts["pairs"], "injections": self._counts["injections"]}
        return counts | {"cost_estimate": {"calls": 0, "cached": 0, "prompt_tokens": 0, "completion_tokens": 0}}

    def estimate(self, pairs: Sequence[tuple[str, str, str]]) -> dict[str, int]:
        """Nothing is ever spent."""
        return {"calls": 0, "cached": 0, "prompt_tokens": 0, "completion_tokens": 0}

    def judge_pairs(self, pairs: Sequence[tuple[str, str, str]]) -> list[Verdict]:
        """One verdict per (item text, row text, kind), in order."""
        verdicts: list[Verdict] = []
        for first in range(0, len(pairs), CHUNK):
            verdicts += self._chunk(pairs[first : first + CHUNK])
        return verdicts

    def _chunk(self, pairs: Sequence[tuple[str, str, str]]) -> list[Verdict]:
        findings = [injection_report(row) for _, row, _ in pairs]
        masked = [mask_injections(row) if found else row for (_, row, _), found in zip(pairs, findings)]
        # what an item itself says stays comparable: a row that copies such a sentence must not lose it on one side
        items = [mask_injections(item) if found else item for (item, _, _), found in zip(pairs, findings)]
        kinds = [instruction_kind(self.kind or kind) for *_, kind in pairs]
        features = np.empty((len(pairs), len(FEATURES)))
        p = np.empty(len(pairs))
        for kind in set(kinds):
            at = [i for i, k in enumerate(kinds) if k == kind]
            features[at] = judge_features([items[i] for i in at], [masked[i] for i in at], kind)
            p[at] = probability(features[at], kind, load_weights()["models"])
        verdicts = []
        for item, row, x, same, found in zip(items, masked, features, p.tolist(), findings):
            self._counts["pairs"] += 1
            self._counts["injections"] += bool(found)
            verdict = _unreadable(item, row, x)
            if verdict is None:
                verdict = Verdict("same" if same >= self.threshold else "different", same, _in_words(x))
            if found:
                note = f"the row addresses the judge ({'; '.join(found)}), these words were left out"
                verdict = Verdict(verdict.label, verdict.probability, f"{verdict.reason}; {note}")
            verdicts.append(verdict)
        return verdicts


def _unreadable(item: str, row: str, features: np.ndarray) -> Verdict | None:
    if not item.strip() or not row.strip() or np.isnan(features[0]):
        return Verdict("undecided", None, "one of the texts has no words")
    share = []
    for text in (item[:20_000], row[:20_000]):
        latin, other = script_counts(text)
        share.append(other / (latin + other) if latin + other else None)
    if share[0] is not None and share[1] is not None and abs(share[0] - share[1]) > OTHER_SCRIPT:
        return Verdict("undecided", None, "the texts are in different scripts: a translation cannot be judged offline")
    if len(item) < 40 and len({word.token for word in words(item)}) < FEWEST_WORDS:
        return Verdict("undecided", None, f"the item has fewer than {FEWEST_WORDS} different words")
    return None


def _in_words(x: np.ndarray) -> str:
    value = dict(zip(FEATURES, x.tolist()))
    text = f"{value['item_in_row']:.0%} of the item's word weight in the row, {value['row_in_item']:.0%} the other way"
    if value["has_numbers"]:
        text += f", {value['numbers_in_row']:.0%} of its numbers"
    return text
