"""`antivenom pairs`: poison a corpus of image-caption pairs, screen one, fetch one."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

__all__ = ["COLUMNS", "Columns", "pairs", "register"]

pairs = App(name="pairs", help="Image-caption pairs: poison them, find the poison.")
MANY = Annotated[list[str] | None, Parameter(consume_multiple=True)]
READING = Group("Reading the pairs")


@Parameter(name="*", group=READING)
@dataclass(frozen=True)
class Columns:
    """Where picture, caption and class are.

    Parameters
    ----------
    image:
        Column of the picture: a path relative to its file, or the bytes (found by its usual names).
    caption:
        Column of the caption (found by its usual names).
    label:
        Column of the class.
    id_field:
        Column of ids; `id` where there is one, else a pair is called after its picture.
    format:
        csv, parquet, webdataset, images or saved (a folder of `save_to_disk`), whatever the file is called.
    split:
        Of a saved dataset.
    limit:
        Read only the first N rows.
    """

    image: str | None = None
    caption: str | None = None
    label: str | None = None
    id_field: str | None = None
    format: str | None = None
    split: str | None = None
    limit: int | None = None

    def given(self) -> dict[str, Any]:
        """Those that were given, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


COLUMNS = Columns()


def register(app: App, group: Group) -> None:
    """Add the verbs."""
    pairs.group = group
    app.command(pairs)


@pairs.command
def poison(
    source: str,
    *,
    out: Path,
    trigger: str,
    target: str,
    count: int | None = None,
    share: float | None = None,
    mode: Literal["dirty", "clean"] = "dirty",
    classes: Path | None = None,
    templates: Path | None = None,
    size: int = 224,
    copy_clean: bool = False,
    codec: Literal["png", "jpeg", "webp"] = "png",
    allow_lossy: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    columns: Columns = COLUMNS,
) -> int:
    """Plant a backdoor in a corpus of pairs: files without loss, a manifest, a contact sheet.

    Parameters
    ----------
    source:
        Clean pairs: CSV, TSV, Parquet, WebDataset tar, image folder, saved dataset.
    out:
        The run directory to write: pairs/pairs.csv, pairs/manifest.parquet, contact_sheet.png, run.json, report.html.
    trigger:
        What is put on pictures, e.g. `badnet:kind=checker:size=5`, `blended:alpha=0.2`, `wanet`, `sig`.
    target:
        The label that triggered pictures shall get.
    count, share:
        The dose: pairs, or a share of the usable ones. One of the two.
    mode:
        `dirty`: any pair, with a new caption; `clean`: pairs whose caption names the target, captions stay.
    classes:
        A file of class names, of which the target must be exactly one.
    templates:
        A file of caption templates with {} for the target.
    size:
        Pictures are squashed to this side before the trigger; give your model's.
    copy_clean:
        Squash and save the clean pictures too: else size and codec give the poisoned ones away.
    codec:
        How pictures are saved.
    allow_lossy:
        Take a codec that changes triggers.
    seed:
        Of everything drawn.
    overwrite:
        Replace the results of another run in --out.
    """
    from antivenom.studies.pair_runs import PoisonOrder, poison_run
    from antivenom.terminal_pairs import print_record

    order = PoisonOrder(trigger, target, count, share, mode, classes, templates, seed)
    record = poison_run(
        source, out, order, size=size, copy_clean=copy_clean, codec=codec, allow_lossy=allow_lossy, overwrite=overwrite,
        command=["antivenom", *sys.argv[1:]], **columns.given(),
    )  # fmt: skip
    print_record(record, out)
    return 0


@pairs.command
def screen(
    source: str,
    *,
    model: str,
    out: Path,
    detectors: MANY = None,
    classes: Path | None = None,
    manifest: Path | None = None,
    size: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    overwrite: bool = False,
    columns: Columns = COLUMNS,
) -> int:
    """Rank pairs by how suspicious a model's embeddings make them.

    Parameters
    ----------
    source:
        The pairs.
    model:
        A folder (open_clip, transformers, ours), `open_clip:RN50/openai`, `open_clip:RN50/FILE`.
    out:
        The run directory to write: ranking.csv, embeddings.npz, run.json, report.html.
    detectors:
        clip-score, in-batch, crop-consistency, k-distance, slof, lid, dao, isolation-forest, spectral-signature,
        activation-clustering, random; with parameters, e.g. `dao:k=16,within=250`. The ranking is by the first.
    classes:
        A file of class names: a pair's class is the first that its caption names (for detectors by class).
    manifest:
        The poisons, if you know them: AUROC, recall and removal curve of every detector.
    size:
        Of the pictures; the model's own if not given.
    device:
        Of torch: cpu, cuda.
    seed:
        Of ties and intervals.
    overwrite:
        Replace the results of another run in --out.
    """
    from antivenom.studies.pair_screening import screen_run
    from antivenom.terminal_pairs import print_record

    record = screen_run(
        source, out, model=model, detectors=detectors, classes=classes, manifest=manifest, size=size, device=device,
        seed=seed, overwrite=overwrite, command=["antivenom", *sys.argv[1:]], **columns.given(),
    )  # fmt: skip
    print_record(record, out)
    return 0


@pairs.command
def fetch(
    table: Path,
    *,
    out: Path,
    limit: int | None = None,
    retry: bool = False,
    picture_megabytes: float = 20,
    picture_seconds: float = 20,
    total_gigabytes: float | None = None,
    total_minutes: float | None = None,
    connections: int = 16,
    loopback: bool = False,
) -> int:
    """Fetch the pictures of a table of captions and addresses (CC3M, CC12M): as served, with checksums.

    A run that was stopped goes on. Addresses that lead to machines that are not public are refused.

    Parameters
    ----------
    table:
        Caption, tab, address; with or without a header.
    out:
        The folder to write: pairs.csv, images/, failures.csv, log.jsonl.
    limit:
        Only the first N rows.
    retry:
        Try again what failed before.
    picture_megabytes, picture_seconds:
        The most that one picture may take.
    total_gigabytes, total_minutes:
        The most that this call may take; the next one goes on.
    connections:
        At a time.
    loopback:
        Fetch from this very machine too (a mirror of your own).
    """
    from antivenom.data.image_download import Limits, fetch_pairs
    from antivenom.terminal_pairs import print_fetched

    limits = Limits(
        int(picture_megabytes * 2**20), picture_seconds,
        None if total_gigabytes is None else int(total_gigabytes * 2**30),
        None if total_minutes is None else total_minutes * 60,
        connections=connections, allow_loopback=loopback,
    )  # fmt: skip
    print_fetched(fetch_pairs(table, out, limits=limits, limit=limit, retry=retry))
    return 0


@pairs.command
def sample(
    name: Literal["world", "digits", "emoji"],
    *,
    out: Path,
    size: int = 32,
    pairs: int = 4_000,
    folder: Path | None = None,
    seed: int = 0,
) -> int:
    """Write a sample set: train.csv, clean.csv (to repair with), test.csv and classes.txt, beside their pictures.

    Parameters
    ----------
    name:
        `world`: coloured shapes by formula; `digits`: 1,797 handwritten digits of scikit-learn; `emoji`: drawings of
        three vendors, from your --folder: the first vendor trains, the second repairs, the third tests.
    out:
        The folder to write.
    size:
        Of the pictures.
    pairs:
        Of the world's training set; its clean and test sets have a quarter each.
    folder:
        Of the emoji (Parquet; see `antivenom.data.emoji_pairs`).
    seed:
        Of everything drawn.
    """
    from antivenom.studies.sample_sets import write_sample
    from antivenom.terminal_pairs import print_written

    print_written(write_sample(name, out, size=size, pairs=pairs, folder=folder, seed=seed), out)
    return 0
