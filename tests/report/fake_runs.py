"""Made-up runs with the shape of real ones, for the tests of the page."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.intervals import wilson

SPAN = pa.list_(pa.struct([("start", pa.int32()), ("stop", pa.int32())]))
PAIRS = pa.schema(
    [
        ("id", pa.string()),
        ("file", pa.string()),
        ("position", pa.int64()),
        ("benchmark", pa.string()),
        ("item_id", pa.string()),
        ("detector", pa.string()),
        ("score", pa.float32()),
        ("rank", pa.int32()),
        ("start", pa.int32()),
        ("stop", pa.int32()),
        ("verdict", pa.string()),
        ("probability", pa.float32()),
        ("flagged", pa.bool_()),
        ("kind", pa.string()),
        ("row_excerpt", pa.string()),
        ("item_text", pa.string()),
        ("row_spans", SPAN),
        ("item_spans", SPAN),
    ]
)

HOSTILE = [
    "<script>window.pwned = 1</script>",
    "</script><script>window.pwned = 2</script>",
    "<img src=x onerror='window.pwned = 3'>",
    "--><!-- <style>body{display:none}</style>",
    "{{7*7}} {% raw %} ${window.pwned = 4}",
    "pay \u202e0001\u202c euros",
    "nul \x00 here, escape \x1b[31m red",
    "w" * 1900,
]

_TASKS = [
    (
        "below_zero",
        "a list of deposit and withdrawal operations on a bank account that starts at zero balance",
        "detect if at any point the balance falls below zero, and return True",
        "operations: List[int]) -> bool",
    ),
    (
        "mean_absolute_deviation",
        "a list of input numbers",
        "calculate the average absolute difference between each element and the mean of the list",
        "numbers: List[float]) -> float",
    ),
    (
        "intersperse",
        "a list of integers and a delimeter",
        "insert the delimeter between every two consecutive elements",
        "numbers: List[int], delimeter: int) -> List[int]",
    ),
    (
        "parse_nested_parens",
        "a string of several groups of nested parentheses separated by spaces",
        "output the deepest level of nesting of parentheses for each group",
        "paren_string: str) -> List[int]",
    ),
    (
        "longest",
        "a list of strings",
        "return the longest one, and the first of them when several have that length",
        "strings: List[str]) -> Optional[str]",
    ),
    (
        "string_xor",
        "two strings consisting only of ones and zeros",
        "perform binary XOR on them and return the result as a string",
        "a: str, b: str) -> str",
    ),
]


def _spans(text: str, *pieces: str) -> list[dict[str, int]]:
    return [{"start": text.index(p), "stop": text.index(p) + len(p)} for p in pieces if p in text]


def _task(i: int) -> tuple[str, str, str, str]:
    name, given, wanted, rest = _TASKS[i % len(_TASKS)]
    item = f'def {name}({rest}:\n    """ You are given {given}.\n    Your task is to {wanted}.\n'
    item += f'    >>> {name}(sample_{i})\n    """\n'
    return name, given, wanted, item


def pair_line(i: int, kind: str, detector: str, *, rank: int | None = None, **other) -> dict:
    """One line of pairs.parquet."""
    _, given, wanted, item = _task(i)
    if kind == "verbatim":
        row = f"# solutions/{i}.py, copied from a forum\nfrom typing import List, Optional\n\n\n{item}"
        row += "    total = 0\n    for value in data:\n        total += value\n    return total\n"
        pieces = (item.strip(),)
    elif kind in ("rephrased", "generic"):
        row = f"Exercise {i}. Write a function for the following: suppose there is {given}; the programme has to "
        row += f"{wanted}. Think about empty input first, and say how long it takes."
        pieces = (given, wanted)
    else:
        row = f"class Account{i}:\n    def apply(self, change):\n        # {given[:26]} and nothing else\n"
        row += "        self.history.append(change)\n        return self\n"
        pieces = (given[:20],)
    return {
        "id": f"{i * 7919 + 11:032x}",
        "file": f"pages/part-{i % 7:03d}.jsonl",
        "position": 100 + i,
        "benchmark": "HumanEval" if i % 4 else "MBPP",
        "item_id": f"HumanEval/{i % 164}" if i % 4 else f"MBPP/{i % 500}",
        "detector": detector,
        "score": {"ngram": 1.0, "bm25": 31.4 - i % 9}.get(detector, 0.9 - (i % 30) / 100),
        "rank": rank,
        "start": 0,
        "stop": len(row),
        "verdict": None,
        "probability": None,
        "flagged": kind in ("verbatim", "rephrased"),
        "kind": kind,
        "row_excerpt": row,
        "item_text": item,
        "row_spans": _spans(row, *pieces),
        "item_spans": _spans(item, *pieces),
        **other,
    }


def pair_lines(n: int = 300, seed: int = 5) -> list[dict]:
    """Lines for about `n` (row, item) pairs of every kind, several detectors each; eight of them hostile."""
    rng, lines = random.Random(seed), []
    for i in range(n):
        kind = rng.choices(("verbatim", "rephrased", "generic", "undecided", "candidate"), (3, 4, 1, 1, 21))[0]
        judged = {"rephrased": "same", "generic": "same", "undecided": "undecided", "candidate": "different"}.get(kind)
        chance = {"same": 0.9, "different": 0.1, "undecided": 0.5}.get(judged or "")
        how = {"verdict": judged, "probability": chance and chance + rng.uniform(-0.09, 0.09)}
        written = "candidate" if kind == "undecided" else kind
        if kind == "verbatim":
            lines.append(pair_line(i, written, "ngram"))
        lines.append(pair_line(i, written, "bm25", rank=1 + i % 5, **how))
        if i % 3:
            lines.append(pair_line(i, written, "embedding", rank=1 + i % 4, **how))
    for i, text in enumerate(HOSTILE):
        lines.append(
            pair_line(
                n + i,
                "verbatim",
                "ngram",
                row_excerpt=text,
                item_text=text,
                file=f"{text[:60]}.jsonl",
                row_spans=[{"start": 0, "stop": 5}],
                item_spans=[{"start": -3, "stop": 9999}],
            )
        )
    return lines


def pairs_table(lines: list[dict]) -> pa.Table:
    """As written by the pipeline."""
    return pa.Table.from_pylist(lines, schema=PAIRS)


def _bench(name, items, verbatim, rephrased, undecided, generic):
    found = verbatim + rephrased
    low, high = wilson(found, items)
    return {
        "name": name,
        "items": items,
        "verbatim": verbatim,
        "rephrased": rephrased,
        "contaminated": found,
        "undecided": undecided,
        "generic": generic,
        "share": found / items,
        "low": low,
        "high": high,
    }


def _planted(transform, n, found):
    low, high = wilson(found, n)
    return {"transform": transform, "n": n, "found": found, "share": found / n, "low": low, "high": high}


def run_record(**other) -> dict:
    """A complete `run.json`."""
    curve = [("bm25", t / 2, int(9000 * 2.718 ** (-t / 9)) + 14, max(3, 160 - 2 * t)) for t in range(10, 80, 4)] + [
        ("embedding", 0.3 + t / 50, int(20000 * 2.718 ** (-t / 3)) + 9, max(5, 150 - 6 * t)) for t in range(30)
    ]
    return {
        "antivenom": "0.1.0",
        "verb": "screen",
        "status": "complete",
        "command": [
            "antivenom",
            "screen",
            "corpus/",
            "--against",
            "humaneval.jsonl",
            "mbpp.jsonl",
            "--out",
            "runs/first run",
        ],
        "config": {
            "detectors": ["ngram:n=13", "bm25", "embedding"],
            "judge": "offline",
            "out": "runs/first run",
            "block_bytes": 8388608,
        },
        "config_hash": "6f1c22a0b47d9e31",
        "corpus": {"root": "corpus/", "format": "jsonl", "files": 7, "bytes": 101_400_000, "blocks": 13},
        "benchmarks": [
            {"name": "HumanEval", "items": 164, "fields": "Q", "hash": "ab", "dropped": []},
            {
                "name": "MBPP",
                "items": 498,
                "fields": "QA",
                "hash": "cd",
                "dropped": [["MBPP/1", "empty question"], ["MBPP/7", "empty question"]],
            },
        ],
        "counts": {"rows_in": 41_227, "kept": 41_203, "removed": 19, "quarantined": 5, "duplicate_ids": 212, "cut": 0},
        "steps": [
            {
                "name": "read and count",
                "rows": 41_227,
                "bytes": 101_400_000,
                "wall_s": 3.1,
                "cpu_s": 5.9,
                "rows_per_s": 13299.0,
                "mb_per_s": 32.7,
            },
            {
                "name": "match",
                "rows": 41_222,
                "bytes": 101_400_000,
                "wall_s": 9.4,
                "cpu_s": 18.2,
                "rows_per_s": 4385.0,
                "mb_per_s": 10.8,
            },
            {
                "name": "judge",
                "rows": 812,
                "bytes": 1_900_000,
                "wall_s": 0.8,
                "cpu_s": 0.8,
                "rows_per_s": 1015.0,
                "mb_per_s": 2.4,
            },
            {
                "name": "write",
                "rows": 41_222,
                "bytes": 101_400_000,
                "wall_s": 1.2,
                "cpu_s": 1.1,
                "rows_per_s": 34351.0,
                "mb_per_s": 84.5,
            },
        ],
        "detectors": [
            {"name": "ngram", "kind": "rule", "params": {"n": 13, "min_hits": 1}, "rows": 9, "items": 7, "pairs": 11},
            {
                "name": "bm25",
                "kind": "ranked",
                "params": {"k": 5, "k1": 1.2, "b": 0.75, "threshold": 18.0},
                "rows": 640,
                "items": 164,
                "pairs": 820,
            },
            {
                "name": "embedding",
                "kind": "ranked",
                "params": {"k": 5, "model": "wordllama", "threshold": 0.62},
                "rows": 655,
                "items": 164,
                "pairs": 820,
            },
            {
                "name": "offline",
                "kind": "judge",
                "params": {"kind": "code", "threshold": 0.5},
                "rows": 17,
                "items": 12,
                "pairs": 19,
            },
        ],
        "per_benchmark": [_bench("HumanEval", 164, 7, 5, 2, 3), _bench("MBPP", 498, 1, 3, 0, 11)],
        "agreement": [
            {"detectors": ["ngram", "bm25", "embedding"], "rows": 6},
            {"detectors": ["bm25", "embedding"], "rows": 7},
            {"detectors": ["ngram"], "rows": 2},
            {"detectors": ["embedding"], "rows": 3},
            {"detectors": ["ngram", "bm25"], "rows": 1},
        ],
        "thresholds": [{"detector": d, "threshold": t, "rows": r, "items": i} for d, t, r, i in curve],
        "judge": {
            "model": "offline pair judge",
            "kind": "code",
            "calls": 812,
            "cached": 0,
            "undecided": 2,
            "same": 19,
            "different": 791,
            "cost_estimate": {"calls": 820, "input_tokens": 402_000, "price": 0.0, "currency": "EUR"},
        },
        "planted": [_planted("verbatim", 16, 16), _planted("rephrased", 16, 13)],
        "warnings": ["3 % of the rows are not English; the static embedder sees no translations."],
        "machine": {"cpu": "some processor", "cores": 2, "memory_gb": 24.0, "platform": "Linux 6.1"},
        "versions": {"antivenom": "0.1.0", "daft": "0.7.18", "numpy": "2.4.0", "pyarrow": "24.0"},
        "seed": 0,
        "wall_s": 14.6,
        "cpu_s": 26.4,
        "peak_rss_mb": 611.0,
        "started": "2026-11-24T12:00:00Z",
        "finished": "2026-11-24T12:00:15Z",
        **other,
    }


QUARANTINE = [
    {
        "file": "pages/part-003.jsonl",
        "position": 17,
        "reason": "not JSON: unexpected end of data",
        "excerpt": '{"text": "cut sh',
    },
    {"file": "pages/part-003.jsonl", "position": 18, "reason": "no field 'text'", "excerpt": '{"body": "a page"}'},
    {
        "file": "pages/part-005.jsonl",
        "position": 4,
        "reason": "not UTF-8",
        "excerpt": "caf\ufffd <script>window.pwned = 5</script>",
    },
    {"file": "pages/part-006.jsonl", "position": 9, "reason": "no field 'text'", "excerpt": "[1, 2, 3]"},
    {"file": "pages/part-006.jsonl", "position": 11, "reason": "no field 'text'", "excerpt": ""},
]


def write_run(folder: Path, lines: list[dict] | None = None, **other) -> Path:
    """A whole run directory, without its report."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pairs_table(pair_lines() if lines is None else lines)
    (folder / "run.json").write_text(json.dumps(run_record(**other)))
    pq.write_table(table, folder / "pairs.parquet", row_group_size=64)
    first = {(r["file"], r["position"]): r for r in table.to_pylist()}
    notes = [
        {
            "id": r["id"],
            "file": r["file"],
            "position": r["position"],
            "action": "remove" if r["flagged"] else "keep",
            "reason": "13-gram shared with " + r["item_id"] if r["kind"] == "verbatim" else "",
            "item": r["item_id"],
            "detectors": [r["detector"]],
        }
        for r in first.values()
    ]
    pq.write_table(pa.Table.from_pylist(notes), folder / "annotations.parquet")
    (folder / "quarantine.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in QUARANTINE))
    return folder


def study_rows(seeds: int = 1) -> list[dict]:
    """Tidy rows of a study with four treatments, four doses and two metrics."""
    rows = []
    level = {"ngram": 0.02, "bm25": 0.96, "embedding": 0.97, "ensemble": 0.99}
    for seed in range(seeds):
        for treatment, top in level.items():
            for dose in (7, 75, 373, 1495):
                for metric, value in (
                    ("end-to-end recall", top - 0.01 * seed),
                    ("precision", 0.6 + 0.4 * dose / (dose + 60)),
                ):
                    k = round(min(1, max(0, value)) * dose)
                    low, high = wilson(k, dose)
                    rows.append(
                        {
                            "study": "rephrased",
                            "dose": dose,
                            "dose_share": dose / 7473,
                            "denominator": "rows of the corpus",
                            "treatment": treatment,
                            "seed": seed,
                            "metric": metric,
                            "value": k / dose,
                            "n": dose,
                            "low": low,
                            "high": high,
                            "control": 0.003 if metric != "precision" else None,
                            "control_name": "flagged in the clean haystack" if metric != "precision" else None,
                        }
                    )
    return rows


def study_record(**other) -> dict:
    """A study's `run.json`."""
    base = {
        k: v
        for k, v in run_record().items()
        if k
        in ("antivenom", "machine", "versions", "wall_s", "cpu_s", "peak_rss_mb", "started", "finished", "config_hash")
    }
    return {
        **base,
        "verb": "study",
        "study": "rephrased",
        "paper": "arXiv 2311.04850",
        "size": "tiny",
        "seeds": [0],
        "status": "complete",
        "command": ["antivenom", "study", "run", "rephrased"],
        "figures": [
            {
                "metric": "end-to-end recall",
                "dose": 75,
                "treatment": "bm25",
                "value": 0.991,
                "source": "our notes, section 4",
                "provenance": "read",
            },
            {
                "metric": "end-to-end recall",
                "dose": 373,
                "treatment": "ngram",
                "value": 0.4321,
                "source": "memory",
                "provenance": "recalled",
            },
        ],
        **other,
    }
