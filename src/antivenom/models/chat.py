"""Chat models: one small protocol, three kinds of model, and a client that asks many questions safely.

    client = Client(OpenAICompatible("https://host/v1", "model-name"), cache="answers.sqlite", workers=8)
    answers = client.complete(prompts, temperature=0.0, max_tokens=4)     # None where a call failed for good

Only the standard library is imported here; a key is read when a call is made, never at import.
"""

import email.utils
import hashlib
import http.client
import json
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from antivenom.errors import AntivenomError, MissingExtra

__all__ = ["CallFailed", "ChatModel", "Client", "LocalHF", "Message", "OpenAICompatible", "Reply", "Scripted", "post"]

Message = dict[str, str]
LARGEST_ANSWER = 4 << 20  # bytes of a response that are read: a hostile server must not fill the memory
LONGEST_WAIT = 60.0


class CallFailed(Exception):
    """One call did not give an answer.

    Args:
        reason: in words.
        retry: whether the same call may succeed later.
        wait: seconds the server asked for, if it did.
    """

    def __init__(self, reason: str, *, retry: bool = True, wait: float | None = None):
        super().__init__(reason)
        self.reason = reason
        self.retry = retry
        self.wait = wait


@runtime_checkable
class ChatModel(Protocol):
    """Answers one conversation. `name` is part of the cache key: two models must not share it."""

    @property
    def name(self) -> str:
        """What the model is called in records."""
        ...

    def complete(self, messages: Sequence[Message], *, temperature: float, max_tokens: int) -> str:
        """The answer's text.

        Raises:
            CallFailed: when there is none.
        """
        ...


@dataclass
class Scripted:
    """A fake model for tests and examples: `function(messages) -> text`; it may raise `CallFailed`."""

    function: Callable[[Sequence[Message]], str]
    name: str = "scripted"

    def complete(self, messages: Sequence[Message], *, temperature: float, max_tokens: int) -> str:
        """What the function says."""
        return self.function(messages)


@dataclass
class OpenAICompatible:
    """Any server with the OpenAI chat interface (`POST {base_url}/chat/completions`).

    Args:
        base_url: e.g. `http://127.0.0.1:8000/v1`.
        model: the name the server knows.
        api_key_env: the environment variable with the key; when it is unset the call goes out without one.
        timeout: seconds for the connection and for every read.

    Raises:
        AntivenomError: when the address is no http(s) address.
    """

    base_url: str
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    timeout: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AntivenomError(f"'{self.base_url}' is no address of a chat server", "write it as https://host/v1")
        if parts.username or parts.password:
            raise AntivenomError(
                "the address of the chat server contains a password", f"put the key into ${self.api_key_env}"
            )

    @property
    def name(self) -> str:
        """Model and host: the same model name on two servers may be two models."""
        return f"{self.model}@{urlsplit(self.base_url).netloc}"

    def complete(self, messages: Sequence[Message], *, temperature: float, max_tokens: int) -> str:
        """One call; see `ChatModel`. 408, 409, 425, 429 and 5xx may be retried, other refusals not."""
        body = {"model": self.model, "messages": list(messages), "temperature": temperature, "max_tokens": max_tokens}
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        key = os.environ.get(self.api_key_env, "")
        if key:
            headers["Authorization"] = f"Bearer {key}"
        content = json.dumps(body, ensure_ascii=True).encode("ascii")  # lone surrogates travel as \ud800
        reply = post(f"{self.base_url.rstrip('/')}/chat/completions", content, headers, timeout=self.timeout)
        if reply.status != 200:
            raise CallFailed(f"the server says {reply.status}", retry=reply.retry, wait=reply.wait)
        return _answer(reply.data)


@dataclass(frozen=True)
class Reply:
    """What a server sent back: status, body, its content type, and how many seconds it asks to wait (Retry-After)."""

    status: int
    data: bytes
    kind: str = ""
    wait: float | None = None

    @property
    def retry(self) -> bool:
        """Whether the same call may succeed later: 408, 409, 425, 429 and 5xx."""
        return self.status in (408, 409, 425, 429) or self.status >= 500


def post(url: str, content: bytes, headers: dict[str, str], *, timeout: float) -> Reply:
    """One POST to an http(s) address; a redirect is not followed.

    Raises:
        CallFailed: when no whole answer came: no connection, too slow, larger than LARGEST_ANSWER.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("POST", parts.path + (f"?{parts.query}" if parts.query else ""), content, headers)
        response = connection.getresponse()
        data = _read(response, timeout)
        about = response.getheader("Content-Type", ""), _seconds(response.getheader("Retry-After"))
        return Reply(response.status, data, *about)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CallFailed(f"{type(error).__name__}: {error}".strip(": ")) from error
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse, timeout: float) -> bytes:
    """At most LARGEST_ANSWER bytes within `timeout` in all, so that a server that drips does not hold a worker."""
    until = time.monotonic() + timeout
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read1(1 << 16):
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_ANSWER:
            raise ValueError("the answer is larger than 4 MiB")
        if time.monotonic() > until:
            raise TimeoutError("the answer did not end in time")
    return b"".join(chunks)


def _answer(data: bytes) -> str:
    try:
        text = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise CallFailed("the server's answer is not in the OpenAI chat format") from error
    if not isinstance(text, str):
        raise CallFailed("the server's answer holds no text")
    return text


def _seconds(after: str | None) -> float | None:
    """Retry-After: seconds, or an HTTP date."""
    if not after:
        return None
    try:
        return max(0.0, float(after))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


@dataclass
class LocalHF:
    """A causal language model of `transformers`, from a folder or by hub name; greedy, in this process.

    Loaded at the first call. With a chat template the template is used, without one the messages' contents follow each
    other, separated by blank lines. `temperature` is not used: decoding is greedy.

    Args:
        folder_or_name: what `from_pretrained` takes.
        device: `cpu`, `cuda`, ... ; chosen by what is there when None.
    """

    folder_or_name: str
    device: str | None = None
    _loaded: tuple[Any, Any] | None = None
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @property
    def name(self) -> str:
        """The folder or hub name."""
        return f"hf:{self.folder_or_name}"

    def complete(self, messages: Sequence[Message], *, temperature: float, max_tokens: int) -> str:
        """One greedy answer of at most `max_tokens` tokens."""
        with self._lock:  # generation is not safe to share, and one process has one model
            tokenizer, model = self._load()
            import torch

            if getattr(tokenizer, "chat_template", None):
                text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
                inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
            else:
                text = "\n\n".join(message["content"] for message in messages) + "\n"
                inputs = tokenizer(text, return_tensors="pt")
            longest = getattr(model.config, "max_position_embeddings", None)
            length = inputs["input_ids"].shape[1]
            if longest and length + max_tokens > longest:
                raise CallFailed(f"the prompt has {length} tokens, the model reads {longest}", retry=False)
            inputs = {
                key: value.to(model.device) for key, value in inputs.items() if key in ("input_ids", "attention_mask")
            }
            with torch.no_grad():
                made = model.generate(
                    **inputs,
                    max_new_tokens=max_tokens,
                    do_sample=False,
                    pad_token_id=tokenizer.pad_token_id
                    if tokenizer.pad_token_id is not None
                    else tokenizer.eos_token_id,
                )
            return tokenizer.decode(made[0, length:], skip_special_tokens=True)

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            try:
                import torch
                from transformers import AutoModelForCausalLM, AutoTokenizer
            except ImportError as error:
                raise MissingExtra("transformers", "models", "a local model as judge or rephraser") from error
            try:
                tokenizer = AutoTokenizer.from_pretrained(self.folder_or_name)
                model = AutoModelForCausalLM.from_pretrained(self.folder_or_name)
            except (OSError, ValueError) as error:
                raise AntivenomError(
                    f"the model '{self.folder_or_name}' cannot be loaded: {str(error).splitlines()[0]}",
                    "give a folder with a saved causal language model, or a hub name",
                ) from error
            device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
            self._loaded = tokenizer, model.to(device).eval()  # pyright: ignore[reportArgumentType]  (transformers' stubs)
        return self._loaded


@dataclass
class Client:
    """Asks a model many questions: cache, retries with exponential back-off, threads, counts.

    The wait before try t + 1 is `backoff * 2**t` seconds with up to 25 % of jitter, at least what the server's
    `Retry-After` asks for, at most a minute. After the last try the answer is None: the caller must not read a verdict
    into it.

    Args:
        model: who answers.
        cache: an SQLite file; answers are kept by (model name, messages, temperature, max_tokens). Every answer is
            committed at once, so a killed run pays for nothing twice. None keeps nothing.
        retries: further tries after the first.
        workers: calls at the same time.
        backoff: seconds before the second try.
    """

    model: ChatModel
    cache: str | Path | None = None
    retries: int = 5
    workers: int = 4
    backoff: float = 1.0
    sleep: Callable[[float], None] = time.sleep
    counts: dict[str, int] = field(default_factory=lambda: {"calls": 0, "cached": 0, "failed": 0, "retried": 0})
    failures: dict[str, int] = field(default_factory=dict)
    _store: sqlite3.Connection | None = field(default=None, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if self.workers < 1 or self.retries < 0:
            raise AntivenomError(
                f"{self.workers} workers and {self.retries} retries", "give at least 1 worker and 0 retries"
            )
        if self.cache is not None:
            path, self.cache = self.cache, None
            self.use_cache(path)

    def use_cache(self, path: str | Path) -> None:
        """Keep answers in this file from now on, unless a cache is in use already."""
        if self._store is not None:
            return
        try:
            self._store = sqlite3.connect(path, check_same_thread=False, timeout=60)
            self._store.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
            self._store.commit()
        except sqlite3.Error as error:
            self.close()
            raise AntivenomError(
                f"the answer cache '{path}' cannot be used: {error}", "name another file, or delete it"
            ) from error
        self.cache = path

    def close(self) -> None:
        """Close the cache file."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def key(self, messages: Sequence[Message], *, temperature: float, max_tokens: int) -> str:
        """The cache key: BLAKE2b-128 of model name, parameters and messages."""
        content = json.dumps([self.model.name, temperature, max_tokens, list(messages)], sort_keys=True)
        return hashlib.blake2b(content.encode("ascii"), digest_size=16).hexdigest()

    def complete(
        self, prompts: Sequence[Sequence[Message]], *, temperature: float, max_tokens: int
    ) -> list[str | None]:
        """One answer per prompt, in order; None after the last failed try. Equal prompts are asked once."""
        keys = [self.key(prompt, temperature=temperature, max_tokens=max_tokens) for prompt in prompts]
        answers: dict[str, str | None] = {}
        wanted: dict[str, Sequence[Message]] = {}
        for key, prompt in zip(keys, prompts):
            if key in answers or key in wanted:
                continue
            known = self._known(key)
            if known is None:
                wanted[key] = prompt
            else:
                answers[key] = known
                self.counts["cached"] += 1

        def ask(key: str) -> str | None:
            return self._ask(key, wanted[key], temperature, max_tokens)

        if self.workers == 1 or len(wanted) < 2:
            answers |= {key: ask(key) for key in wanted}
        else:
            with ThreadPoolExecutor(min(self.workers, len(wanted))) as pool:
                try:
                    answers |= dict(zip(wanted, pool.map(ask, wanted)))
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        return [answers[key] for key in keys]

    def estimate(
        self, prompts: Sequence[Sequence[Message]], *, temperature: float = 0.0, max_tokens: int = 4
    ) -> dict[str, int]:
        """What `complete` would cost: calls to make, answers already cached, tokens.

        Prompt tokens are counted as one per four UTF-8 bytes plus four per message, for calls not in the cache;
        completion tokens are the most that can be asked for: calls x `max_tokens`. Failed tries come on top.
        """
        calls: dict[str, int] = {}
        cached: set[str] = set()
        for prompt in prompts:
            key = self.key(prompt, temperature=temperature, max_tokens=max_tokens)
            if key in calls or key in cached:
                continue
            if self._known(key) is not None:
                cached.add(key)
                continue
            size = sum(len(message["content"].encode("utf-8", "surrogatepass")) for message in prompt)
            calls[key] = -(-size // 4) + 4 * len(prompt)
        return {
            "calls": len(calls),
            "cached": len(cached),
            "prompt_tokens": sum(calls.values()),
            "completion_tokens": len(calls) * max_tokens,
        }

    def _known(self, key: str) -> str | None:
        if self._store is None:
            return None
        with self._lock:
            row = self._store.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _ask(self, key: str, messages: Sequence[Message], temperature: float, max_tokens: int) -> str | None:
        for attempt in range(self.retries + 1):
            try:
                self._count("calls")
                answer = self.model.complete(messages, temperature=temperature, max_tokens=max_tokens)
            except CallFailed as failure:
                if not failure.retry or attempt == self.retries:
                    with self._lock:
                        self.counts["failed"] += 1
                        self.failures[failure.reason] = self.failures.get(failure.reason, 0) + 1
                    return None
                self._count("retried")
                wait = self.backoff * 2**attempt * (1 + random.random() / 4)  # jitter moves time, never a result
                self.sleep(min(LONGEST_WAIT, max(wait, failure.wait or 0.0)))
                continue
            self._keep(key, answer)
            return answer
        return None

    def _keep(self, key: str, answer: str) -> None:
        if self._store is None:
            return
        with self._lock:
            text = answer.encode("utf-8", "replace").decode()
            self._store.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, text))
            self._store.commit()

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1
