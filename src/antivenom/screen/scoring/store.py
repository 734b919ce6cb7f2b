"""The score store: scores lie BESIDE the text, one folder per scorer, so that a corpus is scored once and cut many ways.

    scores/<label>/identity.json         who scored (`Identity`), which corpus, how many parts there must be
    scores/<label>/part-00000.parquet    id, file, position, score, reason, and the scorer's own columns; one part per block

Rows keep the corpus's order, so that scorers are joined by (`file`, `position`) in step, with memory for a few thousand rows.
The layout follows Dolma's attributes (Soldaini et al. 2024, section 3): attributes are separate files, never new text.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.data.corpus import Corpus, open_corpus
from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import atomic_file, atomic_json, fingerprint
from antivenom.screen.scoring.guard import same_scorer
from antivenom.screen.scoring.scorer import Identity, Scores

__all__ = ["PartWriter", "ScoreStore", "one_measure", "score_schema", "scorer_folder", "write_identity", "write_part"]

KEYS = ("id", "file", "position")
BASE = (
    pa.field("id", pa.string()),
    pa.field("file", pa.string()),
    pa.field("position", pa.int64()),
    pa.field("score", pa.float32()),
    pa.field("reason", pa.string()),
)
BATCH_ROWS = 4096
AGAIN = "score the corpus again into a new --out"


def scorer_folder(folder: str | Path, label: str) -> Path:
    """Where the parts of a label lie. A label is the spec as typed; what no file name may hold becomes `_` and a hash.

    >>> scorer_folder("scores", "toxicity").name
    'toxicity'
    """
    safe = re.sub(r"[^A-Za-z0-9_=-]", "_", label)
    if safe != label or len(safe) > 80:
        safe = f"{safe[:80]}-{fingerprint(label)[:8]}"
    return Path(folder) / safe


def score_schema(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    """The columns of a part: the row's three keys, score (null when missing), reason, and the scorer's own.

    Raises:
        AntivenomError: when a scorer's column has a name of the store's own.
    """
    taken = sorted(set(columns) & {field.name for field in BASE})
    if taken:
        raise AntivenomError(f"a scorer adds a column '{taken[0]}', which every score table has", "rename the column")
    return pa.schema([*BASE, *(pa.field(name, kind) for name, kind in columns.items())])


def score_table(batch: Batch, scores: Scores, columns: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """The rows of one batch with their scores, in the batch's order; NaN becomes null.

    Raises:
        AntivenomError: when the scorer did not return one value per row, or a missing score without a reason.
    """
    n = len(batch)
    columns = {name: array.type for name, array in scores.columns.items()} if columns is None else columns
    sizes = {"values": len(scores.values), "reasons": len(scores.reasons)}
    sizes |= {name: len(array) for name, array in scores.columns.items()}
    wrong = [f"{size} {name}" for name, size in sizes.items() if size != n]
    if wrong:
        raise AntivenomError(f"a scorer returned {', '.join(wrong)} for {n} rows", "it must return one per row")
    if set(scores.columns) != set(columns):
        names = f"{sorted(scores.columns)} instead of {sorted(columns)}"
        raise AntivenomError(f"a scorer returned the columns {names}", "every batch must have the columns it declares")
    values = np.asarray(scores.values, np.float32)
    missing = np.isnan(values)
    silent = next((i for i in np.flatnonzero(missing) if not scores.reasons[i]), None)
    if silent is not None:
        where = f"{batch.rows.column('file')[silent]}:{batch.rows.column('position')[silent]}"
        raise AntivenomError(f"{where} has neither a score nor a reason", "a scorer must say why it cannot score")
    table = batch.rows.select(list(KEYS))
    table = table.append_column("score", pa.array(values, mask=missing))
    table = table.append_column("reason", pa.array(scores.reasons, pa.string()))
    for name in columns:
        table = table.append_column(name, scores.columns[name])
    return table.cast(score_schema(columns))


class PartWriter:
    """Writes the part of one block batch by batch; the file appears whole at the end, or not at all.

        with PartWriter(out / "scores", label, block.index, scorer.columns) as part:
            for batch in read_block(block):
                part.add(batch, scorer.score(batch))

    Args:
        folder: the store, `OUT/scores`.
        label: of the scorer: the spec as typed.
        index: of the block.
        columns: the scorer's `columns`, so that an empty block has them too.
    """

    def __init__(self, folder: str | Path, label: str, index: int, columns: Mapping[str, pa.DataType]):
        self.path = scorer_folder(folder, label) / f"part-{index:05d}.parquet"
        self.columns = dict(columns)
        self.rows = 0
        self._stack = ExitStack()
        self._writer: Any = None

    def __enter__(self) -> "PartWriter":
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_file(self.path))
            schema = score_schema(self.columns)
            self._writer = stack.enter_context(pq.ParquetWriter(temporary, schema, compression="zstd"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def add(self, batch: Batch, scores: Scores) -> None:
        """Append the rows of a batch."""
        table = score_table(batch, scores, self.columns)
        if table.num_rows:
            self._writer.write_table(table)
        self.rows += table.num_rows


def write_part(folder: str | Path, label: str, index: int, batch: Batch, scores: Scores) -> Path:
    """Write a part that is one batch; blocks of several batches go through `PartWriter`. Returns the part's path."""
    columns = {name: array.type for name, array in scores.columns.items()}
    with PartWriter(folder, label, index, columns) as part:
        part.add(batch, scores)
    return part.path


def write_identity(
    folder: str | Path, label: str, identity: Identity, corpus: Mapping[str, Any], *, parts: int | None = None
) -> None:
    """Write identity.json of a label, before its parts.

    Args:
        folder: the store.
        label: of the scorer.
        identity: who scores.
        corpus: `Corpus.describe()`; its hash tells later whether the rows are the same.
        parts: how many parts a finished store has (`len(corpus.blocks())`).

    Raises:
        AntivenomError: when the label already holds scores of another scorer or another corpus.
    """
    path = scorer_folder(folder, label) / "identity.json"
    record = {"label": label, "identity": identity.record(), "key": identity.key, "parts": parts}
    record |= {"corpus": dict(corpus), "corpus_hash": fingerprint(dict(corpus))}
    if path.exists():
        before = _read(path)
        same_scorer([_identity(before, path), identity], where=f"the score store {path.parent}")
        if before["corpus_hash"] != record["corpus_hash"]:
            raise AntivenomError(f"{path.parent} holds scores of another corpus", "choose another --out")
    atomic_json(path, record)


@dataclass(frozen=True)
class ScoreStore:
    """The scores of one corpus by any number of scorers."""

    folder: Path
    records: dict[str, dict[str, Any]]

    @classmethod
    def open(cls, folder: str | Path) -> "ScoreStore":
        """Open a store: the folder `scores`, or the run directory around it.

        Raises:
            AntivenomError: when there is none, or its scorers saw different corpora.
        """
        found = Path(folder) / "scores" if (Path(folder) / "scores").is_dir() else Path(folder)
        paths = sorted(found.glob("*/identity.json"))
        if not paths:
            mend = "give the --out folder of `antivenom screen --score ...`"
            raise AntivenomError(f"there are no scores in '{folder}'", mend)
        records: list[dict[str, Any]] = [_read(path) | {"folder": path.parent} for path in paths]
        other = next((r for r in records if r["corpus_hash"] != records[0]["corpus_hash"]), None)
        if other:
            what = f"'{records[0]['label']}' and '{other['label']}' in {found} scored different corpora"
            raise AntivenomError(what, "keep one store per corpus")
        return cls(found, {record["label"]: record for record in records})

    @property
    def labels(self) -> list[str]:
        """The scorers' labels, sorted by folder name."""
        return list(self.records)

    @property
    def corpus_hash(self) -> str:
        """Of the `Corpus.describe()` the scores belong to."""
        return next(iter(self.records.values()))["corpus_hash"]

    def identities(self) -> dict[str, Identity]:
        """label -> who scored."""
        return {label: _identity(record, record["folder"]) for label, record in self.records.items()}

    def check_corpus(self, description: Mapping[str, Any]) -> None:
        """Refuse a corpus that is not the one scored.

        Raises:
            AntivenomError: naming what differs.
        """
        if fingerprint(dict(description)) == self.corpus_hash:
            return
        before = next(iter(self.records.values()))["corpus"]
        now = orjson.loads(orjson.dumps(dict(description), default=str, option=orjson.OPT_NON_STR_KEYS))
        keys = [key for key in sorted(set(before) | set(now)) if before.get(key) != now.get(key)]
        what = f"the scores in {self.folder} belong to another corpus (differs in: {', '.join(keys)})"
        raise AntivenomError(what, AGAIN)

    def corpus_at(self, path: str | Path) -> Corpus:
        """The corpus at `path`, opened with the options it was scored with; `check_corpus` says whether it is the same.

        Raises:
            AntivenomError: when nothing is there, or the options fit no corpus.
        """
        before = next(iter(self.records.values()))["corpus"]
        known = inspect.signature(open_corpus).parameters
        chosen = {name: value for name, value in (before.get("options") or {}).items() if name in known}
        return open_corpus(path, format=before.get("format"), limit=before.get("limit"), **chosen)

    def parts(self, label: str) -> list[Path]:
        """The part files of a label, in block order.

        Raises:
            AntivenomError: for a label that is not there, or whose scoring did not end.
        """
        record = self._record(label)
        found = sorted(record["folder"].glob("part-*.parquet"), key=lambda path: int(path.stem.removeprefix("part-")))
        if record["parts"] is not None and len(found) != record["parts"]:
            what = f"the scores of '{label}' are not complete: {len(found)} of {record['parts']} parts"
            raise AntivenomError(what, "give the same command again: it goes on where it stopped")
        return found

    def columns(self, label: str) -> list[str]:
        """What a label has beside keys and score: `reason` and the scorer's own columns."""
        return self.schema(label).names[len(KEYS) + 1 :]

    def batches(
        self, labels: Sequence[str] | None = None, columns: Sequence[str] | None = None, *, rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The rows with the scores of several labels, joined by (`file`, `position`), in corpus order.

        Args:
            labels: which scorers; all of them when None.
            columns: further columns (`reason` is one), those that a scorer has; None: all.
            rows: at most so many in a batch; the memory needed does not depend on the corpus.

        Yields:
            id, file, position, then per label its score under the label's own name and its columns as `label.column`.

        Raises:
            AntivenomError: for an unknown label or column, or when the labels do not hold the same rows.
        """
        labels = self.labels if labels is None else list(labels)
        kept = {label: [c for c in self.columns(label) if columns is None or c in columns] for label in labels}
        foreign = sorted(set(columns or ()) - {name for names in kept.values() for name in names})
        if foreign:
            known = sorted({name for label in labels for name in self.columns(label)})
            raise AntivenomError(f"no scorer here has a column '{foreign[0]}'", f"there are: {', '.join(known)}")
        streams = [_Stream(label, self.parts(label), [*KEYS, "score", *kept[label]], rows) for label in labels]
        while streams and (size := min(stream.ready() for stream in streams)):
            taken = [stream.take(size) for stream in streams]
            for stream, batch in zip(streams[1:], taken[1:]):
                _same_rows(taken[0], batch, labels[0], stream.label)
            arrays, names = list(taken[0].columns[: len(KEYS)]), list(KEYS)
            for label, batch in zip(labels, taken):
                arrays += [batch.column("score"), *(batch.column(name) for name in kept[label])]
                names += [label, *(f"{label}.{name}" for name in kept[label])]
            yield pa.RecordBatch.from_arrays(arrays, names)
        left = [stream.label for stream in streams if stream.ready()]
        if left:
            short = next(label for label in labels if label not in left)
            raise AntivenomError(f"'{short}' has fewer rows than '{left[0]}' in {self.folder}", AGAIN)

    def table(self, labels: Sequence[str] | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """`batches` as one table, in memory."""
        labels = self.labels if labels is None else list(labels)
        fields = list(BASE[: len(KEYS)])
        for label in labels:
            schema = self.schema(label)
            fields.append(pa.field(label, pa.float32()))
            chosen = [name for name in self.columns(label) if columns is None or name in columns]
            fields += [schema.field(name).with_name(f"{label}.{name}") for name in chosen]
        return pa.Table.from_batches(self.batches(labels, columns), pa.schema(fields))

    def _record(self, label: str) -> dict[str, Any]:
        if label not in self.records:
            raise AntivenomError(
                f"there are no scores of '{label}' in {self.folder}", f"there are: {', '.join(self.records)}"
            )
        return self.records[label]

    def schema(self, label: str) -> pa.Schema:
        """Names and types of a label's columns."""
        parts = self.parts(label)
        try:
            return pq.read_schema(parts[0]) if parts else pa.schema(BASE)
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(parts[0], error) from error


def one_measure(sources: Sequence[tuple[ScoreStore, str]], *, allow_mixed: bool = False) -> pa.Table:
    """Scores of several stores (corpora, runs) put into ONE column, as the same measure.

    Returns:
        source (index), id, file, position, score, reason.

    Raises:
        AntivenomError: when the scorers' identities differ and it was not allowed (`allow_mixed`).
    """
    same_scorer([store.identities()[label] for store, label in sources], allow_mixed=allow_mixed)
    tables = []
    for index, (store, label) in enumerate(sources):
        table = store.table([label], ["reason"]).rename_columns([field.name for field in BASE])
        tables.append(table.add_column(0, "source", pa.array(np.full(table.num_rows, index, np.int32))))
    return pa.concat_tables(tables)


class _Stream:
    """The batches of a label's parts, to be taken in slices."""

    def __init__(self, label: str, parts: list[Path], columns: list[str], rows: int):
        self.label = label
        self._batches = self._read(parts, columns, rows)
        self._batch: pa.RecordBatch | None = None

    @staticmethod
    def _read(parts: list[Path], columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        for path in parts:
            try:
                with pq.ParquetFile(path) as file:
                    yield from file.iter_batches(rows, columns=columns)
            except (pa.ArrowInvalid, OSError) as error:
                raise _damaged(path, error) from error

    def ready(self) -> int:
        """Rows that can be taken now; 0 at the end."""
        while self._batch is None or not self._batch.num_rows:
            self._batch = next(self._batches, None)
            if self._batch is None:
                return 0
        return self._batch.num_rows

    def take(self, rows: int) -> pa.RecordBatch:
        batch = self._batch
        assert batch is not None
        self._batch = batch.slice(rows)
        return batch.slice(0, rows)


def _damaged(path: Path, error: Exception) -> AntivenomError:
    return AntivenomError(f"{path} cannot be read: {str(error).splitlines()[0]}", AGAIN)


def _same_rows(a: pa.RecordBatch, b: pa.RecordBatch, first: str, second: str) -> None:
    if all(a.column(name).equals(b.column(name)) for name in KEYS):
        return
    for x, y in zip(a.select(list(KEYS)).to_pylist(), b.select(list(KEYS)).to_pylist()):
        if x != y:
            rows = f"{x['file']}:{x['position']} / {y['file']}:{y['position']}"
            raise AntivenomError(f"'{first}' and '{second}' do not hold the same rows: {rows}", AGAIN)


def _read(path: Path) -> dict[str, Any]:
    try:
        record = orjson.loads(path.read_bytes())
        if not {"label", "identity", "corpus", "corpus_hash", "parts"} <= record.keys():
            raise ValueError
    except (ValueError, AttributeError) as error:
        raise AntivenomError(f"{path} is no identity of a scorer", AGAIN) from error
    return record


def _identity(record: dict[str, Any], where: Path) -> Identity:
    try:
        return Identity(**record["identity"])
    except TypeError as error:
        raise AntivenomError(f"the identity in {where} was written by another version of antivenom", AGAIN) from error
