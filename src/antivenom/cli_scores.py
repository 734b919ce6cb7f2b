"""`antivenom rescore`, `split`, `overlap`, `prompts`: what can be done with a corpus once its rows have scores."""

import sys
from pathlib import Path
from typing import Literal

from cyclopts import App, Group

from antivenom.cli_options import AS_FOUND, Reading

__all__ = ["register"]


def register(app: App, group: Group) -> None:
    """Add the verbs."""
    for verb in (rescore, split, overlap, prompts):
        app.command(verb, group=group)


def rescore(
    run: Path,
    corpus: str,
    *,
    score: str,
    out: Path,
    before: str | None = None,
    threshold: float = 0.5,
    inclusive: bool = True,
    overwrite: bool = False,
) -> int:
    """Score a corpus again with another scorer; how far do they agree?

    Parameters
    ----------
    run:
        The run directory of `antivenom screen --score`.
    corpus:
        The corpus it scored; it is read as it was then.
    score:
        The other scorer with its parameters, as after `antivenom screen --score`.
    out:
        The folder for the new scores, rescore.json and run.json; a rescoring that was stopped goes on.
    before:
        Which score of the run to compare with, when it has several.
    threshold:
        A row is above from this score on.
    inclusive:
        A score equal to the threshold is above.
    overwrite:
        Replace another rescoring in --out.
    """
    from antivenom.screen.scoring.rescore import rescore as compare
    from antivenom.terminal import print_rescored

    found = compare(
        run,
        corpus,
        score,
        out,
        before=before,
        threshold=threshold,
        inclusive=inclusive,
        overwrite=overwrite,
        command=["antivenom", *sys.argv[1:]],
    )
    print_rescored(found, out)
    return 0


def split(
    run: Path,
    corpus: str,
    *,
    out: Path,
    by: str | None = None,
    exclude: Path | None = None,
    middle: Literal["balanced", "all"] = "balanced",
    seed: int = 0,
    overwrite: bool = False,
    runner: Literal["native", "ray", "loop"] = "native",
    workers: int | None = None,
) -> int:
    """Cut a scored corpus by percentiles: lowest, middle, highest.

    lte2: percentiles 1-2, the lowest scores; mid20: from percentiles 40-59; gte99: percentiles 99-100.

    Parameters
    ----------
    run:
        The run directory of `antivenom screen --score`.
    corpus:
        The corpus it scored; it is read as it was then.
    out:
        The folder for lte2/, mid20/, gte99/ (in the corpus's own format) and run.json.
    by:
        The score, e.g. `toxicity` or `toxicity.insult`, when there are several.
    exclude:
        What `antivenom prompts` wrote: rows that gave prompts take part in nothing.
    middle:
        `balanced`: as many random rows of percentiles 40-59 as lte2 has; `all`: all of them.
    seed:
        For that draw.
    overwrite:
        Replace another split in --out.
    runner:
        Where blocks are worked on.
    workers:
        Parallel workers on this machine.
    """
    from antivenom.screen.filters.percentiles import split_corpus
    from antivenom.screen.provenance.prompts import read_sources
    from antivenom.terminal import print_split

    record = split_corpus(
        run,
        corpus,
        out,
        by=by,
        exclude=read_sources(exclude) if exclude else (),
        middle=middle,
        seed=seed,
        runner=runner,
        workers=workers,
        overwrite=overwrite,
        command=["antivenom", *sys.argv[1:]],
    )
    print_split(record, out)
    return 0


def overlap(
    a: str,
    b: str,
    *,
    threshold: float = 0.9,
    unit: Literal["character", "word"] = "character",
    shingle: int = 5,
    out: Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    reading: Reading = AS_FOUND,
) -> int:
    """Which share of a corpus has a near-duplicate in another?

    The smaller corpus is the denominator; both are held in memory.

    Parameters
    ----------
    a:
        A corpus.
    b:
        Another, read in the same way.
    threshold:
        The least Jaccard similarity.
    unit:
        What a shingle is made of; the two units give different overlaps.
    shingle:
        Characters or words in a shingle.
    out:
        A folder for run.json and pairs.jsonl: one JSON line each, with both places and the similarity.
    seed:
        For the permutations.
    overwrite:
        Replace another run in --out.
    """
    from antivenom.data.corpus import open_corpus
    from antivenom.report.run_directory import apart
    from antivenom.screen.provenance.overlap import Overlap, overlap_of
    from antivenom.terminal import print_overlap

    method = Overlap(threshold, unit, shingle, seed=seed)
    both = [open_corpus(path, **reading.given()) for path in (a, b)]
    if out is not None:
        apart(out, a, b)
    command = ["antivenom", *sys.argv[1:]]
    print_overlap(
        overlap_of(both[0], both[1], method, names=(a, b), out=out, overwrite=overwrite, command=command), out
    )
    return 0


def prompts(
    corpus: str,
    *,
    score: str,
    per_range: int,
    out: Path,
    language: str = "en",
    seed: int = 0,
    overwrite: bool = False,
    reading: Reading = AS_FOUND,
) -> int:
    """Make prompts of a corpus, from harmless to toxic sentences.

    As RealToxicityPrompts did: sentences from every quarter of the toxicity scale, cut in half, both halves scored.

    Parameters
    ----------
    corpus:
        Any corpus.
    score:
        A toxicity scorer from 0 to 1, with its parameters.
    per_range:
        Prompts from each of 0-.25, .25-.5, .5-.75, .75-1.
    out:
        The folder for prompts.jsonl, prompts.jsonl.sources.json (the rows to keep out of training) and run.json.
    language:
        Both halves must be in it; `any` takes all.
    seed:
        For the draw.
    overwrite:
        Replace another run in --out.
    """
    from antivenom.data.corpus import open_corpus
    from antivenom.report.run_directory import apart
    from antivenom.screen.provenance.prompt_run import make_prompts
    from antivenom.screen.scoring.scorers import parse
    from antivenom.terminal import print_prompts

    apart(out, corpus)
    source = open_corpus(corpus, **reading.given())
    made = make_prompts(
        source,
        parse(score),
        out,
        per_range=per_range,
        language=None if language == "any" else language,
        seed=seed,
        overwrite=overwrite,
        command=["antivenom", *sys.argv[1:]],
    )
    print_prompts(made, per_range, out)
    return 0
