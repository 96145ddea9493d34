"""Requests that ask for another protocol: the wish is ignored, and their bytes are never another request."""

from __future__ import annotations

import re
import socket

import pytest

from tests.support.server.live import LiveServer

pytestmark = pytest.mark.sqlite_only

WAIT_SECONDS = 20
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
PROBE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def statuses(server: LiveServer, *parts: bytes) -> list[int]:
    """The statuses of the answers to these bytes, until the server closes the connection."""
    got = b""
    with socket.create_connection((server.host, server.port), timeout=WAIT_SECONDS) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            plain.sendall(part)
        while piece := plain.recv(65536):
            got += piece
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)]


def new_contact(server: LiveServer, framing: bytes, upgrade: bytes = UPGRADE) -> bytes:
    token = server.under.token().encode()
    head = b"POST /api/v1/contacts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + b"\r\n"
    return head + upgrade + framing + b"\r\n"


@pytest.mark.parametrize("upgrade", [UPGRADE, b"Connection: upgrade\r\nUpgrade: foo\r\n", b""])
def test_a_request_with_content_is_answered_as_if_it_asked_for_no_other_protocol(
    live_server: LiveServer, upgrade: bytes
) -> None:
    content = b'{"first_name": "Ada"}'
    plain = new_contact(live_server, b"Content-Length: %d\r\n" % len(content), upgrade)
    chunked = new_contact(live_server, b"Transfer-Encoding: chunked\r\n", upgrade)
    pieces = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    assert statuses(live_server, plain + content + chunked + pieces + PROBE + LAST) == [201, 201, 200, 200]
    assert statuses(live_server, plain, content, chunked, pieces, PROBE, LAST) == [201, 201, 200, 200]
    every_byte = [bytes((byte,)) for byte in plain + content + LAST]
    assert statuses(live_server, *every_byte) == [201, 200]


def test_the_content_of_such_a_request_is_never_another_request(live_server: LiveServer) -> None:
    head = new_contact(live_server, b"Content-Length: %d\r\n" % len(PROBE))
    assert statuses(live_server, head, PROBE, LAST) == [400, 200]
    assert statuses(live_server, head + PROBE + LAST) == [400, 200]


def test_many_requests_in_one_segment_are_answered_one_by_one(live_server: LiveServer) -> None:
    asking = PROBE.replace(b"\r\n\r\n", b"\r\n" + UPGRADE + b"\r\n")
    assert statuses(live_server, asking * 1500 + LAST) == [200] * 1501


@pytest.mark.parametrize("framing", [b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_handshake_of_a_socket_with_content_is_refused_at_once(
    live_server: LiveServer, framing: bytes, method: bytes
) -> None:
    head = method + b" /api/v1/sync/ws/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    assert statuses(live_server, head + KEY + framing + b"\r\n") == [400]


def test_no_tunnel_is_opened(live_server: LiveServer) -> None:
    assert statuses(live_server, b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n") == [400]
