"""Fetch the pictures of a table of captions and addresses, as CC3M and CC12M are published (caption, tab, address).

    fetched = fetch_pairs("cc3m.tsv", "cc3m")      # cc3m/pairs.csv, cc3m/images/, cc3m/log.jsonl, cc3m/failures.csv

* Without loss: a picture is kept as it was served, byte by byte, with its SHA-256; nothing is decoded and saved again.
* Resumable: every row that ends, well or badly, is a line of the log; a killed run called again does the others. Files appear whole.
* Bounded: bytes and seconds of a picture and of the run, redirects, connections at a time.
* Careful: http and https only; an address that leads to a private, loopback or otherwise not public machine is refused after the name
  is resolved, and the connection goes to the very address that was checked (also after every redirect). Compressed answers are
  not unpacked. A picture is decoded once, within `max_pixels`, so that bombs and broken files are failures with a reason.

Proxies of the environment are not used: they would connect to what was not checked.
"""

import csv
import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from antivenom.data.image_store import decode
from antivenom.data.image_text import caption_problem
from antivenom.data.rows import content_id
from antivenom.data.safe_fetch import Limits, Refused, fetch, fetch_picture
from antivenom.errors import AntivenomError

__all__ = ["Fetched", "Limits", "fetch_pairs", "fetch_picture"]

LOG = "log.jsonl"
ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp"}


@dataclass(frozen=True)
class Fetched:
    """What a run did.

    Args:
        folder: with `pairs.csv` (id, image, caption, url, sha256) and `failures.csv` (row, url, reason).
        rows: of the table.
        pairs, failed: rows that ended; rows = pairs + failed + untried.
        resumed: of them, rows that an earlier run had ended.
        bytes, seconds: of this run.
        reasons: of the failures.
    """

    folder: Path
    rows: int
    pairs: int
    failed: int
    resumed: int
    bytes: int
    seconds: float
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def untried(self) -> int:
        """Rows that a bound of the run left for the next call."""
        return self.rows - self.pairs - self.failed


def fetch_pairs(
    table: str | Path,
    folder: str | Path,
    *,
    limits: Limits | None = None,
    limit: int | None = None,
    retry: bool = False,
) -> Fetched:
    """Fetch the pictures of a table.

    Args:
        table: two columns parted by a tab, caption and address in either order; without a header, or with one.
        folder: to write; that of an earlier run of the same table goes on.
        limits: see `Limits`.
        limit: the first rows only.
        retry: try again what failed before.

    Raises:
        AntivenomError: when the table is not there, or the folder holds the pictures of another one.
    """
    bounds = limits or Limits()
    place = Path(folder)
    source = Path(table)
    if not source.is_file():
        raise AntivenomError(f"there is no table '{table}'", "give a file of captions and addresses, parted by tabs")
    (place / "images").mkdir(parents=True, exist_ok=True)
    done = _read_log(place, source, retry)
    start, total, resumed = time.monotonic(), 0, len(done)
    spent = 0
    slots = threading.BoundedSemaphore(bounds.connections)
    with (place / LOG).open("ab") as log, ThreadPoolExecutor(bounds.connections) as pool:
        waiting: set[Future[dict[str, Any]]] = set()

        def collect(ended: set[Future[dict[str, Any]]]) -> None:
            nonlocal spent
            for one in ended:
                line = one.result()
                spent += line.get("bytes", 0)
                done[line["row"]] = line
                log.write(orjson.dumps(line) + b"\n")
                log.flush()

        for row, caption, url in _rows(source, limit):
            total = row + 1
            if row in done:
                continue
            over = (bounds.total_bytes is not None and spent >= bounds.total_bytes) or (
                bounds.total_seconds is not None and time.monotonic() - start >= bounds.total_seconds
            )
            if over:
                continue  # rows are still counted
            if len(waiting) >= bounds.connections:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                collect(ended)
            waiting.add(pool.submit(_one, row, caption, url, place, bounds, slots))
        collect(waiting)
    ends = Counter(line["status"] for line in done.values())
    _tables(place, done)
    return Fetched(
        place, total, ends["ok"], ends["failed"], resumed, spent, time.monotonic() - start,
        dict(Counter(_kind(line["reason"]) for line in done.values() if line["status"] == "failed").most_common()),
    )  # fmt: skip


def _one(
    row: int, caption: Any, url: str, place: Path, bounds: Limits, slots: threading.BoundedSemaphore
) -> dict[str, Any]:
    line = {"row": row, "url": url, "caption": caption}
    problem = caption_problem(caption)
    if problem:
        return line | {"status": "failed", "reason": problem}
    try:
        with slots:
            content = fetch(url, bounds)
        image = decode(content, None, max_pixels=bounds.max_pixels, least=bounds.least)
    except Refused as error:
        return line | {"status": "failed", "reason": str(error)}
    except AntivenomError as error:
        return line | {"status": "failed", "reason": error.what}
    name = content_id(f"{row}\0{url}")
    ending = next((e for magic, e in ENDINGS.items() if content.startswith(magic)), ".img")
    file = f"images/{name[:2]}/{name}{ending}"
    (place / file).parent.mkdir(exist_ok=True)
    part = place / f"{file}.part"
    part.write_bytes(content)
    part.replace(place / file)
    about = {"file": file, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return line | {"status": "ok", "height": image.shape[0], "width": image.shape[1]} | about


def _kind(reason: str) -> str:
    return (
        reason.split(" (")[0] if not reason.startswith("the image has") else "the image has too many or too few pixels"
    )


def _rows(source: Path, limit: int | None) -> Iterator[tuple[int, Any, str]]:
    """(row, caption, address) of a table; a first line without an address is a header."""
    row = 0
    with source.open("r", encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        for number, line in enumerate(lines):
            fields = line.rstrip("\r\n").split("\t")
            url = next(
                (at for at, value in enumerate(fields) if value.strip().startswith(("http://", "https://"))), None
            )
            if not line.strip() or (number == 0 and url is None):
                continue
            if limit is not None and row >= limit:
                return
            others = [value for at, value in enumerate(fields) if at != url]
            yield row, others[0] if others else None, fields[url].strip() if url is not None else ""
            row += 1


def _read_log(place: Path, source: Path, retry: bool) -> dict[int, dict[str, Any]]:
    """Rows that ended before; a last line that is cut off is cut away, and a picture that is gone is fetched again."""
    digest = hashlib.blake2b(digest_size=16)
    with source.open("rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    mark = place / "table.json"
    if mark.is_file() and orjson.loads(mark.read_bytes())["hash"] != digest.hexdigest():
        raise AntivenomError(f"'{place}' holds the pictures of another table", "choose another folder")
    mark.write_bytes(orjson.dumps({"table": source.name, "hash": digest.hexdigest()}))
    path = place / LOG
    done: dict[int, dict[str, Any]] = {}
    if not path.is_file():
        return done
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        os.truncate(path, len(whole))
    for text in whole.splitlines():
        line = orjson.loads(text)
        kept = place / line.get("file", "")
        there = line["status"] == "ok" and kept.is_file() and kept.stat().st_size == line["bytes"]
        if there or (line["status"] == "failed" and not retry):
            done[line["row"]] = line
        else:
            done.pop(line["row"], None)
    return done


def _tables(place: Path, done: dict[int, dict[str, Any]]) -> None:
    kinds = {
        "pairs.csv": ("ok", ("id", "image", "caption", "url", "sha256"), ("row", "file", "caption", "url", "sha256")),
        "failures.csv": ("failed", ("row", "url", "reason"), ("row", "url", "reason")),
    }
    for name, (status, header, keys) in kinds.items():
        part = place / f".{name}.part"
        with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as target:
            out = csv.writer(target)
            out.writerow(header)
            for row in sorted(done):
                if done[row]["status"] == status:
                    out.writerow([done[row][key] for key in keys])
        part.replace(place / name)
