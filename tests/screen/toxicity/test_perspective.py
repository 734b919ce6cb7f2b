"""The Perspective client against a server on loopback: request shape, limits, dates, errors - and the end of the service."""

import json
import pickle
import re
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.errors import AntivenomError
from antivenom.screen.scoring.guard import same_scorer
from antivenom.screen.scoring.scorer import Scorer, score_texts
from antivenom.screen.scoring.scorers import parse
from antivenom.screen.toxicity.perspective import Perspective, byte_windows
from antivenom.screen.toxicity.perspective_client import ATTRIBUTES, LIMIT_BYTES, Limiter, PerspectiveClient


def toxicity(text):
    """The fake service's opinion: the share of letters that are x."""
    return text.count("x") / max(1, len(text))


class Server:
    """Speaks the published format; `plan` maps a text to what goes wrong first: a list of (status, headers)."""

    def __init__(self):
        self.seen, self.bodies, self.headers, self.paths, self.plan = [], [], [], [], {}
        self.raw = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                outer.paths.append(self.path)
                outer.headers.append(dict(self.headers))
                if self.path == "/batch":
                    self.batch(content)
                    return
                status, headers, body = outer.one(content)
                self.reply(status, headers | {"Content-Type": "application/json"}, body)

            def batch(self, content):
                boundary = re.search("boundary=(.+)", self.headers["Content-Type"])[1].encode()
                out = []
                for part in content.split(b"--" + boundary)[1:-1][::-1]:  # answers come in another order
                    number = re.search(rb"Content-ID: <(\d+)>", part)[1]
                    status, headers, body = outer.one(part.split(b"\r\n\r\n", 2)[2].strip())
                    top = b"--B\r\nContent-Type: application/http\r\nContent-ID: <response-%s>\r\n\r\n" % number
                    more = "".join(f"{k}: {v}\r\n" for k, v in headers.items()).encode()
                    out.append(top + b"HTTP/1.1 %d X\r\n%s\r\n%s\r\n" % (status, more, body))
                self.reply(200, {"Content-Type": "multipart/mixed; boundary=B"}, b"".join(out) + b"--B--\r\n")

            def reply(self, status, headers, body):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def one(self, content):
        body = json.loads(content)
        text = body["comment"]["text"]
        self.seen.append(text)
        self.bodies.append(content)
        if self.plan.get(text):
            status, headers = self.plan[text].pop(0)
            return status, headers, json.dumps({"error": {"code": status, "message": f"no {status}"}}).encode()
        if not text.strip() or len(text.encode()) > LIMIT_BYTES:
            return 400, {}, json.dumps({"error": {"code": 400, "message": "COMMENT_EMPTY or too long"}}).encode()
        if self.raw is not None:
            return 200, {}, self.raw
        scores = {}
        for k, name in enumerate(body["requestedAttributes"]):
            first = text.split(".")[0]
            spans = [
                {"begin": 0, "end": len(first), "score": {"value": toxicity(first) / (k + 1), "type": "PROBABILITY"}}
            ]
            summary = {"value": toxicity(text) / (k + 1), "type": "PROBABILITY"}
            scores[name] = {"spanScores": spans, "summaryScore": summary}
        return 200, {}, json.dumps({"attributeScores": scores, "languages": ["en"]}).encode()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def make(server, tmp_path):
    made = []

    def build(**options):
        options = {"rate": 1000, "backoff": 0.0, "cache": str(tmp_path / "p.sqlite"), "workers": 1} | options
        made.append(Perspective(endpoint=server.address, **options))
        return made[-1]

    yield build
    for scorer in made:
        scorer.client.__del__()


def test_the_request_has_the_published_shape(server, make, monkeypatch):
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "SECRET")
    scores = score_texts(make(), ["xxab. calm", "calm"])
    assert server.paths == ["/v1alpha1/comments:analyze"] * 2
    body = json.loads(server.bodies[0])
    names = [
        "TOXICITY",
        "SEVERE_TOXICITY",
        "IDENTITY_ATTACK",
        "INSULT",
        "THREAT",
        "PROFANITY",
        "SEXUALLY_EXPLICIT",
        "FLIRTATION",
    ]
    assert list(body["requestedAttributes"]) == names
    assert body == {
        "comment": {"text": "xxab. calm"},
        "requestedAttributes": {name: {} for name in names},
        "spanAnnotations": True,
    }
    np.testing.assert_allclose(scores.values, [0.2, 0], rtol=1e-6)
    assert scores.columns.keys() == make().columns.keys()
    assert scores.columns["insult"].to_pylist() == [pytest.approx(0.05), 0.0]
    assert scores.columns["spans"].to_pylist()[0] == [{"start": 0, "stop": 4, "score": 0.5}]


def test_the_key_stands_in_the_header_and_nowhere_else(server, make, monkeypatch, tmp_path):
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "SECRET")
    scorer = make()
    score_texts(scorer, ["one"])
    assert server.headers[0]["X-Goog-Api-Key"] == "SECRET"
    places = [repr(scorer), str(scorer.identity().record()), str(server.paths), pickle.dumps(scorer).decode("latin-1")]
    places += [path.read_bytes().decode("latin-1") for path in tmp_path.iterdir()]
    assert not [place for place in places if "SECRET" in place]


def test_it_is_a_scorer_that_travels(make):
    scorer = make()
    assert isinstance(scorer, Scorer)
    _ = scorer.client
    again = pickle.loads(pickle.dumps(scorer))
    assert again == scorer
    assert again.identity() == scorer.identity()
    assert parse("perspective:rate=25,use=first-span").rate == 25


def test_helm_reads_the_first_span_and_others_the_summary(make):
    text = "xxxx. a long calm rest of the line"
    summary, first = (score_texts(make(use=use), [text]).values[0] for use in ("summary", "first-span"))
    assert first == 1.0
    assert summary == pytest.approx(4 / len(text))
    assert make().identity().key != make(use="first-span").identity().key


def test_an_empty_text_is_no_zero_and_is_not_sent(server, make):
    scores = score_texts(make(), ["", " \n ", "x"])
    assert np.isnan(scores.values).tolist() == [True, True, False]
    assert scores.reasons == ["cannot score: empty"] * 2 + [""]
    assert scores.columns["insult"].to_pylist()[:2] == [None, None]
    assert server.seen == ["x"]


def test_the_limit_is_in_bytes(server, make):
    fits, over, wide = "a" * LIMIT_BYTES, "a" * (LIMIT_BYTES + 1), "é" * (LIMIT_BYTES // 2 + 1)
    scores = score_texts(make(long="refuse"), [fits, over, wide])
    assert np.isnan(scores.values).tolist() == [False, True, True]
    assert scores.reasons[2] == "cannot score: 20,482 bytes, the service reads 20,480"
    assert server.seen == [fits]
    scores = score_texts(make(long="windows"), [over, wide])
    assert not np.isnan(scores.values).any()
    assert max(len(text.encode()) for text in server.seen) <= LIMIT_BYTES
    assert scores.reasons == ["max of 2 windows"] * 2


def test_a_toxic_tail_of_a_long_text_is_found(make):
    text = "calm words " * 4000 + "x" * 9000
    assert score_texts(make(), [text]).values[0] > 0.5
    assert score_texts(make(aggregate="mean"), [text]).values[0] < 0.3
    strongest = make().explain(text)[0]
    assert strongest.stop <= len(text)


@given(st.text(max_size=80), st.integers(4, 30))
def test_byte_windows_cover_the_text_within_the_limit(text, limit):
    spans = byte_windows(text, limit)
    assert "".join(text[a:b] for a, b in spans) == text
    assert all(0 < len(text[a:b].encode("utf-8", "replace")) <= limit for a, b in spans)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_and_waited_for(server, tmp_path, status):
    waits = []
    server.plan["one"] = [(status, {"Retry-After": "7"}), (status, {})]
    client = PerspectiveClient(endpoint=server.address, rate=1000, backoff=0.5, sleep=waits.append)
    assert client.ask(["one"])[0].response
    assert server.seen == ["one"] * 3
    assert waits[0] == 7.0
    assert 1.0 <= waits[1] <= 1.25


def test_failures_are_errors_and_no_numbers(server, make, tmp_path):
    server.plan = {"gone": [(500, {})] * 3, "bad": [(400, {})]}
    scores = score_texts(make(retries=2), ["gone", "bad", "xx"])
    assert np.isnan(scores.values).tolist() == [True, True, False]
    assert scores.reasons[0] == "cannot score: the service says 500, after 3 tries"
    assert scores.reasons[1] == "cannot score: the service says 400 no 400"
    assert all(column.to_pylist()[:2] != [0, 0] for column in scores.columns.values())
    server.seen.clear()
    again = score_texts(make(), ["gone", "bad", "xx"])  # what may pass is asked again, a lasting error is not
    assert server.seen == ["gone"]
    assert again.values[0] == 0.0
    assert again.reasons[1] == scores.reasons[1]


def test_a_window_that_fails_leaves_the_row_without_a_score(server, make):
    text = "x" * LIMIT_BYTES + "a" * 10
    server.plan["a" * 10] = [(400, {})]
    scores = score_texts(make(), [text])
    assert np.isnan(scores.values[0])
    assert scores.columns["insult"].to_pylist() == [None]
    assert scores.columns["spans"].to_pylist() == [[]]


@pytest.mark.parametrize(
    "raw",
    [
        b"not json",
        b"[]",
        b"{}",
        b'{"attributeScores": {"TOXICITY": {"summaryScore": {"value": 1.5}}}}',
        b'{"attributeScores": {"TOXICITY": {"summaryScore": {"value": NaN}}}}',
        b'{"attributeScores": {"TOXICITY": {"summaryScore": {"value": "0.5"}}}}',
        b'{"attributeScores": {"TOXICITY": {"summaryScore": {"value": true}}}}',
        b"[" * 100_000,
    ],
)
def test_an_answer_in_another_format_is_an_error(server, make, raw):
    server.raw = raw
    scores = score_texts(make(attributes="toxicity"), ["one"])
    assert np.isnan(scores.values[0])
    assert "not in the published format" in scores.reasons[0]


def test_a_run_that_was_killed_asks_for_the_rest_only(server, make):
    texts = [f"row {'x' * i}" for i in range(20)]
    server.plan[texts[12]] = [(403, {})]
    with pytest.raises(AntivenomError, match="refuses the key"):
        score_texts(make(), texts)
    first = set(server.seen) - {texts[12]}
    assert 12 <= len(first) <= 13  # the next request may be on its way when the refusal comes
    server.seen.clear()
    resumed = score_texts(make(), texts)
    assert server.seen == [text for text in texts if text not in first]
    whole = score_texts(make(cache=str(make().cache) + "2"), texts)
    np.testing.assert_array_equal(resumed.values, whole.values)


def test_equal_texts_are_asked_once_and_answers_do_not_depend_on_the_batch(server, make):
    texts = ["xa", "b", "xa", "x"]
    together = score_texts(make(), texts).values
    assert sorted(server.seen) == ["b", "x", "xa"]
    alone = [score_texts(make(cache=str(make().cache) + t), [t]).values[0] for t in texts]
    np.testing.assert_array_equal(together, alone)


def test_batches_carry_several_requests_and_each_has_its_own_fate(server, make):
    texts = ["x" * i + "a" * (9 - i) for i in range(9)]
    server.plan = {texts[1]: [(429, {"Retry-After": "0"})], texts[3]: [(400, {})]}
    scores = score_texts(make(together=4), texts)
    assert set(server.paths) == {"/batch", "/v1alpha1/comments:analyze"}
    assert len(server.paths) == 4  # 4 + 4 + 1 texts, and the one that was told to come again
    want = np.array([i / 9 for i in range(9)], np.float32)
    want[3] = np.nan
    np.testing.assert_allclose(scores.values, want, rtol=1e-6)


def test_every_answer_is_kept_with_its_date(server, make):
    score_texts(make(period="2000-01-01..2999-01-01"), ["one"])
    with sqlite3.connect(make().cache) as store:
        key, date, response, error = store.execute("SELECT * FROM perspective").fetchone()
    store.close()
    assert re.fullmatch(r"[0-9a-f]{64} toxicity\+.*flirtation v1alpha1@127\.0\.0\.1:\d+", key)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)
    assert json.loads(response)["attributeScores"]
    assert error == ""


def client_of(server, tmp_path, day, **options):
    return PerspectiveClient(endpoint=server.address, rate=1000, cache=tmp_path / "c", today=lambda: day, **options)


def test_answers_of_another_day_are_not_used_unless_the_period_says_so(server, tmp_path):
    client_of(server, tmp_path, "2026-05-01", since="2026-05-01", until="2026-05-01").ask(["one"])
    later = client_of(server, tmp_path, "2026-06-01", since="2026-06-01", until="2026-06-01")
    assert later.ask(["one"])[0].date == "2026-06-01"
    assert len(server.seen) == 2
    both = client_of(server, tmp_path, "2026-06-01", since="2026-05-01", until="2026-06-01")
    assert both.ask(["one"])[0].date == "2026-06-01"
    old = client_of(server, tmp_path, "2027-06-01", since="2026-05-01", until="2026-05-01")
    assert old.ask(["one"])[0].date == "2026-05-01"  # what is in the cache can be read for ever
    assert len(server.seen) == 2
    with pytest.raises(AntivenomError, match="outside the scorer's period"):
        old.ask(["two"])


def test_scores_of_two_dates_do_not_share_a_table(make):
    one, two = make(period="2026-05-01").identity(), make(period="2026-06-01").identity()
    assert one.date == "2026-05-01"
    assert one.key != two.key
    with pytest.raises(AntivenomError, match="date '2026-05-01' / '2026-06-01'"):
        same_scorer([one, two])


def test_after_its_end_the_service_is_not_asked(monkeypatch):
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "SECRET")
    client = PerspectiveClient(today=lambda: "2027-01-01")
    with pytest.raises(AntivenomError, match=r"ended on 2026-12-31") as error:
        client.ask(["one"])
    assert "--score toxicity" in error.value.mend
    assert "rescore" in error.value.mend


def test_without_a_key_the_message_says_that_none_are_given(monkeypatch):
    monkeypatch.delenv("PERSPECTIVE_API_KEY", raising=False)
    with pytest.raises(AntivenomError, match="new keys are no longer given; it ends on 2026-12-31") as error:
        PerspectiveClient(today=lambda: "2026-11-25").ask(["one"])
    assert "--score toxicity" in error.value.mend


@pytest.mark.parametrize("status", [404, 410])
def test_a_service_that_is_gone_stops_the_run(server, make, status):
    server.plan["one"] = [(status, {})]
    with pytest.raises(AntivenomError, match="there is no Perspective API"):
        score_texts(make(), ["one"])


class Clock:
    def __init__(self, late=()):
        self.now, self.late = 1000.0, list(late)

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds + (self.late.pop(0) if self.late else 0.0)


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.floats(0, 1.5), st.integers(1, 6)), max_size=40),
    st.lists(st.floats(0, 0.9), max_size=10),
)
def test_no_second_ever_has_more_requests_than_the_rate(rate, plan, late):
    clock = Clock(late)
    limiter = Limiter(rate, None, clock.time, clock.sleep)
    left = []
    for pause, n in plan:
        clock.now += pause
        n = min(n, rate)
        limiter.wait(n)
        left += [clock.now] * n
    for t in left:
        assert sum(t <= u < t + 1 for u in left) <= rate


def test_the_limit_is_reached_not_only_kept():
    clock = Clock()
    limiter = Limiter(5, None, clock.time, clock.sleep)
    for _ in range(50):
        limiter.wait()
    assert clock.now - 1000 == pytest.approx(9 * Limiter.WINDOW, abs=0.01)


def test_processes_share_the_limit_through_the_file(tmp_path):
    clock = Clock()
    limiters = [Limiter(3, tmp_path / "rate", clock.time, clock.sleep) for _ in range(4)]
    left = []
    for i in range(40):
        limiters[i % 4].wait()
        left.append(clock.now)
    assert max(sum(t <= u < t + 1 for u in left) for t in left) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"use": "last-span"},
        {"long": "cut"},
        {"attribute": "rudeness"},
        {"attributes": "insult"},
        {"attributes": "toxicity+rudeness"},
        {"aggregate": "min"},
        {"period": "yesterday"},
        {"period": "2026-06-01..2026-05-01"},
        {"endpoint": "ftp://host"},
        {"endpoint": "https://me:secret@host"},
        {"rate": 0},
        {"rate": 2, "together": 3},
    ],
)
def test_wrong_parameters_are_refused_at_once(options):
    with pytest.raises(AntivenomError):
        Perspective(**options)


def test_the_eight_attributes_are_in_order():
    assert ATTRIBUTES[0] == "toxicity"
    assert len(set(ATTRIBUTES)) == 8
