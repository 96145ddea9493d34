"""A token that ends while its request waits gets nothing of what came afterwards, and what it sends is not taken."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import pytest

from headwater.base.clock import monotonic_seconds
from headwater.store.packs.writer import PackWriter, Written
from tests.support.content import begin, chunk_path
from tests.support.file_share import FileShare
from tests.support.loop import WAIT_SECONDS
from tests.support.server.asgi import Answer, Client
from tests.support.server.serving import ServerUnderTest


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
