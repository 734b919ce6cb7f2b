"""The chat client against a server on loopback that misbehaves in every way a server can."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from antivenom.errors import AntivenomError
from antivenom.models.chat import CallFailed, ChatModel, Client, LocalHF, OpenAICompatible, Scripted


def ok(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Server:
    """Answers from a list of plans; the last one is repeated. A plan: (status, body, headers, seconds to wait)."""

    def __init__(self):
        self.plans: list[tuple] = [(200, ok("True"), {}, 0)]
        self.seen: list[dict] = []
        self.headers: list[dict] = []
        self.now = self.most = 0
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.seen.append(body)
                    outer.headers.append(dict(self.headers) | {"path": self.path})
                    outer.now += 1
                    outer.most = max(outer.most, outer.now)
                    status, content, headers, wait = outer.plans.pop(0) if len(outer.plans) > 1 else outer.plans[0]
                time.sleep(wait)
                with lock:
                    outer.now -= 1
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    for at in range(0, len(content), 1 << 16):
                        self.wfile.write(content[at : at + (1 << 16)])
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server():
    found = Server()
    yield found
    found.close()


@pytest.fixture
def waits():
    return []


def ask(model: ChatModel, waits: list[float], texts=("hello",), **options):
    with Client(model, sleep=waits.append, **options) as client:
        prompts = [[{"role": "user", "content": text}] for text in texts]
        return client.complete(prompts, temperature=0.0, max_tokens=4), client


def test_a_call_sends_what_it_should(server, waits, monkeypatch):
    monkeypatch.setenv("ANY_KEY", "secret")
    model = OpenAICompatible(server.url, "m", api_key_env="ANY_KEY")
    assert ask(model, waits)[0] == ["True"]
    assert server.seen[0] == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.0,
        "max_tokens": 4,
    }
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert server.headers[0]["path"] == "/v1/chat/completions"
    assert "secret" not in repr(model)


def test_without_a_key_no_header_is_sent(server, waits, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ask(OpenAICompatible(server.url, "m"), waits)
    assert "Authorization" not in server.headers[0]


def test_429_waits_as_long_as_the_server_asks(server, waits):
    server.plans = [(429, b"{}", {"Retry-After": "7"}, 0), (500, b"oops", {}, 0), (200, ok("False"), {}, 0)]
    answers, client = ask(OpenAICompatible(server.url, "m"), waits)
    assert answers == ["False"]
    assert waits[0] == 7.0
    assert 2.0 <= waits[1] <= 2.5  # backoff * 2**1, up to 25 % jitter
    assert client.counts == {"calls": 3, "cached": 0, "failed": 0, "retried": 2}


def test_retry_after_may_be_a_date_and_is_capped(server, waits):
    far = "Fri, 31 Dec 2999 23:59:59 GMT"
    server.plans = [(503, b"", {"Retry-After": far}, 0), (200, ok("True"), {}, 0)]
    ask(OpenAICompatible(server.url, "m"), waits)
    assert waits == [60.0]


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"choices": "x" * 3}',
    ],
)
def test_garbage_is_a_failure_and_never_an_answer(server, waits, body):
    server.plans = [(200, body, {}, 0)]
    answers, client = ask(OpenAICompatible(server.url, "m"), waits, retries=1)
    assert answers == [None]
    assert client.counts["failed"] == 1
    assert client.counts["calls"] == 2


def test_after_all_retries_the_answer_is_none_and_is_not_cached(server, waits, tmp_path):
    server.plans = [(500, b"", {}, 0)]
    model = OpenAICompatible(server.url, "m")
    answers, client = ask(model, waits, retries=3, cache=tmp_path / "c.sqlite")
    assert answers == [None]
    assert client.counts["calls"] == 4
    assert client.failures == {"the server says 500": 1}
    server.plans = [(200, ok("True"), {}, 0)]
    assert ask(model, waits, cache=tmp_path / "c.sqlite")[0] == ["True"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_not_retried(server, waits, status):
    server.plans = [(status, b"{}", {}, 0)]
    answers, client = ask(OpenAICompatible(server.url, "m"), waits, retries=5)
    assert answers == [None]
    assert client.counts["calls"] == 1


def test_a_slow_server_times_out(server, waits):
    server.plans = [(200, ok("True"), {}, 1.0)]
    begun = time.monotonic()
    answers, _ = ask(OpenAICompatible(server.url, "m", timeout=0.1), waits, retries=0)
    assert answers == [None]
    assert time.monotonic() - begun < 0.9


def test_an_endless_answer_does_not_fill_the_memory(server, waits):
    server.plans = [(200, b"x" * (6 << 20), {}, 0)]
    answers, client = ask(OpenAICompatible(server.url, "m"), waits, retries=0)
    assert answers == [None]
    assert "larger than 4 MiB" in next(iter(client.failures))


def test_nobody_listens(waits):
    answers, _ = ask(OpenAICompatible("http://127.0.0.1:9/v1", "m", timeout=2), waits, retries=1)
    assert answers == [None]


def test_a_cache_hit_makes_no_call(server, waits, tmp_path):
    model = OpenAICompatible(server.url, "m")
    texts = ["a", "b", "a", "lone \ud800 surrogate"]
    first, client = ask(model, waits, texts, cache=tmp_path / "c.sqlite")
    assert first == ["True"] * 4
    assert client.counts["calls"] == 3  # equal prompts are asked once
    second, client = ask(model, waits, texts, cache=tmp_path / "c.sqlite")
    assert second == first
    assert client.counts == {"calls": 0, "cached": 3, "failed": 0, "retried": 0}
    assert len(server.seen) == 3


def test_the_key_knows_model_and_parameters():
    one = Client(Scripted(lambda _: "x", "one"))
    two = Client(Scripted(lambda _: "x", "two"))
    prompt = [{"role": "user", "content": "q"}]
    base = one.key(prompt, temperature=0.0, max_tokens=4)
    assert base == one.key(prompt, temperature=0.0, max_tokens=4)
    assert (
        len({base, one.key(prompt, temperature=0.3, max_tokens=4), one.key(prompt, temperature=0.0, max_tokens=5)}) == 3
    )
    assert base != two.key(prompt, temperature=0.0, max_tokens=4)
    assert base != one.key([{"role": "system", "content": "q"}], temperature=0.0, max_tokens=4)


def test_answers_come_in_order_whatever_the_number_of_workers(server, waits):
    echo = Scripted(lambda messages: messages[0]["content"].upper())
    texts = [f"text {i}" for i in range(50)]
    expected = [text.upper() for text in texts]
    assert ask(echo, waits, texts, workers=1)[0] == expected
    assert ask(echo, waits, texts, workers=8)[0] == expected


def test_calls_run_at_the_same_time(server, waits):
    server.plans = [(200, ok("True"), {}, 0.15)]
    ask(OpenAICompatible(server.url, "m"), waits, [str(i) for i in range(8)], workers=4)
    assert 2 <= server.most <= 4


def test_the_estimate_is_what_is_called(waits, tmp_path):
    model = Scripted(lambda _: "True")
    prompts = [
        [{"role": "user", "content": "x" * 40}],
        [{"role": "user", "content": "y" * 4}],
        [{"role": "user", "content": "x" * 40}],
    ]
    with Client(model, cache=tmp_path / "c.sqlite") as client:
        assert client.estimate(prompts, max_tokens=4) == {
            "calls": 2,
            "cached": 0,
            "prompt_tokens": 10 + 1 + 4 + 4,
            "completion_tokens": 8,
        }
        client.complete(prompts[:1], temperature=0.0, max_tokens=4)
        after = client.estimate(prompts, max_tokens=4)
        assert (after["calls"], after["cached"]) == (1, 1)
        client.complete(prompts, temperature=0.0, max_tokens=4)
        assert client.counts["calls"] == 2


def test_an_interrupted_run_keeps_the_answers_it_had(waits, tmp_path):
    calls = []

    def dies(messages):
        calls.append(messages)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return "True"

    with pytest.raises(KeyboardInterrupt):
        ask(Scripted(dies), waits, [str(i) for i in range(9)], workers=1, cache=tmp_path / "c.sqlite")
    calls.clear()
    calls += [None] * 10
    _, client = ask(Scripted(dies), waits, [str(i) for i in range(9)], workers=1, cache=tmp_path / "c.sqlite")
    assert client.counts["cached"] == 2
    assert client.counts["calls"] == 7


def test_a_file_that_is_no_cache_is_an_error(tmp_path):
    path = tmp_path / "c.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(AntivenomError, match="cannot be used"):
        Client(Scripted(lambda _: "x"), cache=path)


def test_bad_addresses_are_errors_that_name_the_mend():
    for address in ("host/v1", "ftp://host", "http://", "https://user:pass@host/v1"):
        with pytest.raises(AntivenomError) as error:
            OpenAICompatible(address, "m")
        assert error.value.mend
        assert "pass@" not in str(error.value)


def test_models_fit_the_protocol():
    for model in (Scripted(lambda _: ""), OpenAICompatible("http://127.0.0.1/v1", "m"), LocalHF("folder")):
        assert isinstance(model, ChatModel)


def test_call_failed_carries_its_reason():
    failure = CallFailed("no", retry=False, wait=3)
    assert (failure.reason, failure.retry, failure.wait) == ("no", False, 3)
