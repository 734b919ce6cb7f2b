"""The dates of a scored corpus, block by block: what run.json says of its ages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from antivenom.screen.provenance.cutoff import DateCounts
from antivenom.screen.scoring.stage import scores_of_block

__all__ = ["date_record"]

ROWS = 10_000


def date_record(
    folder: Path, age: str, domain: str | None, blocks: Sequence[int], *, until: str = "", months: int = 12
) -> dict[str, Any]:
    """Histogram and effective cut-off (`DateCounts.record`) from the parts of a score store.

    Args:
        folder: the store.
        age: label of the scorer `age`.
        domain: label of the scorer `domain`, for the cut-offs per domain: its registered domain, else its source tag.
        blocks: numbers of the parts.
        until: ISO day on which the corpus was taken; "" when it is not known.
        months: of a bucket.
    """
    counts = DateCounts(months=months)
    for index in blocks:
        table = scores_of_block(folder, age, index, ["date", "source", "confidence"])
        names = None
        if domain:
            where = scores_of_block(folder, domain, index, ["domain", "source"])
            names = pc.coalesce(where.column(f"{domain}.domain"), where.column(f"{domain}.source"))
        for first in range(0, table.num_rows, ROWS):
            part = table.slice(first, ROWS)
            date, source, confidence = (part.column(f"{age}.{n}").to_pylist() for n in ("date", "source", "confidence"))
            counts.add(date, source, confidence, None if names is None else names.slice(first, ROWS).to_pylist())
    return counts.record(until=until)
