"""Rows of image-caption files, format by format: caption, label, and the picture as bytes or the place where they are."""

import json
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import orjson
import pyarrow as pa

from antivenom.data.corpus import Corpus, open_corpus
from antivenom.data.image_store import Place
from antivenom.data.readers import READERS, image_folder, parquet
from antivenom.data.rows import Quarantined
from antivenom.errors import AntivenomError

__all__ = ["Found", "column_names", "find_rows"]

IMAGE_COLUMNS = (
    "image", "image_path", "filepath", "file_path", "path", "file", "file_name", "filename", "img", "jpg", "jpeg", "png",
    "webp",
)  # fmt: skip
PICTURES = tuple(ending.lstrip(".") for ending in image_folder.IMAGES)
MAX_ROW = 64 * 2**20
FOLDER = "folder"
ADDRESS = "the picture is a web address: fetch it first"


@dataclass(frozen=True)
class Found:
    """A row as its file has it; `problem` says why it has no picture."""

    id: str
    caption: Any
    label: Any
    picture: bytes | Place
    file: str
    position: int
    problem: str | None = None
    id_given: bool = False


def find_rows(
    source: str | Path,
    *,
    image: str | None,
    caption: str | None,
    label: str | None,
    id_field: str | None,
    format: str | None,
    split: str | None,
    limit: int | None,
) -> Iterator[Found | Quarantined]:
    """The rows of a source, in order; arguments as in `image_text.open_pairs`."""
    path = Path(source)
    if format == "saved" or (path.is_dir() and any((path / n).is_file() for n in ("state.json", "dataset_dict.json"))):
        rows = _saved(path, split or "train", image, caption, label, id_field)
        yield from islice(rows, limit)
        return
    if caption == FOLDER:
        yield from islice(_by_folder(path), limit)
        return
    corpus = _corpus(str(source), caption, format, limit)
    form = corpus.format
    if form not in ("csv", "parquet", "webdataset", "images"):
        raise AntivenomError(
            f"'{source}' is of format '{form}', which holds no pictures",
            "give CSV, TSV, Parquet, a WebDataset tar, an image folder or a saved dataset",
        )
    if form == "webdataset":
        yield from _tars(corpus, label, id_field)
        return
    if form == "images":
        yield from _folder(corpus)
        return
    names = list(READERS[form].fields(corpus.root, corpus.files[0], corpus.options))
    columns = _columns(str(source), names, image, label, id_field)
    corpus.options["id_field"] = columns["id"]
    for batch in corpus.batches():
        yield from batch.quarantined
        if len(batch):
            yield from _table_rows(batch.rows, batch.source, columns, Path(corpus.root))


def column_names(source: str | Path, *, format: str | None = None, split: str | None = None) -> tuple[str, ...]:
    """The columns of a table of pairs; () for a source that is no table, or cannot be read."""
    path = Path(source)
    try:
        if format == "saved" or (
            path.is_dir() and any((path / n).is_file() for n in ("state.json", "dataset_dict.json"))
        ):
            folder = path / (split or "train") if (path / "dataset_dict.json").is_file() else path
            first = json.loads((folder / "state.json").read_bytes())["_data_files"][0]["filename"]
            with pa.memory_map(str(folder / first)) as mapped, pa.ipc.open_stream(mapped) as stream:
                return tuple(stream.schema.names)
        if path.is_dir() and format is None:
            return ()
        corpus = _corpus(str(source), None, format, 1)
        return tuple(READERS[corpus.format].fields(corpus.root, corpus.files[0], corpus.options)) if (
            corpus.format in ("csv", "parquet")
        ) else ()  # fmt: skip
    except (AntivenomError, OSError, ValueError, KeyError, IndexError, TypeError, pa.ArrowException):
        return ()


def _corpus(source: str, caption: str | None, format: str | None, limit: int | None) -> Corpus:
    options: dict[str, Any] = {"format": format, "limit": limit, "max_row_bytes": MAX_ROW}
    try:
        try:
            return open_corpus(source, text_field=caption or "caption", **options)
        except AntivenomError as error:
            if caption or "has no field" not in error.what:
                raise
            return open_corpus(source, **options)
    except AntivenomError as error:
        raise AntivenomError(error.what, error.mend.replace("--text-field", "--caption")) from None


def _columns(
    source: str, names: list[str], image: str | None, label: str | None, id_field: str | None
) -> dict[str, str | None]:
    found = image or next((name for name in IMAGE_COLUMNS if name in names), None)
    for what, name in (("image", found), ("label", label), ("id", id_field)):
        if (name is None and what == "image") or (name is not None and name not in names):
            told = f"'{source}' has no column '{name}'" if name else f"'{source}' has no picture column of a usual name"
            raise AntivenomError(told, f"name it with --{what}; the columns are: {', '.join(names[:30])}")
    return {"image": found, "label": label, "id": id_field or ("id" if "id" in names else None)}


def _table_rows(rows: pa.Table, source: pa.Table, columns: dict[str, str | None], root: Path) -> Iterator[Found]:
    pictures = source.column(columns["image"] or "").to_pylist()
    labels = source.column(columns["label"]).to_pylist() if columns["label"] else [None] * len(pictures)
    captions, files, positions, ids = (rows.column(n).to_pylist() for n in ("text", "file", "position", "id"))
    for row_id, caption, label, picture, file, position in zip(
        ids, captions, labels, pictures, files, positions, strict=True
    ):
        made, name, problem = _picture(picture, (root / file).parent)
        given = columns["id"] is not None
        shown = row_id if given else name or f"{file}:{position}"
        yield Found(shown, caption, _plain(label), made, file, position, problem, given)


def _picture(value: Any, folder: Path) -> tuple[bytes | Place, str | None, str | None]:
    """(the picture, its name, why there is none); a struct of bytes and path is how Hugging Face keeps pictures."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes | bytearray):
        return bytes(value), None, None if value else "the picture is empty"
    if value is None or not isinstance(value, str) or not value.strip():
        return b"", None, "the picture is missing"
    if value.startswith(("http://", "https://")):
        return b"", value, ADDRESS
    if "\0" in value:
        return b"", None, "the picture's path is no path"
    return Place(str(folder / value)), value, None


def _plain(label: Any) -> Any:
    return str(label) if isinstance(label, int | bool) else label


def _tars(corpus: Corpus, label: str | None, id_field: str | None) -> Iterator[Found | Quarantined]:
    corpus.options["id_field"] = "__key__"
    places = {file: _members(Path(corpus.root, file)) for file in corpus.files}
    for batch in corpus.batches():
        yield from batch.quarantined
        for row, members in zip(batch.rows.to_pylist(), batch.source.column("members").to_pylist(), strict=True):
            by_ending = {m["name"].rsplit(".", 1)[-1].lower(): m for m in members}
            picture = next((m for ending, m in by_ending.items() if ending in PICTURES), None)
            about: dict[str, Any] = {}
            if (label or id_field) and "json" in by_ending:
                about = orjson.loads(by_ending["json"]["data"])  # the reader has read it already
            if "cls" in by_ending:
                about.setdefault("cls", by_ending["cls"]["data"].decode("utf-8", "replace").strip())
            key = row["id"] if len(corpus.files) == 1 else f"{row['file']}:{row['id']}"
            given = id_field is not None and id_field != "__key__"
            row_id = str(about.get(id_field or "") or key) if given else key
            where = (places.get(row["file"]) or {}).get(picture["name"], []) if picture else []
            made = where.pop(0) if where else (picture["data"] if picture else b"")
            problem = None if picture else "the sample has no picture"
            yield Found(
                row_id, row["text"], _plain(about.get(label)) if label else None, made, row["file"], row["position"],
                problem, given,
            )  # fmt: skip


def _members(path: Path) -> dict[str, list[Place]]:
    """Where the pictures of a tar are; {} for a compressed or a damaged one, whose pictures are spooled."""
    found: dict[str, list[Place]] = defaultdict(list)
    try:
        with tarfile.open(path, "r:") as tar:
            while (info := tar.next()) is not None:
                if info.isreg() and info.name.lower().endswith(image_folder.IMAGES):
                    found[info.name].append(Place(str(path), info.offset_data, info.size))
                tar.members.clear()  # or memory grows with the number of members
    except (tarfile.TarError, OSError, ValueError):
        return {}
    return found


def _folder(corpus: Corpus) -> Iterator[Found | Quarantined]:
    for batch in corpus.batches():
        yield from batch.quarantined
        for row, line in zip(batch.rows.to_pylist(), batch.source.column("line").to_pylist(), strict=True):
            name = orjson.loads(line)["file_name"]
            label = PurePosixPath(name).parent.name or None
            yield Found(name, row["text"], label, Place(str(Path(corpus.root, name))), name, row["position"])


def _by_folder(root: Path) -> Iterator[Found | Quarantined]:
    """Pictures that lie in the folders of their classes."""
    if not root.is_dir():
        raise AntivenomError(f"there is no folder '{root}'", "give a folder with one folder of pictures per class")
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in image_folder.IMAGES and p.is_file()):
        name = path.relative_to(root).as_posix()
        label = path.parent.name.replace("_", " ") if path.parent != root else None
        problem = image_folder.image_problem(path) or (None if label else "the picture lies in no class's folder")
        yield Found(name, label or "", label, Place(str(path)), name, 1, problem)


def _saved(
    folder: Path, split: str, image: str | None, caption: str | None, label: str | None, id_field: str | None
) -> Iterator[Found | Quarantined]:
    """A dataset as `save_to_disk` writes it: Arrow streams, read without the library `datasets`."""
    mend = "give a folder that `save_to_disk` of Hugging Face datasets wrote"
    try:
        if (folder / "dataset_dict.json").is_file():
            splits = json.loads((folder / "dataset_dict.json").read_bytes())["splits"]
            if split not in splits:
                raise AntivenomError(f"'{folder}' has no split '{split}'", f"it has: {', '.join(splits)}")
            folder = folder / split
        files = [one["filename"] for one in json.loads((folder / "state.json").read_bytes())["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AntivenomError(f"'{folder}' is no saved dataset: {error}", mend) from error
    position = 1
    for file in files:
        try:
            with pa.memory_map(str(folder / file)) as mapped, pa.ipc.open_stream(mapped) as stream:
                names = stream.schema.names
                text = caption or next((n for n in ("caption", "text", "title") if n in names), "caption")
                if text not in names:
                    told = f"name it with --caption; the columns are: {', '.join(names)}"
                    raise AntivenomError(f"'{folder}' has no column '{text}'", told)
                columns = _columns(str(folder), names, image, label, id_field)
                options = {"text_field": text, "id_field": columns["id"], "max_row_bytes": MAX_ROW}
                for part in stream:
                    for at in range(0, part.num_rows, 1_024):
                        table = pa.Table.from_batches([part.slice(at, 1_024)])
                        batch = parquet.read_table(table, file, position, options)
                        position += table.num_rows
                        yield from batch.quarantined
                        yield from _table_rows(batch.rows, batch.source, columns, folder)
        except (OSError, pa.ArrowException) as error:
            raise AntivenomError(f"'{folder / file}' cannot be read: {error}", mend) from error
