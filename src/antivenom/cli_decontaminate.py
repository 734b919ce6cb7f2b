"""`antivenom decontaminate`: the option names of the published LLM decontaminator, for scripts written for it."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

__all__ = ["register"]


def register(app: App, group: Group) -> None:
    """Add the verb."""
    app.command(decontaminate, group=group)


def decontaminate(
    *,
    train_path: Annotated[str, Parameter(name="--train_path")],
    test_path: Annotated[str, Parameter(name="--test_path")],
    output_path: Annotated[Path, Parameter(name="--output_path")],
    bert_model: Annotated[str, Parameter(name="--bert-model")] = "static",
    top_k: Annotated[int, Parameter(name="--top_k")] = 1,
    model: str = "offline",
    data_type: Annotated[
        Literal["code", "number_substitution", "math", "knowledge"], Parameter(name="--data-type")
    ] = "code",
    max_workers: Annotated[int, Parameter(name="--max-workers")] = 2,
    batch_size: Annotated[int, Parameter(name="--batch_size")] = 32,
    device: str = "auto",
) -> int:
    """The published decontaminator's command and output format.

    Embedding top-k, then a judge; one JSON line per test item.
    The run directory with report and evidence lies beside the output, as OUTPUT.run.

    Parameters
    ----------
    train_path:
        The training file: one {"text": ...} per line.
    test_path:
        The test file: one {"text": ...} per line.
    output_path:
        One {"test", "train", "results"} per test item; `null` among the results: undecided.
    bert_model:
        The sentence encoder: `static` or `minilm` (packaged), a folder, or a hub name.
    top_k:
        Training rows per test item.
    model:
        The judge: `offline`, `hf:FOLDER`, or an endpoint `https://HOST/v1#MODEL`.
    data_type:
        The judge's instruction.
    max_workers:
        Parallel calls to the judge.
    batch_size, device:
        Taken so that old scripts run; the encoder chooses both by itself.
    """
    from antivenom.data.benchmarks import load_benchmark
    from antivenom.data.corpus import open_corpus
    from antivenom.screen import screen_corpus
    from antivenom.screen.published_format import write_published
    from antivenom.terminal import print_screen

    corpus = open_corpus(train_path)
    benchmark = load_benchmark(test_path, kind=data_type)
    run = output_path.with_name(output_path.name + ".run")
    detectors = [f"embedding:encoder={bert_model},k={top_k}"]
    options = {"workers": max_workers}
    command = ["antivenom", *sys.argv[1:]]
    result = screen_corpus(
        corpus, [benchmark], run, detectors=detectors, judge=model, copy=False, judge_options=options, command=command
    )
    write_published(run, corpus, benchmark, output_path)
    print_screen(result.record, run)
    return 3 if result.undecided else 0
