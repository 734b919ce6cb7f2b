"""How often near copies of poisoned pictures are seen, and how often others are taken for one; on the image world.

    python scripts/near_copies.py [--poisons 120] [--others 4000] [--seeds 3] [--size 32]

Known: poisoned pictures (checkerboard patch). Copies: each of them changed in one way. Others: pictures of the same world, drawn
independently, half of them with the same trigger (so that the trigger alone is not what is found). Shares with their denominators.
"""

import argparse
import io

import numpy as np
from PIL import Image

from antivenom.data.image_world import draw_pairs
from antivenom.measure.rates import Rate
from antivenom.poison.near_copies import THRESHOLD, near_copies
from antivenom.poison.triggers import trigger

SPEC = "badnet:kind=checker:size=5"
THRESHOLDS = (0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.99)


def coded(image: np.ndarray, form: str, quality: int) -> np.ndarray:
    """Saved by a lossy codec and read again."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, form, quality=quality)
    return np.asarray(Image.open(io.BytesIO(out.getvalue())).convert("RGB"))


def sized(image: np.ndarray, side: int) -> np.ndarray:
    """Resized, bicubic."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def cropped(image: np.ndarray, part: float, draw: np.random.Generator) -> np.ndarray:
    """A square window at a random place, back at full size."""
    side = image.shape[0]
    inside = round(part * side)
    top, left = draw.integers(0, side - inside + 1, 2)
    return sized(image[top : top + inside, left : left + inside], side)


def changes(image: np.ndarray, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """One picture, changed in every way."""
    side = image.shape[0]
    brighter = np.clip(image.astype(float) * 1.15 + 8, 0, 255).astype(np.uint8)
    return {
        "same pixels": image,
        "JPEG 90": coded(image, "JPEG", 90),
        "JPEG 50": coded(image, "JPEG", 50),
        "WebP 80": coded(image, "WEBP", 80),
        "half the size": sized(image, side // 2),
        "twice the size": sized(image, 2 * side),
        "mirrored": np.ascontiguousarray(image[:, ::-1]),
        "brighter": brighter,
        "cropped to .9": cropped(image, 0.9, draw),
        "cropped to .85": cropped(image, 0.85, draw),
        "cropped to .8": cropped(image, 0.8, draw),
        "cropped to .7": cropped(image, 0.7, draw),
        "cropped to .8, mirrored, JPEG 75": coded(np.ascontiguousarray(cropped(image, 0.8, draw)[:, ::-1]), "JPEG", 75),
    }


def main() -> None:
    """Print two tables."""
    ask = argparse.ArgumentParser(description=__doc__)
    for name, value in (("poisons", 120), ("others", 4_000), ("seeds", 3), ("size", 32)):
        ask.add_argument(f"--{name}", type=int, default=value)
    given = ask.parse_args()
    seen: dict[str, list[np.ndarray]] = {}
    for seed in range(given.seeds):
        world = draw_pairs(given.poisons, name="train", size=given.size, seed=seed)
        known = trigger(SPEC).apply(world.images, list(world.ids), seed)
        other = draw_pairs(given.others, name="clean", size=given.size, seed=seed)
        half = given.others // 2
        marked = trigger(SPEC).apply(other.images[:half], list(other.ids[:half]), seed)
        draw = np.random.default_rng(seed)
        made: dict[str, list[np.ndarray]] = {}
        for image in known:
            for name, copy in changes(image, draw).items():
                made.setdefault(name, []).append(copy)
        made |= {"OTHERS, with the trigger": list(marked), "OTHERS, clean": list(other.images[half:])}
        for name, images in made.items():
            seen.setdefault(name, []).append(near_copies(images, known).likeness)
    print(
        f"{given.seeds} worlds, {given.poisons} known pictures each, {given.size} pixels; called a near copy, by threshold"
    )
    print("| pictures | n | " + " | ".join(f"{t:g}" for t in THRESHOLDS) + " |")
    print("|---|---|" + "---|" * len(THRESHOLDS))
    for name, parts in seen.items():
        all_of = np.concatenate(parts)
        cells = [f"{(all_of >= t).mean():.4f}".rstrip("0").rstrip(".") for t in THRESHOLDS]
        print(f"| {name} | {len(all_of):,} | " + " | ".join(cells) + " |")
    others = np.concatenate([part for name, parts in seen.items() if name.startswith("OTHERS") for part in parts])
    rate = Rate(int((others >= THRESHOLD).sum()), len(others), "other pictures")
    print(
        f"\nfalse alarms at the default {THRESHOLD}: {rate.value:.4f} [{rate.low:.4f}, {rate.high:.4f}], n = {rate.n:,}"
    )


if __name__ == "__main__":
    main()
