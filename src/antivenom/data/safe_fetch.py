"""One address -> its bytes: bounded in size, time and redirects, from public machines only.

The host's name is resolved once, every address it has must be public, and the connection goes to an address that was checked - after every
redirect again. Compressed answers are not unpacked. Proxies of the environment are not used: they would connect to what was not
checked.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from antivenom import __version__
from antivenom.data.images import MAX_PIXELS
from antivenom.errors import AntivenomError

__all__ = ["Limits", "Refused", "fetch", "fetch_picture", "is_public"]

CHUNK = 1 << 16
NAT64 = ipaddress.ip_network("64:ff9b::/96")
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Limits:
    """What a run may take.

    Args:
        picture_bytes, picture_seconds: of one picture, redirects included.
        total_bytes, total_seconds: of the run; what is left then is not tried, and the next call goes on.
        redirects: of one picture.
        connections: at a time.
        max_pixels, least: see `image_store.decode`.
        allow_loopback: addresses of this very machine are fetched (a mirror of your own; tests).
    """

    picture_bytes: int = 20 * 2**20
    picture_seconds: float = 20.0
    total_bytes: int | None = None
    total_seconds: float | None = None
    redirects: int = 5
    connections: int = 16
    max_pixels: int = MAX_PIXELS
    least: int = 2
    allow_loopback: bool = False

    def __post_init__(self) -> None:
        """Refuse limits under which nothing can be fetched."""
        if (
            min(self.picture_bytes, self.connections, self.max_pixels) < 1
            or self.picture_seconds <= 0
            or self.redirects < 0
        ):
            raise AntivenomError("limits under which nothing can be fetched", "give numbers above 0")


class Refused(Exception):
    """Why a picture was not fetched."""


def fetch_picture(url: str, limits: Limits | None = None) -> bytes:
    """The bytes that an address serves, after every check but that of the picture itself.

    Raises:
        AntivenomError: saying why it was not fetched.
    """
    try:
        return fetch(url, limits or Limits())
    except Refused as error:
        raise AntivenomError(f"'{url}' was not fetched: {error}", "leave the row out") from None


def fetch(url: str, bounds: Limits) -> bytes:
    """The bytes that an address serves; raises `Refused` when it may not or cannot be fetched."""
    deadline = time.monotonic() + bounds.picture_seconds
    for _ in range(bounds.redirects + 1):
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused("the address is neither http nor https")
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            host = parts.hostname.encode("idna").decode()
        except (ValueError, UnicodeError):
            raise Refused("the address is no address") from None
        line = _connect(parts.scheme, host, port, deadline, bounds)
        try:
            path = quote(parts.path or "/", safe="%/:=&~+!$,;'@()*[]") + (
                "?" + quote(parts.query, safe="%/:=&?~+!$,;'@()*[]") if parts.query else ""
            )
            headers = {"User-Agent": f"antivenom/{__version__}", "Accept-Encoding": "identity", "Accept": "image/*"}
            line.request("GET", path, headers=headers)
            answer = line.getresponse()
            if answer.status in REDIRECTS:
                target = answer.getheader("Location")
                if not target:
                    raise Refused("a redirect to nowhere")
                url = urljoin(url, target)
                continue
            if answer.status != 200:
                raise Refused(f"the server answered {answer.status}")
            return _body(answer, line, deadline, bounds)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Refused(_worded(error)) from None
        finally:
            line.close()
    raise Refused(f"more than {bounds.redirects} redirects")


def _body(answer: http.client.HTTPResponse, line: http.client.HTTPConnection, deadline: float, bounds: Limits) -> bytes:
    if (answer.getheader("Content-Encoding") or "identity").lower() != "identity":
        raise Refused("the answer is compressed, which was not asked for")
    said = answer.getheader("Content-Length")
    if said and said.isdecimal() and int(said) > bounds.picture_bytes:
        raise Refused(f"more than {bounds.picture_bytes:,} bytes")
    content = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Refused(f"more than {bounds.picture_seconds:g} seconds")
        if line.sock is not None:
            line.sock.settimeout(left)
        part = answer.read1(CHUNK)
        if not part:
            break
        content += part
        if len(content) > bounds.picture_bytes:
            raise Refused(f"more than {bounds.picture_bytes:,} bytes")
    if said and said.isdecimal() and len(content) < int(said):
        raise Refused(f"the answer broke off after {len(content):,} of {int(said):,} bytes")
    if not content:
        raise Refused("the answer is empty")
    return bytes(content)


def _connect(scheme: str, host: str, port: int, deadline: float, bounds: Limits) -> http.client.HTTPConnection:
    """A connection to an address that was checked; the name is resolved once, so that it cannot change in between."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused("the host's name cannot be resolved") from None
    addresses = [one[4] for one in found]
    for address in addresses:
        if not is_public(str(address[0]), bounds.allow_loopback):
            raise Refused("the address leads to a machine that is not public")
    last: Exception | None = None
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Refused(f"more than {bounds.picture_seconds:g} seconds")
        line = http.client.HTTPConnection(host, port, timeout=left)
        try:
            sock = socket.create_connection((str(address[0]), port), timeout=left)
            if scheme == "https":
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
            line.sock = sock
            return line
        except OSError as error:  # ssl's errors are some
            last = error
            line.close()
    raise Refused(_worded(last))


def is_public(address: str, allow_loopback: bool) -> bool:
    """Whether a numeric address is one of the public internet, in whatever way IPv6 may wrap it; loopback only when allowed."""
    ip: Any = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6:
        if ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        elif ip.sixtofour:
            ip = ip.sixtofour
        elif ip in NAT64:
            ip = ipaddress.ip_address(int(ip) & 0xFFFFFFFF)
    if ip.is_loopback:
        return allow_loopback
    return bool(ip.is_global and not ip.is_multicast)


def _worded(error: BaseException | None) -> str:
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, ssl.SSLError):
        return "the server's certificate is not good"
    if isinstance(error, ConnectionError):
        return "the connection was refused or broke off"
    return f"the connection failed: {type(error).__name__}"
