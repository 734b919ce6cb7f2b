"""`antivenom clip`: train a CLIP, measure it, take a backdoor out of it."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from antivenom.cli_pairs import COLUMNS, Columns
from antivenom.cli_toxicr import option_pairs

__all__ = ["clip", "register"]

clip = App(name="clip", help="A CLIP: train it, measure accuracy and attack success, repair it.")
MANY = Annotated[list[str] | None, Parameter(consume_multiple=True)]
TESTING = Group("Testing")
TRAINING = Group("Training")


def register(app: App, group: Group) -> None:
    """Add the verbs."""
    clip.group = group
    app.command(clip)


@clip.command
def train(
    source: str,
    *,
    model: str,
    out: Path,
    objective: str = "mmcl",
    size: int | None = None,
    epochs: Annotated[int, Parameter(group=TRAINING)] = 10,
    batch: Annotated[int, Parameter(group=TRAINING)] = 128,
    lr: Annotated[float, Parameter(group=TRAINING)] = 5e-4,
    warmup: Annotated[int, Parameter(group=TRAINING)] = 20,
    weight_decay: Annotated[float | None, Parameter(group=TRAINING)] = None,
    checkpoint_every: Annotated[int | None, Parameter(group=TRAINING)] = None,
    threads: Annotated[int, Parameter(group=TRAINING)] = 1,
    device: Annotated[str, Parameter(group=TRAINING)] = "cpu",
    seed: int = 0,
    overwrite: bool = False,
    columns: Columns = COLUMNS,
) -> int:
    """Train a CLIP on pairs; the model is saved in the format it came in.

    Parameters
    ----------
    source:
        Pairs: CSV, TSV, Parquet, WebDataset tar, image folder, saved dataset.
    model:
        `small:conv`, `small:vit` or `small:packaged` (new), `open_clip:RN50` (random weights), or a model to go on with.
    out:
        The run directory to write: model/, metrics.jsonl, run.json, report.html. A stopped run goes on.
    objective:
        mmcl, ssl, mmcl+ssl, siglip, siglip+ssl.
    size:
        Of the pictures; the model's own, 32 for a new small one.
    epochs, batch, lr, warmup, weight_decay:
        Passes, rows a step, highest rate, steps of warm-up, decay of matrices (0.1).
    checkpoint_every:
        Steps between checkpoints.
    threads, device:
        Of torch.
    seed:
        Of everything drawn.
    overwrite:
        Replace the results of another run in --out.
    """
    from antivenom.studies.clip_runs import Tuning, train_run
    from antivenom.terminal_pairs import print_record

    record = train_run(
        source, out, model=model, tuning=Tuning(epochs, batch, lr, warmup, weight_decay, seed, threads, device),
        objective=objective, size=size, checkpoint_every=checkpoint_every, overwrite=overwrite,
        command=["antivenom", *sys.argv[1:]], **columns.given(),
    )  # fmt: skip
    print_record(record, out)
    return 0


@clip.command
def measure(
    model: str,
    data: str,
    *,
    out: Path,
    classes: Path | None = None,
    templates: Path | None = None,
    target: str | None = None,
    trigger: str | None = None,
    manifest: Path | None = None,
    other_trigger: bool = False,
    twin: str | None = None,
    measures: MANY = None,
    train: str | None = None,
    captions: str | None = None,
    neighbours: int | None = None,
    size: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    overwrite: bool = False,
    columns: Columns = COLUMNS,
) -> int:
    """Zero-shot accuracy, attack success, classifiers on features, retrieval, embedding space - beside the clean twin's.

    Parameters
    ----------
    model:
        A folder (open_clip, transformers, ours), `open_clip:RN50/openai`, `open_clip:RN50/FILE`.
    data:
        Labelled pictures (--label COLUMN), or a folder with one folder per class.
    out:
        The run directory to write.
    classes:
        A file of class names (text, JSON, classes.py); without it the labels that occur.
    templates:
        A file of templates with {} for the class.
    target, trigger:
        The attack.
    manifest:
        Of the poisoned corpus: its trigger and target are tested.
    other_trigger:
        Test a --trigger that is not the manifest's.
    twin:
        The same model trained without the dose: the control of every figure.
    measures:
        zero-shot (always), knn, prototypes, probe, retrieval, z-score, gap, loss, projection, or `all`; without it all but the
        linear probe. What the data does not allow is left out and said.
    train:
        Labelled pictures, with the columns of DATA, that kNN, prototypes and the probe are made of; else a half of DATA, drawn
        per class.
    captions:
        Pairs for retrieval, gap and loss; else the captions of DATA, where it has a column of them (--caption).
    neighbours:
        Of the kNN classifier: 50, or as many pictures as the smallest class has.
    size:
        Of the pictures when the trigger is put on; the manifest's, or the model's own.
    device:
        Of torch.
    seed:
        Of fresh noise in triggers, halves and intervals.
    overwrite:
        Replace the results of another run in --out.
    """
    from antivenom.studies.clip_measuring import measure_run
    from antivenom.terminal_pairs import print_record

    record = measure_run(
        model, data, out, twin=twin, size=size, device=device, overwrite=overwrite, classes=classes, templates=templates,
        target=target, trigger=trigger, manifest=manifest, allow_other=other_trigger, seed=seed, measures=measures,
        train=train, captions=captions, neighbours=neighbours,
        command=["antivenom", *sys.argv[1:]], **columns.given(),
    )  # fmt: skip
    print_record(record, out)
    return 0


@clip.command
def repair(
    model: str,
    clean: str,
    *,
    out: Path,
    cure: str = "cleanclip",
    option: MANY = None,
    manifest: Path | None = None,
    allow_overlap: bool = False,
    classes: Path | None = None,
    epochs: Annotated[int, Parameter(group=TRAINING)] = 10,
    batch: Annotated[int, Parameter(group=TRAINING)] = 64,
    lr: Annotated[float, Parameter(group=TRAINING)] = 1e-5,
    warmup: Annotated[int, Parameter(group=TRAINING)] = 50,
    weight_decay: Annotated[float | None, Parameter(group=TRAINING)] = None,
    threads: Annotated[int, Parameter(group=TRAINING)] = 1,
    device: Annotated[str, Parameter(group=TRAINING)] = "cpu",
    test: Annotated[str | None, Parameter(group=TESTING)] = None,
    test_label: Annotated[str | None, Parameter(group=TESTING)] = None,
    test_image: Annotated[str | None, Parameter(group=TESTING)] = None,
    templates: Annotated[Path | None, Parameter(group=TESTING)] = None,
    target: Annotated[str | None, Parameter(group=TESTING)] = None,
    trigger: Annotated[str | None, Parameter(group=TESTING)] = None,
    twin: Annotated[str | None, Parameter(group=TESTING)] = None,
    measures: Annotated[list[str] | None, Parameter(group=TESTING, consume_multiple=True)] = None,
    train: Annotated[str | None, Parameter(group=TESTING)] = None,
    captions: Annotated[str | None, Parameter(group=TESTING)] = None,
    seed: int = 0,
    overwrite: bool = False,
    columns: Columns = COLUMNS,
) -> int:
    """Take a backdoor out of a CLIP with clean pairs, without its trigger; the record says before and after.

    Parameters
    ----------
    model:
        The victim: a folder (open_clip, transformers, ours) or a name. It is not changed.
    clean:
        Clean pairs.
    out:
        The run directory to write: model/ (in the format of the victim), run.json, report.html.
    cure:
        mmcl, ssl, cleanclip, unlearn, par, par-two-stages, supervised, shrink-perturb, deep-clustering, random.
    option:
        Of the cure, e.g. `inmodal=2`.
    manifest:
        Of the poisoned corpus: clean pairs that are in it are refused. With --test, its attack is tested.
    allow_overlap:
        Poisons in the cleaning set are the experiment.
    classes:
        Class names of the supervised cure (with --label) and of the test.
    epochs, batch, lr, warmup, weight_decay:
        As published for CleanCLIP; a small model wants a rate of 1e-3.
    threads, device:
        Of torch.
    test:
        Labelled pictures for figures before and after (see `clip measure`).
    test_label, test_image:
        Their columns.
    templates:
        Of the zero-shot head.
    target, trigger:
        The attack that is tested, where there is no manifest.
    twin, measures, train, captions:
        As for `clip measure`: every figure before and after the cure.
    seed:
        Of everything drawn.
    overwrite:
        Replace the results of another run in --out.
    """
    from antivenom.studies.clip_runs import Tuning, repair_run
    from antivenom.terminal_pairs import print_record

    tested: dict[str, Any] | None = None
    if test:
        tested = {
            "data": test, "label": test_label, "image": test_image, "templates": templates, "target": target,
            "trigger": trigger, "classes": classes, "twin": twin, "measures": measures, "train": train,
            "captions": captions,
        }  # fmt: skip
    record = repair_run(
        model, clean, out, cure=cure, tuning=Tuning(epochs, batch, lr, warmup, weight_decay, seed, threads, device),
        options=option_pairs(option or []), manifest=manifest, allow_overlap=allow_overlap, classes=classes, test=tested,
        overwrite=overwrite, command=["antivenom", *sys.argv[1:]], **columns.given(),
    )  # fmt: skip
    print_record(record, out)
    return 0
