"""Train the packaged toxicity model and its word list on openly licensed labels.

python scripts/train_toxicity.py --data ../shared/data                      # writes src/antivenom/screen/weights/toxicity*.npz
python scripts/train_toxicity.py --data ../shared/data --out /tmp/weights

Labels: ParaDetox (CC0; a toxic sentence and up to three neutral rewrites, which share one vote) and Davidson et al. 2017 (MIT; hate
and offensive against neither). Neutral bulk, so that ordinary text and code score low: PEPs (public domain / CC0),
Shakespeare (public domain), GSM8K training questions (MIT), and the Python standard library of this machine (PSF licence); each word of the bulk once more
by itself, so that no run of letters inside an ordinary word counts.
Rows that are, nearly, in an evaluation set are removed before the fit, and counted.
"""

import argparse
import gzip
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
from evaluate_toxicity import evaluation_sets

from antivenom.data.duplicates import duplicate_groups, overlap
from antivenom.data.sample_corpora import installed_documents
from antivenom.data.words import hash_token, words
from antivenom.randomness import generator
from antivenom.screen.provenance.overlap import Overlap
from antivenom.screen.scoring.hashed_linear import HashedLinear
from antivenom.screen.toxicity.lexicon import learn_words

WEIGHTS = Path(__file__).parents[1] / "src" / "antivenom" / "screen" / "weights"
SEED = 0
BULK = 20_000  # pieces of each kind of neutral bulk, at most
NEAR = 0.8


@dataclass
class Rows:
    """Training rows: text, label, how much it counts, and which rows belong together."""

    texts: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    votes: list[float] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def add(self, text: str, label: int, vote: float, group: str, source: str) -> None:
        """One row."""
        for column, value in zip(vars(self).values(), (text, label, vote, group, source)):
            column.append(value)

    def only(self, keep: np.ndarray) -> "Rows":
        """The rows of a mask."""
        return Rows(*[[v for v, k in zip(column, keep) if k] for column in vars(self).values()])


def labelled(data: Path) -> Rows:
    """ParaDetox and Davidson; rows without a neutral rewrite are dropped."""
    rows = Rows()
    for i, r in enumerate(pq.read_table(data / "tox_paradetox" / "paradetox.parquet").to_pylist()):
        neutral = [r[f"neutral{k}"] for k in (1, 2, 3) if r[f"neutral{k}"]]
        if not neutral or not r["toxic"]:
            continue
        rows.add(r["toxic"], 1, 1.0, f"paradetox {i}", "paradetox")
        for text in neutral:
            rows.add(text, 0, 1 / len(neutral), f"paradetox {i}", "paradetox")
    table = pq.read_table(data / "tox_davidson" / "davidson.parquet")
    for i, (text, label) in enumerate(zip(table["text"].to_pylist(), table["label"].to_pylist())):
        # 20,620 of the 24,783 are toxic: a toxic tweet counts less, so that tweets are no sign of toxicity
        rows.add(text, int(label != 2), 1.5 if label == 2 else 0.5, f"davidson {i}", "davidson")
    return rows


def pieces_of(text: str, rng: np.random.Generator) -> list[str]:
    """Stretches of 1 to 11 lines."""
    lines, pieces, at = text.split("\n"), [], 0
    while at < len(lines):
        size = int(rng.integers(1, 12))
        pieces.append("\n".join(lines[at : at + size]).strip())
        at += size
    return [piece for piece in pieces if len(piece) > 20]


def neutral_bulk(data: Path) -> dict[str, list[str]]:
    """Ordinary text and code, by source."""
    rng = generator(SEED, "neutral bulk")
    library = [text for name, text in installed_documents(20_000_000) if name.startswith("python/")]
    peps = pq.read_table(next((data / "dated_peps").glob("*.parquet")))["text"].to_pylist()
    with gzip.open(data / "text_tinyshakespeare" / "input.txt.gz", "rt", encoding="utf-8") as source:
        plays = source.read().split("\n\n")
    questions = pq.read_table(data / "bench_gsm8k" / "train.parquet")["question"].to_pylist()
    found = {
        "python library": [piece for text in library for piece in pieces_of(text, rng)],
        "peps": [piece for text in peps for piece in text.split("\n\n") if len(piece) > 40],
        "shakespeare": [piece for piece in plays if len(piece) > 30],
        "gsm8k": [sentence.strip() for q in questions for sentence in q.split(". ")],
    }
    return {name: [p[i] for i in sorted(rng.permutation(len(p))[:BULK])] for name, p in found.items()}


def lone_words(rows: Rows) -> list[str]:
    """Every word of the neutral bulk once, as a text of its own, without the words that mark toxic texts.

    They teach the character n-grams that a letter sequence inside an ordinary word means nothing (the Scunthorpe problem).
    """
    mine = [i for i, source in enumerate(rows.sources) if source in ("paradetox", "davidson")]
    listed = learn_words([rows.texts[i] for i in mine], [rows.labels[i] for i in mine], least=0.7, documents=5)
    marks = set(listed.words.tolist())
    bulk = [text for text, source in zip(rows.texts, rows.sources) if source not in ("paradetox", "davidson")]
    found = {word.token for text in bulk for word in words(text) if word.token.isalpha() and len(word.token) > 2}
    return sorted(word for word in found if hash_token(word) not in marks)


def clean(rows: Rows, data: Path) -> tuple[Rows, dict[str, int]]:
    """Without copies, contradictions, and (near-)copies of evaluation rows."""
    groups, y = duplicate_groups(rows.texts), np.asarray(rows.labels)
    first = np.unique(groups, return_index=True)[1]
    contradicted = np.zeros(len(first), bool)
    contradicted[np.unique(groups[y != y[first][groups]])] = True
    keep = np.zeros(len(y), bool)
    keep[first[~contradicted]] = True
    record = {"rows": len(y), "copies": len(y) - len(first), "contradictory": int(contradicted.sum())}
    rows = rows.only(keep)
    tested = sorted({text for part in evaluation_sets(data).values() for text in part.texts})
    exact = overlap(tested, rows.texts)
    near = Overlap(threshold=NEAR, unit="word", shingle=3).find(tested, rows.texts).matched >= 0
    record |= {"in an evaluation set": int(exact.sum()), "nearly in one": int((near & ~exact).sum())}
    return rows.only(~(exact | near)), record


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    rows = labelled(options.data)
    n_labelled = len(rows.texts)
    for source, pieces in neutral_bulk(options.data).items():
        for i, piece in enumerate(pieces):
            rows.add(piece, 0, 0.5, f"{source} {i}", source)
    for word in lone_words(rows):
        rows.add(word, 0, 0.1, f"word {word}", "lone words")
    rows, record = clean(rows, options.data)
    for source in dict.fromkeys(rows.sources):
        mine = [y for y, s in zip(rows.labels, rows.sources) if s == source]
        record[source], record[f"{source}, toxic"] = len(mine), sum(mine)
        print(f"{source:16} {len(mine):7} rows, {sum(mine):6} toxic")
    print(record, f"({n_labelled} labelled rows given)")
    model = HashedLinear.fit(
        rows.texts,
        rows.labels,
        bits=18,
        word_ngrams=2,
        char_ngrams=(4, 5),
        l2=3e-6,
        seed=SEED,
        groups=rows.groups,
        sample_weights=np.array(rows.votes),
        meta={"trained by": "scripts/train_toxicity.py", "given": record},
    )
    listed = learn_words(rows.texts, rows.labels, weights=np.array(rows.votes))
    model.save(options.out / "toxicity.npz")
    listed.save(options.out / "toxicity_words.npz")
    for name in ("toxicity.npz", "toxicity_words.npz"):
        print(f"{name}: {(options.out / name).stat().st_size:,} bytes")
    print(f"model {model.weights_hash}, slope {model.slope:.3f}, offset {model.offset:.3f}; {len(listed.hashes)} words")


if __name__ == "__main__":
    main()
