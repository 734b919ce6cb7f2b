"""Scores of lines: a quick look at what a scorer says, without a corpus and without a run directory."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from antivenom.data.readers import SUFFIXES
from antivenom.data.rows import batch_of
from antivenom.errors import AntivenomError
from antivenom.screen.scoring.scorer import Scorer

__all__ = ["open_lines", "score_lines"]

BATCH = 512
BAD = "cannot score: not UTF-8"


def open_lines(path: Path) -> BinaryIO:
    """A text file, to be read line by line.

    Raises:
        AntivenomError: when it cannot be read, or is a corpus: its lines are not its texts.
    """
    ending = next((e for e in SUFFIXES if path.name.lower().endswith(e) and SUFFIXES[e] != "text"), None)
    if ending is not None:
        mend = f"score its rows: antivenom screen {path} --score NAME --out DIR; or its lines as they are: antivenom score NAME < {path}"
        raise AntivenomError(f"{path} is a corpus ({ending}): its lines are not its texts", mend)
    try:
        return path.open("rb")
    except OSError as error:
        raise AntivenomError(f"cannot read {path}: {error.strerror}", "check the path") from None


def score_lines(scorer: Scorer, source: BinaryIO) -> Iterator[tuple[float, str, str]]:
    """(score, reason, line) of every line, in order; NaN where a line cannot be scored. Memory is a few hundred lines."""
    while raw := list(islice(source, BATCH)):
        texts: list[str | None] = []
        for line in raw:
            try:
                texts.append(line.rstrip(b"\r\n").decode())
            except UnicodeDecodeError:
                texts.append(None)
        good = [text for text in texts if text is not None]
        scores = scorer.score(batch_of(good)) if good else None
        found = iter(zip(scores.values.tolist(), scores.reasons, good)) if scores else iter(())
        for line, text in zip(raw, texts):
            yield next(found) if text is not None else (float("nan"), BAD, line.decode("utf-8", "replace").rstrip())
