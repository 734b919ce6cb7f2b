"""Train a scorer on your own labelled texts and write its model file.

python scripts/train_scorer.py quality labelled.jsonl --label label --positive good --out quality.npz
python scripts/train_scorer.py perplexity trusted.parquet --out trusted.npz
python scripts/train_scorer.py toxicity-linear comments.csv --text comment --label toxic --positive 1 --out toxic.npz

Use the file: antivenom screen CORPUS --score quality:model=quality.npz

Data: JSONL, Parquet or CSV; several files are read one after the other. A row whose label is in --positive is 1, any other
labelled row 0; a row without a label is left out and counted. `perplexity` learns from all rows, or with --label from
those that are not positive. `topic` learns its labels as they are. With --evaluation the texts a score will be taken on
are refused among the training texts.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from antivenom.data.corpus import open_corpus
from antivenom.data.duplicates import refuse_overlap
from antivenom.errors import AntivenomError
from antivenom.screen.provenance.metadata import field
from antivenom.screen.scoring.scorer import Identity
from antivenom.screen.scoring.scorers import parse

TRAINABLE = ("quality", "perplexity", "toxicity-linear", "dsir", "topic")
UNLABELLED = ("perplexity",)


def read_labelled(files: list[str], text: str | None, label: str | None) -> tuple[list[str], list[Any], int]:
    """Texts, labels (None for all without `label`) and how many rows had no label or could not be read."""
    texts: list[str] = []
    labels: list[Any] = []
    lost = 0
    for file in files:
        for batch in open_corpus(file, text_field=text).batches():
            lost += len(batch.quarantined)
            found = field(batch, label) if label else [None] * len(batch)
            for one, value in zip(batch.texts.to_pylist(), found):
                if label and (value is None or value == ""):
                    lost += 1
                else:
                    texts.append(one)
                    labels.append(value)
    return texts, labels, lost


def as_label(value: Any) -> str:
    """A label as it is compared: 1, 1.0 and true are "1"; false is "0"."""
    if isinstance(value, (bool, float)) and value == int(value):
        value = int(value)
    return str(value).strip()


def train(arguments: argparse.Namespace) -> Identity:
    """Read, check, learn, write."""
    name = arguments.scorer.partition(":")[0]
    if name not in TRAINABLE:
        raise AntivenomError(f"'{name}' is not trained here", f"choose from: {', '.join(TRAINABLE)}")
    if not arguments.label and name not in UNLABELLED:
        raise AntivenomError(f"'{name}' needs labels", "name their field with --label")
    texts, values, lost = read_labelled(arguments.data, arguments.text, arguments.label)
    if arguments.evaluation:
        refuse_overlap(texts, read_labelled(arguments.evaluation, arguments.text, None)[0])
    positive = set(arguments.positive)
    labels: list[Any] | None = [as_label(value) for value in values] if arguments.label else None
    if labels is not None and name != "topic":
        if not positive & set(labels):
            seen = ", ".join(sorted(set(labels))[:10])
            raise AntivenomError(f"no row has a label of --positive {' '.join(positive)}", f"the labels are: {seen}")
        labels = [int(value in positive) for value in labels]
    print(f"{len(texts):,} rows to learn from, {lost:,} left out (unreadable or without a label)")
    scorer = parse(arguments.scorer)
    fitted = (
        scorer.fit(texts, seed=arguments.seed) if labels is None else scorer.fit(texts, labels, seed=arguments.seed)
    )
    fitted.save(arguments.out)
    identity = fitted.identity()
    print(f"{arguments.out}: {Path(arguments.out).stat().st_size:,} bytes, weights {identity.weights}")
    return identity


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scorer", help=f"one of {', '.join(TRAINABLE)}; parameters after a colon (quality:bits=16)")
    parser.add_argument("data", nargs="+")
    parser.add_argument("--out", required=True)
    parser.add_argument("--text", help="the field with the text; found by its usual names")
    parser.add_argument("--label", help="the field with the label")
    parser.add_argument("--positive", nargs="+", default=["1"], help="labels that count as 1 (default: 1)")
    parser.add_argument("--evaluation", nargs="+", default=[], help="files whose texts must not be among the data")
    parser.add_argument("--seed", type=int, default=0)
    try:
        train(parser.parse_args(argv))
    except AntivenomError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
