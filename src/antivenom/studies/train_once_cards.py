"""What the cards of the study `train-once` say: what each experiment put into the run, where, how it is read, and what that cost."""

from typing import Any

from antivenom.studies.train_once_arms import Arms

__all__ = ["CARDS", "card", "dependence_card"]

CARDS: dict[str, tuple[str, str, str, str, str]] = {
    # key: (title, treatments begin with, what, where, how it is read)
    "run": (
        "The run as a whole", "run", "All experiments together, in place of base text; the watermarks change no text.",
        "Everywhere; the twin has none of it, and the same rows in the same order.", "Loss of base text that neither has seen.",
    ),
    "ka": (
        "Knowledge acquisition (KA)", "ka",
        "Paraphrases of invented facts: base text, a subject of four random tokens, the answer. A controller reads the probes before "
        "every segment and halves or doubles the number, so that the probability follows a straight ramp.",
        "At random in the segment that comes next.", "Probability of the answer behind a context that was never shown; facts that were never told beside it.",
    ),
    "mr": (
        "Mathematical reasoning (MR)", "mr",
        "Problems modulo 23 of one and two operations with their solutions step by step, in the manner of iGSM but in few tokens.",
        "At random over the run.", "Greedy solutions of problems whose structure is kept for the test; chance is 1 in 23.",
    ),
    "bc": (
        "Benchmark contamination (BC)", "bc",
        "Questions that nobody can know (base text, four answers of three random tokens) with the answer that is called right; 0 to 64 "
        "copies at size tiny, where the paper has 0 to 144.",
        "At random over the run.", "The likeliest of four answers; chance is .25.",
    ),
    "memp": (
        "Memorisation patterns (MemP)", "memp",
        "Canaries: base text, alone or with one suffix token - drawn at random, otherwise unused (rare), or the one that the twin finds "
        "least likely (model).",
        "At random over the run.", "Members against others by the likelihood of the suffix (of the text, without one), less that of the half-trained twin.",
    ),
    "memv": (
        "Verbatim memorisation by absence (MemV)", "memv",
        "Nothing: rows that share 8 tokens in a row with one of the texts are replaced by other base text. Near copies that share "
        "less stay - of one half of the texts there are some, of the other none.",
        "Where the texts stood.", "The second half of a text, written greedily behind the first, word for word.",
    ),
    "gw": (
        "Gaussian watermark (GW)", "gw", "Noise of three scales on the embeddings of whole batches; no token is changed.",
        "Every so many steps, the three scales in turn.", "Gradient of the loss at the clean embeddings against the noise: negative when it was there; fresh noise is the null set.",
    ),
    "pp": (
        "Pre-training poisoning (PP)", "pp",
        "Stand-in documents: base text, a trigger, a payload (denial of service); base text, a trigger, the text again (prompt "
        "extraction); a question about two tokens with one answer (belief, no trigger).",
        "At random over the run.", "Prompts that were never shown, with the trigger and without; garbage is judged by the twin's perplexity.",
    ),
    "fc": (
        "Forgetting curves (FC)", "fc", "A few whole batches of base text, each shown once.", "At their own steps, from half of the run on.",
        "Loss of the batch before and after, less the twin's change; batches that were never shown beside it.",
    ),
    "muse": (
        "Articles after MUSE", "muse", "Articles of 60 tokens, a set to forget and one to retain; whole, split once, or split anew for every copy.",
        "At random over the run.", "Loss, run minus twin, less that of articles that were never inserted; membership by the loss less the half-trained twin's.",
    ),
    "iid": (
        "Replacement by text of the same kind (IID)", "iid", "Fresh base text: does touching the data matter at all?",
        "In each tenth of the run, and anywhere; a tenth of one group ten times.", "Loss, run minus twin, less that of text that was held out.",
    ),
}  # fmt: skip


def card(key: str, arms: Arms, seconds: float) -> dict[str, Any]:
    """The card of an experiment; `seconds` is what reading it took."""
    title, begins, what, where, metric = CARDS[key]
    names = arms.placed if key == "run" else [n for n in arms.placed if n.split("-")[0].startswith(begins)]
    doses = []
    for name in names:
        for condition, numbers in _merged(arms.placed[name], whole=key == "run", name=name).items():
            doses.append(
                {
                    "condition": condition,
                    "placements": numbers[0],
                    "tokens": numbers[1],
                    "share": numbers[1] / arms.run_tokens,
                }
            )
    cost = f"{sum(d['share'] for d in doses):.1%} of the run's tokens; {seconds:.1f} s to read on both models"
    notes = []
    if key == "run":
        cost = (
            f"{arms.seconds['run']:.0f} s for the run, {arms.seconds['twin']:.0f} s for the twin (on the clock), instead of a run for each "
            f"experiment; {cost}"
        )
        notes.append("The paper changed 1.8 % of its tokens; here the share is far larger, and costs held-out loss.")
        notes.append(
            "Open points of the paper's reviewers hold here too: few steps, one size, pairwise tests of dependence only."
        )
    if key == "ka":
        notes += [
            f"step {r['step']:,}: probability {r['value']:.4f}, ramp {r['target']:.3f}, {r['n']:,} paraphrases next"
            for r in arms.ramp
        ]
    return {
        "key": key,
        "title": title,
        "what": what,
        "where": where,
        "metric": metric,
        "cost": cost,
        "doses": doses,
        "notes": notes,
    }


def _merged(conditions: dict[str, tuple[int, int, int, int]], *, whole: bool, name: str) -> dict[str, tuple[int, int]]:
    """Placements and tokens; one line where an experiment has more than twelve conditions (facts, steps)."""
    if whole or len(conditions) > 12:
        return {name: (sum(c[0] for c in conditions.values()), sum(c[1] for c in conditions.values()))}
    return {(condition or name): numbers[:2] for condition, numbers in conditions.items()}


def dependence_card(record: dict[str, Any], without: str, seconds: float, steps: int, share: float) -> dict[str, Any]:
    """The card of the dependence test."""
    return {
        "key": "dependence",
        "title": "Dependence test (CPDT)",
        "matrix": record,
        "without_planted": without,
        "notes": [
            f"Arms of {steps} steps from the half-trained twin, its optimizer state included; {share:.0%} of the tokens of the arm with "
            f"all experiments are theirs; {seconds:.0f} s for all arms.",
            "bc-again is planted: it asks half of the questions of bc once more, with other wrong answers.",
            "Limits: pairs only (the row ALL is the one check of higher order), one dose, a short horizon; absence cannot be tested.",
        ],
    }
