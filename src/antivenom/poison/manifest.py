"""The manifest: every row that was touched, how, and the hashes before and after."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.data.rows import content_id
from antivenom.errors import AntivenomError

__all__ = ["Dose", "Manifest", "Touched"]

SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("position", pa.int64()),
        ("attack", pa.string()),
        ("transform", pa.string()),
        ("benchmark", pa.string()),
        ("item_id", pa.string()),
        ("parameters", pa.string()),
        ("seed", pa.int64()),
        ("hash_before", pa.string()),
        ("hash_after", pa.string()),
    ]
)


@dataclass(frozen=True)
class Dose:
    """How much bad data: a count AND a share of a named denominator.

    >>> str(Dose(75, 3_000_000, "pairs"))
    '75 of 3,000,000 pairs (0.0025 %)'
    """

    count: int
    total: int
    of: str

    @property
    def share(self) -> float | None:
        """count / total."""
        return self.count / self.total if self.total else None

    def __str__(self) -> str:
        share = f"{100 * self.share:.4g} %" if self.share is not None else "no share of nothing"
        return f"{self.count:,} of {self.total:,} {self.of} ({share})"


@dataclass(frozen=True)
class Touched:
    """One touched row.

    Args:
        row_id: id of the row as it stands now.
        position: 0-based place in the corpus.
        attack: e.g. `contamination`.
        transform: what was done, e.g. `verbatim`.
        benchmark, item_id: what was planted.
        parameters: of the transform, as plain data.
        seed: of the run.
        hash_before: of the row that stood there ("" for an insertion).
        hash_after: of the row that stands there now.
    """

    row_id: str
    position: int
    attack: str
    transform: str
    item_id: str
    benchmark: str = ""
    parameters: dict = field(default_factory=dict)
    seed: int = 0
    hash_before: str = ""
    hash_after: str = ""


@dataclass
class Manifest:
    """All touched rows of a corpus, and the dose they make."""

    rows: list[Touched]
    dose: Dose

    def save(self, path: str | Path) -> None:
        """Write as Parquet, with the dose in the file's metadata; or as JSON, when the name ends so."""
        if Path(path).suffix == ".json":
            content = {"dose": asdict(self.dose), "rows": [asdict(row) for row in self.rows]}
            Path(path).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
            return
        records = [asdict(row) | {"parameters": orjson.dumps(row.parameters).decode()} for row in self.rows]
        table = pa.Table.from_pylist(records, schema=SCHEMA)
        pq.write_table(table.replace_schema_metadata({"dose": orjson.dumps(asdict(self.dose))}), path)

    @classmethod
    def load(cls, path: str | Path) -> "Manifest":
        """Read what `save` wrote."""
        try:
            if Path(path).suffix == ".json":
                content = orjson.loads(Path(path).read_bytes())
                return cls([Touched(**row) for row in content["rows"]], Dose(**content["dose"]))
            table = pq.read_table(path)
            dose = Dose(**orjson.loads((table.schema.metadata or {})[b"dose"]))
            rows = [Touched(**(r | {"parameters": orjson.loads(r["parameters"])})) for r in table.to_pylist()]
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise AntivenomError(
                f"'{path}' is no manifest: {error}", "give the manifest that the planting wrote"
            ) from error
        return cls(rows, dose)

    def check(self, texts: Iterable[Any]) -> None:
        """Raise when a touched row of the corpus (texts, or (id, text) pairs) is not what the manifest says."""
        wanted = {row.position: row for row in self.rows}
        seen = 0
        mend = "use the corpus that was planted with it"
        for position, text in enumerate(texts):
            row = wanted.get(position)
            if row is not None:
                seen += 1
                if content_id(text if isinstance(text, str) else text[1]) != row.hash_after:
                    raise AntivenomError(f"row {position} is not the one the manifest says ({row.item_id})", mend)
        if seen < len(wanted):
            raise AntivenomError(f"{len(wanted) - seen} rows of the manifest are missing from the corpus", mend)
