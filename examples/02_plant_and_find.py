"""Plant a known dose of questions in a corpus, three ways, and measure what each detector still finds.

python examples/02_plant_and_find.py
"""

from antivenom.data.benchmarks import Benchmark
from antivenom.data.rows import batch_of
from antivenom.data.sample_questions import word_problems
from antivenom.measure.rates import Rate
from antivenom.poison.plant import planted
from antivenom.screen.detectors import get

bench = Benchmark("word problems", word_problems(60, seed=1, name="bench"))
clean = [item.question for item in word_problems(500, seed=1, name="hay", other=True)]

for transform in ("verbatim", "rephrased", "translated"):
    rows, manifest = planted(clean, bench.items, counts={transform: 20}, seed=1)
    print(f"{transform}: {manifest.dose}")
    for n in (13, 8):
        detector = get("ngram", n=n)
        pairs = detector.match(detector.fit(bench), batch_of(rows))
        flagged = set(pairs.row.tolist())
        found = Rate(sum(row.position in flagged for row in manifest.rows), len(manifest.rows), "planted rows")
        print(f"  {n:2}-gram finds {found}")
