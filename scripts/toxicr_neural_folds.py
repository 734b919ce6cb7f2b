"""Cross-validate ToxiCR's neural learners on the released comments: random folds and grouped folds, one result per fold.

    OMP_NUM_THREADS=1 nice -n 15 .venv/bin/python scripts/toxicr_neural_folds.py --folds 10
    python scripts/toxicr_neural_folds.py --device cuda --algorithms gru --protocols grouped --out gru.json    # one of several at once
    python scripts/toxicr_neural_folds.py --merge gru.json lstm.json                                           # into --out

Resumable: every fold is written when it is done, and a fold that is there is not run again; a file of other settings is
refused. Folds come first by number, so that a run which is cut has the same folds of every learner. Word vectors are trained
on the training rows of each fold; texts are the raw comments (Keras' tokenizer lower-cases them and drops punctuation), no
counts. `--table` only prints what is there.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import orjson
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from toxicr_folds import DATA, ROOT, SEED, released

from antivenom.measure.classification import over_folds
from antivenom.report.run_directory import atomic_json
from antivenom.screen.toxicr.neural import NeuralToxiCR

OUT = ROOT / "benchmarks" / "results" / "toxicr_neural.json"


def main() -> None:
    """Run the folds that are missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--algorithms", default="bilstm,gru,cnn,attn,lstm")
    parser.add_argument("--folds", type=int, default=10, help="of 10: how many to run")
    parser.add_argument("--protocols", default="grouped,random")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--merge", type=Path, nargs="+", default=[])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    options = {key: getattr(given, key) for key in ("length", "width", "epochs", "patience", "device")}
    settings = options | {"seed": SEED}
    if given.merge:
        merge(given.merge, given.out)
        given.table = True
    if given.out.exists():
        record = orjson.loads(given.out.read_bytes())
        if not given.table and record["settings"] != settings:
            raise SystemExit(f"{given.out} holds folds of {record['settings']}: choose another --out")
    else:
        record = {"settings": settings, "folds": []}
    if not given.table:
        run(record, given, options)
    table(record)


def merge(parts: list[Path], out: Path) -> None:
    """Put the folds of files with equal settings into one."""
    records = [orjson.loads(path.read_bytes()) for path in parts]
    if any(record["settings"] != records[0]["settings"] for record in records):
        raise SystemExit("these files hold folds of different settings")
    folds = {(f["protocol"], f["algorithm"], f["fold"]): f for record in records for f in record["folds"]}
    atomic_json(out, {"settings": records[0]["settings"], "folds": [folds[key] for key in sorted(folds)]})


def run(record: dict, given: argparse.Namespace, options: dict) -> None:
    """The missing folds, fold number outermost."""
    texts, labels, groups, splits = released(given.data)
    done = {(f["protocol"], f["algorithm"], f["fold"]) for f in record["folds"]}
    for fold in range(given.folds):
        for algorithm in given.algorithms.split(","):
            for protocol in given.protocols.split(","):
                parts = splits[protocol]
                if (protocol, algorithm, fold) in done:
                    continue
                train, test = parts[fold]
                start = time.perf_counter()
                model = NeuralToxiCR(algorithm, **options)
                model.fit([texts[i] for i in train], labels[train], np.zeros((len(train), 3)), seed=SEED + fold)
                p = model.predict_proba([texts[i] for i in test], np.zeros((len(test), 3)))
                result = {
                    "protocol": protocol,
                    "algorithm": algorithm,
                    "fold": fold,
                    "f1": f1_score(labels[test], p >= 0.5),
                    "accuracy": accuracy_score(labels[test], p >= 0.5),
                    "auroc": roc_auc_score(labels[test], p),
                    "epochs": len(model.history),
                    "twins": float(np.isin(groups[test], groups[train]).mean()),
                    "seconds": round(time.perf_counter() - start, 1),
                }
                print(result, flush=True)
                record["folds"].append(result)
                atomic_json(given.out, record)


def table(record: dict) -> None:
    """Mean over the folds that are there, with the interval that is corrected for shared training rows."""
    print(f"settings {record['settings']}\n")
    print("| learner | folds | n | twins | F1 toxic | accuracy | AUROC | s/fold |\n|---|---|---|---|---|---|---|---|")
    for algorithm, protocol in dict.fromkeys((f["algorithm"], f["protocol"]) for f in record["folds"]):
        found = [f for f in record["folds"] if (f["algorithm"], f["protocol"]) == (algorithm, protocol)]
        cells = []
        for name in ("f1", "accuracy", "auroc"):
            cells.append(str(over_folds([f[name] for f in found], ratio=1 / 9)))
        twins, seconds = (np.mean([f[name] for f in found]) for name in ("twins", "seconds"))
        print(f"| {algorithm} | {protocol} | {len(found)} | {twins:.2f} | {' | '.join(cells)} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
