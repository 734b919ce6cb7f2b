"""Perspective as a scorer: eight attributes per text, dated, from a service that ends on 2026-12-31.

The service drifts: the same texts got an expected maximum toxicity of .527 and two years later .384. So an answer always
carries its date, the date is part of the scorer's identity, and scores of different dates never share a table silently.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from antivenom.data.rows import Batch
from antivenom.errors import AntivenomError
from antivenom.screen.scoring.scorer import Evidence, Identity, Scores
from antivenom.screen.scoring.windows import Windows
from antivenom.screen.toxicity.perspective_client import (
    ATTRIBUTES,
    LIMIT_BYTES,
    OFFICIAL,
    Answer,
    PerspectiveClient,
    today,
)

__all__ = ["Perspective", "byte_windows"]

SPANS = pa.list_(pa.struct([("start", pa.int32()), ("stop", pa.int32()), ("score", pa.float32())]))
USES = ("summary", "first-span")


def byte_windows(text: str, limit: int = LIMIT_BYTES) -> list[tuple[int, int]]:
    """Character spans of at most `limit` UTF-8 bytes that cover the text; cut after white space where there is any.

    >>> byte_windows("ab cd é", 5)
    [(0, 3), (3, 7)]
    """
    spans: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        piece = text[start : start + limit].encode("utf-8", "replace")
        if len(piece) <= limit:
            stop = min(start + limit, len(text))
        else:  # a character cut in two at the limit is dropped, and begins the next window
            stop = start + len(piece[:limit].decode("utf-8", "ignore"))
        if stop < len(text):
            head = text[start:stop]
            at = max((i for i in range(len(head), len(head) // 2, -1) if head[i - 1].isspace()), default=len(head))
            stop = start + at
        spans.append((start, stop))
        start = stop
    return spans


@dataclass(frozen=True)
class Perspective:
    """Scores of the Perspective API. The key is read from the environment and stands in no record.

    Args:
        attribute: the one that is the score; the others become columns.
        attributes: those asked for, joined by `+`, or `all` eight; languages other than English have fewer.
        use: `summary` (the score of the whole text) or `first-span` (of its first sentence, as HELM reads it).
        long: what becomes of a text over 20,480 bytes: `windows` (cut and aggregated) or `refuse` (no score).
        aggregate: of windows: `max`, `mean` or `share` of .5 or more.
        period: ISO date `D`, or `D..E`: only answers of these days are used. Empty: today alone.
        endpoint, key_env, rate, together, workers, retries, backoff, timeout: see `PerspectiveClient`.
        cache: SQLite file with all answers, shared by all runs; empty: `antivenom/perspective.sqlite` in the user's
            cache folder.

    Raises:
        AntivenomError: for values that are none of these; on scoring, when the service has ended or refuses the key.
    """

    name: ClassVar[str] = "perspective"

    attribute: str = "toxicity"
    attributes: str = "all"
    use: str = "summary"
    long: str = "windows"
    aggregate: str = "max"
    period: str = ""
    endpoint: str = OFFICIAL
    key_env: str = "PERSPECTIVE_API_KEY"
    rate: int = 1
    together: int = 1
    workers: int = 4
    retries: int = 5
    backoff: float = 1.0
    timeout: float = 60.0
    cache: str = ""
    _started: str = field(default_factory=today, init=False, repr=False)

    def __post_init__(self) -> None:
        for value, known in ((self.use, USES), (self.long, ("windows", "refuse"))):
            if value not in known:
                raise AntivenomError(f"perspective has no way '{value}'", f"choose from: {', '.join(known)}")
        foreign = [name for name in self._asked if name not in ATTRIBUTES]
        if foreign or self.attribute not in self._asked:
            what = f"perspective does not ask for '{(foreign or [self.attribute])[0]}'"
            raise AntivenomError(what, f"choose from: {', '.join(ATTRIBUTES)}")
        try:
            first, last = (date.fromisoformat(day) for day in self._days)
        except ValueError:
            first, last = date.max, date.min
        if first > last:
            raise AntivenomError(f"'{self.period}' is no period", "write period=2026-11-25 or 2026-11-25..2026-11-30")
        _ = self._windows
        self._client_class(**self._options, cache=None)  # its checks, now

    _client_class: ClassVar[type[PerspectiveClient]] = PerspectiveClient

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name in asdict(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    @property
    def _asked(self) -> tuple[str, ...]:
        return ATTRIBUTES if self.attributes == "all" else tuple(self.attributes.split("+"))

    @property
    def _days(self) -> tuple[str, str]:
        first, dots, last = (self.period or self._started).partition("..")
        return first, last if dots else first

    @property
    def _windows(self) -> Windows:
        return Windows(aggregate=self.aggregate)

    @property
    def _options(self) -> dict[str, Any]:
        names = ("endpoint", "key_env", "rate", "together", "workers", "retries", "backoff", "timeout")
        since, until = self._days
        return {name: getattr(self, name) for name in names} | {
            "attributes": self._asked,
            "since": since,
            "until": until,
        }

    @cached_property
    def client(self) -> PerspectiveClient:
        """The connection, with counts of calls, cached answers, errors and tries repeated."""
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return self._client_class(
            **self._options, cache=Path(self.cache or home / "antivenom" / "perspective.sqlite").expanduser()
        )

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The other attributes, the spans of the score's attribute, and the date of the (last) answer."""
        others = {name: pa.float32() for name in self._asked if name != self.attribute}
        return others | {"spans": SPANS, "date": pa.string()}

    def identity(self) -> Identity:
        """API version and host, attribute, use of spans, policy for long texts, and the period."""
        version = PerspectiveClient(endpoint=self.endpoint).version
        params = {"attribute": self.attribute, "attributes": list(self._asked), "use": self.use, "long": self.long}
        params |= {"limit_bytes": LIMIT_BYTES} | (self._windows.record() if self.long == "windows" else {})
        since, until = self._days
        return Identity(self.name, version, "", "worse", params, since if since == until else f"{since}..{until}")

    def score(self, batch: Batch) -> Scores:
        """Ask for every row; NaN and a reason for an empty text, an error, or a text that is too long."""
        texts = batch.texts.to_pylist()
        reasons = [self._refusal(text) for text in texts]
        spans = [[] if reason else byte_windows(text) for text, reason in zip(texts, reasons)]
        owner = np.array([row for row, cut in enumerate(spans) for _ in cut], np.int64)
        pieces = [texts[row][a:b] for row, cut in enumerate(spans) for a, b in cut]
        # a window of white space alone is an empty text to the service: it is not asked and does not count
        asked = [i for i, piece in enumerate(pieces) if piece.strip()]
        answers = dict(zip(asked, self.client.ask([pieces[i] for i in asked])))
        values = np.full((len(self._asked), len(pieces)), np.nan, np.float64)
        dates = [""] * len(texts)
        found: list[list[dict[str, Any]]] = [[] for _ in texts]
        failed: dict[int, str] = {}
        offsets = [start for cut in spans for start, _ in cut]
        for i, answer in answers.items():
            row = int(owner[i])
            dates[row] = max(dates[row], answer.date)
            try:
                values[:, i] = [self._value(answer, name) for name in self._asked]
                found[row] += self._spans(answer, offsets[i], len(texts[row]))
            except ValueError as error:  # one window without a score leaves the row without: its rest is not the row
                failed[row] = f"cannot score: {error}"
        scores = {
            name: self._windows.join(values[k], owner, len(texts)) if len(pieces) else np.full(len(texts), np.nan)
            for k, name in enumerate(self._asked)
        }
        for row, reason in failed.items():
            reasons[row] = reason
            for column in scores.values():
                column[row] = np.nan
        for row, cut in enumerate(spans):
            if len(cut) > 1 and not reasons[row]:
                reasons[row] = f"{self.aggregate} of {len(cut)} windows"
        columns = {
            name: pa.array(column.astype(np.float32), mask=np.isnan(column))
            for name, column in scores.items()
            if name != self.attribute
        }
        columns["spans"] = pa.array([[] if row in failed else found[row] for row in range(len(texts))], SPANS)
        columns["date"] = pa.array([day or None for day in dates], pa.string())
        return Scores(scores[self.attribute].astype(np.float32), reasons, columns)

    def explain(self, text: str) -> list[Evidence]:
        """The spans by their score, strongest first."""
        if self._refusal(text):
            return []
        found: list[dict[str, Any]] = []
        cut = [(a, b) for a, b in byte_windows(text) if text[a:b].strip()]
        for (start, _), answer in zip(cut, self.client.ask([text[a:b] for a, b in cut])):
            try:
                found += self._spans(answer, start, len(text))
            except ValueError:
                continue
        found.sort(key=lambda span: -span["score"])
        return [Evidence(span["start"], span["stop"], span["score"], self.attribute) for span in found]

    def _refusal(self, text: str) -> str:
        if not text.strip():
            return "cannot score: empty"
        size = len(text.encode("utf-8", "replace"))
        if self.long == "refuse" and size > LIMIT_BYTES:
            return f"cannot score: {size:,} bytes, the service reads {LIMIT_BYTES:,}"
        return ""

    def _value(self, answer: Answer, attribute: str) -> float:
        said = _attribute(answer, attribute)
        part = said.get("summaryScore") if self.use == "summary" else _span_scores(said)[0].get("score")
        return _probability(part)

    def _spans(self, answer: Answer, offset: int, length: int) -> Sequence[dict[str, Any]]:
        spans = []
        for span in _span_scores(_attribute(answer, self.attribute), missing=self.use == "summary"):
            begin, end = span.get("begin", 0), span.get("end", 0)
            if isinstance(begin, int) and isinstance(end, int) and 0 <= begin < end:
                stop = min(offset + end, length)
                spans.append({"start": offset + begin, "stop": stop, "score": _probability(span.get("score"))})
        return [span for span in spans if span["start"] < span["stop"]]


FORMAT = "the answer is not in the published format"


def _attribute(answer: Answer, name: str) -> dict[str, Any]:
    if answer.response is None:
        raise ValueError(answer.error)
    scores = answer.response.get("attributeScores")
    said = scores.get(name.upper()) if isinstance(scores, dict) else None
    if not isinstance(said, dict):
        raise ValueError(f"{FORMAT} (no {name})")
    return said


def _span_scores(said: dict[str, Any], *, missing: bool = False) -> list[dict[str, Any]]:
    spans = said.get("spanScores")
    if isinstance(spans, list) and spans and all(isinstance(span, dict) for span in spans):
        return spans
    if missing:
        return []
    raise ValueError(f"{FORMAT} (no spans)")


def _probability(said: Any) -> float:
    value = said.get("value") if isinstance(said, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{FORMAT} (no probability)")
    return float(value)
