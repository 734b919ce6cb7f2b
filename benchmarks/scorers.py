"""Toxicity scorers, side by side in one run: our packaged `toxicity` and the package alt-profanity-check, on the same rows.

python benchmarks/scorers.py            # five repeats, all rows
python benchmarks/scorers.py --quick    # one repeat, 1,000 rows of a kind

Speed: tweets, code review comments, film reviews, PEPs. Each repeat runs each tool in a process of its own, one after the other, as a
user would call it: ours takes all cores, the other knows one. Two clocks, wall and CPU seconds of scoring a list of texts after a
warm-up on 64 of them, so that start-up, reading and, for us, loading compiled code are left out. The ratio is taken inside a repeat. Quality: AUROC on the sets of
`scripts/evaluate_toxicity.py`, which neither has seen (tweets are left out: both were trained on them), with bootstrap
intervals over rows, and the difference paired by row.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from contamination import HERE, SHARED, measure, venv
from evaluate_toxicity import evaluation_sets, prompts_set

from antivenom.measure.calibration import auroc_measured
from antivenom.measure.detection import auroc
from antivenom.measure.rates import bootstrap_interval

PEER = "alt-profanity-check"
QUICK = 1_000
RESAMPLES = 1_000
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

CLOCK = """
import json, sys, time
rows = json.load(open(sys.argv[1]))
score(rows["speed"]["tweets"][:64])
seconds, wall = {}, {}
for name, texts in rows["speed"].items():
    begun, cpu = time.perf_counter(), time.process_time()
    score(texts)
    seconds[name], wall[name] = time.process_time() - cpu, time.perf_counter() - begun
quality = {name: [None if p != p else float(p) for p in score(texts)] for name, texts in rows["quality"].items()}
json.dump({"seconds": seconds, "wall": wall, "scores": quality}, open(sys.argv[2], "w"))
"""
OURS = (
    """
from antivenom.screen.scoring.scorer import score_texts
from antivenom.screen.scoring.scorers import parse
scorer = parse("toxicity")
def score(texts):
    return score_texts(scorer, texts).values
"""
    + CLOCK
)
THEIRS = "from profanity_check import predict_prob as score\n" + CLOCK


def speed_texts(data: Path) -> dict[str, list[str]]:
    """Texts to be timed, short to long."""
    return {
        "tweets": pq.read_table(data / "tox_davidson" / "davidson.parquet")["text"].to_pylist(),
        "code review comments": evaluation_sets(data)["code review"].texts,
        "film reviews": pq.read_table(data / "text_movie_reviews" / "movie_reviews.parquet")["text"].to_pylist(),
        "PEPs": pq.read_table(data / "dated_peps" / "peps.parquet")["text"].to_pylist(),
    }


def speed_table(
    texts: Mapping[str, Sequence[str]], ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]]
) -> dict[str, dict[str, Any]]:
    """Documents per second of both (medians), and the ratio ours / theirs: median, least and most of the repeats.

    Args:
        texts: the rows of each kind.
        ours, theirs: seconds per kind, one mapping per repeat, in the order they were run.
    """
    found = {}
    for name, rows in texts.items():
        a, b = (np.array([record[name] for record in records]) for records in (ours, theirs))
        ratio = b / a
        found[name] = {
            "documents": len(rows),
            "mean characters": round(sum(map(len, rows)) / len(rows)),
            "ours": round(len(rows) / float(np.median(a))),
            "theirs": round(len(rows) / float(np.median(b))),
            "ratio": round(float(np.median(ratio)), 2),
            "least": round(float(ratio.min()), 2),
            "most": round(float(ratio.max()), 2),
            "repeats": len(ratio),
        }
    return found


def quality_of(labels: np.ndarray, ours: Sequence[float | None], theirs: Sequence[float | None]) -> dict[str, Any]:
    """AUROC of both on the rows that both score, each with its interval, and the difference with a paired one.

    Args:
        labels: 0 / 1 per row.
        ours, theirs: scores; None: not scored.
    """
    a, b = (np.array([np.nan if p is None else p for p in column]) for column in (ours, theirs))
    both = ~np.isnan(a) & ~np.isnan(b)
    y, a, b = np.asarray(labels)[both], a[both], b[both]

    def difference(rows: np.ndarray) -> float:
        first, second = auroc(rows[:, 0], rows[:, 1]), auroc(rows[:, 0], rows[:, 2])
        return np.nan if first is None or second is None else first - second

    table = np.column_stack([y, a, b])
    low, high = bootstrap_interval(table, difference, resamples=RESAMPLES)
    return {
        "n": len(y),
        "toxic": int(y.sum()),
        "not scored by both": int((~both).sum()),
        "ours": asdict(auroc_measured(y, a)),
        "theirs": asdict(auroc_measured(y, b)),
        "difference": {"value": difference(table), "low": low, "high": high},
    }


def tables(record: Mapping[str, Any]) -> str:
    """The record as two Markdown tables."""
    lines = [
        f"| texts | n | mean characters | antivenom | {PEER} | ratio (least - most) | ratio per CPU second |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, r in record["speed"].items():
        c = record["speed per CPU second"][name]
        lines.append(
            f"| {name} | {r['documents']:,} | {r['mean characters']:,} | {r['ours']:,} | {r['theirs']:,} "
            f"| {r['ratio']:.2f} ({r['least']:.2f} - {r['most']:.2f}) "
            f"| {c['ratio']:.2f} ({c['least']:.2f} - {c['most']:.2f}) |"
        )
    lines += ["", f"| set | n | antivenom | {PEER} | difference, paired |", "|---|---|---|---|---|"]
    for name, r in record["quality"].items():
        cells = [f"{r[who]['value']:.3f} [{r[who]['low']:.3f}, {r[who]['high']:.3f}]" for who in ("ours", "theirs")]
        d = r["difference"]
        lines.append(
            f"| {name} | {r['n']:,} | {' | '.join(cells)} | {d['value']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}] |"
        )
    return "\n".join(lines)


def run(command: list[str], rows: Path, out: Path) -> dict[str, Any]:
    """One tool once: its figures, and those of its process."""
    process = measure([*command, str(rows), str(out)])
    if "error" in process:
        raise SystemExit(process["error"])
    process.pop("peak_mb")  # a child's peak begins at its parent's, and this process holds all rows
    return json.loads(out.read_text()) | {"process": process}


def main() -> None:
    """Run everything, print the tables, store them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if not SHARED.is_dir():
        raise SystemExit("needs ../shared/data beside the checkout")
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    python = venv(PEER, [PEER], None)
    if python is None:
        raise SystemExit(f"{PEER} cannot be installed: give this machine a package index")
    sets = evaluation_sets(SHARED) | {"toxic prompts": prompts_set(SHARED)}
    texts = speed_texts(SHARED)
    if options.quick:
        texts = {name: rows[:QUICK] for name, rows in texts.items()}
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    commands = {"ours": [sys.executable, "-c", OURS], "theirs": [python, "-c", THEIRS]}
    with tempfile.TemporaryDirectory(prefix="antivenom-bench-") as work:
        rows, out = Path(work) / "rows.json", Path(work) / "out.json"
        rows.write_text(json.dumps({"speed": texts, "quality": {name: part.texts for name, part in sets.items()}}))
        run(commands["ours"], rows, out)  # compiles the kernels
        for _ in range(1 if options.quick else options.repeats):
            for who, command in commands.items():
                runs[who].append(run(command, rows, out))
    seconds, wall = ([[record[clock] for record in runs[who]] for who in runs] for clock in ("seconds", "wall"))
    version = "from importlib.metadata import version; print(version('" + PEER + "'))"
    record = {
        "speed": speed_table(texts, *wall),
        "speed per CPU second": speed_table(texts, *seconds),
        "quality": {
            name: quality_of(part.labels, runs["ours"][0]["scores"][name], runs["theirs"][0]["scores"][name])
            for name, part in sets.items()
        },
        "process": {who: [r["process"] for r in found] for who, found in runs.items()},
        "CPU seconds": dict(zip(runs, seconds)),
        "wall seconds": dict(zip(runs, wall)),
        "peer": {"name": PEER, "version": subprocess.check_output([python, "-c", version], text=True).strip()},
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "platform": platform.system()},
    }
    (HERE / "results").mkdir(exist_ok=True)
    name = "scorers-quick.json" if options.quick else "scorers.json"
    (HERE / "results" / name).write_text(json.dumps(record, indent=2) + "\n")
    print(f"{PEER} {record['peer']['version']}; documents per second, {os.cpu_count()} cores\n\n{tables(record)}")


if __name__ == "__main__":
    main()
