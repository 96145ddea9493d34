"""A token that ends while its request waits gets nothing of what came afterwards."""

from __future__ import annotations

import asyncio

import pytest

from headwater.base.clock import monotonic_seconds
from tests.support.file_share import FileShare
from tests.support.loop import WAIT_SECONDS
from tests.support.serving import ServerUnderTest


def wait_for_the_poll(server: ServerUnderTest) -> None:
    """Go on when one request waits for news."""
    ends_seconds = monotonic_seconds() + WAIT_SECONDS
    while not server.edge._in_flight.waiting:
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
