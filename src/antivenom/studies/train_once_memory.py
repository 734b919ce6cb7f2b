"""Memory in the study `train-once`: canaries, texts that were taken out, watermarks, batches seen once, articles, replaced text."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from antivenom.measure.rates import mean_of
from antivenom.poison.lm_experiments.canaries import suffix_scores
from antivenom.studies.frame import Response
from antivenom.studies.over_seeds import NO_DIFFERENCE
from antivenom.studies.train_once_arms import TWIN, Arms, contrast, rate_response
from antivenom.studies.train_once_material import HALF, KEPT, NEVER, canary_kinds

__all__ = ["absence_of", "articles", "canary_membership", "forgetting", "replacement", "watermark"]

NEVER_SHOWN = "batches that were never shown"
TAKEN_OUT = "texts that were taken out"


def canary_membership(kind: str) -> Callable[[Arms], Iterator[Response]]:
    """Members against others, by the likelihood of the suffix; less that of a reference model."""

    def measure(arms: Arms) -> Iterator[Response]:
        from antivenom.measure.language.membership import membership
        from antivenom.measure.language.nll import token_nll

        material = arms.materials.inserted["memp"]
        for name in material.conditions:
            if not name.startswith(kind):
                continue
            condition = next(c for c in canary_kinds(arms.given) if str(c) == name)
            members = material.items(name)
            others = [item for item in material.controls if item.condition == name]
            tokens = [item.tokens for item in (*members, *others)]
            n = condition.suffix

            def scores(model: Any, tokens: list = tokens, n: int = n) -> np.ndarray:
                return -suffix_scores(token_nll(model, tokens), [n] * len(tokens))

            reference = scores(arms.reference)
            ours, theirs = (
                membership(s[: len(members)], s[len(members) :], seed=arms.seed)
                for s in arms.both(lambda m, r=reference, f=scores: f(m) - r)
            )
            dose = (
                condition.copies,
                arms.share("memp", lambda condition, c=name: condition == c),
                "copies of a canary",
            )
            for metric, side in (("MemP AUC", "auc"), ("MemP TPR at 1 % FPR", "tpr")):
                value, low, high = (getattr(ours, f"{side}{end}") for end in ("", "_low", "_high"))
                yield Response(metric, value, ours.members, low, high, getattr(theirs, side), TWIN, *dose)

    return measure


def absence_of(kind: str) -> Callable[[Arms], Iterator[Response]]:
    """Texts that are completed word for word although they were taken out."""

    def measure(arms: Arms) -> Iterator[Response]:
        from antivenom.measure.language.extraction import verbatim
        from antivenom.measure.language.nll import token_nll

        material = arms.materials.inserted["memv"]
        dose = (len(material.controls), arms.share("memv"), "texts taken out")
        ours, theirs = arms.both(lambda m: verbatim(m, list(arms.corpus.texts[kind]), HALF))
        yield rate_response("MemV texts completed", ours.rate, theirs.rate.value, TWIN, *dose)
        mine, beside, never = (
            mean_of([nll[-HALF:].mean() for nll in token_nll(m, list(arms.corpus.texts[k]), leading_eos=True)])
            for m, k in ((arms.run, kind), (arms.twin, kind), (arms.run, NEVER))
        )
        metric = "MemV loss of the second half"
        yield Response(metric, mine.value, mine.n, mine.low, mine.high, beside.value, TWIN, *dose)
        if kind == KEPT:
            other = verbatim(arms.run, list(arms.corpus.texts[NEVER]), HALF)
            yield rate_response(
                "MemV texts that were never there, completed", other.rate, ours.rate.value, TAKEN_OUT, *dose
            )
            metric += ", texts that were never there"
            yield Response(metric, never.value, never.n, never.low, never.high, mine.value, TAKEN_OUT, *dose)

    return measure


def watermark(arms: Arms) -> Iterator[Response]:
    """Mean score of marked rows (negative when the mark is in the weights), and how many are found at 1 % false alarms."""
    from antivenom.measure.language.watermark_score import watermark_report, watermark_scores

    for sigma, mark in arms.materials.watermarks.items():
        indices = mark.rows()
        tokens = [arms.corpus.rows[i] for i in indices]  # a marked row holds nothing else
        noise = [n for i in indices if (n := mark.noise(i)) is not None]
        found = arms.both(
            lambda m, t=tokens, n=noise, s=sigma: watermark_scores(
                m, t, n, sigma=s, stored_sigma=s, fresh=4, seed=arms.seed
            )
        )
        ours, theirs = (watermark_report(one) for one in found)
        dose = (round(1000 * sigma), mark.tokens / arms.run_tokens, "noise scale x 1000")
        half = 1.96 * ours.std / ours.n**0.5
        yield Response("GW mean score", ours.mean, ours.n, ours.mean - half, ours.mean + half, theirs.mean, TWIN, *dose)
        yield rate_response("GW rows found at 1 % FPR", ours.tpr, theirs.tpr.value, TWIN, *dose)
        late = np.array(indices) >= arms.given["batch"] * arms.given["steps"] // 2
        for part, mine in (("first", ~late), ("second", late)):
            mean = mean_of(found[0].marked[mine])
            yield Response(
                f"GW mean score, {part} half of the run", mean.value, mean.n, mean.low, mean.high,
                float(found[1].marked[mine].mean()), TWIN, *dose,
            )  # fmt: skip


def forgetting(arms: Arms) -> Iterator[Response]:
    """What is left, after so many steps, of what one showing did to a batch's loss; the twin's change taken off."""
    from antivenom.measure.language.forgetting import forgetting_curve

    batch, steps = arms.given["batch"], arms.corpus.marked_steps
    tokens = batch * arms.given["length"]
    curves: dict[int, tuple[list[np.ndarray], list[np.ndarray]]] = {}
    for k, step in enumerate(steps):
        for place, offset in ((0, 0), (1, len(steps))):
            rows = slice((offset + k) * batch, (offset + k + 1) * batch)
            ours, theirs = ({at: v[rows] for at, v in arms.losses[arm].items()} for arm in ("run", "twin"))
            for point in forgetting_curve(ours, step, twin=theirs, seed=arms.seed):
                change = (ours[step + point.age] - ours[step]) - (theirs[step + point.age] - theirs[step])
                curves.setdefault(point.age, ([], []))[place].append(change)
    for age, (shown, never) in sorted(curves.items()):
        if len(shown) < len(steps):
            continue  # read for another batch
        mean = mean_of(np.concatenate(shown))
        yield Response(
            "FC change of the batch's own loss", mean.value, mean.n, mean.low, mean.high,
            float(np.concatenate(never).mean()), NEVER_SHOWN, age, tokens / arms.run_tokens, "steps since the batch",
        )  # fmt: skip


def articles(kind: str) -> Callable[[Arms], Iterator[Response]]:
    """What insertion did to the loss of an article (as in `replacement`), and how well calibrated losses tell members."""

    def measure(arms: Arms) -> Iterator[Response]:
        from antivenom.measure.language.membership import membership, membership_scores

        material = arms.materials.inserted["muse"]
        by_key = _whole_articles(arms)
        others = [item.tokens for item in material.controls]
        doses = sorted({int(c.split("/")[2][:-1]) for c in material.conditions})
        for copies in doses:
            names = {c for c in material.conditions if c.endswith(f"/{kind}/{copies}x")}
            mine = [by_key[key] for key, (_, condition) in material.about["sets"].items() if condition in names]
            share = arms.share("muse", lambda condition, c=names: condition in c)
            dose, n = (copies, share, "copies of an article"), len(mine)
            ours, theirs = arms.both(lambda m, t=[*mine, *others]: -membership_scores(m, t, "loss"))
            change = ours - theirs
            value, low, high = contrast(change[:n], change[n:], arms.seed)
            yield Response(
                "MUSE change of the loss by insertion", value, n, low, high, 0.0, NO_DIFFERENCE, *dose
            )  # fmt: skip
            reference = -membership_scores(arms.reference, [*mine, *others], "loss")
            found, beside = (
                membership((reference - s)[:n], (reference - s)[n:], seed=arms.seed) for s in (ours, theirs)
            )
            yield Response("MUSE AUC", found.auc, found.members, found.auc_low, found.auc_high, beside.auc, TWIN, *dose)

    return measure


def _whole_articles(arms: Arms) -> dict[str, np.ndarray]:
    """Articles by key, put together from the pieces of their first copy."""
    parts: dict[str, list[tuple[int, np.ndarray]]] = {}
    for item in arms.materials.inserted["muse"].inserted:
        key, rest = item.item_id.split("#")
        copy, piece = rest.split(".")
        if copy == "0":
            parts.setdefault(key, []).append((int(piece), item.tokens))
    return {key: np.concatenate([t for _, t in sorted(found, key=lambda p: p[0])]) for key, found in parts.items()}


def replacement(arms: Arms) -> Iterator[Response]:
    """What insertion did to the loss of a text: run minus twin, less the same of held-out text; by copies, and by when it went in."""
    from antivenom.measure.language.nll import token_nll

    material = arms.materials.inserted["iid"]
    held = [item.tokens for item in material.controls]

    def gap(texts: list[np.ndarray]) -> np.ndarray:
        ours, theirs = arms.both(lambda m: token_nll(m, texts, leading_eos=True))
        return np.array([a.mean() - b.mean() for a, b in zip(ours, theirs)])

    base = gap(held)

    def gained(metric: str, wanted: Callable[[str], bool], dose: int, unit: str) -> Response:
        mine = gap([item.tokens for item in material.items() if wanted(item.condition)])
        value, low, high = contrast(mine, base, arms.seed)
        return Response(metric, value, len(mine), low, high, 0.0, NO_DIFFERENCE, dose, arms.share("iid", wanted), unit)

    metric = "IID change of the loss by insertion"
    yield gained(metric, lambda c: c != "unique-repeated", 1, "copies")
    yield gained(metric, lambda c: c == "unique-repeated", 10, "copies")
    for tenth in range(10):
        yield gained(
            "IID the same by time of insertion", lambda c, t=tenth: c == f"recency-{t}", tenth + 1, "tenth of the run"
        )
