"""What comes before a body is bounded in time and size, and bytes that are no HTTP get a clear answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from headwater.server import http_connection
from tests.support.server.live import LiveServer

WAIT_SECONDS = 30.0
SHORT_SECONDS = 0.2


@contextmanager
def raw(server: LiveServer) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), timeout=WAIT_SECONDS) as plain:
        yield plain


def answer(plain: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Everything until the server closes: status, headers, body."""
    got = b""
    try:
        while piece := plain.recv(65536):
            got += piece
    except ConnectionResetError:
        assert got, "the server cut the connection without an answer"
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:]), body


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch, live_server: LiveServer) -> LiveServer:
    monkeypatch.setattr(http_connection, "HEAD_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(http_connection, "DRAIN_SECONDS", SHORT_SECONDS)
    return live_server


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (b"", 0),
        (b"G", 0),
        (b"\r\n", 0),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", 0),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nX", 1),
    ],
)
def test_a_head_that_never_ends_is_cut_without_an_answer(hurried: LiveServer, sent: bytes, answers: int) -> None:
    got = b""
    with raw(hurried) as plain:
        plain.sendall(sent)
        while piece := plain.recv(65536):
            got += piece
    assert got.count(b"HTTP/1.1 ") == got.count(b"HTTP/1.1 200 ") == answers


@pytest.mark.sqlite_only
def test_an_idle_connection_outlives_the_deadline_of_a_head(hurried: LiveServer) -> None:
    with raw(hurried) as plain:
        for _ in range(2):
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            got = b""
            while not got.endswith(b"}"):
                got += plain.recv(65536)
            plain.settimeout(4 * SHORT_SECONDS)
            with pytest.raises(TimeoutError):
                plain.recv(1)
            plain.settimeout(WAIT_SECONDS)


@pytest.mark.sqlite_only
def test_a_header_line_of_a_megabyte_is_refused_before_it_is_kept(live_server: LiveServer) -> None:
    with raw(live_server) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 200_000)
        status, headers, body = answer(plain)
    assert (status, json.loads(body)["code"]) == (431, "HEADERS_TOO_LARGE")
    assert headers["connection"] == "close"


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "framing", [b"1;" + b"x" * 400_000, b"0\r\nTrailer: " + b"x" * 400_000], ids=["chunk extension", "trailer"]
)
def test_framing_that_grows_while_no_body_comes_is_refused(live_server: LiveServer, framing: bytes) -> None:
    with raw(live_server) as plain:
        plain.sendall(b"POST /api/v1/contacts HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        plain.sendall(framing)
        status, _, body = answer(plain)
    assert (status, json.loads(body)["code"]) == (431, "HEADERS_TOO_LARGE")


@pytest.mark.sqlite_only
def test_a_trailer_never_becomes_a_header(live_server: LiveServer) -> None:
    with raw(live_server) as plain:
        plain.sendall(
            b"POST /api/v1/contacts HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n14\r\n" + b'{"first_name": "Ada"}'[:20] + b"\r\n1\r\n}\r\n0\r\n"
            b"Authorization: Bearer " + live_server.admin_token.encode() + b"\r\n\r\n"
        )
        status, _, _ = answer(plain)
    assert status == 201  # as a public caller: a token in a trailer is no token


@pytest.mark.sqlite_only
def test_the_rest_of_a_refused_body_does_not_hold_the_connection(hurried: LiveServer) -> None:
    with raw(hurried) as plain:
        plain.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 1000)
        status, _, body = answer(plain)
    assert (status, json.loads(body)["code"]) == (404, "PATH_NOT_FOUND")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "sent",
    [
        b"BLAH\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_bytes_that_are_no_request_are_answered_400(live_server: LiveServer, sent: bytes) -> None:
    with raw(live_server) as plain:
        plain.sendall(sent)
        status, headers, body = answer(plain)
    problem = json.loads(body)
    assert (status, problem["code"]) == (400, "MALFORMED")
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == problem["request_id"]


@pytest.mark.sqlite_only
def test_bytes_that_are_no_request_get_the_envelope_of_the_door_that_they_name(live_server: LiveServer) -> None:
    with raw(live_server) as plain:
        plain.sendall(b"POST /v2/sync/start?x=1 HTTP/1.1\r\nHost localhost\r\n\r\n")
        status, headers, body = answer(plain)
    envelope = json.loads(body)
    assert status == 400
    assert envelope["meta"]["http_status"] == "400 Bad Request"
    assert envelope["meta"]["logref"] == headers["x-request-id"]
