"""A token that ends while its request waits gets nothing of what came afterwards, and what it sends is not taken."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import Callable

import pytest

from headwater.base.clock import SECOND_US, monotonic_seconds
from headwater.store.packs.writer import PackWriter, Written
from headwater.web import watch
from tests.support.content import begin, chunk_path
from tests.support.file_share import FileShare
from tests.support.loop import WAIT_SECONDS
from tests.support.server.asgi import Answer, Client
from tests.support.server.live import LiveServer
from tests.support.server.serving import ServerUnderTest
from tests.support.server.wire import packed


def wait_for_the_poll(server: ServerUnderTest) -> None:
    """Go on when one request waits for news."""
    ends_seconds = monotonic_seconds() + WAIT_SECONDS
    while not server.edge.places.waiting.count:
        assert monotonic_seconds() < ends_seconds, "the request does not wait"
        server.loop.run(asyncio.sleep(0.005))


@pytest.mark.parametrize("path", ["/api/v1/feed", "/api/v1/sync/changes"])
def test_a_long_poll_of_a_token_that_was_revoked_meanwhile_hands_nothing_out(
    server: ServerUnderTest, path: str
) -> None:
    laptop = FileShare(server).device()
    text, row = server.token_row()
    reader = server.client.as_token(text)
    cursor = reader.get(path).json()["cursor"]
    waiting = reader.start("GET", f"{path}?cursor={cursor}&wait=30")
    wait_for_the_poll(server)
    server.revoke(row.id)
    laptop.put("/a.txt", b"content")
    assert server.client.post("/api/v1/contacts", json={"first_name": "Ada"}).status == 201
    assert waiting.result(WAIT_SECONDS).problem() == (401, "UNAUTHENTICATED")


def test_a_long_poll_ends_with_its_token_though_nothing_changes(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    text, row = server.token_row()
    waiting = server.client.as_token(text).start("GET", "/api/v1/sync/changes?wait=60")
    wait_for_the_poll(server)
    server.revoke(row.id)
    assert waiting.result(WAIT_SECONDS).problem() == (401, "UNAUTHENTICATED")


def test_a_wait_for_stale_labels_ends_with_its_token(server: ServerUnderTest) -> None:
    made = server.client.post("/api/v1/terminology-sync", json={"organization_id": "default"})
    assert made.status == 201, made.text
    assert server.client.post("/api/v1/terminology-sync/default/sync-if-stale").status == 200
    text, row = server.token_row()
    waiting = server.client.as_token(text).start("GET", "/api/v1/terminology-sync/default/stale?wait=30")
    wait_for_the_poll(server)
    server.revoke(row.id)
    labels = {"organization_id": "default", "labels": {"a": "b"}}
    assert server.client.post("/api/v1/terminology", json=labels).status in (200, 201)
    assert waiting.result(WAIT_SECONDS).problem() == (401, "UNAUTHENTICATED")


LARGE_BYTES = 24_000_000
"""More than the buffers of a connection take at once."""


@pytest.mark.sqlite_only
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("cause", ["token", "member", "jwt"])
def test_a_download_under_way_ends_with_the_callers_rights(
    live_server: LiveServer, monkeypatch: pytest.MonkeyPatch, cause: str, *, batch: bool
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)
    server = live_server.under
    share = FileShare(server)
    body = packed([({"path": "/large"}, bytes(LARGE_BYTES))])
    made = server.client.post(f"/api/v1/uploads/packed?share_id={share.id}", content=body).json()["results"]
    text, row = server.token_row(role="peer_mentor")
    members = f"/api/v1/shares/{share.id}/members"
    reader = [{"kind": "user", "id": row.user_id, "access": "READ"}]
    assert server.client.put(members, json={"members": reader}).status == 200
    if cause == "jwt":
        text = server.client.as_token(text).post("/api/v1/auth/jwt").json()["token"]
    lines, body = ["GET /api/v1/sync/download/" + made[0]["resource_id"]], b""
    if batch:
        body = json.dumps({"share_id": share.id, "file_ids": [made[0]["resource_id"]]}).encode()
        lines = ["POST /api/v1/downloads/batch"]
    head = (
        f"{lines[0]} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {text}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        plain.settimeout(WAIT_SECONDS)
        plain.connect((live_server.host, live_server.port))
        plain.sendall(head.encode() + body)
        got = len(plain.recv(65536))
        assert server.edge.places.answers.count == 1
        if cause == "token":
            server.revoke(row.id)
        elif cause == "member":
            assert server.client.put(members, json={"members": []}).status == 200
        else:
            server.clock.advance(server.settings.access.jwt_lifetime_seconds)
        ends_seconds = monotonic_seconds() + WAIT_SECONDS
        while server.edge.places.answers.count:
            assert monotonic_seconds() < ends_seconds, "the download goes on"
            server.loop.run(asyncio.sleep(0.01))
        with contextlib.suppress(ConnectionResetError):
            while piece := plain.recv(1 << 20):
                got += len(piece)
    assert got < LARGE_BYTES


def send_part(client: Client, share: str) -> Callable[[], Answer]:
    session = begin(client, share, 5)
    return lambda: client.put(chunk_path(session, 0), content=b"bytes")


def send_tus(client: Client, share: str) -> Callable[[], Answer]:
    words = {"share_id": share, "path": "/a"}
    metadata = ",".join(f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in words.items())
    tus = {"tus-resumable": "1.0.0", "content-type": "application/offset+octet-stream", "upload-metadata": metadata}
    return lambda: client.post("/api/v1/uploads", content=b"bytes", headers={**tus, "upload-length": "5"})


def send_packed(client: Client, share: str) -> Callable[[], Answer]:
    content = b'{"path": "/a", "size": 5}\nbytes'
    return lambda: client.post(f"/api/v1/uploads/packed?share_id={share}", content=content)


@pytest.mark.parametrize("prepare", [send_part, send_tus, send_packed])
def test_bytes_of_a_token_that_was_revoked_while_it_sent_them_are_not_taken(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Client, str], Callable[[], Answer]]
) -> None:
    share = FileShare(server)
    text, row = server.token_row()
    send = prepare(server.client.as_token(text), share.id)
    close = PackWriter.close

    def revoked_meanwhile(self: PackWriter) -> Written:
        server.revoke(row.id)
        return close(self)

    monkeypatch.setattr(PackWriter, "close", revoked_meanwhile)
    assert send().problem() == (401, "UNAUTHENTICATED")
    assert share.tree() == {}
    assert share.read(lambda tx: tx.value("SELECT count(*) FROM chunks")) == 0
    assert list(server.services.packs.listing()) == []


def test_a_token_that_expired_stays_expired_when_the_clock_steps_back(server: ServerUnderTest) -> None:
    expires_us = server.clock.at_us + 60 * SECOND_US
    caller = server.client.as_token(server.token("default", "org_admin", expires_us=expires_us))
    assert caller.get("/api/v1/contacts").status == 200
    server.clock.advance(61)
    assert caller.get("/api/v1/contacts").status == 401
    server.clock.advance(-7200)
    assert caller.get("/api/v1/contacts").status == 401


def test_a_kept_answer_that_expired_is_not_given_when_the_clock_steps_back(server: ServerUnderTest) -> None:
    keep_seconds = server.settings.idempotency.keep_seconds
    key = {"Idempotency-Key": "k1"}
    made = [server.client.post("/api/v1/contacts", json={"first_name": "A"}, headers=key).json()["contact_id"]]
    server.clock.advance(keep_seconds + 60)
    server.client.post("/api/v1/contacts", json={"first_name": "B"})
    server.clock.advance(-7200)
    made.append(server.client.post("/api/v1/contacts", json={"first_name": "A"}, headers=key).json()["contact_id"])
    assert len(set(made)) == 2
