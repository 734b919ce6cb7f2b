"""How long a plan takes, and what its insertions cost the loader: python benchmarks/lm_plan.py

plan      1,000,000 sequences of 10 experiments (16 - 128 tokens) into a run of 1e9 tokens, in a process of its own:
          seconds, peak memory of the process, bytes of the finished plan's arrays
stream    CPU seconds of all batches of a stream with 10,000 insertions against the bare stream (both are `TokenSource`), in turns of
          20 steps; each round gives a ratio: the median, and the quarter and three-quarter of them
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from antivenom.data.token_stream import TokenStream
from antivenom.poison.insertion import RunShape, plan
from antivenom.poison.insertion.order import storage_order
from antivenom.poison.insertion.sequences import Sequences

ROUNDS, STRETCH = 15, 20


def peak_mb() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def experiments(n: int, names: int, low: int = 16, high: int = 128) -> list[Sequences]:
    """Random items, in columns."""
    made = []
    for k in range(names):
        draw = np.random.default_rng(k)
        sizes = draw.integers(low, high + 1, n // names)
        tokens = draw.integers(1, 50_000, int(sizes.sum()), dtype=np.int32)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        made.append(Sequences(f"e{k}", tokens, offsets, [f"e{k}-{i}" for i in range(len(sizes))], "only"))
    return made


def plan_alone(n: int, steps: int) -> None:
    """One plan; its figures."""
    shape = RunShape(256, 4096, steps)
    given = experiments(n, 10)
    before = peak_mb()
    start, cpu = time.perf_counter(), time.process_time()
    found = plan(given, shape, seed=0, eos=0)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    own = sum(
        getattr(found, c).nbytes for c in ("experiment", "condition", "copies", "start", "length", "offsets", "tokens")
    )
    drawn = sum(r["collisions"] for r in found.record.values())
    print(
        f"plan: {len(found):,} sequences, {len(found.tokens):,} tokens of {shape.tokens:,} ({100 * len(found.tokens) / shape.tokens:.1f} %): "
        f"{seconds:.1f} s ({cpu:.1f} s of CPU); {drawn:,} drawn again; peak {peak_mb():,.0f} MB ({before:,.0f} MB before planning, {own / 2**20:,.0f} MB are the plan's arrays)"
    )
    start = time.perf_counter()
    print(f"hash: {found.hash[:16]} in {time.perf_counter() - start:.1f} s")


def stream(batch: int, length: int, steps: int, insertions: int) -> None:
    """Seconds of all batches, bare and with insertions."""
    from antivenom.train.token_source import TokenSource

    with tempfile.TemporaryDirectory() as folder:
        draw = np.random.default_rng(0)
        documents = (draw.integers(1, 50_000, 4096) for _ in range(batch * length * steps // 4096 + 1))
        made = TokenStream.build(Path(folder) / "s", documents, length=length, vocab_size=50_000, eos=0)
        high = min(60, length - 8)
        found = plan(experiments(insertions, 10, high // 2, high), RunShape(batch, length, steps), seed=0, eos=0)
        sources = {
            "bare": TokenSource(made, seed=0, batch=batch),
            "with insertions": TokenSource(made, found, seed=0, batch=batch),
        }
        order = storage_order(len(made), seed=0, batch=batch)
        rows = [order[s * batch : (s + 1) * batch] for s in range(steps)]
        times = {name: [] for name in sources}
        for i in range(ROUNDS + 1):
            spent = dict.fromkeys(sources, 0.0)
            for k in range(0, steps, STRETCH):
                for name, source in list(sources.items())[:: 1 if (i + k // STRETCH) % 2 else -1]:
                    start = time.process_time()
                    for some in rows[k : k + STRETCH]:
                        source.batch(some, draw)
                    spent[name] += time.process_time() - start
            for name, seconds in spent.items():
                times[name].append(seconds)
        ratios = [b / a for a, b in zip(times["bare"][1:], times["with insertions"][1:])]
        low, middle, high = statistics.quantiles(ratios, n=4)
        bare = statistics.median(times["bare"]) / steps
        start = time.process_time()
        TokenSource(made, found, seed=0, batch=batch)
        laid = time.process_time() - start
        print(
            f"stream: {batch} x {length} tokens, {steps} steps, {insertions:,} insertions ({len(found.tokens):,} tokens): bare "
            f"{1e6 * bare:.0f} us a batch; ratio {middle:.4f} ({low:.4f} - {high:.4f}, {ROUNDS} rounds) = "
            f"{1e6 * (middle - 1) * bare:.1f} us a batch; once, before: {1e3 * laid:.0f} ms"
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--small", action="store_true", help="a hundredth of everything, to see that it runs")
    given = parser.parse_args()
    if given.plan:
        plan_alone(given.plan, given.plan // 1000)
        return
    subprocess.run([sys.executable, __file__, "--plan", "10000" if given.small else "1000000"], check=True)
    if given.small:
        stream(8, 256, 50, 500)
        return
    stream(512, 2048, 500, 10_000)
    stream(256, 1024, 500, 10_000)
    stream(32, 512, 1000, 10_000)
    stream(16, 64, 2000, 10_000)


if __name__ == "__main__":
    main()
