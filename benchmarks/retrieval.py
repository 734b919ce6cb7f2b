"""Retrieval: does the right row come up, when it says the same thing in other words? recall@k, n, interval, CPU per MB.

python benchmarks/retrieval.py                     # BM25, word and character TF-IDF, static embedding
python benchmarks/retrieval.py --detectors bm25    # only these

GSM8K: 1,315 rephrases hidden among the 7,473 GSM8K train questions; the other files: an item against all rephrases of
its own file. Empty rephrases are dropped.
Needs ../shared/data (a user has none of it; antivenom.data.paired_questions reads a folder of your own).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from antivenom.data.benchmarks import Benchmark, Item
from antivenom.data.rows import batch_of
from antivenom.intervals import wilson
from antivenom.screen.detector import RankedDetector
from antivenom.screen.detectors import parse

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared" / "data"
DETECTORS = ("bm25", "word-tfidf", "char-tfidf", "embedding")
FILES = (
    ("gsm8k", "en"),
    ("mmlu_abstract_algebra", "en"),
    ("mmlu_sociology", "en"),
    ("humaneval", "python"),
    ("humaneval", "c"),
    ("mmlu_abstract_algebra", "zh"),
    ("mmlu_sociology", "zh"),
)
SIDES = ("original", "rephrased")
KS = (1, 3, 5, 10)


def pairs_of(benchmark: str, variant: str) -> list[tuple[str, str]]:
    """(item as `screen` reads it: the question without choices, HumanEval's prompt; rephrase), the empty ones dropped."""
    table = pq.read_table(SHARED / "rephrased_pairs" / "rephrased_pairs.parquet").to_pylist()
    mine = [r for r in table if (r["benchmark"], r["variant"]) == (benchmark, variant)]
    if benchmark == "humaneval":
        tasks = pq.read_table(
            SHARED / "bench_humaneval" / "humaneval.parquet", columns=["task_id", "prompt"]
        ).to_pylist()
        prompts = {task["task_id"]: task["prompt"] for task in tasks}
        mine = [r | {"original": prompts[f"HumanEval/{r['index']}"]} for r in mine]
    if benchmark == "gsm8k":
        mine = [{side: r[side].split("\nAnswer:")[0].removeprefix("Question: ") for side in SIDES} for r in mine]
    pairs = [(r["original"].split("\nA. ")[0], r["rephrased"]) for r in mine]
    return [(a, b) for a, b in pairs if sum(map(str.isalnum, b or "")) >= 2]


def haystack_of(benchmark: str) -> list[str]:
    """The other texts a rephrase has to be found among."""
    if benchmark != "gsm8k":
        return []
    return [row["question"] for row in pq.read_table(SHARED / "bench_gsm8k" / "train.parquet").to_pylist()]


def measure(name: str, benchmark: str, variant: str) -> dict:
    """Ranks of the right rows, for one detector on one file."""
    pairs = pairs_of(benchmark, variant)
    rows = [b for _, b in pairs] + haystack_of(benchmark)
    bench = Benchmark(benchmark, [Item(f"{i}", a) for i, (a, _) in enumerate(pairs)])
    detector = parse(f"{name}:k={max(KS)}")
    assert isinstance(detector, RankedDetector)
    batch = batch_of(rows)
    begun = time.process_time()
    state = detector.fit(bench)
    state = detector.finish(state, detector.count(state, batch))
    found = detector.match(state, batch)
    seconds = time.process_time() - begun
    order = np.lexsort((found.row, -found.score, found.item))
    ranked: dict[int, list[int]] = {}
    for item, row in zip(found.item[order].tolist(), found.row[order].tolist()):
        ranked.setdefault(item, []).append(row)
    recall = {}
    for k in KS:
        hits = sum(i in ranked.get(i, [])[:k] for i in range(len(pairs)))
        recall[f"recall@{k}"] = [round(v, 3) for v in (hits / len(pairs), *wilson(hits, len(pairs)))]
    size = sum(len(row.encode()) for row in rows) / 1e6
    return {
        "detector": name,
        "file": f"{benchmark} {variant}",
        "n": len(pairs),
        "rows": len(rows),
        **recall,
        "cpu_s_per_mb": round(seconds / size, 2),
    }


def main() -> None:
    """Print the table and keep it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--detectors", nargs="+", default=DETECTORS)
    chosen = arguments.parse_args().detectors
    for name in chosen:  # compile and load before the clock runs
        measure(name, "mmlu_abstract_algebra", "en")
    results = [measure(name, *file) for file in FILES for name in chosen]
    print(
        f"{'file':<26}{'detector':<12}{'n':>6}{'rows':>7}" + "".join(f"{f'@{k}':>8}" for k in KS) + f"{'CPU-s/MB':>10}"
    )
    for r in results:
        figures = "".join(f"{r[f'recall@{k}'][0]:>8.3f}" for k in KS)
        print(f"{r['file']:<26}{r['detector']:<12}{r['n']:>6}{r['rows']:>7}{figures}{r['cpu_s_per_mb']:>10.2f}")
    (HERE / "results" / "retrieval.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
