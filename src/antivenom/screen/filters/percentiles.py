"""The percentile split of a scored corpus: the lowest 2 %, the highest 2 %, and the middle between them.

Source: Gehman et al. 2020 (RealToxicityPrompts), section 5 and its code: documents that gave a prompt are taken out, the rest is
ranked by toxicity and cut by SQL's NTILE(100); tiles 1-2 are `lte2`, tiles 99-100 are `gte99`, and `mid20` is a random draw from
tiles 40-59, as large as `lte2`: what is trained on it shows what the amount of text does by itself.

A row without a score has no rank: it is in no part, and is counted. Ties go by the hash of the row's id, then by its place, so that
every row has one tile whatever the blocks.

    rank     per block: the rows that take part, as integers that sort like their scores
    deal     per block: the rows of each part, written back in the corpus's own format
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as kinds

from antivenom.data.corpus import Corpus, read_block, write_rows
from antivenom.data.rows import Batch, Block
from antivenom.errors import AntivenomError
from antivenom.report.run_directory import RunDirectory, apart, atomic_file, fingerprint
from antivenom.screen.engine import map_blocks
from antivenom.screen.filters.order import (
    Cut,
    code_of,
    draws,
    id_keys,
    ntile_bounds,
    place,
    place_keys,
    select,
    value_of,
)
from antivenom.screen.parts import part
from antivenom.screen.scoring.stage import values_of
from antivenom.screen.scoring.store import ScoreStore, scorer_folder

__all__ = ["PARTS", "TILES", "split_corpus"]

TILES = 100
PARTS: dict[str, tuple[int, int]] = {"lte2": (1, 2), "mid20": (40, 59), "gte99": (99, 100)}
"""Part -> its first and last tile, counted from 1."""
MIDDLE = "mid20"
CHANGED = "the corpus changed after it was scored: score it again into a new --out"


def split_corpus(
    source: str | Path | ScoreStore,
    corpus: str | Path | Corpus,
    out: str | Path,
    *,
    by: str | None = None,
    exclude: Sequence[str] | set[str] = (),
    middle: Literal["balanced", "all"] = "balanced",
    seed: int = 0,
    runner: str = "native",
    workers: int | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> dict[str, Any]:
    """Write `out/lte2`, `out/mid20` and `out/gte99`; the one function behind `antivenom split`.

    Args:
        source: the run directory with the scores, or its store.
        corpus: what was scored; a path is opened as it was then.
        out: the folder to write; a split that was cut off goes on where it stopped.
        by: the score (`toxicity`), or a further column of it (`toxicity.insult`); may be left out where there is only one.
        exclude: ids of rows that must be in no part: those that gave the prompts (trap T21).
        middle: `balanced` draws as many rows of the middle as `lte2` has, `all` takes them all.
        seed: for that draw.
        runner: `native`, `ray` or `loop`; all give equal files.
        workers: parallel workers of the native runner.
        overwrite: replace another split in `out`.
        command: the command line, for the record.

    Returns:
        The record in `out/run.json`: `counts` (rows = parts + between + unscored + excluded) and `parts`.

    Raises:
        AntivenomError: another corpus than the one scored, an unknown score, fewer than 100 rows with one, or ids to exclude of
            which the corpus has none.
    """
    store = source if isinstance(source, ScoreStore) else ScoreStore.open(source)
    label, column = _column(store, by)
    if overwrite:
        apart(out, store.folder, *([] if isinstance(corpus, Corpus) else [corpus]))
    rows = corpus if isinstance(corpus, Corpus) else store.corpus_at(corpus)
    store.check_corpus(rows.describe())
    store.parts(label)  # refuses scores that are not complete
    blocks, ids = rows.blocks(), sorted(set(exclude))
    identity = store.identities()[label]
    config = {
        "corpus": rows.describe(),
        "score": {"label": label, "column": column, "identity": identity.record()},
        "exclude": fingerprint(ids),
        "middle": middle,
        "seed": seed,
    }
    with RunDirectory.open(out, config, overwrite=overwrite) as run:
        if run.complete:
            return run.read()
        engine: dict[str, Any] = {"markers": run.work / "markers", "runner": runner, "workers": workers}
        with run.step("rank") as step:
            ranked = map_blocks(_Rank(run.work, store.folder, label, column, ids, seed), blocks, stage="rank", **engine)
            step.count(ranked)
        found = {known for block in ranked for known in block["found"]}
        if ids and not found:
            what = f"none of the {len(ids):,} ids to exclude is in the corpus (first: '{ids[0][:80]}')"
            raise AntivenomError(
                what, "give the rows that this corpus gave; ids must be made the same way (--id-field)"
            )
        n = sum(block["ranked"] for block in ranked)
        if n < TILES:
            what = f"{n} rows have a score '{by or label}' and are not excluded"
            raise AntivenomError(what, f"{TILES} percentiles need {TILES} rows or more")
        slices, expected = _slices(run.work, blocks, n, middle)
        with run.step("deal") as step:
            deal = _Deal(run.work, run.path, rows.suffix, store.folder, label, ids, slices)
            dealt = map_blocks(deal, blocks, stage="deal", **engine)
            step.count(dealt)
        parts = [_part_record(name, expected[name], [block["parts"][name] for block in dealt]) for name in PARTS]
        counts = {
            "rows": sum(block["rows"] for block in ranked),
            **{one["name"]: one["rows"] for one in parts},
            "between": n - sum(expected.values()),
            "unscored": sum(block["unscored"] for block in ranked),
            "excluded": sum(block["excluded"] for block in ranked),
        }
        _add_up(counts, expected)
        record = {
            "verb": "split",
            "command": list(command),
            "corpus": rows.describe() | {"blocks": len(blocks)},
            "score": config["score"] | {"key": identity.key, "higher_is": identity.higher_is},
            "counts": counts,
            "parts": parts,
            "exclude": {"ids": len(ids), "found": len(found), "rows": counts["excluded"]},
            "middle": middle,
            "seed": seed,
            "warnings": _ties(parts),
        }
        run.finish(record)
        run.clean()
    return run.read()


def _column(store: ScoreStore, by: str | None) -> tuple[str, str]:
    """(label, column of the store) of what users type."""
    known = ", ".join(store.labels)
    if by is None:
        if len(store.labels) != 1:
            raise AntivenomError(f"{store.folder} holds several scores", f"name one of them with --by: {known}")
        return store.labels[0], "score"
    if by in store.labels:
        return by, "score"
    owners = [label for label in store.labels if by.startswith(f"{label}.")]
    if not owners:
        raise AntivenomError(f"there are no scores of '{by}' in {store.folder}", f"there are: {known}")
    label = max(owners, key=len)
    name = by[len(label) + 1 :]
    fields = {field.name: field.type for field in store.schema(label)}
    if name not in store.columns(label) or not (kinds.is_floating(fields[name]) or kinds.is_integer(fields[name])):
        numbers = [c for c in store.columns(label) if kinds.is_floating(fields[c]) or kinds.is_integer(fields[c])]
        raise AntivenomError(
            f"'{label}' has no column of numbers '{name}'", f"there are: {', '.join(numbers) or 'none'}"
        )
    return label, name


@dataclass
class _Rank:
    """Of one block the rows that take part: `code` (sorts like the score), `key` (hash of the id), `drawn` (of `mid20`), `row`."""

    work: Path
    folder: Path
    label: str
    column: str
    exclude: list[str]
    seed: int

    def __call__(self, block: Block) -> dict:
        table = _read(self.folder, self.label, block.index, ["id", "file", "position", self.column])
        values = values_of(table, self.column)
        out = _within(table.column("id"), self.exclude)
        scored = ~np.isnan(values)
        there = scored & ~out
        rows = np.flatnonzero(there)
        chosen = table.take(pa.array(rows))
        keys = id_keys(chosen.column("id").to_pylist())
        places = place_keys(chosen.column("file"), chosen.column("position"))
        drawn = draws(keys, self.seed, "percentiles", MIDDLE, salt=places)
        path = part(self.work, "ranks", block.index, "npz")
        with atomic_file(path) as temporary, Path(temporary).open("wb") as file:
            np.savez(file, code=code_of(values[there]), key=keys, drawn=drawn, row=rows)
        found = pc.unique(table.column("id").filter(pa.array(out))).to_pylist()
        counts = {"unscored": int((~scored & ~out).sum()), "excluded": int(out.sum()), "ranked": len(rows)}
        return {"rows": len(values), "bytes": block.size, "found": found, **counts}


@dataclass(frozen=True)
class _Slice:
    """The rows of a part: after `low` (None: from the first on), up to `high`, and of these the draws up to `drawn` (None: all)."""

    low: Cut | None
    high: Cut
    drawn: Cut | None = None

    def mask(self, block: int, ranks: dict[str, np.ndarray]) -> np.ndarray:
        """Which of a block's ranked rows are in it."""
        triple = _triple(block, ranks)
        inside = self.high.reached(*triple)
        if self.low is not None:
            inside &= ~self.low.reached(*triple)
        if self.drawn is not None:
            inside &= self.drawn.reached(*_drawn(block, ranks))
        return inside


def _slices(
    work: Path, blocks: Sequence[Block], n: int, middle: Literal["balanced", "all"]
) -> tuple[dict[str, _Slice], dict[str, int]]:
    """Where the parts begin and end, and how many rows each must have."""
    bounds = ntile_bounds(n, TILES)
    edges = {name: (bounds[first - 1], bounds[last]) for name, (first, last) in PARTS.items()}
    ranks = sorted({at - 1 for pair in edges.values() for at in pair if at})

    def stream() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for block in blocks:
            yield _triple(block.index, _ranks(work, block.index))

    cuts = dict(zip(ranks, select(stream, ranks), strict=True))
    slices = {name: _Slice(cuts.get(low - 1), cuts[high - 1]) for name, (low, high) in edges.items()}
    expected = {name: high - low for name, (low, high) in edges.items()}
    wanted = expected["lte2"]
    if middle == "balanced" and wanted < expected[MIDDLE]:
        whole = slices[MIDDLE]

        def drawn() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            for block in blocks:
                found = _ranks(work, block.index)
                inside = whole.mask(block.index, found)
                code, key, sequence = _drawn(block.index, found)
                yield code[inside], key[inside], sequence[inside]

        slices[MIDDLE] = _Slice(whole.low, whole.high, select(drawn, [wanted - 1])[0])
        expected[MIDDLE] = wanted
    return slices, expected


@dataclass
class _Deal:
    """Writes a block's share of each part; a part without rows here has no file of this block."""

    work: Path
    out: Path
    suffix: str
    folder: Path
    label: str
    exclude: list[str]
    slices: dict[str, _Slice]

    def __call__(self, block: Block) -> dict:
        ranks = _ranks(self.work, block.index)
        scored = _read(self.folder, self.label, block.index, ["id"]).column("id")
        parts: dict[str, dict[str, Any]] = {}
        for name, one in self.slices.items():
            inside = one.mask(block.index, ranks)
            chosen = np.zeros(len(scored), bool)
            chosen[ranks["row"][inside]] = True
            parts[name] = {"rows": int(chosen.sum()), "bytes": 0, "lowest": None, "highest": None}
            if chosen.any():
                codes = ranks["code"][inside]
                parts[name] |= {"lowest": value_of(int(codes.min())), "highest": value_of(int(codes.max()))}
                parts[name]["bytes"] = self._write(block, name, chosen, scored)
        return {"rows": len(scored), "bytes": block.size, "parts": parts}

    def _write(self, block: Block, name: str, chosen: np.ndarray, scored: pa.ChunkedArray) -> int:
        """Write the chosen rows; returns the bytes of their texts."""
        size = [0]

        def rows() -> Iterator[pa.Table]:
            first = 0
            for batch in read_block(block):
                ids = batch.rows.column("id")
                if not ids.equals(scored.slice(first, len(batch)).cast(ids.type)):
                    raise AntivenomError(f"block {block.index} does not hold the rows that were scored", CHANGED)
                mask = chosen[first : first + len(batch)]
                first += len(batch)
                if mask.any():
                    self._apart(name, batch, mask)
                    size[0] += int(pc.sum(pc.binary_length(batch.texts.filter(pa.array(mask)))).as_py() or 0)
                    yield batch.source if mask.all() else batch.source.filter(pa.array(mask))
            if first != len(chosen):
                raise AntivenomError(f"{len(chosen)} rows of a block were scored, {first} were read", CHANGED)

        with atomic_file(self.out / name / f"part-{block.index:05d}{self.suffix}") as temporary:
            write_rows(block, rows(), temporary)
        return size[0]

    def _apart(self, name: str, batch: Batch, mask: np.ndarray) -> None:
        """Asserts on the rows about to be written that none gave a prompt (T21), from their own ids."""
        ids = batch.rows.column("id").filter(pa.array(mask))
        if shared := int(_within(ids, self.exclude).sum()):
            raise AntivenomError(f"{shared} excluded rows were about to be written into {name}", CHANGED)


def _within(ids: pa.ChunkedArray, wanted: list[str]) -> np.ndarray:
    found = pc.is_in(ids, value_set=pa.array(wanted, ids.type))
    return found.to_numpy(zero_copy_only=False).astype(bool)


def _read(folder: Path, label: str, index: int, columns: list[str]) -> pa.Table:
    path = scorer_folder(folder, label) / f"part-{index:05d}.parquet"
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise AntivenomError(f"{path} cannot be read: {str(error).splitlines()[0]}", CHANGED) from error


def _ranks(work: Path, index: int) -> dict[str, np.ndarray]:
    with np.load(part(work, "ranks", index, "npz"), allow_pickle=False) as file:
        return dict(file)


def _triple(block: int, ranks: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return ranks["code"], ranks["key"], place(block, ranks["row"])


def _drawn(block: int, ranks: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    drawn = ranks["drawn"]
    return (drawn >> np.uint64(32)).astype(np.uint32), drawn, place(block, ranks["row"])


def _part_record(name: str, expected: int, found: list[dict[str, Any]]) -> dict[str, Any]:
    def of(key: str, best: Callable[..., float]) -> float | None:
        return best((one[key] for one in found if one[key] is not None), default=None)

    return {
        "name": name,
        "tiles": list(PARTS[name]),
        "rows": sum(one["rows"] for one in found),
        "expected": expected,
        "bytes": sum(one["bytes"] for one in found),
        "lowest": of("lowest", min),
        "highest": of("highest", max),
    }


def _ties(parts: list[dict[str, Any]]) -> list[str]:
    """Neighbouring parts that meet in one score: what tells their rows apart there is the hash of the id."""
    return [
        f"{low['name']} and {high['name']} both hold rows with the score {low['highest']:.4g}: there only ties tell them apart"
        for low, high in pairwise(parts)
        if low["rows"] and high["rows"] and low["highest"] == high["lowest"]
    ]


def _add_up(counts: dict[str, int], expected: dict[str, int]) -> None:
    wrong = {name: (counts[name], n) for name, n in expected.items() if counts[name] != n}
    whole = sum(n for name, n in counts.items() if name != "rows")
    if wrong or whole != counts["rows"]:
        raise AntivenomError(f"the parts do not add up: {counts}, expected {expected}", CHANGED)
