"""`antivenom screen` with scorers and filters at corpus size: documents per second, flat memory, kill and resume.

python benchmarks/screen_scores.py                    # 100, 300 and 1,000 MB; 20 kills on 100 MB
python benchmarks/screen_scores.py --sizes 20 --kills 3

The corpus is this machine's own library text in pieces of 2 kB, repeated with a number in front, so that no two rows are
equal. CPU seconds and peak memory are what the operating system says of the command and its children, start-up included.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from antivenom.data.sample_corpora import installed_documents

HERE = Path(__file__).resolve().parent
PIECE = 2_000
SCORERS = ("toxicity", "gopher", "gopher-repetition", "c4", "fineweb", "profile")
FILTERS = ("toxicity:max=0.5", "gopher-repetition:min=1")
CLOCK = ("run.json", "report.html", ".lock")


def make_corpus(path: Path, megabytes: float, seed: int = 0) -> int:
    """Write the corpus; returns its rows."""
    texts = [text for _, text in installed_documents(60 * 2**20)]
    pieces = [text[i : i + PIECE] for text in texts for i in range(0, len(text), PIECE)]
    random.Random(seed).shuffle(pieces)
    written = rows = 0
    with path.open("w") as out:
        while written < megabytes * 1e6:
            line = json.dumps({"text": f"{rows}\n{pieces[rows % len(pieces)]}"}) + "\n"
            written += len(line)
            rows += 1
            out.write(line)
    return rows


def command(corpus: Path, out: Path) -> list[str]:
    """The command that is measured."""
    antivenom = [sys.executable, "-m", "antivenom.cli", "screen", str(corpus)]
    return [*antivenom, "--score", *SCORERS, "--filter", *FILTERS, "--out", str(out)]


def measure(corpus: Path, out: Path, rows: int) -> dict[str, float]:
    """Run the command once in a process group of its own."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command(corpus, out), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    record = json.loads((out / "run.json").read_text())
    counts = record["counts"]
    assert counts["rows_in"] == counts["kept"] + counts["removed"] + counts["quarantined"] == rows
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = corpus.stat().st_size / 1e6
    return {
        "MB": round(size),
        "rows": rows,
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "docs_per_s": round(rows / wall),
        "MB_per_s": round(size / wall, 2),
        "docs_per_cpu_s": round(rows / cpu),
        "peak_MB": round(record["peak_memory_bytes"] / 1e6)
        if "peak_memory_bytes" in record
        else round(after.ru_maxrss / 1e3),
        "removed": counts["removed"],
    }


def digest(out: Path) -> str:
    """Hash of every file of a run that does not carry the clock."""
    files = sorted(p for p in out.rglob("*") if p.is_file() and p.name not in CLOCK)
    hasher = hashlib.blake2b(digest_size=16)
    for path in files:
        hasher.update(f"{path.relative_to(out)}\0".encode())
        hasher.update(path.read_bytes())
    return hasher.hexdigest()


def kills(corpus: Path, whole: Path, out: Path, wall: float, wanted: int, seed: int = 0) -> dict[str, object]:
    """SIGKILL the command's whole process group at random moments of a run, each time going on, then let it end."""
    draw = random.Random(seed)
    done = fresh = 0
    while done < wanted:
        process = subprocess.Popen(
            command(corpus, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            process.wait(draw.uniform(1.0, max(2.0, wall)))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
        else:  # it ended before it could be killed: begin anew, so that kills hit all stages
            shutil.rmtree(out)
            fresh += 1
    subprocess.run(command(corpus, out), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {"kills": done, "begun_anew": fresh, "same_bytes": digest(out) == digest(whole)}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=float, default=[100, 300, 1000])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=None, help="where to work; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        work = Path(name)
        table, killed = [], {}
        for size in options.sizes:
            corpus, out = work / "corpus.jsonl", work / f"run-{size:g}"
            row = measure(corpus, out, make_corpus(corpus, size))
            print(row, flush=True)
            table.append(row)
            if size == options.sizes[0] and options.kills:
                killed = kills(corpus, out, work / "killed", row["wall_s"], options.kills)
                print(killed, flush=True)
                shutil.rmtree(work / "killed")
            shutil.rmtree(out)
    result = {
        "scorers": SCORERS,
        "filters": FILTERS,
        "sizes": table,
        "kill_and_resume": killed,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
    }
    (HERE / "results" / "screen_scores.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
