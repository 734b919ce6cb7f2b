"""The model card of the packaged toxicity scorer, and the tables in it, from the record that evaluate_toxicity.py stores.

python scripts/evaluate_toxicity.py --card docs/model-card-toxicity.md      # from benchmarks/results/toxicity.json and the packaged weights
"""

from collections.abc import Mapping
from typing import Any

from antivenom.screen.scoring.hashed_linear import HashedLinear

SOURCES = {
    "paradetox": ("ParaDetox: a toxic sentence and up to three neutral rewrites, which share one vote", "CC0-1.0"),
    "davidson": ("Davidson et al. 2017, tweets: hate and offensive against neither", "MIT"),
    "python library": ("Python standard library, pieces of 1 to 11 lines", "PSF"),
    "peps": ("PEPs, paragraphs", "public domain or CC0-1.0"),
    "shakespeare": ("Shakespeare, speeches", "public domain"),
    "gsm8k": ("GSM8K, training questions by sentence", "MIT"),
    "lone words": ("every ordinary word of the four sources above once, as a text of its own", "as they"),
}
"""What the training rows are, and under which licence: the order of the card's table."""
CURVES = ("code review, balanced", "bias madlibs", "hatecheck")


def pair(figures: Mapping[str, Any], digits: int = 3) -> str:
    """A figure with its interval."""
    return f"{figures['value']:.{digits}f} [{figures['low']:.{digits}f}, {figures['high']:.{digits}f}]"


def share(rate: Mapping[str, Any]) -> str:
    """A rate with its interval, in per cent."""
    return f"{rate['value']:.0%} [{rate['low']:.0%}, {rate['high']:.0%}]"


def set_table(record: Mapping[str, Any]) -> str:
    """Ranking and calibration per set."""
    lines = [
        "| set | n | toxic | AUROC | AUPRC | calibration error | largest gap | Brier | not scored |",
        "|" + "---|" * 9,
    ]
    for name, part in record["sets"].items():
        lines.append(
            f"| {name} | {part['n']:,} | {part['positive'] / part['n']:.0%} | {pair(part['auroc'])} | {pair(part['auprc'])} "
            f"| {part['calibration error']:.3f} | {part['largest gap']:.3f} | {part['brier']:.3f} | {part['auroc']['missing']} |"
        )
    return "\n".join(lines)


def curve_table(record: Mapping[str, Any], name: str) -> str:
    """The reliability table of a set: what was said, and what was so."""
    lines = ["| score | n | mean score | toxic |", "|---|---|---|---|"]
    for b in record["sets"][name]["curve"]:
        if b["rate"]["n"]:
            said = f"{b['from']:.1f} - {b['to']:.1f} | {b['rate']['n']:,} | {b['confidence']:.2f}"
            lines.append(f"| {said} | {share(b['rate'])} |")
    return "\n".join(lines)


def functionality_table(record: Mapping[str, Any]) -> str:
    """HateCheck: every functionality."""
    lines = ["| functionality | gold | n | right |", "|---|---|---|---|"]
    for group, rate in record["sets"]["hatecheck"]["functionality"].items():
        lines.append(f"| {group} | {rate['of']} | {rate['n']} | {share(rate)} |")
    return "\n".join(lines)


def mention_table(record: Mapping[str, Any]) -> str:
    """Neutral madlibs flagged, by the term they mention; the worst first."""
    lines = ["| term | neutral rows | flagged |", "|---|---|---|"]
    terms = record["sets"]["bias madlibs"]["subgroups"]["terms"]
    for term, rate in sorted(terms.items(), key=lambda item: (-item[1]["value"], item[0])):
        lines.append(f"| {term} | {rate['n']} | {share(rate)} |")
    return "\n".join(lines)


def training_table(given: Mapping[str, int]) -> str:
    """Sources with licence and counts."""
    lines = ["| source | licence | rows | toxic |", "|---|---|---|---|"]
    for name, (what, licence) in SOURCES.items():
        lines.append(f"| {what} | {licence} | {given[name]:,} | {given[f'{name}, toxic']:,} |")
    total, toxic = (sum(given[f"{name}{end}"] for name in SOURCES) for end in ("", ", toxic"))
    return "\n".join([*lines, f"| all | | {total:,} | {toxic:,} |"])


def failures(record: Mapping[str, Any]) -> str:
    """What goes wrong, in the words of the record's own figures."""
    sets = record["sets"]
    hate, review, bias = sets["hatecheck"], sets["code review, balanced"], sets["bias madlibs"]
    rates = hate["functionality"].items()
    worst = sorted(rates, key=lambda item: item[1]["value"])[:6]
    under = sum(rate["value"] < 0.5 for _, rate in rates)
    at = record["threshold"]
    groups = bias["subgroups"]
    terms = sorted(groups["terms"].items(), key=lambda item: (-item[1]["value"], item[0]))
    most = ", ".join(f"`{name}` {rate['value']:.0%}" for name, rate in terms[:6])
    low, high = hate["auroc"]["low"], hate["auroc"]["high"]
    verdict = "at chance" if low <= 0.5 <= high else "better than chance" if low > 0.5 else "worse than chance"
    return f"""* **It sees words, not intent: on HateCheck it is {verdict}** (AUROC {pair(hate["auroc"])}, n = {hate["n"]:,}). At a threshold of
  {at} it is wrong more often than right in {under} of {len(rates)} functionalities; worst:
  {", ".join(f"`{name}` {rate['value']:.0%} right" for name, rate in worst)}.
  Swearing without hate is flagged; hate, threats and implied hate without a listed kind of word are missed; so are most misspelt words
  that the disguise reader does not undo.
* **Naming a group raises the score.** Neutral sentences flagged, by the term they mention: {most}; over all neutral rows
  {share(groups["overall"])}, gap between terms {groups["gap"]:.0%}. A filter at {at} takes out harmless text about these groups.
* **English only.** Text with under a fifth of Latin letters gets no score; other languages in Latin letters get one that means nothing.
* **Code review is out of its domain**: AUROC {pair(review["auroc"])} on a balanced set. Code reviewers are toxic in other words than tweets;
  for such text train `toxicr`.
* **How far the score can be read as a probability depends on the text**: calibration error {review["calibration error"]:.3f} (balanced code review),
  {hate["calibration error"]:.3f} (HateCheck), {bias["calibration error"]:.3f} (madlibs). Choose thresholds on your own labels.
* **Labels of tweets carry their annotators' bias.** Davidson's are known to call African American English offensive more often (Sap et al. 2019); not
  measured here."""


def card(records: Mapping[str, Any], model: HashedLinear, size: int) -> str:
    """The card in Markdown.

    Args:
        records: by scorer, `toxicity` and `lexicon` among them.
        model: the packaged model.
        size: bytes of its file.

    Raises:
        ValueError: when the record was made with other weights.
    """
    record, lexicon, given = records["toxicity"], records["lexicon"], model.meta["given"]
    if record["identity"]["weights"] != model.weights_hash:
        raise ValueError("the record is of other weights: run scripts/evaluate_toxicity.py --data ... first")
    low, high = model.char_ngrams
    window = record["identity"]["params"]
    curves = "\n\n".join(
        f"{name} (calibration error {record['sets'][name]['calibration error']:.3f}, "
        f"{record['sets'][name]['binning']}):\n\n{curve_table(record, name)}"
        for name in CURVES
    )
    terms = record["sets"]["bias madlibs"]["subgroups"]
    return f"""# Model card: `toxicity`, the packaged scorer

Written by `python scripts/evaluate_toxicity.py --card docs/model-card-toxicity.md` from `benchmarks/results/toxicity.json` and the packaged
weights; a test compares it with them. Brackets are 95 % intervals: bootstrap over rows for AUROC and AUPRC, Wilson for rates. Rows made
from one template resemble each other, so those of HateCheck and the madlibs are too narrow.

## Where it fails

{failures(record)}

## What it is

P(toxic) at equal priors, by logistic regression on 2^{model.bits} hashed buckets: words and runs of up to {model.word_ngrams} of them, character
{low}- to {high}-grams inside words. {size:,} bytes, weights `{model.weights_hash}`. A long text is scored in windows of {window["window"]} tokens that
overlap by {window["overlap"]}; their {window["aggregate"]} counts. A text with disguised words (letters replaced, spaced, masked) is read a second time with these
undone, and the greater score counts. Trained by `scripts/train_toxicity.py`.

## Intended use

* To rank and annotate English text before a look at it, and as one arm of a filtering study beside a random drop of equal size.
* To compare models' outputs with one another under one fixed scorer, together with a second, independent one.

Not for: decisions about people; moderation without a person; other languages; a threshold taken over from here; judging the output of a
model whose training corpus it has filtered, without another judge.

## Training data

{training_table(given)}

Left out before the fit: {given["copies"]:,} copies, {given["contradictory"]:,} texts with both labels, {given["in an evaluation set"]} rows that are in an evaluation set
below and {given["nearly in one"]} that nearly are. A toxic tweet counts a third of a neutral one, a piece of bulk .5, a lone word .1; then both
classes weigh the same.

## Ranking and calibration

Sets it was not trained on; "toxic prompts" pairs RealToxicityPrompts with plain texts of another style, so that style alone ranks them in part.

{set_table(record)}

## Calibration curves

{curves}

## HateCheck, by functionality

Right at a threshold of {record["threshold"]} (Roettger et al. 2021; `_h` hateful, `_nh` not hateful).

{functionality_table(record)}

## False positives by identity mention

Identity words raise scores, and a filter by such a score removes text by and about minorities: this is the breakdown by identity
mention to look at first. Neutral bias madlibs (12,000 of 77,000 rows) flagged at {record["threshold"]}, by the term they mention. Over all: {share(terms["overall"])} of {terms["overall"]["n"]:,}; greatest minus smallest rate over {len(terms["terms"])} terms: {terms["gap"]:.0%}. Terms are found
in the data (words that fill the same slot of toxic and neutral sentences), so first names and a few words of templates are among
them: names are the control, a group's name should be flagged as seldom as they are.

{mention_table(record)}

## The lexicon beside it

Another scorer (`lexicon`, {lexicon["identity"]["params"]["entries"]} entries learnt from the same rows; list `{lexicon["identity"]["weights"]}`): its figures
stand by themselves. Scores of the two are not comparable.

{set_table(lexicon)}
"""
