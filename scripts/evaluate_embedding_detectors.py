"""Which detector sees which poisons, on made-up embeddings: AUROC, recall at a removed share, the random control; five worlds each.

python scripts/evaluate_embedding_detectors.py            # 2,000 rows, 60 poisons, three shapes
python scripts/evaluate_embedding_detectors.py --doses    # AUROC of the density detectors as the dose passes k

Nothing here is a model's embedding: the table says what a formula can see, not what it finds in a CLIP.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from antivenom.data.sample_embeddings import SHAPES, sample_embeddings
from antivenom.measure.embedding_detection import detection
from antivenom.screen.embeddings.detectors import EMBEDDING_DETECTORS, parse
from antivenom.screen.embeddings.inputs import Embeddings

RESULT = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "embedding_detectors.json"
DENSITY = ("k-distance", "slof", "lid", "dao")
ROWS, DOSE, WITHIN, WORLDS = 2_000, 60, 250, 5
DOSES = (4, 8, 16, 24, 60, 200)


def worlds(dose: int, shape: str, strength: float = 1.0) -> list[tuple[Embeddings, np.ndarray]]:
    """Embeddings and the truth of every world."""
    found = []
    for seed in range(WORLDS):
        sample = sample_embeddings(ROWS, dose, shape=shape, strength=strength, seed=seed)
        found.append((Embeddings(sample.image, sample.text, sample.crops, sample.labels), sample.poisoned))
    return found


def measure(spec: str, of: list[tuple[Embeddings, np.ndarray]]) -> tuple[dict, str, str]:
    """Figures of one detector on every world; AUROC as mean [least, largest of the worlds], mean recall at 5 %."""
    found = []
    for seed, (given, truth) in enumerate(of):
        detector = parse(spec)
        if hasattr(detector, "seed"):
            detector = replace(detector, seed=seed)
        found.append(detection(spec, truth, detector.scores(given), resamples=200))
    areas = [f.auroc.value for f in found]
    recall = np.mean([next(p for p in f.curve if p.share == 0.05).recall.value for f in found])
    record = {
        "name": spec,
        "dose": found[0].dose.count,
        "auroc": [[f.auroc.value, f.auroc.low, f.auroc.high] for f in found],
        "auprc": [f.auprc.value for f in found],
        "recall": {str(p.share): [f.curve[i].recall.value for f in found] for i, p in enumerate(found[0].curve)},
    }
    return record, f"{np.mean(areas):.2f} [{min(areas):.2f}, {max(areas):.2f}]", f"{recall:.2f}"


def specs() -> list[str]:
    """Every detector once, the density detectors also within parts, CLIPScore from both ends."""
    found = []
    for name in EMBEDDING_DETECTORS:
        if name == "cognitive-distillation":
            continue  # it needs images and a model, which made-up embeddings have not
        found.append(name)
        if name in DENSITY:
            found.append(f"{name}:within={WITHIN}")
        if name == "clip-score":
            found.append("clip-score:side=low")
        if name == "spectral-signature":
            found.append("spectral-signature:scale=true")
    return found


def shapes_table() -> list[dict]:
    """AUROC and recall at 5 %, per detector and shape."""
    records = []
    print(
        f"{DOSE} of {ROWS:,} rows, {WORLDS} worlds: mean AUROC [least, largest], mean recall at 5 % removed (random .05)\n"
    )
    print("| detector | " + " | ".join(f"{shape} | recall" for shape in SHAPES) + " |")
    print("|---" * (1 + 2 * len(SHAPES)) + "|")
    made = {shape: worlds(DOSE, shape) for shape in SHAPES}
    for spec in specs():
        cells = []
        for shape, of in made.items():
            record, area, recall = measure(spec, of)
            records.append({"shape": shape, **record})
            cells += [area, recall]
        print(f"| `{spec}` | " + " | ".join(cells) + " |", flush=True)
    return records


def doses_table() -> list[dict]:
    """AUROC on the cluster as its size passes k = 16."""
    records = []
    print(f"\nMean AUROC [least, largest] on the cluster, {ROWS:,} rows, {WORLDS} worlds, k = 16, by dose\n")
    print("| detector | " + " | ".join(map(str, DOSES)) + " |")
    print("|---" * (1 + len(DOSES)) + "|")
    made = [worlds(dose, "cluster") for dose in DOSES]
    for spec in [s for s in specs() if s.split(":")[0] in DENSITY]:
        cells = []
        for of in made:
            record, area, _ = measure(spec, of)
            records.append({"shape": "cluster", **record})
            cells.append(area)
        print(f"| `{spec}` | " + " | ".join(cells) + " |", flush=True)
    return records


def main() -> None:
    """Print the tables; keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--doses", action="store_true", help="the dose table too")
    options = parser.parse_args()
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    kept["shapes"] = shapes_table()
    if options.doses:
        kept["doses"] = doses_table()
    RESULT.write_text(json.dumps(kept) + "\n")


if __name__ == "__main__":
    main()
