"""Rule filters, side by side in one run: Gopher, Gopher repetition, C4, FineWeb here and in datatrove, on the same documents.

python benchmarks/rules.py            # all documents, each distinct text once
python benchmarks/rules.py --quick    # the first 300
python benchmarks/rules.py --show     # the kept figures, printed again

Documents: web pages (DCLM's 499 labelled ones), Wikipedia articles (WikiText-2), PEPs, and the texts and sources of this
machine's Python packages; the first three lie beside the checkout and are left out, and said so, where they do not. Each tool
runs in a process of its own. Printed: documents per CPU second of filtering (start-up, reading and, for us, compiling left
out), the verdicts compared row by row, and every difference with what it comes from. datatrove's filters run in the order that
is fastest for it: C4 last, so that the other three share one tokenization; and they stop at the first broken rule, where we
compute every rule's statistic.
"""

import argparse
import gzip
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from contamination import HERE, SHARED, measure, venv

FILTERS = ("gopher", "gopher-repetition", "c4", "fineweb")
MACHINE_DOCUMENTS = 1_200

OURS = """
import json, sys, time
from antivenom.data.rows import batch_of
from antivenom.screen.quality.c4 import C4
from antivenom.screen.quality.fineweb import FineWeb
from antivenom.screen.quality.gopher import Gopher
from antivenom.screen.quality.repetition import GopherRepetition
texts = [json.loads(line) for line in open(sys.argv[1])]
scorers = [Gopher(), GopherRepetition(), C4(), FineWeb()]
batches = [batch_of(texts[i : i + 256]) for i in range(0, len(texts), 256)]
begun = time.process_time()
scores = [[scorer.score(batch) for scorer in scorers] for batch in batches]
seconds = time.process_time() - begun
from antivenom.screen.quality.text_stats import NAMES, text_stats
with open(sys.argv[2], "w") as out:
    for batch, found in zip(batches, scores):
        words = text_stats(batch)[:, NAMES.index("words")].tolist()
        for row in range(len(batch)):
            keep = [bool(s.columns["passes"][row].as_py()) for s in found]
            out.write(json.dumps({"keep": keep, "why": [s.reasons[row] for s in found], "words": int(words[row])}) + chr(10))
print("SECONDS", seconds)
"""

DATATROVE = """
import json, sys, time
from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.utils.text import split_into_words
texts = [json.loads(line) for line in open(sys.argv[1])]
filters = [GopherQualityFilter(), GopherRepetitionFilter(), FineWebQualityFilter(), C4QualityFilter()]
split_into_words("Loads the tokenizer.", "eng")
def verdict(step, text, number):
    try:
        found = step.filter(Document(text=text, id=str(number)))
    except ZeroDivisionError:
        return (False, "division by zero: no words")
    return found if isinstance(found, tuple) else (found, "")
begun = time.process_time()
results = [[verdict(step, text, number) for step in filters] for number, text in enumerate(texts)]
seconds = time.process_time() - begun
results = [[gopher, repetition, c4, fineweb] for gopher, repetition, fineweb, c4 in results]
with open(sys.argv[2], "w") as out:
    for text, row in zip(texts, results):
        words = len(split_into_words(text, "eng"))
        out.write(json.dumps({"keep": [bool(k) for k, _ in row], "why": [w for _, w in row], "words": words}) + chr(10))
print("SECONDS", seconds)
"""


def documents() -> tuple[list[str], dict[str, int]]:
    """Distinct texts, and how many of each source."""
    import random

    from antivenom.data.sample_corpora import installed_documents

    found: dict[str, list[str]] = {}
    web = SHARED / "quality_dclm" / "majority_data.jsonl.gz"
    if web.exists():
        with gzip.open(web, "rt") as lines:
            found["web pages"] = [json.loads(line)["text"] for line in lines]
    for part in ("valid", "test"):
        path = SHARED / "text_wikitext2" / f"wiki.{part}.txt.gz"
        if path.exists():
            with gzip.open(path, "rt") as file:
                articles = re.split(r"\n (?== [^=]+ = \n)", file.read())
            found.setdefault("Wikipedia articles", []).extend(a for a in articles if a.strip())
    peps = SHARED / "dated_peps" / "peps.parquet"
    if peps.exists():
        import pyarrow.parquet as pq

        found["PEPs"] = pq.read_table(peps).column("text").to_pylist()
    machine = [text for _, text in installed_documents(80 * 2**20)]
    found["this machine's library files"] = random.Random(0).sample(machine, min(MACHINE_DOCUMENTS, len(machine)))
    distinct: dict[str, str] = {}
    for source, texts in found.items():
        for text in texts:
            distinct.setdefault(text, source)
    return list(distinct), dict(Counter(distinct.values()))


def run(command: list[str], out: Path) -> dict:
    """One tool: the figures of its process, its own seconds of filtering, its rows."""
    record = measure(["sh", "-c", 'exec "$@" > "$0"', str(out) + ".log", *command])
    if "error" in record:
        raise SystemExit(record["error"])
    seconds = float((Path(str(out) + ".log")).read_text().split("SECONDS")[1])
    return record | {"filter_cpu_s": round(seconds, 3), "rows": [json.loads(line) for line in out.open()]}


def cause(ours: dict, theirs: dict, place: int) -> str:
    """Where a differing verdict comes from."""
    why = ours["why"][place] or theirs["why"][place]
    if ours["words"] != theirs["words"]:
        return f"token cut otherwise ({ours['words']} / {theirs['words']} words): {why}"
    return f"same number of words: {why}"


def main() -> None:
    """Run both and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--show", action="store_true", help="print the kept figures of the last run, measure nothing")
    options = parser.parse_args()
    if options.show:
        show(json.loads((HERE / "results" / "rules.json").read_text()))
        return
    work = Path(tempfile.mkdtemp(prefix="antivenom-rules-"))
    texts, sources = documents()
    if options.quick:
        texts = texts[:300]
    corpus = work / "texts.jsonl"
    corpus.write_text("".join(json.dumps(text) + "\n" for text in texts))
    warm = work / "warm.jsonl"
    warm.write_text(json.dumps(texts[0]) + "\n")
    python = venv("datatrove-rules", ["datatrove[processing]==0.10.1", "spacy==3.8.18"], "3.11")
    if python is None:
        raise SystemExit("datatrove cannot be installed here (uv and a package index are needed)")
    run([sys.executable, "-c", OURS, str(warm), str(work / "w")], work / "w")  # compiles the kernels
    os.environ["OMP_NUM_THREADS"] = "1"
    ours = run([sys.executable, "-c", OURS, str(corpus), str(work / "a")], work / "a")
    theirs = run([python, "-c", DATATROVE, str(corpus), str(work / "b")], work / "b")
    n = len(texts)
    parity = {}
    differences: list[dict] = []
    for place, name in enumerate(FILTERS):
        pairs = [(a["keep"][place], b["keep"][place]) for a, b in zip(ours["rows"], theirs["rows"])]
        counts = Counter(pairs)
        parity[name] = {
            "n": n,
            "both_keep": counts[True, True],
            "both_drop": counts[False, False],
            "only_we_keep": counts[True, False],
            "only_they_keep": counts[False, True],
            "agreement": (counts[True, True] + counts[False, False]) / n,
        }
        for number, (a, b) in enumerate(zip(ours["rows"], theirs["rows"])):
            if a["keep"][place] != b["keep"][place]:
                what = {"filter": name, "row": number, "ours": a["why"][place], "theirs": b["why"][place]}
                differences.append(what | {"cause": cause(a, b, place)})
    same_words = sum(a["words"] == b["words"] for a, b in zip(ours["rows"], theirs["rows"]))
    total = sum(b["words"] for b in theirs["rows"])
    gap = sum(abs(a["words"] - b["words"]) for a, b in zip(ours["rows"], theirs["rows"]))
    all_four = sum(a["keep"] == b["keep"] for a, b in zip(ours["rows"], theirs["rows"]))
    speed = {
        tool: {
            "docs_per_cpu_s": round(n / record["filter_cpu_s"], 1),
            "filter_cpu_s": record["filter_cpu_s"],
        }
        for tool, record in (("antivenom", ours), ("datatrove", theirs))
    }
    ratio = round(speed["antivenom"]["docs_per_cpu_s"] / speed["datatrove"]["docs_per_cpu_s"], 1)
    versions = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('datatrove'), m.version('spacy'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    summary = {
        "n": n,
        "characters": sum(map(len, texts)),
        "sources": sources,
        "speed": speed,
        "ratio_ours_over_theirs": ratio,
        "parity": parity,
        "all_four_verdicts_equal": all_four,
        "word_counts": {"documents_equal": same_words, "absolute_gap": gap, "words": total},
        "differences": differences,
        "versions": {"datatrove": versions[0], "spacy": versions[1]},
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "platform": platform.system()},
    }
    (HERE / "results").mkdir(exist_ok=True)
    name = "rules-quick.json" if options.quick else "rules.json"
    (HERE / "results" / name).write_text(json.dumps(summary, indent=2) + "\n")
    show(summary)


def show(summary: dict) -> None:
    """Print the tables of a summary; intervals are Wilson's."""
    n = summary["n"]
    print(f"{n} distinct documents, {summary['characters']:,} characters: {summary['sources']}\n")
    print("| filter | n | both keep | both drop | only we keep | only they keep | same verdict, 95 % interval |")
    print("|---|---|---|---|---|---|---|")
    for name, p in summary["parity"].items():
        cells = [p["n"], p["both_keep"], p["both_drop"], p["only_we_keep"], p["only_they_keep"]]
        print(f"| {name} | " + " | ".join(map(str, cells)) + f" | {agreed(p['both_keep'] + p['both_drop'], n)} |")
    words = summary["word_counts"]
    print(f"\nall four verdicts equal: {summary['all_four_verdicts_equal']} of {n}")
    print(
        f"word counts equal: {words['documents_equal']} of {n}, gap {words['absolute_gap']} of {words['words']} words"
    )
    for d in summary["differences"]:
        ours, theirs = d["ours"] or "keep", d["theirs"] or "keep"
        print(f"  {d['filter']} row {d['row']}: {d['cause']} | ours: {ours} | theirs: {theirs}")
    print("\n| tool | documents per CPU second | CPU s |\n|---|---|---|")
    for tool, speed in summary["speed"].items():
        print(f"| {tool} | {speed['docs_per_cpu_s']} | {speed['filter_cpu_s']} |")
    print(f"\ndocuments per CPU second, ours / theirs: {summary['ratio_ours_over_theirs']}")


def agreed(same: int, n: int) -> str:
    """A share of documents with its interval."""
    from antivenom.intervals import wilson

    low, high = wilson(same, n)
    return f"{same / n:.2%} [{low:.2%}, {high:.2%}]"


if __name__ == "__main__":
    main()
