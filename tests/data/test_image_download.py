"""Fetching pictures: without loss, resumable, bounded, and never from a machine that is not public."""

import csv
import hashlib
import http.server
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from typing import ClassVar

import numpy as np
import orjson
import pytest

from antivenom.data.image_download import Limits, fetch_pairs, fetch_picture
from antivenom.data.image_text import open_pairs
from antivenom.data.image_world import draw_pairs
from antivenom.data.images import png_bytes
from antivenom.data.safe_fetch import is_public
from antivenom.errors import AntivenomError

IMAGES = draw_pairs(8, size=16).images
GOOD = [png_bytes(image) for image in IMAGES]


def bomb():
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)) + GOOD[0][33:]


class Site(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[Counter] = Counter()
    at_once = most = 0
    lock = threading.Lock()
    pause = 0.0

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        cls = type(self)
        with cls.lock:
            cls.asked[self.path] += 1
            cls.at_once += 1
            cls.most = max(cls.most, cls.at_once)
        try:
            time.sleep(cls.pause)
            self.serve()
        except OSError:
            pass  # whoever asked has gone
        finally:
            with cls.lock:
                cls.at_once -= 1

    def serve(self):
        path = self.path
        if path.startswith("/good/"):
            self.answer(200, GOOD[int(path.rsplit("/", 1)[1]) % len(GOOD)])
        elif path == "/declared":
            self.answer(200, b"", Content_Length=str(10**9))
        elif path == "/endless":
            self.answer(200, b"", Content_Length=None)
            for _ in range(10_000):
                self.wfile.write(b"x" * 65_536)
        elif path == "/slow":
            self.answer(200, b"", Content_Length="1000")
            for _ in range(100):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
        elif path == "/short":
            self.answer(200, GOOD[0][:20], Content_Length=str(len(GOOD[0])))
        elif path == "/loop":
            self.answer(302, Location="/loop")
        elif path == "/once":
            self.answer(301, Location="/good/1")
        elif path == "/inside":
            self.answer(302, Location="http://10.0.0.1/secret.png")
        elif path == "/metadata":
            self.answer(302, Location="http://169.254.169.254/latest")
        elif path == "/file":
            self.answer(302, Location="file:///etc/hostname")
        elif path == "/page":
            self.answer(200, b"<html>not a picture</html>")
        elif path == "/packed":
            self.answer(200, zlib.compress(GOOD[0]), Content_Encoding="deflate")
        elif path == "/bomb":
            self.answer(200, bomb())
        elif path == "/pixel":
            self.answer(200, png_bytes(np.zeros((1, 1, 3), np.uint8)))
        else:
            self.answer(404)


@pytest.fixture
def site():
    class Own(Site):
        asked: ClassVar[Counter] = Counter()
        lock = threading.Lock()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", Own
    server.shutdown()
    server.server_close()
    thread.join()


def table(path, rows):
    path.write_text("".join(f"{caption}\t{url}\n" for caption, url in rows))
    return path


HERE = Limits(allow_loopback=True, picture_seconds=30)


def test_pictures_are_kept_byte_by_byte_and_read_back_as_pairs(site, tmp_path):
    base, _ = site
    found = fetch_pairs(
        table(tmp_path / "t.tsv", [(f"picture {i}", f"{base}/good/{i}") for i in range(8)]),
        tmp_path / "out",
        limits=HERE,
    )
    assert (found.rows, found.pairs, found.failed, found.untried) == (8, 8, 0, 0)
    with (tmp_path / "out" / "pairs.csv").open(newline="") as file:
        for i, line in enumerate(csv.DictReader(file)):
            content = (tmp_path / "out" / line["image"]).read_bytes()
            assert content == GOOD[i]
            assert line["sha256"] == hashlib.sha256(content).hexdigest()
    pairs = open_pairs(tmp_path / "out" / "pairs.csv", size=16)
    np.testing.assert_array_equal(pairs.images[:], IMAGES)
    assert pairs.captions[3] == "picture 3"


CASES = {
    "/declared": "more than 1,000,000 bytes", "/endless": "more than 1,000,000 bytes", "/short": "broke off|IncompleteRead",
    "/loop": "more than 5 redirects", "/inside": "not public", "/metadata": "not public", "/file": "neither http nor https",
    "/page": "no image", "/packed": "compressed", "/bomb": "too many pixels", "/pixel": "1 x 1 pixels", "/gone": "answered 404",
}  # fmt: skip


def test_everything_that_goes_wrong_is_a_failure_with_its_reason(site, tmp_path):
    base, _ = site
    rows = [("a caption", base + path) for path in CASES]
    rows += [("", f"{base}/good/0"), ("no address", "ftp://example.org/x.png"), ("fine", f"{base}/once")]
    found = fetch_pairs(
        table(tmp_path / "t.tsv", rows), tmp_path / "out", limits=Limits(allow_loopback=True, picture_bytes=1_000_000)
    )
    with (tmp_path / "out" / "failures.csv").open(newline="") as file:
        reasons = {line["url"].removeprefix(base): line["reason"] for line in csv.DictReader(file)}
    for path, reason in CASES.items():
        assert re.search(reason, reasons[path]), (path, reasons[path])
    assert "caption is empty" in reasons["/good/0"]
    assert found.pairs == 1  # the one redirect that leads to a picture
    assert found.rows == found.pairs + found.failed == len(rows)
    assert sum(found.reasons.values()) == found.failed
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_picture_that_drips_is_given_up(site):
    base, _ = site
    start = time.monotonic()
    with pytest.raises(AntivenomError, match=r"more than 0.5 seconds|in time"):
        fetch_picture(f"{base}/slow", Limits(allow_loopback=True, picture_seconds=0.5))
    assert time.monotonic() - start < 8  # it would drip for ten


def test_machines_that_are_not_public_are_refused_after_the_name_is_resolved(site, monkeypatch):
    base, own = site
    with pytest.raises(AntivenomError, match="not public"):
        fetch_picture(f"{base}/good/0")
    for address in ("10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fc00::1",
                    "fe80::1%eth0", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "224.0.0.1"):  # fmt: skip
        assert not is_public(address, allow_loopback=False)
    assert is_public("93.184.215.14", allow_loopback=False)
    assert is_public("127.0.0.1", allow_loopback=True)
    assert not is_public("10.0.0.1", allow_loopback=True)
    # a name that looks public and leads inside; and one with a public and a private address
    port = int(base.rsplit(":", 1)[1])
    for addresses in (["10.0.0.1"], ["93.184.215.14", "10.0.0.1"]):
        answer = [(2, 1, 6, "", (a, port)) for a in addresses]
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, answer=answer, **__: answer)
        with pytest.raises(AntivenomError, match="not public"):
            fetch_picture("http://pictures.example.org/x.png", HERE)
    assert not own.asked


def test_a_run_goes_on_where_it_stopped_and_asks_for_nothing_twice(site, tmp_path):
    base, own = site
    rows = table(tmp_path / "t.tsv", [(f"p {i}", f"{base}/good/{i}") for i in range(6)] + [("gone", f"{base}/gone")])
    out = tmp_path / "out"
    first = fetch_pairs(rows, out, limits=Limits(allow_loopback=True, total_bytes=1, connections=1))
    assert 0 < first.pairs < 6
    assert first.untried == 7 - first.pairs - first.failed
    with (out / "log.jsonl").open("ab") as log:
        log.write(b'{"row": 5, "status": "o')  # killed in the middle of a line
    second = fetch_pairs(rows, out, limits=HERE)
    assert (second.pairs, second.failed, second.untried, second.resumed) == (6, 1, 0, first.pairs)
    assert max(own.asked.values()) == 1
    third = fetch_pairs(rows, out, limits=HERE)
    assert third.bytes == 0
    assert max(own.asked.values()) == 1
    fetch_pairs(rows, out, limits=HERE, retry=True)
    assert own.asked["/gone"] == 2
    (out / orjson.loads((out / "log.jsonl").read_bytes().splitlines()[0])["file"]).unlink()
    assert fetch_pairs(rows, out, limits=HERE).pairs == 6  # a picture that was lost is fetched again
    with pytest.raises(AntivenomError, match="another table"):
        fetch_pairs(table(tmp_path / "u.tsv", [("x", f"{base}/good/0")]), out, limits=HERE)


def test_a_killed_run_ends_in_the_same_files(site, tmp_path):
    base, own = site
    own.pause = 0.02
    rows = table(tmp_path / "t.tsv", [(f"p {i}", f"{base}/good/{i}") for i in range(60)])
    code = (
        "from antivenom.data.image_download import Limits, fetch_pairs\n"
        f"fetch_pairs({str(rows)!r}, {str(tmp_path / 'out')!r}, limits=Limits(allow_loopback=True, connections=2))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    log = tmp_path / "out" / "log.jsonl"
    for _ in range(6_000):
        if log.is_file() and log.read_bytes().count(b"\n") >= 5:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = fetch_pairs(rows, tmp_path / "out", limits=HERE)
    assert found.resumed >= 5
    assert found.pairs == 60
    whole = fetch_pairs(rows, tmp_path / "whole", limits=HERE)
    assert whole.pairs == 60
    assert (tmp_path / "out" / "pairs.csv").read_bytes() == (tmp_path / "whole" / "pairs.csv").read_bytes()


def test_connections_at_a_time_are_bounded(site, tmp_path):
    base, own = site
    own.pause = 0.05
    rows = table(tmp_path / "t.tsv", [(f"p {i}", f"{base}/good/{i}") for i in range(20)])
    fetch_pairs(rows, tmp_path / "out", limits=Limits(allow_loopback=True, connections=3))
    assert 1 < own.most <= 3


def test_time_of_the_run_is_bounded_and_the_rest_is_counted(site, tmp_path):
    base, own = site
    own.pause = 0.1
    rows = table(tmp_path / "t.tsv", [(f"p {i}", f"{base}/good/{i}") for i in range(200)])
    found = fetch_pairs(rows, tmp_path / "out", limits=Limits(allow_loopback=True, connections=1, total_seconds=0.3))
    assert 0 < found.pairs < 200
    assert found.untried == 200 - found.pairs


def test_tables_with_a_header_and_with_the_address_first(site, tmp_path):
    base, _ = site
    (tmp_path / "t.tsv").write_text(f"caption\turl\na\t{base}/good/0\n{base}/good/1\tb\n\n")
    found = fetch_pairs(tmp_path / "t.tsv", tmp_path / "out", limits=HERE)
    assert (found.rows, found.pairs) == (2, 2)
    with pytest.raises(AntivenomError, match="no table"):
        fetch_pairs(tmp_path / "nowhere.tsv", tmp_path / "x")
    with pytest.raises(AntivenomError, match="nothing can be fetched"):
        Limits(connections=0)
