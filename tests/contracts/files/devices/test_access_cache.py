"""A nudge asks for a caller's access once, and never goes by an answer that is no longer true."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from headwater.base.settings.table import Settings, SocketSettings
from headwater.contracts.files import access
from headwater.contracts.files.devices.access_cache import AccessCache
from headwater.identity import chapter_users, chapters
from headwater.identity.principal import Principal
from headwater.server.jobs import ForeignCommits
from headwater.store.database import Database
from headwater.store.log import feeds
from tests.support.clock import MovableClock
from tests.support.file_share import FileShare
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest
from tests.support.store.databases import address_of, open_at


@pytest.fixture
def settings() -> Settings:
    return Settings(sockets=SocketSettings(nudges_per_second=1000))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The feeds for which a caller's access was looked up."""
    found: list[int] = []
    require_feed = access.require_feed

    def counted(tx: Any, principal: Principal, feed: int, least: access.Access) -> access.ShareRow:
        found.append(feed)
        return require_feed(tx, principal, feed, least)

    monkeypatch.setattr(access, "require_feed", counted)
    return found


@pytest.fixture
def member(server: ServerUnderTest, share: FileShare) -> Client:
    """A coordinator who may read the share, with the device ``d-2``."""
    client = server.caller("default", "coordinator")
    client.post("/api/v1/sync/devices", json={"device_id": "d-2", "device_name": "d-2", "platform": "linux"})
    set_members(share, [{"kind": "role", "id": "coordinator", "access": "READ"}])
    return client


@pytest.fixture
def access_cache(server: ServerUnderTest) -> Iterator[AccessCache]:
    found = AccessCache(server.services.database, server.services.wake)

    async def run(step: Any) -> None:
        step()

    server.loop.run(run(found.begin))
    yield found
    server.loop.run(run(found.end))


def set_members(share: FileShare, members: list[dict[str, str]]) -> None:
    assert share.client.put(f"/api/v1/shares/{share.id}/members", json={"members": members}).status == 200


def change(share: FileShare, path: str) -> None:
    assert share.client.post(f"/api/v1/shares/{share.id}/folders", json={"path": path}).status == 201


def principal_of(server: ServerUnderTest, client: Client) -> Principal:
    return server.loop.run(server.services.authenticator.principal(f"Bearer {client.token}".encode()))


def test_nudges_ask_once_for_a_caller_and_stop_at_once_when_access_is_taken_away(
    server: ServerUnderTest, share: FileShare, member: Client, asked: list[int]
) -> None:
    with member.socket("/api/v1/sync/ws/d-2") as socket:
        socket.send({"type": "subscribe"})
        assert socket.receive()["type"] == "subscribed"
        asked.clear()
        for path in ("/a", "/b", "/c"):
            change(share, path)
            assert socket.receive()["share_id"] == share.id
        assert len(asked) == 1
        set_members(share, [])
        for path in ("/d", "/e"):
            change(share, path)
            # Long enough for a nudge to come before the answer to the ping.
            server.loop.run(asyncio.sleep(0.1))
            socket.send({"type": "ping"})
            assert socket.receive()["type"] == "pong"


def test_who_was_refused_is_asked_for_anew_when_members_change(
    server: ServerUnderTest, share: FileShare, member: Client, access_cache: AccessCache
) -> None:
    principal = principal_of(server, member)
    for members, found in (([], None), ([{"kind": "role", "id": "coordinator", "access": "READ"}], share.id)):
        set_members(share, members)
        for _ in range(2):
            assert server.loop.run(access_cache.share(principal, share.feed)) == found


def test_a_deleted_share_is_readable_to_nobody_from_then_on(
    server: ServerUnderTest, share: FileShare, access_cache: AccessCache
) -> None:
    principal = principal_of(server, server.client)
    assert server.loop.run(access_cache.share(principal, share.feed)) == share.id
    assert share.client.delete(f"/api/v1/shares/{share.id}").status == 204
    assert server.loop.run(access_cache.share(principal, share.feed)) is None


def test_another_process_that_changes_members_is_heard(
    server: ServerUnderTest, share: FileShare, member: Client, access_cache: AccessCache, clock: MovableClock
) -> None:
    principal = principal_of(server, member)
    foreign = ForeignCommits(server.database, server.services.wake)
    if server.database.embedded:
        server.loop.run(foreign.check())
    assert server.loop.run(access_cache.share(principal, share.feed)) == share.id
    heard = threading.Event()

    async def listen() -> None:
        server.services.wake.listen(feeds.ACCESS, lambda _feed, _head: heard.set())

    server.loop.run(listen())
    other: Database = open_at(address_of(server.database), clock=clock)

    def take_away(tx: Any) -> None:
        tx.run("DELETE FROM share_members WHERE feed = ?", share.feed)
        tx.notify(feeds.ACCESS)

    other.write_now(take_away, feed=share.feed)
    other.close()
    if server.database.embedded:
        server.loop.run(foreign.check())
    assert heard.wait(30)
    assert server.loop.run(access_cache.share(principal, share.feed)) is None


def test_an_answer_that_was_read_before_access_changed_is_not_kept(
    server: ServerUnderTest,
    share: FileShare,
    access_cache: AccessCache,
    asked: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    principal = principal_of(server, server.client)
    read = server.database.read

    async def late(function: Any, **more: Any) -> Any:
        found = await read(function, **more)
        server.services.wake.moved({feeds.ACCESS: 0})
        await asyncio.sleep(0.05)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(server.database, "read", late)
        server.loop.run(access_cache.share(principal, share.feed))
    for _ in range(2):
        assert server.loop.run(access_cache.share(principal, share.feed)) == share.id
    assert len(asked) == 2


def test_a_chapters_access_is_its_users_for_as_long_as_they_are_in_it(
    server: ServerUnderTest, share: FileShare, access_cache: AccessCache
) -> None:
    text, token = server.token_row("default", "coordinator")
    client = server.client.as_token(text)
    principal = principal_of(server, client)
    server.database.write_now(lambda tx: chapters.create(tx, "default", "Oslo", "osl"))
    set_members(share, [{"kind": "chapter", "id": "osl", "access": "READ"}])
    steps = ((None, None, 404), (chapter_users.add, share.id, 200), (chapter_users.remove, None, 404))
    for change, found, status in steps:
        if change is not None:
            server.database.write_now(partial(change, organisation="default", chapter_id="osl", user_id=token.user_id))
        assert server.loop.run(access_cache.share(principal, share.feed)) == found
        assert client.get(f"/api/v1/shares/{share.id}").status == status
