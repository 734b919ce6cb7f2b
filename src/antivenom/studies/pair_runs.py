"""Plant a backdoor in a corpus of files: a run with its record and its page; a finished one is read back."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from antivenom.data.class_lists import read_classes, read_templates
from antivenom.data.image_text import ImageTextPairs, open_pairs
from antivenom.data.images import png_bytes
from antivenom.poison.captions import TEMPLATES
from antivenom.poison.contact_sheet import contact_sheet
from antivenom.poison.image_text_poison import PoisonPlan, plan_poison
from antivenom.poison.pair_export import Pair, export_pairs
from antivenom.report.record_page import write_record_report
from antivenom.report.run_directory import RunDirectory, apart, atomic_file

__all__ = ["PoisonOrder", "poison_run", "reading_facts"]

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
                scale=max(1, 96 // size), across=3,
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
