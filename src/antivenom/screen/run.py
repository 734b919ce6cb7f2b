"""One screen of one corpus: benchmarks looked for in it, scores given to its rows, filters applied, a clean copy written.

scan      every row is read; rules look for copies; what cannot be read goes to quarantine
judge     with benchmarks: retrieve, collect the evidence, judge           (`contamination`)
score     with scorers: one score per row, beside the text                 (`scoring.stage`)
filter    with filters: keep or drop, and a random drop of equal size      (`filters.stage`)
write     kept, removed, quarantine, annotations, page
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from antivenom.data.benchmarks import Benchmark
from antivenom.data.corpus import Corpus, open_corpus
from antivenom.errors import AntivenomError
from antivenom.report.page import write_screen_report
from antivenom.report.run_directory import RunDirectory
from antivenom.screen import outputs, summary
from antivenom.screen.contamination import DEFAULT_DETECTORS, Contamination
from antivenom.screen.engine import map_blocks
from antivenom.screen.language import language_warnings
from antivenom.screen.measuring import Measuring
from antivenom.screen.stages import Apply, Scan

__all__ = ["ScreenResult", "screen_corpus"]

MODES = ("drop", "cut", "split")


@dataclass(frozen=True)
class ScreenResult:
    """What a run found, and where it lies."""

    out: Path
    record: dict[str, Any]

    @property
    def undecided(self) -> int:
        """Pairs the judge could not decide: never counted as clean, never as contaminated."""
        return (self.record["judge"] or {}).get("undecided", 0)

    @property
    def counts(self) -> dict[str, int]:
        """rows_in = kept + removed + quarantined."""
        return self.record["counts"]


def screen_corpus(
    corpus: str | Path | Corpus,
    against: Sequence[str | Path | Benchmark] = (),
    out: str | Path = "screened",
    *,
    scores: Sequence[str] = (),
    filters: Sequence[str] = (),
    detectors: Sequence[str] = DEFAULT_DETECTORS,
    judge: str = "offline",
    mode: str = "drop",
    copy: bool = True,
    runner: str = "native",
    address: str | None = None,
    workers: int | None = None,
    manifest: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    command: Sequence[str] = (),
    judge_options: dict[str, Any] | None = None,
    **reading: Any,
) -> ScreenResult:
    """Screen a corpus against benchmarks, by scores, or both, and write a clean copy with the evidence.

    Args:
        corpus: file, folder, glob or hub id (or an opened corpus).
        against: benchmark files, or words such as `humaneval`; may be empty when there are scores.
        out: the run directory to write (see `docs/run-directory.md`).
        scores: scorers with parameters, e.g. `toxicity`, `fasttext:model=FILE`; each becomes a column.
        filters: rules over these scores, e.g. `toxicity:max=0.5`; all of them are applied.
        detectors: names with parameters, e.g. `ngram:n=8`; rules flag by themselves, retrievers propose to the judge.
        judge: `offline`, `none`, `hf:FOLDER-OR-NAME` or an endpoint `https://...#model`.
        mode: `drop` flagged rows, `cut` the flagged stretches, or `split` the benchmark into clean and dirty items and
            keep every row.
        copy: write `kept/` (False: only what is removed, and the annotations).
        runner: `native`, `ray` or `loop`; all give equal rows.
        address: of the Ray cluster.
        workers: parallel workers of the native runner.
        manifest: of planted rows; then the record also says which share of them was found.
        seed: for what is drawn at random.
        overwrite: replace another run's results in `out`.
        command: the command line, for the record.
        judge_options: handed to the judge (`workers`, `retries`, `order_check`, ...).
        **reading: handed to `open_corpus` (`text_field`, `id_field`, `format`, `limit`, ...).

    Returns:
        The record of the run; everything is in `out`.

    Raises:
        AntivenomError: for input that cannot be used, naming it and the mend.
    """
    if mode not in MODES:
        raise AntivenomError(f"there is no mode '{mode}'", f"choose from: {', '.join(MODES)}")
    if not against and not scores:
        if filters:
            name = filters[0].partition(":")[0]
            what = f"nothing to screen for: --filter {filters[0]} reads a score, and none is given"
            raise AntivenomError(what, f"add --score {name}")
        mend = "name a benchmark after --against, e.g. humaneval, or a scorer after --score"
        raise AntivenomError("no benchmark to screen against, and no score to give", mend)
    if manifest and not against:
        raise AntivenomError("--manifest says what to find of planted benchmark items", "give --against too")
    source = corpus if isinstance(corpus, Corpus) else open_corpus(corpus, **reading)
    looked = Contamination.of(against, detectors, judge, judge_options or {}) if against else None
    labels = looked.labels if looked else []
    measuring = Measuring.of(scores, filters, seed=seed, taken=labels) if scores else None
    blocks = source.blocks()
    config = {
        "corpus": source.describe(),
        **(looked.config if looked else {"benchmarks": [], "detectors": {}, "judge": None}),
        **(measuring.config if measuring else {}),
        "mode": mode,
        "copy": copy,
        "seed": seed,
        "manifest": outputs.file_hash(manifest) if manifest else None,
    }
    with RunDirectory.open(Path(out), config, overwrite=overwrite) as run:
        if run.complete:
            return ScreenResult(run.path, run.read())
        engine = {"markers": run.work / "markers", "runner": runner, "address": address, "workers": workers}
        rules, ranked = looked.fit() if looked else ({}, {})
        with run.step("scan") as step:
            scanned = map_blocks(Scan(run.work, rules, ranked), blocks, stage="scan", **engine)
            step.count(scanned)
        judged = looked.judge(run, blocks, ranked, engine) if looked else None
        filtered = measuring.run(run, source, blocks, engine) if measuring else None
        ids = [item.id for item in looked.combined.items] if looked else []
        with run.step("write") as step:
            apply = Apply(run.work, run.path, source.suffix, labels, ids, mode, copy, filtered)
            applied = map_blocks(apply, blocks, stage="apply", **engine)
            step.count(applied)
            outputs.assemble(run, blocks, looked, filtered.fields if filtered else ())
        counts = _counts(scanned, applied)
        counts["duplicate_ids"] = outputs.duplicates(run.path)
        benchmarks = looked.benchmarks if looked else []
        found = summary.of_run(run.path, benchmarks, labels, looked.detectors, manifest) if looked else summary.EMPTY
        measured = measuring.record(applied) if measuring else {}
        record = {
            "verb": "screen",
            "command": list(command),
            "corpus": source.describe() | {"blocks": len(blocks)},
            "benchmarks": looked.record() if looked else [],
            "counts": counts,
            "judge": judged,
            "seed": seed,
            "warnings": language_warnings(scanned, benchmarks, labels)
            + [w for b in benchmarks for w in b.warnings]
            + _nothing_there(counts, measured),
            **found,
            **measured,
        }
        run.finish(record)
        write_screen_report(run.path)
        run.clean()
    return ScreenResult(run.path, run.read())


def _nothing_there(counts: dict[str, int], measured: dict[str, Any]) -> list[str]:
    """Warnings where a run ends well and has looked at nothing: no row, no readable row, no row with a score."""
    if not counts["rows_in"]:
        return ["the corpus has no rows"]
    if counts["rows_in"] == counts["quarantined"]:
        return ["no row could be read; quarantine.jsonl has the reasons"]
    found = []
    for s in measured.get("scores", ()):
        if s["rows"] and not s["n"]:
            why = "; ".join(f"{n:,} {reason or 'without a reason'}" for reason, n in s["missing_reasons"][:3])
            found.append(f"{s['label']}: no row has a score ({why})")
    return found


def _counts(scanned: list[dict], applied: list[dict]) -> dict[str, int]:
    """The row account, asserted: rows in = kept + removed + quarantined."""
    unreadable = sum(r["quarantined"] for r in scanned)
    rows_in = sum(r["rows"] for r in scanned) + unreadable
    kept, removed, cut, unscored = (sum(r[name] for r in applied) for name in ("kept", "removed", "cut", "unscored"))
    quarantined = unreadable + unscored
    if rows_in != kept + removed + quarantined:
        raise AntivenomError(
            f"rows do not add up: {rows_in} in, {kept} kept + {removed} removed + {quarantined} quarantined",
            "the corpus changed while it was read: run again on a corpus that stands still, with --overwrite",
        )
    return {"rows_in": rows_in, "kept": kept, "removed": removed, "quarantined": quarantined, "cut": cut}
