"""Cognitive distillation on the victims of the study `cleanclip`: AUROC beside that of the clean twin on the same pictures.

    python scripts/cognitive_distillation.py [--seeds 1 2] [--dose 120] [--clean 480] [--size tiny] [--cache FOLDER]

Rows: all poisoned training pairs and as many clean ones as asked for, drawn by the seed. Alpha and beta are the detector's defaults.
"""

import argparse
import time

import numpy as np

from antivenom.measure.calibration import auroc_measured
from antivenom.randomness import generator
from antivenom.screen.embeddings.cognitive_distillation import ALPHA, BETA, STEPS, distilled_area
from antivenom.studies.cleanclip import SIZES, poisoned, victim, world


def main() -> None:
    """Print a table."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    for name, value in (("dose", 120), ("clean", 480)):
        ask.add_argument(f"--{name}", type=int, default=value)
    ask.add_argument("--size", default="tiny")
    ask.add_argument("--cache", default=None)
    given = ask.parse_args()
    key = tuple(sorted(SIZES[given.size].items()))
    print(f"alpha {ALPHA}, beta {BETA}, {STEPS} steps; dose {given.dose}, size {given.size}")
    print("| seed | model | rows | AUROC | mask of poisons | of clean rows | CPU s |\n|---|---|---|---|---|---|---|")
    for seed in given.seeds:
        train = world(key, seed)["train"]
        images, _, rows = poisoned(train, given.dose, dict(key)["trigger"], seed)
        rest = np.setdiff1d(np.arange(len(train)), rows)
        clean = generator(seed, "distilled rows").permutation(rest)[: given.clean]
        pick, truth = np.r_[rows, clean], np.arange(given.dose + given.clean) < given.dose
        for name, dose in (("victim", given.dose), ("clean twin", 0)):
            model = victim(key, dose, seed, given.cache)
            begun = time.process_time()
            area = distilled_area(model, images[pick], seed=seed)
            spent = time.process_time() - begun
            found = auroc_measured(truth, 1 - area, seed=seed)
            print(
                f"| {seed} | {name} | {given.dose} + {given.clean} | {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] | "
                f"{area[truth].mean():.2f} | {area[~truth].mean():.2f} | {spent:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
