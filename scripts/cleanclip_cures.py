"""How the cures of study `cleanclip` depend on rate, clean pairs, batch, trigger and the weight of the SSL term, at one dose.

    python scripts/cleanclip_cures.py --seeds 0 1 2 --dose 120 --cache FOLDER

Prints clean accuracy, attack success rate and how often the target is called without the trigger, of every seed. It looks at the trigger, as no defender can: it explains the study's
figures and chooses nothing for it.
"""

import argparse

from antivenom.measure.zero_shot import accuracies, attack_success, class_index
from antivenom.studies.cleanclip import CURES, SIZES, TARGET, answers, world

CHANGES = {
    "as the study": {},
    "rate 3e-3": {"repair_lr": 3e-3},
    "batch 128, rate 3e-3": {"repair_lr": 3e-3, "repair_batch": 128},
    "3,000 clean pairs": {"clean": 3_000},
    "3,000 clean pairs, rate 3e-3": {"clean": 3_000, "repair_lr": 3e-3},
    "weight 4": {"inmodal": 4.0},
    "triangles": {"trigger": "badnet:kind=triangles:size=5"},
    "stripes": {"trigger": "badnet:kind=stripes:size=5"},
    "fixed noise patch": {"trigger": "badnet:kind=noise:size=5:fixed=true"},
    "fresh noise patch": {"trigger": "badnet:kind=noise:size=5"},
}


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="these seeds")
    parser.add_argument("--dose", type=int, default=120)
    parser.add_argument("--size", default="tiny", choices=list(SIZES))
    parser.add_argument("--treatments", nargs="+", default=["mmcl", "cleanclip"], choices=("none", *CURES))
    parser.add_argument("--changes", nargs="+", default=list(CHANGES), choices=list(CHANGES))
    parser.add_argument("--cache", help="folder in which trainings are kept")
    args = parser.parse_args()
    for name in args.changes:
        change = CHANGES[name]
        for treatment in args.treatments:
            if treatment != "cleanclip" and "inmodal" in change:
                continue
            found = []
            for seed in args.seeds:
                key = tuple(sorted((SIZES[args.size] | change).items()))
                test = world(key, seed)["test"]
                got = answers(key, args.dose, treatment, seed, args.cache)
                target = class_index(test.class_names, TARGET)
                success = attack_success(got["triggered"], got["clean"], test.labels, target)
                rates = (accuracies(got["clean"], test.labels)[1], success.rate, success.without)
                found.append(" / ".join(f"{rate.value:.3f}" for rate in rates))
            print(f"{name:30} {treatment:10} CA / ASR / without trigger by seed: {', '.join(found)}", flush=True)


if __name__ == "__main__":
    main()
