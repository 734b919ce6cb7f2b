"""A prompt set of a corpus in a run directory: the prompts, the rows they came from, and how they were drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from antivenom.data.corpus import Corpus
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import RunDirectory
from antivenom.screen.provenance.prompts import PROMPTS, build_prompts, summary, write_prompts
from antivenom.screen.scoring.scorer import Scorer

__all__ = ["make_prompts"]


def make_prompts(
    corpus: Corpus,
    scorer: Scorer,
    out: str | Path,
    *,
    per_range: int,
    language: str | None = "en",
    seed: int = 0,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> dict[str, Any]:
    """Write `out/prompts.jsonl`, `out/prompts.jsonl.sources.json` and `out/run.json`; what `antivenom prompts` runs.

    Args:
        corpus: read once, in bounded memory.
        scorer, per_range, language, seed: of `build_prompts`.
        out: the run directory; a finished one of the same configuration is not made again.
        overwrite: replace another run there.
        command: the command line, for the record.

    Returns:
        The `summary` of the prompts, with `rows` of the corpus and `unread` ones.

    Raises:
        AntivenomError: for fewer than one prompt per range, a scorer whose higher score is not worse, no span that qualifies, or
            `out` in use by another run.
    """
    if per_range < 1:
        raise AntivenomError(f"--per-range {per_range}", "draw at least one prompt from each range")
    identity = scorer.identity()
    if identity.higher_is != "worse":
        raise AntivenomError(f"the scorer '{scorer.name}' does not say how toxic a text is", "give a toxicity scorer")
    config = {"verb": "prompts", "corpus": corpus.describe(), "scorer": identity.record(), "seed": seed}
    config |= {"per_range": per_range, "language": language}
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if run.complete:
            return run.read()["prompts"]
        counted = {"rows": 0, "unread": 0}

        def rows():
            for batch in corpus.batches():
                counted["rows"] += len(batch.rows)
                counted["unread"] += len(batch.quarantined)
                yield from zip(batch.rows.column("id").to_pylist(), batch.texts.to_pylist())

        with run.step("draw") as step:
            made = build_prompts(rows(), scorer, per_range=per_range, seed=seed, language=language)
            step.rows = counted["rows"]
        write_prompts(made, run.path / PROMPTS)
        run.finish({"verb": "prompts", "command": list(command), "prompts": summary(made) | counted})
        return run.read()["prompts"]
