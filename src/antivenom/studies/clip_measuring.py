"""Measure a CLIP: zero-shot accuracy and attack success with its controls, on labelled pictures from files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.data.class_lists import label_places, read_classes, read_templates
from antivenom.data.image_text import ImageTextPairs, open_pairs
from antivenom.data.image_world import CLASS_TEMPLATES
from antivenom.errors import AntivenomError
from antivenom.measure.rates import Rate
from antivenom.measure.zero_shot import accuracies, attack_success, class_weights, ranked_classes
from antivenom.poison.captions import resolve_target
from antivenom.poison.manifest import Manifest
from antivenom.poison.pair_checks import check_trigger, manifest_trigger
from antivenom.poison.triggers import Trigger
from antivenom.poison.triggers import trigger as parse
from antivenom.report.record_page import write_record_report
from antivenom.report.run_directory import RunDirectory, apart
from antivenom.studies.pair_runs import reading_facts

__all__ = ["TestSet", "attack_facts", "measure_run", "open_test"]


@dataclass(frozen=True)
class TestSet:
    """Labelled pictures, the classes they are judged by, and the attack that is tested.

    Args:
        pairs: with labels.
        places: class of each.
        classes, templates: of the zero-shot head; `{}` is the class.
        target: the attacker's class; None without an attack.
        trigger: put on before the model's own preprocessing; None without an attack.
        seed: of the trigger's own noise.
    """

    pairs: ImageTextPairs
    places: np.ndarray
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    target: int | None = None
    trigger: Trigger | None = None
    seed: int = 0

    def ranked(self, model: Any, *, batch: int = 256, device: str = "cpu") -> dict[str, np.ndarray]:
        """Ranked classes of the pictures: `clean`, and with an attack `triggered`; batch by batch."""
        from antivenom.models.clip import embed_images, embed_texts

        model.to(device)
        weights = class_weights(lambda texts: embed_texts(model, texts, device=device), self.classes, self.templates)
        found: dict[str, list[np.ndarray]] = {"clean": []} | ({"triggered": []} if self.trigger else {})
        for start in range(0, len(self.pairs), batch):
            rows = self.pairs.images[start : start + batch]
            ids = list(self.pairs.ids[start : start + batch])
            for arm in found:
                shown = rows if arm == "clean" or self.trigger is None else self.trigger.apply(rows, ids, self.seed)
                found[arm].append(ranked_classes(embed_images(model, shown, device=device), weights))
        return {arm: np.concatenate(parts) for arm, parts in found.items()}

    def rates(self, ranked: Mapping[str, np.ndarray], twin: Mapping[str, np.ndarray] | None = None) -> dict[str, Rate]:
        """Top-k accuracy, and with an attack the ASR with its controls."""
        made = {f"clean accuracy, top {k}": r for k, r in accuracies(ranked["clean"], self.places).items()}
        if self.target is None:
            return made
        success = attack_success(
            ranked["triggered"],
            ranked["clean"],
            self.places,
            self.target,
            twin=None if twin is None else twin["triggered"],
        )
        made["attack success rate"] = success.rate
        made["called the target without the trigger"] = success.without
        if success.twin:
            made["attack success rate of the twin"] = success.twin
        made["accuracy with the trigger"] = success.accuracy
        return made


def open_test(
    source: str,
    *,
    size: int,
    classes: Path | None = None,
    templates: Path | None = None,
    label: str | None = None,
    target: str | None = None,
    trigger: str | None = None,
    manifest: Path | None = None,
    allow_other: bool = False,
    seed: int = 0,
    **reading: Any,
) -> TestSet:
    """Labelled pictures from files.

    Args:
        source: pictures with a label column, or a folder with one folder per class (no `label`).
        size: of the pictures, in pixels; with a manifest, the size at which its poisons were made.
        classes: a file; without it the classes are the labels that occur.
        templates: a file; without it those of `classes`, else five plain ones.
        label: the column.
        target, trigger: of the attack; with a manifest, its own.
        manifest: of the poisoned corpus. A trigger that is not the manifest's is refused: the model would look clean.
        allow_other: it is not.
        seed: of a fresh trigger's noise.
        reading: see `open_pairs`.

    Raises:
        AntivenomError: for labels that are no classes, a target that is no class or two, an attack that is given by half.
    """
    made: Trigger | None = parse(trigger) if trigger else None
    if manifest is not None:
        planted = Manifest.load(manifest)
        if made is None:
            made = manifest_trigger(planted)
        else:
            check_trigger(planted, made, allow_other=allow_other)
        target = target or planted.rows[0].item_id
        size = int(planted.rows[0].parameters.get("size", [size])[0])
    if (target is None) != (made is None):
        raise AntivenomError("an attack is a target and a trigger", "give --target and --trigger, or --manifest")
    known = read_classes(classes) if classes else None
    columns: dict[str, Any] = {"label": label, "caption": label} if label else {"caption": "folder"}
    pairs = open_pairs(source, size=size, **(reading | columns))
    labels = pairs.labels or ()
    names = known.names if known else tuple(sorted(set(labels)))
    own = read_templates(templates) if templates else (known.templates if known else ())
    place = resolve_target(target, names) if target is not None else None
    return TestSet(
        pairs, np.array(label_places(labels, names), np.int64), names, own or CLASS_TEMPLATES, place, made, seed
    )


def measure_run(
    model: str,
    data: str,
    out: Path,
    *,
    twin: str | None = None,
    size: int | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    command: Sequence[str] = (),
    **test: Any,
) -> dict[str, Any]:
    """Zero-shot top-k accuracy, and with an attack its success rate beside the controls.

    Args:
        model: see `models.clip_load.load_clip`.
        data: see `open_test`.
        out: the run directory.
        twin: the same model trained without the dose: the ASR's control.
        size: of the pictures; the model's own, or the manifest's.
        device: of torch.
        overwrite, command: of the run.
        test: see `open_test`.

    Raises:
        AntivenomError: see `open_test`.
    """
    from antivenom.models.clip_load import image_size, load_clip

    apart(out, data, model, *([twin] if twin else []))
    config = {"verb": "clip measure", "model": model, "data": data, "twin": twin, "size": size, "test": test}
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if run.complete:
            return run.read()
        clip = load_clip(model)
        with run.step("read") as step:
            tested = open_test(data, size=size or image_size(clip), **test)
            step.rows = len(tested.pairs)
        with run.step("measure") as step:
            ranked = tested.ranked(clip, device=device)
            other = tested.ranked(load_clip(twin), device=device) if twin else None
            step.rows = len(tested.pairs)
        rates = tested.rates(ranked, other)
        warnings = _about_the_attack(tested, twin)
        first = next(iter(rates.items()), None)
        asr = rates.get("attack success rate")
        told = [f"{first[0]} {_pc(first[1])}"] if first else []
        told += [f"attack success rate {_pc(asr)}"] if asr else []
        record = {
            "verb": "clip measure", "title": Path(model).name, "headline": "; ".join(told) + ".", "command": list(command),
            "rates": {name: _plain(rate) for name, rate in rates.items()}, "warnings": warnings,
            "facts": {"model": model, "classes": len(tested.classes), "templates": len(tested.templates)}
            | attack_facts(tested),
            "tables": [
                {
                    "title": "Rates", "lead": "With 95 % Wilson intervals.",
                    "headers": ["measure", "value", "interval", "of"],
                    "rows": [[name, *_row(rate)] for name, rate in rates.items()],
                }
            ],
        }  # fmt: skip
        facts = reading_facts(tested.pairs)
        record["facts"] |= facts.pop("facts")
        found = run.finish(record | facts)
    write_record_report(out)
    return found


def _about_the_attack(tested: TestSet, twin: str | None) -> list[str]:
    if tested.target is None:
        return ["No attack was tested: give --target and --trigger, or --manifest."]
    return (
        [] if twin else ["An attack success rate without the clean twin's (--twin) may be the model's own confusion."]
    )


def attack_facts(tested: TestSet) -> dict[str, Any]:
    """What a record says of the attack that was tested."""
    if tested.target is None or tested.trigger is None:
        return {}
    size = tested.pairs.images.size
    return {"target": tested.classes[tested.target], "trigger": tested.trigger.spec, "trigger put on at, pixels": size}


def _plain(rate: Rate) -> dict[str, Any]:
    return {
        "value": rate.value, "low": rate.low, "high": rate.high, "successes": rate.successes, "n": rate.n, "of": rate.of,
    }  # fmt: skip


def _pc(rate: Rate) -> str:
    return "missing" if rate.value is None else f"{rate.value:.1%}".replace("%", " %")


def _row(rate: Rate) -> list[str]:
    if rate.value is None or rate.low is None or rate.high is None:
        return ["missing", "", rate.of]
    return [_pc(rate), f"{rate.low:.1%} - {rate.high:.1%}".replace("%", " %"), f"{rate.n:,} {rate.of}"]
