"""The demo: this machine's own Python libraries, a small dose of HumanEval planted in them, and the search for it.

antivenom demo --out demo-report

1. The corpus: the Python standard library and the installed packages' sources and docs, one file a row.
2. The dose: HumanEval items, word for word, in other words, and inside a longer real file, at positions the manifest remembers.
3. The screen: rules first, retrieval, the offline judge last.
4. The page: what was found, with the evidence - and, thanks to the manifest, what share of the dose that is.
"""

from pathlib import Path

import orjson

from antivenom.data.benchmarks import load_benchmark
from antivenom.data.sample_corpora import installed_documents
from antivenom.poison.plant import planted
from antivenom.report.run_directory import atomic_file
from antivenom.screen.contamination import ScreenResult, screen_corpus

__all__ = ["run_demo"]

DOSES = {"verbatim": 16, "embedded": 16, "rephrased": 16}


def run_demo(out: Path, *, megabytes: int = 40, seed: int = 0) -> ScreenResult:
    """Plant, screen, report; see the module's text.

    Args:
        out: the run directory; an earlier demo in it is replaced.
        megabytes: how much library text.
        seed: for which items are planted, how, and where.
    """
    benchmark = load_benchmark("humaneval")
    documents = dict(reversed(list(installed_documents(limit_bytes=megabytes * 2**20))))
    names = {text: name for name, text in documents.items()}
    rows, manifest = planted(list(names), benchmark.items, counts=DOSES, seed=seed, benchmark=benchmark.name)
    corpus = out.parent / f"{out.name}-corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    with atomic_file(corpus / "libraries.jsonl") as temporary, Path(temporary).open("wb") as target:
        for row in rows:
            target.write(orjson.dumps({"name": names.get(row, "planted"), "text": row}) + b"\n")
    manifest.save(corpus / "manifest.parquet")
    return screen_corpus(
        corpus / "libraries.jsonl",
        [benchmark],
        out,
        manifest=corpus / "manifest.parquet",
        overwrite=True,
        seed=seed,
        command=["antivenom", "demo", "--out", str(out), "--megabytes", str(megabytes), "--seed", str(seed)],
    )
