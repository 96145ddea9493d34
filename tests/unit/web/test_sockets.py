"""WebSockets at the edge: who gets one, what frames may be, and how one ends."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import msgspec
import pytest

from headwater.base.errors import NotFound
from headwater.base.settings.table import SocketSettings
from headwater.identity import tokens
from headwater.identity.principal import Principal
from headwater.identity.roles import Role
from headwater.store.database import Transaction
from headwater.web import sockets, watch
from headwater.web.access_rule import AccessRule
from headwater.web.contract import SocketRoute
from headwater.web.sockets import Socket
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest
from tests.support.server.specimen import specimen

pytestmark = pytest.mark.sqlite_only


async def echo(socket: Socket) -> None:
    """Sends back each frame; the texts ``end``, ``fail`` and ``unknown`` end it in their ways."""
    while True:
        text = await socket.receive()
        if text == "end":
            return
        if text == "fail":
            raise ZeroDivisionError
        if text == "unknown":
            raise NotFound("no such device")
        await socket.send({"got": text, "id": socket.params["id"]})


SYNC = AccessRule("sync")


def serving(server: ServerUnderTest, access: AccessRule = SYNC, *, query_token: bool = True) -> Client:
    routes = (SocketRoute("/ws/{id}", echo, access, "An echo", query_token),)
    return specimen(server, sockets=routes)


PATH = "/specimen/ws/dev%201"


def test_frames_go_both_ways(server: ServerUnderTest) -> None:
    with serving(server).socket(PATH) as socket:
        assert socket.accepted
        socket.send_text("hello")
        assert socket.receive() == {"got": "hello", "id": "dev 1"}


@pytest.mark.parametrize(
    ("text", "code"), [("end", 1000), ("fail", sockets.CLOSE_FAILED), ("unknown", sockets.CLOSE_UNKNOWN)]
)
def test_the_close_code_says_how_it_ended(server: ServerUnderTest, text: str, code: int) -> None:
    with serving(server).socket(PATH) as socket:
        socket.send_text(text)
        assert socket.wait_closed() == code


def test_a_socket_without_or_with_wrong_credentials_closes_with_4401(server: ServerUnderTest) -> None:
    served = serving(server)
    for asked in (PATH, PATH + "?token=", PATH + "?token=a.b.c", PATH + f"?token={server.admin_token}"):
        with served.socket(asked, token=None) as socket:
            assert socket.wait_closed() == 4401
    with served.socket(PATH, token="x" * 64) as socket:
        assert socket.wait_closed() == 4401


def test_a_public_caller_gets_no_socket(server: ServerUnderTest) -> None:
    with serving(server, AccessRule("contacts", public=True)).socket(PATH, token=None) as socket:
        assert socket.wait_closed() == 4401


def test_a_jwt_in_the_query_opens_a_socket_where_the_route_allows_it(server: ServerUnderTest) -> None:
    short = server.client.post("/api/v1/auth/jwt").json()["token"]
    with serving(server).socket(f"{PATH}?token={short}", token=None) as socket:
        socket.send_text("x")
        assert socket.receive()["got"] == "x"
    with serving(server, query_token=False).socket(f"{PATH}?token={short}", token=None) as socket:
        assert socket.wait_closed() == 4401


def test_a_token_without_the_scope_closes_with_4403(server: ServerUnderTest) -> None:
    token = server.token(scopes=["contacts"])
    with serving(server).socket(PATH, token=token) as socket:
        assert socket.wait_closed() == 4403


def test_an_unknown_path_closes_with_4404(server: ServerUnderTest) -> None:
    for path in ("/specimen/other", "/specimen/ws/%00", "/specimen/ws/" + "x" * 129):
        with serving(server).socket(path) as socket:
            assert socket.wait_closed() == 4404


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_opens_no_socket(server: ServerUnderTest, origin: str) -> None:
    with serving(server).socket(PATH, headers={"origin": origin}) as socket:
        assert socket.wait_closed() == 4404


def test_a_page_of_ours_opens_a_socket(server: ServerUnderTest) -> None:
    with serving(server).socket(PATH, headers={"origin": "http://127.0.0.1:8484"}) as socket:
        assert not socket.closed


def test_a_host_that_is_not_ours_opens_no_socket(server: ServerUnderTest) -> None:
    with serving(server).socket(PATH, headers={"host": "evil.example"}) as socket:
        assert socket.wait_closed() == sockets.CLOSE_REFUSED


def test_a_binary_or_long_frame_closes_with_1009(server: ServerUnderTest) -> None:
    with serving(server).socket(PATH) as socket:
        socket.send_bytes(b"x")
        assert socket.wait_closed() == 1009
    with serving(server).socket(PATH) as socket:
        socket.send_text("x" * 4097)
        assert socket.wait_closed() == 1009


def test_a_revoked_token_closes_its_open_sockets(server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    text, row = server.token_row()
    served = serving(server)
    with served.socket(PATH, token=text) as ending, served.socket(PATH) as staying:
        server.revoke(row.id)
        assert ending.wait_closed() == 4401
        staying.send_text("x")
        assert staying.receive()["got"] == "x"


def test_a_caller_whose_role_fell_loses_the_sockets_that_need_more(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    text, row = server.token_row(role="org_admin")

    def demote(tx: Transaction) -> None:
        tx.run("UPDATE users SET role = 'coordinator' WHERE id = ?", row.user_id)
        tokens.mark_changed(tx)

    with (
        serving(server, AccessRule("sync", least=Role.ORG_ADMIN)).socket(PATH, token=text) as ending,
        serving(server).socket(PATH, token=text) as staying,
    ):
        server.database.write_now(demote)
        assert ending.wait_closed() == 4403
        staying.send_text("x")
        assert staying.receive()["got"] == "x"


def test_a_slow_peer_does_not_put_off_the_end_of_the_others(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    text, row = server.token_row()
    others = asyncio.Event()
    closed: list[int] = []

    async def close(self: Socket, code: int, _reason: str = "") -> None:
        if self.closed:
            return
        self.closed = True
        closed.append(code)
        if len(closed) == 3:
            others.set()
        # Each close waits until all three were begun, so that one after the other would never end.
        await others.wait()
        await self._send({"type": "websocket.close", "code": code})

    monkeypatch.setattr(Socket, "close", close)
    served = serving(server)
    with (
        served.socket(PATH, token=text) as first,
        served.socket(PATH, token=text) as second,
        served.socket(PATH, token=text) as third,
    ):
        server.revoke(row.id)
        assert [socket.wait_closed() for socket in (first, second, third)] == [4401, 4401, 4401]


def test_an_expired_token_closes_its_open_sockets(server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    token = server.token(expires_us=server.clock() + 60_000_000)
    with serving(server).socket(PATH, token=token) as socket:
        server.clock.advance(60)
        assert socket.wait_closed() == 4401


def test_a_socket_of_a_jwt_ends_with_the_jwt(server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    short = server.client.post("/api/v1/auth/jwt").json()["token"]
    served = serving(server)
    with served.socket(f"{PATH}?token={short}", token=None) as ending, served.socket(PATH) as staying:
        server.clock.advance(server.settings.access.jwt_lifetime_seconds)
        assert ending.wait_closed() == 4401
        staying.send_text("x")
        assert staying.receive()["got"] == "x"


def test_a_token_that_ends_while_its_socket_is_admitted_is_noticed(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is revoked after it was read and before the watch knows the socket."""
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    text, row = server.token_row()
    served = serving(server)
    authenticator = server.services.authenticator
    read = authenticator.principal

    async def revoked_afterwards(credentials: bytes) -> Principal:
        found = await read(credentials)
        if found.token_id == row.id:
            server.revoke(row.id)
            # The watch, which serves the other socket, notes the change now.
            await asyncio.sleep(0.1)
        return found

    with served.socket(PATH):
        monkeypatch.setattr(authenticator, "principal", revoked_afterwards)
        with served.socket(PATH, token=text) as ending:
            assert ending.wait_closed() == 4401


def test_a_watch_that_ended_with_the_last_socket_begins_again(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    served = serving(server)
    for _ in range(2):
        text, row = server.token_row()
        with served.socket(PATH, token=text) as socket:
            server.revoke(row.id)
            assert socket.wait_closed() == 4401
        server.loop.run(asyncio.sleep(0.05))


def test_more_sockets_than_may_be_open_close_with_4429(server: ServerUnderTest) -> None:
    limited = msgspec.structs.replace(server.settings, sockets=SocketSettings(limit=1))
    object.__setattr__(server.services, "settings", limited)
    served = serving(server)
    with served.socket(PATH) as first:
        with served.socket(PATH) as second:
            assert second.wait_closed() == 4429
        first.send_text("x")
        assert first.receive()["got"] == "x"
    with served.socket(PATH) as third:
        assert not third.closed


def test_one_token_opens_no_more_sockets_than_its_share_and_others_still_do(server: ServerUnderTest) -> None:
    limited = msgspec.structs.replace(server.settings, sockets=SocketSettings(token_limit=2))
    object.__setattr__(server.services, "settings", limited)
    served, other = serving(server), server.token()
    for _ in range(2):
        with served.socket(PATH) as first, served.socket(PATH) as second:
            with served.socket(PATH) as third:
                assert third.wait_closed() == 4429
            with served.socket(PATH, token=other) as others:
                for socket in (first, second, others):
                    socket.send_text("x")
                    assert socket.receive()["got"] == "x"


def test_a_reader_that_does_not_read_is_closed(server: ServerUnderTest) -> None:
    sent: list[MutableMapping[str, Any]] = []
    stuck = asyncio.Event()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "websocket.send":
            await stuck.wait()

    async def receive() -> MutableMapping[str, Any]:
        await stuck.wait()
        return {}

    fast = msgspec.structs.replace(server.settings, sockets=SocketSettings(send_seconds=1))
    object.__setattr__(server.services, "settings", fast)
    principal = server.loop.run(server.services.authenticator.principal(f"Bearer {server.admin_token}".encode()))
    socket = Socket(server.services, principal, {}, {}, receive, send)

    async def one() -> None:
        with pytest.raises(sockets.Closed):
            await socket.send({"x": 1})

    server.loop.run(one())
    assert sent[-1]["code"] == sockets.CLOSE_SLOW
    assert socket.closed
