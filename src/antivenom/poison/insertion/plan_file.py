"""The manifest as a file, signed: Parquet (for any size) or JSON (to be read by people), from which the plan comes back whole.

One line per placement: experiment, condition, item, copy, step, row, column, length, kind, token_hash, tokens. The header (shape, seed, end token,
watermarks, masked rows, record, lineage) lies in the Parquet file's metadata, or under `plan` in the JSON. The hash in it is the plan's;
a file that was changed since is refused.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.errors import AntivenomError
from antivenom.poison.insertion.plan import Plan, token_hash
from antivenom.poison.insertion.shape import RunShape
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark
from antivenom.report.run_directory import atomic_file

__all__ = ["load_plan", "manifest", "save_plan"]

KEY = b"antivenom.plan"


def manifest(plan: Plan, *, tokens: bool = False) -> pa.Table:
    """A line per placement, in training order; with `tokens` what each brings."""
    row, column = np.divmod(plan.start, plan.shape.length)
    step, row = np.divmod(row, plan.shape.batch)
    noise = plan.offsets[1:] == plan.offsets[:-1]
    hashes = ["" if quiet else token_hash(plan.tokens_of(i)) for i, quiet in enumerate(noise.tolist())]
    kinds = pa.DictionaryArray.from_arrays(pa.array(noise.astype(np.int32)), pa.array(["tokens", "noise"]))
    columns = {
        "experiment": pa.DictionaryArray.from_arrays(pa.array(plan.experiment), _texts(plan.experiments)),
        "condition": pa.DictionaryArray.from_arrays(pa.array(plan.condition), _texts(plan.conditions)),
        "item": _texts(plan.ids),
        "copy": pa.array(plan.copies, pa.int32()),
        "step": pa.array(step),
        "row": pa.array(row),
        "column": pa.array(column),
        "length": pa.array(plan.length),
        "kind": kinds,
        "token_hash": _texts(hashes),
    }
    if tokens:
        columns["tokens"] = pa.LargeListArray.from_arrays(pa.array(plan.offsets), pa.array(plan.tokens, pa.int32()))
    return pa.table(columns)


def _texts(values: Any) -> pa.Array:
    return pa.array(list(values), pa.string())


def save_plan(plan: Plan, path: str | Path) -> None:
    """Write the signed manifest: Parquet, or JSON when the name ends so."""
    table = manifest(plan, tokens=True)
    if Path(path).suffix == ".json":
        content = orjson.dumps({"plan": _header(plan), "placements": table.to_pylist()}, option=orjson.OPT_INDENT_2)
        with atomic_file(path) as temporary:
            Path(temporary).write_bytes(content)
        return
    with atomic_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata({KEY: orjson.dumps(_header(plan))}), temporary, compression="zstd")


def load_plan(path: str | Path) -> Plan:
    """What `save_plan` wrote.

    Raises:
        AntivenomError: when it is no plan, or was changed since.
    """
    try:
        if Path(path).suffix == ".json":
            content = orjson.loads(Path(path).read_bytes())
            head, lines = content["plan"], content["placements"]
            given: dict[str, Any] = {key: [line[key] for line in lines] for key in COLUMNS}
            sizes = np.array([len(line["tokens"]) for line in lines], np.int64)
            offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
            tokens = np.array([token for line in lines for token in line["tokens"]], np.int32)
        else:
            table = pq.read_table(path)
            head = orjson.loads((table.schema.metadata or {})[KEY])
            given = {key: table.column(key).to_pylist() for key in COLUMNS}
            lists = table.column("tokens").combine_chunks()
            lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) and lists.num_chunks else lists
            offsets = np.asarray(lists.offsets, np.int64) if len(table) else np.zeros(1, np.int64)
            tokens = (
                np.asarray(lists.values, np.int32)[offsets[0] : offsets[-1]] if len(table) else np.empty(0, np.int32)
            )
            offsets = offsets - offsets[0]
        plan = _plan(head, given, offsets, tokens)
        wanted = head["hash"]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AntivenomError(
            f"'{path}' holds no insertion plan: {error}", "give the file that the planning wrote"
        ) from error
    if plan.hash != wanted:
        raise AntivenomError(f"the plan '{path}' was changed since it was written", "plan anew, or take the first file")
    return plan


COLUMNS = ("experiment", "condition", "item", "copy", "step", "row", "column", "length")


def _header(plan: Plan) -> dict[str, Any]:
    return {
        "hash": plan.hash,
        "shape": asdict(plan.shape),
        "base": asdict(plan.base) if plan.base else None,
        "seed": plan.seed,
        "eos": plan.eos,
        "mode": plan.mode,
        "experiments": plan.experiments,
        "conditions": plan.conditions,
        "marks": {name: asdict(mark) for name, mark in plan.marks.items()},
        "masked": plan.masked.tolist(),
        "record": dict(plan.record),
        "lineage": plan.lineage,
    }


def _plan(head: dict[str, Any], given: dict[str, list], offsets: np.ndarray, tokens: np.ndarray) -> Plan:
    shape = RunShape(**head["shape"])
    experiments, conditions = tuple(head["experiments"]), tuple(head["conditions"])
    code, kind = ({name: i for i, name in enumerate(names)} for names in (experiments, conditions))
    step, row, column = (np.array(given[key], np.int64) for key in ("step", "row", "column"))
    return Plan(
        shape=shape,
        seed=head["seed"],
        eos=head["eos"],
        mode=head["mode"],
        experiments=experiments,
        conditions=conditions,
        experiment=np.array([code[name] for name in given["experiment"]], np.int32),
        condition=np.array([kind[name] for name in given["condition"]], np.int32),
        ids=list(given["item"]),
        copies=np.array(given["copy"], np.int32),
        start=(step * shape.batch + row) * shape.length + column,
        length=np.array(given["length"], np.int64),
        offsets=offsets,
        tokens=tokens,
        base=RunShape(**head["base"]) if head["base"] else None,
        marks={name: GaussianWatermark(**(m | {"steps": tuple(m["steps"])})) for name, m in head["marks"].items()},
        masked=np.array(head["masked"], np.int64),
        record=head["record"],
        lineage=tuple(head["lineage"]),
    )
