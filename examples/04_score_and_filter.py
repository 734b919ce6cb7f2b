"""Score a corpus with a word list, drop what is over a line, and look at one row: python examples/04_score_and_filter.py

The same from the command line:

    antivenom screen corpus.jsonl --score words:file=list.txt --filter words:max=0.2,missing=quarantine --out run
"""

import json
import tempfile
from pathlib import Path

from antivenom.screen import explain, screen_corpus

folder = Path(tempfile.mkdtemp())
rows = [
    "The soup was sour, sour and once more sour.",
    "A quiet walk by the river.",
    "Sour cherries make good jam.",
    "...",
]
corpus = folder / "corpus.jsonl"
corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
(folder / "list.txt").write_text("sour\n")

scorer = f"words:file={folder / 'list.txt'}"
result = screen_corpus(corpus, out=folder / "run", scores=[scorer], filters=["words:max=0.2,missing=quarantine"])

print(result.counts)  # rows_in = kept + removed + quarantined
(applied,) = result.record["filters"]
print(f"{applied['dropped']} of {applied['scored']} scored rows dropped; {applied['missing']} without a score")
print(f"the control drops {applied['control']['rows']} random rows: column {applied['control']['column']}")
(told,) = explain(folder / "run", "corpus.jsonl:1")
print(told.annotation["reason"])
print(told.to_be_kept)

assert result.counts["removed"] == 1
assert result.counts["quarantined"] == 1
