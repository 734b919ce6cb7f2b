"""Look at the triggers, and measure what JPEG leaves of them and how fast they are.

python scripts/preview_triggers.py --sheet sheet.png
python scripts/preview_triggers.py --sheet sheet.png --images FOLDER --size 224 --triggers badnet sig

Without a folder the pictures are windows of the two photographs that come with scikit-learn (CC BY 2.0). No figure depends
on anything but the pictures, the seed and Pillow's version - except the speed.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import PIL
from sklearn.datasets import load_sample_images

from antivenom.data.images import open_image, png_bytes
from antivenom.errors import AntivenomError
from antivenom.poison.codec import codec_report
from antivenom.poison.contact_sheet import contact_sheet
from antivenom.poison.triggers import trigger
from antivenom.randomness import generator

TRIGGERS = [
    "none",
    "badnet",
    "badnet:overflow=wrap",
    "badnet:kind=checker",
    "badnet:kind=checker:cell=4",
    "badnet:kind=stripes",
    "badnet:kind=triangles",
    "badnet:kind=text:text=ok:place=bottom_right",
    "yellow",
    "four_corners",
    "label_consistent",
    "blended",
    "blended:kind=stripes",
    "blended:kind=text:text=sample",
    "wanet",
    "wanet:k=224:s=1",
    "wanet:noise=true",
    "sig",
    "sig:mix=add",
]


def windows(n: int, size: int, seed: int) -> np.ndarray:
    """Square windows at random places of the two photographs: uint8 (n, size, size, 3)."""
    photos = load_sample_images().images
    out = []
    for i in range(n):
        draw = generator(seed, "window", i)
        photo = photos[i % len(photos)]
        top, left = (int(draw.integers(side - size + 1)) for side in photo.shape[:2])
        out.append(photo[top : top + size, left : left + size])
    return np.stack(out)


def main() -> int:
    """Print the tables and write the sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sheet", type=Path, help="PNG to write")
    parser.add_argument("--images", type=Path, help="folder of pictures")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--subsampling", type=int, default=2, choices=(0, 1, 2), help="of JPEG: 2 = 4:2:0, 0 = none")
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--triggers", nargs="+", default=TRIGGERS)
    args = parser.parse_args()
    if args.images:
        files = sorted(path for path in args.images.rglob("*") if path.is_file())[: args.n]
        images = np.stack([open_image(path, size=args.size) for path in files])
    else:
        images = windows(args.n, args.size, args.seed)
    ids = range(len(images))
    print(
        f"{len(images)} pictures of {args.size} x {args.size}; Pillow {PIL.__version__}, JPEG subsampling {args.subsampling}"
    )
    print(f"{'trigger':44s} {'img/s':>7s}  quality: PSNR in the trigger, dB; share of it left [95 % t interval]")
    for spec in args.triggers:
        made = trigger(spec)
        made.apply(images[:1], [0])  # draw what is kept
        begin = time.perf_counter()
        made.apply(images, ids, args.seed)
        speed = len(images) / (time.perf_counter() - begin)
        cells = []
        if made.name != "none":
            for row in codec_report(
                images, ids, made, qualities=(95, 75, 50), subsampling=args.subsampling, seed=args.seed
            ):
                cells.append(
                    f"{row.format}{row.quality or ''}: {row.psnr:.1f}; {row.survived:.2f} [{row.low:.2f}, {row.high:.2f}]"
                )
        print(f"{made.spec:44s} {speed:7.0f}  {' | '.join(cells)}")
    if args.sheet:
        args.sheet.write_bytes(png_bytes(contact_sheet(images[:2], args.triggers, seed=args.seed, scale=args.scale)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AntivenomError as error:
        sys.exit(str(error))
