"""Runs on image-caption pairs: plant a backdoor in a corpus of files (`poison`), look for one with a model's embeddings (`screen`).

Each takes a run directory, leaves `run.json` and `report.html` there, and goes on or reads back when called again.
"""

import csv
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from antivenom.data.class_lists import read_classes, read_templates
from antivenom.data.image_text import ImageTextPairs, open_pairs
from antivenom.data.images import png_bytes
from antivenom.poison.captions import TEMPLATES, mentions
from antivenom.poison.contact_sheet import contact_sheet
from antivenom.poison.image_text_poison import PoisonPlan, plan_poison
from antivenom.poison.manifest import Manifest
from antivenom.poison.pair_export import Pair, export_pairs
from antivenom.report.record_page import write_record_report
from antivenom.report.run_directory import RunDirectory, apart, atomic_file

__all__ = ["PoisonOrder", "caption_classes", "poison_run", "reading_facts", "screen_run"]

DETECTORS = (
    "clip-score",
    "clip-score:side=low",
    "in-batch",
    "k-distance",
    "slof",
    "lid",
    "dao",
    "isolation-forest",
    "random",
)
BY_CLASS = ("spectral-signature", "activation-clustering")
CROPS = ("crop-consistency",)
SHOWN = 6


@dataclass(frozen=True)
class PoisonOrder:
    """What is to be planted (see `poison.image_text_poison.plan_poison`); classes and templates are files."""

    trigger: str
    target: str
    count: int | None = None
    share: float | None = None
    mode: str = "dirty"
    classes: Path | None = None
    templates: Path | None = None
    seed: int = 0


class _Files(Sequence[Pair]):
    """The pairs as `export_pairs` takes them; bytes of a picture are read when its row is asked for."""

    def __init__(self, pairs: ImageTextPairs):
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, row: int) -> Pair: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Pair]: ...
    def __getitem__(self, row: int | slice) -> Pair | Sequence[Pair]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if row >= len(self):
            raise IndexError(row)
        return self.pairs.ids[row], self.pairs.images.content(row), self.pairs.captions[row]


def poison_run(
    source: str,
    out: Path,
    order: PoisonOrder,
    *,
    size: int = 224,
    copy_clean: bool = False,
    codec: str = "png",
    allow_lossy: bool = False,
    overwrite: bool = False,
    command: Sequence[str] = (),
    **reading: Any,
) -> dict[str, Any]:
    """Plant a dose and write `pairs/` (see `poison.pair_export.export_pairs`), `contact_sheet.png`, `run.json`, `report.html`.

    Args:
        source: the clean pairs.
        out: the run directory.
        order: what is planted.
        size, copy_clean, codec, allow_lossy: see `export_pairs`.
        overwrite: replace another run.
        command: for the record.
        reading: see `data.image_text.open_pairs`.

    Raises:
        AntivenomError: for a source without usable pairs, a bad order (a target that is no class or two, a dose that cannot
            be filled), or a folder that holds something else.
    """
    apart(out, source)
    config = {
        "verb": "pairs poison", "source": str(source), "order": vars(order), "size": size, "copy_clean": copy_clean,
        "codec": codec, "reading": reading,
    }  # fmt: skip
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if run.complete:
            return run.read()
        with run.step("read") as step:
            pairs = open_pairs(source, size=size, check=False, **reading)
            step.rows = len(pairs)
        plan = _plan(pairs, order)
        shutil.rmtree(out / "pairs", ignore_errors=True)  # of a run that was stopped after it
        with run.step("craft") as step:
            done = export_pairs(
                _Files(pairs),
                plan,
                out / "pairs",
                size=size,
                format=codec,
                allow_lossy=allow_lossy,
                copy_clean=copy_clean,
            )
            step.rows = len(done.manifest.rows)
        where = {row_id: row for row, row_id in enumerate(pairs.ids)}
        touched = done.manifest.rows
        if touched:
            some = [row.row_id for row in touched[:SHOWN]]
            sheet = contact_sheet(
                pairs.images[np.array([where[i] for i in some])], [plan.trigger], some, seed=plan.seed,
                scale=max(1, 96 // size),
            )  # fmt: skip
            with atomic_file(out / "contact_sheet.png") as temporary:
                Path(temporary).write_bytes(png_bytes(sheet))
        record = {
            "verb": "pairs poison",
            "title": f"{plan.trigger.spec} for '{plan.target}'",
            "headline": f"{done.manifest.dose} poisoned ({plan.mode}-label).",
            "command": list(command),
            "seed": order.seed,
            "dose": vars(done.manifest.dose) | {"share": done.manifest.dose.share},
            "facts": {
                "trigger": plan.trigger.spec, "target": plan.target, "captions": f"{plan.mode}-label",
                "dose": str(done.manifest.dose), "picture size": size, "written": "pairs/pairs.csv",
                "manifest": "pairs/manifest.parquet",
            },
            "tables": [
                {
                    "title": "Some poisoned pairs", "headers": ["id", "caption before", "caption after"],
                    "lead": "The first of the manifest; poisons stand where their clean pairs stood.",
                    "rows": [
                        [r.row_id, r.parameters["caption_before"], r.parameters["caption_after"]] for r in touched[:8]
                    ],
                }
            ],
            "pictures": [{"file": "contact_sheet.png", "title": "Triggered pictures, each beside what was changed"}],
            "warnings": _warnings(done.kept, copy_clean, done.quarantined),
        }  # fmt: skip
        facts = reading_facts(pairs)
        record["facts"] |= facts.pop("facts")
        found = run.finish(record | facts)
    write_record_report(out)
    return found


def _plan(pairs: ImageTextPairs, order: PoisonOrder) -> PoisonPlan:
    templates = TEMPLATES
    if order.templates:
        templates = tuple(t.replace("{}", "{label}") for t in read_templates(order.templates))
    return plan_poison(
        pairs.ids, pairs.captions, trigger=order.trigger, target=order.target, count=order.count, share=order.share,
        mode=order.mode, classes=read_classes(order.classes).names if order.classes else None, labels=pairs.labels,
        templates=templates, seed=order.seed,
    )  # fmt: skip


def _warnings(kept: int, copy_clean: bool, refused: Sequence[Any]) -> list[str]:
    told = []
    if refused:
        told.append(f"{len(refused):,} chosen pictures could not be opened, and the next rows took their place.")
    if not copy_clean and kept:
        told.append(
            "Clean pictures are named where they are: poisoned ones can be told by their size and codec. "
            "For a fair attack, copy them too (--copy-clean)."
        )
    return told


def reading_facts(pairs: ImageTextPairs) -> dict[str, Any]:
    """What a run's record says of the pairs it read."""
    counts = {"rows_in": pairs.rows_in, "pairs": len(pairs), "quarantined": len(pairs.quarantined)}
    facts: dict[str, Any] = {"rows in": pairs.rows_in, "usable pairs": len(pairs), "set aside": len(pairs.quarantined)}
    return {"counts": counts, "facts": facts | pairs.notes, "quarantine": pairs.reasons()}


def caption_classes(captions: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The class of each caption, as somebody without labels sees it: the first that it names as whole words, else 'none'."""
    return [next((name for name in classes if mentions(caption, name)), "none") for caption in captions]


def corner_crops(images: np.ndarray, part: float = 0.75) -> Iterator[np.ndarray]:
    """The four corner crops of uint8 images (n, h, w, 3), put back to full size by nearest pixel."""
    _, height, width, _ = images.shape
    tall, wide = max(1, int(part * height)), max(1, int(part * width))
    down, right = np.arange(height) * tall // height, np.arange(width) * wide // width
    for top in (0, height - tall):
        for left in (0, width - wide):
            yield np.ascontiguousarray(images[:, top + down][:, :, left + right])


def screen_run(
    source: str,
    out: Path,
    *,
    model: str,
    detectors: Sequence[str] | None = None,
    classes: Path | None = None,
    manifest: Path | None = None,
    size: int | None = None,
    batch: int = 256,
    device: str = "cpu",
    seed: int = 0,
    overwrite: bool = False,
    command: Sequence[str] = (),
    **reading: Any,
) -> dict[str, Any]:
    """Score every pair by a model's embeddings: `ranking.csv` (by the first detector), `embeddings.npz`, `run.json`, `report.html`.

    Args:
        source: the pairs.
        out: the run directory.
        model: see `models.clip_load.load_clip`.
        detectors: specs (`screen.embeddings.detectors`); all that the given inputs allow when None.
        classes: class names; a pair's class is the first that its caption names. Without it the label column, if any.
        manifest: of the poisons, if known: AUROC, recall and the removal curve of every detector.
        size: of the pictures; the model's own when None.
        batch, device: of the embedding.
        seed: of ties and of the intervals.
        overwrite, command, reading: as in `poison_run`.

    Raises:
        AntivenomError: for a source, model, detector or manifest that does not fit.
    """
    from antivenom.models.clip_load import image_size, load_clip
    from antivenom.screen.embeddings.detectors import parse_all
    from antivenom.screen.embeddings.inputs import Embeddings

    apart(out, source, model)
    config = {
        "verb": "pairs screen", "source": str(source), "model": model, "detectors": detectors, "classes": classes,
        "manifest": manifest, "size": size, "seed": seed, "reading": reading,
    }  # fmt: skip
    if detectors:
        parse_all(detectors)  # complains before anything is embedded
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if run.complete:
            return run.read()
        clip = load_clip(model)
        with run.step("read") as step:
            pairs = open_pairs(source, size=size or image_size(clip), **reading)
            step.rows = len(pairs)
        labels = caption_classes(pairs.captions, read_classes(classes).names) if classes else pairs.labels
        names = list(detectors or (*DETECTORS, *CROPS, *(BY_CLASS if labels else ())))
        with run.step("embed") as step:
            image, text, crops = _embedded(clip, pairs, batch, device, any(n.startswith(CROPS) for n in names))
            step.rows = len(pairs)
        with atomic_file(out / "embeddings.npz") as temporary, Path(temporary).open("wb") as file:
            np.savez(file, ids=np.array(pairs.ids), image=image, text=text)
        with run.step("score") as step:
            given = Embeddings(image, text, crops, labels)
            scores = {name: made.scores(given) for name, made in parse_all(names).items()}
            step.rows = len(pairs)
        _ranking(out / "ranking.csv", pairs, scores)
        record = {
            "verb": "pairs screen", "title": f"{len(names)} detectors on {Path(source).name}",
            "headline": f"{len(pairs):,} pairs scored by {len(names)} detectors.",
            "command": list(command), "seed": seed, "detectors": names, "warnings": [],
            "facts": {"model": model, "ranking": "ranking.csv"},
        } | _found(pairs, scores, manifest, seed)  # fmt: skip
        if not labels and not detectors:
            record["warnings"].append(
                "Detectors by class were left out: give class names (--classes) or a label column."
            )
        facts = reading_facts(pairs)
        record["facts"] |= facts.pop("facts")
        found = run.finish(record | facts)
    write_record_report(out)
    return found


def _embedded(
    clip: Any, pairs: ImageTextPairs, batch: int, device: str, crops: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    from antivenom.models.clip import embed_images, embed_texts

    clip.to(device)
    text = embed_texts(clip, pairs.captions, batch=batch, device=device)
    image, cropped = [], []
    for start in range(0, len(pairs), batch):  # each picture is decoded once
        rows = pairs.images[start : start + batch]
        image.append(embed_images(clip, rows, batch=batch, device=device))
        if crops:
            cropped.append(
                np.stack([embed_images(clip, c, batch=batch, device=device) for c in corner_crops(rows)], axis=1)
            )
    return np.concatenate(image), text, np.concatenate(cropped) if crops else None


def _ranking(path: Path, pairs: ImageTextPairs, scores: dict[str, np.ndarray]) -> None:
    first = next(iter(scores.values()))
    order = np.lexsort((np.arange(len(first)), -first))  # NaN last
    with atomic_file(path) as temporary, Path(temporary).open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["rank", "id", "caption", *scores])
        for rank, row in enumerate(order, 1):
            values = ("" if np.isnan(s[row]) else f"{s[row]:.6g}" for s in scores.values())
            lines.writerow([rank, pairs.ids[row], pairs.captions[row], *values])


def _found(pairs: ImageTextPairs, scores: dict[str, np.ndarray], manifest: Path | None, seed: int) -> dict[str, Any]:
    """Tables and curves: against the manifest, or the most suspicious pairs."""
    first, values = next(iter(scores.items()))
    top = np.lexsort((np.arange(len(values)), -values))[:20]
    most = {
        "title": f"Most suspicious pairs by {first}", "headers": ["id", "caption", "score"],
        "rows": [[pairs.ids[i], pairs.captions[i], f"{values[i]:.4g}"] for i in top],
    }  # fmt: skip
    if manifest is None:
        return {
            "tables": [most],
            "headline": f"{len(pairs):,} pairs ranked by {len(scores)} detectors; no manifest was given.",
        }
    from antivenom.measure.embedding_detection import detections, poisoned_rows

    truth = poisoned_rows(Manifest.load(manifest), pairs.ids)
    made = detections(truth, scores, seed=seed)
    best = max(made, key=lambda d: -1.0 if d.auroc.value is None else d.auroc.value)
    rows = [
        [
            d.name, _measured(d.auroc), _measured(d.auprc), f"{d.at_dose.successes} of {d.at_dose.n}",
            *(f"{p.poisons_left} ({p.random_left:.1f})" for p in d.curve if p.share in (0.01, 0.05, 0.1)),
        ]
        for d in made
    ]  # fmt: skip
    table = {
        "title": "Detectors against the manifest",
        "lead": f"{made[0].dose}. AUROC with a 95 % bootstrap interval over pairs; found at the dose: poisons among as many most "
        "suspicious pairs as there are poisons; left: poisons that remain after removing the most suspicious share "
        "(in brackets: after removing as many at random).",
        "headers": ["detector", "AUROC", "AUPRC", "found at the dose", "left at 1 %", "left at 5 %", "left at 10 %"],
        "rows": rows,
    }
    control = {"name": "at random", "points": [[p.share, p.random_left] for p in made[0].curve]}
    curve = {
        "title": "Poisons left after removing the most suspicious pairs", "x": "share removed", "y": "poisons left",
        "series": [{"name": d.name, "points": [[p.share, p.poisons_left] for p in d.curve]} for d in made] + [control],
    }  # fmt: skip
    worded = (
        "no detector has an AUROC"
        if best.auroc.value is None
        else f"the best is {best.name}, AUROC {best.auroc.value:.3f}"
    )
    return {
        "tables": [table, most], "curves": [curve], "detections": [d.record() for d in made],
        "headline": f"{made[0].dose} poisoned; of {len(made)} detectors {worded} (chosen with the manifest in hand).",
    }  # fmt: skip


def _measured(found: Any) -> str:
    if found.value is None:
        return "missing"
    span = "" if found.low is None or found.high is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.value:.3f}{span}"
