"""Exact neighbours of embeddings, side by side in one run: ours and scikit-learn's brute force, the same rows, one thread.

python benchmarks/embedding_neighbours.py            # ours on 20,000 and 100,000 x 512, scikit-learn on 20,000
python benchmarks/embedding_neighbours.py --quick    # 5,000 rows each

Rows: 200 clusters in 512 dimensions, float32, 1 % of them copies of others. k = 16, self excluded. Each run is a process of its
own; "search s" is wall time inside it of the search alone (the first, compiling call left out), wall, CPU and peak memory are
what the operating system says of the process, with start-up and the rows (100,000 x 512 float32 are 205 MB). The two searches
are compared neighbour by neighbour; they differ where two distances are nearer than float32 tells apart.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
from contamination import HERE, measure

K, WIDTH = 16, 512

ROWS = """
import sys, time
import numpy as np
n, width, k = map(int, sys.argv[1:4])
draw = np.random.default_rng(0)
rows = draw.standard_normal((n, width), dtype=np.float32)
rows += 1.5 * draw.standard_normal((200, width), dtype=np.float32)[draw.integers(0, 200, n)]
rows[draw.integers(0, n, n // 100)] = rows[draw.integers(0, n, n // 100)]
"""

OURS = (
    ROWS
    + """
from antivenom.screen.embeddings.neighbours import neighbours
neighbours(rows[:100], k)
begun = time.perf_counter()
found = neighbours(rows, k)
seconds = time.perf_counter() - begun
np.savez(sys.argv[4], seconds=seconds, index=found.index, distance=found.distance, again=found.again)
"""
)

SKLEARN = (
    ROWS
    + """
from sklearn.neighbors import NearestNeighbors
begun = time.perf_counter()
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
distance, index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(rows).kneighbors()
seconds = time.perf_counter() - begun
np.savez(sys.argv[4], seconds=seconds, index=index, distance=distance, again=0)
"""
)


def main() -> None:
    """Run, compare, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    small, large = (5_000, 5_000) if options.quick else (20_000, 100_000)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    runs, found = [], []
    with tempfile.TemporaryDirectory() as work:
        for tool, code, n in (("antivenom", OURS, small), ("scikit-learn", SKLEARN, small), ("antivenom", OURS, large)):
            out = Path(work) / f"{len(runs)}.npz"
            record = {"tool": tool, "rows": n, "width": WIDTH, "k": K}
            record |= measure([sys.executable, "-c", code, str(n), str(WIDTH), str(K), str(out)])
            if "error" in record:
                sys.exit(f"{tool}: {record['error']}")
            with np.load(out) as kept:
                record["search_s"] = round(float(kept["seconds"]), 2)
                record["searched_again"] = int(kept["again"])
                found.append((kept["index"], kept["distance"]))
            runs.append(record)
    (ours, near), (theirs, far), _ = found
    agreement = {
        "same_neighbour": float((ours == theirs).mean()),
        "largest_difference_of_distance": float(np.abs(near - far).max()),
        "times_faster": round(runs[1]["search_s"] / runs[0]["search_s"], 2),
    }
    print("| tool | rows x width | search s | wall s | CPU s | peak MB | rows searched again |")
    print("|---|---|---|---|---|---|---|")
    for r in runs:
        size = f"{r['rows']:,} x {r['width']}"
        print(
            f"| {r['tool']} | {size} | {r['search_s']} | {r['wall_s']} | {r['cpu_s']} | {r['peak_mb']} | {r['searched_again']} |"
        )
    print(json.dumps(agreement))
    if not options.quick:
        result = {"runs": runs, "agreement": agreement, "threads": 1, "python": platform.python_version()}
        (HERE / "results" / "embedding_neighbours.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
