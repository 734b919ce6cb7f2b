"""A folder of images with captions, from metadata.jsonl, metadata.csv or a .txt beside each image.

Only the header of an image is looked at: is it what its name says, and are its dimensions sane. Rows are written as JSON
lines of file name, caption and content hash; images themselves are never copied.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import orjson
import pyarrow as pa

from antivenom.data.batching import Gatherer
from antivenom.data.quarantine import printable
from antivenom.data.readers import jsonl
from antivenom.data.readers.csv import broken, read_records
from antivenom.data.readers.lines import UNOPENED, cause, iter_lines
from antivenom.data.rows import Batch, Block, Segment

__all__ = ["SUFFIX", "fields", "image_problem", "plan", "read", "write"]

SUFFIX = ".jsonl"
IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 178_956_970  # what Pillow too takes for a decompression bomb
MAGIC = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}
write = jsonl.write


def plan(root: str, files: Sequence[str], block_bytes: int, options: dict) -> Iterator[tuple[list[Segment], int]]:
    """Images put together by their size."""
    segments: list[Segment] = []
    size = 0
    for number, file in enumerate(files, 1):
        length = Path(root, file).stat().st_size
        segments.append(Segment(file, 0, length, number))
        size += length
        if size >= block_bytes or len(segments) >= 10_000:
            yield segments, size
            segments, size = [], 0
    if segments:
        yield segments, size


def fields(root: str, file: str, options: dict) -> dict[str, object]:
    """An image has a caption."""
    return {"text": ""}


def read(block: Block) -> Iterator[Batch]:
    """The captions of a block; broken images and images without a caption go to quarantine."""
    captions = _captions(Path(block.root), block.options["max_row_bytes"])
    gathered = Gatherer(_source)
    for segment in block.segments:
        path = Path(block.root, segment.file)
        problem = image_problem(path)
        caption = captions.get(segment.file)
        if caption is None and not problem:
            beside = path.with_suffix(".txt")
            try:
                caption = (
                    beside.read_text("utf-8").strip()
                    if beside.stat().st_size < block.options["max_row_bytes"]
                    else None
                )
            except (OSError, UnicodeDecodeError) as error:
                problem = f"no caption: {type(error).__name__}"
        if problem or caption is None:
            problem = problem or "no caption"
            gathered.refuse(segment.file, jsonl.position_of(1, problem), problem)
        else:
            with path.open("rb") as source:
                content = hashlib.file_digest(source, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            gathered.add(caption, segment.file, 1, (segment.file, caption, content))
        if gathered.full:
            yield gathered.batch()
    if gathered.waiting:
        yield gathered.batch()


def image_problem(path: Path) -> str | None:
    """Why a file is no image to train on, from its first bytes alone; None when it looks like one."""
    try:
        with path.open("rb") as source:
            head = source.read(64)
    except OSError as error:
        return f"{UNOPENED}: {cause(error)}"
    kind = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        kind = "webp"
    if kind is None:
        return "the image is empty" if not head else "the file is no image (its first bytes are of no known format)"
    width = height = 1
    if kind == "png" and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
    elif kind == "gif" and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
    elif kind in ("png", "gif"):
        return "the image is cut off in its header"
    if width * height > MAX_PIXELS or not width or not height:
        return f"the image says it is {width} x {height} pixels"
    return None


def _captions(root: Path, limit: int) -> dict[str, str]:
    """Captions by file name; a line of the metadata that cannot be read leaves its image without one."""
    found: dict[str, str] = {}
    for record in (*_json_records(root / "metadata.jsonl", limit), *_csv_records(root / "metadata.csv", limit)):
        caption = next((record[f] for f in ("text", "caption") if isinstance(record.get(f), str)), None)
        file = record.get("file_name")
        if caption is not None and isinstance(file, str):
            found[str(PurePosixPath(file))] = caption
    return found


def _json_records(path: Path, limit: int) -> Iterator[dict]:
    if not path.is_file():
        return
    for raw, problem in iter_lines(path, 0, None, limit):
        try:
            record = None if problem else orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError:
            continue
        if isinstance(record, dict):
            yield record


def _csv_records(path: Path, limit: int) -> Iterator[dict]:
    header: list[str] = []
    for record, problem in read_records(path, limit) if path.is_file() else ():
        if not problem and not header:
            header = record
        elif not problem and not any(map(broken, record)):
            yield dict(zip(header, record))


def _source(rows: list[tuple[str, str, str]]) -> pa.Table:
    lines = [
        orjson.dumps({"file_name": printable(file), "text": text, "hash": content}) for file, text, content in rows
    ]
    return pa.table({"line": pa.array(lines, pa.large_binary())})
