"""What comes before a body is bounded in time and size, and bytes that are no HTTP get a clear answer."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
import pytest

from headwater.base.clock import monotonic_seconds
from headwater.base.settings.table import FileSettings, LimitSettings, Settings
from headwater.server import http_connection
from headwater.server.http_connection import BoundedConnection
from headwater.store.packs.writer import PackWriter
from tests.support.file_share import FileShare
from tests.support.server.live import LiveServer
from tests.support.server.wire import packed

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


def until(server: LiveServer, condition: Callable[[], bool]) -> None:
    """Go on when a condition holds on the server's side."""
    ends_seconds = monotonic_seconds() + WAIT_SECONDS
    while not condition():
        assert monotonic_seconds() < ends_seconds, "the server did not come so far"
        server.under.loop.run(asyncio.sleep(0.01))


def asked(server: LiveServer, method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {server.admin_token}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def large_file(server: LiveServer) -> str:
    """The path of a download that is larger than the buffers of a connection."""
    share = FileShare(server.under)
    body = packed([({"path": "/large"}, bytes(24_000_000))])
    made = server.under.client.post(f"/api/v1/uploads/packed?share_id={share.id}", content=body).json()["results"]
    return f"/api/v1/sync/download/{made[0]['resource_id']}"


def unread(server: LiveServer) -> bytes:
    """Requests in a row, whose answers are small and together more than a connection buffers."""
    people = [{"first_name": "Ada", "email": f"ada{number}@example.org"} for number in range(100)]
    made = server.under.client.together(("POST", "/api/v1/contacts", {"json": person}) for person in people)
    assert {answer.status for answer in made} == {201}
    return asked(server, "GET", "/api/v1/contacts?limit=100") * 400


@pytest.mark.sqlite_only
def test_a_request_waits_until_the_answer_before_was_read(
    live_server: LiveServer,
) -> None:
    requests, edge = unread(live_server), live_server.under.edge
    before = edge._count
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(WAIT_SECONDS)
        plain.connect((live_server.host, live_server.port))
        plain.sendall(requests)
        until(live_server, lambda: edge._count > before and edge.places.requests.count == 0)
        live_server.under.loop.run(asyncio.sleep(0.1))
        assert (edge._count - before < 400, edge.places.requests.count) == (True, 0)
        while edge._count - before < 400:
            assert plain.recv(1 << 20)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("small", [True, False])
def test_a_caller_that_does_not_read_its_answer_is_cut(
    live_server: LiveServer, monkeypatch: pytest.MonkeyPatch, *, small: bool
) -> None:
    monkeypatch.setattr(http_connection, "UNREAD_SECONDS", SHORT_SECONDS)
    limits = msgspec.structs.replace(live_server.under.settings.limits, body_seconds_base=1)
    settings = msgspec.structs.replace(live_server.under.settings, limits=limits)
    object.__setattr__(live_server.under.services, "settings", settings)
    requests = unread(live_server) if small else asked(live_server, "GET", large_file(live_server))
    lost = []
    connection_lost = BoundedConnection.connection_lost

    def noted(self: BoundedConnection, exc: Exception | None) -> None:
        lost.append(self)
        connection_lost(self, exc)

    monkeypatch.setattr(BoundedConnection, "connection_lost", noted)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(WAIT_SECONDS)
        plain.connect((live_server.host, live_server.port))
        plain.sendall(requests)
        until(live_server, lambda: bool(lost) and live_server.under.edge.places.answers.count == 0)


@pytest.mark.sqlite_only
def test_a_long_poll_whose_caller_is_gone_frees_its_place(live_server: LiveServer) -> None:
    places = live_server.under.edge.places
    with raw(live_server) as plain:
        plain.sendall(asked(live_server, "GET", "/api/v1/sync/changes?wait=60"))
        until(live_server, lambda: places.waiting.count == 1)
    until(live_server, lambda: (places.waiting.count, places.requests.count) == (0, 0))


@pytest.mark.sqlite_only
def test_a_long_poll_with_a_request_behind_it_frees_its_place_when_its_caller_is_gone(
    live_server: LiveServer,
) -> None:
    places = live_server.under.edge.places
    with raw(live_server) as plain:
        plain.sendall(asked(live_server, "GET", "/api/v1/sync/changes?wait=60") * 2)
        until(live_server, lambda: places.waiting.count == 1)
    until(live_server, lambda: places.waiting.count == 0)


@pytest.mark.sqlite_only
def test_a_caller_that_leaves_amid_pipelined_downloads_is_no_failure_of_the_server(
    live_server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    edge, path = live_server.under.edge, large_file(live_server)
    with raw(live_server) as plain:
        plain.sendall(asked(live_server, "GET", path) * 3)
        until(live_server, lambda: edge.places.answers.count == 1)
    until(live_server, lambda: edge.places.answers.count == 0 == edge.places.requests.count)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


class TestGate:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(limits=LimitSettings(gate_seconds=300), files=FileSettings(uploads_at_once=1))

    @pytest.mark.sqlite_only
    def test_an_upload_whose_caller_is_gone_leaves_the_gate_though_its_bytes_are_unread(
        self, live_server: LiveServer
    ) -> None:
        share = FileShare(live_server.under)
        places = live_server.under.edge.places
        begin = asked(live_server, "POST", f"/api/v1/uploads/packed?share_id={share.id}", "Content-Length: 90000000")
        with raw(live_server) as slow:
            slow.sendall(begin)
            until(live_server, lambda: places.uploads.count == 1)
            with raw(live_server) as leaving:
                leaving.sendall(begin + bytes(1_000_000))
                until(live_server, lambda: places.waiting.count == 1)
            until(live_server, lambda: (places.waiting.count, places.requests.count) == (0, 0))
            assert places.uploads.count == 1

    @pytest.mark.sqlite_only
    def test_an_upload_at_the_gate_holds_no_buffers(
        self, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writers: list[PackWriter] = []
        make = PackWriter.__init__

        def noted(self: PackWriter, *args: Any, **more: Any) -> None:
            writers.append(self)
            make(self, *args, **more)

        monkeypatch.setattr(PackWriter, "__init__", noted)
        share, client, places = FileShare(live_server.under), live_server.under.client, live_server.under.edge.places
        session = client.post("/api/v1/uploads", json={"share_id": share.id, "file_size": 9000, "chunk_size": 9000})
        part = f"/api/v1/uploads/{session.json()['session_id']}/chunks/0"
        tus = "Tus-Resumable: 1.0.0", "Upload-Length: 9000", "Content-Type: application/offset+octet-stream"
        length, query = "Content-Length: 9000", f"?share_id={share.id}"
        with ExitStack() as open_connections:
            slow = open_connections.enter_context(raw(live_server))
            slow.sendall(asked(live_server, "POST", f"/api/v1/uploads/packed{query}", length))
            until(live_server, lambda: places.uploads.count == 1 and len(writers) == 1)
            for number, sent in enumerate(
                (
                    asked(live_server, "POST", f"/api/v1/uploads/packed{query}", length),
                    asked(live_server, "POST", f"/api/v1/uploads{query}", length, *tus),
                    asked(live_server, "PUT", part, length),
                ),
                1,
            ):
                open_connections.enter_context(raw(live_server)).sendall(sent)
                until(live_server, lambda number=number: places.waiting.count == number)  # type: ignore[misc]
            assert len(writers) == 1
