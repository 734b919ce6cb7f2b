"""A corpus: files of one format under one root, split into blocks, read as batches, written back unchanged.

corpus = open_corpus("data/*.jsonl")
for block in corpus.blocks():
    for batch in corpus.read(block):
        ...
"""

import glob
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from antivenom.data.readers import READERS, SUFFIXES, image_folder
from antivenom.data.rows import Batch, Block
from antivenom.errors import AntivenomError

__all__ = ["Corpus", "open_corpus", "read_block", "replace_texts", "write_rows"]

BLOCK_BYTES = 16 * 2**20
MAX_ROW_BYTES = 16 * 2**20
TEXT_FIELDS = ("text", "content", "question", "prompt", "instruction", "message", "body", "document", "code", "caption")


@dataclass
class Corpus:
    """Files of one format, and how to read them."""

    root: str
    files: list[str]
    format: str
    options: dict[str, Any]
    block_bytes: int = BLOCK_BYTES
    limit: int | None = None
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """The ending of part files written in this format."""
        return READERS[self.format].SUFFIX

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(self.sizes.values())

    @cached_property
    def _blocks(self) -> list[Block]:
        planned = READERS[self.format].plan(self.root, self.files, self.block_bytes, self.options)
        return [
            Block(index, self.format, self.root, tuple(segments), size, self.options)
            for index, (segments, size) in enumerate(planned)
        ]

    def blocks(self) -> list[Block]:
        """The blocks, the same in every call and in every process."""
        if self.limit is None:
            return self._blocks
        return _first_rows(self._blocks, self.limit)

    def read(self, block: Block) -> Iterator[Batch]:
        """The batches of one block."""
        return read_block(block)

    def batches(self) -> Iterator[Batch]:
        """All batches, in order."""
        return chain.from_iterable(map(read_block, self.blocks()))

    def describe(self) -> dict[str, Any]:
        """What determines the rows: names, sizes, format and options, without the machine's paths."""
        names = {"files": len(self.files), "bytes": self.bytes, "format": self.format, "limit": self.limit}
        return names | {"root": self._name, "options": self.options, "content": self._content}

    @property
    def _name(self) -> str:
        """The file's name, or the folder's: the same from whatever directory it is reached."""
        if len(self.files) == 1 and Path(self.root, self.files[0]).is_file():
            return Path(self.files[0]).name
        return Path(self.root).resolve().name or self.root

    @cached_property
    def _content(self) -> str:
        import hashlib

        digest = hashlib.blake2b(digest_size=16)
        for file in self.files:
            path = Path(self.root, file)
            changed = path.stat().st_mtime_ns if path.exists() else 0
            digest.update(f"{file}\0{self.sizes.get(file, 0)}\0{changed}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def open_corpus(
    path: str | Path,
    *,
    format: str | None = None,
    text_field: str | None = None,
    id_field: str | None = None,
    block_bytes: int = BLOCK_BYTES,
    max_row_bytes: int = MAX_ROW_BYTES,
    limit: int | None = None,
    per_line: bool = False,
    split: str | None = None,
) -> Corpus:
    """Open a corpus.

    Args:
        path: a file, a folder, a glob pattern, or (format `hf`) an id of the Hugging Face hub or a saved dataset.
        format: one of `READERS`; found from the files' endings when not given.
        text_field: the key or column with the text; found by its usual names when not given.
        id_field: a key or column with ids; without it an id is the hash of the text.
        block_bytes: about how many bytes a block has. The rows do not depend on it.
        max_row_bytes: a longer row goes to quarantine without being held in memory.
        limit: read only the first rows.
        per_line: of text files every line is a row.
        split: of a hub dataset.

    Raises:
        AntivenomError: when nothing is there, the format is unclear, or no text field can be found (the message
            lists the fields there are).
    """
    if format is not None and format not in READERS:
        raise AntivenomError(f"there is no format '{format}'", f"choose from: {', '.join(READERS)}")
    options: dict[str, Any] = {"max_row_bytes": max_row_bytes, "text_field": text_field, "id_field": id_field}
    if per_line:
        options["per_line"] = True
    if format == "hf":
        options["split"] = split or "train"
        corpus = Corpus(str(path), [], format, options, block_bytes, limit)
        return _with_text_field(corpus, [options["split"]], str(path))
    root, files = _find(str(path), format)
    format = format or _format(files, str(path))
    corpus = Corpus(str(root), files, format, options, block_bytes, limit)
    corpus.sizes = {file: Path(root, file).stat().st_size for file in files}
    return _with_text_field(corpus, files[:20], str(path))


def read_block(block: Block) -> Iterator[Batch]:
    """The batches of a block: all a worker in another process needs."""
    rows = block.options.get("first_rows")
    if rows is None:
        yield from READERS[block.format].read(block)
        return
    for batch in READERS[block.format].read(block):
        if len(batch) + len(batch.quarantined) > rows:
            keep = max(0, rows - len(batch.quarantined))
            batch = Batch(batch.rows.slice(0, keep), batch.source.slice(0, keep), batch.quarantined[:rows])
        rows -= len(batch) + len(batch.quarantined)
        yield batch
        if rows <= 0:
            return


def write_rows(block: Block, sources: Iterator[pa.Table], path: str) -> int:
    """Write selected `source` rows in the block's format; returns how many."""
    return READERS[block.format].write(block, sources, path)


def replace_texts(block: Block, source: pa.Table, texts: dict[int, str]) -> pa.Table:
    """The same source rows with the texts of some of them replaced.

    Raises:
        AntivenomError: for formats whose rows are not to be rewritten (tar members, images).
    """
    if not texts:
        return source
    replace = getattr(READERS[block.format], "replace", None)
    if replace is None:
        raise AntivenomError(f"rows of format '{block.format}' cannot be cut", "use --mode drop")
    return replace(block, source, texts)


def _first_rows(blocks: list[Block], limit: int) -> list[Block]:
    """As many blocks as hold the first `limit` rows, the last one cut short."""
    chosen: list[Block] = []
    for block in blocks:
        if limit <= 0:
            break
        options = block.options | {"first_rows": limit}
        here = sum(
            len(batch) + len(batch.quarantined) for batch in read_block(Block(**{**vars(block), "options": options}))
        )
        chosen.append(Block(block.index, block.format, block.root, block.segments, block.size, options))
        limit -= here
    return chosen


def _find(path: str, format: str | None) -> tuple[Path, list[str]]:
    target = Path(path)
    if target.is_dir():
        found = sorted(
            p
            for p in target.rglob("*")
            if _regular(p) and not any(part.startswith(".") for part in p.relative_to(target).parts)
        )
        root = target
    elif target.exists():
        found, root = [target], target.parent
    elif glob.has_magic(path):
        found = sorted(p for p in map(Path, glob.glob(path, recursive=True)) if _regular(p))  # noqa: PTH207
        root = Path(path[: next(i for i, c in enumerate(path) if c in "*?[")]).parent
    else:
        mend = "check the path; an id of the Hugging Face hub needs --format hf"
        raise AntivenomError(f"there is no corpus at '{path}'", mend)
    names = [p.relative_to(root).as_posix() for p in found]
    if target.is_file() and not glob.has_magic(path):
        return root, names
    if format is None and target.is_dir():
        images = [n for n in names if n.lower().endswith(image_folder.IMAGES)]
        if images and len(images) * 2 >= len([n for n in names if _suffix_format(n) != "text"] or images):
            return root, images
        kinds = {_suffix_format(n) for n in names} - {None}
        strong = kinds - {"text"}
        wanted = strong if strong else kinds
        names = [n for n in names if _suffix_format(n) in wanted]
    elif format == "images":
        names = [n for n in names if n.lower().endswith(image_folder.IMAGES)]
    elif format is not None and target.is_dir():
        names = [n for n in names if _suffix_format(n) == format] or names
    if not names:
        raise AntivenomError(f"no readable file in '{path}'", f"known endings: {' '.join(sorted(SUFFIXES))}")
    return root, names


def _regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _suffix_format(name: str) -> str | None:
    lower = name.lower()
    endings = ["." + ".".join(lower.rsplit("/", 1)[-1].split(".")[-n:]) for n in (2, 1)]
    return next((SUFFIXES[ending] for ending in endings if ending in SUFFIXES), None)


def _format(files: list[str], path: str) -> str:
    if files and all(f.lower().endswith(image_folder.IMAGES) for f in files):
        return "images"
    kinds = sorted({_suffix_format(f) or "unknown" for f in files})
    if kinds == ["unknown"]:
        raise AntivenomError(
            f"'{path}' has an ending that names no format", f"give --format, one of: {', '.join(READERS)}"
        )
    if len(kinds) > 1:
        raise AntivenomError(
            f"'{path}' holds several formats: {', '.join(kinds)}", "give --format, or a glob of one of them"
        )
    return kinds[0]


def _with_text_field(corpus: Corpus, samples: list[str], path: str) -> Corpus:
    """Settle the text field from the first file that has any; an empty corpus keeps the name asked for."""
    wanted = corpus.options["text_field"]
    found: dict[str, object] = {}
    for file in samples:
        found = READERS[corpus.format].fields(corpus.root, file, corpus.options)
        if found:
            break
    if wanted is None:
        usual = [name for name in TEXT_FIELDS if isinstance(found.get(name), str)]
        if not usual and found:
            mend = f"name it with --text-field; the fields are: {', '.join(map(str, list(found)[:30]))}"
            raise AntivenomError(f"'{path}' has no text field of a usual name", mend)
        wanted = usual[0] if usual else "text"
    elif found and wanted not in found and corpus.format not in ("webdataset", "images", "text"):
        mend = f"the fields are: {', '.join(map(str, list(found)[:30]))}"
        raise AntivenomError(f"'{path}' has no field '{wanted}'", mend)
    named = corpus.options["id_field"]
    if named is not None and found and named not in found and corpus.format not in ("webdataset", "images", "text"):
        mend = f"--id-field names one of: {', '.join(map(str, list(found)[:30]))}"
        raise AntivenomError(f"'{path}' has no field '{named}'", mend)
    corpus.options["text_field"] = wanted
    return corpus
