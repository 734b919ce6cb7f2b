"""Many data experiments inside one training run: what does each do to the model, and do they disturb each other?

antivenom study run train-once --size tiny

1. The corpus: base text of a token world made by formula (`train_once_material`).
2. The doses: ten experiments, each in its own conditions - copies, documents, batches, noise scales - replace tokens of ONE run.
3. The twin: the same weights, rows and order without any of it (`train_once_runs`).
4. The treatments are the experiments: each is read off the run beside the twin (`train_once_measures`); asking for one of them
   trains the same run, with all experiments in it.
5. `dependence`: short arms from the half-trained twin (`train_once_dependence`).

Source: arXiv 2509.23383; the small protocol of spec 02, section 6.
"""

import time
from collections.abc import Iterator
from typing import Any

from antivenom.errors import MissingExtra
from antivenom.measure.rates import Rate
from antivenom.models.torch_runtime import require_torch, threads
from antivenom.studies.cards import leave_card
from antivenom.studies.frame import Cell, PaperFigure, Response, SkipCell, study
from antivenom.studies.train_once_cards import CARDS, card, dependence_card
from antivenom.studies.train_once_dependence import PLANTED, outcomes_of, readers, short_arms, verdicts
from antivenom.studies.train_once_material import frozen
from antivenom.studies.train_once_measures import MEASURES, measured
from antivenom.studies.train_once_runs import arms

__all__ = ["SIZES", "train_once"]

RECIPE: dict[str, Any] = {"batch": 16, "length": 64, "width": 64, "layers": 2, "heads": 4, "lr": 2e-3, "warmup": 100}
TINY: dict[str, Any] = RECIPE | {
    "steps": 2_000, "validation": 256, "bc": 120, "bc_most": 64, "memp": 120, "memp_most": 16, "memv": 8, "memv_copies": 400, "memv_near": 1_000,
    "denial": 400, "extraction": 600, "belief": 300, "leakage": 5, "fc": 3, "muse": 8, "muse_most": 16, "iid": 30, "mr": 4_000,
    "mr_tests": 200, "mr_permute": 0, "gw_every": 20, "gw_sigmas": 3, "facts": 20, "answer": 1, "paraphrases": 400, "ka_every": 100,
    "ka_start": 32, "ka_cap": 400, "ka_final": 0.3, "short_steps": 200, "short_bc": 120, "short_copies": 6,
    "short_memp": 60, "short_documents": 100, "short_ka": 40, "short_mr": 300, "short_articles": 12, "short_marks": 8, "short_resamples": 500,
}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "smoke": TINY
    | {"steps": 300, "batch": 8, "lr": 4e-3, "warmup": 20, "validation": 64, "bc": 20, "bc_most": 32, "memp": 12, "memv": 2}
    | {"memv_copies": 10, "memv_near": 10, "denial": 100, "extraction": 20, "belief": 60, "leakage": 2, "fc": 1, "muse": 1, "muse_most": 4, "iid": 10}
    | {"mr": 20, "mr_tests": 20, "facts": 5, "paraphrases": 100, "ka_every": 50, "ka_cap": 60, "short_steps": 40, "short_bc": 24}
    | {"short_copies": 4, "short_memp": 12, "short_documents": 20, "short_ka": 10, "short_mr": 20, "short_articles": 1}
    | {"short_marks": 4, "short_resamples": 200},
    "tiny": TINY,
    "small": TINY
    | {"steps": 12_000, "width": 128, "layers": 4, "heads": 8, "batch": 32, "length": 128, "lr": 1e-3, "warmup": 400, "mr": 60_000}
    | {"ka_every": 500, "ka_cap": 2_000, "gw_every": 60, "extraction": 6_000, "muse": 20, "iid": 100},
}  # fmt: skip
FIGURE = "figure of arXiv 2509.23383: OLMo-2 1B, 210B tokens, with the experiments; read off the plot"


@study(
    paper="Train Once, Answer All: many pretraining experiments for the cost of one (arXiv 2509.23383)",
    title="What do ten kinds of data do to a model, in one training run?",
    dose="all experiments",
    of="tokens of the run",
    doses=(1,),
    treatments=(*MEASURES, "dependence"),
    controls=("run",),
    sizes=SIZES,
    figures=[
        *(
            PaperFigure("BC gain over the held-out questions", gain, FIGURE, dose=copies, treatment="bc")
            for copies, gain in ((4, 0.009), (12, 0.018), (36, 0.053), (144, 0.188))
        ),
        *(
            PaperFigure("MemP TPR at 1 % FPR", value, FIGURE, dose=copies, treatment=f"memp-{kind}")
            for kind, copies, value in (
                ("plain", 1, 0.008), ("random", 1, 0.008), ("model", 1, 0.006), ("rare", 1, 0.014),
                ("plain", 16, 0.012), ("random", 16, 0.015), ("model", 16, 0.018), ("rare", 16, 0.025),
            )
        ),
        PaperFigure("GW rows found at 1 % FPR", 0.072, f"{FIGURE}; batches near 90 % of the run", dose=75, treatment="gw"),
        PaperFigure("PP prompt leaked in one of 1 answers", 0.15, FIGURE, treatment="pp-extraction"),
        PaperFigure("PP prompt leaked in one of 5 answers", 0.48, FIGURE, treatment="pp-extraction"),
        PaperFigure("MR answers right, 1 operation", 0.996, FIGURE, treatment="mr"),
    ],
)  # fmt: skip
def train_once(cell: Cell) -> Iterator[Response]:
    """Ten data experiments in one run of a small language model, each beside the twin that had none."""
    try:
        require_torch("training a language model")
    except MissingExtra as missing:
        raise SkipCell(str(missing)) from None
    key = frozen(cell.settings)
    with threads(1):
        if cell.treatment == "dependence":
            yield from _dependence(cell, key)
            return
        found = arms(key, cell.seed, cell.cache_dir)
        start = time.monotonic()
        yield from measured(cell.treatment, found)
        name = cell.treatment.split("-")[0]
        leave_card(cell, card(next(k for k in CARDS if k == name), found, time.monotonic() - start))


def _dependence(cell: Cell, key: Any) -> Iterator[Response]:
    start = time.monotonic()
    read = readers(key, cell.seed)
    models, common = short_arms(key, cell.seed, cell.cache_dir, read)
    outcomes = outcomes_of(read, models)
    resamples = cell.settings["short_resamples"]
    found = verdicts(outcomes, cell.seed, resamples)
    alone = verdicts(outcomes, cell.seed, resamples, without=PLANTED[0][1])
    tokens = int(common.length.sum())
    share = tokens / common.shape.tokens
    leave_card(
        cell, dependence_card(found.record(), alone.verdict, time.monotonic() - start, common.shape.steps, share)
    )
    pairs = {pair: e for pair, e in found.entries.items() if e.verdict is not None}
    others = {pair: e for pair, e in pairs.items() if pair not in PLANTED}
    own = [found.entries[name, name] for name in found.floor]
    dose = (tokens, share, "tokens of the arm with all")

    def rate(metric: str, hits: int, n: int, of: str) -> Response:
        one = Rate(hits, n, of)
        return Response(metric, one.value, n, one.low, one.high, None, None, *dose)

    flagged = set(found.flagged())
    yield rate("CPDT planted pairs found", len(flagged & set(PLANTED)), len(PLANTED), "planted pairs")
    yield rate("CPDT other pairs called not safe", len(flagged - set(PLANTED)), len(others), "pairs")
    yield rate("CPDT other pairs called safe", sum(e.verdict == "safe" for e in others.values()), len(others), "pairs")
    shows = sum(e.p < found.alpha and abs(e.value) > found.floor[e.test] for e in own)
    yield rate("CPDT experiments that show in their own arm", shows, len(own), "experiments")
    same = sum((e.p_corrected or 0.0) >= found.alpha for e in found.totals.values())
    yield rate("CPDT experiments with the same effect among all", same, len(found.totals), "experiments")
