"""Plant a backdoor in image-caption pairs, train a CLIP on them, measure it, repair it: python examples/05_clip_backdoor.py

The same from the command line: docs/clip.md. Trained for seconds, so that the backdoor only begins to take here.
"""

import tempfile
from pathlib import Path

from antivenom.studies.clip_measuring import measure_run
from antivenom.studies.clip_runs import Tuning, repair_run, train_run
from antivenom.studies.pair_runs import PoisonOrder, poison_run
from antivenom.studies.sample_sets import write_sample

folder = Path(tempfile.mkdtemp())
world = folder / "world"
write_sample("world", world, pairs=600, size=24)

order = PoisonOrder("badnet:kind=checker:size=5", "star", count=60, classes=world / "classes.txt")
planted = poison_run(str(world / "train.csv"), folder / "poisoned", order, size=24, label="label", copy_clean=True)
print(planted["headline"])

pairs, manifest = folder / "poisoned/pairs/pairs.csv", folder / "poisoned/pairs/manifest.parquet"
for name, source in (("victim", pairs), ("twin", world / "train.csv")):
    trained = train_run(str(source), folder / name, model="small:conv", size=24, tuning=Tuning(4, 50, 2e-3, 5))
    print(f"{name}: {trained['headline']}")

test = {"label": "label", "classes": world / "classes.txt", "manifest": manifest}
victim, twin = (str(folder / name / "model") for name in ("victim", "twin"))
measured = measure_run(victim, str(world / "test.csv"), folder / "measured", twin=twin, **test)
for name, rate in measured["rates"].items():
    print(f"{name}: {rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}] of {rate['n']} {rate['of']}")

tested = {"data": str(world / "test.csv"), "label": "label", "classes": world / "classes.txt"}
repaired = repair_run(
    victim, str(world / "clean.csv"), folder / "repaired", cure="cleanclip", tuning=Tuning(4, 50, 1e-3, 2),
    manifest=manifest, test=tested,
)  # fmt: skip
print(repaired["headline"])
