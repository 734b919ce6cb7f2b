"""Measure a CLIP on labelled pictures from files: every figure of `clip_figures`, beside the clean twin's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.data.class_lists import read_classes, read_templates
from antivenom.errors import AntivenomError
from antivenom.report.record_page import write_record_report
from antivenom.report.run_directory import RunDirectory, apart, atomic_file, fingerprint
from antivenom.studies.clip_figures import ASR, Figure, Figures, clip_figures, measures_of
from antivenom.studies.clip_testing import NO_CAPTIONS, TestSet, attack_facts, open_test
from antivenom.studies.pair_runs import reading_facts

__all__ = ["check_measures", "figure_tables", "measure_run", "test_settings", "write_predictions"]

TWIN = "clean twin"


def measure_run(
    model: str,
    data: str,
    out: Path,
    *,
    twin: str | None = None,
    size: int | None = None,
    device: str = "cpu",
    measures: Sequence[str] | None = None,
    neighbours: int | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
    **test: Any,
) -> dict[str, Any]:
    """Every figure of `clip_figures`: `run.json`, `predictions.parquet` (classes by name, picture by picture), `report.html`.

    Args:
        model: see `models.clip_load.load_clip`.
        data: see `open_test`.
        out: the run directory.
        twin: the same model trained without the dose: the control of every figure.
        size: of the pictures; the model's own, or the manifest's.
        device: of torch.
        measures: names; None for all but the linear probe. What cannot be had is left out and said; where it was asked for by
            name, refused.
        neighbours: of the kNN classifier.
        overwrite, command: of the run.
        test: see `open_test`.

    Raises:
        AntivenomError: see `open_test`, `clip_figures.measures_of`.
    """
    from antivenom.models.clip_load import image_size, load_clip

    chosen = measures_of(measures)
    apart(out, data, model, *(str(one) for one in (twin, test.get("train"), test.get("captions")) if one))
    config = {
        "verb": "clip measure", "model": model, "data": data, "twin": twin, "size": size, "measures": chosen,
        "neighbours": neighbours, "test": test,
    }  # fmt: skip
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if run.complete:
            return run.read()
        clip = load_clip(model)
        with run.step("read") as step:
            tested = open_test(data, size=size or image_size(clip), **test)
            step.rows = len(tested.pairs)
        check_measures(tested, measures)
        with run.step("measure") as step:
            mine = clip_figures(tested, tested.seen(clip, device=device), chosen, neighbours=neighbours)
            del clip
            other = None
            if twin:
                other = clip_figures(tested, tested.seen(load_clip(twin), device=device), chosen, neighbours=neighbours)
            step.rows = len(tested.pairs)
        write_predictions(out / "predictions.parquet", tested, {"": mine.ranked})
        columns = {"this model": mine} | ({TWIN: other} if other else {})
        figures = mine.all()
        headline = [f"{name} {_value(figures[name])}" for name in ("clean accuracy, top 1", ASR) if name in figures]
        rates = mine.rates()
        if other and ASR in other.all():
            rates[f"{ASR} of the twin"] = other.all()[ASR].plain()
        planes = {"This model": mine.plane} | ({"The clean twin": other.plane} if other else {})
        record = {
            "verb": "clip measure", "title": "/".join(Path(model).parts[-2:]), "headline": "; ".join(headline) + ".",
            "command": list(command), "rates": rates, "figures": mine.numbers(),
            "twin": {"rates": other.rates(), "figures": other.numbers()} if other else None,
            "warnings": _about_the_attack(tested, twin), "left_out": mine.left_out, "measures": list(chosen),
            "facts": {"model": model, "classes": len(tested.classes), "templates": len(tested.templates)}
            | attack_facts(tested) | {f"not measured: {name}": why for name, why in mine.left_out.items()},
            "tables": figure_tables(columns), "printed": len(mine.sections),
            "planes": [plane | {"title": title} for title, plane in planes.items() if plane],
        } | test_settings(tested, test)  # fmt: skip
        facts = reading_facts(tested.pairs)
        record["facts"] |= facts.pop("facts")
        found = run.finish(record | facts)
    write_record_report(out)
    return found


def check_measures(tested: TestSet, measures: Sequence[str] | None) -> None:
    """Refuse what was asked for by name and cannot be measured.

    Raises:
        AntivenomError: for retrieval or the loss without captions, a z-score without an attack.
    """
    asked = set(measures or ()) - {"all"}
    if asked & {"retrieval", "loss"} and tested.captioned is None:
        raise AntivenomError(*NO_CAPTIONS)
    if "z-score" in asked and tested.target is None:
        raise AntivenomError("a z-score without an attack", "give --target and --trigger, or --manifest")


def figure_tables(columns: Mapping[str, Figures]) -> list[dict[str, Any]]:
    """One table per section: a figure a row, and a column for each model (see `report.record_page`).

    Args:
        columns: heading -> figures; the first decides what n counts.
    """
    tables = []
    names = [section.title for figures in columns.values() for section in figures.sections]
    for title in dict.fromkeys(names):
        sides = {
            heading: next((s for s in figures.sections if s.title == title), None)
            for heading, figures in columns.items()
        }
        there = [side for side in sides.values() if side is not None]
        rows = []
        for name in dict.fromkeys(name for side in there for name in side.figures):
            found = [side.figures.get(name) if side else None for side in sides.values()]
            first = next(figure for figure in found if figure is not None)
            rows.append([name, *(_cell(figure) for figure in found), f"{first.n:,} {first.of}"])
        lead = f"{there[0].lead} In brackets: 95 % intervals."
        narrow = list(range(1 + len(columns)))  # what fits into a terminal
        headers = ["measure", *columns, "of"]
        tables.append({"title": title, "lead": lead.strip(), "headers": headers, "rows": rows, "narrow": narrow})
    return tables


def write_predictions(path: Path, tested: TestSet, ranked: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """The class that the zero-shot head gives each picture, by name: columns `id`, `label`, and per model `PREFIXclean`,
    `PREFIXtriggered`."""
    names = np.array(tested.classes, dtype=object)
    columns: dict[str, Any] = {"id": list(tested.pairs.ids), "label": names[tested.places].tolist()}
    for prefix, arms in ranked.items():
        columns |= {f"{prefix}{arm}": names[classes[:, 0]].tolist() for arm, classes in arms.items()}
    with atomic_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def test_settings(tested: TestSet, test: Mapping[str, Any]) -> dict[str, Any]:
    """What two runs must have in common for their figures to be put side by side."""
    classes, templates = test.get("classes"), test.get("templates")
    attack = None if tested.trigger is None or tested.target is None else tested.classes[tested.target]
    settings = {
        "classes": fingerprint(read_classes(classes).names if classes else tested.classes),
        "templates": fingerprint(read_templates(templates) if templates else tested.templates),
        "target": attack, "trigger": None if tested.trigger is None else tested.trigger.spec,
        "pixels": tested.pairs.images.size, "seed": tested.seed,
    }  # fmt: skip
    return {"settings": settings, "data_hash": fingerprint([tested.pairs.ids, tested.places.tolist()])}


def _about_the_attack(tested: TestSet, twin: str | None) -> list[str]:
    if tested.target is None:
        return ["No attack was tested: give --target and --trigger, or --manifest."]
    return (
        [] if twin else ["An attack success rate without the clean twin's (--twin) may be the model's own confusion."]
    )


def _value(figure: Figure) -> str:
    if figure.value is None:
        return "missing"
    return f"{figure.value:.1%}".replace("%", " %") if figure.share else f"{figure.value:.3f}"


def _cell(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "missing"
    if figure.low is None or figure.high is None:
        return _value(figure)
    low, high = (f"{100 * x:.1f}" if figure.share else f"{x:.3f}" for x in (figure.low, figure.high))
    return f"{_value(figure)} [{low}, {high}]"
