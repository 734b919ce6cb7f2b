"""Sample sets as files: pairs to train on, clean pairs to repair with, labelled pictures to test on."""

from pathlib import Path

from antivenom.data.digit_pairs import DIGIT_TEMPLATES, digit_pairs
from antivenom.data.emoji_pairs import EMOJI_TEMPLATES, emoji_pairs
from antivenom.data.image_world import CLASS_TEMPLATES, ImagePairs, draw_pairs
from antivenom.data.pair_files import write_pairs
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import atomic_file

__all__ = ["write_sample"]

TEMPLATES = {"world": CLASS_TEMPLATES, "digits": DIGIT_TEMPLATES, "emoji": EMOJI_TEMPLATES}


def write_sample(
    name: str, out: Path, *, size: int = 32, pairs: int = 4_000, folder: Path | None = None, seed: int = 0
) -> dict[str, int]:
    """Write `train.csv`, `clean.csv`, `test.csv` with their pictures, `classes.txt` and `templates.txt`; pairs of each.

    Args:
        name: `world`, `digits` or `emoji`.
        out: the folder; one that holds a set is refused.
        size: of the pictures.
        pairs: of the world's training set; the others have a quarter each.
        folder: of the emoji.
        seed: of everything drawn.

    Raises:
        AntivenomError: for another name, a folder that is in use, emoji without a folder or with too few vendors.
    """
    if (out / "train.csv").exists():
        raise AntivenomError(f"'{out}' already holds a set", "name another folder with --out")
    parts = _parts(name, size, pairs, folder, seed)
    for part, found in parts.items():
        write_pairs(found, out, part)
    for file, lines in (("classes.txt", parts["test"].class_names), ("templates.txt", TEMPLATES[name])):
        with atomic_file(out / file) as temporary:
            Path(temporary).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {part: len(found) for part, found in parts.items()}


def _parts(name: str, size: int, pairs: int, folder: Path | None, seed: int) -> dict[str, ImagePairs]:
    if name == "world":
        sizes = {"train": pairs, "clean": max(1, pairs // 4), "test": max(1, pairs // 4)}
        return {part: draw_pairs(n, name=part, size=size, seed=seed) for part, n in sizes.items()}
    if name == "digits":
        return {part: digit_pairs(part, size=size, seed=seed) for part in ("train", "clean", "test")}
    if name != "emoji":
        raise AntivenomError(f"there is no sample set '{name}'", f"choose from: {', '.join(TEMPLATES)}")
    if folder is None:
        raise AntivenomError("the emoji do not ship with antivenom", "give the folder that holds them with --folder")
    vendors = list(dict.fromkeys(row_id.partition("-")[0] for row_id in emoji_pairs(folder, size=8).ids))
    if len(vendors) < 3:
        raise AntivenomError(
            f"'{folder}' has {len(vendors)} vendors", "give three: one to train, one to repair, one to test"
        )
    return {
        part: emoji_pairs(folder, vendors=[vendor], size=size)
        for part, vendor in zip(("train", "clean", "test"), vendors[:3], strict=True)
    }
