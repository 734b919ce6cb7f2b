"""Screen a small corpus against a small benchmark, and ask why a row was removed.

python examples/01_screen_a_corpus.py
"""

import json
import tempfile
from pathlib import Path

from antivenom.screen import explain, screen_corpus

folder = Path(tempfile.mkdtemp())
questions = [
    "A farmer has 17 sheep and buys 25 more at the market. How many sheep does the farmer have now?",
    "Lena reads 12 pages of her book every evening. After how many evenings has she read all 180 pages?",
]
rows = [
    "The museum opens at nine and closes at six.",
    "Homework, page 3: " + questions[0] + " Show your working.",
    "Every evening Lena reads 12 pages of her book. How many evenings does she need to read all 180 pages?",
]
(folder / "bench.jsonl").write_text("".join(json.dumps({"question": q, "kind": "math"}) + "\n" for q in questions))
(folder / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))

result = screen_corpus(folder / "corpus.jsonl", [folder / "bench.jsonl"], folder / "run")
print(result.counts)
for position in (1, 2, 3):
    (told,) = explain(folder / "run", f"corpus.jsonl:{position}")
    print(position, told.annotation["action"], "-", told.annotation["reason"] or "nothing flagged it")
print("report:", folder / "run" / "report.html")
