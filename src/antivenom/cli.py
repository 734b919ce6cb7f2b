"""The command line: argument parsing only; one verb = one call into a package below."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from antivenom import __version__
from antivenom.cli_clip import register as register_clip
from antivenom.cli_decontaminate import register as register_decontaminate
from antivenom.cli_options import AS_FOUND, READING, Reading
from antivenom.cli_pairs import register as register_pairs
from antivenom.cli_plan import register as register_plan
from antivenom.cli_scores import register as register_scores
from antivenom.cli_toxicr import register as register_toxicr
from antivenom.cli_toxicr import toxicr
from antivenom.cli_toxicr_evaluate import register as register_toxicr_evaluate
from antivenom.errors import AntivenomError

__all__ = ["app", "main"]

app = App(
    name="antivenom",
    version=__version__,
    help="See what bad training data does to a model, and take it back out.",
    help_format="markdown",
)
SCREENING = Group.create_ordered("Screen a corpus")
SCORING = Group.create_ordered("Scores")
STUDYING = Group.create_ordered("Train and evaluate")
PAIRS = Group.create_ordered("Images and captions")
RUNS = Group.create_ordered("Runs")
study = App(name="study", help="Dose, response, antidote: run a study, list, compare.", group=STUDYING)
app.command(study)

RUNNING = Group("Running")

UNDECIDED = 3
"""Exit code when the judge left pairs undecided and --allow-undecided was not given."""


@app.command(group=SCREENING)
def screen(
    corpus: str,
    *,
    out: Path,
    against: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    score: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    filter: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    detectors: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    judge: str = "offline",
    mode: Literal["drop", "cut", "split"] = "drop",
    copy: bool = True,
    manifest: Path | None = None,
    allow_undecided: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    reading: Reading = AS_FOUND,
    fields: Annotated[Literal["Q", "QA", "QP", "QAP"] | None, Parameter(group=READING)] = None,
    kind: Annotated[
        Literal["math", "code", "knowledge", "number_substitution", "text"] | None, Parameter(group=READING)
    ] = None,
    runner: Annotated[Literal["native", "ray", "loop"], Parameter(group=RUNNING)] = "native",
    address: Annotated[str | None, Parameter(group=RUNNING)] = None,
    workers: Annotated[int | None, Parameter(group=RUNNING)] = None,
    judge_workers: Annotated[int, Parameter(group=RUNNING)] = 4,
    yes: Annotated[bool, Parameter(group=RUNNING)] = False,
) -> int:
    """Find benchmark questions, score and filter rows, write a clean copy.

    Parameters
    ----------
    corpus:
        File, folder or glob: JSONL (.gz, .zst), Parquet, CSV/TSV, text, WebDataset tar, image folder; or a hub id.
    against:
        Benchmarks: `humaneval`, or files (MMLU, GSM8K, HumanEval, MATH, MBPP, any JSONL/Parquet/CSV).
    score:
        Scorers with parameters (`antivenom scorers` lists them), e.g. `toxicity fasttext:model=FILE`.
    filter:
        Rules over these scores: `toxicity:max=0.5`, `quality:keep=0.8`, `toxicity:spans=0.5,missing=drop`.
    out:
        The run directory to write: annotations, kept, removed, quarantine, run.json, report.html.
    detectors:
        Names with parameters, e.g. `ngram:n=8 bm25:k=10`. Known: ngram, substring, near-duplicate, bm25, word-tfidf,
        char-tfidf, embedding.
    judge:
        `offline` (packaged), `none`, `hf:FOLDER-OR-NAME`, or an OpenAI-compatible endpoint `http(s)://HOST/v1#MODEL`.
    mode:
        `drop` flagged rows, `cut` the flagged stretches, or `split` the benchmark into clean and dirty items.
    copy:
        Write the kept rows as a clean copy.
    manifest:
        Planted rows (a manifest's Parquet): the report then says what share of them was found.
    allow_undecided:
        End with exit code 0 although the judge left pairs undecided.
    seed:
        For whatever is drawn at random.
    overwrite:
        Replace the results of another run in --out.
    fields:
        What of a benchmark item is looked for: question, answer, passage.
    kind:
        The judge's instruction, when the benchmark does not say it.
    runner:
        Where blocks are worked on.
    address:
        Of the Ray cluster.
    workers:
        Parallel workers on this machine.
    judge_workers:
        Parallel calls to a judge that is a language model.
    yes:
        Do not ask before calls to a paid endpoint; the estimate is printed all the same.
    """
    from antivenom.data.benchmarks import load_benchmark
    from antivenom.screen import screen_corpus
    from antivenom.screen.contamination import DEFAULT_DETECTORS
    from antivenom.terminal import confirm, print_screen

    benchmarks = [load_benchmark(spec, fields=fields, kind=kind) for spec in against or ()]
    result = screen_corpus(
        corpus,
        benchmarks,
        out,
        scores=score or (),
        filters=filter or (),
        detectors=detectors or DEFAULT_DETECTORS,
        judge=judge,
        mode=mode,
        copy=copy,
        manifest=manifest,
        seed=seed,
        overwrite=overwrite,
        runner=runner,
        address=address,
        workers=workers,
        command=["antivenom", *sys.argv[1:]],
        judge_options={"workers": judge_workers, "confirm": None if yes else confirm},
        **reading.given(),
    )
    print_screen(result.record, out)
    return UNDECIDED if result.undecided and not allow_undecided else 0


@app.command(group=SCREENING)
def explain(directory: Path, row_id: str) -> int:
    """Say why a row was removed or kept, and what would change it.

    Parameters
    ----------
    directory:
        The run directory of a finished screen.
    row_id:
        The row's id (or its first 8 characters or more), or FILE:POSITION.
    """
    from antivenom.screen.explanation import explain as explain_row
    from antivenom.terminal import print_explanation

    for explanation in explain_row(directory, row_id):
        print_explanation(explanation)
    return 0


@app.command(group=SCORING)
def scorers() -> int:
    """The scorers that `--score` knows, with their parameters."""
    from antivenom.screen.scoring.scorers import describe
    from antivenom.terminal import print_scorers

    print_scorers(describe())
    return 0


@app.command(name="score", group=SCORING)
def score_texts(scorer: str, file: Path | None = None) -> int:
    """Score the lines of a file or of the standard input.

    One `score, reason, line` per line, tabs between.

    Parameters
    ----------
    scorer:
        A scorer with parameters, as after `--score`.
    file:
        A text file; without it the standard input is read. Rows of a corpus: `antivenom screen --score`.
    """
    from antivenom.screen.scoring.lines import open_lines, score_lines
    from antivenom.screen.scoring.scorers import parse
    from antivenom.terminal import print_scores

    made = parse(scorer)
    if file is None:
        print_scores(score_lines(made, sys.stdin.buffer))
        return 0
    with open_lines(file) as source:
        print_scores(score_lines(made, source))
    return 0


@app.command(name="open", group=RUNS)
def open_report(directory: Path) -> int:
    """Open a run's report in the browser, and print where it lies.

    Parameters
    ----------
    directory:
        A run directory.
    """
    from antivenom.terminal import open_page

    open_page(directory)
    return 0


@app.command(group=SCREENING)
def demo(*, out: Path = Path("demo-report"), megabytes: int = 40, seed: int = 0) -> int:
    """The main job, end to end, on this machine's Python libraries.

    They are screened against HumanEval, with a small dose planted.

    Parameters
    ----------
    out:
        The run directory to write; an earlier demo in it is replaced.
    megabytes:
        How much library text to screen.
    seed:
        For what is planted, and where.
    """
    from antivenom.studies.demo import run_demo
    from antivenom.terminal import print_screen

    result = run_demo(out, megabytes=megabytes, seed=seed)
    print_screen(result.record, out)
    return 0


@study.command(name="list")
def study_list() -> int:
    """The studies: their paper, doses, treatments and sizes."""
    from antivenom.studies.frame import list_studies
    from antivenom.terminal import print_studies

    print_studies(list_studies())
    return 0


@study.command(name="run")
def study_run(
    name: str,
    *,
    size: Literal["smoke", "tiny", "small", "real"] = "tiny",
    seeds: int = 1,
    out: Path | None = None,
    doses: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    treatments: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    data: Path | None = None,
    runner: Literal["processes", "loop", "ray"] = "processes",
) -> int:
    """Run a study: doses x treatments x seeds -> responses with intervals, and a page.

    Parameters
    ----------
    name:
        A study of `antivenom study list`.
    size:
        smoke (seconds), tiny (at most 5 minutes a seed on 2 cores), small (a real packaged model), real (see its page).
    seeds:
        How many seeds (0, 1, ...).
    out:
        The run directory; default `runs/NAME-SIZE`. A run that was stopped goes on; finished cells are not run again.
    doses:
        Only these doses.
    treatments:
        Only these treatments.
    data:
        A folder of real data, for studies that can use it.
    runner:
        Cells in as many processes as this machine has cores, one after the other, or as Ray tasks.
    """
    from antivenom.studies.frame import run_study
    from antivenom.terminal import print_study

    out = out or Path("runs") / f"{name}-{size}"
    settings = {"data": str(data)} if data else {}
    result = run_study(
        name,
        size=size,
        seeds=range(seeds),
        out=out,
        doses=doses,
        treatments=treatments,
        settings=settings,
        runner=runner,
    )
    print_study(result, out)
    return 1 if result.failed else 0


@study.command(name="compare")
@app.command(name="compare", group=RUNS)
def compare(a: Path, b: Path, *, force: bool = False) -> int:
    """Put two runs side by side; unlike runs are refused.

    Parameters
    ----------
    a:
        A run directory.
    b:
        Another.
    force:
        Compare unlike runs all the same; what differs is named.
    """
    from antivenom.studies.compare import compare as compare_runs
    from antivenom.terminal import print_comparison

    print_comparison(compare_runs(a, b, force=force))
    return 0


@app.command(group=RUNS)
def replay(run: Path, *, out: Path) -> int:
    """Repeat a run from its run.json.

    Parameters
    ----------
    run:
        A run.json, or the folder that holds it.
    out:
        A new run directory.
    """
    from antivenom.studies.compare import replay_command

    return app(replay_command(run, out), result_action="return_value")


register_decontaminate(app, SCREENING)
register_scores(app, SCORING)
register_toxicr(app, STUDYING)
register_toxicr_evaluate(toxicr)
register_plan(app, STUDYING)
register_pairs(app, PAIRS)
register_clip(app, PAIRS)


def main() -> None:
    """Run the command line; errors of the user's input are said in one place, without a traceback."""
    try:
        code = app(result_action="return_value", exit_on_error=False)
    except CycloptsError:
        sys.exit(2)  # said already; 1 is a study with failed cells
    except AntivenomError as error:
        from antivenom.terminal import print_error

        print_error(error)
        sys.exit(2)
    except BrokenPipeError:  # `antivenom score ... | head`: whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on where it stopped", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
