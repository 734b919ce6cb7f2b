"""WebDataset tar files: members of one key are one row. Nothing is ever extracted to disk."""

import io
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import orjson
import pyarrow as pa

from antivenom.data.batching import Gatherer, text_problem
from antivenom.data.quarantine import printable
from antivenom.data.readers.jsonl import position_of
from antivenom.data.readers.lines import UNOPENED, cause
from antivenom.data.rows import Batch, Block, Segment

__all__ = ["SUFFIX", "fields", "plan", "read", "write"]

SUFFIX = ".tar"
TEXT_MEMBERS = ("txt", "text", "caption", "cap", "json")
EXTENDED = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
MAX_HEADER = 2**20
MEMBERS = pa.list_(pa.struct([("name", pa.string()), ("data", pa.large_binary())]))

Member = tuple[str, bytes]


def plan(root: str, files: Sequence[str], block_bytes: int, options: dict) -> Iterator[tuple[list[Segment], int]]:
    """One block per tar: they are read from their beginning."""
    for file in files:
        size = Path(root, file).stat().st_size
        yield [Segment(file, 0, size)], size


def fields(root: str, file: str, options: dict) -> dict[str, object]:
    """A sample has one text: its .txt, .caption or the text field of its .json."""
    return {"text": ""}


def read(block: Block) -> Iterator[Batch]:
    """The samples of a block; unsafe names, links, devices, oversized and textless samples go to quarantine."""
    gathered = Gatherer(_source)
    for segment in block.segments:
        for number, (key, members, problem) in enumerate(_samples(block, segment.file), 1):
            text = None
            if not problem:
                text, problem = _text(members, block.options.get("text_field") or "text")
            if problem or text is None:
                problem = problem or "the sample has no text"
                gathered.refuse(segment.file, position_of(number, problem), problem, key)
            else:
                row_id = key if block.options.get("id_field") == "__key__" else None
                gathered.add(text, segment.file, number, members, row_id, size=sum(len(data) for _, data in members))
            if gathered.full:
                yield gathered.batch()
    if gathered.waiting:
        yield gathered.batch()


def _samples(block: Block, file: str) -> Iterator[tuple[str, list[Member], str | None]]:
    """(key, members, problem) of each sample; links, devices, unsafe names and the break of a tar are samples of their own."""
    limit = block.options["max_row_bytes"]
    key, members, problem, size = "", [], None, 0
    try:
        for info, tar in _headers(Path(block.root, file)):
            wrong = _unsafe(info)
            if wrong:
                yield info.name, [], wrong
                continue
            if info.isdir():
                continue
            name = PurePosixPath(info.name)
            this = str(name.parent / name.name.split(".", 1)[0])
            if this != key and (members or problem):
                yield key, members, problem
                members, problem, size = [], None, 0
            key = this
            size += info.size
            if size > limit:
                members, problem = [], f"the sample is over the limit of {limit:,} bytes"
                continue
            content = tar.extractfile(info)
            members.append((info.name, content.read() if content else b""))
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        what = UNOPENED if isinstance(error, PermissionError | FileNotFoundError) else "the tar breaks off here"
        what = "the sample is cut off" if members or problem else what
        yield (key if members or problem else ""), [], f"{what}: {cause(error)}"
        return
    if members or problem:
        yield key, members, problem


def _headers(path: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """The members of a tar or a gzipped tar, read once from its beginning; tars written one after the other are one.

    `tarfile` takes a damaged header for the end of the archive, reads extended headers of any size into memory, opens
    xz whatever the ending, and remembers every member: none of that here.
    """
    ended = True  # an empty file is an empty tar

    class Header(tarfile.TarInfo):
        @classmethod
        def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:  # pyright: ignore[reportIncompatibleMethodOverride]
            nonlocal ended
            try:
                info = super().fromtarfile(archive)
            except tarfile.EOFHeaderError:
                ended = True
                raise
            except tarfile.EmptyHeaderError:
                if not ended:
                    raise tarfile.ReadError("the end mark is missing: the tar may be cut off") from None
                raise
            except tarfile.HeaderError as error:
                raise tarfile.ReadError(f"damaged header ({error})") from error
            ended = False
            return info

        def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
            if self.size < 0 or (self.type in EXTENDED and self.size > MAX_HEADER):
                raise tarfile.ReadError(f"a header says it has {self.size:,} bytes")
            return super()._proc_member(archive)  # pyright: ignore[reportAttributeAccessIssue]

    with path.open("rb") as source:
        magic = source.read(2)
        source.seek(0)
        if not magic:
            return
        mode = "r|gz" if magic == b"\x1f\x8b" else "r|"
        with tarfile.open(fileobj=source, mode=mode, tarinfo=Header, ignore_zeros=True) as tar:
            while (info := tar.next()) is not None:
                yield info, tar
                tar.members.clear()  # or memory grows with the number of members


def _unsafe(info: tarfile.TarInfo) -> str | None:
    if info.name.startswith(("/", "\\")) or ".." in PurePosixPath(info.name.replace("\\", "/")).parts:
        return "the member's name leads out of the archive"
    if printable(info.name) != info.name:
        return "the member's name is no UTF-8"
    if not (info.isfile() or info.isdir()):
        return "the member is a link or a device, not a file"
    return None


def _text(members: list[Member], field: str) -> tuple[str | None, str | None]:
    by_ending = {name.rsplit(".", 1)[-1].lower(): data for name, data in members if "." in name}
    for ending in TEXT_MEMBERS:
        if ending not in by_ending:
            continue
        data = by_ending[ending]
        try:
            if ending != "json":
                return data.decode("utf-8"), None
            record = orjson.loads(data)
        except UnicodeDecodeError as error:
            return None, f"invalid UTF-8 at byte {error.start} of .{ending}"
        except orjson.JSONDecodeError as error:
            return None, f"bad JSON in .json: {error}"
        value = (
            next((record[f] for f in (field, "text", "caption") if f in record), None)
            if isinstance(record, dict)
            else None
        )
        return (value, None) if isinstance(value, str) else (None, text_problem(value, field))
    return None, "the sample has no .txt, .caption or .json"


def write(block: Block, tables: Iterator[pa.Table], path: str) -> int:
    """Write the samples' members, unchanged in name and content, with fixed times so that bytes repeat."""
    rows = 0
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for table in tables:
            for members in table.column("members").to_pylist():
                rows += 1
                for member in members:
                    info = tarfile.TarInfo(member["name"])
                    info.size = len(member["data"])
                    tar.addfile(info, io.BytesIO(member["data"]))
    return rows


def _source(samples: list[list[Member]]) -> pa.Table:
    rows = [[{"name": name, "data": data} for name, data in sample] for sample in samples]
    return pa.table({"members": pa.array(rows, MEMBERS)})
