"""Verbatim scan, side by side in one run: antivenom, allenai's decon, datatrove's n-gram filter - the same corpus, the same items.

python benchmarks/contamination.py            # 100 MB, three sizes for us (1x, 4x, 16x), peers in environments of their own
python benchmarks/contamination.py --quick    # 20 MB, no scaling

Each tool runs in a process of its own; CPU seconds and peak memory are what the operating system says of that process and
its children, start-up and index included. A planted item counts as found when its row is flagged for it.
"""

import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared" / "data"
PLANTED = 267
DOCUMENT = 2_000

OURS = """
import sys
from antivenom.data.benchmarks import load_benchmark
from antivenom.data.corpus import open_corpus
from antivenom.screen.detectors import parse
detector = parse(sys.argv[4] if len(sys.argv) > 4 else "ngram")
state = detector.fit(load_benchmark(sys.argv[2]))
with open(sys.argv[3], "w") as out:
    for batch in open_corpus(sys.argv[1]).batches():
        pairs = detector.match(state, batch)
        positions = batch.rows.column("position").to_pylist()
        for row, item in zip(pairs.row.tolist(), pairs.item.tolist()):
            out.write(f"{positions[row]} {item}\\n")
"""

DECON = """
import sys, json, glob, decon
from pathlib import Path
corpus, bench, out = map(Path, sys.argv[1:4])
evals = out.parent / "decon-evals"; evals.mkdir(exist_ok=True)
with (evals / "bench.jsonl").open("w") as f:
    for i, line in enumerate(bench.open()):
        q = json.loads(line)
        f.write(json.dumps({"eval_key": "bench", "eval_instance_index": i, "split": "test", "question": q["question"], "answer": "",
                            "passage": "", "fingerprint": str(i), "is_correct": True, "doc_id": i + 1}) + "\\n")
report = out.parent / "decon-report"
decon.detect(decon.Config(str(corpus.parent), str(evals), str(report), content_key="text"))
with out.open("w") as f:
    for path in report.rglob("*.jsonl"):
        for line in path.open():
            r = json.loads(line)
            if "training_line" in r:
                f.write(f"{r['training_line'] + 1} {r.get('eval_instance_index', -1)}\\n")
"""

DATATROVE = """
import sys, json
from pathlib import Path
import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont import NGramsDecontFilter, NGramsDecontIndexer
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig
corpus, bench, out = map(Path, sys.argv[1:4])
config = NGramsDecontConfig(n_grams=13)
folder = out.parent / "datatrove-index"; folder.mkdir(exist_ok=True)
indexer = NGramsDecontIndexer(str(folder), config=config)
owner = {}
for i, line in enumerate(bench.open()):
    for h in indexer.compute_hashes(json.loads(line)["question"]):
        owner.setdefault(h, i)
np.array(list(owner), dtype=config.hash_config.np_descr).tofile(folder / "bench.index.hashes")
step = NGramsDecontFilter(str(folder), config=config)
with out.open("w") as f:
    for n, line in enumerate(corpus.open(), 1):
        if step.filter(Document(text=json.loads(line)["text"], id=str(n))) is not True:
            f.write(f"{n} -1\\n")
"""


def make_corpus(path: Path, megabytes: float, items: list[str], seed: int = 0) -> dict[int, int]:
    """Documents of about 2 kB of library text (and GSM8K train where present), items inside some; returns line -> item."""
    from antivenom.data.sample_corpora import installed_documents

    draw = random.Random(seed)
    texts = [text for _, text in installed_documents(60 * 2**20)]
    pieces = [text[i : i + DOCUMENT] for text in texts for i in range(0, len(text), DOCUMENT)]
    train = SHARED / "bench_gsm8k" / "train.parquet"
    if train.exists():
        import pyarrow.parquet as pq

        pieces += [f"{row['question']}\n{row['answer']}" for row in pq.read_table(train).to_pylist()]
    draw.shuffle(pieces)
    target = int(megabytes * 1e6)
    mean = sum(map(len, pieces)) / len(pieces)
    lines = int(target / mean)
    places = sorted(draw.sample(range(lines), PLANTED))
    chosen = dict(zip(places, draw.sample(range(len(items)), PLANTED)))
    planted: dict[int, int] = {}
    written = number = 0
    with path.open("w") as out:
        while written < target:
            text = pieces[number % len(pieces)]
            if number in chosen:
                half = len(text) // 2
                text = f"{text[:half]}\n{items[chosen[number]]}\n{text[half:]}"
                planted[number + 1] = chosen[number]
            line = json.dumps({"text": text}) + "\n"
            out.write(line)
            written += len(line)
            number += 1
    return planted


def make(path: Path, megabytes: float, bench: Path) -> dict[int, int]:
    """`make_corpus` in a process of its own: a child's peak memory begins at its parent's, so this one stays small."""
    command = [sys.executable, str(Path(__file__)), "--make", str(path), str(megabytes), str(bench)]
    planted = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {int(line): item for line, item in planted.items()}


def measure(command: list[str]) -> dict:
    """Wall and CPU seconds and peak memory of one process with its children; compiled bytecode is allowed, as on any desk."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    begun = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            return {"error": log.read().decode(errors="replace")[-800:]}
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "wall_s": round(time.monotonic() - begun, 2),
        "cpu_s": round(cpu, 2),
        "peak_mb": round(usage.ru_maxrss / 1024, 1),
    }


def found_by(path: Path, planted: dict[int, int]) -> dict:
    """Recall and precision of rows on the planted items."""
    rows: dict[int, set[int]] = {}
    for line in path.read_text().splitlines():
        row, item = map(int, line.split())
        rows.setdefault(row, set()).add(item)
    hits = sum(row in rows and (item in rows[row] or rows[row] == {-1}) for row, item in planted.items())
    return {
        "recall": hits / len(planted),
        "precision": sum(row in planted for row in rows) / len(rows) if rows else None,
        "rows_flagged": len(rows),
        "planted": len(planted),
    }


def venv(name: str, packages: list[str], python: str | None) -> str | None:
    """A tool's own environment (made once, kept beside the results); None when it cannot be had."""
    folder = HERE / "results" / ".venvs" / name
    executable = folder / "bin" / "python"
    if not executable.exists():
        version = ["--python", python] if python else []
        made = subprocess.run(["uv", "venv", "-q", *version, str(folder)], check=False)
        if (
            made.returncode
            or subprocess.run(
                ["uv", "pip", "install", "-q", "--python", str(executable), *packages], check=False
            ).returncode
        ):
            shutil.rmtree(folder, ignore_errors=True)
            return None
    return str(executable)


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--python312", help="a Python 3.12 for decon (default: what uv finds)")
    parser.add_argument("--datatrove-mb", type=float, default=10.0, help="datatrove is slow: it gets this much")
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        path, megabytes, bench = options.make
        items = [json.loads(line)["question"] for line in Path(bench).read_text().splitlines()]
        print(json.dumps(make_corpus(Path(path), float(megabytes), items)))
        return
    work = Path(tempfile.mkdtemp(prefix="antivenom-bench-"))
    bench = work / "bench.jsonl"
    items = write_questions(bench)
    size = 20.0 if options.quick else 100.0
    results: list[dict] = []

    def run(tool: str, command: list[str], corpus: Path, planted: dict[int, int], out: Path | None) -> dict:
        lines = sum(1 for _ in corpus.open("rb"))
        record = {"tool": tool, "documents": lines, "mb": round(corpus.stat().st_size / 1e6, 1)} | measure(command)
        if "error" not in record:
            record["docs_per_cpu_s"] = round(lines / record["cpu_s"], 1)
            record["mb_per_cpu_s"] = round(record["mb"] / record["cpu_s"], 2)
            if out is not None:
                record |= found_by(out, planted)
        results.append(record)
        print(json.dumps(record), flush=True)
        return record

    small = work / "small" / "corpus.jsonl"
    full = work / "full" / "corpus.jsonl"
    for path, megabytes in ((full, size), (small, min(size, options.datatrove_mb))):
        path.parent.mkdir()
        PLANTS[path] = make(path, megabytes, bench)
    ours = [sys.executable, "-c", OURS]
    run(
        "warm-up (compiles the kernels)",
        [*ours, str(small), str(bench), str(work / "w.txt")],
        small,
        PLANTS[small],
        None,
    )
    run(
        "antivenom scan, 13-gram",
        [*ours, str(full), str(bench), str(work / "a.txt")],
        full,
        PLANTS[full],
        work / "a.txt",
    )
    half = [*ours, str(full), str(bench), str(work / "h.txt"), "ngram:min_coverage=0.8"]
    us = run("antivenom scan, 80 % of the item", half, full, PLANTS[full], work / "h.txt")
    whole = [
        sys.executable,
        "-m",
        "antivenom.cli",
        "screen",
        str(full),
        "--against",
        str(bench),
        "--out",
        str(work / "run"),
    ]
    run(
        "antivenom screen, whole command", [*whole, "--detectors", "ngram", "--judge", "none"], full, PLANTS[full], None
    )
    peers = {}
    python = venv("decon", ["decontaminate"], options.python312 or "3.12")
    if python:
        peers["decon"] = run(
            "decon",
            [python, "-c", DECON, str(full), str(bench), str(work / "d.txt")],
            full,
            PLANTS[full],
            work / "d.txt",
        )
    python = venv("datatrove", ["datatrove[processing]", "spacy", "lighteval"], "3.11")
    if python:
        command = [python, "-c", DATATROVE, str(small), str(bench), str(work / "t.txt")]
        peers["datatrove"] = run("datatrove 13-gram filter", command, small, PLANTS[small], work / "t.txt")
    if not options.quick:
        for factor in (1, 4, 16):
            path = work / f"x{factor}" / "corpus.jsonl"
            path.parent.mkdir()
            PLANTS[path] = make(path, 25.0 * factor, bench)
            run(
                f"antivenom scan, {factor}x",
                [*ours, str(path), str(bench), str(work / "s.txt")],
                path,
                PLANTS[path],
                work / "s.txt",
            )
            path.unlink()
    ratios = {
        name: round(us["docs_per_cpu_s"] / peer["docs_per_cpu_s"], 1) if "docs_per_cpu_s" in peer else None
        for name, peer in peers.items()
    }
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "platform": platform.system()}
    summary = {"ratios_documents_per_cpu_second": ratios, "results": results, "machine": machine, "items": items}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "contamination.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(table(results, ratios))
    shutil.rmtree(work, ignore_errors=True)


PLANTS: dict[Path, dict[int, int]] = {}


def write_questions(path: Path) -> int:
    """GSM8K's test questions where they lie beside the checkout, else word problems made on the spot; returns how many."""
    code = (
        "import sys, json; from pathlib import Path; test = Path(sys.argv[2]);\n"
        "if test.exists():\n import pyarrow.parquet as pq; q = pq.read_table(test).column('question').to_pylist()\n"
        "else:\n from antivenom.data.sample_questions import word_problems\n"
        " q = [item.question for item in word_problems(1_319, seed=0, name='bench')]\n"
        "Path(sys.argv[1]).write_text(''.join(json.dumps({'question': x}) + chr(10) for x in q)); print(len(q))"
    )
    command = [sys.executable, "-c", code, str(path), str(SHARED / "bench_gsm8k" / "test.parquet")]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def table(results: list[dict], ratios: dict) -> str:
    """The results as a Markdown table."""
    names = [
        "tool",
        "mb",
        "documents",
        "wall_s",
        "cpu_s",
        "docs_per_cpu_s",
        "mb_per_cpu_s",
        "peak_mb",
        "recall",
        "precision",
    ]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for r in results:
        values = [
            f"{r[n]:.3f}" if n in ("recall", "precision") and r.get(n) is not None else str(r.get(n, "-"))
            for n in names
        ]
        lines.append("| " + " | ".join(values) + " |")
    return "\n".join([*lines, "", f"documents per CPU second, ours / theirs: {ratios}"])


if __name__ == "__main__":
    main()
