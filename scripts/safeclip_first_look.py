"""Which first look tells poisons apart? SafeCLIP's stages 1 and 2 on the image world, by the rate of stage 2.

    python scripts/safeclip_first_look.py [--pairs 4000] [--poisons 120] [--warmup 3] [--seed 5]

Prints the AUROC of low cosines for the poisons after one epoch of L_MMCL, the share of rows believed (posterior >= .9), and the share of
the poisons among them that are believed too.
"""

import argparse
import copy
from dataclasses import replace

import numpy as np

from antivenom.data.image_world import CLASS_TEMPLATES
from antivenom.errors import AntivenomError
from antivenom.measure.detection import auroc
from antivenom.models.clip import embed_images, embed_texts
from antivenom.models.clip_small import SmallConfig, small_clip
from antivenom.studies.cleanclip import SIZES, poisoned, recipe, world
from antivenom.train.loop import fit
from antivenom.train.numbered import Numbered
from antivenom.train.objectives import VIEWS, make_objective
from antivenom.train.pairs import PairSource
from antivenom.train.safeclip import BankSSL, Guarded, believed


def main() -> None:
    """Print a table."""
    ask = argparse.ArgumentParser(description=__doc__)
    for name, value in (("pairs", 4_000), ("poisons", 120), ("warmup", 3), ("seed", 5)):
        ask.add_argument(f"--{name}", type=int, default=value)
    ask.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.1, 0.3, 1.0])
    given = ask.parse_args()
    settings = SIZES["tiny"] | {"pairs": given.pairs}
    key = tuple(sorted(settings.items()))
    train = world(key, given.seed)["train"]
    images, captions, rows = poisoned(train, given.poisons, settings["trigger"], given.seed)
    truth = np.isin(np.arange(given.pairs), rows)
    plan = replace(recipe(settings, ""), seed=given.seed)
    print("| bank | rate | AUROC of low cosines | believed, of all | believed, of the poisons |\n|---|---|---|---|---|")
    for bank in (0, 1_024):
        clip = small_clip([*train.captions, *CLASS_TEMPLATES], config=SmallConfig(size=32), seed=given.seed)
        data = Numbered(PairSource(clip, images, captions, views=VIEWS, ids=train.ids, seed=given.seed))
        fit(BankSSL(Guarded(clip, given.pairs, 64, bank)), data, replace(plan, epochs=given.warmup))
        for rate in given.rates:
            looked = copy.deepcopy(clip)
            fit(make_objective("mmcl", looked), data, replace(plan, epochs=1, lr=plan.lr * rate, warmup=5))
            image, text = embed_images(looked, images), embed_texts(looked, captions)
            cosine = (image.astype(float) * text).sum(1)
            try:
                safe = believed(cosine)
                told = f"{safe.mean():.3f} | {safe[rows].mean():.3f}"
            except AntivenomError:
                told = "none | none"
            print(f"| {bank} | x {rate:g} | {auroc(truth, -cosine):.3f} | {told} |", flush=True)


if __name__ == "__main__":
    main()
