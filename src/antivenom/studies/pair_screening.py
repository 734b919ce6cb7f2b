"""Look for a backdoor in a corpus of files with a model's embeddings: ranking, and with a manifest the curve of every detector."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from antivenom.data.class_lists import read_classes
from antivenom.data.image_text import ImageTextPairs, open_pairs
from antivenom.poison.captions import mentions
from antivenom.poison.manifest import Manifest
from antivenom.report.record_page import write_record_report
from antivenom.report.run_directory import RunDirectory, apart, atomic_file
from antivenom.studies.pair_runs import reading_facts

__all__ = ["caption_classes", "screen_run"]

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
        "narrow": [0, 1, 3, 5],  # what fits into 80 columns of a terminal
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
