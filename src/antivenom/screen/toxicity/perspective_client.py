"""The Perspective API over HTTP: published request shape, byte limit, rate limit, retries, and a dated store of answers.

Request (service `commentanalyzer`, version `v1alpha1`): `POST /v1alpha1/comments:analyze` with
`{"comment": {"text": ...}, "requestedAttributes": {"TOXICITY": {}, ...}, "spanAnnotations": true}`. No `languages` (the
service detects it) and no `doNotStore`, as in the published client of RealToxicityPrompts (Gehman et al. 2020).
"""

import email.parser
import email.policy
import fcntl
import hashlib
import json
import os
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from antivenom.errors import AntivenomError
from antivenom.models.chat import LONGEST_WAIT, CallFailed, Reply, post

__all__ = ["ATTRIBUTES", "END", "LIMIT_BYTES", "OFFICIAL", "Answer", "Limiter", "PerspectiveClient", "today"]

ATTRIBUTES = (
    *("toxicity", "severe_toxicity", "identity_attack", "insult"),
    *("threat", "profanity", "sexually_explicit", "flirtation"),
)
OFFICIAL = "https://commentanalyzer.googleapis.com"
VERSION = "v1alpha1"
LIMIT_BYTES = 20_480
END = date(2026, 12, 31)
"""The last day of the service; new keys have not been given since February 2026."""

LOCAL = "score with a local scorer: --score toxicity; `antivenom rescore` compares it with the scores you have"


def today() -> str:
    """The ISO date of now, UTC."""
    return datetime.now(UTC).date().isoformat()


@dataclass(frozen=True)
class Answer:
    """What is known of one text: the response, or an error that asking again would not mend.

    Args:
        date: ISO date on which the service said so.
        response: as the service sent it; None when there is an error.
        error: in words.
    """

    date: str
    response: dict[str, Any] | None
    error: str = ""


class Limiter:
    """Never more than `rate` requests in any second, across threads and - with a `file` - across processes.

    The n-th request leaves at least one second after the (n - rate)-th did: times are stamped when a request may leave,
    under a lock that is held while waiting, so that lateness of one request cannot make room for too many.
    """

    WINDOW = 1.1  # seconds between departures; the tenth is for the way: 22 of 20 arrived within a second without it

    def __init__(
        self,
        rate: int,
        file: Path | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.rate, self.file, self.clock, self.sleep = rate, file, clock, sleep
        self._lock = threading.Lock()
        self._times: deque[float] = deque(maxlen=rate)

    def wait(self, n: int = 1) -> None:
        """Return when `n` <= `rate` requests may leave together."""
        with self._lock:
            if self.file is None:
                self._wait(n)
                return
            with self.file.open("a+") as shared:
                fcntl.flock(shared, fcntl.LOCK_EX)
                shared.seek(0)
                known = [float(word) for word in shared.read().split() if word.replace(".", "", 1).isdigit()]
                now = self.clock()
                self._times = deque((t for t in known if t <= now + self.WINDOW), self.rate)
                self._wait(n)
                shared.truncate(0)
                shared.write(" ".join(f"{t:.6f}" for t in self._times))
                shared.flush()

    def _wait(self, n: int) -> None:
        while True:
            now = self.clock()
            recent = sum(1 for t in self._times if now - t < self.WINDOW)
            over = recent + n - self.rate
            if over <= 0:
                break
            blocking = self._times[len(self._times) - recent + over - 1]
            self.sleep(max(1e-4, blocking + self.WINDOW - now))
        self._times.extend([now] * n)


@dataclass
class PerspectiveClient:
    """Asks the service about texts of at most LIMIT_BYTES bytes; keeps every answer with its date.

    Args:
        attributes: which to ask for.
        endpoint: of the service.
        key_env: environment variable with the key; the key goes into a header, never into an address or a record.
        rate: requests a second the key's quota allows (default quota: 1; the paper's authors had 25).
        together: requests packed into one HTTP batch; at most `rate`.
        workers: calls at the same time.
        retries: further tries after the first, for 408, 409, 425, 429, 5xx and broken connections.
        backoff: seconds before the second try; doubles, with jitter, and is at least the server's Retry-After.
        cache: SQLite file of the answers; None keeps nothing.
        since, until: only answers of these ISO dates are used; see `Perspective.period`.
    """

    attributes: Sequence[str] = ATTRIBUTES
    endpoint: str = OFFICIAL
    key_env: str = "PERSPECTIVE_API_KEY"
    rate: int = 1
    together: int = 1
    workers: int = 4
    retries: int = 5
    backoff: float = 1.0
    timeout: float = 60.0
    cache: Path | None = None
    since: str = ""
    until: str = "9999-12-31"
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    today: Callable[[], str] = today
    counts: dict[str, int] = field(default_factory=lambda: {"calls": 0, "cached": 0, "errors": 0, "retried": 0})

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise AntivenomError(f"'{self.endpoint}' is no address of a service", f"write it as {OFFICIAL}")
        if self.rate < 1 or not 1 <= self.together <= self.rate or self.workers < 1 or self.retries < 0:
            what = f"rate={self.rate}, together={self.together}, workers={self.workers}, retries={self.retries}"
            raise AntivenomError(what, "rate >= together >= 1, workers >= 1, retries >= 0")
        self._lock = threading.Lock()
        self._store: sqlite3.Connection | None = None
        rates = None
        if self.cache is not None:
            self._open(Path(self.cache))
            rates = Path(f"{self.cache}.rate")
        self._limiter = Limiter(self.rate, rates, self.clock, self.sleep)

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._store = sqlite3.connect(path, check_same_thread=False, timeout=60)
            with self._store:
                columns = "key TEXT, date TEXT, response TEXT, error TEXT, PRIMARY KEY (key, date)"
                self._store.execute(f"CREATE TABLE IF NOT EXISTS perspective ({columns})")
        except (sqlite3.Error, OSError) as error:
            raise AntivenomError(f"the cache '{path}' cannot be used: {error}", "name another file") from error

    def __del__(self) -> None:
        if getattr(self, "_store", None) is not None:
            self._store.close()  # pyright: ignore[reportOptionalMemberAccess]

    @property
    def version(self) -> str:
        """API version and host: what answers may be taken for each other, given the date."""
        return f"{VERSION}@{urlsplit(self.endpoint).netloc}"

    def key(self, text: str) -> str:
        """sha256 of the text, the attributes, and the version."""
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        return f"{digest} {'+'.join(self.attributes)} {self.version}"

    def ask(self, texts: Sequence[str]) -> list[Answer]:
        """One answer per text, in order; equal texts are asked once. Answers in the cache are not asked again.

        Raises:
            AntivenomError: when the service has ended or refuses the key, or the day leaves the period.
        """
        found: dict[str, Answer] = {}
        wanted: dict[str, str] = {}
        for text in texts:
            key = self.key(text)
            if key in found or key in wanted:
                continue
            if known := self._known(key):
                found[key] = known
                self.counts["cached"] += 1
            else:
                wanted[key] = text
        keys = list(wanted)
        groups = [keys[i : i + self.together] for i in range(0, len(keys), self.together)]
        if groups:
            self._may_ask()
        with ThreadPoolExecutor(self.workers) as pool:
            jobs = [pool.submit(self._group, {key: wanted[key] for key in group}) for group in groups]
            try:
                for job in jobs:
                    found |= job.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [found[self.key(text)] for text in texts]

    def _may_ask(self) -> None:
        now = self.today()
        if self.endpoint.rstrip("/") == OFFICIAL:
            if now > END.isoformat():
                raise AntivenomError(f"the Perspective API ended on {END}, today is {now}", LOCAL)
            if not os.environ.get(self.key_env):
                what = f"the Perspective API needs a key in ${self.key_env}, and new keys are no longer given"
                raise AntivenomError(f"{what}; it ends on {END}", f"set ${self.key_env}, or {LOCAL}")
        if not self.since <= now <= self.until:
            what = f"today ({now}) is outside the scorer's period {self.since}..{self.until}"
            mend = f"the service changes with time: say that days may be mixed with period={self.since}..{now}"
            raise AntivenomError(what, mend)

    def _group(self, texts: dict[str, str]) -> dict[str, Answer]:
        """Ask for a few texts until each has an answer, a lasting error, or no tries left."""
        done: dict[str, Answer] = {}
        for attempt in range(self.retries + 1):
            left = [key for key in texts if key not in done]
            wait, reason = 0.0, {}
            for key, reply in zip(left, self._send([texts[key] for key in left])):
                answer = self._judge(reply)
                if answer is not None:
                    done[key] = answer
                    self._keep(key, answer)
                elif isinstance(reply, CallFailed):
                    reason[key] = reply.reason
                else:
                    reason[key], wait = f"the service says {reply.status}", max(wait, reply.wait or 0.0)
            if not reason:
                break
            if attempt < self.retries:
                self._count("retried")
                pause = self.backoff * 2**attempt * (1 + random.random() / 4)  # jitter moves time, never a result
                self.sleep(min(LONGEST_WAIT, max(pause, wait)))
            else:  # may succeed another day: an error now, and not kept
                tries = f"after {self.retries + 1} tries"
                done |= {key: Answer(self.today(), None, f"{why}, {tries}") for key, why in reason.items()}
        self._count("errors", sum(answer.response is None for answer in done.values()))
        return done

    def _send(self, texts: list[str]) -> list[Reply | CallFailed]:
        """One HTTP call: a request, or a multipart batch of them; one reply per text."""
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_env, ""):
            headers["X-Goog-Api-Key"] = key
        bodies = [self.body(text) for text in texts]
        self._limiter.wait(len(texts))
        self._may_ask()  # the day may have changed while waiting
        self._count("calls")
        base = self.endpoint.rstrip("/")
        path = f"/{VERSION}/comments:analyze"
        try:
            if len(texts) == 1:
                return [post(base + path, bodies[0], headers, timeout=self.timeout)]
            boundary = f"antivenom-{hashlib.sha256(b''.join(bodies)).hexdigest()[:24]}"
            headers["Content-Type"] = f"multipart/mixed; boundary={boundary}"
            reply = post(f"{base}/batch", _pack(bodies, path, boundary), headers, timeout=self.timeout)
            return _unpack(reply, len(texts)) if reply.status == 200 else [reply] * len(texts)
        except CallFailed as failure:
            return [failure] * len(texts)

    def body(self, text: str) -> bytes:
        """The request for one text."""
        asked = {name.upper(): {} for name in self.attributes}
        return json.dumps({"comment": {"text": text}, "requestedAttributes": asked, "spanAnnotations": True}).encode()

    def _judge(self, reply: Reply | CallFailed) -> Answer | None:
        """An answer that may be kept, or None to try again."""
        if isinstance(reply, CallFailed) or reply.retry:
            return None
        try:
            data = json.loads(reply.data)
        except (ValueError, RecursionError):
            data = None
        error = data.get("error") if isinstance(data, dict) else None
        says = str(error.get("message", ""))[:200] if isinstance(error, dict) else ""
        if reply.status in (401, 403) or "API key not valid" in says:
            what = f"the Perspective API refuses the key in ${self.key_env}: {reply.status} {says}".rstrip()
            raise AntivenomError(f"{what}; new keys are no longer given", LOCAL)
        if reply.status in (404, 410):
            what = f"there is no Perspective API at {urlsplit(self.endpoint).netloc}: it says {reply.status}"
            raise AntivenomError(f"{what} (the service ends on {END})", LOCAL)
        if reply.status != 200:
            return Answer(self.today(), None, f"the service says {reply.status} {says}".rstrip())
        if not isinstance(data, dict):
            return Answer(self.today(), None, "the answer is not in the published format")
        return Answer(self.today(), data)

    def _known(self, key: str) -> Answer | None:
        """The newest answer of the period."""
        if self._store is None:
            return None
        query = (
            "SELECT date, response, error FROM perspective WHERE key = ? AND date BETWEEN ? AND ? ORDER BY date DESC"
        )
        with self._lock, closing(self._store.execute(query, (key, self.since, self.until))) as rows:
            row = rows.fetchone()
        return Answer(row[0], json.loads(row[1]) if row[1] else None, row[2]) if row else None

    def _keep(self, key: str, answer: Answer) -> None:
        if self._store is None:
            return
        response = None if answer.response is None else json.dumps(answer.response)
        with self._lock, self._store:
            row = (key, answer.date, response, answer.error)
            self._store.execute("INSERT OR REPLACE INTO perspective VALUES (?, ?, ?, ?)", row)

    def _count(self, what: str, by: int = 1) -> None:
        with self._lock:
            self.counts[what] += by


def _pack(bodies: list[bytes], path: str, boundary: str) -> bytes:
    parts = []
    for number, body in enumerate(bodies):
        head = f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n"
        head += f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        parts.append(head.encode() + body + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def _unpack(reply: Reply, n: int) -> list[Reply | CallFailed]:
    """The replies of a batch, by their Content-ID `<response-NUMBER>`; one that is not there has failed."""
    head = f"Content-Type: {reply.kind}\r\n\r\n".encode("latin-1", "replace")
    whole = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + reply.data)
    replies: list[Reply | CallFailed] = [CallFailed("the batch holds no answer to it") for _ in range(n)]
    for part in whole.iter_parts() if whole.is_multipart() else ():
        number = str(part.get("Content-ID", "")).strip(" <>").removeprefix("response-")
        content = part.get_payload(decode=True)
        if not number.isdecimal() or int(number) >= n or not isinstance(content, bytes):
            continue
        top, _, body = content.replace(b"\r\n", b"\n").partition(b"\n\n")
        line, *fields = top.decode("latin-1").split("\n")
        words = line.split()
        if len(words) < 2 or not words[1].isdecimal():
            continue
        wait = next((f.split(":", 1)[1].strip() for f in fields if f.lower().startswith("retry-after:")), "")
        replies[int(number)] = Reply(int(words[1]), body, wait=float(wait) if wait.isdecimal() else None)
    return replies
