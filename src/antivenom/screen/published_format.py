"""The output of the published decontaminator: one JSON line per TEST item, `{"test", "train": [k texts], "results": [k verdicts]}`.

Made from a run directory, so that scripts written for the published tool go on working. One thing differs on purpose: a pair
without a usable verdict is `null` here, where the published code writes `false` after thirty failed calls.
"""

from collections import defaultdict
from pathlib import Path

import orjson
import pyarrow.parquet as pq

from antivenom.data.benchmarks import Benchmark
from antivenom.data.corpus import Corpus
from antivenom.report.run_directory import atomic_file

__all__ = ["write_published"]

VERDICTS = {"same": True, "different": False}


def write_published(run: Path, corpus: Corpus, benchmark: Benchmark, path: Path) -> int:
    """Write the published format.

    Args:
        run: a finished screen of `corpus` against `benchmark` by one retriever and a judge.
        corpus: read once more for the full texts of the retrieved rows.
        benchmark: gives the order of the lines.
        path: the file to write.

    Returns:
        The number of items with at least one `true`.
    """
    columns = ["item_id", "file", "position", "rank", "verdict"]
    pairs = [pair for pair in pq.read_table(run / "pairs.parquet", columns=columns).to_pylist() if pair["rank"]]
    wanted = {(pair["file"], pair["position"]) for pair in pairs}
    texts: dict[tuple[str, int], str] = {}
    for batch in corpus.batches():
        places = zip(batch.rows.column("file").to_pylist(), batch.rows.column("position").to_pylist())
        for row, place in enumerate(places):
            if place in wanted:
                texts[place] = batch.texts[row].as_py()
    by_item: dict[str, list[dict]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: pair["rank"]):
        by_item[pair["item_id"]].append(pair)
    contaminated = 0
    with atomic_file(path) as temporary, Path(temporary).open("wb") as target:
        for index, item in enumerate(benchmark.items):
            found = by_item[item.id]
            results = [VERDICTS.get(pair["verdict"]) for pair in found]
            contaminated += any(results)
            train = [texts[pair["file"], pair["position"]] for pair in found]
            line = {"test": benchmark.text(index), "train": train, "results": results}
            target.write(orjson.dumps(line) + b"\n")
    return contaminated
