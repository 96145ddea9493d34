"""Bytes that are no proper request, over a real socket: a clear 4xx or a clean end, and the server goes on."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest

from headwater.base.settings.table import Settings
from tests.support.clock import MovableClock
from tests.support.server.live import LiveServer, live
from tests.support.server.serving import serving
from tests.support.store.databases import fresh_sqlite

HOST = b"Host: 127.0.0.1\r\n"
BODY = b'{"first_name":"Bjorn"}'
WAIT_SECONDS = 5.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder, clock = tmp_path_factory.mktemp("raw"), MovableClock()
    with (
        fresh_sqlite(folder, clock) as database,
        serving(database, Settings(), clock, folder) as under,
        live(under) as server,
    ):
        yield server


def head(method: str = "POST", path: str = "/api/v1/contacts", *lines: bytes) -> bytes:
    return f"{method} {path} HTTP/1.1\r\n".encode() + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def talk(served: LiveServer, *pieces: bytes, end: bool = True) -> bytes:
    """What comes back until the server closes, or until it has nothing more to say."""
    with socket.create_connection((served.host, served.port), timeout=WAIT_SECONDS) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return b""


LENGTH = b"Content-Length: %d" % len(BODY)
MALFORMED: dict[str, bytes] = {
    "nothing": b"\r\n\r\n",
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting",
    "binary": bytes(range(256)) * 4,
    "a bare word": b"GET\r\n\r\n",
    "http 0.9": b"GET /healthz\r\n",
    "http 9.9": b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n",
    "http 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"FETCH /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method with a space": b"GE T /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path without a slash": b"GET healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path with a raw space": b"GET /health z HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path with a NUL": b"GET /health\x00z HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path with raw bytes": b"GET /api/v1/contacts/\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path that climbs": b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    "an encoded climb": b"GET /api/v1/contacts/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1\r\n" + HOST + b"\r\n",
    "an encoded NUL": b"GET /api/v1/contacts/%00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "an over-long path": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "an endless path": b"GET /" + b"a" * 2_000_000,
    "an over-long header": head("GET", "/healthz", b"X-Long: " + b"a" * 20_000),
    "an endless header": b"GET /healthz HTTP/1.1\r\nX-Long: " + b"a" * 2_000_000,
    "ten thousand headers": head("GET", "/healthz", *[b"X-%d: a" % n for n in range(10_000)]),
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": head("GET", "/healthz", b"Host: 127.0.0.1"),
    "another host": b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a header without a colon": head("GET", "/healthz", b"nonsense"),
    "a header with a space in its name": head("GET", "/healthz", b"X Y: z"),
    "a header with a NUL": head("GET", "/healthz", b"X-Y: a\x00b"),
    "a folded header": head("GET", "/healthz", b"X-Y: a\r\n b"),
    "lines without a carriage return": b"POST /api/v1/contacts HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 5\n\n12345",
    "a length that is no number": head("POST", "/api/v1/contacts", b"Content-Length: ten") + BODY,
    "a negative length": head("POST", "/api/v1/contacts", b"Content-Length: -1") + BODY,
    "a length with a sign": head("POST", "/api/v1/contacts", b"Content-Length: +5") + BODY,
    "a huge length": head("POST", "/api/v1/contacts", b"Content-Length: 99999999999999999999999") + BODY,
    "two lengths": head("POST", "/api/v1/contacts", LENGTH, b"Content-Length: 3") + BODY,
    "a length and chunks": head("POST", "/api/v1/contacts", LENGTH, b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "an unknown transfer encoding": head("POST", "/api/v1/contacts", b"Transfer-Encoding: gzip") + BODY,
    "chunks twice": head("POST", "/api/v1/contacts", b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "a chunk size that is no number": head("POST", "/api/v1/contacts", b"Transfer-Encoding: chunked") + b"zz\r\n",
    "a huge chunk size": head("POST", "/api/v1/contacts", b"Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n",
    "an endless chunk extension": head("POST", "/api/v1/contacts", b"Transfer-Encoding: chunked")
    + b"1;"
    + b"a" * 2_000_000,
    "a body cut short": head("POST", "/api/v1/contacts", b"Content-Length: 1000") + BODY,
    "a coded body": head("POST", "/api/v1/contacts", LENGTH, b"Content-Encoding: gzip") + BODY,
    "an upgrade to something else": head("GET", "/nowhere", b"Connection: Upgrade", b"Upgrade: h2c"),
    "a socket without a key": head("GET", "/api/v1/feed/ws", b"Connection: Upgrade", b"Upgrade: websocket"),
    "a tunnel": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
    "two transfer codings": head("POST", "/api/v1/contacts", b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "two transfer codings in two headers": head(
        "POST", "/api/v1/contacts", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"
    )
    + b"0\r\n\r\n",
    "a transfer coding of a request without a body": head("GET", "/healthz", b"Transfer-Encoding: gzip, chunked")
    + b"0\r\n\r\n",
    "no host over HTTP/1.0 where no probe asks": b"GET /docs HTTP/1.0\r\n\r\n",
    "an absolute target elsewhere with a good host": b"GET http://evil.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute target that hides its host": b"GET http://localhost@evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute target elsewhere": b"GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
}


GOOD = {
    "a probe over HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "a probe over HTTP/1.0 for readiness": (b"GET /readyz HTTP/1.0\r\n\r\n", 200),
    "a probe by HEAD over HTTP/1.0": (b"HEAD /healthz HTTP/1.0\r\n\r\n", 200),
    "a star": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 204),
    "an absolute target": (b"GET http://127.0.0.1/healthz HTTP/1.1\r\nHost: ignored.example\r\n\r\n", 200),
    "an absolute target with a port": (b"GET http://localhost:80/healthz?x HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    "chunks": (head("POST", "/api/v1/auth/jwt", b"Transfer-Encoding: Chunked") + b"0\r\n\r\n", 401),
}
"""Odd requests that are good, with their statuses."""


@pytest.mark.parametrize("name", GOOD)
def test_an_odd_but_good_request_is_answered(served: LiveServer, name: str) -> None:
    request, status = GOOD[name]
    assert re.match(rb"HTTP/1\.1 %d " % status, talk(served, request))


UNFINISHED = {"nothing", "http 0.9", "a body cut short"}
"""What may still become a request when the caller ends the connection: there is nothing to answer."""

ENDLESS = {"an endless path", "an endless header", "an endless chunk extension"}
"""What is cut off while the caller still sends, so that the answer may be lost on the way."""


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_gets_a_clear_4xx_or_a_clean_end(served: LiveServer, name: str) -> None:
    answer = talk(served, MALFORMED[name])
    assert answer or name in UNFINISHED | ENDLESS
    if answer:
        status = re.match(rb"HTTP/1\.1 (4\d\d) ", answer)
        assert status, answer[:200]
        assert len(statuses(answer)) == 1, answer
        told = answer.partition(b"\r\n\r\n")
        if b"json" in told[0] and told[2]:
            assert json.loads(told[2])
    assert alive(served)


def test_nothing_of_all_this_created_anything(served: LiveServer) -> None:
    for request in MALFORMED.values():
        talk(served, request)
    assert served.under.client.get("/api/v1/contacts").json()["pagination"]["total"] == 0


def test_a_smuggled_second_request_is_not_answered(served: LiveServer) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    body = b"0\r\n\r\n" + hidden
    both = head("POST", "/api/v1/contacts", b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked") + body
    assert statuses(talk(served, both)) in ([], [400])


def test_pipelined_requests_are_answered_in_their_order(served: LiveServer) -> None:
    paths = ["/healthz", "/nowhere", "/readyz", "/healthz"]
    requests = [head("GET", path) for path in paths] + [head("GET", "/nowhere", b"Connection: close")]
    assert statuses(talk(served, b"".join(requests), end=False)) == [200, 404, 200, 200, 404]


def test_a_pipelined_request_behind_a_refused_body_is_answered(served: LiveServer) -> None:
    refused = head("POST", "/nowhere", LENGTH) + BODY
    both = refused + head("GET", "/healthz", b"Connection: close")
    assert statuses(talk(served, both, end=False)) == [404, 200]


def test_a_caller_that_waits_for_leave_gets_it(served: LiveServer) -> None:
    expecting = head("POST", "/api/v1/cache/sync", b"Content-Length: 44", b"Expect: 100-continue", b"Connection: close")
    with socket.create_connection((served.host, served.port), timeout=WAIT_SECONDS) as connection:
        connection.sendall(expecting)
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(b'{"org_id":"org_a","contacts":[],"notes":[]} ')
        assert b"HTTP/1.1 201 " in b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_caller_that_waits_for_leave_and_is_refused_gets_none(served: LiveServer) -> None:
    expecting = head("POST", "/nowhere", b"Content-Length: 44", b"Expect: 100-continue")
    answer = talk(served, expecting, end=False)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"connection: close" in answer


def test_a_body_in_many_small_pieces_is_taken(served: LiveServer) -> None:
    chunks = [b"%x\r\n%c\r\n" % (1, byte) for byte in b'{"org_id":"o","contacts":[],"notes":[]}']
    start = head("POST", "/api/v1/cache/sync", b"Transfer-Encoding: chunked", b"Connection: close")
    assert talk(served, start, *chunks, b"0\r\n\r\n", end=False).startswith(b"HTTP/1.1 201 ")


def test_a_caller_that_leaves_in_the_middle_harms_nobody(served: LiveServer) -> None:
    for _ in range(20):
        with socket.create_connection((served.host, served.port)) as connection:
            connection.sendall(head("POST", "/api/v1/contacts", b"Content-Length: 1000") + BODY)
    assert alive(served)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def alive(served: LiveServer) -> bool:
    return talk(served, head("GET", "/healthz")).startswith(b"HTTP/1.1 200 ")
