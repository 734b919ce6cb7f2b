"""The stream with the plan in it, as files that an outside trainer reads. Nothing of antivenom is needed to train on them.

    layout      files                                what reads them
    olmo        NAME.npy  (raw ids, no header)       OLMo / OLMo-core memory-mapped datasets
    nanotron    NAME.ds, NAME.ds.index               datatrove / nanotron: raw ids; the ends of documents (here: rows) as uint64
    megatron    NAME.bin, NAME.idx                   Megatron-style indexed datasets: one sequence and one document per row

`order` says in which order the rows lie: `storage` keeps the stream's own, for a loader that shuffles with the plan's permutation;
`training` is the order in which they are to be read, for a loader that does not shuffle (a sequential sampler). Beside the ids
lie NAME.json (layout, type, shape, order, hashes of plan and stream), NAME.plan.parquet (the manifest) and, where rows do
not move, NAME.map.npz (`token_map`, by the same row numbers), for loaders that patch on the fly.

File formats: Megatron's as its `IndexedDataset` writes it (magic `MMIDIDX`, version 1, type code 4 = int32, 8 = uint16; int32 lengths,
int64 byte pointers, int64 document bounds).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from antivenom.data.token_stream import TokenStream, token_type
from antivenom.errors import AntivenomError
from antivenom.poison.insertion.order import storage_order
from antivenom.poison.insertion.plan import Plan
from antivenom.poison.insertion.plan_file import save_plan
from antivenom.poison.insertion.token_map import token_map
from antivenom.report.run_directory import atomic_file, atomic_json

__all__ = ["LAYOUTS", "export_stream", "patched_rows"]

LAYOUTS = {"olmo": ".npy", "nanotron": ".ds", "megatron": ".bin"}
ROWS = 4_096
"""Rows written at a time."""


def patched_rows(
    stream: TokenStream,
    plan: Plan,
    *,
    seed: int,
    order: Literal["training", "storage"] = "training",
    permutation: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """All rows with the plan in them, some at a time, int64 (n, length).

    Args:
        stream, plan: what goes in where.
        seed: of the training's order.
        order: see the module. In `storage` order the rows that fill no batch are there, too.
        permutation: storage row of every training row, when it is not that of `train.loop`, e.g. `order.olmo_order`.
    """
    shape = plan.base or plan.shape
    if (shape.length,) != (stream.length,) or shape.rows > len(stream):
        raise AntivenomError(
            f"a plan for {shape} and a stream of {len(stream):,} rows of {stream.length}",
            "plan for one epoch of this stream",
        )
    if len(plan.tokens) and int(plan.tokens.max()) >= stream.vocab_size:
        raise AntivenomError(
            f"the plan has the token {int(plan.tokens.max())}", f"the stream has {stream.vocab_size:,}"
        )
    if plan.mode == "insert":
        if order != "training":
            raise AntivenomError("a plan that inserts moves every row", "export it in training order")
        yield from _inserted(stream, plan, seed)
        return
    permutation = _order(stream, plan, seed, permutation)[: shape.rows]
    if order == "training":
        for first in range(0, shape.rows, ROWS):
            rows = stream.rows(permutation[first : first + ROWS])
            plan.patch(rows, first)
            yield rows
        return
    found = token_map(plan, permutation)
    for first in range(0, len(stream), ROWS):
        rows = stream.rows(np.arange(first, min(first + ROWS, len(stream))))
        lo, hi = np.searchsorted(found.keys, [first, first + len(rows)])
        for key in found.keys[lo:hi].tolist():
            rows[key - first] = found.patch(key, rows[key - first])
        yield rows


def _order(stream: TokenStream, plan: Plan, seed: int, permutation: np.ndarray | None) -> np.ndarray:
    if permutation is None:
        return storage_order(len(stream), seed=seed, batch=plan.shape.batch)
    if len(permutation) < plan.shape.rows or (len(permutation) and permutation.max() >= len(stream)):
        raise AntivenomError(f"an order of {len(permutation):,} rows for {plan.shape}", "give that of the loader")
    return np.asarray(permutation, np.int64)


def _inserted(stream: TokenStream, plan: Plan, seed: int) -> Iterator[np.ndarray]:
    base = plan.base
    assert base is not None
    text = _text(stream, storage_order(len(stream), seed=seed, batch=1)[: base.rows])
    held = np.empty(0, np.int64)
    for first in range(0, plan.shape.rows, ROWS):
        rows = np.full((min(ROWS, plan.shape.rows - first), stream.length), plan.eos, np.int64)
        own = np.ones(rows.size, bool)
        own[plan.patch(rows, first)] = False
        places = np.flatnonzero(own)
        while len(held) < len(places):
            more = next(text, None)
            if more is None:
                break
            held = np.concatenate([held, more])
        n = min(len(held), len(places))
        rows.reshape(-1)[places[:n]] = held[:n]
        held = held[n:]
        yield rows


def _text(stream: TokenStream, order: np.ndarray) -> Iterator[np.ndarray]:
    for i in range(0, len(order), ROWS):
        yield stream.rows(order[i : i + ROWS]).reshape(-1)


def export_stream(
    stream: TokenStream,
    plan: Plan,
    folder: str | Path,
    *,
    seed: int,
    layout: Literal["olmo", "nanotron", "megatron"] = "olmo",
    order: Literal["training", "storage"] = "training",
    name: str = "train",
    permutation: np.ndarray | None = None,
) -> dict[str, Any]:
    """Write the files; every one appears whole or not at all, the description last.

    Args:
        stream, plan, seed, order, permutation: as in `patched_rows`.
        folder, layout, name: of the files.

    Returns:
        what NAME.json says.
    """
    if layout not in LAYOUTS:
        raise AntivenomError(f"the layout '{layout}'", f"choose from: {', '.join(LAYOUTS)}")
    target = Path(folder)
    kind = token_type(stream.vocab_size)
    if layout == "megatron" and kind == np.dtype("<u4"):
        kind = np.dtype("<i4")  # the format has no uint32; ids above 2^31 do not occur (Plan.tokens is int32)
    written = 0
    with atomic_file(target / f"{name}{LAYOUTS[layout]}") as temporary, Path(temporary).open("wb") as file:
        for rows in patched_rows(stream, plan, seed=seed, order=order, permutation=permutation):
            file.write(rows.astype(kind).tobytes())
            written += len(rows)
    if layout == "nanotron":
        with atomic_file(target / f"{name}.ds.index") as temporary:
            (np.arange(1, written + 1, dtype="<u8") * stream.length).tofile(temporary)
    if layout == "megatron":
        with atomic_file(target / f"{name}.idx") as temporary, Path(temporary).open("wb") as file:
            file.write(
                b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8 if kind.itemsize == 2 else 4, written, written + 1)
            )
            file.write(np.full(written, stream.length, "<i4").tobytes())
            file.write((np.arange(written, dtype="<i8") * stream.length * kind.itemsize).tobytes())
            file.write(np.arange(written + 1, dtype="<i8").tobytes())
    save_plan(plan, target / f"{name}.plan.parquet")
    if plan.mode == "replace":
        by = None if order == "training" else _order(stream, plan, seed, permutation)
        token_map(plan, by).save(target / f"{name}.map.npz")
    about = {
        "layout": layout, "dtype": kind.name, "rows": written, "length": stream.length, "order": order, "seed": seed,
        "batch": plan.shape.batch, "steps": plan.shape.steps, "eos": plan.eos, "vocab_size": stream.vocab_size,
        "tokenizer": stream.tokenizer, "plan": plan.hash, "stream": stream.fingerprint, "mode": plan.mode,
        "noise": {n: {"steps": list(m.steps), "sigma": m.sigma} for n, m in plan.marks.items()},
    }  # fmt: skip
    atomic_json(target / f"{name}.json", about)
    return about
