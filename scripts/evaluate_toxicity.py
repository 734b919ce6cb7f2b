"""Measure toxicity scorers on sets the packaged one was not trained on, and print what docs/model-card-toxicity.md says.

python scripts/evaluate_toxicity.py --data ../shared/data                       # toxicity and lexicon -> benchmarks/results/toxicity.json
python scripts/evaluate_toxicity.py --data ../shared/data --score toxicity-linear:model=FILE --out /tmp/mine.json
python scripts/evaluate_toxicity.py --card docs/model-card-toxicity.md          # the card, from the stored figures

AUROC with bootstrap intervals and calibration error per set; HateCheck per functionality; the false-positive rate of every
identity term of the bias madlibs, and the gap between them. Each scorer has a record of its own: figures of two scorers are
never put together.
"""

import argparse
import csv
import gzip
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
from toxicity_card import card, curve_table, functionality_table, mention_table, set_table

from antivenom.data.words import fold
from antivenom.measure.calibration import auprc_measured, auroc_measured, calibration, subgroup_false_positives
from antivenom.measure.rates import Rate
from antivenom.randomness import generator
from antivenom.screen.scoring.scorer import Scorer, score_texts
from antivenom.screen.scoring.scorers import parse
from antivenom.screen.toxicity.default import packaged_model

HOUSE = Path(__file__).resolve().parents[1]
OUT = HOUSE / "benchmarks" / "results" / "toxicity.json"
WEIGHTS = HOUSE / "src" / "antivenom" / "screen" / "weights" / "toxicity.npz"
THRESHOLD = 0.5


@dataclass
class LabelledSet:
    """Texts with labels, and further columns to break figures down by."""

    texts: list[str]
    labels: np.ndarray
    groups: list[str] | None = None
    about: str = ""


def evaluation_sets(data: Path) -> dict[str, LabelledSet]:
    """The independent sets by name; none of them may be among the training rows."""
    csv.field_size_limit(2**30)
    with gzip.open(data / "se_toxicity_2020" / "code_review.csv.gz", "rt", encoding="utf-8", newline="") as source:
        review = list(csv.DictReader(source))
    toxic = np.array([int(row["is_toxic"]) for row in review])
    rng = generator(0, "balanced code review")
    few = int(min(toxic.sum(), (1 - toxic).sum()))
    chosen = np.sort(np.concatenate([rng.permutation(np.flatnonzero(toxic == v))[:few] for v in (0, 1)]))
    messages = [row["message"] for row in review]
    hate = pq.read_table(data / "tox_hatecheck" / "hatecheck.parquet")
    bias = pq.read_table(data / "tox_bias_madlibs" / "madlibs_12k.parquet")
    return {
        "code review": LabelledSet(messages, toxic, None, "se_toxicity_2020, all rows"),
        "code review, balanced": LabelledSet(
            [messages[i] for i in chosen], toxic[chosen], None, f"se_toxicity_2020, {few} of each class, seed 0"
        ),
        "hatecheck": LabelledSet(
            hate["test_case"].to_pylist(),
            np.array([int(v == "hateful") for v in hate["label_gold"].to_pylist()]),
            hate["functionality"].to_pylist(),
            "HateCheck",
        ),
        "bias madlibs": LabelledSet(
            bias["Text"].to_pylist(),
            np.array([int(v == "BAD") for v in bias["Label"].to_pylist()]),
            bias["Template"].to_pylist(),
            "bias madlibs, 12,000 of 77,000",
        ),
    }


def prompts_set(data: Path) -> LabelledSet:
    """Toxic RealToxicityPrompts against WikiText-2 and movie reviews cut to the same length, lower case: another style on each side."""
    rows = pq.read_table(data / "rtp_prompts" / "rtp_prompts.parquet").to_pylist()
    toxic = [row["prompt"].lower().strip() for row in rows if row["subset"].startswith("eigenshift")]
    with gzip.open(data / "text_wikitext2" / "wiki.test.txt.gz", "rt", encoding="utf-8") as source:
        plain = [line.strip() for line in source if len(line) > 200]
    plain += pq.read_table(data / "text_movie_reviews" / "movie_reviews.parquet")["text"].to_pylist()
    rng = generator(0, "plain prompts")
    n = min(len(toxic), len(plain))
    sizes = [len(text) for text in toxic]
    plain = [plain[i].lower()[: sizes[k % len(sizes)]] for k, i in enumerate(rng.permutation(len(plain))[:n])]
    toxic = [toxic[i] for i in sorted(rng.permutation(len(toxic))[:n])]
    return LabelledSet(
        toxic + plain, np.array([1] * n + [0] * n), None, f"{n} toxic prompts, {n} starts of plain texts"
    )


def identity_terms(texts: Sequence[str], labels: np.ndarray, least: int = 20) -> dict[str, np.ndarray]:
    """The identity terms of the madlibs' neutral rows: words in at least `least` toxic and `least` neutral rows, once per row
    pattern - found in the data, so that no list of groups is kept here."""
    words = [set(fold(text).split()) for text in texts]
    frequent = {w for row in words for w in row}
    found = {}
    for word in sorted(frequent):
        has = np.array([word in row for row in words])
        toxic, neutral = int((has & (labels == 1)).sum()), int((has & (labels == 0)).sum())
        # a term fills a slot of toxic and of neutral templates alike; a template's own word is on one side, or far more frequent
        if least <= neutral and least <= toxic and 0.6 < toxic / neutral < 1.6 and toxic + neutral < 0.05 * len(texts):
            found[word] = has
    return found


def rate_record(rate: Rate) -> dict[str, Any]:
    """A rate as plain data."""
    return {"value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n, "of": rate.of}


def evaluate(scorer: Scorer, data: Path) -> dict[str, Any]:
    """All figures of one scorer."""
    record: dict[str, Any] = {"identity": scorer.identity().record(), "threshold": THRESHOLD, "sets": {}}
    for name, part in (evaluation_sets(data) | {"toxic prompts": prompts_set(data)}).items():
        scores = score_texts(scorer, part.texts).values
        table = calibration(part.labels, scores)
        figures: dict[str, Any] = {
            "about": part.about,
            "n": len(part.texts),
            "positive": int(part.labels.sum()),
            "auroc": asdict(auroc_measured(part.labels, scores)),
            "auprc": asdict(auprc_measured(part.labels, scores)),
            "calibration error": table.error,
            "largest gap": table.largest,
            "brier": table.brier,
            "binning": table.binning,
            "curve": [
                {"from": b.low, "to": b.high, "confidence": b.confidence, "rate": rate_record(b.rate)}
                for b in table.bins
            ],
        }
        flagged, there = scores >= THRESHOLD, ~np.isnan(scores)
        if name == "hatecheck" and part.groups is not None:
            groups = np.array(part.groups)
            figures["functionality"] = {}
            for group in dict.fromkeys(part.groups):
                mine = (groups == group) & there
                right = flagged[mine] == (part.labels[mine] == 1)
                gold = "hateful" if part.labels[groups == group][0] else "not hateful"
                figures["functionality"][group] = rate_record(Rate(int(right.sum()), len(right), gold))
        if name == "bias madlibs":
            found = identity_terms(part.texts, part.labels)
            gaps = subgroup_false_positives(part.labels, scores, found, threshold=THRESHOLD)
            figures["subgroups"] = {
                "overall": rate_record(gaps.overall),
                "gap": gaps.gap,
                "terms": {term: rate_record(rate) for term, rate in gaps.groups.items()},
            }
        record["sets"][name] = figures
    return record


def show(name: str, record: dict[str, Any]) -> None:
    """Print the figures as the Markdown tables of the model card."""
    print(f"\n## {name} (weights {record['identity']['weights'][:12]}, threshold {record['threshold']})\n")
    groups = record["sets"]["bias madlibs"]["subgroups"]
    gap = f"Madlibs: false-positive rate {groups['overall']['value']:.1%}; gap {groups['gap']:.1%}, {len(groups['terms'])} terms"
    curve = curve_table(record, "code review, balanced")
    print("\n\n".join([set_table(record), curve, functionality_table(record), gap, mention_table(record)]))


def main() -> None:
    """Evaluate, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="without it nothing is measured: --card takes the stored figures")
    parser.add_argument("--score", action="append", help="a scorer as typed after --score; may be repeated")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--card", type=Path, help="write the model card to this file")
    options = parser.parse_args()
    if options.data is None and options.card is None:
        parser.error("give --data to measure, --card to write the card, or both")
    if options.data is not None:
        records = {spec: evaluate(parse(spec), options.data) for spec in options.score or ["toxicity", "lexicon"]}
        for spec, record in records.items():
            show(spec, record)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
        print(f"\nstored in {options.out}")
    if options.card is not None:
        options.card.write_text(card(json.loads(options.out.read_text()), packaged_model(), WEIGHTS.stat().st_size))
        print(f"written to {options.card}")


if __name__ == "__main__":
    main()
