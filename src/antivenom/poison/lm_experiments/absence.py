"""Verbatim memorisation by absence (MemV): rows that hold a forbidden text are replaced by others, so that it is never seen.

    a row is replaced when it shares a run of n tokens with a forbidden text

Nothing is put in. The expected result is that many forbidden texts are completed all the same: near-duplicates, templates and runs
shorter than n remain (spec 02, trap 21). An experiment of absence has no row and no column in a dependence test.
"""

from collections.abc import Sequence

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.material import Item, Material

__all__ = ["absence", "rows_with", "verbatim_halves"]


def rows_with(rows: np.ndarray, forbidden: Sequence[np.ndarray], n: int, *, block: int = 4_096) -> np.ndarray:
    """Rows that share a run of n tokens with a forbidden text: their indices, in order. Exact.

    Args:
        rows: int (N, T), e.g. a memory map; read in blocks.
        forbidden: token sequences; one that is shorter than n has no run and is never found.
        n: tokens of a run.
        block: rows at a time.

    Raises:
        AntivenomError: when n is no length of a run in a row.
    """
    if not 1 <= n <= rows.shape[1]:
        raise AntivenomError(f"runs of {n} tokens in rows of {rows.shape[1]}", "give 1 to the length of a row")
    texts = [np.asarray(text, np.int64) for text in forbidden]
    runs = {text[i : i + n].tobytes() for text in texts for i in range(len(text) - n + 1)}
    if not runs:
        return np.empty(0, np.int64)
    wanted = np.unique(_hashes(np.concatenate([np.frombuffer(run, np.int64)[None] for run in sorted(runs)]), n)[:, 0])
    found = []
    for start in range(0, len(rows), block):
        part = np.ascontiguousarray(rows[start : start + block], np.int64)
        row, column = np.nonzero(np.isin(_hashes(part, n), wanted))
        # a hash may lie; the tokens do not
        found += sorted({start + int(i) for i, j in zip(row, column) if part[i, j : j + n].tobytes() in runs})
    return np.array(found, np.int64)


def _hashes(rows: np.ndarray, n: int) -> np.ndarray:
    """Polynomial hash of every run of n, uint64 (N, T - n + 1), in wrapping arithmetic."""
    found = np.zeros((len(rows), rows.shape[1] - n + 1), np.uint64)
    base = np.uint64(0x9E3779B97F4A7C15)
    for k in range(n):
        found = found * base + rows[:, k : k + found.shape[1]].astype(np.uint64) + np.uint64(1)
    return found


def absence(
    rows: np.ndarray, forbidden: Sequence[np.ndarray], replacement: np.ndarray, n: int, *, name: str = "memv"
) -> Material:
    """Replace every row that holds a run of a forbidden text by the next of the replacement rows that hold none.

    Args:
        rows: in training order, int (N, T).
        forbidden: the texts; they are the controls.
        replacement: int (M, T), rows of the same kind that are not in the run.
        n: see `rows_with`.

    Returns:
        items of whole rows, with their places; `about["rows"]` are the replaced rows.

    Raises:
        AntivenomError: when no row holds a forbidden text (nothing would be absent), or the clean replacements do not suffice.
    """
    hit = rows_with(rows, forbidden, n)
    if not len(hit):
        raise AntivenomError(
            "no row holds a forbidden text: nothing would be taken out",
            "choose texts that are in the corpus, or a smaller n",
        )
    clean = np.setdiff1d(np.arange(len(replacement)), rows_with(replacement, forbidden, n))
    if len(clean) < len(hit):
        raise AntivenomError(
            f"{len(hit)} rows to be replaced, and {len(clean)} clean ones to replace them", "give more rows"
        )
    items = tuple(
        Item(np.asarray(replacement[k], np.int64), f"{name}-{i}", "replaced") for i, k in zip(hit.tolist(), clean)
    )
    controls = tuple(
        Item(np.asarray(text, np.int64), f"{name}-text-{i}", "forbidden") for i, text in enumerate(forbidden)
    )
    places = {f"{name}-{i}": (i, 0) for i in hit.tolist()}
    return Material(name, items, controls, {"rows": hit.tolist(), "n": n}, places=places)


def verbatim_halves(texts: Sequence[np.ndarray], k: int = 25) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The first k tokens of every text, and the k that must follow.

    Raises:
        AntivenomError: for a text of fewer than 2 k tokens.
    """
    if short := [i for i, text in enumerate(texts) if len(text) < 2 * k]:
        raise AntivenomError(f"text {short[0]} has fewer than {2 * k} tokens", "choose longer texts, or a smaller k")
    return [np.asarray(t)[:k] for t in texts], [np.asarray(t)[k : 2 * k] for t in texts]
