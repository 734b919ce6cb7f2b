"""Cross-validate ToxiCR's classical learners on the released comments: random folds and grouped folds, one result per fold.

    OMP_NUM_THREADS=1 nice -n 10 .venv/bin/python scripts/toxicr_folds.py

Resumable: every fold is written when it is done, and a fold that is there is not run again. Each learner runs with the options
of its best published configuration. Terms, weights, calibration and thresholds come from the training rows of each fold; the
preprocessing learns nothing. `--table` only prints what is there.
"""

import argparse
import csv
import gzip
import io
import time
from pathlib import Path

import numpy as np
import orjson
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from antivenom.measure.classification import over_folds
from antivenom.report.run_directory import atomic_json
from antivenom.screen.toxicr.algorithms import ALGORITHMS, build
from antivenom.screen.toxicr.preprocessing import Preprocessing

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data" / "toxicr"
DATA = SHARED / "toxicr_code_review.csv.gz"
OUT = ROOT / "benchmarks" / "results" / "toxicr_folds.json"
SEED = 1312  # the paper's first fold seed
METRICS = ("f1", "accuracy", "auroc", "precision", "recall", "f1_tuned", "seconds")


def main() -> None:
    """Run the folds that are missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--algorithms", default="majority,lexicon,lr,svm,dt,linear+,rf,stack,gbt")
    parser.add_argument("--mode", default="fixed", choices=["fixed", "strict_paper"])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    settings = {"seed": SEED, "mode": given.mode, "folds": 10}
    record = orjson.loads(given.out.read_bytes()) if given.out.exists() else {"settings": settings, "folds": []}
    if not given.table:
        if record["settings"] != settings:
            raise SystemExit(f"{given.out} holds folds of {record['settings']}: choose another --out")
        run(record, given)
    table(record)


def run(record: dict, given: argparse.Namespace) -> None:
    """The missing folds."""
    texts, labels, groups, splits = released(DATA)
    prepared: dict[tuple, tuple[list[str], np.ndarray]] = {}
    done = {(f["protocol"], f["algorithm"], f["fold"]) for f in record["folds"]}
    for name in given.algorithms.split(","):
        profanity, keyword, split, _ = ALGORITHMS[name].published or (True, False, False, "")
        options = (profanity, keyword, split)
        if options not in prepared:
            steps = Preprocessing(
                given.mode, count_profanity=profanity, remove_keywords=keyword, split_identifier=split
            )
            prepared[options] = steps(texts)
        processed, counts = prepared[options]
        for protocol, parts in splits.items():
            for fold, (train, test) in enumerate(parts):
                if (protocol, name, fold) in done:
                    continue
                start = time.perf_counter()
                model = build(name)
                model.fit([processed[i] for i in train], labels[train].tolist(), counts[train], seed=SEED + fold)
                p = model.predict_proba([processed[i] for i in test], counts[test])
                seconds = round(time.perf_counter() - start, 2)
                y, verdict = labels[test], p >= 0.5
                tuned = getattr(model, "tuned_threshold", None)
                result = {
                    "protocol": protocol,
                    "algorithm": name,
                    "fold": fold,
                    "options": "/".join("FT"[o] for o in options),
                    "f1": f1_score(y, verdict),
                    "accuracy": accuracy_score(y, verdict),
                    "auroc": roc_auc_score(y, p),
                    "precision": precision_score(y, verdict, zero_division=0.0),
                    "recall": recall_score(y, verdict),
                    "threshold": tuned,
                    "f1_tuned": None if tuned is None else f1_score(y, p >= tuned),
                    "twins": float(np.isin(groups[test], groups[train]).mean()),
                    "seconds": seconds,
                }
                print(result, flush=True)
                record["folds"].append(result)
                record["summary"] = summary(record["folds"])
                atomic_json(given.out, record)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a gzipped CSV; "null" and "NA" stay texts."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(io.StringIO(stream.read(), newline="")))


def released(path: Path) -> tuple[list[str], np.ndarray, np.ndarray, dict[str, list[tuple[np.ndarray, np.ndarray]]]]:
    """Texts, labels, groups of copies, and the ten folds of each protocol: (train, test) rows."""
    rows = read(path)
    texts = [row["message"] for row in rows]
    labels = np.array([int(row["is_toxic"]) for row in rows])
    groups = np.array([int(row["dup_group"]) for row in rows])
    splits = {
        "grouped": list(StratifiedGroupKFold(10, shuffle=True, random_state=SEED).split(texts, labels, groups)),
        "random": list(StratifiedKFold(10, shuffle=True, random_state=SEED).split(texts, labels)),
    }
    return texts, labels, groups, splits


def summary(folds: list[dict]) -> list[dict]:
    """Per learner and protocol: number of folds, and of each metric mean, sd, 95 % interval, corrected for shared training rows."""
    found = []
    for name, protocol in dict.fromkeys((f["algorithm"], f["protocol"]) for f in folds):
        mine = [f for f in folds if (f["algorithm"], f["protocol"]) == (name, protocol)]
        row: dict = {"algorithm": name, "protocol": protocol, "n": len(mine), "options": mine[0]["options"]}
        row["twins"] = float(np.mean([f["twins"] for f in mine]))
        for metric in METRICS:
            over = over_folds([f[metric] for f in mine], ratio=1 / 9)
            if over.mean is not None:
                interval = None if over.low is None else [over.low, over.high]
                row[metric] = {"mean": over.mean, "sd": over.sd, "interval": interval}
        found.append(row)
    return found


def published(name: str) -> str:
    """F1 / accuracy of the authors' stored folds for the same learner and options."""
    known, path = ALGORITHMS[name], SHARED / "published_cv_folds.csv.gz"
    if not known.published or not path.exists():
        return "-"
    codes = {"GBT": "GBC", "DPCNN": "CNN"}
    options = [str(o) for o in known.published[:3]]
    rows = [
        r
        for r in read(path)
        if r["algo"] in (known.paper, codes.get(known.paper))
        and [r["profane"], r["keyword"], r["split"]] == options
        and not r["variant"]
    ]
    if not rows:
        return "-"
    return " / ".join(f"{np.mean([float(r[c]) for r in rows]):.3f}" for c in ("f1_1", "accuracy")) + f" ({len(rows)})"


def table(record: dict) -> None:
    """Markdown: mean and 95 % interval over folds, beside the authors' stored folds."""
    print(f"settings {record['settings']}")
    print(
        "| learner | options | folds | n | twins | F1 toxic | F1, tuned threshold | accuracy | AUROC | s/fold | published |"
    )
    print("| --- " * 11 + "|")
    for row in summary(record["folds"]):
        cells = []
        for metric in ("f1", "f1_tuned", "accuracy", "auroc"):
            m = row.get(metric)
            low, high = (m or {}).get("interval") or (None, None)
            cells.append(f"{m['mean']:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low is not None else "") if m else "-")
        told = published(row["algorithm"]) if row["protocol"] == "random" else ""
        lead = [row["algorithm"], row["options"], row["protocol"], str(row["n"]), f"{row['twins']:.2f}"]
        print("| " + " | ".join([*lead, *cells, f"{row['seconds']['mean']:.1f}", told]) + " |")


if __name__ == "__main__":
    main()
