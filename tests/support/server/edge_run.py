"""An adversary at the edge: one caller takes all the places that it can get, while another does its work.

``EdgeRun`` opens slow uploads, bodies that never arrive, readers that do not read, long polls, uploads whose callers
gave up, and a socket that floods pings. ``findings`` then names each thing that the other caller could not do.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from tests.support.file_share import FileShare
from tests.support.server.live import LiveServer
from tests.support.server.wire import packed

EACH = 40
"""The connections that the adversary opens for each kind; more than any limit of the run's settings."""

REPLY_SECONDS = 30.0
LARGE_BYTES = 2_000_000
"""The size of a file that does not fit into the buffers of a connection."""

FLOOD_BYTES = 48 * 1024 * 1024
_SMALL_WINDOW_BYTES = 4096


class EdgeRun:
    """The adversary's connections, and the other caller's requests."""

    def __init__(self, served: LiveServer) -> None:
        self._served = served
        self._share = FileShare(served.under)
        self._large = self._uploaded("/large", os.urandom(LARGE_BYTES))
        self._hostile = served.under.token()
        self._other = served.under.token()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def attack(self) -> None:
        """Opens every kind of connection, and leaves them open."""
        upload = f"/api/v1/uploads/packed?share_id={self._share.id}"
        batch = b'{"share_id": "%s", "file_ids": ["%s"]}' % (self._share.id.encode(), self._large.encode())
        whole = f"Content-Length: {len(batch)}"
        length = ("Content-Length: 1000000",)
        for _ in range(EACH):
            self._hold(self._request("POST", upload, *length) + b'{"path": "/x", "size": 9}\n')
            self._hold(self._request("POST", "/api/v1/contacts", "Content-Length: 900"))
            self._hold(self._request("GET", f"/api/v1/sync/download/{self._large}"))
            self._hold(self._request("POST", "/api/v1/downloads/batch", whole) + batch)
            self._hold(self._request("GET", "/api/v1/sync/changes?wait=60"))
            self._hold(self._request("GET", f"/api/v1/sync/download/{self._large}") * 5)
            given_up = self._hold(
                self._request("POST", upload, *length) + b'{"path": "/y", "size": 9}\n' + bytes(200_000)
            )
            given_up.close()

    def findings(self) -> list[str]:
        """The things that the other caller, and a probe, could not do."""
        found = []
        if self._ask("GET", "/healthz", token=None) != 200:
            found.append("probe")
        for name, method, path, body, wanted in self._work():
            status = self._ask(method, path, body)
            if status != wanted:
                found.append(f"{name}: {status}")
        return found

    def flood(self) -> int:
        """Sends pings on a socket and reads nothing; the bytes that were sent when the server cut it, or the most."""
        device = self._register()
        flooding = self._hold(self._handshake(device))
        assert flooding.recv(1024).startswith(b"HTTP/1.1 101 "), "the socket was not admitted"
        pings = _ping(bytes(120)) * 512
        sent_bytes = 0
        try:
            while sent_bytes < FLOOD_BYTES:
                flooding.sendall(pings)
                sent_bytes += len(pings)
        except (ConnectionError, TimeoutError):
            pass
        return sent_bytes

    def _work(self) -> Iterator[tuple[str, str, str, bytes | None, int]]:
        yield "read", "GET", "/api/v1/contacts?limit=1", None, 200
        yield "write", "POST", "/api/v1/contacts", b'{"first_name": "Ada"}', 201
        upload = b'{"path": "/small", "size": 5}\nbytes'
        yield "upload", "POST", f"/api/v1/uploads/packed?share_id={self._share.id}", upload, 200
        yield "download", "GET", f"/api/v1/sync/download/{self._large}", None, 200
        yield "long poll", "GET", "/api/v1/sync/changes?wait=1", None, 200

    def _ask(self, method: str, path: str, body: bytes | None = None, token: str | None = "") -> int:
        """The status of an answer that was read to its end; 0 when there was none."""
        headers = () if body is None else (f"Content-Length: {len(body)}",)
        sent = self._request(method, path, "Connection: close", *headers, token=self._other if token == "" else token)
        try:
            with self._connected() as plain:
                plain.sendall(sent + (body or b""))
                answer = b"".join(iter(lambda: plain.recv(65536), b""))
        except (ConnectionError, TimeoutError):
            return 0
        head, _, content = answer.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        whole = not lengths or len(content) == lengths[0]
        return int(head.split(b" ", 2)[1]) if head and whole else 0

    def _request(self, method: str, path: str, *headers: str, token: str | None = "") -> bytes:
        given = self._hostile if token == "" else token
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
        lines += [f"Authorization: Bearer {given}"] if given else []
        return "\r\n".join([*lines, "", ""]).encode()

    def _uploaded(self, path: str, content: bytes) -> str:
        """The id of a new file."""
        body = packed([({"path": path}, content)])
        [made] = self._served.under.client.post(
            f"/api/v1/uploads/packed?share_id={self._share.id}", content=body
        ).json()["results"]
        return str(made["resource_id"])

    def _register(self) -> str:
        client = self._served.under.client.as_token(self._hostile)
        made = client.post(
            "/api/v1/sync/devices", json={"device_id": "flooder", "device_name": "x", "platform": "linux"}
        )
        assert made.status == 201, made.text
        return "flooder"

    def _handshake(self, device: str) -> bytes:
        return self._request(
            "GET", f"/api/v1/sync/ws/{device}", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip

    def _hold(self, sent: bytes) -> socket.socket:
        """A connection on which something was sent, and of which nothing is read."""
        plain = self._open.enter_context(self._connected(window_bytes=_SMALL_WINDOW_BYTES))
        plain.sendall(sent)
        return plain

    @contextmanager
    def _connected(self, window_bytes: int = 0) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as plain:
            if window_bytes:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
            plain.settimeout(REPLY_SECONDS)
            plain.connect((self._served.host, self._served.port))
            yield plain


def _ping(content: bytes) -> bytes:
    """A ping frame of a client. Source: RFC 6455 section 5.2."""
    return struct.pack("!BBI", 0x89, 0x80 | len(content), 0) + content
